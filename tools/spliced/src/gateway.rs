// SPDX-License-Identifier: GPL-2.0

//! The TCP gateway: copies both ways in user space.
//!
//! It behaves as a splice does, seen from outside: a FIN in one direction closes that direction
//! only, a RST of one end becomes a RST to the other (a stream that was cut must not look
//! complete), and an idle connection is cut with RSTs.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
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

async fn carry(
    mut from: ReadHalf<'_>,
    mut to: WriteHalf<'_>,
    carried: &AtomicU64,
    shared: &Shared,
) -> Result<(), Broken> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let n = from.read(&mut buffer).await.map_err(|_| Broken::Read)?;
        shared.touch();
        let mut rest = buffer.get(..n).unwrap_or_default();
        if rest.is_empty() {
            return match to.shutdown().await {
                Err(e) if e.kind() != io::ErrorKind::NotConnected => Err(Broken::Write),
                _ => Ok(()),
            };
        }
        while !rest.is_empty() {
            let written = to.write(rest).await.map_err(|_| Broken::Write)?;
            rest = rest.get(written..).unwrap_or_default();
            carried.fetch_add(written as u64, Ordering::Relaxed);
            shared.touch();
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
    let mut end = End::Closed;
    {
        let (client_read, client_write) = client.split();
        let (server_read, server_write) = server.split();
        let mut to_server = pin!(carry(client_read, server_write, &up, &shared));
        let mut to_client = pin!(carry(server_read, client_write, &down, &shared));
        let mut idle = pin!(shared.idle(idle));
        let mut cut = pin!(cut);
        let (mut up_open, mut down_open) = (true, true);
        while up_open || down_open {
            tokio::select! {
                done = &mut to_server, if up_open => {
                    up_open = false;
                    match done {
                        Ok(()) => {}
                        Err(Broken::Read) => { end = End::ClientReset; break }
                        // The server reads no more, but what it said before may be an answer:
                        // let the other direction find its end.
                        Err(Broken::Write) => end = End::ServerReset,
                    }
                }
                done = &mut to_client, if down_open => {
                    down_open = false;
                    match done {
                        Ok(()) => {}
                        Err(Broken::Read) => { end = End::ServerReset; break }
                        Err(Broken::Write) => end = End::ClientReset,
                    }
                }
                () = &mut idle => { end = End::Idle; break }
                () = &mut cut => { end = End::Cut; break }
            }
            // A client that cannot be written to waits for nothing any more.
            if end == End::ClientReset {
                break;
            }
        }
        if end == End::ServerReset && !up_open && !down_open {
            // The server's last words reached the client's socket; they must survive.
            end = End::Closed;
        }
    }
    let carried = Carried {
        to_server: up.load(Ordering::Relaxed),
        to_client: down.load(Ordering::Relaxed),
        end,
    };
    match end {
        End::Closed => linger::close_softly(client).await,
        _ => {
            linger::abort(client);
            linger::abort(server);
        }
    }
    carried
}
