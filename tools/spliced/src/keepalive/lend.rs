// SPDX-License-Identifier: GPL-2.0

//! Both sockets in the kernel's hands, for as many bytes as a body has.

use super::{Broken, Session};
use crate::connection::micros;
use crate::log::{Carrier, Record};
use crate::splice::{Ended, Limits, Outcome, Terms};
use tokio::net::TcpStream;
use tokio::time::Instant;

impl Session<'_> {
    /// Lends both sockets to the kernel, which carries so many bytes and gives them back. `None` when
    /// it refuses: nothing was carried.
    pub(super) async fn lend(
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
}
