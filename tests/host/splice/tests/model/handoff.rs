// SPDX-License-Identifier: GPL-2.0

//! A connection that goes to another host or comes from one, as its packets see it.

use std::cell::RefCell;
use std::rc::Rc;

use kernel::prelude::ThisModule;
use kernel::sync::{rcu::read_lock, Arc};
use splice::{
    flow::FIN_SEEN,
    net::{
        birth::{accept, listen, Unborn},
        forward::{Hop, Output},
        leg::{Migrant, Numbers, TcpState, Wake},
        netfilter::{Filter, Hook, HookState, Verdict},
        rcu,
        skbuff::Packet,
        socket::{Tcp, TcpSocket},
        time, workqueue,
    },
    pernet::Ns,
    splice::{export, import, Absent, Phase, Reason, Splice, Stream, Wishes},
};
use xlate::{build::build_data, ip::header_len, tcp::HEADER_LEN, Family, Flags, FlowKey, Seq};

const CLIENT: Seq = Seq(0xffff_ff00);
const OURS: Seq = Seq(5000);

fn key() -> FlowKey {
    FlowKey::v4([192, 0, 2, 9], 5555, [192, 0, 2, 1], 80)
}

/// A socket that notes what becomes of it.
#[derive(Default)]
struct Noted {
    got: Vec<Vec<u8>>,
    asleep: bool,
    gone: bool,
}

impl Tcp for Noted {
    fn numbers(&self) -> Numbers {
        Numbers {
            arrives: key(),
            state: TcpState::Established,
            rcv_nxt: CLIENT,
            rcv_edge: CLIENT.add(60_000),
            copied_seq: CLIENT.sub(10),
            snd_una: OURS,
            write_seq: OURS.add(700),
            snd_edge: OURS.add(60_000),
            wscale_in: 7,
            wscale_out: 9,
            tsval: 1000,
            ts_recent: 77,
            tsecr: 0,
            peer_mss: 1460,
            our_mss: 1460,
            timestamps: false,
            sack: true,
            ecn: false,
            accecn: false,
            scoped: false,
            signed: false,
            ulp: false,
            urgent: false,
            usec: false,
            dead: false,
        }
    }

    fn deliver(&mut self, packet: Vec<u8>) {
        self.got.push(packet);
    }

    fn take(&mut self, _most: usize) -> Vec<u8> {
        Vec::new()
    }

    fn send(&mut self, _bytes: &[u8]) {}

    fn send_fin(&mut self) {}

    fn out_of_order(&self) -> Vec<(Seq, Vec<u8>, bool)> {
        vec![
            (CLIENT.add(100), vec![1; 5], false),
            (CLIENT.add(200), vec![2; 30], true),
        ]
    }

    fn sleep(&mut self) {
        self.asleep = true;
    }

    fn wake(&mut self, _at: &Wake) -> bool {
        false
    }

    fn push(&mut self) {}

    fn vanish(&mut self) {
        self.gone = true;
    }
}

struct Host {
    ns: Arc<Ns>,
    socket: Rc<RefCell<Noted>>,
}

impl Host {
    fn new() -> Host {
        time::set(0);
        Host {
            ns: Arc::new(Ns::new(), ()).expect("memory"),
            socket: Rc::default(),
        }
    }

    fn export(&self) -> (Arc<Splice>, Migrant) {
        let socket = TcpSocket::new(self.socket.clone());
        let made = export(&self.ns, socket, &Wishes::default(), None, &ThisModule);
        let (splice, migrant, rcv_max) = made.ok().expect("it can move");
        assert_eq!(rcv_max, CLIENT.add(230));
        (splice, migrant)
    }

    fn sees(&self, bytes: &[u8], hook: Hook) -> bool {
        let state = HookState {
            hook,
            family: Family::V4,
        };
        let packet = Packet::from(bytes.to_vec());
        matches!(
            self.ns.filter(packet, state, &read_lock()),
            Verdict::Accept(_)
        )
    }

    /// A packet of the client comes in. Whether it goes on to the local stack.
    fn comes(&self, bytes: &[u8]) -> bool {
        self.sees(bytes, Hook::PreRouting)
    }

    /// What has left since.
    fn left(&self) -> Vec<Vec<u8>> {
        let out = self.ns.net.0.borrow_mut().drain(..).collect::<Vec<_>>();
        out.into_iter().map(|(_, bytes)| bytes).collect()
    }
}

