// SPDX-License-Identifier: GPL-2.0

//! Waiting for a request, and reading its head.

use super::Session;
use crate::connection::{DRAIN_GRACE, Phase, Refused, reached, read_more};
use crate::http::{self, Head, HeadReader};
use crate::log::Record;
use crate::route::Route;
use std::sync::Arc;
use tokio::time::{Instant, sleep};

impl Session<'_> {
    /// Reads until a request head is complete and finds its route. `None` when the client ended, or
    /// was silent for too long, without having begun one.
    pub(super) async fn read_request(
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
            let buffer = &mut self.buffer;
            match read_more(client, buffer, limit, deadline, draining.as_mut()).await {
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
}
