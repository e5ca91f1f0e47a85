// SPDX-License-Identifier: GPL-2.0

//! Hands pairs of connections to the kernel.
//!
//! The request blocks for milliseconds (the kernel waits for an RCU grace period), so it is made
//! by a few threads of its own, each with its own netlink socket. A job owns both sockets: nothing
//! that happens to the connection's task can close them under the kernel's hands.

use std::fmt;
use std::net::{IpAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tcp_splice_netlink::{Migrant, NodeOutput};
use tokio::sync::{mpsc, oneshot};

use crate::returns::{Returns, Watch};

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

/// How many bytes a splice carries before the sockets come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of the client's stream, from the first that was not read.
    pub to_server: u64,
    /// Of the server's.
    pub to_client: u64,
}

/// What is asked of the kernel besides the two sockets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terms {
    /// Time without a packet after which the ends are probed; `None` means never.
    pub idle: Option<Duration>,
    /// `None` carries all there is, and the sockets do not come back.
    pub limits: Option<Limits>,
}

/// Where packets of a connection go that has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// How they get there.
    pub output: NodeOutput,
    /// The host.
    pub via: IpAddr,
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

/// What a request for a splice came to, other than a splice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// There is none, and both sockets are as they were.
    Refused(Refusal),
    /// There may be one: the request was made, and neither its answer nor the list of splices could
    /// be had. The sockets are good for nothing but closing.
    Unknown(Refusal),
}

/// How a splice ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub id: u64,
    /// Whether both sockets are usable again, at the byte where it stopped.
    pub returned: bool,
    /// The kernel's word for why it ended.
    pub reason: String,
    /// Bytes of the client's stream that went to the server.
    pub to_server: u64,
    /// Bytes of the server's stream that went to the client.
    pub to_client: u64,
}

/// What is heard of splices, all of the network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// One ended.
    Ended(Ended),
    /// More was said than could be heard.
    Lost,
}

/// Hears of splices that end, from the moment it was made.
pub trait Ends: Send {
    /// Waits, but not longer than `within`.
    ///
    /// # Errors
    ///
    /// When nothing will be heard any more.
    fn next(&mut self, within: Duration) -> Result<Option<Told>, Refusal>;
}

/// Whoever can make a splice: the kernel, or a test.
pub trait Splicer: Send {
    /// Makes a splice of two connected sockets. May block.
    ///
    /// # Errors
    ///
    /// A refusal leaves both sockets usable.
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        terms: &Terms,
    ) -> Result<Armed, Failure>;

    /// Begins to move a connection to another host: it does nothing until that is settled, or for so long. May block.
    ///
    /// # Errors
    ///
    /// A refusal leaves the socket usable.
    fn export(
        &mut self,
        _client: BorrowedFd<'_>,
        _idle: Option<Duration>,
        _within: Duration,
    ) -> Result<(u64, Migrant), Failure> {
        Err(Failure::Refused(Refusal {
            reason: "connections cannot move from here".into(),
        }))
    }

    /// A connection that was about to move has another host now, or stays. May block.
    ///
    /// # Errors
    ///
    /// When it is not about to move any more; its socket is good for nothing but closing.
    fn settle(&mut self, id: u64, _to: Option<Hop>) -> Result<(), Refusal> {
        Err(Refusal {
            reason: format!("no connection {id} is about to move"),
        })
    }

    /// How the splice of this id ended; `None` while it has not.
    ///
    /// # Errors
    ///
    /// When nothing is known of it.
    fn ended(&mut self, id: u64) -> Result<Option<Ended>, Refusal>;

    /// Hears of ends from now on.
    ///
    /// # Errors
    ///
    /// When that is not possible; splices with limits are not made then.
    fn subscribe(&mut self) -> Result<Box<dyn Ends>, Refusal>;

    /// A number that changes when earlier subscriptions fall silent: the module was loaded anew.
    fn generation(&self) -> u64 {
        0
    }
}

/// Opens a [`Splicer`]; called by each arming thread, and again after a failure.
pub type OpenSplicer = dyn Fn() -> Result<Box<dyn Splicer>, Refusal> + Send + Sync;

enum Job {
    Splice {
        client: TcpStream,
        server: TcpStream,
        terms: Terms,
        answer: oneshot::Sender<Outcome>,
    },
    Export {
        client: TcpStream,
        idle: Option<Duration>,
        within: Duration,
        answer: oneshot::Sender<Exported>,
    },
    Settle {
        id: u64,
        to: Option<Hop>,
        client: TcpStream,
        answer: oneshot::Sender<(Result<(), Refusal>, TcpStream)>,
    },
    Look {
        id: u64,
        answer: oneshot::Sender<Result<Option<Ended>, Refusal>>,
    },
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// There is a splice. With limits both sockets are here, not to be touched until they return;
    /// without, they are closed, which sends nothing.
    Armed(Armed, Option<Waiting>),
    /// There is none.
    Refused(Refusal, TcpStream, TcpStream),
    /// Nobody knows, and the sockets are closed.
    Unknown(Refusal),
}