fn segment(key: &FlowKey, seq: Seq, flags: Flags, bytes: &[u8]) -> Vec<u8> {
    let headers = header_len(key.family) + HEADER_LEN;
    let mut out = vec![0; headers + bytes.len()];
    out[headers..].copy_from_slice(bytes);
    build_data(&mut out, headers, key, (seq, OURS), flags, 500, &[]).expect("it fits");
    out
}

fn from_client(seq: Seq, flags: Flags, bytes: &[u8]) -> Vec<u8> {
    segment(&key(), seq, Flags::ACK.union(flags), bytes)
}

fn hop() -> Hop {
    Hop {
        output: Output::Direct,
        via: [10; 16],
    }
}

#[test]
fn what_was_held_goes_where_the_connection_goes() {
    let host = Host::new();
    let (splice, migrant) = host.export();
    assert_eq!(
        (migrant.rcv_start, migrant.snd_next),
        (CLIENT.sub(10), OURS.add(700))
    );
    assert!(host.socket.borrow().asleep);
    let packets: Vec<_> = (0..5u32)
        .map(|n| from_client(CLIENT.add(3 * n), Flags::ACK, b"abc"))
        .collect();
    for packet in &packets {
        assert!(!host.comes(packet));
    }
    assert_eq!(host.left(), Vec::<Vec<u8>>::new());
    assert!(splice.depart(hop()));
    assert!(host.socket.borrow().gone);
    // As they came, every byte.
    assert_eq!(host.left(), packets);
    assert!(!host.comes(&packets[0]));
    assert_eq!(host.left(), &packets[..1]);
    assert!(host.socket.borrow().got.is_empty());
    assert!(!splice.depart(hop()) && !splice.resume(), "it is gone");
}

#[test]
fn what_was_held_is_the_sockets_if_it_stays() {
    for late in [false, true] {
        let host = Host::new();
        let (splice, _) = host.export();
        let packet = from_client(CLIENT, Flags::ACK, b"abc");
        assert!(!host.comes(&packet));
        if late {
            // Whoever began it says nothing.
            time::set(4999);
            workqueue::look(&*splice);
            assert!(host.socket.borrow().got.is_empty());
            time::set(5000);
            workqueue::look(&*splice);
        } else {
            assert!(splice.resume());
        }
        assert_eq!(host.socket.borrow().got, [&packet[..]]);
        assert!(!host.socket.borrow().gone);
        assert_eq!(host.left(), Vec::<Vec<u8>>::new());
        assert!(host.comes(&packet), "nothing is in its way");
        assert!(!splice.depart(hop()), "it stays");
    }
}

#[test]
fn nothing_new_leaves_before_it_is_known_who_has_it() {
    let host = Host::new();
    let (_splice, migrant) = host.export();
    // As the fake socket says, nothing had been sent.
    assert_eq!(migrant.snd_sent, Seq(0));
    let back = key().reverse();
    let repeated = segment(&back, Seq(0).sub(3), Flags::ACK, b"abc");
    let new = segment(&back, Seq(0).sub(2), Flags::ACK, b"abc");
    assert!(host.sees(&repeated, Hook::LocalOut));
    assert!(!host.sees(&new, Hook::LocalOut));
}

#[test]
fn a_client_that_is_asked_is_there_or_gone() {
    for answers in [true, false] {
        let host = Host::new();
        let (splice, _) = host.export();
        assert!(splice.depart(hop()));
        let rst = from_client(CLIENT, Flags::RST, b"");
        assert!(!host.comes(&rst));
        assert_eq!(host.left(), &[rst.clone()][..], "who has it judges that");
        for now in (0..=25_000).step_by(100) {
            time::set(now);
            workqueue::look(&*splice);
            let probes = host.left().len();
            assert!(probes <= 1);
            if probes == 1 && answers {
                assert!(!host.comes(&from_client(CLIENT, Flags::ACK, b"")));
            } else if probes == 1 {
                assert!(!host.comes(&rst));
            }
            host.left();
            assert_eq!(
                splice.phase() == Phase::Live,
                answers || now < 20_000,
                "{now}"
            );
        }
        let reason = if answers {
            Reason::None
        } else {
            Reason::ResetByClient
        };
        assert_eq!(splice.reason(), reason);
    }
}

