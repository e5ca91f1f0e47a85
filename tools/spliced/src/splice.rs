// SPDX-License-Identifier: GPL-2.0

//! Hands pairs of connections to the kernel.
//!
//! The request blocks for milliseconds (the kernel waits for an RCU grace period), so it is made
//! by a few threads of its own, each with its own netlink socket. A job owns both sockets: nothing
//! that happens to the connection's task can close them under the kernel's hands.

use std::fmt;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

/// A splice that the kernel made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Armed {
    /// The kernel's name for it; `None` if its answer had none.
    pub id: Option<u64>,
    /// Bytes that waited unread in the client's socket and that the kernel sent on.
    pub moved_to_server: Option<u64>,
    /// The same of the server's socket.
    pub moved_to_client: Option<u64>,
}

/// Why there is no splice; both sockets are as they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For people; the kernel's own words where it had any.
    pub reason: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Refusal {}

/// Whoever can make a splice: the kernel, or a test.
pub trait Splicer: Send {
    /// Makes a splice of two connected sockets. May block. `idle` is the time without a packet
    /// after which the splice is cut; `None` means never.
    ///
    /// # Errors
    ///
    /// A refusal leaves both sockets usable.
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        idle: Option<Duration>,
    ) -> Result<Armed, Refusal>;
}

/// Opens a [`Splicer`]; called by each arming thread, and again after a failure.
pub type OpenSplicer = dyn Fn() -> Result<Box<dyn Splicer>, Refusal> + Send + Sync;

struct Job {
    client: TcpStream,
    server: TcpStream,
    idle: Option<Duration>,
    answer: oneshot::Sender<Answer>,
}

/// The sockets come back with a refusal, and only then.
type Answer = Result<Armed, (Refusal, Option<(TcpStream, TcpStream)>)>;

/// The queue of the arming threads.
#[derive(Debug, Clone)]
pub struct Armer {
    jobs: mpsc::Sender<Job>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("client", &self.client)
            .finish_non_exhaustive()
    }
}

/// Warns of refusals without writing a line for each of thousands.
#[derive(Default)]
struct Complaint(Mutex<Option<(String, Instant)>>);

const OPEN_EVERY: Duration = Duration::from_secs(1);
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

impl Complaint {
    fn of(&self, refusal: &Refusal) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let said = last
            .as_ref()
            .is_some_and(|(reason, at)| *reason == refusal.reason && at.elapsed() < COMPLAIN_EVERY);
        if !said {
            tracing::warn!(reason = %refusal, "splice refused; copying in user space instead");
            *last = Some((refusal.reason.clone(), Instant::now()));
        }
    }
}

impl Armer {
    /// Starts `threads` threads; they end when the last clone of the `Armer` is dropped.
    ///
    /// # Errors
    ///
    /// When a thread cannot be started.
    pub fn start(
        threads: usize,
        open: Arc<OpenSplicer>,
    ) -> std::io::Result<(Armer, Vec<JoinHandle<()>>)> {
        // Connections wait for room here, so their own limit bounds the queue.
        let (jobs, queue) = mpsc::channel(threads.saturating_mul(4).max(1));
        let queue = Arc::new(Mutex::new(queue));
        let complaint = Arc::new(Complaint::default());
        let handles = (0..threads)
            .map(|n| {
                let (queue, open, complaint) = (queue.clone(), open.clone(), complaint.clone());
                thread::Builder::new()
                    .name(format!("arm-{n}"))
                    .spawn(move || work(&queue, &*open, &complaint))
            })
            .collect::<Result<_, _>>()?;
        Ok((Armer { jobs }, handles))
    }

    /// Asks for a splice of these sockets, which the caller does not have any more: after success
    /// they are closed, which sends nothing; after a refusal they come back.
    ///
    /// # Errors
    ///
    /// The refusal, with the sockets unless the arming thread was lost.
    pub async fn arm(
        &self,
        client: TcpStream,
        server: TcpStream,
        idle: Option<Duration>,
    ) -> Result<Armed, (Refusal, Option<(TcpStream, TcpStream)>)> {
        let (answer, answered) = oneshot::channel();
        if let Err(back) = self
            .jobs
            .send(Job {
                client,
                server,
                idle,
                answer,
            })
            .await
        {
            let refusal = Refusal {
                reason: "no arming thread is left".into(),
            };
            return Err((refusal, Some((back.0.client, back.0.server))));
        }
        answered.await.unwrap_or_else(|_| {
            Err((
                Refusal {
                    reason: "the arming thread was lost".into(),
                },
                None,
            ))
        })
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>, open: &OpenSplicer, complaint: &Complaint) {
    let mut splicer = None;
    let mut closed = None;
    loop {
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .blocking_recv();
        let Some(Job {
            client,
            server,
            idle,
            answer,
        }) = next
        else {
            return;
        };
        if answer.is_closed() {
            continue; // The connection was given up while it waited.
        }
        let result = opened(&mut splicer, &mut closed, open)
            .and_then(|splicer| splicer.splice(client.as_fd(), server.as_fd(), idle));
        // A lost receiver means that the connection was given up: the sockets close.
        let _ = answer.send(match result {
            Ok(armed) => {
                drop((client, server));
                Ok(armed)
            }
            Err(refusal) => {
                complaint.of(&refusal);
                // A fresh netlink socket next time: the module may have been loaded anew.
                splicer = None;
                Err((refusal, Some((client, server))))
            }
        });
    }
}

/// The splicer, opened if need be. After a failure it is not tried again for a while: the kernel
/// starts modprobe for a family that it does not know, which costs more than a connection.
fn opened<'s>(
    splicer: &'s mut Option<Box<dyn Splicer>>,
    closed: &mut Option<(Refusal, Instant)>,
    open: &OpenSplicer,
) -> Result<&'s mut Box<dyn Splicer>, Refusal> {
    match splicer {
        Some(splicer) => Ok(splicer),
        None => match closed {
            Some((refusal, at)) if at.elapsed() < OPEN_EVERY => Err(refusal.clone()),
            _ => match open() {
                Ok(new) => Ok(splicer.insert(new)),
                Err(refusal) => {
                    *closed = Some((refusal.clone(), Instant::now()));
                    Err(refusal)
                }
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn an_unreachable_kernel_is_not_asked_for_each_connection() {
        let tries = Arc::new(AtomicUsize::new(0));
        let counted = tries.clone();
        let open: Arc<OpenSplicer> = Arc::new(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Err(Refusal {
                reason: "no".into(),
            })
        });
        let (armer, threads) = Armer::start(1, open).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let arm = || {
            let (refusal, back) = runtime
                .block_on(armer.arm(connect(), connect(), None))
                .unwrap_err();
            assert!(refusal.reason == "no" && back.is_some());
        };
        let start = Instant::now();
        (0..10).for_each(|_| arm());
        // Unless the machine was stopped for a while.
        assert!(tries.load(Ordering::Relaxed) == 1 || start.elapsed() > OPEN_EVERY);
        thread::sleep(OPEN_EVERY);
        arm();
        assert!(tries.load(Ordering::Relaxed) >= 2);
        drop(armer);
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    }
}
