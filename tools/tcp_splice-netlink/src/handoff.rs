// SPDX-License-Identifier: GPL-2.0

//! A connection that moves from host to host, with its bytes.

use crate::bytes::Bytes;
use crate::client::Client;
use crate::error::Error;
use crate::generated::{Handoff, HandoffStream};
use serde::{Deserialize, Serialize};
use std::os::fd::RawFd;

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
        let start = start.wrapping_sub(bytes.len() as u32);
        self.connection.rcv_start = Some(start);
        let bytes = Bytes(bytes);
        self.received.insert(0, Piece { seq: start, bytes });
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
        loop {
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
        loop {
            let (_, bytes) = self.handoff_read(id, HandoffStream::Sent, seq)?;
            if bytes.is_empty() {
                return Ok(());
            }
            seq = seq.wrapping_add(bytes.len() as u32);
            migrant.sent.0.extend(bytes);
        }
    }

    /// Has whoever listens on this host get a connection of another.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] that says why nobody could have it; nothing of it is left then.
    pub fn import(&mut self, migrant: &Migrant, timeout: Option<u64>) -> Result<(), Error> {
        let id = self.handoff_import(&migrant.connection, timeout)?;
        self.write_streams(id, migrant).inspect_err(|_| {
            let _ = self.handoff_abort(id);
        })?;
        self.handoff_commit(id, None)
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
        let text = serde_json::to_string(&migrant).expect("it can be written");
        assert_eq!(serde_json::from_str::<Migrant>(&text).ok(), Some(migrant));
    }
}