#[test]
fn a_client_in_time_wait_is_not_kept_there() {
    const TIME_WAIT: usize = 60_000;
    let host = Host::new();
    let socket = TcpSocket::new(host.socket.clone());
    let wishes = Wishes {
        idle_timeout: Some(5000),
        ..Wishes::default()
    };
    let exported = export(&host.ns, socket, &wishes, None, &ThisModule);
    let (splice, _, _) = exported.ok().expect("it can move");
    assert!(splice.depart(hop()));
    assert!(!host.comes(&from_client(CLIENT, Flags::FIN, b"")));
    host.left();
    // As Linux has it: whatever comes begins the minute anew, and is answered (tcp_timewait_state_process).
    let mut until = TIME_WAIT;
    let ended = (0..200_000usize).step_by(100).find(|now| {
        time::set(*now);
        workqueue::look(&*splice);
        for _ in host.left() {
            let there = *now < until;
            let flags = if there { Flags::ACK } else { Flags::RST };
            until = if there { now + TIME_WAIT } else { until };
            assert!(!host.comes(&from_client(CLIENT.add(1), flags, b"")));
            host.left();
        }
        splice.phase() == Phase::Tombstone
    });
    assert!(ended.is_some_and(|ended| ended > TIME_WAIT));
}

#[test]
fn what_comes_late_does_not_shorten_the_time_for_it() {
    let host = Host::new();
    let (splice, _) = host.export();
    assert!(splice.depart(hop()));
    let rst = from_client(CLIENT, Flags::RST, b"");
    let ack = from_client(CLIENT, Flags::ACK, b"");
    assert!(!host.comes(&rst));
    let at = |now| {
        time::set(now);
        workqueue::look(&*splice);
        // Each says something else than the one before, once it is over.
        let live = splice.phase() == Phase::Live;
        !host.comes(&rst) && (live || !host.comes(&ack) && !host.comes(&rst))
    };
    assert!((0..80_000).step_by(100).all(at));
    assert!(splice.phase() == Phase::Tombstone);
    assert!(!at(80_300) && !at(80_400), "a minute is over");
}

#[test]
fn the_same_addresses_again_are_this_hosts() {
    let host = Host::new();
    let (splice, _) = host.export();
    assert!(splice.depart(hop()));
    let syn = segment(&key(), Seq(9), Flags::SYN, b"");
    let syn = {
        // Without an acknowledgement.
        let mut syn = syn;
        syn[20 + 13] = Flags::SYN.0;
        syn[36..38].fill(0);
        let check = xlate::checksum::tcp(&key(), &syn[20..]).checksum();
        syn[36..38].copy_from_slice(&check.to_be_bytes());
        syn
    };
    assert!(
        !host.comes(&syn),
        "the connection is open: who has it answers"
    );
    assert_eq!(host.left().len(), 1);
    // One whose number nobody knows, and the right one.
    assert!(!host.comes(&from_client(CLIENT.add(2 << 20), Flags::FIN, b"")));
    assert!(!splice.to_server().has(FIN_SEEN));
    let end = splice.to_server().seq_next();
    assert!(!host.comes(&from_client(end, Flags::FIN, b"")));
    assert!(splice.to_server().has(FIN_SEEN));
    host.left();
    time::set(900);
    assert!(!host.comes(&syn), "who has it is answering");
    assert_eq!(host.left().len(), 1);
    time::set(2_000);
    let mut wrong = syn.clone();
    wrong[36] ^= 1;
    assert!(!host.comes(&wrong));
    time::set(4_000);
    assert!(host.comes(&syn));
    assert!(host.comes(&syn));
    assert_eq!(splice.reason(), Reason::Fin);
}

