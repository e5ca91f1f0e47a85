// SPDX-License-Identifier: GPL-2.0

//! A client connection that carries one request after the other, each to a backend of its own.
//!
//! An exchange is read as far as it takes to know where it ends: the heads, and the sizes of chunks.
//! What is between them goes through the kernel when it is long enough, by a splice that carries
//! exactly so many bytes and then gives both sockets back. The client's next request stays in its
//! socket meanwhile. The backend's connection goes to the pool when the response is complete.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::backend::Backend;
use crate::body::{Body, Chunked};
use crate::config::Protocol;
use crate::connection::{
    self, DRAIN_GRACE, FIRST_BUFFER, Phase, Refused, Shared, connect, hand_over, micros,
    no_backend, reached, write_record,
};
use crate::http::{self, Head, HeadReader, Reject};
use crate::linger;
use crate::listener::Served;
use crate::log::{Carrier, Record};
use crate::pool::{Connected, Purpose};
use crate::response::{self, ResponseHead};
use crate::route::{Mode, Route};
use crate::splice::{Ended, Limits, Outcome, Terms};

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

/// What of a request body is still to be read of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Upload {
    Done,
    Length(u64),
    Chunked(Chunked),
}

impl Upload {
    /// What is left after the bytes that are here, and how many of them are of the body.
    fn begin(body: Body, here: &[u8]) -> Result<(Upload, usize), Broken> {
        match body {
            Body::Length(length) => {
                let used = usize::try_from(length).map_or(here.len(), |l| l.min(here.len()));
                Ok((Upload::Length(length - used as u64).simplified(), used))
            }
            Body::Chunked => {
                let mut chunks = Chunked::default();
                let used = chunks
                    .advance(here)
                    .map_err(|error| Broken::Malformed(error.0))?;
                Ok((Upload::Chunked(chunks).simplified(), used))
            }
            Body::None | Body::ToClose => Ok((Upload::Done, 0)),
        }
    }

    fn simplified(self) -> Upload {
        match self {
            Upload::Length(0) => Upload::Done,
            Upload::Chunked(chunks) if chunks.done() => Upload::Done,
            other => other,
        }
    }
}

/// A response as far as it was read.
struct Reply<'r> {
    method: &'r str,
    limit: usize,
    bytes: Vec<u8>,
}

impl Reply<'_> {
    /// Reads the next head. What was read stays when this is given up.
    async fn head<R: AsyncRead + Unpin>(&mut self, from: &mut R) -> Result<ResponseHead, Broken> {
        let mut seen = 0;
        loop {
            let news = self.bytes.get(seen..).unwrap_or_default();
            let ends = news
                .windows(3)
                .any(|w| w == b"\n\r\n" || w.ends_with(b"\n\n"));
            if ends {
                if let Some(head) =
                    response::parse(&self.bytes, self.method).map_err(Broken::Answer)?
                {
                    return Ok(head);
                }
            }
            seen = self.bytes.len().saturating_sub(3);
            if self.bytes.len() >= self.limit {
                return Err(Broken::Answer("the response head is larger than the limit"));
            }
            let silent = self.bytes.is_empty();
            let mut piece = [0; FIRST_BUFFER];
            let room = (self.limit - self.bytes.len()).min(piece.len());
            match from.read(piece.get_mut(..room).unwrap_or_default()).await {
                Ok(0) => {
                    let why = "the backend closed the connection".into();
                    return Err(Broken::Server { why, silent });
                }
                Ok(count) => self
                    .bytes
                    .extend_from_slice(piece.get(..count).unwrap_or_default()),
                Err(error) => {
                    return Err(Broken::Server {
                        why: format!("the backend's connection failed: {error}"),
                        silent,
                    });
                }
            }
        }
    }
}

