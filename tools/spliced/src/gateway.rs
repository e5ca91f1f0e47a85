// SPDX-License-Identifier: GPL-2.0

//! The TCP gateway: copies both ways in user space.
//!
//! It behaves as a splice does, seen from outside: a FIN in one direction closes that direction
//! only, a RST of one end becomes a RST to the other (a stream that was cut must not look
//! complete), and an idle connection is cut with RSTs.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep_until};

use crate::linger;

/// Bytes held for each direction.
const BUFFER: usize = 32 * 1024;

/// How a connection through the gateway ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Both directions with a FIN.
    Closed,
    /// The client reset it or could not be reached any more.
    ClientReset,
    /// The server reset it or could not be reached any more.
    ServerReset,
    /// No byte for longer than the idle time-out.
    Idle,
    /// The proxy is stopping and the drain time is over.
    Cut,
}

impl End {
    /// Word for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            End::Closed => "closed",
            End::ClientReset => "client-reset",
            End::ServerReset => "server-reset",
            End::Idle => "idle",
            End::Cut => "cut",
        }
    }
}

/// Bytes that passed through user space, and the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Carried {
    /// From the client to the server.
    pub to_server: u64,
    /// From the server to the client.
    pub to_client: u64,
    /// How it ended.
    pub end: End,
}

/// What both directions see.
struct Shared {
    start: Instant,
    /// Milliseconds from `start` to the last byte.
    last: AtomicU64,
}

impl Shared {
    fn touch(&self) {
        let since = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.start + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    /// Ready once no byte has moved for `idle`.
    async fn idle(&self, idle: Option<Duration>) {
        let Some(idle) = idle else {
            return std::future::pending().await;
        };
        loop {
            let deadline = self.last() + idle;
            if deadline <= Instant::now() {
                return;
            }
            sleep_until(deadline).await;
        }
    }
}

/// Why a direction stopped other than by FIN.
enum Broken {
    Read,
    Write,
}

/// The receiving half of one end, the sending half of the other, and whether these were reset.
///
/// A socket tells of its reset once: if a write is told, the next read finds an ordinary end of
/// file. So the write leaves word for it.
struct Direction<'s> {
    from: ReadHalf<'s>,
    from_reset: &'s AtomicBool,
    to: WriteHalf<'s>,
    to_reset: &'s AtomicBool,
    carried: &'s AtomicU64,
    shared: &'s Shared,
}

impl Direction<'_> {
    async fn carry(mut self) -> Result<(), Broken> {
        let mut buffer = vec![0; BUFFER];
        loop {
            let n = self
                .from
                .read(&mut buffer)
                .await
                .map_err(|_| Broken::Read)?;
            self.shared.touch();
            let mut rest = buffer.get(..n).unwrap_or_default();
            if rest.is_empty() {
                if self.from_reset.load(Ordering::Relaxed) {
                    return Err(Broken::Read);
                }
                // Of a socket that is gone already the other direction will tell.
                let _ = self.to.shutdown().await;
                return Ok(());
            }
            while !rest.is_empty() {
                let written = self.to.write(rest).await.map_err(|error| {
                    // EPIPE: its FIN came first, so what it had to say was complete.
                    let complete = error.kind() == io::ErrorKind::BrokenPipe;
                    self.to_reset.store(!complete, Ordering::Relaxed);
                    Broken::Write
                })?;
                rest = rest.get(written..).unwrap_or_default();
                self.carried.fetch_add(written as u64, Ordering::Relaxed);
                self.shared.touch();
            }
        }
    }
}

/// Copies until both directions have ended, or until `cut` is ready. Closes both.
pub async fn run(
    mut client: TcpStream,
    mut server: TcpStream,
    idle: Option<Duration>,
    cut: impl Future<Output = ()>,
) -> Carried {
    let shared = Shared {
        start: Instant::now(),
        last: AtomicU64::new(0),
    };
    let (up, down) = (AtomicU64::new(0), AtomicU64::new(0));
    let (client_reset, server_reset) = (AtomicBool::new(false), AtomicBool::new(false));
    let end = {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let to_server = Direction {
            from: client_read,
            from_reset: &client_reset,
            to: server_write,
            to_reset: &server_reset,
            carried: &up,
            shared: &shared,
        };
        let to_client = Direction {
            from: server_read,
            from_reset: &server_reset,
            to: client_write,
            to_reset: &client_reset,
            carried: &down,
            shared: &shared,
        };
        let mut to_server = pin!(to_server.carry());
        let mut to_client = pin!(to_client.carry());
        let mut idle = pin!(shared.idle(idle));
        let mut cut = pin!(cut);
        let (mut up_open, mut down_open) = (true, true);
        loop {
            // An end that cannot be written to may have answered before: the other direction goes
            // on until it finds out how that ended.
            tokio::select! {
                done = &mut to_server, if up_open => match done {
                    Ok(()) | Err(Broken::Write) => up_open = false,
                    Err(Broken::Read) => break End::ClientReset,
                },
                done = &mut to_client, if down_open => match done {
                    Ok(()) | Err(Broken::Write) => down_open = false,
                    Err(Broken::Read) => break End::ServerReset,
                },
                () = &mut idle => break End::Idle,
                () = &mut cut => break End::Cut,
            }
            if !up_open && !down_open {
                break End::Closed;
            }
        }
    };
    let carried = Carried {
        to_server: up.load(Ordering::Relaxed),
        to_client: down.load(Ordering::Relaxed),
        end,
    };
    match end {
        End::Closed => linger::close_softly(client).await,
        End::ClientReset => {
            linger::abort(client);
            linger::deliver_and_abort(server).await;
        }
        End::ServerReset => {
            linger::abort(server);
            linger::deliver_and_abort(client).await;
        }
        End::Idle | End::Cut => {
            linger::abort(client);
            linger::abort(server);
        }
    }
    carried
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::{Shutdown, TcpListener};
    use std::thread;

    /// A connection over loopback whose first end has small buffers: the far end, and the proxy's.
    fn pair() -> (std::net::TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let far = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        far.set_recv_buffer_size(4096).unwrap();
        far.connect(&listener.local_addr().unwrap().into()).unwrap();
        let (near, _) = listener.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        (far.into(), near)
    }

    #[test]
    fn an_answer_survives_that_the_server_reads_no_more() {
        const LENGTH: usize = 60_000;
        let (mut client, near_client) = pair();
        let (mut server, near_server) = pair();
        // So that most of the answer waits in the proxy's other socket.
        socket2::SockRef::from(&near_client)
            .set_send_buffer_size(4096)
            .unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let proxy = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let client = TcpStream::from_std(near_client).unwrap();
                let server = TcpStream::from_std(near_server).unwrap();
                run(client, server, None, std::future::pending()).await
            })
        });
        client.write_all(b"upload").unwrap();
        server.write_all(&[b'a'; LENGTH]).unwrap();
        server.shutdown(Shutdown::Write).unwrap();
        thread::sleep(Duration::from_millis(100));
        // With bytes unread, which makes it a RST.
        drop(server);
        thread::sleep(Duration::from_millis(100));
        client.write_all(b"more").unwrap();
        thread::sleep(Duration::from_millis(100));
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer.len(), LENGTH);
        drop(client);
        let carried = proxy.join().unwrap();
        assert_eq!(
            (carried.to_client, carried.end),
            (LENGTH as u64, End::Closed)
        );
    }
}
