// SPDX-License-Identifier: GPL-2.0

//! A response on its way to the client.

use super::upload::{Upload, upload_rest};
use super::{BUFFER, Broken, Count, Session, Step, both, client_broke, patiently, server_broke};
use crate::backend::Backend;
use crate::body::{Body, Chunked};
use crate::connection;
use crate::http::Head;
use crate::log::Record;
use crate::pool::Connected;
use crate::response::ResponseHead;
use crate::route::Route;
use crate::splice::Limits;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

impl Session<'_> {
    /// Sends the response to the client, and says what follows.
    #[expect(
        clippy::too_many_arguments,
        reason = "all there is to know of an exchange"
    )]
    pub(super) async fn deliver(
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
    pub(super) async fn send_response(
        &mut self,
        server: &mut Option<TcpStream>,
        route: &Route,
        reply: &ResponseHead,
        bytes: &[u8],
        record: &mut Record,
    ) -> Result<bool, Broken> {
        let idle = self.idle();
        let splices = route.mode.splices();
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

    pub(super) async fn send_chunks(
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
    pub(super) async fn soak(
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
    pub(super) async fn leave(
        &mut self,
        server: Option<TcpStream>,
        route: &Route,
        record: &mut Record,
    ) -> Step {
        let (Some(client), Some(server)) = (self.client.take(), server) else {
            return Step::End;
        };
        if !route.mode.splices() || record.refusal.is_some() {
            return Step::Copy(client, server);
        }
        match connection::splice(client, server, self.served, self.shared, record).await {
            Some((client, server)) => Step::Copy(client, server),
            None => Step::End,
        }
    }
}

/// Copies so many bytes of a response.
pub(super) async fn copy_exactly<R: AsyncRead + Unpin, W: AsyncWriteExt + Unpin>(
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
pub(super) async fn copy_response<R: AsyncRead + Unpin, W: AsyncWriteExt + Unpin>(
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
