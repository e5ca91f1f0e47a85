// SPDX-License-Identifier: GPL-2.0

//! A connection that moves from host to host, with its bytes.

use crate::bytes::Bytes;
use crate::client::Client;
use crate::error::Error;
use crate::generated::{Handoff, HandoffStream};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};

/// Bytes in a message.
const PIECE: usize = 16 << 10;

/// Bytes that stand together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// Number of the first of them.
    pub seq: u32,
    /// The bytes.
    pub bytes: Bytes,
}

/// A connection with its bytes, as one host hands it to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Migrant {
    /// Where it stands.
    pub connection: Handoff,
    /// What the client has sent and nobody has read; gaps in it are after `rcv-next`.
    pub received: Vec<Piece>,
    /// What was sent to the client, or is to be, and was not acknowledged.
    pub sent: Bytes,
}

impl Migrant {
    /// Puts bytes before what is unread: somebody has read them, and the new owner is to read them again.
    pub fn unread(&mut self, bytes: Vec<u8>) {
        let Some(start) = self.connection.rcv_start.filter(|_| !bytes.is_empty()) else {
            return;
        };
        // A stream is far shorter than its numbers go round here: it was in a receive buffer.
        let seq = start.wrapping_sub(bytes.len() as u32);
        self.connection.rcv_start = Some(seq);
        match self.received.first_mut().filter(|first| first.seq == start) {
            Some(first) => {
                first.seq = seq;
                first.bytes.0.splice(..0, bytes);
            }
            None => {
                let bytes = Bytes(bytes);
                self.received.insert(0, Piece { seq, bytes });
            }
        }
    }

    /// What it comes with, if that fits into one message: what was received, without gaps, and nothing that was sent.
    fn whole(&self) -> Option<&Bytes> {
        const NONE: &Bytes = &Bytes(Vec::new());
        let received = match &self.received[..] {
            [] => NONE,
            [first] if self.connection.rcv_start == Some(first.seq) => &first.bytes,
            _ => return None,
        };
        (self.sent.0.is_empty() && received.0.len() <= PIECE).then_some(received)
    }
}

/// Whether a number is before another in its stream.
fn is_before(seq: u32, end: u32) -> bool {
    // Half of all numbers are behind a number.
    (seq.wrapping_sub(end) as i32) < 0
}

/// Why this program has not got a connection of another host.
#[derive(Debug, thiserror::Error)]
pub enum NotReceived {
    /// It is not taken, and stays where it was.
    #[error(transparent)]
    Refused(Error),
    /// This host has taken it, or may have, and has reset it. Whoever had it has to let it go: two hosts would speak to its client
    /// with the same numbers.
    #[error("the connection is lost: {0}")]
    Lost(Error),
}

/// A listener that no packet reaches: addresses which nobody has (RFC 7600, section 4; RFC 6666).
fn unreachable_listener(local: IpAddr) -> io::Result<TcpListener> {
    let (family, at) = match local {
        IpAddr::V4(_) => (AddressFamily::INET, Ipv4Addr::new(192, 0, 0, 8).into()),
        IpAddr::V6(_) => (
            AddressFamily::INET6,
            Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 1).into(),
        ),
    };
    // Not to wait if the connection has gone meanwhile.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    // Inherited, so that a server can bind the connection's port.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    free_bind(&socket, local, true)?;
    bind(&socket, &SocketAddr::new(at, 0))?;
    listen(&socket, 1)?;
    Ok(socket.into())
}

/// Whether the socket may be bound to an address that this host has not.
fn free_bind(socket: &impl AsFd, local: IpAddr, may: bool) -> rustix::io::Result<()> {
    match local {
        IpAddr::V4(_) => sockopt::set_ip_freebind(socket, may),
        IpAddr::V6(_) => sockopt::set_ipv6_freebind(socket, may),
    }
}

impl Client {
    /// Begins to move the connection of a socket, as [`Client::handoff_export`], and reads its bytes.
    ///
    /// # Errors
    ///
    /// As there; the connection goes on as if nothing had been asked.
    pub fn export(
        &mut self,
        fd: RawFd,
        idle_timeout: Option<u64>,
        timeout: Option<u64>,
    ) -> Result<Migrant, Error> {
        let connection = self.handoff_export(fd, idle_timeout, timeout)?;
        let id = connection.id.unwrap_or_default();
        let mut migrant = Migrant {
            connection,
            ..Migrant::default()
        };
        self.read_streams(id, &mut migrant).inspect_err(|_| {
            let _ = self.handoff_abort(id);
        })?;
        Ok(migrant)
    }

    fn read_streams(&mut self, id: u64, migrant: &mut Migrant) -> Result<(), Error> {
        let mut seq = migrant.connection.rcv_start.unwrap_or_default();
        // For whoever reads; it is nothing to the other host.
        let end = migrant.connection.rcv_max.take();
        while end.is_none_or(|end| is_before(seq, end)) {
            let (at, bytes) = self.handoff_read(id, HandoffStream::Received, seq)?;
            if bytes.is_empty() {
                break;
            }
            seq = at.wrapping_add(bytes.len() as u32);
            migrant.received.push(Piece {
                seq: at,
                bytes: Bytes(bytes),
            });
        }
        seq = migrant.connection.snd_una.unwrap_or_default();
        let end = migrant.connection.snd_next.unwrap_or(seq);
        while is_before(seq, end) {
            let (_, bytes) = self.handoff_read(id, HandoffStream::Sent, seq)?;
            if bytes.is_empty() {
                break;
            }
            seq = seq.wrapping_add(bytes.len() as u32);
            migrant.sent.0.extend(bytes);
        }
        Ok(())
    }