impl Reply<'_> {
    /// Passes an interim response on; what is none comes back.
    async fn interim<W: AsyncWriteExt + Unpin>(
        &mut self,
        head: Result<ResponseHead, Broken>,
        to: &mut W,
        idle: Option<Duration>,
        record: &mut Record,
    ) -> Option<Result<ResponseHead, Broken>> {
        let head = match head {
            Ok(head) if head.interim() => head,
            other => return Some(other),
        };
        let bytes = self.bytes.get(..head.length).unwrap_or_default();
        if let Err(broken) = patiently(idle, to.write_all(bytes), client_broke).await {
            return Some(Err(broken));
        }
        record.copied(0, head.length as u64);
        self.bytes.drain(..head.length);
        None
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

/// Copies what is left of a request body. What the client sent after it goes to `surplus`.
async fn upload_rest(
    from: &mut ReadHalf<'_>,
    to: &mut WriteHalf<'_>,
    upload: &mut Upload,
    surplus: &mut Vec<u8>,
    idle: Option<Duration>,
    copied: &Count,
) -> Result<(), Broken> {
    let mut buffer = vec![0; BUFFER];
    while *upload != Upload::Done {
        let most = match upload {
            Upload::Length(left) => usize::try_from(*left).unwrap_or(BUFFER).min(BUFFER),
            _ => BUFFER,
        };
        let room = buffer.get_mut(..most).unwrap_or_default();
        let count = patiently(idle, from.read(room), client_broke).await?;
        if count == 0 {
            return Err(Broken::Client("closed within the request body".into()));
        }
        let piece = buffer.get(..count).unwrap_or_default();
        let (body, after) = match upload {
            Upload::Chunked(chunks) => {
                let used = chunks
                    .advance(piece)
                    .map_err(|error| Broken::Malformed(error.0))?;
                piece.split_at(used)
            }
            Upload::Length(left) => {
                *left -= count as u64;
                (piece, &[][..])
            }
            Upload::Done => return Ok(()),
        };
        surplus.extend_from_slice(after);
        patiently(idle, to.write_all(body), server_broke).await?;
        copied.add(body.len() as u64);
        *upload = std::mem::replace(upload, Upload::Done).simplified();
    }
    Ok(())
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
        record.mode = match route.mode {
            Mode::Splice => Carrier::Copied,
            Mode::Gateway => Carrier::Gateway,
        };
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

    /// Reads until a request head is complete and finds its route. `None` when the client ended, or
    /// was silent for too long, without having begun one.
    async fn read_request(
        &mut self,
        record: &mut Record,
        start: &mut Instant,
        number: usize,
    ) -> Result<Option<(Head, Arc<Route>)>, Refused> {
        let Some(client) = &mut self.client else {
            return Ok(None);
        };
        client
            .set_nodelay(true)
            .map_err(|error| Refused::Silent(error.to_string()))?;
        let timeouts = self.served.timeouts;
        let limit = self.served.max_head;
        let draining = async {
            reached(self.shared.phase.clone(), Phase::Draining).await;
            if number == 1 {
                sleep(DRAIN_GRACE).await;
            }
        };
        tokio::pin!(draining);
        // The first request has its time from accept, others from their first byte.
        let mut deadline = match number {
            1 => *start + timeouts.header,
            _ if self.buffer.is_empty() => *start + timeouts.keep_alive,
            _ => Instant::now() + timeouts.header,
        };
        let mut reader = HeadReader::default();
        loop {
            if !self.buffer.is_empty() {
                // What follows a head is not bound by its limit.
                let whole = self.buffer.get(..limit).unwrap_or(&self.buffer);
                if let Some(head) = reader.advance(whole, limit).map_err(Refused::Http)? {
                    record.set_path(&head.path);
                    record.host.clone_from(&head.host);
                    record.method = Some(head.method.clone());
                    let route = self
                        .served
                        .routes
                        .http(head.host.as_deref(), &head.path)
                        .cloned()
                        .ok_or(Refused::Http(http::NO_ROUTE))?;
                    return Ok(Some((head, route)));
                }
            }
            let old = self.buffer.len();
            let size = old
                .saturating_mul(2)
                .clamp(FIRST_BUFFER.min(limit), limit.max(old));
            self.buffer.resize(size, 0);
            let room = self.buffer.get_mut(old..).unwrap_or_default();
            let read = tokio::select! {
                biased;
                read = timeout_at(deadline, client.read(room)) => Some(read),
                () = &mut draining, if old == 0 => None,
            };
            let count = match &read {
                Some(Ok(Ok(count))) => *count,
                _ => 0,
            };
            self.buffer.truncate(old + count);
            match read {
                Some(Ok(Ok(count))) if count > 0 => {
                    if old == 0 && number > 1 {
                        record.begins();
                        *start = Instant::now();
                        deadline = *start + timeouts.header;
                    }
                }
                // Between two requests everybody may go.
                _ if old == 0 && number > 1 => return Ok(None),
                None => return Err(Refused::Silent("stopping".into())),
                // Browsers open connections in advance and would show the response to the request
                // that they send later.
                Some(Err(_)) if old == 0 => {
                    return Err(Refused::Silent("no head in time".into()));
                }
                Some(Err(_)) => return Err(Refused::Http(http::TIMEOUT)),
                Some(Ok(Err(error))) => return Err(Refused::Silent(error.to_string())),
                Some(Ok(Ok(_))) if old == 0 => {
                    return Err(Refused::Silent(
                        "closed before the head was complete".into(),
                    ));
                }
                Some(Ok(Ok(_))) => return Err(Refused::Http(http::TRUNCATED)),
            }
        }
    }

    /// A connection to a backend of this route.
    async fn backend(
        &mut self,
        route: &Route,
        purpose: Purpose,
        record: &mut Record,
    ) -> Option<Connected> {
        if let Some(own) = self.own.take() {
            let of_pool = route
                .pool
                .backends()
                .iter()
                .any(|backend| Arc::ptr_eq(backend, &own.backend));
            if of_pool && purpose == Purpose::Repeatable {
                record.backend = Some(own.backend.address);
                record.reused = true;
                return Some(own);
            }
        }
        connect(route, purpose, self.served, record).await
    }

    /// Sends the request, and the response back.
    async fn relay(
        &mut self,
        head: &Head,
        route: &Route,
        record: &mut Record,
    ) -> Result<Step, Broken> {
        self.bound |= head.binds;
        let here = self.buffer.get(head.length..).unwrap_or_default();
        let (mut upload, used) = Upload::begin(head.body, here)?;
        let sent = head.length + used;
        record.read_before_arming = sent as u64;
        // Only what is here as a whole can be sent again.
        let whole = upload == Upload::Done;
        let purpose = match head.idempotent() && whole {
            true => Purpose::Repeatable,
            false => Purpose::Once,
        };
        let Some(mut connected) = self.backend(route, purpose, record).await else {
            let refused = no_backend(Protocol::Http, "no backend could be reached");
            return Ok(self.refuse(refused, record).await);
        };
        loop {
            let backend = connected.backend.clone();
            let reused = connected.reused;
            let mut server = Some(connected.stream);
            let asked = self
                .ask(&mut server, head, route, &mut upload, sent, record)
                .await;
            let (reply, bytes) = match asked {
                Ok(asked) => asked,
                Err(Broken::Server { silent: true, why }) if reused && whole => {
                    tracing::debug!(backend = %backend.address, why, "a connection had ended; asking again");
                    record.repeated = true;
                    record.reused = false;
                    let again = route
                        .pool
                        .reconnect(&backend, self.served.timeouts.connect)
                        .await;
                    connected = match again {
                        Ok(connected) => connected,
                        Err(_) => match self.backend(route, Purpose::Once, record).await {
                            Some(connected) => connected,
                            None => {
                                let why = "no backend could be reached";
                                let refused = no_backend(Protocol::Http, why);
                                return Ok(self.refuse(refused, record).await);
                            }
                        },
                    };
                    continue;
                }
                Err(broken) => {
                    if let Some(server) = server {
                        linger::abort(server);
                    }
                    return Err(broken);
                }
            };
            return self
                .deliver(
                    server, &backend, head, route, upload, sent, reply, bytes, record,
                )
                .await;
        }
    }

    /// Sends the request and reads the head of the final response. Interim ones go to the client. The
    /// bytes are those of the head and what came with it.
    async fn ask(
        &mut self,
        server: &mut Option<TcpStream>,
        head: &Head,
        route: &Route,
        upload: &mut Upload,
        sent: usize,
        record: &mut Record,
    ) -> Result<(ResponseHead, Vec<u8>), Broken> {
        let idle = self.idle();
        let mut reply = Reply {
            method: &head.method,
            limit: self.served.max_head,
            bytes: Vec::new(),
        };
        {
            let (_, stream) = both(&mut self.client, server)?;
            let prefix = self.buffer.get(..sent).unwrap_or_default();
            match timeout(self.served.timeouts.connect, stream.write_all(prefix)).await {
                Ok(Ok(())) => record.written_before_arming = sent as u64,
                Ok(Err(error)) => {
                    return Err(Broken::Server {
                        why: format!("backend: {error}"),
                        silent: true,
                    });
                }
                Err(_) => {
                    return Err(Broken::Server {
                        why: "the backend does not read".into(),
                        silent: false,
                    });
                }
            }
        }
        let mut early = None;
        if let (Upload::Length(left), Mode::Splice) = (&*upload, route.mode) {
            let left = *left;
            if left >= self.served.http.splice_threshold {
                if head.expects_continue && sent == head.length {
                    early = self.await_leave(server, &mut reply).await?;
                }
                if early.is_none() && reply.bytes.is_empty() {
                    let limits = Limits {
                        to_server: left,
                        to_client: 0,
                    };
                    if let Some(ended) = self.lend(server, limits, record).await? {
                        let left = left.saturating_sub(ended.to_server);
                        *upload = Upload::Length(left).simplified();
                    }
                }
            }
        }
        let (client, stream) = both(&mut self.client, server)?;
        let copied = Count::default();
        let mut surplus = Vec::new();
        let result = {
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = stream.split();
            let mut failed = None;
            let mut answered = early.map(Ok);
            if *upload != Upload::Done && answered.is_none() {
                let mut rest = pin!(upload_rest(
                    &mut from_client,
                    &mut to_server,
                    upload,
                    &mut surplus,
                    idle,
                    &copied
                ));
                while answered.is_none() {
                    tokio::select! {
                        done = &mut rest => {
                            match done {
                                Ok(()) => {}
                                // It may have answered before it stopped reading.
                                Err(broken @ Broken::Server { .. }) => failed = Some(broken),
                                Err(broken) => answered = Some(Err(broken)),
                            }
                            break;
                        }
                        head = reply.head(&mut from_server) => {
                            answered = reply.interim(head, &mut to_client, idle, record).await;
                        }
                    }
                }
            }
            while answered.is_none() {
                let head = tokio::select! {
                    head = reply.head(&mut from_server) => head,
                    // Nobody is left to answer.
                    _ = from_client.ready(Interest::ERROR) => Err(client_broke("reset".into())),
                    () = pause(idle) => Err(Broken::Late),
                };
                answered = reply.interim(head, &mut to_client, idle, record).await;
            }
            match (answered, failed) {
                (Some(Err(Broken::Server { .. })), Some(failed)) => Err(failed),
                (Some(answered), _) => answered,
                (None, _) => Err(Broken::Late),
            }
        };
        self.buffer.extend_from_slice(&surplus);
        record.copied(copied.get(), 0);
        result.map(|head| (head, reply.bytes))
    }

    /// Waits until the backend or the client begins with the body, whose client had asked for leave.
    /// Returns the final response, if that came instead.
    async fn await_leave(
        &mut self,
        server: &mut Option<TcpStream>,
        reply: &mut Reply<'_>,
    ) -> Result<Option<ResponseHead>, Broken> {
        let idle = self.idle();
        let (client, server) = both(&mut self.client, server)?;
        loop {
            let head = tokio::select! {
                head = reply.head(server) => head?,
                ready = client.readable() => {
                    ready.map_err(|error| client_broke(error.to_string()))?;
                    return Ok(None);
                }
                () = pause(idle) => return Err(Broken::Late),
            };
            if !head.interim() {
                return Ok(Some(head));
            }
            let bytes = reply.bytes.get(..head.length).unwrap_or_default();
            patiently(idle, client.write_all(bytes), client_broke).await?;
            reply.bytes.drain(..head.length);
            if head.status == 100 {
                return Ok(None);
            }
        }
    }

    /// Lends both sockets to the kernel, which carries so many bytes and gives them back. `None` when
    /// it refuses: nothing was carried.
    async fn lend(
        &mut self,
        server: &mut Option<TcpStream>,
        limits: Limits,
        record: &mut Record,
    ) -> Result<Option<Ended>, Broken> {
        if record.refusal.is_some() {
            return Ok(None);
        }
        let arming = Instant::now();
        let gone = |error: std::io::Error| Broken::Spliced(format!("event loop: {error}"));
        let (Some(client), Some(stream)) = (self.client.take(), server.take()) else {
            return Err(Broken::Spliced("no connection".into()));
        };
        // Leaving the event loop first: nobody reads or waits on these sockets meanwhile.
        let client = client.into_std().map_err(gone)?;
        let stream = stream.into_std().map_err(gone)?;
        let terms = Terms {
            idle: self.idle(),
            limits: Some(limits),
        };
        self.lent = true;
        let outcome = self.shared.armer.arm(client, stream, terms).await;
        let spent = record.arm_us.unwrap_or(0).saturating_add(micros(arming));
        record.arm_us = Some(spent);
        match outcome {
            Outcome::Armed(armed, waiting) => {
                record.armed(&armed);
                let Some(waiting) = waiting else {
                    return Err(Broken::Spliced("the sockets do not come back".into()));
                };
                let ended = self
                    .shared
                    .armer
                    .ended(waiting.end)
                    .await
                    .map_err(|refusal| Broken::Spliced(format!("lost from sight: {refusal}")))?;
                record.spliced_to_server = record.spliced_to_server.saturating_add(ended.to_server);
                record.spliced_to_client = record.spliced_to_client.saturating_add(ended.to_client);
                if !ended.returned {
                    return Err(Broken::Spliced(ended.reason));
                }
                if ended.to_server > limits.to_server || ended.to_client > limits.to_client {
                    tracing::error!(
                        id = ended.id,
                        ?limits,
                        ?ended,
                        "more was carried than asked for"
                    );
                    return Err(Broken::Spliced("more was carried than asked for".into()));
                }
                self.client = Some(TcpStream::from_std(waiting.client).map_err(gone)?);
                *server = Some(TcpStream::from_std(waiting.server).map_err(gone)?);
                self.lent = false;
                Ok(Some(ended))
            }
            Outcome::Refused(refusal, client, stream) => {
                self.lent = false;
                record.mode = Carrier::Refused;
                record.refusal = Some(refusal.reason);
                self.client = Some(TcpStream::from_std(client).map_err(gone)?);
                *server = Some(TcpStream::from_std(stream).map_err(gone)?);
                Ok(None)
            }
            Outcome::Unknown(refusal) => Err(Broken::Spliced(format!(
                "unknown whether spliced: {refusal}"
            ))),
        }
    }

    /// Sends the response to the client, and says what follows.
    #[expect(
        clippy::too_many_arguments,
        reason = "all there is to know of an exchange"
    )]
    async fn deliver(
        &mut self,
        mut server: Option<TcpStream>,
        backend: &Arc<Backend>,
        head: &Head,
        route: &Route,
        mut upload: Upload,
        sent: usize,
        reply: ResponseHead,
        bytes: Vec<u8>,
        record: &mut Record,
    ) -> Result<Step, Broken> {
        let idle = self.idle();
        record.status = Some(reply.status);
        let early = upload != Upload::Done;
        if !early && (reply.switches || reply.body == Body::ToClose) {
            let after = self.buffer.split_off(sent.min(self.buffer.len()));
            let (client, stream) = both(&mut self.client, &mut server)?;
            patiently(idle, client.write_all(&bytes), client_broke).await?;
            record.copied(0, bytes.len() as u64);
            if reply.switches {
                patiently(idle, stream.write_all(&after), server_broke).await?;
                record.copied(after.len() as u64, 0);
            } else if self.soak(&mut server, record).await? {
                record.end = Some("closed".into());
                return Ok(Step::End);
            }
            return Ok(self.leave(server, route, record).await);
        }
        // A backend that answers before it has the whole request may still read it, or not; when it
        // has answered, the rest is nobody's.
        let complete = if early {
            let (client, stream) = both(&mut self.client, &mut server)?;
            let (mut from_client, mut to_client) = client.split();
            let (mut from_server, mut to_server) = stream.split();
            let (up, down) = (Count::default(), Count::default());
            let mut surplus = Vec::new();
            let result = {
                let mut rest = pin!(upload_rest(
                    &mut from_client,
                    &mut to_server,
                    &mut upload,
                    &mut surplus,
                    idle,
                    &up
                ));
                let mut answer = pin!(copy_response(
                    &mut from_server,
                    &mut to_client,
                    &reply,
                    &bytes,
                    idle,
                    &down
                ));
                let mut uploading = true;
                loop {
                    tokio::select! {
                        _ = &mut rest, if uploading => uploading = false,
                        done = &mut answer => break done,
                    }
                }
            };
            record.copied(up.get(), down.get());
            result?;
            record.end = Some("answered early".into());
            return Ok(Step::End);
        } else {
            self.send_response(&mut server, route, &reply, &bytes, record)
                .await?
        };
        self.buffer.drain(..sent.min(self.buffer.len()));
        record.end = Some("complete".into());
        if !reply.persistent {
            return Ok(Step::End);
        }
        if let Some(stream) = server.filter(|_| complete) {
            if self.bound {
                self.own = Some(Connected {
                    stream,
                    backend: backend.clone(),
                    reused: true,
                });
            } else if let Ok(stream) = stream.into_std() {
                backend.put(stream);
            }
        }
        debug_assert!(head.persistent);
        Ok(Step::Next)
    }

    /// Sends a response whose end is known, by the kernel as far as that pays. Whether nothing came
    /// after it.
    async fn send_response(
        &mut self,
        server: &mut Option<TcpStream>,
        route: &Route,
        reply: &ResponseHead,
        bytes: &[u8],
        record: &mut Record,
    ) -> Result<bool, Broken> {
        let idle = self.idle();
        let splices = route.mode == Mode::Splice;
        let (header, after) = bytes.split_at(reply.length.min(bytes.len()));
        let length = match reply.body {
            Body::Length(length) => length,
            Body::Chunked => {
                return self
                    .send_chunks(server, splices, header, after, record)
                    .await;
            }
            Body::None | Body::ToClose => 0,
        };
        let here = usize::try_from(length).map_or(after.len(), |l| l.min(after.len()));
        let (client, _) = both(&mut self.client, server)?;
        let now = bytes.get(..reply.length + here).unwrap_or_default();
        patiently(idle, client.write_all(now), client_broke).await?;
        record.copied(0, now.len() as u64);
        let mut left = length - here as u64;
        if splices && left >= self.served.http.splice_threshold {
            let limits = Limits {
                to_server: 0,
                to_client: left,
            };
            if let Some(ended) = self.lend(server, limits, record).await? {
                left -= ended.to_client;
            }
        }
        // What is left after a splice was cut short by somebody's FIN, or of a short response.
        let (client, server) = both(&mut self.client, server)?;
        let copied = Count::default();
        let result = copy_exactly(server, client, left, idle, &copied).await;
        record.copied(0, copied.get());
        result?;
        Ok(here == after.len())
    }

    async fn send_chunks(
        &mut self,
        server: &mut Option<TcpStream>,
        splices: bool,
        header: &[u8],
        after: &[u8],
        record: &mut Record,
    ) -> Result<bool, Broken> {
        let idle = self.idle();
        let mut chunks = Chunked::default();
        let advance = |chunks: &mut Chunked, piece: &[u8]| {
            chunks
                .advance(piece)
                .map_err(|_| Broken::Answer("the response has malformed chunks"))
        };
        let used = advance(&mut chunks, after)?;
        let mut clean = used == after.len();
        let mut piece = [header, after.get(..used).unwrap_or_default()].concat();
        let mut buffer = vec![0; BUFFER];
        loop {
            let (client, _) = both(&mut self.client, server)?;
            patiently(idle, client.write_all(&piece), client_broke).await?;
            record.copied(0, piece.len() as u64);
            if chunks.done() {
                return Ok(clean);
            }
            let certain = chunks.certain();
            if splices && certain >= self.served.http.chunk_threshold {
                let limits = Limits {
                    to_server: 0,
                    to_client: certain,
                };
                if let Some(ended) = self.lend(server, limits, record).await? {
                    chunks.carried(ended.to_client);
                }
            }
            let (_, stream) = both(&mut self.client, server)?;
            let count = patiently(idle, stream.read(&mut buffer), server_broke).await?;
            if count == 0 {
                return Err(server_broke("closed within its response".into()));
            }
            let got = buffer.get(..count).unwrap_or_default();
            let used = advance(&mut chunks, got)?;
            clean = used == count;
            piece.clear();
            piece.extend_from_slice(got.get(..used).unwrap_or_default());
        }
    }

    /// Sends on what has arrived of a response that the end of the connection ends; whether that has
    /// come. A connection that has ended already is none to splice.
    async fn soak(
        &mut self,
        server: &mut Option<TcpStream>,
        record: &mut Record,
    ) -> Result<bool, Broken> {
        let idle = self.idle();
        let (client, stream) = both(&mut self.client, server)?;
        let mut buffer = vec![0; BUFFER];
        for _ in 0..4 {
            match stream.try_read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => {
                    let piece = buffer.get(..count).unwrap_or_default();
                    patiently(idle, client.write_all(piece), client_broke).await?;
                    record.copied(0, count as u64);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(server_broke(error.to_string())),
            }
        }
        Ok(false)
    }

    /// Leaves both connections to the kernel, or to the gateway, until they end.
    async fn leave(
        &mut self,
        server: Option<TcpStream>,
        route: &Route,
        record: &mut Record,
    ) -> Step {
        let (Some(client), Some(server)) = (self.client.take(), server) else {
            return Step::End;
        };
        if route.mode == Mode::Gateway || record.refusal.is_some() {
            return Step::Copy(client, server);
        }
        match connection::splice(client, server, self.served, self.shared, record).await {
            Some((client, server)) => Step::Copy(client, server),
            None => Step::End,
        }
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

/// Copies so many bytes of a response.
async fn copy_exactly<R: AsyncRead + Unpin, W: AsyncWriteExt + Unpin>(
    from: &mut R,
    to: &mut W,
    mut left: u64,
    idle: Option<Duration>,
    copied: &Count,
) -> Result<(), Broken> {
    let mut buffer = vec![0; usize::try_from(left).unwrap_or(BUFFER).min(BUFFER)];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
        let room = buffer.get_mut(..most).unwrap_or_default();
        let count = patiently(idle, from.read(room), server_broke).await?;
        if count == 0 {
            return Err(server_broke("closed within its response".into()));
        }
        left -= count as u64;
        let piece = buffer.get(..count).unwrap_or_default();
        patiently(idle, to.write_all(piece), client_broke).await?;
        copied.add(count as u64);
    }
    Ok(())
}

