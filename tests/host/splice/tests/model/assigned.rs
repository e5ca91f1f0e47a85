// SPDX-License-Identifier: GPL-2.0

//! A connection that a service gives to a server: its rows from the SYN to the end, packet by packet.

use kernel::sync::{rcu::read_lock, Arc};
use splice::{
    flow::{Direction, Load},
    hook::opening,
    net::{
        forward::Output,
        netfilter::{Filter, Hook, HookState, Verdict},
        skbuff::Packet,
        time, workqueue,
    },
    pernet::Ns,
    splice::{open, Phase, Reason, Server, Splice, Unopened},
    stats::Stat,
};
use xlate::{
    build::build_data, ip::header_len, options::TcpOption, parse, parse_ip, tcp::HEADER_LEN,
    Family, Flags, FlowKey, Seq,
};

const CLIENT: Seq = Seq(0xffff_fff0);
const SERVER: Seq = Seq(5000);

/// As the client's packets arrive, and as they leave.
fn arrives() -> FlowKey {
    FlowKey::v4([192, 0, 2, 9], 5555, [192, 0, 2, 1], 80)
}

fn leaves() -> FlowKey {
    FlowKey::v4([192, 0, 2, 9], 5555, [10, 0, 0, 7], 8080)
}

fn segment(key: &FlowKey, numbers: (Seq, Seq), flags: Flags, shift: Option<u8>) -> Vec<u8> {
    let options = shift.map(|shift| [TcpOption::Nop, TcpOption::WindowScale(shift)]);
    let options = options.as_ref().map_or(&[][..], |options| options);
    let len = header_len(key.family) + HEADER_LEN + 2 * options.len();
    let mut out = vec![0; len];
    build_data(&mut out, len, key, numbers, flags, 500, options).expect("it fits");
    if flags.0 & Flags::ACK.0 == 0 {
        // It is added by whoever builds data.
        out[20 + 13] = flags.0;
        sum(&mut out, key);
    }
    out
}

/// Makes the checksum right.
fn sum(packet: &mut [u8], key: &FlowKey) {
    packet[36..38].fill(0);
    let check = xlate::checksum::tcp(key, &packet[20..]).checksum();
    packet[36..38].copy_from_slice(&check.to_be_bytes());
}

struct Balancer {
    ns: Arc<Ns>,
    splice: Arc<Splice>,
    load: Arc<Load>,
}

impl Balancer {
    fn new(output: Output) -> Balancer {
        time::set(0);
        let ns = Arc::new(Ns::new(), ()).expect("memory");
        let load = Arc::new(Load::new(), ()).expect("memory");
        let syn = syn();
        let seg = parse(&syn, Family::V4, syn.len()).expect("it is right");
        let made = open(&ns, &arrives(), server(output, &load), &seg, &syn);
        let splice = made.ok().expect("there is room");
        let again = open(&ns, &arrives(), server(output, &load), &seg, &syn);
        assert!(matches!(again, Err(Unopened::Exists)));
        assert_eq!(
            (load.get(), ns.opening.get()),
            (1, 1),
            "what was refused does not count"
        );
        let ip = parse_ip(&syn, Family::V4).expect("it is right");
        opening(&ns, &splice, Direction::ToServer, Packet::from(syn), &ip);
        let balancer = Balancer { ns, splice, load };
        assert_eq!(balancer.left(), [(leaves(), CLIENT, Flags::SYN)]);
        balancer
    }

    fn comes(&self, bytes: &[u8]) -> bool {
        let state = HookState {
            hook: Hook::PreRouting,
            family: Family::V4,
        };
        let packet = Packet::from(bytes.to_vec());
        let verdict = self.ns.filter(packet, state, &read_lock());
        matches!(verdict, Verdict::Accept(_))
    }

