// SPDX-License-Identifier: GPL-2.0

//! The life of one connection: read its head, choose, connect, send what was read, hand over.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::config::Protocol;
use crate::gateway;
use crate::handoff::{self, HandOff, Handed};
use crate::http::{self, HeadReader, Reject};
use crate::keepalive;
use crate::linger;
use crate::listener::Served;
use crate::log::{AccessLog, Carrier, Record};
use crate::pool::{self, Connected, Purpose};
use crate::route::Route;
use crate::sni::{Alert, HelloError, HelloReader};
use crate::splice::{Armer, Outcome, Terms};

/// How far the process is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It is not.
    Running,
    /// Nothing new is accepted; what runs may go on.
    Draining,
    /// What still runs is cut.
    Cut,
}

/// Ready once `phase` is at least `at`, or its sender is gone.
pub async fn reached(mut phase: watch::Receiver<Phase>, at: Phase) {
    let _ = phase.wait_for(|now| *now >= at).await;
}

/// What all connections of a process share.
#[derive(Debug)]
pub struct Shared {
    /// Makes splices.
    pub armer: Armer,
    /// Gives connections to the hosts of servers, when there are any that take them.
    pub hand_off: Option<Arc<HandOff>>,
    /// The access log, when there is one.
    pub access: Option<AccessLog>,
    /// Whether the process is stopping.
    pub phase: watch::Receiver<Phase>,
}

/// While draining, how long a connection may take to send its first byte.
pub(crate) const DRAIN_GRACE: Duration = Duration::from_millis(500);
/// First size of the buffer for a head; it doubles up to the limit.
pub(crate) const FIRST_BUFFER: usize = 4096;

/// Serves a connection that was just accepted, and logs it.
pub async fn serve(client: TcpStream, peer: SocketAddr, served: &Served, shared: &Shared) {
    if served.protocol == Protocol::Http && served.http.keep_alive {
        return keepalive::serve(client, peer, served, shared).await;
    }
    let start = Instant::now();
    let mut record = Record::new(peer, &served.name);
    let to_copy = tokio::select! {
        to_copy = talk(client, served, shared, &mut record, start) => to_copy,
        () = reached(shared.phase.clone(), Phase::Cut) => {
            record.end = Some("cut".into());
            None
        }
    };
    // Not within the select: the gateway has its own way to be cut.
    if let Some((client, server)) = to_copy {
        copy(client, server, served, shared, &mut record).await;
    }
    write_record(record, start, shared);
}

/// Copies to the end of both connections.
pub(crate) async fn copy(
    client: TcpStream,
    server: TcpStream,
    served: &Served,
    shared: &Shared,
    record: &mut Record,
) {
    let cut = reached(shared.phase.clone(), Phase::Cut);
    let carried = gateway::run(client, server, served.timeouts.idle, cut).await;
    record.copied(carried.to_server, carried.to_client);
    record.end = Some(carried.end.as_str().into());
}

/// Writes the line.
pub(crate) fn write_record(mut record: Record, start: Instant, shared: &Shared) {
    record.total_us = micros(start);
    record.emit();
    if let Some(access) = &shared.access {
        access.add(&record);
    }
}

pub(crate) fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The end of a connection that no backend gets.
pub(crate) enum Refused {
    /// With a response.
    Http(Reject),
    /// With an alert.
    Tls(Alert, String),
    /// With nothing.
    Silent(String),
}

impl Refused {
    pub(crate) async fn answer(self, mut client: TcpStream, record: &mut Record, head: &[u8]) {
        let (status, reply, why) = match self {
            Refused::Http(reject) => {
                let head_only = head.trim_ascii_start().starts_with(b"HEAD ");
                (
                    reject.status,
                    reject.response(head_only),
                    reject.why.to_owned(),
                )
            }
            Refused::Tls(alert, why) => (alert as u16, alert.record().to_vec(), why),
            Refused::Silent(why) => {
                record.end = Some(why);
                return;
            }
        };
        record.end = Some(why);
        record.answered = Some(status);
        // A fresh socket takes these few bytes at once.
        if client.write_all(&reply).await.is_ok() {
            linger::close_softly(client).await;
        }
    }
}

