// SPDX-License-Identifier: GPL-2.0

//! Backends and how one of them is connected.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Which backend is tried first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Each in turn.
    #[default]
    RoundRobin,
    /// The first of the list; the others only when it cannot be reached.
    Order,
}

/// A named set of backends that answer the same.
#[derive(Debug)]
pub struct Pool {
    /// Name in logs.
    pub name: String,
    addresses: Vec<SocketAddr>,
    policy: Policy,
    turn: AtomicUsize,
}

/// A backend that did not accept the connection.
#[derive(Debug)]
pub struct Failure {
    /// The backend.
    pub address: SocketAddr,
    /// Why; `TimedOut` when the time was over.
    pub error: io::Error,
}

impl Pool {
    /// A pool of these addresses.
    pub fn new(name: String, addresses: Vec<SocketAddr>, policy: Policy) -> Self {
        Pool {
            name,
            addresses,
            policy,
            turn: AtomicUsize::new(0),
        }
    }

    /// The addresses in the order in which this connection tries them.
    fn candidates(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        let first = match self.policy {
            Policy::Order => 0,
            Policy::RoundRobin => {
                self.turn.fetch_add(1, Ordering::Relaxed) % self.addresses.len().max(1)
            }
        };
        let (before, from) = self.addresses.split_at(first.min(self.addresses.len()));
        from.iter().chain(before).copied()
    }

    /// Connects to the first backend that accepts; `each` is the time that one attempt may take.
    ///
    /// Failed attempts are added to `failures`; `None` when every backend failed.
    pub async fn connect(
        &self,
        each: Duration,
        failures: &mut Vec<Failure>,
    ) -> Option<(TcpStream, SocketAddr)> {
        for address in self.candidates() {
            let connected = match timeout(each, TcpStream::connect(address)).await {
                Ok(result) => result,
                Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
            };
            match connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => return Some((stream, address)),
                Err(error) => failures.push(Failure { address, error }),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(policy: Policy) -> Pool {
        let addresses = (1..=3)
            .map(|n| SocketAddr::from(([127, 0, 0, n], 80)))
            .collect();
        Pool::new("p".into(), addresses, policy)
    }

    fn turn(pool: &Pool) -> String {
        let last = |a: SocketAddr| a.ip().to_string().pop().unwrap_or_default();
        pool.candidates().map(last).collect()
    }

    #[test]
    fn round_robin_starts_at_each_in_turn() {
        let pool = pool(Policy::RoundRobin);
        assert_eq!(
            [turn(&pool), turn(&pool), turn(&pool), turn(&pool)],
            ["123", "231", "312", "123"]
        );
    }

    #[test]
    fn order_always_starts_at_the_first() {
        let pool = pool(Policy::Order);
        assert_eq!([turn(&pool), turn(&pool)], ["123", "123"]);
    }

    #[test]
    fn an_empty_pool_has_no_candidate() {
        assert_eq!(turn(&Pool::new("p".into(), vec![], Policy::RoundRobin)), "");
    }
}