/// Copies a response of any kind, of which `bytes` were read.
async fn copy_response<R: AsyncRead + Unpin, W: AsyncWriteExt + Unpin>(
    from: &mut R,
    to: &mut W,
    reply: &ResponseHead,
    bytes: &[u8],
    idle: Option<Duration>,
    copied: &Count,
) -> Result<(), Broken> {
    let malformed = |_| Broken::Answer("the response has malformed chunks");
    let (header, after) = bytes.split_at(reply.length.min(bytes.len()));
    let mut chunks = Chunked::default();
    let used = match reply.body {
        Body::Length(length) => {
            usize::try_from(length).map_or(after.len(), |length| length.min(after.len()))
        }
        Body::Chunked => chunks.advance(after).map_err(malformed)?,
        Body::None => 0,
        Body::ToClose => after.len(),
    };
    let now = bytes.get(..header.len() + used).unwrap_or_default();
    patiently(idle, to.write_all(now), client_broke).await?;
    copied.add(now.len() as u64);
    let mut buffer = vec![0; BUFFER];
    match reply.body {
        Body::Length(length) => copy_exactly(from, to, length - used as u64, idle, copied).await,
        Body::None => Ok(()),
        Body::Chunked | Body::ToClose => {
            while !chunks.done() {
                let count = patiently(idle, from.read(&mut buffer), server_broke).await?;
                let piece = buffer.get(..count).unwrap_or_default();
                let used = match reply.body {
                    Body::Chunked if count > 0 => chunks.advance(piece).map_err(malformed)?,
                    Body::Chunked => return Err(server_broke("closed within its response".into())),
                    _ if count == 0 => return Ok(()),
                    _ => count,
                };
                let piece = piece.get(..used).unwrap_or_default();
                patiently(idle, to.write_all(piece), client_broke).await?;
                copied.add(used as u64);
            }
            Ok(())
        }
    }
}
