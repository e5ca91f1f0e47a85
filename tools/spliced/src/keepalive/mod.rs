// SPDX-License-Identifier: GPL-2.0

//! A client connection that carries one request after the other, each to a backend of its own.
//!
//! An exchange is read as far as it takes to know where it ends: the heads, and the sizes of chunks.
//! What is between them goes through the kernel when it is long enough, by a splice that carries
//! exactly so many bytes and then gives both sockets back. The client's next request stays in its
//! socket meanwhile. The backend's connection goes to the pool when the response is complete.

mod deliver;
mod lend;
mod relay;
mod reply;
mod request;
mod upload;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::connection::{self, Phase, Refused, Shared, hand_over, micros, reached, write_record};
use crate::handoff::{self, Handed};
use crate::http::{self, Reject};
use crate::linger;
use crate::listener::Served;
use crate::log::{Carrier, Record};
use crate::pool::Connected;

/// Bytes that are copied at a time.
const BUFFER: usize = 32 * 1024;

/// What follows an exchange.
enum Step {
    /// Another one.
    Next,
    /// Nothing.
    End,
    /// Nothing, and there was no request either.
    Nothing,
    /// Copying to the end of both connections.
    Copy(TcpStream, TcpStream),
}

/// A client connection between and during its requests.
struct Session<'s> {
    served: &'s Served,
    shared: &'s Shared,
    /// `None` while the kernel has it, and once it is closed.
    client: Option<TcpStream>,
    /// What was read of the client and is not of a past exchange.
    buffer: Vec<u8>,
    /// A backend's connection that takes all requests on it to be of one user, so no other client
    /// may have it.
    own: Option<Connected>,
    /// Whether there has been a request that binds a connection so.
    bound: bool,
    /// Whether both sockets are in the kernel's hands and will come back.
    lent: bool,
}

/// Serves a connection that was just accepted, and logs each request.
pub(crate) async fn serve(client: TcpStream, peer: SocketAddr, served: &Served, shared: &Shared) {
    let mut session = Session {
        served,
        shared,
        client: Some(client),
        buffer: Vec::new(),
        own: None,
        bound: false,
        lent: false,
    };
    for number in 1..=served.http.max_requests {
        let mut record = Record::new(peer, &served.name);
        record.request = number;
        let mut start = Instant::now();
        let step = tokio::select! {
            step = session.exchange(&mut record, &mut start, number) => step,
            () = reached(shared.phase.clone(), Phase::Cut) => {
                // What is lent the kernel finishes, and then closes.
                record.end = Some(if session.lent { "left to the kernel" } else { "cut" }.into());
                if let Some(client) = session.client.take() {
                    linger::abort(client);
                }
                Step::End
            }
        };
        match step {
            Step::Nothing => break,
            Step::Copy(client, server) => {
                // Not within the select: the gateway has its own way to be cut.
                connection::copy(client, server, served, shared, &mut record).await;
                write_record(record, start, shared);
                break;
            }
            Step::End => {
                write_record(record, start, shared);
                break;
            }
            Step::Next => write_record(record, start, shared),
        }
        if *shared.phase.borrow() >= Phase::Draining {
            break;
        }
    }
    if let Some(client) = session.client.take() {
        linger::close_softly(client).await;
    }
}