/// Everything up to the hand-over. Returns both sockets when user space is to carry.
async fn talk(
    mut client: TcpStream,
    served: &Served,
    shared: &Shared,
    record: &mut Record,
    start: Instant,
) -> Option<(TcpStream, TcpStream)> {
    let mut head = Vec::new();
    let route = match read_head(&mut client, &mut head, served, shared, record).await {
        Ok(route) => route,
        Err(refused) => {
            record.read_before_arming = head.len() as u64;
            refused.answer(client, record, &head).await;
            return None;
        }
    };
    record.read_before_arming = head.len() as u64;
    record.head_us = Some(micros(start));
    hand_over(client, head, &route, served, shared, record).await
}

/// Connects, sends what was read, and leaves the rest to the kernel. Returns both sockets when user
/// space is to carry.
pub(crate) async fn hand_over(
    client: TcpStream,
    head: Vec<u8>,
    route: &Route,
    served: &Served,
    shared: &Shared,
    record: &mut Record,
) -> Option<(TcpStream, TcpStream)> {
    record.route = Some(route.name.clone());
    record.pool = Some(route.pool.name.clone());
    let (client, head) = match handoff::hand_off(client, head, route, served, shared, record).await
    {
        Handed::Stays(client, head) => (client, head),
        Handed::Gone => return None,
    };
    let purpose = Purpose::Whole {
        mss: Some(route.mode)
            .filter(|mode| mode.splices())
            .and_then(|_| pool::mss(&client)),
    };
    let Some(connected) = connect(route, purpose, served, record).await else {
        let refused = no_backend(served.protocol, "no backend could be reached");
        refused.answer(client, record, &head).await;
        return None;
    };
    let mut server = connected.stream;

    // Not tried again elsewhere: this backend may have acted on a part of it.
    match timeout(served.timeouts.connect, server.write_all(&head)).await {
        Ok(Ok(())) => record.written_before_arming = head.len() as u64,
        Ok(Err(error)) => {
            tracing::warn!(backend = ?record.backend, %error, "backend closed while it was sent the head");
            let refused = no_backend(served.protocol, "the backend closed the connection");
            refused.answer(client, record, &head).await;
            return None;
        }
        Err(_) => {
            tracing::warn!(backend = ?record.backend, "backend does not take the head");
            let refused = no_backend(served.protocol, "the backend does not read");
            refused.answer(client, record, &head).await;
            return None;
        }
    }
    drop(head);

    if route.mode.splices() {
        return splice(client, server, served, shared, record).await;
    }
    record.mode = Carrier::Gateway;
    Some((client, server))
}

pub(crate) fn no_backend(protocol: Protocol, why: &'static str) -> Refused {
    match protocol {
        Protocol::Http => Refused::Http(Reject {
            why,
            ..http::NO_BACKEND
        }),
        Protocol::Tls => Refused::Tls(Alert::InternalError, why.into()),
    }
}

pub(crate) async fn connect(
    route: &Route,
    purpose: Purpose,
    served: &Served,
    record: &mut Record,
) -> Option<Connected> {
    let start = Instant::now();
    let mut failures = Vec::new();
    let connected = route
        .pool
        .connect(purpose, served.timeouts.connect, &mut failures)
        .await;
    for failure in &failures {
        tracing::warn!(
            pool = route.pool.name,
            backend = %failure.address,
            error = %failure.error,
            "backend not reached"
        );
    }
    record.failed_backends = failures.len();
    let connected = connected?;
    record.backend = Some(connected.backend.address);
    record.reused = connected.reused;
    record.connect_us = Some(micros(start));
    Some(connected)
}

/// Hands both sockets to the kernel, for good. They come back when it refuses.
pub(crate) async fn splice(
    client: TcpStream,
    server: TcpStream,
    served: &Served,
    shared: &Shared,
    record: &mut Record,
) -> Option<(TcpStream, TcpStream)> {
    let arming = Instant::now();
    // Leaving the event loop first: from here on nobody reads or waits on these sockets.
    let (client, server) = match (client.into_std(), server.into_std()) {
        (Ok(client), Ok(server)) => (client, server),
        (Err(error), _) | (_, Err(error)) => {
            record.end = Some(format!("cannot leave the event loop: {error}"));
            return None;
        }
    };
    let terms = Terms {
        idle: served.timeouts.idle,
        limits: None,
    };
    let outcome = shared.armer.arm(client, server, terms).await;
    record.arm_us = Some(micros(arming));
    match outcome {
        Outcome::Armed(armed, _) => {
            record.armed(&armed);
            None
        }
        Outcome::Refused(refusal, client, server) => {
            record.mode = Carrier::Refused;
            record.refusal = Some(refusal.reason);
            match (TcpStream::from_std(client), TcpStream::from_std(server)) {
                (Ok(client), Ok(server)) => Some((client, server)),
                (Err(error), _) | (_, Err(error)) => {
                    record.end = Some(format!("cannot return to the event loop: {error}"));
                    None
                }
            }
        }
        Outcome::Unknown(refusal) => {
            record.end = Some(format!("unknown whether spliced: {refusal}"));
            None
        }
    }
}