    /// Has whoever listens on this host get a connection of another, within `timeout` milliseconds if its bytes take several
    /// messages.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] that says why nobody could have it; nothing of it is left then.
    pub fn import(&mut self, migrant: &Migrant, timeout: Option<u64>) -> Result<(), Error> {
        self.take(migrant, timeout, None).map_err(|not| match not {
            NotReceived::Refused(error) | NotReceived::Lost(error) => error,
        })
    }

    /// Has `listener`, or whoever listens, get a connection: by one request if that holds it, or by several.
    fn take(
        &mut self,
        migrant: &Migrant,
        timeout: Option<u64>,
        listener: Option<RawFd>,
    ) -> Result<(), NotReceived> {
        let taken = if let Some(bytes) = migrant.whole() {
            self.handoff_take(&migrant.connection, bytes, listener)
        } else {
            let id = self
                .handoff_import(&migrant.connection, timeout)
                .map_err(NotReceived::Refused)?;
            if let Err(error) = self.write_streams(id, migrant) {
                let _ = self.handoff_abort(id);
                return Err(NotReceived::Refused(error));
            }
            match listener {
                Some(fd) => self.handoff_commit_to(id, fd),
                None => self.handoff_commit(id, None),
            }
            .inspect_err(|_| {
                let _ = self.handoff_abort(id);
            })
        };
        taken.map_err(|error| match error {
            Error::Kernel { .. } | Error::NotLoaded => NotReceived::Refused(error),
            // The kernel may have done it.
            _ => NotReceived::Lost(error),
        })
    }

    /// Takes a connection of another host for this program. Nobody need listen; whoever does listen does not get it.
    ///
    /// # Errors
    ///
    /// [`NotReceived`], which says whether the other host still has it.
    pub fn import_socket(
        &mut self,
        migrant: &Migrant,
        timeout: Option<u64>,
    ) -> Result<TcpStream, NotReceived> {
        let refused = |error: io::Error| NotReceived::Refused(error.into());
        let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let local = migrant.connection.local.unwrap_or(unspecified);
        let listener = unreachable_listener(local).map_err(refused)?;
        // Keeps a number for the connection's descriptor: it can only be lost after the commit.
        let spare = listener.try_clone().map_err(refused)?;
        self.take(migrant, timeout, Some(listener.as_raw_fd()))?;
        drop(spare);
        let accepted = listener.accept();
        let (stream, _) = accepted.map_err(|error| NotReceived::Lost(error.into()))?;
        let _ = free_bind(&stream, local, false);
        Ok(stream)
    }

    fn write_streams(&mut self, id: u64, migrant: &Migrant) -> Result<(), Error> {
        for piece in &migrant.received {
            self.write(id, HandoffStream::Received, piece.seq, &piece.bytes.0)?;
        }
        let start = migrant.connection.snd_una.unwrap_or_default();
        self.write(id, HandoffStream::Sent, start, &migrant.sent.0)
    }

    fn write(
        &mut self,
        id: u64,
        stream: HandoffStream,
        mut seq: u32,
        bytes: &[u8],
    ) -> Result<(), Error> {
        for chunk in bytes.chunks(PIECE) {
            self.handoff_write(id, stream, seq, &Bytes(chunk.to_vec()))?;
            seq = seq.wrapping_add(chunk.len() as u32);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reaches_the_listener() {
        for local in ["192.0.2.1", "2001:db8::1"] {
            let local = local.parse::<IpAddr>().expect("it is an address");
            let listener = unreachable_listener(local).expect("it needs no address");
            let at = listener.local_addr().expect("it is bound");
            assert_eq!(at.is_ipv4(), local.is_ipv4());
            assert!(!at.ip().is_loopback() && !at.ip().is_unspecified(), "{at}");
            assert_ne!(at.port(), 0);
            let nobody = listener.accept().expect_err("it does not wait");
            assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
        }
    }

    #[test]
    fn what_was_read_comes_first() {
        let mut migrant = Migrant {
            connection: Handoff {
                rcv_start: Some(5),
                ..Handoff::default()
            },
            ..Migrant::default()
        };
        migrant.unread(Vec::new());
        assert_eq!(migrant.connection.rcv_start, Some(5));
        migrant.unread(vec![7; 10]);
        assert_eq!(migrant.connection.rcv_start, Some(0u32.wrapping_sub(5)));
        assert_eq!(migrant.received[0].seq, 0u32.wrapping_sub(5));
        migrant.unread(vec![8; 2]);
        let start = migrant.connection.rcv_start;
        let bytes = Bytes([vec![8; 2], vec![7; 10]].concat());
        assert_eq!(
            (start, migrant.whole()),
            (Some(0u32.wrapping_sub(7)), Some(&bytes))
        );
        let text = serde_json::to_string(&migrant).expect("it can be written");
        assert_eq!(serde_json::from_str::<Migrant>(&text).ok(), Some(migrant));
    }

    #[test]
    fn what_does_not_fit_into_one_message_takes_several() {
        let piece = |seq, len| Piece {
            seq,
            bytes: Bytes(vec![1; len]),
        };
        let of = |received: Vec<Piece>, sent| {
            let mut migrant = Migrant {
                received,
                sent: Bytes(vec![2; sent]),
                ..Migrant::default()
            };
            migrant.connection.rcv_start = Some(7);
            migrant.whole().map(|bytes| bytes.0.len())
        };
        assert_eq!(of(vec![], 0), Some(0));
        assert_eq!(of(vec![piece(7, PIECE)], 0), Some(PIECE));
        assert_eq!(of(vec![piece(7, PIECE + 1)], 0), None);
        assert_eq!(of(vec![piece(7, 1)], 1), None);
        assert_eq!(of(vec![piece(8, 1)], 0), None, "after a gap");
        assert_eq!(of(vec![piece(7, 1), piece(9, 1)], 0), None, "with a gap");
    }
}
