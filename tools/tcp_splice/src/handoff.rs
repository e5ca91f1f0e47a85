// SPDX-License-Identifier: GPL-2.0

//! A connection goes to the host of its server.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};

use tcp_splice_netlink::{Error, Migrant, NodeOutput};

use crate::cluster::{self, Answer};
use crate::kernel::{Kernel, ms};

/// How the client's packets get from this host to the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// In a frame to a neighbour on the same network (TCP handoff).
    #[default]
    Direct,
    /// In a packet to the server's address, which that host takes out (connection hop).
    Tunnel,
}

/// Why a connection cannot move.
#[derive(Debug, thiserror::Error)]
pub enum Why {
    /// This host's kernel does not let it go.
    #[error(transparent)]
    Kernel(Error),
    /// The server's host does not take it, or cannot be reached, in its words.
    #[error("{0}")]
    Host(String),
}

/// A connection that is not the server's.
#[derive(Debug, thiserror::Error)]
pub enum NotMoved<C> {
    /// It is here, as if nobody had asked.
    #[error("{1}")]
    Stays(C, Why),
    /// It was given to the other host and nobody knows whether that has it. It is not used here any more: two hosts would speak to the
    /// client with the same numbers. Its packets go there.
    #[error("{0}")]
    Unknown(String),
}

/// Why a connection of another host has not come to this program.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// What was given is no connection.
    #[error("it is no connection: {0}")]
    Text(serde_json::Error),
    /// This host does not take it: it stays where it was.
    #[error(transparent)]
    Refused(Error),
    /// This host has taken it, or may have, and has reset it. Whoever had it has to let it go as if it had moved.
    #[error("the connection is lost: {0}")]
    Lost(Error),
}

impl From<tcp_splice_netlink::NotReceived> for NotReceived {
    fn from(why: tcp_splice_netlink::NotReceived) -> NotReceived {
        match why {
            tcp_splice_netlink::NotReceived::Refused(error) => NotReceived::Refused(error),
            tcp_splice_netlink::NotReceived::Lost(error) => NotReceived::Lost(error),
        }
    }
}

impl Kernel {
    /// Takes a connection that another host moves here, as JSON: what `splicectl handoff send` gives its command. It comes to this
    /// program as a connected socket, with what its client has sent to be read; nobody need listen. The connection's own
    /// address has to be this host's. Whoever sends it is told afterwards.
    ///
    /// # Errors
    ///
    /// [`NotReceived`]: it stays where it was, unless it is [`NotReceived::Lost`].
    pub fn receive(&mut self, connection: &str) -> Result<TcpStream, NotReceived> {
        let migrant = serde_json::from_str::<Migrant>(connection).map_err(NotReceived::Text)?;
        let patience = Some(ms(self.patience));
        Ok(self.client.import_socket(&migrant, patience)?)
    }

    /// Moves a client's connection to the host that has the server at `server`, where whoever listens on the
    /// client's side of the connection accepts it. `read` is what was read of it last, which that reads again, first of all. Returns the
    /// identity of the flow that the client's packets go by from then on.
    ///
    /// # Errors
    ///
    /// [`NotMoved`] that has the socket, if it is of any use: the kernel does not let it go, no `spliced` answers on this host, no node of the
    /// cluster has that server, or that node refuses.
    pub fn hand_off<C: AsFd>(
        &mut self,
        client: C,
        read: &[u8],
        server: SocketAddr,
        way: Way,
    ) -> Result<u64, NotMoved<C>> {
        // The kernel itself takes it back only when nobody here can.
        let limit = self.patience.saturating_mul(2) + 2 * cluster::MARGIN;
        let fd = client.as_fd().as_raw_fd();
        let mut migrant = match self.client.export(fd, None, Some(ms(limit))) {
            Ok(migrant) => migrant,
            Err(error) => return Err(NotMoved::Stays(client, Why::Kernel(error))),
        };
        let id = migrant.connection.id.take().unwrap_or_default();
        migrant.unread(read.to_vec());
        let answer = cluster::hand_off(&self.control, server, &migrant, self.patience);
        let given = match answer {
            Answer::Taken {} => Ok(()),
            Answer::Unknown { why } => Err(why),
            Answer::Refused { why } => {
                return Err(match self.client.handoff_abort(id) {
                    Ok(()) => NotMoved::Stays(client, Why::Host(why)),
                    Err(error) => NotMoved::Unknown(format!("{why}; {error}")),
                });
            }
        };
        let output = match way {
            Way::Direct => NodeOutput::Direct,
            Way::Tunnel => NodeOutput::Tunnel,
        };
        // Wherever the connection is, its packets go there.
        let committed = self.client.handoff_commit(id, Some((output, server.ip())));
        let moved = given.and(committed.map_err(|error| error.to_string()));
        moved.map(|()| id).map_err(NotMoved::Unknown)
    }
}
