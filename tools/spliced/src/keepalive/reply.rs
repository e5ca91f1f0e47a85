// SPDX-License-Identifier: GPL-2.0

//! Heads of responses, as they come.

use super::{Broken, client_broke, patiently};
use crate::connection::FIRST_BUFFER;
use crate::log::Record;
use crate::response::{self, ResponseHead};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// A response as far as it was read.
pub(super) struct Reply<'r> {
    /// Of the request.
    pub(super) method: &'r str,
    /// Most bytes of a head.
    pub(super) limit: usize,
    /// What was read and not passed on.
    pub(super) bytes: Vec<u8>,
}

impl Reply<'_> {
    /// Reads the next head. What was read stays when this is given up.
    pub(super) async fn head<R: AsyncRead + Unpin>(
        &mut self,
        from: &mut R,
    ) -> Result<ResponseHead, Broken> {
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
    pub(super) async fn interim<W: AsyncWriteExt + Unpin>(
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
