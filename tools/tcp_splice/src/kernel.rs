// SPDX-License-Identifier: GPL-2.0

//! Two connections become one.

use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tcp_splice_netlink::{Client, Error, SpliceNew};

/// Where `spliced` answers, if its configuration does not say.
const CONTROL: &str = "/run/spliced/control";
/// For another host to take a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a splice does beyond carrying bytes until both ends are closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Without a packet for so long, the ends are asked whether they are there; zero is never, `None` the kernel's default.
    pub idle: Option<Duration>,
}

/// A splice that was not made; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotSpliced<C, S> {
    /// What was to be joined.
    pub client: C,
    /// What was to be joined.
    pub server: S,
    /// Why not.
    pub error: Error,
}

/// The kernel's splices of the network namespace that the thread was in that opened it.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) client: Client,
    pub(crate) control: PathBuf,
    pub(crate) patience: Duration,
}

pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Kernel {
    /// Reaches the kernel.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoaded`] when the module is not there and could not be loaded.
    pub fn open() -> Result<Kernel, Error> {
        Ok(Kernel {
            client: Client::open()?,
            control: CONTROL.into(),
            patience: PATIENCE,
        })
    }

    /// Where the `spliced` of this host answers (`cluster.control`); `/run/spliced/control` unless this is said.
    pub fn set_control(&mut self, path: impl AsRef<Path>) {
        self.control = path.as_ref().into();
    }

    /// How long another host may take to answer; five seconds unless this is said.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Joins two connected TCP sockets. What one end sends goes to the other, first of all what is in the sockets unread.
    /// Returns the splice's identity.
    ///
    /// The sockets are the kernel's then, and are closed here. Whoever lends them (`&client`) keeps descriptors, by which nothing can be
    /// read or written any more.
    ///
    /// # Errors
    ///
    /// [`NotSpliced`], with the sockets as they were, when the kernel says that they cannot be joined.
    pub fn splice<C: AsFd, S: AsFd>(
        &mut self,
        client: C,
        server: S,
    ) -> Result<u64, NotSpliced<C, S>> {
        self.splice_with(client, server, Terms::default())
    }

    /// The same, on these terms.
    ///
    /// # Errors
    ///
    /// As [`Kernel::splice`].
    pub fn splice_with<C: AsFd, S: AsFd>(
        &mut self,
        client: C,
        server: S,
        terms: Terms,
    ) -> Result<u64, NotSpliced<C, S>> {
        let new = SpliceNew {
            client_fd: Some(client.as_fd().as_raw_fd()),
            server_fd: Some(server.as_fd().as_raw_fd()),
            idle_timeout: terms.idle.map(ms),
            ..SpliceNew::default()
        };
        match self.client.splice_new(&new) {
            Ok(splice) => Ok(splice.id.unwrap_or_default()),
            Err(error) => Err(NotSpliced {
                client,
                server,
                error,
            }),
        }
    }
}