#[test]
fn a_connection_that_comes_holds_its_packets_and_is_silent() {
    let host = Host::new();
    let migrant = Migrant {
        fin: false,
        rcv_start: CLIENT.sub(10),
        rcv_next: CLIENT,
        snd_sent: OURS,
        snd_next: OURS.add(4),
        ..host_migrant()
    };
    let splice = import(&host.ns, &migrant, None)
        .ok()
        .expect("nothing is in its way");
    let packet = from_client(CLIENT, Flags::ACK, b"abc");
    assert!(!host.comes(&packet));
    let answer = segment(&key().reverse(), OURS, Flags::ACK, b"");
    assert!(!host.sees(&answer, Hook::LocalOut));
    let write = |stream, seq, bytes: &[u8]| splice.write_moving(stream, seq, bytes).is_ok();
    // In order, and no more than there is.
    assert!(!write(Stream::Received, CLIENT.sub(9), b"x"));
    assert!(write(Stream::Received, CLIENT.sub(10), b"0123456"));
    assert!(!write(Stream::Received, CLIENT.sub(2), b"x"));
    assert!(matches!(splice.arrive(None), Err(Absent::Bytes)));
    assert!(host.comes(&packet), "it is forgotten");
    assert!(!write(Stream::Sent, OURS, b"abcd"));

    let splice = import(&host.ns, &migrant, None)
        .ok()
        .expect("nothing is in its way");
    let write = |stream, seq, bytes: &[u8]| splice.write_moving(stream, seq, bytes).is_ok();
    assert!(write(Stream::Received, CLIENT.sub(10), b"0123456789"));
    // After a gap, but only beyond what is in order, and within the window.
    assert!(write(Stream::Received, CLIENT.add(100), b"x"));
    assert!(!write(Stream::Received, CLIENT.add(99), b"x"));
    assert!(!write(Stream::Received, CLIENT.add(60_000), b"x"));
    assert!(!write(Stream::Sent, OURS.add(1), b"bcd"));
    assert!(write(Stream::Sent, OURS, b"ab"));
    assert!(!write(Stream::Sent, OURS.add(2), b"cde"));
    assert!(write(Stream::Sent, OURS.add(2), b"cd"));
    // Nobody listens here.
    assert!(matches!(
        splice.arrive(None),
        Err(Absent::Unborn(Unborn::Nobody))
    ));
    assert!(matches!(splice.arrive(None), Err(Absent::NotArriving)));
    assert!(host.comes(&packet) && host.sees(&answer, Hook::LocalOut));
    assert_eq!(host.left(), Vec::<Vec<u8>>::new());
}

/// A connection that has gone from this host, and is about to come back.
fn on_its_way_back(host: &Host) -> (Arc<Splice>, Arc<Splice>) {
    let (gone, _) = host.export();
    assert!(gone.depart(hop()));
    host.left();
    let migrant = Migrant {
        rcv_start: CLIENT.add(3),
        rcv_next: CLIENT.add(7),
        snd_sent: OURS.add(2),
        snd_next: OURS.add(5),
        ..host_migrant()
    };
    let back = import(&host.ns, &migrant, None)
        .ok()
        .expect("its packets go on from here");
    (gone, back)
}

#[test]
fn a_connection_comes_back_and_goes_again() {
    listen(true);
    let host = Host::new();
    let answer = segment(&key().reverse(), OURS, Flags::ACK, b"");
    for _ in 0..3 {
        let (gone, back) = on_its_way_back(&host);
        assert!(std::ptr::eq(&*gone, &*back), "the flows are the same");
        assert!(back.is_expected());
        let packets: Vec<_> = (0..3u32)
            .map(|n| from_client(CLIENT.add(7 + 3 * n), Flags::ACK, b"abc"))
            .collect();
        assert!(packets.iter().all(|packet| !host.comes(packet)));
        assert_eq!(host.left(), Vec::<Vec<u8>>::new(), "they wait");
        assert!(!host.sees(&answer, Hook::LocalOut), "nor is anything said");
        let migrant = host_migrant();
        assert!(import(&host.ns, &migrant, None).is_err(), "once at a time");
        let write = |stream, seq, bytes: &[u8]| back.write_moving(stream, seq, bytes).is_ok();
        assert!(write(Stream::Received, CLIENT.add(3), b"read"));
        assert!(write(Stream::Sent, OURS, b"downs"));
        assert!(back.arrive(None).is_ok());
        let born = accept().expect("somebody listens");
        assert!(!born.aborted);
        assert_eq!(born.rcv_next, CLIENT.add(16));
        assert!(born.got.ends_with(&packets));
        assert_eq!(born.sent, (b"wns".to_vec(), b"do".to_vec()));
        // It is an ordinary connection.
        assert!(host.comes(&packets[0]) && host.sees(&answer, Hook::LocalOut));
        assert_eq!(host.left(), Vec::<Vec<u8>>::new());
        assert_eq!(back.reason(), Reason::Returned);
        assert!(!back.is_expected());
        workqueue::look(&*back);
        assert!(host.comes(&packets[0]));
    }
    listen(false);
}

