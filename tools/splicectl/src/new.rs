// SPDX-License-Identifier: GPL-2.0

//! `splicectl new`

use crate::args::New;
use crate::cluster::{self, Replication};
use crate::descriptor;
use crate::fail::{Fail, tell};
use crate::output::Output;
use crate::{restore, show};
use std::os::fd::{AsRawFd, RawFd};
use tcp_splice_netlink::{Client, Splice, SpliceFlags, SpliceNew};

pub(crate) fn run(out: &Output, args: New) -> Result<(), Fail> {
    // Copies of another process's descriptors stay open until the kernel has answered.
    let mut copies = Vec::new();
    let mut new = match args.from {
        Some(file) => {
            let text = restore::read(Some(&file).filter(|file| file.as_os_str() != "-"))?;
            let splice: Splice =
                serde_json::from_str(&text).map_err(Fail::other(file.display().to_string()))?;
            if splice.gives_back() {
                return Err(Fail::Other {
                    what: file.display().to_string(),
                    message: "this splice will be given back to its process; only the host that \
                              has its sockets can make it"
                        .into(),
                });
            }
            SpliceNew::from(splice)
        }
        None => {
            let mut resolve = |fd: Option<RawFd>| match (fd, args.pid) {
                (Some(fd), Some(pid)) => {
                    let copy = descriptor::copy_from("new", pid, fd)?;
                    let number = copy.as_raw_fd();
                    copies.push(copy);
                    Ok(Some(number))
                }
                (fd, _) => Ok::<_, Fail>(fd),
            };
            SpliceNew {
                client_fd: resolve(args.client_fd)?,
                server_fd: resolve(args.server_fd)?,
                limit_to_server: args.limit_to_server,
                limit_to_client: args.limit_to_client,
                ..SpliceNew::default()
            }
        }
    };
    let mut flags = new.flags.unwrap_or_default();
    for (wanted, flag) in [
        (args.return_on_fin, SpliceFlags::RETURN_ON_FIN),
        (args.cut_when_idle, SpliceFlags::CUT_WHEN_IDLE),
    ] {
        if wanted {
            flags |= flag;
        }
    }
    new.flags = Some(flags).filter(|flags| flags.0 != 0);
    new.idle_timeout = args.idle_timeout.or(new.idle_timeout);
    if let Some(replicas) = args.replicas {
        cluster::may_replicate(&args.control, replicas)?;
    }
    let mut client = Client::open().map_err(Fail::kernel("new"))?;
    let mut splice = client.splice_new(&new).map_err(Fail::kernel("new"))?;
    drop(copies);
    let replicated = match (args.replicas, splice.id) {
        (Some(replicas), Some(id)) => {
            let replicated = cluster::replicate(&args.control, id, replicas);
            // As it stands by now; it may have ended, and been forgotten.
            splice = client.splice_get(id).unwrap_or(splice);
            replicated.map(Some)
        }
        _ => Ok(None),
    };
    show::print(out, &splice)?;
    match replicated? {
        Some(Replication::Degraded { have, want }) => tell(&format!(
            "new: {have} of {want} replicas hold it; it gets the others when proxies return"
        )),
        Some(Replication::Ended) => tell("new: it ended before it was replicated"),
        Some(Replication::Committed { .. }) | None => {}
    }
    Ok(())
}