    /// What has left since: addresses, number, flags. Its checksum is right.
    fn left(&self) -> Vec<(FlowKey, Seq, Flags)> {
        let out = self.ns.net.0.borrow_mut().drain(..).collect::<Vec<_>>();
        let read = |(_, bytes): (Option<u64>, Vec<u8>)| {
            let seg = parse(&bytes, Family::V4, bytes.len()).expect("it is right");
            let sum = xlate::checksum::tcp(&seg.key, &bytes[20..]).fold();
            assert_eq!(sum, 0xffff, "checksum");
            (seg.key, seg.seq, seg.flags)
        };
        out.into_iter().map(read).collect()
    }

    /// A packet of the client comes, and leaves toward the server.
    fn client(&self, seq: Seq, ack: Seq, flags: Flags) {
        assert!(!self.comes(&segment(&arrives(), (seq, ack), flags, None)));
        assert_eq!(self.left(), [(leaves(), seq, flags)]);
    }

    /// The other way round.
    fn server(&self, seq: Seq, ack: Seq, flags: Flags) {
        let shift = flags.contains(Flags::SYN).then_some(9);
        let key = leaves().reverse();
        assert!(!self.comes(&segment(&key, (seq, ack), flags, shift)));
        assert_eq!(self.left(), [(arrives().reverse(), seq, flags)]);
    }

    fn look(&self, until: usize) {
        for now in (0..=until).step_by(100) {
            time::set(now);
            workqueue::look(&*self.splice);
        }
    }
}

fn syn() -> Vec<u8> {
    segment(&arrives(), (CLIENT, Seq(0)), Flags::SYN, Some(7))
}

fn server(output: Output, load: &Arc<Load>) -> Server {
    Server {
        output,
        addr: leaves().daddr,
        port: 8080,
        load: load.clone(),
    }
}

const ACK: Flags = Flags::ACK;
const FIN: Flags = Flags(Flags::FIN.0 | Flags::ACK.0);
const RST: Flags = Flags(Flags::RST.0 | Flags::ACK.0);
const ANSWER: Flags = Flags(Flags::SYN.0 | Flags::ACK.0);

#[test]
fn two_way_from_syn_to_fin() {
    let lb = Balancer::new(Output::Nat);
    // Again, and what nobody has asked for; nothing is made of it.
    assert!(!lb.comes(&syn()));
    assert_eq!(lb.left().len(), 1);
    lb.server(SERVER, CLIENT, ANSWER);
    lb.client(CLIENT.add(1), SERVER.add(1), ACK);
    lb.server(SERVER, CLIENT, RST);
    assert!(lb.splice.phase() == Phase::Opening);
    lb.server(SERVER, CLIENT.add(1), ANSWER);
    assert!(lb.splice.phase() == Phase::Live);
    // Whoever sent the SYN may not be where it came from.
    lb.client(CLIENT.add(1), SERVER, ACK);
    assert_eq!((lb.load.get(), lb.ns.opening.get()), (1, 1));
    assert!(lb.splice.is_half_open());
    let (terms, back) = lb.splice.terms(Direction::ToServer).expect("known");
    assert_eq!((terms.edit.wscale_in, back.edit.wscale_in), (7, 9));
    lb.client(CLIENT.add(1), SERVER.add(1), ACK);
    assert_eq!((lb.load.get(), lb.ns.opening.get()), (1, 0));
    assert!(!lb.splice.is_half_open());
    lb.client(CLIENT.add(1), SERVER.add(1), FIN);
    lb.server(SERVER.add(1), CLIENT.add(2), FIN);
    assert_eq!((lb.splice.phase(), lb.load.get()), (Phase::Live, 1));
    lb.client(CLIENT.add(2), SERVER.add(2), ACK);
    assert_eq!(
        (lb.splice.phase(), lb.splice.reason()),
        (Phase::Tombstone, Reason::Fin)
    );
    assert_eq!(lb.load.get(), 0);
    // What comes late is carried; the next connection is for who gives connections away.
    lb.server(SERVER.add(1), CLIENT.add(2), FIN);
    assert!(lb.comes(&syn()), "that is new");
    assert!(lb.comes(&syn()), "and has no row");
}