/// What became of a connection that was to be moved.
#[derive(Debug)]
pub enum Exported {
    /// It is about to move, under this name. Its socket does nothing until that is settled.
    Moving(u64, Box<Migrant>, TcpStream),
    /// It is as it was.
    Refused(Refusal, TcpStream),
    /// Nobody knows, and the socket is closed.
    Unknown(Refusal),
}

/// Two sockets that the kernel will give back.
#[derive(Debug)]
pub struct Waiting {
    /// The socket toward the client.
    pub client: TcpStream,
    /// The socket toward the server.
    pub server: TcpStream,
    /// Where the end is heard of.
    pub end: Watch,
}

/// The queue of the arming threads.
#[derive(Debug, Clone)]
pub struct Armer {
    jobs: mpsc::Sender<Job>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
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
        let returns = Returns::default();
        let handles = (0..threads)
            .map(|n| {
                let mut thread = Arming {
                    open: open.clone(),
                    complaint: complaint.clone(),
                    returns: returns.clone(),
                    splicer: None,
                    closed: None,
                };
                let queue = queue.clone();
                thread::Builder::new()
                    .name(format!("arm-{n}"))
                    .spawn(move || thread.work(&queue))
            })
            .collect::<Result<_, _>>()?;
        Ok((Armer { jobs }, handles))
    }

    /// Asks for a splice of these sockets, which the caller does not have any more.
    pub async fn arm(&self, client: TcpStream, server: TcpStream, terms: Terms) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let refusal = |reason: &str| Refusal {
            reason: reason.into(),
        };
        let job = Job::Splice {
            client,
            server,
            terms,
            answer,
        };
        match self.jobs.send(job).await {
            Ok(()) => answered
                .await
                .unwrap_or_else(|_| Outcome::Unknown(refusal("the arming thread was lost"))),
            Err(mpsc::error::SendError(Job::Splice { client, server, .. })) => {
                Outcome::Refused(refusal("no arming thread is left"), client, server)
            }
            Err(_) => Outcome::Unknown(refusal("no arming thread is left")),
        }
    }

    /// Begins to move a connection, which the caller does not have any more.
    pub async fn export(
        &self,
        client: TcpStream,
        idle: Option<Duration>,
        within: Duration,
    ) -> Exported {
        let (answer, answered) = oneshot::channel();
        let refusal = |reason: &str| Refusal {
            reason: reason.into(),
        };
        let job = Job::Export {
            client,
            idle,
            within,
            answer,
        };
        match self.jobs.send(job).await {
            Ok(()) => answered
                .await
                .unwrap_or_else(|_| Exported::Unknown(refusal("the arming thread was lost"))),
            Err(mpsc::error::SendError(Job::Export { client, .. })) => {
                Exported::Refused(refusal("no arming thread is left"), client)
            }
            Err(_) => Exported::Unknown(refusal("no arming thread is left")),
        }
    }

    /// Ends a move: to another host, or not at all. The socket comes back if anybody still has it.
    pub async fn settle(
        &self,
        id: u64,
        to: Option<Hop>,
        client: TcpStream,
    ) -> (Result<(), Refusal>, Option<TcpStream>) {
        let (answer, answered) = oneshot::channel();
        let lost = || Refusal {
            reason: "no arming thread is left".into(),
        };
        let job = Job::Settle {
            id,
            to,
            client,
            answer,
        };
        if self.jobs.send(job).await.is_err() {
            return (Err(lost()), None);
        }
        match answered.await {
            Ok((result, client)) => (result, Some(client)),
            Err(_) => (Err(lost()), None),
        }
    }

    /// Waits until a splice has ended.
    ///
    /// The kernel tells, and is asked now and then, in case it was not heard.
    ///
    /// # Errors
    ///
    /// When nothing can be known of it any more.
    pub async fn ended(&self, mut end: Watch) -> Result<Ended, Refusal> {
        let mut patience = LOOK_AFTER.0;
        loop {
            if let Some(ended) = end.told(patience).await {
                return Ok(ended);
            }
            patience = (patience * 2).min(LOOK_AFTER.1);
            let (answer, answered) = oneshot::channel();
            let job = Job::Look { id: end.id, answer };
            let lost = || Refusal {
                reason: "no arming thread is left".into(),
            };
            self.jobs.send(job).await.map_err(|_| lost())?;
            if let Some(ended) = answered.await.map_err(|_| lost())?? {
                return Ok(ended);
            }
        }
    }
}

/// How long the kernel's word is waited for before it is asked, at first and at last. It remembers
/// a splice that returned for ten seconds.
const LOOK_AFTER: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));

