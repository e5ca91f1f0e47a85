// SPDX-License-Identifier: GPL-2.0

//! Asks the `tcp_splice` kernel module for splices.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

use socket2::SockRef;
use tcp_splice_netlink::{
    Client, EndReason, Error, Event, Events, Flow, Migrant, Splice, SpliceNew, SpliceState,
};

use crate::splice::{Armed, Ended, Ends, Failure, Hop, Refusal, Splicer, Terms, Told};

struct Kernel(Client);

/// Opens a netlink socket to the module.
///
/// # Errors
///
/// When the module is not loaded or netlink does not work.
pub fn open() -> Result<Box<dyn Splicer>, Refusal> {
    Client::open()
        .map(|client| Box::new(Kernel(client)) as Box<dyn Splicer>)
        .map_err(|error| refusal(&error))
}

/// The error in words, with its number where there is one, for `grep`.
fn refusal(error: &Error) -> Refusal {
    let reason = match error.errno() {
        Some(errno) => format!("{error} (errno {errno})"),
        None => error.to_string(),
    };
    Refusal { reason }
}

impl From<Splice> for Armed {
    fn from(splice: Splice) -> Self {
        Armed {
            id: splice.id,
            moved_to_server: splice.moved_to_server,
            moved_to_client: splice.moved_to_client,
        }
    }
}

/// Whether the kernel refuses with this error only before it has touched the sockets.
fn is_before_any_change(error: &Error) -> bool {
    use rustix::io::Errno;
    let before = [
        Errno::INVAL,
        Errno::NOTCONN,
        Errno::OPNOTSUPP,
        Errno::BUSY,
        Errno::EXIST,
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOENT,
        Errno::BADF,
        Errno::NOTSOCK,
        Errno::PROTONOSUPPORT,
    ];
    error
        .errno()
        .is_some_and(|errno| before.contains(&Errno::from_raw_os_error(errno)))
}

/// The end of a splice that has ended.
fn end(splice: &Splice) -> Option<Ended> {
    let reason = splice.reason.unwrap_or(EndReason::None);
    let carried = |flow: &Option<Flow>, moved: Option<u64>| {
        let bytes = flow.as_ref().and_then(|flow| flow.bytes);
        bytes.unwrap_or(0).saturating_add(moved.unwrap_or(0))
    };
    Some(Ended {
        id: splice.id?,
        returned: reason == EndReason::Returned,
        reason: reason.to_string(),
        to_server: carried(&splice.to_server, splice.moved_to_server),
        to_client: carried(&splice.to_client, splice.moved_to_client),
    })
}

/// Both connections as a splice of them names them: the client, the address that it connected to,
/// the address of this host toward the server, and the server.
fn endpoints(client: BorrowedFd<'_>, server: BorrowedFd<'_>) -> Option<[SocketAddr; 4]> {
    let (client, server) = (SockRef::from(&client), SockRef::from(&server));
    Some([
        client.peer_addr().ok()?.as_socket()?,
        client.local_addr().ok()?.as_socket()?,
        server.local_addr().ok()?.as_socket()?,
        server.peer_addr().ok()?.as_socket()?,
    ])
}

/// Whether this splice is of these connections.
fn is_of(splice: &Splice, endpoints: &[SocketAddr; 4]) -> bool {
    let Some(flow) = &splice.to_server else {
        return false;
    };
    let found = [
        (flow.saddr, flow.sport),
        (flow.daddr, flow.dport),
        (flow.new_saddr, flow.new_sport),
        (flow.new_daddr, flow.new_dport),
    ];
    found
        .iter()
        .zip(endpoints)
        .all(|(found, endpoint)| *found == (Some(endpoint.ip()), Some(endpoint.port())))
}