#[test]
fn a_rst_counts_with_the_right_number() {
    for (seq, ends) in [(CLIENT.add(1), true), (CLIENT.add(2), false)] {
        let lb = Balancer::new(Output::Nat);
        lb.server(SERVER, CLIENT.add(1), ANSWER);
        lb.client(CLIENT.add(1), SERVER.add(1), ACK);
        lb.client(seq, SERVER.add(1), RST);
        assert_eq!(lb.splice.phase() == Phase::Tombstone, ends);
        assert_eq!(lb.load.get(), u32::from(!ends));
        // Blind: nowhere near.
        let far = segment(&arrives(), (CLIENT.add(1 << 31), SERVER), RST, None);
        let before = lb.ns.counted(Stat::DropInvalidRst);
        assert!(!lb.comes(&far));
        assert!(lb.left().is_empty());
        assert_eq!(lb.ns.counted(Stat::DropInvalidRst) - before, 1);
    }
}

#[test]
fn nobody_answers() {
    for by in [
        None,
        Some(Reason::ResetByServer),
        Some(Reason::ResetByClient),
    ] {
        let lb = Balancer::new(Output::Nat);
        match by {
            None => {
                lb.look(59_900);
                assert_eq!(
                    (lb.splice.phase(), lb.ns.opening.get()),
                    (Phase::Opening, 1)
                );
                lb.look(60_000);
            }
            Some(Reason::ResetByServer) => lb.server(Seq(0), CLIENT.add(1), RST),
            Some(_) => lb.client(CLIENT.add(1), Seq(0), RST),
        }
        assert_eq!(lb.splice.reason(), by.unwrap_or(Reason::Idle));
        assert_eq!((lb.load.get(), lb.ns.opening.get()), (0, 0));
        assert!(lb.comes(&syn()), "the row is gone at once");
    }
}

#[test]
fn the_answer_goes_to_nobody() {
    let lb = Balancer::new(Output::Nat);
    lb.server(SERVER, CLIENT.add(1), ANSWER);
    lb.look(59_900);
    assert_eq!((lb.splice.phase(), lb.ns.opening.get()), (Phase::Live, 1));
    // The server says it again, for as long as it likes.
    lb.server(SERVER, CLIENT.add(1), ANSWER);
    lb.look(60_000);
    assert_eq!(lb.splice.reason(), Reason::Idle);
    assert_eq!((lb.load.get(), lb.ns.opening.get()), (0, 0));
    assert!(lb.ns.with_flow(&arrives()).is_none(), "nothing is left");
    // One whose client has none.
    let lb = Balancer::new(Output::Nat);
    lb.server(SERVER, CLIENT.add(1), ANSWER);
    lb.client(CLIENT.add(1), Seq(0), RST);
    assert_eq!(lb.splice.reason(), Reason::ResetByClient);
    assert!(lb.ns.with_flow(&arrives()).is_none(), "nothing is left");
}

/// Another service has a server of the same address and port, and a client with the same.
#[test]
fn a_packet_comes_before_it_is_sure_that_there_is_room() {
    for flags in [Flags::SYN, RST] {
        let lb = Balancer::new(Output::Nat);
        let key = FlowKey::v4([192, 0, 2, 9], 5555, [192, 0, 2, 2], 80);
        let first = segment(&key, (CLIENT, Seq(0)), Flags::SYN, Some(7));
        let seg = parse(&first, Family::V4, first.len()).expect("it is right");
        let then = segment(&key, (CLIENT.add(1), Seq(0)), flags, None);
        *lb.ns.between.borrow_mut() = Some(then);
        let made = open(&lb.ns, &key, server(Output::Nat, &lb.load), &seg, &first);
        assert!(matches!(made, Err(Unopened::Exists)));
        assert!(lb.left().is_empty());
        assert_eq!((lb.load.get(), lb.ns.opening.get()), (1, 1), "the first");
        assert!(lb.ns.with_flow(&key).is_none());
        assert_eq!(lb.ns.counted(Stat::Ended), 0);
    }
}

