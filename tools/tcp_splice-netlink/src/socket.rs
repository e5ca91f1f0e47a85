// SPDX-License-Identifier: GPL-2.0

//! A generic netlink socket with everything strict, and a request on it from sending to answer.

use crate::attr::{Attr, Malformed, Set};
use crate::error::Error;
use crate::generated::FAMILY_NAME;
use crate::message::{self, Message, Messages, Request};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::io;

/// A list that changes all the time is read this often before giving up.
const DUMP_ATTEMPTS: u32 = 16;

/// Bytes in a datagram of the kernel's, at most: it fills those of a list up to this if they are asked for by as much
/// (`netlink_recvmsg`, `netlink_dump`), and no answer to a single request is as long.
const LARGEST: usize = 32 << 10;

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const CTRL_ATTR_MCAST_GROUPS: u16 = 7;
const CTRL_ATTR_MCAST_GRP_NAME: u16 = 1;
const CTRL_ATTR_MCAST_GRP_ID: u16 = 2;

static CTRL_ATTRS: Set = Set(&[]);

/// What a request needs of a socket; a test puts its own answers behind it.
pub(crate) trait Transport {
    /// Sends one datagram.
    fn send(&mut self, datagram: &[u8]) -> io::Result<()>;

    /// Waits for the next datagram from the kernel.
    fn recv(&mut self) -> io::Result<Vec<u8>>;
}

impl Transport for Socket {
    fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
        let sent = self.send_to(datagram, &SocketAddr::new(0, 0), 0)?;
        if sent == datagram.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    fn recv(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let mut datagram = Vec::with_capacity(LARGEST);
            // What it says is the length of the whole.
            match self.recv_from(&mut datagram, RecvFlags::TRUNC.bits() as i32) {
                // Any process may send to this socket; only port 0 is the kernel.
                Ok((_, from)) if from.port_number() != 0 => {}
                Ok((len, _)) if len > datagram.len() => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok(_) => return Ok(datagram),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
}

/// A socket with extended acknowledgements and strict checking on.
pub(crate) fn open() -> Result<Socket, Error> {
    open_of(NETLINK_GENERIC)
}

/// The same of another protocol.
pub(crate) fn open_of(protocol: isize) -> Result<Socket, Error> {
    let mut socket = Socket::new(protocol)?;
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    socket.set_netlink_get_strict_chk(true)?;
    socket.bind_auto()?;
    Ok(socket)
}

/// The numbers of the family in the running kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) id: u16,
    /// Names and numbers of its multicast groups.
    pub(crate) groups: Vec<(String, u32)>,
}

/// What one attempt at a request brought.
pub(crate) enum Outcome<T> {
    Done {
        replies: Vec<T>,
        warning: Option<String>,
    },
    /// The list changed while it was read: it may lack entries or have them twice.
    Inconsistent,
}

/// A socket and the number of the next request on it.
#[derive(Debug)]
pub(crate) struct Exchange<T> {
    transport: T,
    seq: u32,
    /// What the kernel said of the last request that it did not refuse.
    pub(crate) warning: Option<String>,
}

impl<T: Transport> Exchange<T> {
    pub(crate) fn new(transport: T) -> Self {
        Exchange {
            transport,
            seq: 0,
            warning: None,
        }
    }

    pub(crate) fn into_transport(self) -> T {
        self.transport
    }

    /// Sends a request and collects what answers it, to the last message.
    pub(crate) fn run<R>(
        &mut self,
        request: &[u8],
        names: &Set,
        mut decode: impl FnMut(&Message<'_>) -> Result<R, Malformed>,
    ) -> Result<Outcome<R>, Error> {
        self.transport.send(request)?;
        let mut replies = Vec::new();
        let mut interrupted = false;
        loop {
            let datagram = self.transport.recv()?;
            for message in Messages(&datagram) {
                let message = message?;
                // Left from a request that was given up.
                if message.seq != self.seq {
                    continue;
                }
                interrupted |= message.flags & message::NLM_F_DUMP_INTR != 0;
                match message.kind {
                    message::NLMSG_NOOP | message::NLMSG_OVERRUN => {}
                    message::NLMSG_ERROR | message::NLMSG_DONE => {
                        let ack = message.ack(request, names)?;
                        let warning = ack.into_result()?;
                        return Ok(if interrupted {
                            Outcome::Inconsistent
                        } else {
                            Outcome::Done { replies, warning }
                        });
                    }
                    _ => replies.push(decode(&message)?),
                }
            }
        }
    }

    /// The number of the next message.
    pub(crate) fn next_seq(&mut self) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        self.seq
    }

