// SPDX-License-Identifier: GPL-2.0

//! Descriptors of other processes.

use crate::fail::Fail;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use std::os::fd::{OwnedFd, RawFd};

/// A copy of a descriptor of another process, for the command `verb`.
pub(crate) fn copy_from(verb: &str, pid: i32, fd: RawFd) -> Result<OwnedFd, Fail> {
    let what = format!("{verb}: descriptor {fd} of process {pid}");
    let process = Pid::from_raw(pid).ok_or_else(|| Fail::Other {
        what: what.clone(),
        message: "no such process".into(),
    })?;
    let io = |errno: rustix::io::Errno| Fail::Kernel {
        what: what.clone(),
        error: tcp_splice_netlink::Error::Kernel {
            errno: errno.raw_os_error(),
            message: None,
            attribute: None,
        },
    };
    let pidfd = pidfd_open(process, PidfdFlags::empty()).map_err(io)?;
    pidfd_getfd(pidfd, fd, PidfdGetfdFlags::empty()).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    #[test]
    fn a_descriptor_of_a_process_is_copied() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let me = i32::try_from(std::process::id()).expect("a pid is small");
        let copy = copy_from("new", me, listener.as_raw_fd()).expect("one may copy from oneself");
        let copy = TcpListener::from(copy);
        assert_eq!(copy.local_addr().ok(), listener.local_addr().ok());
        let error = copy_from("new", me, 100_000).expect_err("it is not open");
        assert!(format!("{error:?}").contains("descriptor 100000 of process"));
    }
}
