// SPDX-License-Identifier: GPL-2.0

//! `splicectl handoff`

use crate::args::{HandoffReceive, HandoffSend, HandoffVerb};
use crate::descriptor;
use crate::fail::{Fail, tell};
use crate::output::Output;
use crate::restore;
use rustix::fs::{Access, access};
use serde::Serialize;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio};
use tcp_splice_netlink::{Client, Migrant, NodeOutput, NotReceived};

pub(crate) fn run(out: &Output, verb: HandoffVerb) -> Result<(), Fail> {
    match verb {
        HandoffVerb::Send(args) => send(out, args),
        HandoffVerb::Receive(args) => receive(out, &args),
    }
}

/// What has become of a connection, in JSON.
#[derive(Debug, Serialize)]
struct Moved {
    /// Of the entry that its packets go by from now on, on the host that had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<SocketAddr>,
    /// Bytes that went with it.
    unread: usize,
    unacknowledged: usize,
}

impl Moved {
    fn new(id: Option<u64>, migrant: &Migrant) -> Moved {
        let c = &migrant.connection;
        let socket = |address: Option<_>, port: Option<u16>| Some(SocketAddr::new(address?, port?));
        Moved {
            id,
            client: socket(c.remote, c.remote_port),
            service: socket(c.local, c.local_port),
            unread: migrant.received.iter().map(|p| p.bytes.0.len()).sum(),
            unacknowledged: migrant.sent.0.len(),
        }
    }

    fn print(&self, out: &Output, what: &str) -> Result<(), Fail> {
        if out.json() {
            return out.value(self);
        }
        let name = |socket: Option<SocketAddr>| socket.map_or("?".into(), |s| s.to_string());
        let id = self.id.map_or(String::new(), |id| format!(", splice {id}"));
        out.text(&format!(
            "{what} {} to {}: {} bytes unread, {} unacknowledged{id}\n",
            name(self.client),
            name(self.service),
            self.unread,
            self.unacknowledged
        ))
    }
}

fn send(out: &Output, args: HandoffSend) -> Result<(), Fail> {
    let before = match &args.read {
        Some(file) => fs::read(file).map_err(Fail::other(file.display().to_string()))?,
        None => Vec::new(),
    };
    let copy = args
        .pid
        .map(|pid| descriptor::copy_from("handoff", pid, args.fd))
        .transpose()?;
    let fd = copy.as_ref().map_or(args.fd, AsRawFd::as_raw_fd);
    let mut client = Client::open().map_err(Fail::kernel("handoff"))?;
    let mut migrant = client
        .export(fd, args.idle_timeout, args.timeout)
        .map_err(Fail::kernel("handoff"))?;
    let id = migrant.connection.id.take();
    migrant.unread(before);
    let taken = give(&migrant, &args.command);
    let id = id.unwrap_or_default();
    if let Err(fail) = taken {
        let _ = client.handoff_abort(id);
        return Err(fail);
    }
    let output = args.output.unwrap_or(NodeOutput::Direct);
    client
        .handoff_commit(id, Some((output, args.via)))
        .map_err(Fail::kernel("handoff"))?;
    Moved::new(Some(id), &migrant).print(out, "handed off")
}

/// Has a command take the connection to the other host.
fn give(migrant: &Migrant, command: &[String]) -> Result<(), Fail> {
    let what = "handoff: the command";
    let text = serde_json::to_string(migrant).map_err(Fail::other("handoff"))?;
    let Some((program, args)) = command.split_first() else {
        return Ok(());
    };
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(Fail::other(format!("handoff: {program}")))?;
    let written = match child.stdin.take() {
        Some(mut stdin) => stdin.write_all(text.as_bytes()),
        None => Ok(()),
    };
    let status = child.wait().map_err(Fail::other(what))?;
    if !status.success() {
        return Err(Fail::Other {
            what: what.into(),
            message: format!("{status}; the connection stays here"),
        });
    }
    written
        .or_else(|e| match e.kind() {
            // It knew enough.
            io::ErrorKind::BrokenPipe => Ok(()),
            _ => Err(e),
        })
        .map_err(Fail::other(what))
}

fn receive(out: &Output, args: &HandoffReceive) -> Result<(), Fail> {
    let name = match &args.file {
        Some(file) => file.display().to_string(),
        None => "standard input".into(),
    };
    let text = restore::read(args.file.as_ref())?;
    let migrant: Migrant = serde_json::from_str(&text).map_err(Fail::other(name))?;
    let mut client = Client::open().map_err(Fail::kernel("handoff"))?;
    let Some((program, rest)) = args.command.split_first() else {
        client
            .import(&migrant, args.timeout)
            .map_err(Fail::kernel("handoff"))?;
        return Moved::new(None, &migrant).print(out, "took over");
    };
    if !can_run(program) {
        return Err(Fail::Other {
            what: format!("handoff: {program}"),
            message: "no such program; the connection is not taken".into(),
        });
    }
    match client.import_socket(&migrant, args.timeout) {
        Ok(stream) => {
            if let Err(error) = run_with(program, rest, stream) {
                // Whoever sends it must not take it back.
                tell(&format!("handoff: {program}: {error}; it is closed"));
            }
        }
        Err(NotReceived::Refused(error)) => return Err(Fail::kernel("handoff")(error)),
        Err(why @ NotReceived::Lost(_)) => tell(&format!("handoff: {why}")),
    }
    Moved::new(None, &migrant).print(out, "took over")
}

/// Whether a command is found, to be known before a connection is taken for it.
fn can_run(program: &str) -> bool {
    let runs = |path: &Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return runs(Path::new(program));
    }
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|dir| runs(&dir.join(program))))
}

/// Starts a command whose standard input and output are the connection, and does not wait for it.
fn run_with(program: &str, args: &[String], stream: TcpStream) -> io::Result<()> {
    let input = OwnedFd::from(stream);
    let output = input.try_clone()?;
    Command::new(program)
        .args(args)
        .stdin(input)
        .stdout(output)
        .spawn()
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_found_before_it_is_needed() {
        for program in ["sh", "/bin/sh"] {
            assert!(can_run(program), "{program}");
        }
        for program in ["no-such-program", "/", "/bin", "/etc/passwd", ""] {
            assert!(!can_run(program), "{program}");
        }
    }
}