    /// Sends a request that has one answer.
    pub(crate) fn call<R: Request>(&mut self, family: u16, request: &R) -> Result<R::Reply, Error> {
        let flags = message::NLM_F_REQUEST | message::NLM_F_ACK;
        let seq = self.next_seq();
        let bytes = message::build(family, flags, seq, R::CMD, |out| request.encode(out));
        let outcome = self.run(&bytes, R::ATTRS, |message| R::decode(message.attrs()))?;
        match outcome {
            Outcome::Done { replies, warning } => {
                self.warning = warning;
                let reply = replies.into_iter().next();
                Ok(reply.ok_or(Malformed("no answer before the acknowledgement"))?)
            }
            Outcome::Inconsistent => Err(Malformed("a single answer marked as interrupted").into()),
        }
    }

    /// Sends a request that is only acknowledged.
    pub(crate) fn order<R: Request<Reply = ()>>(
        &mut self,
        family: u16,
        request: &R,
    ) -> Result<(), Error> {
        let flags = message::NLM_F_REQUEST | message::NLM_F_ACK;
        let seq = self.next_seq();
        let bytes = message::build(family, flags, seq, R::CMD, |out| request.encode(out));
        self.obeyed(&bytes, R::ATTRS)
    }

    /// Sends a message that is only acknowledged.
    pub(crate) fn obeyed(&mut self, message: &[u8], names: &Set) -> Result<(), Error> {
        if let Outcome::Done { warning, .. } = self.run(message, names, |_| Ok(()))? {
            self.warning = warning;
        }
        Ok(())
    }

    /// Asks for a whole list, again when it changed while it was read.
    pub(crate) fn dump<R: Request>(
        &mut self,
        family: u16,
        request: &R,
    ) -> Result<Vec<R::Reply>, Error> {
        let flags = message::NLM_F_REQUEST | message::NLM_F_ACK | message::NLM_F_DUMP;
        for _ in 0..DUMP_ATTEMPTS {
            let seq = self.next_seq();
            let bytes = message::build(family, flags, seq, R::CMD, |out| request.encode(out));
            let outcome = self.run(&bytes, R::ATTRS, |message| R::decode(message.attrs()))?;
            if let Outcome::Done { replies, warning } = outcome {
                self.warning = warning;
                return Ok(replies);
            }
        }
        Err(Error::Interrupted(DUMP_ATTEMPTS))
    }