/// Bytes that were copied so far, by a copy that may be given up.
#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Why an exchange cannot go on.
enum Broken {
    /// The client is gone, or ended within its request.
    Client(String),
    /// What the client sends is no body.
    Malformed(&'static str),
    /// The backend is gone; whether it had said anything.
    Server { why: String, silent: bool },
    /// What the backend says is no response.
    Answer(&'static str),
    /// Nothing has moved for too long.
    Idle,
    /// The backend has not answered for too long.
    Late,
    /// The kernel had both connections and did not give them back.
    Spliced(String),
}

impl Broken {
    fn why(&self) -> String {
        match self {
            Broken::Client(why) | Broken::Server { why, .. } | Broken::Spliced(why) => why.clone(),
            Broken::Malformed(why) | Broken::Answer(why) => (*why).into(),
            Broken::Idle => "idle".into(),
            Broken::Late => http::LATE.why.into(),
        }
    }
}

/// Waits, but not for ever.
async fn patiently<T>(
    idle: Option<Duration>,
    work: impl Future<Output = std::io::Result<T>>,
    broken: impl FnOnce(String) -> Broken,
) -> Result<T, Broken> {
    let result = match idle {
        Some(idle) => timeout(idle, work).await.map_err(|_| Broken::Idle)?,
        None => work.await,
    };
    result.map_err(|error| broken(error.to_string()))
}

fn client_broke(why: String) -> Broken {
    Broken::Client(format!("client: {why}"))
}

fn server_broke(why: String) -> Broken {
    Broken::Server {
        why: format!("backend: {why}"),
        silent: false,
    }
}

impl Session<'_> {
    fn idle(&self) -> Option<Duration> {
        self.served.timeouts.idle
    }

    /// One request and its response.
    async fn exchange(&mut self, record: &mut Record, start: &mut Instant, number: usize) -> Step {
        let (head, route) = match self.read_request(record, start, number).await {
            Ok(Some(request)) => request,
            Ok(None) => return Step::Nothing,
            Err(refused) => return self.refuse(refused, record).await,
        };
        record.head_us = Some(micros(*start));
        if !head.persistent {
            let Some(client) = self.client.take() else {
                return Step::End;
            };
            let read = std::mem::take(&mut self.buffer);
            record.read_before_arming = read.len() as u64;
            let (served, shared) = (self.served, self.shared);
            return match hand_over(client, read, &route, served, shared, record).await {
                Some((client, server)) => Step::Copy(client, server),
                None => Step::End,
            };
        }
        record.route = Some(route.name.clone());
        record.pool = Some(route.pool.name.clone());
        record.mode = match route.mode.splices() {
            true => Carrier::Copied,
            false => Carrier::Gateway,
        };
        // All that is in the buffer is from this request on.
        if self.own.is_none() {
            let Some(client) = self.client.take() else {
                return Step::End;
            };
            let read = std::mem::take(&mut self.buffer);
            let (served, shared) = (self.served, self.shared);
            match handoff::hand_off(client, read, &route, served, shared, record).await {
                Handed::Stays(client, read) => {
                    self.client = Some(client);
                    self.buffer = read;
                }
                Handed::Gone => return Step::End,
            }
        }
        match self.relay(&head, &route, record).await {
            Ok(step) => step,
            Err(broken) => self.give_up(broken, record).await,
        }
    }

    /// Answers for the backend, and ends the connection.
    async fn refuse(&mut self, refused: Refused, record: &mut Record) -> Step {
        if record.splice_id.is_none() {
            record.mode = Carrier::None;
        }
        if record.read_before_arming == 0 {
            record.read_before_arming = self.buffer.len() as u64;
        }
        if let Some(client) = self.client.take() {
            refused.answer(client, record, &self.buffer).await;
        }
        Step::End
    }

    /// Ends both connections so that nothing that was cut looks complete.
    async fn give_up(&mut self, broken: Broken, record: &mut Record) -> Step {
        if record.status.is_none() && self.client.is_some() {
            // Nothing of a response has gone to the client.
            let reject = |why| {
                Some(Refused::Http(Reject {
                    why,
                    ..http::NO_BACKEND
                }))
            };
            let refused = match &broken {
                Broken::Malformed(why) => Some(Refused::Http(Reject {
                    why,
                    ..http::BAD_BODY
                })),
                Broken::Answer(why) => reject(why),
                Broken::Server { why, .. } => {
                    tracing::warn!(backend = ?record.backend, why, "no response");
                    reject("the backend gave no response")
                }
                Broken::Late => Some(Refused::Http(http::LATE)),
                Broken::Client(_) | Broken::Idle | Broken::Spliced(_) => None,
            };
            if let Some(refused) = refused {
                return self.refuse(refused, record).await;
            }
        }
        record.end = Some(broken.why());
        if let Some(client) = self.client.take() {
            match broken {
                Broken::Client(_) | Broken::Idle => linger::abort(client),
                _ => linger::deliver_and_abort(client).await,
            }
        }
        Step::End
    }
}

/// Both sockets, which are there unless the kernel has them.
fn both<'b>(
    client: &'b mut Option<TcpStream>,
    server: &'b mut Option<TcpStream>,
) -> Result<(&'b mut TcpStream, &'b mut TcpStream), Broken> {
    match (client, server) {
        (Some(client), Some(server)) => Ok((client, server)),
        _ => Err(Broken::Spliced("no connection".into())),
    }
}

/// Ready after this time; `None` never.
async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}
