// SPDX-License-Identifier: GPL-2.0

//! Splices whose proxy is killed, and splices whose network namespace is deleted.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tcp_splice_netlink::{Client, SpliceFlags, SpliceNew};

use crate::random::Stream;
use crate::space::{Space, command};

/// What to do.
#[derive(Clone, Copy)]
pub(crate) enum What {
    /// The proxy is killed; its splices go on.
    Killed(u64),
    /// The proxy is killed, and its namespace deleted.
    Deleted(u64),
    /// Be the proxy.
    Hold(u64),
}

const TO_PROXY: &str = "10.0.1.1:8001";
const TO_SERVER: &str = "10.0.2.11:8001";
/// Bytes each way.
const BYTES: usize = 3000;

pub(crate) fn run(what: What, slow: u32) -> Result<(), String> {
    match what {
        What::Killed(n) => held(n, false, slow),
        What::Deleted(n) => held(n, true, slow),
        What::Hold(n) => hold(n),
    }
}

fn text<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> String {
    move |e| format!("{what}: {e}")
}

/// The proxy: makes its splices, says so, and keeps its sockets until it is killed. Every second splice is to give
/// its sockets back at a FIN.
fn hold(n: u64) -> Result<(), String> {
    Space::open("p0")?.enter()?;
    let listener = TcpListener::bind(TO_PROXY).map_err(text("listening"))?;
    println!("listening");
    let mut kernel = Client::open().map_err(text("netlink"))?;
    let mut sockets = Vec::new();
    for i in 0..n {
        let (client, _) = listener.accept().map_err(text("accepting"))?;
        let server = TcpStream::connect(TO_SERVER).map_err(text("connecting"))?;
        kernel
            .splice_new(&SpliceNew {
                client_fd: Some(client.as_raw_fd()),
                server_fd: Some(server.as_raw_fd()),
                flags: (i % 2 == 1).then_some(SpliceFlags::RETURN_ON_FIN),
                ..SpliceNew::default()
            })
            .map_err(text("arming"))?;
        sockets.push((client, server));
    }
    println!("armed");
    // Nobody writes there, and whoever started this kills it.
    let _ = std::io::stdin().read(&mut [0; 1]);
    drop(sockets);
    Ok(())
}

/// The two ends, and what happens to the proxy.
fn held(n: u64, delete: bool, slow: u32) -> Result<(), String> {
    let (client, proxy, server) = (Space::open("c0")?, Space::open("p0")?, Space::open("s0")?);
    server.enter()?;
    let listener = TcpListener::bind(TO_SERVER).map_err(text("listening"))?;
    let exe = std::env::current_exe().map_err(text("myself"))?;
    let mut child = Command::new(exe)
        .args(["--hold", &n.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(text("the proxy"))?;
    let mut said = BufReader::new(child.stdout.take().ok_or("the proxy has no output")?);
    let mut hear = |word: &str| {
        let mut line = String::new();
        said.read_line(&mut line).map_err(text("the proxy"))?;
        match line.trim() {
            line if line == word => Ok(()),
            line => Err(format!("the proxy said '{line}' instead of '{word}'")),
        }
    };
    hear("listening")?;
    client.enter()?;
    let mut pairs = Vec::new();
    let limit = Some(Duration::from_secs(20) * slow);
    for _ in 0..n {
        let up = TcpStream::connect(TO_PROXY).map_err(text("connecting"))?;
        let (down, _) = listener.accept().map_err(text("accepting"))?;
        for end in [&up, &down] {
            end.set_read_timeout(limit).map_err(text("SO_RCVTIMEO"))?;
        }
        pairs.push((up, down));
    }
    hear("armed")?;
    proxy.enter()?;
    let mut kernel = Client::open().map_err(text("netlink"))?;
    let mut live = || {
        let stats = kernel.stats().map_err(text("stats"))?;
        Ok::<_, String>(stats.splices.unwrap_or(u64::MAX))
    };
    child.kill().map_err(text("killing the proxy"))?;
    child.wait().map_err(text("the killed proxy"))?;
    if live()? != n {
        return Err(format!("{} of {n} splices outlived their proxy", live()?));
    }
    // Each still carries bytes.
    let bytes = |i: u64, way: u64| {
        let mut bytes = vec![0; BYTES];
        Stream(i * 2 + way).fill(0, &mut bytes);
        bytes
    };
    for (i, (up, down)) in (0..).zip(&pairs) {
        for (way, mut from, mut to) in [(0, up, down), (1, down, up)] {
            let sent = bytes(i, way);
            let mut got = vec![0; BYTES];
            from.write_all(&sent).map_err(text("writing"))?;
            to.read_exact(&mut got).map_err(text("reading"))?;
            if got != sent {
                return Err(format!(
                    "wrong bytes through splice {i} after its proxy died"
                ));
            }
        }
    }
    if delete {
        // A namespace lives as long as anybody is in it, or holds it.
        let name = proxy.name.clone();
        client.enter()?;
        drop((kernel, proxy));
        command(&format!("ip netns delete {name}"))?;
        println!("deleted {name} with {n} splices");
        return Ok(());
    }
    for (i, (up, down)) in pairs.iter_mut().enumerate() {
        let (first, second) = if i % 4 < 2 { (up, down) } else { (down, up) };
        first.shutdown(Shutdown::Write).map_err(text("closing"))?;
        // Carried, or by the close of a socket that was given back to nobody.
        for end in [&mut *second, &mut *first] {
            match end.read(&mut [0; 1]).map_err(text("reading the end"))? {
                0 => {}
                n => return Err(format!("{n} bytes that nobody sent")),
            }
            let _ = end.shutdown(Shutdown::Write);
        }
    }
    drop(pairs);
    let end = Instant::now() + Duration::from_secs(20) * slow;
    while live()? != 0 || proxy.sockets()? != 0 {
        if Instant::now() > end {
            return Err(format!(
                "{} splices and {} sockets are left",
                live()?,
                proxy.sockets()?
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    println!("{n} splices outlived their proxy and ended");
    Ok(())
}