#[test]
fn a_connection_that_does_not_come_back_is_where_it_was() {
    #[derive(Clone, Copy, PartialEq)]
    enum Why {
        Nobody,
        Aborted,
        Late,
    }
    let host = Host::new();
    let (splice, _) = host.export();
    assert!(splice.depart(hop()));
    for why in [Why::Nobody, Why::Aborted, Why::Late] {
        time::set(100_000);
        let early = from_client(CLIENT, Flags::ACK, b"early");
        // While those are waited for that saw the old phase.
        let ns = host.ns.clone();
        let sent = early.clone();
        rcu::meanwhile(move || {
            let state = HookState {
                hook: Hook::PreRouting,
                family: Family::V4,
            };
            ns.filter(Packet::from(sent), state, &read_lock());
        });
        let back = import(&host.ns, &host_migrant(), None).ok().expect("known");
        let packet = from_client(CLIENT.add(5), Flags::ACK, b"abc");
        assert!(!host.comes(&packet));
        time::set(104_999);
        workqueue::look(&*back);
        assert_eq!(host.left(), Vec::<Vec<u8>>::new());
        match why {
            Why::Nobody => assert!(matches!(
                back.arrive(None),
                Err(Absent::Unborn(Unborn::Nobody))
            )),
            Why::Aborted => assert!(back.abort_moving()),
            Why::Late => {
                time::set(105_000);
                workqueue::look(&*back);
            }
        }
        assert_eq!(host.left(), [early, packet.clone()]);
        assert!(matches!(back.arrive(None), Err(Absent::NotArriving)));
        assert!(!host.comes(&packet));
        assert_eq!(host.left(), [packet]);
        assert!(back.phase() == Phase::Live);
    }
}

#[test]
fn a_connection_that_is_cut_on_its_way_back_does_not_come() {
    listen(true);
    let host = Host::new();
    let (_, back) = on_its_way_back(&host);
    assert!(back
        .write_moving(Stream::Received, CLIENT.add(3), b"read")
        .is_ok());
    assert!(back.write_moving(Stream::Sent, OURS, b"downs").is_ok());
    assert!(back.cut(Reason::Deleted));
    assert!(matches!(back.arrive(None), Err(Absent::Lost)));
    assert!(accept().expect("it was born").aborted);
    let packet = from_client(CLIENT, Flags::ACK, b"abc");
    host.left();
    assert!(!host.comes(&packet));
    assert_eq!(host.left().len(), 1, "answered with a RST");
    listen(false);
}

#[test]
fn a_connection_comes_with_all_its_bytes_or_not_at_all() {
    let host = Host::new();
    let migrant = Migrant {
        rcv_start: CLIENT.sub(3),
        snd_next: OURS.add(2),
        ..host_migrant()
    };
    for (received, sent) in [(&b"abc"[..], &b"d"[..]), (b"ab", b"de"), (b"abc", b"de")] {
        let splice = import(&host.ns, &migrant, None)
            .ok()
            .expect("nothing is in its way");
        let write = |stream, seq, bytes: &[u8]| splice.write_moving(stream, seq, bytes).is_ok();
        assert!(write(Stream::Received, CLIENT.sub(3), received));
        assert!(write(Stream::Sent, OURS, sent));
        let whole = received.len() + sent.len() == 5;
        match splice.arrive(None) {
            Err(Absent::Bytes) => assert!(!whole),
            Err(Absent::Unborn(_)) => assert!(whole),
            _ => panic!("nobody listens"),
        }
    }
}

fn host_migrant() -> Migrant {
    Migrant {
        arrives: key(),
        rcv_start: CLIENT,
        rcv_next: CLIENT,
        rcv_edge: CLIENT.add(60_000),
        snd_una: OURS,
        snd_sent: OURS,
        snd_next: OURS,
        snd_edge: OURS.add(60_000),
        wscale: Some((7, 9)),
        stamps: None,
        mss: 1460,
        acked: 0,
        usec: false,
        sack: true,
        ecn: false,
        fin: false,
    }
}
