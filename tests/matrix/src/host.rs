// SPDX-License-Identifier: GPL-2.0

//! An end host: sends its stream, and compares what it gets with the other end's, byte by byte.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::io::Errno;
use socket2::{SockRef, TcpKeepalive};

use crate::random::Stream;

/// One end of the connection.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    /// `None` once it was reset from here.
    pub(crate) stream: Option<TcpStream>,
    pub(crate) out: Stream,
    pub(crate) sent: u64,
    /// Bytes that it has to send; later perhaps more.
    pub(crate) total: u64,
    /// It must not send more than that now.
    pub(crate) release: u64,
    pub(crate) expected: Stream,
    pub(crate) received: u64,
    pub(crate) reading: bool,
    /// It may send its FIN when all is sent.
    pub(crate) may_close: bool,
    pub(crate) closed: bool,
    pub(crate) eof: bool,
    /// The connection was reset by the other end.
    pub(crate) reset: bool,
    pub(crate) chunk: usize,
    pub(crate) writes: u32,
}

/// Read and written at most at a time.
pub(crate) const PIECE: usize = 65536;

impl Host {
    /// Sends and receives what can be now. Says whether there was anything.
    pub(crate) fn pump(&mut self, buf: &mut [u8]) -> Result<bool, String> {
        let mut progress = false;
        let Some(stream) = &self.stream else {
            return Ok(false);
        };
        let mut stream: &TcpStream = stream;
        let top = self.total.min(self.release);
        // A few small writes, then as many bytes as go in.
        for _ in 0..4 {
            if self.sent >= top || self.reset {
                break;
            }
            let piece = if self.writes < 50 { self.chunk } else { PIECE };
            let n = (top - self.sent).min(piece as u64) as usize;
            self.out.fill(self.sent, &mut buf[..n]);
            match stream.write(&buf[..n]) {
                Ok(n) => {
                    self.sent += n as u64;
                    self.writes += 1;
                    progress = true;
                }
                Err(e) => {
                    self.reset |= is_reset(self.name, "write", &e)?;
                    progress |= self.reset;
                    break;
                }
            }
        }
        if self.may_close && !self.closed && self.sent == self.total && !self.reset {
            match stream.shutdown(Shutdown::Write) {
                Ok(()) => {
                    self.closed = true;
                    progress = true;
                }
                // It was reset; reading will tell.
                Err(e) if e.kind() == ErrorKind::NotConnected => {}
                Err(e) => return Err(format!("{}: shutdown: {e}", self.name)),
            }
        }
        for _ in 0..4 {
            if !self.reading || self.eof || self.reset {
                break;
            }
            match stream.read(&mut buf[..PIECE]) {
                Ok(0) => {
                    self.eof = true;
                    progress = true;
                }
                Ok(n) => {
                    if let Some(at) = self.expected.first_difference(self.received, &buf[..n]) {
                        return Err(format!(
                            "{} got a wrong byte at {at} (read {n} from {})",
                            self.name, self.received
                        ));
                    }
                    self.received += n as u64;
                    progress = true;
                }
                Err(e) => {
                    self.reset |= is_reset(self.name, "read", &e)?;
                    progress |= self.reset;
                    break;
                }
            }
        }
        Ok(progress)
    }

    /// Sends one byte more than it has to, or, if it has closed, a keep-alive probe, so that somebody who is gone says so.
    pub(crate) fn poke(&mut self) -> Result<(), String> {
        if !self.closed {
            self.total = self.sent + 1;
            self.release = u64::MAX;
            self.pump(&mut [0; PIECE])?;
        } else if let Some(stream) = &self.stream {
            // It has nothing to say any more.
            let each = Duration::from_secs(1);
            let asks = TcpKeepalive::new().with_time(each).with_interval(each);
            let asked = SockRef::from(stream).set_tcp_keepalive(&asks);
            asked.map_err(|e| format!("{}: keep-alive: {e}", self.name))?;
        }
        Ok(())
    }

    /// Resets the connection.
    pub(crate) fn abort(&mut self) {
        if let Some(stream) = self.stream.take() {
            abort(stream);
        }
    }

    /// Whether it has sent and received all, FINs included.
    pub(crate) fn is_done(&self) -> bool {
        self.closed && self.eof && self.sent == self.total
    }

    /// Where it stands, for a report.
    pub(crate) fn stand(&self) -> String {
        format!(
            "{}: sent {} of {}, received {}{}{}{}",
            self.name,
            self.sent,
            self.total,
            self.received,
            if self.closed { ", closed" } else { "" },
            if self.eof { ", end of file" } else { "" },
            if self.reset { ", reset" } else { "" }
        )
    }
}

/// Whether an error of a socket says that the other end reset the connection.
///
/// # Errors
///
/// One that says anything else but that it is not the time yet.
pub(crate) fn is_reset(name: &str, what: &str, e: &std::io::Error) -> Result<bool, String> {
    match Errno::from_io_error(e) {
        Some(Errno::AGAIN | Errno::INTR | Errno::INPROGRESS | Errno::NOTCONN) => Ok(false),
        Some(Errno::CONNRESET | Errno::PIPE) => Ok(true),
        _ => Err(format!("{name}: {what}: {e}")),
    }
}

/// Closes with a RST.
pub(crate) fn abort(stream: TcpStream) {
    // A close with time-out 0 sends a RST.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}
