// SPDX-License-Identifier: GPL-2.0

//! A request on its way to a backend, up to the head of the response.

use super::reply::Reply;
use super::upload::{Upload, upload_rest};
use super::{Broken, Count, Session, Step, both, client_broke, patiently, pause};
use crate::config::Protocol;
use crate::connection::{connect, no_backend};
use crate::http::Head;
use crate::linger;
use crate::log::Record;
use crate::pool::{Connected, Purpose};
use crate::response::ResponseHead;
use crate::route::Route;
use crate::splice::Limits;
use std::pin::pin;
use std::sync::Arc;
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;

impl Session<'_> {
    /// A connection to a backend of this route.
    pub(super) async fn backend(
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
    pub(super) async fn relay(
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
    pub(super) async fn ask(
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
        if let (Upload::Length(left), true) = (&*upload, route.mode.splices()) {
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
    pub(super) async fn await_leave(
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
}