/// The splice that a request made whose answer was lost: the same two connections can have been
/// spliced before, but not as recently.
fn made_since(splices: Vec<Splice>, endpoints: &[SocketAddr; 4], began: Instant) -> Option<Splice> {
    splices
        .into_iter()
        .filter(|splice| is_of(splice, endpoints))
        .filter(|splice| {
            let live = splice.state != Some(SpliceState::Tombstone);
            live || splice
                .age
                .is_some_and(|age| u128::from(age) <= began.elapsed().as_millis())
        })
        .max_by_key(|splice| splice.id)
}

impl Kernel {
    /// Asks whether there is a splice of these connections, after its answer was lost.
    fn find(
        &mut self,
        endpoints: Option<[SocketAddr; 4]>,
        began: Instant,
    ) -> Result<Armed, Failure> {
        let unknown = |error: &Error| Failure::Unknown(refusal(error));
        let Some(endpoints) = endpoints else {
            return Err(Failure::Unknown(Refusal {
                reason: "the connections have no addresses".into(),
            }));
        };
        // The old socket may hold the rest of another answer.
        self.0 = Client::open().map_err(|error| unknown(&error))?;
        let splices = self.0.splices().map_err(|error| unknown(&error))?;
        match made_since(splices, &endpoints, began) {
            Some(splice) => Ok(splice.into()),
            None => Err(Failure::Refused(Refusal {
                reason: "the kernel's answer was lost, and there is no splice".into(),
            })),
        }
    }
}

impl Splicer for Kernel {
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        terms: &Terms,
    ) -> Result<Armed, Failure> {
        // 0 means never, to the kernel.
        let idle = terms
            .idle
            .map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(0));
        let new = SpliceNew {
            client_fd: Some(client.as_raw_fd()),
            server_fd: Some(server.as_raw_fd()),
            idle_timeout: Some(idle),
            limit_to_server: terms.limits.map(|limits| limits.to_server),
            limit_to_client: terms.limits.map(|limits| limits.to_client),
            ..SpliceNew::default()
        };
        // Now: a splice takes the addresses from its sockets.
        let (endpoints, began) = (endpoints(client, server), Instant::now());
        match self.0.splice_new(&new) {
            Ok(splice) => Ok(splice.into()),
            // Unread bytes may have been moved before it failed, and nobody knows how many. Without
            // limits the copying goes on with what is left.
            Err(error @ Error::Kernel { .. })
                if terms.limits.is_some() && !is_before_any_change(&error) =>
            {
                Err(Failure::Unknown(refusal(&error)))
            }
            Err(error @ (Error::Kernel { .. } | Error::NotLoaded)) => {
                Err(Failure::Refused(refusal(&error)))
            }
            // The request may have been carried out.
            Err(error) => {
                tracing::warn!(error = %refusal(&error), "the kernel's answer was lost; asking whether there is a splice");
                self.find(endpoints, began)
            }
        }
    }

    fn export(
        &mut self,
        client: BorrowedFd<'_>,
        idle: Option<Duration>,
        within: Duration,
    ) -> Result<(u64, Migrant), Failure> {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let idle = idle.map_or(0, ms);
        let exported = self
            .0
            .export(client.as_raw_fd(), Some(idle), Some(ms(within)));
        match exported {
            Ok(mut migrant) => match migrant.connection.id.take() {
                Some(id) => Ok((id, migrant)),
                None => Err(Failure::Unknown(Refusal {
                    reason: "the kernel did not tell which connection moves".into(),
                })),
            },
            Err(error @ (Error::Kernel { .. } | Error::NotLoaded)) => {
                Err(Failure::Refused(refusal(&error)))
            }
            // The request may have been carried out.
            Err(error) => Err(Failure::Unknown(refusal(&error))),
        }
    }

    fn settle(&mut self, id: u64, to: Option<Hop>) -> Result<(), Refusal> {
        match to {
            Some(hop) => self.0.handoff_commit(id, Some((hop.output, hop.via))),
            None => self.0.handoff_abort(id),
        }
        .map_err(|error| refusal(&error))
    }

    fn ended(&mut self, id: u64) -> Result<Option<Ended>, Refusal> {
        match self.0.splice_get(id) {
            Ok(splice) if splice.state == Some(SpliceState::Tombstone) => Ok(end(&splice)),
            Ok(_) => Ok(None),
            Err(error) => Err(refusal(&error)),
        }
    }

    fn subscribe(&mut self) -> Result<Box<dyn Ends>, Refusal> {
        let events = Events::open().map_err(|error| refusal(&error))?;
        Ok(Box::new(Subscription(events)))
    }

    fn generation(&self) -> u64 {
        self.0.family().into()
    }
}

