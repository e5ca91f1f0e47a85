// SPDX-License-Identifier: GPL-2.0

//! Bodies of requests.

use super::{BUFFER, Broken, Count, client_broke, patiently, server_broke};
use crate::body::{Body, Chunked};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};

/// What of a request body is still to be read of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Upload {
    Done,
    Length(u64),
    Chunked(Chunked),
}

impl Upload {
    /// What is left after the bytes that are here, and how many of them are of the body.
    pub(super) fn begin(body: Body, here: &[u8]) -> Result<(Upload, usize), Broken> {
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

    pub(super) fn simplified(self) -> Upload {
        match self {
            Upload::Length(0) => Upload::Done,
            Upload::Chunked(chunks) if chunks.done() => Upload::Done,
            other => other,
        }
    }
}

/// Copies what is left of a request body. What the client sent after it goes to `surplus`.
pub(super) async fn upload_rest(
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