    /// Asks the kernel for the numbers of the family.
    ///
    /// This makes the kernel try to load the module.
    pub(crate) fn resolve(&mut self) -> Result<Family, Error> {
        let flags = message::NLM_F_REQUEST | message::NLM_F_ACK;
        let seq = self.next_seq();
        let bytes = message::build(GENL_ID_CTRL, flags, seq, CTRL_CMD_GETFAMILY, |out| {
            out.string(CTRL_ATTR_FAMILY_NAME, FAMILY_NAME);
        });
        let outcome =
            self.run(&bytes, &CTRL_ATTRS, decode_family)
                .map_err(|e| match e.errno() {
                    Some(errno) if errno == Errno::NOENT.raw_os_error() => Error::NotLoaded,
                    _ => e,
                })?;
        match outcome {
            Outcome::Done { replies, .. } => {
                let family = replies.into_iter().next();
                Ok(family.ok_or(Malformed("no answer before the acknowledgement"))?)
            }
            Outcome::Inconsistent => Err(Malformed("a single answer marked as interrupted").into()),
        }
    }
}

fn decode_family(message: &Message<'_>) -> Result<Family, Malformed> {
    let mut id = None;
    let mut groups = Vec::new();
    for attr in message.attrs() {
        let attr = attr?;
        match attr.id() {
            CTRL_ATTR_FAMILY_ID => id = Some(attr.u16()?),
            CTRL_ATTR_MCAST_GROUPS => {
                for group in attr.nested() {
                    groups.push(decode_group(group?)?);
                }
            }
            _ => {}
        }
    }
    let id = id.ok_or(Malformed("a family without a number"))?;
    Ok(Family { id, groups })
}

fn decode_group(group: Attr<'_>) -> Result<(String, u32), Malformed> {
    let (mut name, mut id) = (None, None);
    for attr in group.nested() {
        let attr = attr?;
        match attr.id() {
            CTRL_ATTR_MCAST_GRP_NAME => name = Some(attr.string()),
            CTRL_ATTR_MCAST_GRP_ID => id = Some(attr.u32()?),
            _ => {}
        }
    }
    name.zip(id)
        .ok_or(Malformed("a multicast group without a name or a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::Writer;
    use crate::generated::{
        Splice, SpliceGetDumpRequest, SpliceGetRequest, SpliceState, Stats, StatsGetRequest,
    };
    use crate::message::tests::{AckOf, ack_of, from_kernel};
    use crate::message::{NLM_F_DUMP_INTR, NLMSG_DONE};
    use std::collections::VecDeque;

    const FAMILY: u16 = 0x1c;
    const NLM_F_MULTI: u16 = 2;

    type Answer = Box<dyn Fn(&[u8]) -> Vec<Vec<u8>>>;

    /// Answers each request with the datagrams that a test says.
    struct Fake {
        answers: VecDeque<Answer>,
        datagrams: VecDeque<Vec<u8>>,
    }

    impl Transport for Fake {
        fn send(&mut self, datagram: &[u8]) -> io::Result<()> {
            let answer = self.answers.pop_front().expect("one request too many");
            self.datagrams.extend(answer(datagram));
            Ok(())
        }

        fn recv(&mut self) -> io::Result<Vec<u8>> {
            Ok(self.datagrams.pop_front().expect("nothing left to read"))
        }
    }

    fn exchange(answers: Vec<Answer>) -> Exchange<Fake> {
        Exchange::new(Fake {
            answers: answers.into(),
            datagrams: VecDeque::new(),
        })
    }

    fn seq_of(request: &[u8]) -> u32 {
        u32::from_ne_bytes(request[8..12].try_into().expect("a header"))
    }

    fn flags_of(request: &[u8]) -> u16 {
        u16::from_ne_bytes(request[6..8].try_into().expect("a header"))
    }

    fn payload(fill: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut out = Writer::after(vec![2, 1, 0, 0]);
        fill(&mut out);
        out.into_bytes()
    }

    fn splice(request: &[u8], flags: u16, id: u64) -> Vec<u8> {
        let payload = payload(|out| out.uint(1, id));
        from_kernel(FAMILY, flags, seq_of(request), &payload)
    }

    fn done(request: &[u8], flags: u16) -> Vec<u8> {
        from_kernel(NLMSG_DONE, NLM_F_MULTI | flags, seq_of(request), &[0; 4])
    }

    fn ids(splices: Vec<Splice>) -> Vec<Option<u64>> {
        splices.into_iter().map(|splice| splice.id).collect()
    }

    #[test]
    fn a_call_returns_its_answer() {
        let mut exchange = exchange(vec![Box::new(|request| {
            assert_eq!(
                flags_of(request),
                message::NLM_F_REQUEST | message::NLM_F_ACK
            );
            let body = payload(|out| {
                out.uint(1, 1 << 40);
                out.nested(4, |out| out.address(1, [192, 0, 2, 1].into()));
                out.u32(7, 2);
                // From a newer kernel.
                out.u32(200, 1);
            });
            vec![
                // Left from an earlier request.
                splice(&[0; 16], 0, 99),
                from_kernel(FAMILY, 0, seq_of(request), &body),
                ack_of(
                    request,
                    &AckOf {
                        message: Some("mind"),
                        ..AckOf::default()
                    },
                ),
            ]
        })]);
        let splice = exchange
            .call(FAMILY, &SpliceGetRequest { id: Some(1) })
            .expect("it is answered");
        assert_eq!(splice.id, Some(1 << 40));
        assert_eq!(splice.state, Some(SpliceState::Established));
        let saddr = splice.to_server.and_then(|flow| flow.saddr);
        assert_eq!(saddr, Some([192, 0, 2, 1].into()));
        assert_eq!(exchange.warning.as_deref(), Some("mind"));
    }

    #[test]
    fn a_refusal_is_an_error_and_the_next_call_works() {
        let mut exchange = exchange(vec![
            Box::new(|request| {
                let refused = AckOf {
                    errno: 2,
                    message: Some("no such splice"),
                    offset: Some(20),
                    ..AckOf::default()
                };
                vec![ack_of(request, &refused)]
            }),
            Box::new(|request| {
                let stats = payload(|out| out.uint(1, 3));
                let mut both = from_kernel(FAMILY, 0, seq_of(request), &stats);
                both.extend(ack_of(request, &AckOf::default()));
                vec![both]
            }),
        ]);
        let error = exchange
            .call(FAMILY, &SpliceGetRequest { id: Some(1) })
            .expect_err("it is refused");
        assert_eq!(error.errno(), Some(2));
        assert_eq!(error.to_string(), "no such splice (id)");
        let stats = exchange
            .call(FAMILY, &StatsGetRequest)
            .expect("it is answered");
        assert_eq!(
            stats,
            Stats {
                splices: Some(3),
                ..Stats::default()
            }
        );
    }

    #[test]
    fn a_dump_spans_datagrams() {
        let mut exchange = exchange(vec![Box::new(|request| {
            assert_eq!(flags_of(request) & message::NLM_F_DUMP, message::NLM_F_DUMP);
            let mut two = splice(request, NLM_F_MULTI, 1);
            two.extend(splice(request, NLM_F_MULTI, 2));
            vec![two, splice(request, NLM_F_MULTI, 3), done(request, 0)]
        })]);
        let splices = exchange
            .dump(FAMILY, &SpliceGetDumpRequest)
            .expect("it is answered");
        assert_eq!(ids(splices), [Some(1), Some(2), Some(3)]);
    }

    #[test]
    fn an_interrupted_dump_is_read_again() {
        // The mark may stand on any message, the last one included.
        let mut exchange = exchange(vec![
            Box::new(|request| {
                vec![
                    splice(request, NLM_F_MULTI | NLM_F_DUMP_INTR, 1),
                    splice(request, NLM_F_MULTI, 1),
                    done(request, 0),
                ]
            }),
            Box::new(|request| {
                vec![
                    splice(request, NLM_F_MULTI, 1),
                    done(request, NLM_F_DUMP_INTR),
                ]
            }),
            Box::new(|request| {
                vec![
                    splice(request, NLM_F_MULTI, 1),
                    splice(request, NLM_F_MULTI, 2),
                    done(request, 0),
                ]
            }),
        ]);
        let splices = exchange
            .dump(FAMILY, &SpliceGetDumpRequest)
            .expect("it is answered");
        assert_eq!(ids(splices), [Some(1), Some(2)]);
    }

    #[test]
    fn a_dump_that_is_always_interrupted_gives_up() {
        let answers = (0..DUMP_ATTEMPTS)
            .map(|_| -> Answer { Box::new(|request| vec![done(request, NLM_F_DUMP_INTR)]) })
            .collect();
        let error = exchange(answers)
            .dump(FAMILY, &SpliceGetDumpRequest)
            .expect_err("it never settles");
        assert!(
            matches!(error, Error::Interrupted(DUMP_ATTEMPTS)),
            "{error}"
        );
    }

    #[test]
    fn a_dump_that_fails_midway_is_an_error() {
        let mut exchange = exchange(vec![Box::new(|request| {
            let failed = (-12i32).to_ne_bytes();
            vec![
                splice(request, NLM_F_MULTI, 1),
                from_kernel(NLMSG_DONE, NLM_F_MULTI, seq_of(request), &failed),
            ]
        })]);
        let error = exchange
            .dump(FAMILY, &SpliceGetDumpRequest)
            .expect_err("it fails");
        assert_eq!(error.errno(), Some(12));
    }

    #[test]
    fn the_family_is_resolved_with_its_groups() {
        let mut exchange = exchange(vec![Box::new(|request| {
            assert_eq!(&request[20..], b"\x0f\0\x02\0tcp-splice\0\0");
            let body = payload(|out| {
                out.bytes(CTRL_ATTR_FAMILY_ID, &FAMILY.to_ne_bytes());
                out.nested(CTRL_ATTR_MCAST_GROUPS, |out| {
                    out.nested(1, |out| {
                        out.u32(CTRL_ATTR_MCAST_GRP_ID, 9);
                        out.string(CTRL_ATTR_MCAST_GRP_NAME, "events");
                    });
                });
            });
            vec![
                from_kernel(GENL_ID_CTRL, 0, seq_of(request), &body),
                ack_of(request, &AckOf::default()),
            ]
        })]);
        let family = exchange.resolve().expect("it is answered");
        let groups = vec![("events".to_string(), 9)];
        assert_eq!(family, Family { id: FAMILY, groups });
    }

    #[test]
    fn an_unknown_family_says_what_to_do() {
        let mut exchange = exchange(vec![Box::new(|request| {
            vec![ack_of(
                request,
                &AckOf {
                    errno: 2,
                    ..AckOf::default()
                },
            )]
        })]);
        let error = exchange.resolve().expect_err("it is not there");
        assert_eq!(
            error.to_string(),
            "kernel module tcp_splice is not loaded: run modprobe tcp_splice"
        );
    }

    /// Asks the family that every kernel has.
    fn ask_kernel(
        flags: u16,
        encode: impl FnOnce(&mut Writer),
    ) -> Result<(Vec<Family>, Option<String>), Error> {
        let mut exchange = Exchange::new(open()?);
        let seq = exchange.next_seq();
        let flags = flags | message::NLM_F_REQUEST | message::NLM_F_ACK;
        let request = message::build(GENL_ID_CTRL, flags, seq, CTRL_CMD_GETFAMILY, encode);
        match exchange.run(&request, &CTRL_ATTRS, decode_family)? {
            Outcome::Done { replies, warning } => Ok((replies, warning)),
            Outcome::Inconsistent => panic!("no family comes or goes during a test"),
        }
    }

    #[test]
    fn the_running_kernel_answers_a_call() {
        let (replies, warning) = ask_kernel(0, |out| out.string(CTRL_ATTR_FAMILY_NAME, "nlctrl"))
            .expect("the family is in every kernel");
        let [family] = replies.as_slice() else {
            panic!("one family was asked for: {replies:?}")
        };
        assert_eq!(family.id, GENL_ID_CTRL);
        assert!(family.groups.iter().any(|(name, _)| name == "notify"));
        assert_eq!(warning, None);
    }

    #[test]
    fn the_running_kernel_answers_a_dump() {
        let (replies, _) = ask_kernel(message::NLM_F_DUMP, |_| {}).expect("families can be listed");
        assert!(replies.iter().any(|family| family.id == GENL_ID_CTRL));
    }

    #[test]
    fn the_running_kernel_names_the_attribute_at_fault() {
        let error = ask_kernel(0, |out| {
            out.string(CTRL_ATTR_FAMILY_NAME, "nlctrl");
            // Only one byte of a number that takes two.
            out.bytes(CTRL_ATTR_FAMILY_ID, &[0]);
        })
        .expect_err("it is malformed");
        let Error::Kernel {
            message, attribute, ..
        } = error
        else {
            panic!("the kernel refuses it: {error}")
        };
        assert!(message.is_some());
        assert_eq!(attribute.as_deref(), Some("attribute 1"));
    }
}