/// One thread that asks the kernel, and its socket.
struct Arming {
    open: Arc<OpenSplicer>,
    complaint: Arc<Complaint>,
    returns: Returns,
    splicer: Option<Box<dyn Splicer>>,
    closed: Option<(Refusal, Instant)>,
}

impl Arming {
    fn work(&mut self, queue: &Mutex<mpsc::Receiver<Job>>) {
        loop {
            let next = queue
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .blocking_recv();
            match next {
                // The connection was given up while it waited.
                Some(Job::Splice { answer, .. }) if answer.is_closed() => {}
                Some(Job::Splice {
                    client,
                    server,
                    terms,
                    answer,
                }) => {
                    // A lost receiver means that the connection was given up: the sockets close.
                    let _ = answer.send(self.splice(client, server, &terms));
                }
                Some(Job::Export {
                    client,
                    idle,
                    within,
                    answer,
                }) => {
                    let exported = self.export(client, idle, within);
                    // Nobody waits for it any more.
                    if let Err(Exported::Moving(id, ..)) = answer.send(exported) {
                        let _ = self.settle(id, None);
                    }
                }
                Some(Job::Settle {
                    id,
                    to,
                    client,
                    answer,
                }) => {
                    let _ = answer.send((self.settle(id, to), client));
                }
                Some(Job::Look { id, answer }) => {
                    let result = self.opened().and_then(|splicer| splicer.ended(id));
                    let _ = answer.send(result);
                }
                None => return,
            }
        }
    }

    fn splice(&mut self, client: TcpStream, server: TcpStream, terms: &Terms) -> Outcome {
        let result = match self.prepared(terms) {
            Ok(splicer) => splicer.splice(client.as_fd(), server.as_fd(), terms),
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        match result {
            Ok(armed) => match (terms.limits, armed.id) {
                (None, _) => Outcome::Armed(armed, None),
                (Some(_), Some(id)) => {
                    let end = self.returns.watch(id);
                    let waiting = Waiting {
                        client,
                        server,
                        end,
                    };
                    Outcome::Armed(armed, Some(waiting))
                }
                (Some(_), None) => Outcome::Unknown(Refusal {
                    reason: "the kernel did not tell which splice it made".into(),
                }),
            },
            Err(Failure::Refused(refusal)) => {
                self.complaint.of(&refusal);
                // A fresh netlink socket next time: the module may have been loaded anew.
                self.splicer = None;
                Outcome::Refused(refusal, client, server)
            }
            Err(Failure::Unknown(refusal)) => {
                tracing::error!(reason = %refusal, "nobody knows whether there is a splice; closing both connections");
                self.splicer = None;
                Outcome::Unknown(refusal)
            }
        }
    }

    fn export(&mut self, client: TcpStream, idle: Option<Duration>, within: Duration) -> Exported {
        let result = match self.opened() {
            Ok(splicer) => splicer.export(client.as_fd(), idle, within),
            Err(refusal) => Err(Failure::Refused(refusal)),
        };
        match result {
            Ok((id, migrant)) => Exported::Moving(id, Box::new(migrant), client),
            Err(Failure::Refused(refusal)) => {
                self.splicer = None;
                Exported::Refused(refusal, client)
            }
            Err(Failure::Unknown(refusal)) => {
                self.splicer = None;
                Exported::Unknown(refusal)
            }
        }
    }

    fn settle(&mut self, id: u64, to: Option<Hop>) -> Result<(), Refusal> {
        let settled = self.opened()?.settle(id, to);
        if settled.is_err() {
            self.splicer = None;
        }
        settled
    }

    /// The splicer, and for a splice that is to come back, somebody who hears of it.
    fn prepared(&mut self, terms: &Terms) -> Result<&mut Box<dyn Splicer>, Refusal> {
        let returns = self.returns.clone();
        let splicer = self.opened()?;
        if terms.limits.is_some() {
            returns.listen(splicer.generation(), || splicer.subscribe())?;
        }
        Ok(splicer)
    }

    /// The splicer, opened if need be. After a failure it is not tried again for a while: the kernel
    /// starts modprobe for a family that it does not know, which costs more than a connection.
    fn opened(&mut self) -> Result<&mut Box<dyn Splicer>, Refusal> {
        let slot = &mut self.splicer;
        match slot {
            Some(splicer) => Ok(splicer),
            None => match &self.closed {
                Some((refusal, at)) if at.elapsed() < OPEN_EVERY => Err(refusal.clone()),
                _ => match (self.open)() {
                    Ok(new) => Ok(slot.insert(new)),
                    Err(refusal) => {
                        self.closed = Some((refusal.clone(), Instant::now()));
                        Err(refusal)
                    }
                },
            },
        }
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
            let outcome = runtime.block_on(armer.arm(connect(), connect(), Terms::default()));
            assert!(matches!(outcome, Outcome::Refused(refusal, _, _) if refusal.reason == "no"));
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
