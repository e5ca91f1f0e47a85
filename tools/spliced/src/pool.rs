// SPDX-License-Identifier: GPL-2.0

//! Pools of backends, and how a request gets a connection to one of them.
//!
//! Connections are shared by all clients of a pool, whatever their segment size: the kernel cuts what
//! is too large for one of them.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::backend::{Backend, Idling};

/// Which backend is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The first of the list; the others only when it cannot be reached.
    Order,
}

/// A named set of backends that answer the same.
#[derive(Debug)]
pub struct Pool {
    /// Name in logs.
    pub name: String,
    backends: Vec<Arc<Backend>>,
    policy: Policy,
    turn: AtomicUsize,
}

/// A backend that did not accept the connection.
#[derive(Debug)]
pub struct Failure {
    /// The backend.
    pub address: SocketAddr,
    /// Why; `TimedOut` when the time was over.
    pub error: io::Error,
}

/// A connection to a backend.
#[derive(Debug)]
pub struct Connected {
    /// It.
    pub stream: TcpStream,
    /// Whose it is, to give it back to.
    pub backend: Arc<Backend>,
    /// Whether it waited in the pool: then the backend may have closed it meanwhile.
    pub reused: bool,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One exchange that can be repeated: any that waits will do.
    Repeatable,
    /// One exchange that cannot be repeated.
    Once,
    /// All that this client and the backend still have to say. The largest segment that the client
    /// takes is offered to the backend, so that the kernel need not cut any.
    Whole {
        /// As the socket toward the client tells it.
        mss: Option<u32>,
    },
}

impl Pool {
    /// A pool of these addresses.
    pub fn new(name: String, addresses: Vec<SocketAddr>, policy: Policy, idling: Idling) -> Self {
        let backend = |address| Arc::new(Backend::new(address, idling));
        Pool {
            name,
            backends: addresses.into_iter().map(backend).collect(),
            policy,
            turn: AtomicUsize::new(0),
        }
    }

    /// Whether connections are opened before there are requests for them.
    pub fn opens_ahead(&self) -> bool {
        self.backends.iter().any(|backend| backend.idling.min > 0)
    }

    /// All its backends.
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The backends in the order in which this request tries them: those that are down last, since
    /// a request that nobody else can take is as good a probe as any.
    fn candidates(&self) -> Vec<&Arc<Backend>> {
        let first = match self.policy {
            Policy::Order => 0,
            Policy::RoundRobin => {
                self.turn.fetch_add(1, Ordering::Relaxed) % self.backends.len().max(1)
            }
        };
        let (before, from) = self.backends.split_at(first.min(self.backends.len()));
        let (down, up): (Vec<_>, Vec<_>) = from
            .iter()
            .chain(before)
            .partition(|backend| backend.down());
        if up.is_empty() { down } else { up }
    }

    /// The backend whose turn it is, for a connection that nobody opens.
    pub fn next(&self) -> Option<SocketAddr> {
        self.candidates().first().map(|backend| backend.address)
    }

    /// A connection to the first backend that has or accepts one; `each` is the time that one
    /// attempt may take.
    ///
    /// Failed attempts are added to `failures`; `None` when every backend failed.
    pub async fn connect(
        &self,
        purpose: Purpose,
        each: Duration,
        failures: &mut Vec<Failure>,
    ) -> Option<Connected> {
        let mut tried: Vec<SocketAddr> = Vec::new();
        // The second time for those that were down the first, should all others have failed.
        for _ in 0..2 {
            for backend in self.candidates() {
                if tried.contains(&backend.address) {
                    continue;
                }
                if purpose == Purpose::Repeatable {
                    let waiting = backend.take().map(TcpStream::from_std);
                    if let Some(Ok(stream)) = waiting {
                        return Some(Connected {
                            stream,
                            backend: backend.clone(),
                            reused: true,
                        });
                    }
                }
                tried.push(backend.address);
                let mss = match purpose {
                    Purpose::Whole { mss } => mss,
                    _ => None,
                };
                match open(backend.address, mss, each).await {
                    Ok(stream) => {
                        backend.reached();
                        return Some(Connected {
                            stream,
                            backend: backend.clone(),
                            reused: false,
                        });
                    }
                    Err(error) => {
                        // Of the machine, not of the backend.
                        if !local(&error) {
                            backend.failed();
                        }
                        failures.push(Failure {
                            address: backend.address,
                            error,
                        });
                    }
                }
            }
        }
        None
    }

