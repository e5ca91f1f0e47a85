// SPDX-License-Identifier: GPL-2.0

//! Asks the `tcp_splice` kernel module for splices.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use tcp_splice_netlink::{Client, Error, SpliceNew};

use crate::splice::{Armed, Refusal, Splicer};

struct Kernel(Client);

/// Opens a netlink socket to the module.
///
/// # Errors
///
/// When the module is not loaded or netlink does not work.
pub fn open() -> Result<Box<dyn Splicer>, Refusal> {
    Client::open()
        .map(|client| Box::new(Kernel(client)) as Box<dyn Splicer>)
        .map_err(|error| refusal(&error))
}

/// The error in words, with its number where there is one, for `grep`.
fn refusal(error: &Error) -> Refusal {
    let reason = match error.errno() {
        Some(errno) => format!("{error} (errno {errno})"),
        None => error.to_string(),
    };
    Refusal { reason }
}

impl Splicer for Kernel {
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        idle: Option<Duration>,
    ) -> Result<Armed, Refusal> {
        // 0 means never, to the kernel.
        let idle = idle.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0));
        let new = SpliceNew {
            client_fd: Some(client.as_raw_fd()),
            server_fd: Some(server.as_raw_fd()),
            idle_timeout: Some(idle),
            ..SpliceNew::default()
        };
        match self.0.splice_new(&new) {
            Ok(splice) => Ok(Armed {
                id: splice.id,
                moved_to_server: splice.moved_to_server,
                moved_to_client: splice.moved_to_client,
            }),
            Err(error) => Err(refusal(&error)),
        }
    }
}