enum Reader {
    Http(HeadReader),
    Tls(HelloReader),
}

/// Reads more of a head, after what is in `head`, which grows to `limit` at most: `Err` when `deadline` has passed.
/// `None` if `draining` is ready before anything has come.
pub(crate) async fn read_more(
    client: &mut TcpStream,
    head: &mut Vec<u8>,
    limit: usize,
    deadline: Instant,
    draining: Pin<&mut impl Future<Output = ()>>,
) -> Option<Result<io::Result<usize>, Elapsed>> {
    let old = head.len();
    let size = old
        .saturating_mul(2)
        .clamp(FIRST_BUFFER.min(limit), limit.max(old));
    head.resize(size, 0);
    let room = head.get_mut(old..).unwrap_or_default();
    let read = tokio::select! {
        biased;
        read = timeout_at(deadline, client.read(room)) => Some(read),
        () = draining, if old == 0 => None,
    };
    let count = match &read {
        Some(Ok(Ok(count))) => *count,
        _ => 0,
    };
    head.truncate(old + count);
    read
}

/// Reads until the head is complete and finds its route. What was read is in `head`.
async fn read_head(
    client: &mut TcpStream,
    head: &mut Vec<u8>,
    served: &Served,
    shared: &Shared,
    record: &mut Record,
) -> Result<Arc<Route>, Refused> {
    client
        .set_nodelay(true)
        .map_err(|e| Refused::Silent(e.to_string()))?;
    let deadline = Instant::now() + served.timeouts.header;
    let mut reader = match served.protocol {
        Protocol::Http => Reader::Http(HeadReader::default()),
        Protocol::Tls => Reader::Tls(HelloReader::new(served.max_head)),
    };
    // The records of a ClientHello of the largest size need a little more than the message.
    let limit = match served.protocol {
        Protocol::Http => served.max_head,
        Protocol::Tls => served.max_head.saturating_mul(2),
    };
    let draining = async {
        reached(shared.phase.clone(), Phase::Draining).await;
        sleep(DRAIN_GRACE).await;
    };
    tokio::pin!(draining);
    loop {
        match read_more(client, head, limit, deadline, draining.as_mut()).await {
            None => return Err(Refused::Silent("stopping".into())),
            Some(Err(_)) => {
                return Err(match served.protocol {
                    // Browsers open connections in advance and would show the response to the
                    // request that they send later.
                    Protocol::Http if !head.is_empty() => Refused::Http(http::TIMEOUT),
                    _ => Refused::Silent("no head in time".into()),
                });
            }
            Some(Ok(Err(error))) => return Err(Refused::Silent(error.to_string())),
            Some(Ok(Ok(0))) => {
                return Err(match served.protocol {
                    Protocol::Http if !head.is_empty() => Refused::Http(http::TRUNCATED),
                    _ => Refused::Silent("closed before the head was complete".into()),
                });
            }
            Some(Ok(Ok(_))) => {}
        }
        match &mut reader {
            Reader::Http(reader) => {
                if let Some(asked) = reader.advance(head, limit).map_err(Refused::Http)? {
                    record.set_path(&asked.path);
                    let route = served
                        .routes
                        .http(asked.host.as_deref(), &asked.path)
                        .cloned();
                    record.host = asked.host;
                    record.method = Some(asked.method);
                    return route.ok_or(Refused::Http(http::NO_ROUTE));
                }
            }
            Reader::Tls(reader) => {
                if let Some(hello) = reader.advance(head).map_err(refused_hello)? {
                    let route = served
                        .routes
                        .tls(hello.server_name.as_deref(), &hello.alpn)
                        .cloned();
                    record.host = hello.server_name;
                    return route.ok_or_else(|| {
                        Refused::Tls(Alert::UnrecognizedName, "no route for this name".into())
                    });
                }
                if head.len() >= limit {
                    return Err(refused_hello(HelloError::TooLarge));
                }
            }
        }
    }
}

fn refused_hello(error: HelloError) -> Refused {
    match error {
        // An alert means nothing to whoever does not speak TLS.
        HelloError::NotTls => Refused::Silent(error.to_string()),
        _ => Refused::Tls(Alert::DecodeError, error.to_string()),
    }
}