    /// A fresh connection to one of its backends.
    ///
    /// # Errors
    ///
    /// Those of connect(2), and `TimedOut`.
    pub async fn reconnect(&self, backend: &Arc<Backend>, each: Duration) -> io::Result<Connected> {
        let stream = open(backend.address, None, each)
            .await
            .inspect_err(|_| backend.failed())?;
        backend.reached();
        Ok(Connected {
            stream,
            backend: backend.clone(),
            reused: false,
        })
    }
}

/// Whether this host lacks something.
fn local(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    const ENOMEM: i32 = 12;
    const ENOBUFS: i32 = 105;
    const EADDRNOTAVAIL: i32 = 99;
    matches!(
        error.raw_os_error(),
        Some(EMFILE | ENFILE | ENOMEM | ENOBUFS | EADDRNOTAVAIL)
    )
}

/// Connects, offering segments of at most `mss` bytes if it is given.
pub(crate) async fn open(
    address: SocketAddr,
    mss: Option<u32>,
    within: Duration,
) -> io::Result<TcpStream> {
    /// What setsockopt(TCP_MAXSEG) takes.
    const MSS: std::ops::RangeInclusive<u32> = 88..=32767;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    if let Some(mss) = mss.filter(|mss| MSS.contains(mss)) {
        // A path that cannot be told so is no reason to fail.
        let _ = socket.set_tcp_mss(mss);
    }
    let socket = TcpSocket::from_std_stream(socket.into());
    let stream = timeout(within, socket.connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The largest payload that a peer takes, options of every segment not counted.
pub(crate) fn mss(stream: &TcpStream) -> Option<u32> {
    /// Of timestamps, which the kernel has taken off already.
    const TIMESTAMPS: u32 = 12;
    let mss = SockRef::from(stream).tcp_mss().ok()?;
    // Too large by the options is cut by the kernel; too small would cost every segment.
    mss.checked_add(TIMESTAMPS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLING: Idling = Idling {
        min: 0,
        max: 0,
        timeout: Duration::ZERO,
    };

    fn pool(policy: Policy) -> Pool {
        let addresses = (1..=3)
            .map(|n| SocketAddr::from(([127, 0, 0, n], 80)))
            .collect();
        Pool::new("p".into(), addresses, policy, IDLING)
    }

    fn turn(pool: &Pool) -> String {
        let last = |b: &Arc<Backend>| b.address.ip().to_string().pop().unwrap_or_default();
        pool.candidates().into_iter().map(last).collect()
    }

    #[test]
    fn round_robin_starts_at_each_in_turn() {
        let pool = pool(Policy::RoundRobin);
        assert_eq!(
            [turn(&pool), turn(&pool), turn(&pool), turn(&pool)],
            ["123", "231", "312", "123"]
        );
    }

    #[test]
    fn order_always_starts_at_the_first() {
        let pool = pool(Policy::Order);
        assert_eq!([turn(&pool), turn(&pool)], ["123", "123"]);
    }

    #[test]
    fn those_that_are_down_are_left_out_unless_all_are() {
        let pool = pool(Policy::Order);
        pool.backends[0].failed();
        assert_eq!(turn(&pool), "23");
        pool.backends[1].failed();
        pool.backends[2].failed();
        assert_eq!(turn(&pool), "123");
        pool.backends[1].reached();
        assert_eq!(turn(&pool), "2");
    }

    #[test]
    fn an_empty_pool_has_no_candidate() {
        let pool = Pool::new("p".into(), vec![], Policy::RoundRobin, IDLING);
        assert_eq!(turn(&pool), "");
    }

    #[tokio::test]
    async fn all_are_tried_before_a_request_fails() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let alive = listener.local_addr().unwrap();
        let dead = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let pool = Pool::new("p".into(), vec![dead, alive], Policy::Order, IDLING);
        // The one that works is taken for down.
        pool.backends[1].failed();
        let mut failures = Vec::new();
        let connected = pool
            .connect(Purpose::Once, Duration::from_secs(5), &mut failures)
            .await
            .unwrap();
        assert_eq!((connected.backend.address, failures.len()), (alive, 1));
        assert!(pool.backends[0].down() && !pool.backends[1].down());
    }
}