#[test]
fn one_way_a_client_is_asked_when_there_are_many() {
    for (pressed, answers, left) in [
        (true, false, false),
        (true, true, true),
        (false, false, true),
    ] {
        let lb = Balancer::new(Output::Rewrite);
        lb.ns.pressed.set(pressed);
        lb.client(CLIENT.add(1), SERVER.add(1), ACK);
        assert_eq!((lb.splice.phase(), lb.ns.opening.get()), (Phase::Live, 0));
        lb.look(5_900);
        assert!(lb.left().is_empty(), "it is not asked yet");
        lb.look(6_100);
        let asked = [(arrives().reverse(), SERVER, ACK)];
        assert_eq!(lb.left(), asked[..usize::from(pressed)]);
        if answers {
            lb.client(CLIENT.add(1), SERVER.add(1), ACK);
        }
        lb.look(40_000);
        lb.left();
        let there = lb.ns.with_flow(&arrives()).is_some();
        assert_eq!(there, left, "pressed: {pressed}, answers: {answers}");
        assert_eq!(lb.load.get(), u32::from(left));
    }
}

#[test]
fn one_way_an_answer_that_comes_by_is_none() {
    let lb = Balancer::new(Output::Rewrite);
    lb.server(SERVER, CLIENT.add(1), ANSWER);
    assert!(lb.splice.phase() == Phase::Opening);
    lb.client(CLIENT.add(1), SERVER.add(1), ACK);
    let (terms, back) = lb.splice.terms(Direction::ToServer).expect("known");
    assert_eq!(
        (terms.seq_origin, back.seq_origin),
        (CLIENT.add(1), SERVER.add(1))
    );
}

#[test]
fn one_way_the_client_says_that_there_was_an_answer() {
    let lb = Balancer::new(Output::Rewrite);
    // Of another connection.
    lb.client(CLIENT.add(9), SERVER.add(1), ACK);
    assert!(lb.splice.phase() == Phase::Opening);
    lb.client(CLIENT.add(1), SERVER.add(1), ACK);
    assert!(lb.splice.phase() == Phase::Live);
    assert_eq!((lb.load.get(), lb.ns.opening.get()), (1, 0));
    // Nowhere near: somebody else's.
    lb.client(CLIENT.add(2 << 20), SERVER.add(1), FIN);
    assert_eq!(lb.load.get(), 1);
    // Bytes before it were lost, and come again.
    lb.client(CLIENT.add(1001), SERVER.add(1), FIN);
    assert_eq!(lb.load.get(), 0, "it is served");
    lb.client(CLIENT.add(1002), SERVER.add(9), ACK);
    assert!(lb.splice.phase() == Phase::Live);
    // Its server is answering: somebody has made this up, or the server knows better.
    let next = segment(&arrives(), (Seq(77), Seq(0)), Flags::SYN, Some(7));
    time::set(900);
    assert!(!lb.comes(&next));
    assert_eq!(lb.left(), [(leaves(), Seq(77), Flags::SYN)]);
    assert!(lb.splice.phase() == Phase::Live);
    // The client has closed, and begins another: not the row's.
    time::set(2_000);
    assert!(lb.comes(&next));
    assert_eq!(
        (lb.splice.phase(), lb.splice.reason()),
        (Phase::Tombstone, Reason::Fin)
    );
    assert_eq!(lb.load.get(), 0);
}

#[test]
fn another_syn_is_another_connection() {
    let lb = Balancer::new(Output::Nat);
    assert!(lb.comes(&segment(
        &arrives(),
        (CLIENT.add(1), Seq(0)),
        Flags::SYN,
        None
    )));
    assert_eq!((lb.load.get(), lb.ns.opening.get()), (0, 0));
    assert!(lb.left().is_empty());
    // What is not right is not believed.
    let lb = Balancer::new(Output::Nat);
    let mut wrong = segment(&leaves().reverse(), (SERVER, CLIENT.add(1)), ANSWER, None);
    wrong[36] ^= 1;
    assert!(!lb.comes(&wrong));
    assert_eq!((lb.left(), lb.splice.phase()), (vec![], Phase::Opening));
    assert_eq!(lb.ns.counted(Stat::DropMalformed), 1);
}
