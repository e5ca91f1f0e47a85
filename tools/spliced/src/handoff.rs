// SPDX-License-Identifier: GPL-2.0

//! Handing a connection over to the host of its server, which answers the client itself.
//!
//! The connection goes with all that was read of it. What cannot go stays, and is carried as the next best method can.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tcp_splice_netlink::{Migrant, NodeOutput};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::cluster::handoff::Move;
use crate::connection::{Shared, micros};
use crate::listener::Served;
use crate::log::{Carrier, Record};
use crate::route::{Mode, Route};
use crate::splice::{Armer, Exported, Hop};

/// What will become of a connection.
pub type Answer = Pin<Box<dyn Future<Output = Move> + Send>>;

/// Gives a connection to the host that has a server, which answers within this time if it can.
pub struct HandOff(Box<dyn Fn(SocketAddr, Migrant, Duration) -> Answer + Send + Sync>);

impl HandOff {
    /// One that does this.
    pub fn new(
        give: impl Fn(SocketAddr, Migrant, Duration) -> Answer + Send + Sync + 'static,
    ) -> HandOff {
        HandOff(Box::new(give))
    }
}

impl std::fmt::Debug for HandOff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandOff").finish_non_exhaustive()
    }
}

/// What became of it.
pub(crate) enum Handed {
    /// The server has it; or nobody has it any more.
    Gone,
    /// It is here, with what was read of it.
    Stays(TcpStream, Vec<u8>),
}

/// How its packets get to the server's host, if a route's connections move there.
fn output(mode: Mode) -> Option<NodeOutput> {
    match mode {
        Mode::Handoff => Some(NodeOutput::Direct),
        Mode::Hop => Some(NodeOutput::Tunnel),
        Mode::Splice | Mode::SplitSplice | Mode::Gateway => None,
    }
}

/// One connection on its way.
struct Journey {
    armer: Armer,
    hand_off: Arc<HandOff>,
    server: SocketAddr,
    output: NodeOutput,
    idle: Option<Duration>,
    within: Duration,
}

/// How a journey ended.
enum End {
    /// With the kernel's name for the flow that its packets go by.
    Away(u64),
    /// Where it began, and why.
    Here(TcpStream, Vec<u8>, String),
    /// Nowhere, and why.
    Lost(String),
}

impl Journey {
    async fn travel(self, client: std::net::TcpStream, read: Vec<u8>) -> End {
        // The kernel itself takes it back only when nobody here can.
        let patience = self.within.saturating_mul(2) + Duration::from_secs(1);
        let exported = self.armer.export(client, self.idle, patience).await;
        let (id, mut migrant, client) = match exported {
            Exported::Moving(id, migrant, client) => (id, *migrant, client),
            Exported::Refused(refusal, client) => return stays(client, read, refusal.reason),
            Exported::Unknown(refusal) => return End::Lost(refusal.reason),
        };
        migrant.unread(read.clone());
        let moved = timeout(
            self.within,
            (self.hand_off.0)(self.server, migrant, self.within),
        )
        .await;
        let late = || Move::Unknown("the node of the server does not answer".into());
        let (hop, why) = match moved.unwrap_or_else(|_| late()) {
            Move::Taken => (true, None),
            Move::Refused(why) => (false, Some(why)),
            // If it is there, it must not be here as well: two hosts would speak to the client with the same numbers. If it is not,
            // the host that its packets go to resets it.
            Move::Unknown(why) => (true, Some(why)),
        };
        let via: IpAddr = self.server.ip();
        let hop = hop.then_some(Hop {
            output: self.output,
            via,
        });
        let (settled, client) = self.armer.settle(id, hop, client).await;
        match (hop, why, settled) {
            (Some(_), None, Ok(())) => End::Away(id),
            (Some(_), Some(why), Ok(())) => {
                tracing::warn!(server = %self.server, why, "nobody knows whether a connection has moved; its packets go there");
                End::Lost(why)
            }
            (None, why, Ok(())) => match client {
                Some(client) => stays(client, read, why.unwrap_or_default()),
                None => End::Lost("no arming thread is left".into()),
            },
            (_, _, Err(refusal)) => End::Lost(refusal.reason),
        }
    }
}

fn stays(client: std::net::TcpStream, read: Vec<u8>, why: String) -> End {
    match TcpStream::from_std(client) {
        Ok(client) => End::Here(client, read, why),
        Err(error) => End::Lost(format!("cannot return to the event loop: {error}")),
    }
}

/// Has the server's host take a connection, if its route says so.
pub(crate) async fn hand_off(
    client: TcpStream,
    read: Vec<u8>,
    route: &Route,
    served: &Served,
    shared: &Shared,
    record: &mut Record,
) -> Handed {
    let (Some(output), Some(hand_off)) = (output(route.mode), &shared.hand_off) else {
        return Handed::Stays(client, read);
    };
    let start = tokio::time::Instant::now();
    let Some(server) = route.pool.next() else {
        return Handed::Stays(client, read);
    };
    let journey = Journey {
        armer: shared.armer.clone(),
        hand_off: hand_off.clone(),
        server,
        output,
        idle: served.timeouts.idle,
        within: served.timeouts.connect,
    };
    let bytes = read.len() as u64;
    let client = match client.into_std() {
        Ok(client) => client,
        Err(error) => {
            record.end = Some(format!("cannot leave the event loop: {error}"));
            return Handed::Gone;
        }
    };
    // Whoever gives up waiting must not leave it half way.
    let journey = tokio::spawn(journey.travel(client, read));
    let end = journey
        .await
        .unwrap_or_else(|error| End::Lost(error.to_string()));
    record.arm_us = Some(micros(start));
    match end {
        End::Away(id) => {
            record.pool = Some(route.pool.name.clone());
            record.route = Some(route.name.clone());
            record.backend = Some(server);
            record.mode = Carrier::HandedOff;
            record.read_before_arming = bytes;
            record.splice_id = Some(id);
            Handed::Gone
        }
        End::Here(client, read, why) => {
            tracing::debug!(%server, why, route = route.name, "a connection cannot move; the next best method carries it");
            record.stays = Some(why);
            Handed::Stays(client, read)
        }
        End::Lost(why) => {
            record.mode = Carrier::None;
            record.end = Some(why);
            Handed::Gone
        }
    }
}