struct Subscription(Events);

impl Ends for Subscription {
    fn next(&mut self, within: Duration) -> Result<Option<Told>, Refusal> {
        let until = Instant::now() + within;
        loop {
            match self.0.next_until(until).map_err(|error| refusal(&error))? {
                Some(Event::End(splice)) => {
                    if let Some(ended) = end(&splice) {
                        return Ok(Some(Told::Ended(ended)));
                    }
                }
                Some(Event::Lost) => return Ok(Some(Told::Lost)),
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splice(id: u64, age: u64, state: SpliceState) -> Splice {
        let address = |n: u8| Some(std::net::IpAddr::from([10, 0, 0, n]));
        Splice {
            id: Some(id),
            age: Some(age),
            state: Some(state),
            to_server: Some(Flow {
                saddr: address(1),
                sport: Some(1),
                daddr: address(2),
                dport: Some(2),
                new_saddr: address(3),
                new_sport: Some(3),
                new_daddr: address(4),
                new_dport: Some(4),
                bytes: Some(100),
                ..Flow::default()
            }),
            ..Splice::default()
        }
    }

    #[test]
    fn a_lost_answer_is_found_by_its_addresses() {
        let endpoint = |n: u8| SocketAddr::from(([10, 0, 0, n], n.into()));
        let ours = [endpoint(1), endpoint(2), endpoint(3), endpoint(4)];
        let others = [endpoint(1), endpoint(2), endpoint(4), endpoint(3)];
        let began = Instant::now() - Duration::from_millis(50);
        let found = |splices, endpoints| made_since(splices, endpoints, began).and_then(|s| s.id);
        use SpliceState::{Established, Tombstone};
        // The exchange before, on the same two connections, is none of ours.
        let before = splice(1, 5000, Tombstone);
        assert_eq!(found(vec![before.clone()], &ours), None);
        let live = splice(2, 1, Established);
        assert_eq!(found(vec![before.clone(), live.clone()], &others), None);
        assert_eq!(found(vec![live, before.clone()], &ours), Some(2));
        // It may have ended already.
        let ended = splice(3, 20, Tombstone);
        assert_eq!(found(vec![before, ended], &ours), Some(3));
        assert_eq!(found(vec![], &ours), None);
    }

    #[test]
    fn some_refusals_come_too_late() {
        let error = |errno| Error::Kernel {
            errno,
            message: None,
            attribute: None,
        };
        // ENOTCONN and EOPNOTSUPP; ENOMEM, EPIPE and ECONNRESET are of sending as well.
        assert!(is_before_any_change(&error(107)) && is_before_any_change(&error(95)));
        for errno in [12, 32, 104] {
            assert!(!is_before_any_change(&error(errno)), "{errno}");
        }
    }

    #[test]
    fn an_end_counts_what_was_moved() {
        let mut splice = splice(1, 1, SpliceState::Tombstone);
        splice.reason = Some(EndReason::Returned);
        splice.moved_to_server = Some(11);
        splice.moved_to_client = Some(7);
        let ended = end(&splice).unwrap();
        assert!(ended.returned);
        assert_eq!((ended.to_server, ended.to_client), (111, 7));
        splice.reason = Some(EndReason::Idle);
        let ended = end(&splice).unwrap();
        assert_eq!((ended.returned, &*ended.reason), (false, "idle"));
    }
}
