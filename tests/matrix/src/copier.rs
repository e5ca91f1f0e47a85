// SPDX-License-Identifier: GPL-2.0

//! The proxy: copies between two sockets, and keeps nothing that it has read.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use crate::host::{PIECE, is_reset};
use crate::random::Stream;

/// The proxy's two sockets. The index of a direction is that of the side its bytes come from.
pub(crate) struct Copier {
    pub(crate) legs: [Option<TcpStream>; 2],
    pub(crate) streams: [Stream; 2],
    /// Bytes that left for the other side, by whatever way.
    pub(crate) copied: [u64; 2],
    /// It does not copy more than that.
    pub(crate) limit: [u64; 2],
    /// The end of the direction was passed on.
    pub(crate) ended: [bool; 2],
    /// That side was reset.
    pub(crate) reset: [bool; 2],
}

impl Copier {
    fn failed(
        reset: &mut bool,
        side: usize,
        what: &str,
        e: &std::io::Error,
    ) -> Result<bool, String> {
        let was = *reset;
        *reset |= is_reset(&format!("the proxy's socket {side}"), what, e)?;
        Ok(*reset != was)
    }

    /// Copies what can be copied now.
    pub(crate) fn pump(&mut self, buf: &mut [u8]) -> Result<bool, String> {
        let mut progress = false;
        for from in 0..2 {
            for _ in 0..4 {
                if self.ended[from] || self.reset != [false; 2] || !self.step(from, buf)? {
                    break;
                }
                progress = true;
            }
        }
        Ok(progress)
    }

    /// One piece of one direction. What the other side does not take stays in the socket.
    fn step(&mut self, from: usize, buf: &mut [u8]) -> Result<bool, String> {
        let room = self.limit[from].saturating_sub(self.copied[from]);
        let (Some(source), Some(sink)) = (&self.legs[from], &self.legs[1 - from]) else {
            return Ok(false);
        };
        let (mut source, mut sink): (&TcpStream, &TcpStream) = (source, sink);
        if room == 0 {
            return Ok(false);
        }
        let want = room.min(PIECE as u64) as usize;
        let n = match source.peek(&mut buf[..want]) {
            Ok(0) => {
                sink.shutdown(Shutdown::Write)
                    .map_err(|e| format!("the proxy's socket {}: shutdown: {e}", 1 - from))?;
                self.ended[from] = true;
                return Ok(true);
            }
            Ok(n) => n,
            Err(e) => return Self::failed(&mut self.reset[from], from, "peek", &e),
        };
        if let Some(at) = self.streams[from].first_difference(self.copied[from], &buf[..n]) {
            return Err(format!(
                "the proxy read a wrong byte at {at} from side {from} (read {n} from {})",
                self.copied[from]
            ));
        }
        let n = match sink.write(&buf[..n]) {
            Ok(n) => n,
            Err(e) => return Self::failed(&mut self.reset[1 - from], 1 - from, "write", &e),
        };
        source
            .read_exact(&mut buf[..n])
            .map_err(|e| format!("the proxy's socket {from}: read: {e}"))?;
        self.copied[from] += n as u64;
        Ok(true)
    }
}
