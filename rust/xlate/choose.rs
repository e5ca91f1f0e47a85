// SPDX-License-Identifier: GPL-2.0

//! Which node of a service a packet goes to.
//!
//! All of it is a pure function of the packet and of what is known of the nodes, so that hosts with the same
//! configuration choose alike without telling one another, and a host that was restarted as it did before.
//!
//! The nodes of a flow have an order: by score, the highest first (highest random weight, Thaler and
//! Ravishankar 1998). Who is alive says which of them are asked and never changes the order, so that
//! a node that comes or goes moves its own share alone. What a node has been given by another node goes on to nodes
//! further down the order only: it comes to an end whatever the hosts think of one another.
//!
//! Weights are those of the logarithmic method (Schindelhauer and Schomaker 2005): with a random number u of (0, 1] for
//! each node, the smallest -log(u) / weight wins with a probability in proportion to the weight. It is what
//! as many copies of the node would give, at the price of one.

use super::key::FlowKey;

/// What a node is given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Everything.
    Up,
    /// Packets of connections that it may have, no new ones.
    Draining,
    /// Nothing.
    Down,
}

/// What is known of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Member {
    /// The same on all hosts; no two members of a service share one.
    pub id: u32,
    /// Share, relative to the others; 0 counts as 1.
    pub weight: u8,
    /// What it is given.
    pub state: State,
    /// First and last destination port that it owns.
    pub ports: (u16, u16),
}

impl Member {
    /// Whether it may have connections.
    #[inline]
    const fn is_alive(&self) -> bool {
        !matches!(self.state, State::Down)
    }

    #[inline]
    const fn is_up(&self) -> bool {
        matches!(self.state, State::Up)
    }

    #[inline]
    const fn owns(&self, port: u16) -> bool {
        let (low, high) = self.ports;
        low <= port && port <= high
    }
}

/// The finaliser of MurmurHash3: every bit of the result depends on every bit of `x`.
#[inline]
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// 2^64 divided by the golden ratio, odd: neighbouring numbers end up far apart.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A number for the flow whose packets from the client have this key, the same on all hosts with this seed.
#[inline]
pub fn flow_hash(seed: u32, key: &FlowKey) -> u64 {
    let [ports_0, ports_1] = key.sport;
    let [ports_2, ports_3] = key.dport;
    let last = [
        ports_0,
        ports_1,
        ports_2,
        ports_3,
        0,
        0,
        0,
        key.family as u8,
    ];
    let mut hash = mix(GOLDEN ^ u64::from(seed));
    for half in [&key.saddr, &key.daddr] {
        let [a, b, c, d, e, f, g, h, rest @ ..] = *half;
        hash = mix(hash ^ u64::from_be_bytes([a, b, c, d, e, f, g, h]));
        hash = mix(hash ^ u64::from_be_bytes(rest));
    }
    mix(hash ^ u64::from_be_bytes(last))
}

/// A number for the client whose packets have this key, whatever it connects to; the same on all hosts with this seed.
#[inline]
pub fn source_hash(seed: u32, key: &FlowKey) -> u64 {
    let mut hash = mix(GOLDEN ^ u64::from(seed));
    let [a, b, c, d, e, f, g, h, rest @ ..] = key.saddr;
    hash = mix(hash ^ u64::from_be_bytes([a, b, c, d, e, f, g, h]));
    hash = mix(hash ^ u64::from_be_bytes(rest));
    mix(hash ^ u64::from(key.family as u8))
}

/// Steps of [`LOG2`], as a power of two.
const STEP_BITS: u32 = 8;
const STEPS: usize = 1 << STEP_BITS;

/// log2(1 + i / 256) in units of 2^-32, for i from 0 to 256.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which would not let it pass"
)]
static LOG2: [u64; STEPS + 1] = {
    let mut table = [0; STEPS + 1];
    let mut i = 0;
    while i < STEPS {
        // 1 + i / 256 in units of 2^-31. A square has twice the logarithm: if it is 2 or more, that is a bit of it.
        let mut x = ((STEPS + i) as u64) << (31 - STEP_BITS);
        let mut bit = 1 << 31;
        while bit > 0 {
            x = (x * x) >> 31;
            if x >> 32 != 0 {
                x >>= 1;
                table[i] |= bit;
            }
            bit >>= 1;
        }
        i += 1;
    }
    table[STEPS] = 1 << 32;
    table
};

/// -log2((x + 1) / 2^64), in units of 2^-32.
#[inline]
fn neg_log2(x: u64) -> u64 {
    // Never 0. That all ones becomes one of 2^64 numbers that are taken for 1 makes no difference.
    let x = x.saturating_add(1);
    let zeros = x.leading_zeros();
    let mantissa = x << zeros;
    // Without the leading one: the step, then how far into it, in units of 2^-24.
    let step = (mantissa >> (63 - STEP_BITS)) as usize & (STEPS - 1);
    let part = (mantissa >> (63 - STEP_BITS - 24)) & 0xff_ffff;
    let low = LOG2.get(step).copied().unwrap_or(0);
    let high = LOG2.get(step.wrapping_add(1)).copied().unwrap_or(low);
    let within = high.wrapping_sub(low).wrapping_mul(part) >> 24;
    let whole = u64::from(zeros).wrapping_add(1) << 32;
    whole.wrapping_sub(low.wrapping_add(within))
}

/// Where a node stands in the order of a flow: the smaller, the further up. No two nodes share a rank.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Rank(u64, u32);

/// The rank of a node for a flow.
#[inline]
pub fn rank(flow: u64, member: &Member) -> Rank {
    let score = mix(flow.wrapping_add(u64::from(member.id).wrapping_mul(GOLDEN)));
    let weight = u64::from(member.weight.max(1));
    // At most 64 before the point: room for 16 more bits behind it.
    let cost = (neg_log2(score) << 16).checked_div(weight).unwrap_or(0);
    Rank(cost, member.id)
}

/// Nodes and their indices. (`enumerate` could overflow, in theory.)
#[inline]
fn indexed(members: &[Member]) -> impl Iterator<Item = (usize, &Member)> {
    (0..members.len()).zip(members)
}

/// The first node, in the order of the flow, of those that `which` takes.
#[inline]
fn first(members: &[Member], flow: u64, which: impl Fn(usize, &Member) -> bool) -> Option<usize> {
    let mut best: Option<(Rank, usize)> = None;
    for (i, member) in indexed(members) {
        if !which(i, member) {
            continue;
        }
        let rank = rank(flow, member);
        if best.is_none_or(|(top, _)| rank < top) {
            best = Some((rank, i));
        }
    }
    best.map(|(_, i)| i)
}

/// Nodes in turn, each as often as its share says.
///
/// Node by node of the weighted turns would give one node many packets in a row; turns are therefore taken with a stride
/// that has no common factor with their number. In as many turns as there are, each node has exactly its share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wheel {
    turns: u32,
    stride: u32,
    /// Nobody is up, but somebody is draining.
    last_resort: bool,
    weighted: bool,
}

const fn have_common_factor(mut a: u32, mut b: u32) -> bool {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a != 1
}

impl Wheel {
    /// For these nodes, of which all count alike if not `weighted`.
    pub fn new(members: &[Member], weighted: bool) -> Wheel {
        let mut wheel = Wheel {
            turns: 0,
            stride: 1,
            last_resort: !members.iter().any(Member::is_up),
            weighted,
        };
        wheel.turns = members
            .iter()
            .fold(0, |sum: u32, m| sum.wrapping_add(wheel.share(m)));
        // Near the golden section of the turns, where neighbours end up far apart.
        wheel.stride = ((u64::from(wheel.turns).wrapping_mul(GOLDEN >> 32)) >> 32) as u32;
        while have_common_factor(wheel.turns, wheel.stride) && wheel.stride < wheel.turns {
            wheel.stride = wheel.stride.wrapping_add(1);
        }
        wheel
    }

    #[inline]
    fn share(&self, member: &Member) -> u32 {
        let takes = match self.last_resort {
            false => member.is_up(),
            true => member.is_alive(),
        };
        match (takes, self.weighted) {
            (false, _) => 0,
            (true, false) => 1,
            (true, true) => u32::from(member.weight.max(1)),
        }
    }

    /// The node whose turn it is, the `n`th time; `None` if none is alive.
    #[inline]
    pub fn turn(&self, members: &[Member], n: u64) -> Option<usize> {
        let turns = u64::from(self.turns);
        let mut at = n
            .checked_rem(turns)?
            .wrapping_mul(self.stride.into())
            .checked_rem(turns)?;
        for (i, member) in indexed(members) {
            let share = self.share(member).into();
            if at < share {
                return Some(i);
            }
            at = at.wrapping_sub(share);
        }
        None
    }
}

/// The node that a new connection goes to, by how many each has: the one that has the fewest for its weight, this one counted in.
///
/// `load` says how many a node has, by index. Of those that are equal it is the first from `start` on, going round: which
/// matters when all are idle. Nodes that drain are used if none is up.
pub fn by_load(members: &[Member], start: usize, load: &dyn Fn(usize) -> u32) -> Option<usize> {
    let last_resort = !members.iter().any(Member::is_up);
    let mut best: Option<(u64, u64, usize)> = None;
    let turn = start.checked_rem(members.len()).unwrap_or(0);
    for (i, member) in indexed(members)
        .skip(turn)
        .chain(indexed(members).take(turn))
    {
        if !(member.is_up() || last_resort && member.is_alive()) {
            continue;
        }
        let with = u64::from(load(i)).wrapping_add(1);
        let weight = u64::from(member.weight.max(1));
        // with / weight < its with / its weight; 33 bits by 8.
        let fewer = |its_with: u64, its_weight: u64| {
            with.wrapping_mul(its_weight) < its_with.wrapping_mul(weight)
        };
        if best.is_none_or(|(its_with, its_weight, _)| fewer(its_with, its_weight)) {
            best = Some((with, weight, i));
        }
    }
    best.map(|(_, _, i)| i)
}

/// Where a packet of a service came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Not from a node.
    Outside,
    /// From the node of this index, which does not have its connection.
    Node(usize),
    /// Perhaps from a node.
    Unsure,
}

/// Where it goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    /// To this host's own stack: it has the connection, or is to have it.
    Local,
    /// To the node of this index.
    Node(usize),
    /// Nobody is left to ask.
    Nobody,
}

/// What the choice depends on beside the nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// [`flow_hash`] or [`source_hash`].
    pub flow: u64,
    /// Destination port.
    pub port: u16,
    /// Whether the packet opens a connection: a SYN without ACK.
    pub opens: bool,
}

/// The node that a load balancer sends a packet to, by score.
///
/// New connections go to nodes that are up; what belongs to a connection goes to the first that may have it, and if that one does
/// not, it knows whom to ask next.
#[inline]
pub fn by_score(members: &[Member], ask: &Ask) -> Option<usize> {
    let alive = |_, m: &Member| m.is_alive();
    if ask.opens {
        first(members, ask.flow, |_, m| m.is_up()).or_else(|| first(members, ask.flow, alive))
    } else {
        first(members, ask.flow, alive)
    }
}

/// The node that a load balancer sends a packet to, by port.
#[inline]
pub fn by_port(members: &[Member], ask: &Ask) -> Option<usize> {
    let mut owners = indexed(members).filter(|(_, m)| m.owns(ask.port) && m.is_alive());
    owners.next().map(|(i, _)| i)
}

/// What a proxy, which is the node `me`, does with a packet of no flow and no socket of its own, by score.
///
/// What came from a node goes down the order only, from this host on.
pub fn by_score_among(members: &[Member], me: usize, ask: &Ask, origin: Origin) -> Choice {
    let Some(own) = members.get(me) else {
        return Choice::Local;
    };
    let own_rank = rank(ask.flow, own);
    let from_outside = origin == Origin::Outside;
    // Who sent the packet was asked.
    let below =
        |i, m: &Member| from_outside || (origin != Origin::Node(i) && rank(ask.flow, m) > own_rank);
    if ask.opens {
        // Whoever sent it here thinks that this host is the first that is up.
        if !from_outside && own.is_up() {
            return Choice::Local;
        }
        let mut taker = first(members, ask.flow, |i, m| m.is_up() && below(i, m));
        if from_outside && taker.is_none() {
            taker = first(members, ask.flow, |_, m| m.is_alive());
        }
        return match taker {
            Some(i) if i != me => Choice::Node(i),
            _ => Choice::Local,
        };
    }
    match first(members, ask.flow, |i, m| {
        i != me && m.is_alive() && below(i, m)
    }) {
        Some(i) => Choice::Node(i),
        None => Choice::Nobody,
    }
}

/// The same by port: there is nobody to ask but the owner.
pub fn by_port_among(members: &[Member], me: usize, ask: &Ask, origin: Origin) -> Choice {
    let mut owners = indexed(members).filter(|(_, m)| m.owns(ask.port));
    match owners.next() {
        // A port of nobody's is this host's own affair.
        None => Choice::Local,
        Some((i, _)) if i == me && ask.opens => Choice::Local,
        Some((i, _)) if i == me => Choice::Nobody,
        Some((i, owner)) if origin == Origin::Outside && owner.is_alive() => Choice::Node(i),
        Some(_) => Choice::Nobody,
    }
}

#[cfg(any(test, CONFIG_KUNIT = "y"))]
#[cfg_attr(
    CONFIG_KUNIT = "y",
    kernel::prelude::kunit_tests(tcp_splice_xlate_choose)
)]
mod tests {
    use super::*;

    const fn node(id: u32, state: State) -> Member {
        Member {
            id,
            weight: 1,
            state,
            ports: (0, 0),
        }
    }

    /// The same numbers come out of a program of 20 lines in Python, which knows only the text above.
    #[test]
    fn the_order_is_the_same_everywhere() {
        let v4 = FlowKey::v4([198, 51, 100, 7], 51234, [203, 0, 113, 10], 443);
        assert_eq!(flow_hash(0, &v4), V4_HASH);
        assert_eq!(flow_hash(1, &v4), V4_HASH_SEEDED);
        let mut client = [0; 16];
        (client[0], client[1], client[15]) = (0x20, 0x01, 7);
        let v6 = FlowKey::v6(client, 51234, [0xfd; 16], 443);
        assert_eq!(flow_hash(0, &v6), V6_HASH);
        let mut last = Rank(0, 0);
        for id in ORDER {
            let rank = rank(V4_HASH, &node(id, State::Up));
            assert!(rank > last);
            last = rank;
        }
    }

    const V4_HASH: u64 = 0xa560_6c4d_bee1_d4ac;
    const V4_HASH_SEEDED: u64 = 0x44ee_6be2_7ee4_f32e;
    const V6_HASH: u64 = 0x992f_e33c_5268_8feb;
    const ORDER: [u32; 5] = [4, 5, 2, 1, 3];

    #[test]
    fn logarithms() {
        // In units of 2^-32, by hand: -log2(1), -log2(1/2), -log2(3/4) = 0.4150374993, -log2(2^-64).
        assert!(neg_log2(u64::MAX) <= 1);
        assert_eq!(neg_log2((1 << 63) - 1), 1 << 32);
        assert!(neg_log2(3 << 62).abs_diff(1_782_572_487) < 1 << 12);
        assert_eq!(neg_log2(0), 64 << 32);
    }

    #[test]
    fn a_wheel_gives_each_its_share() {
        let mut members = [
            node(1, State::Up),
            node(2, State::Draining),
            node(3, State::Up),
            node(4, State::Down),
        ];
        members[0].weight = 5;
        let wheel = Wheel::new(&members, true);
        let mut count = [0; 4];
        let mut run = 0;
        let mut longest = 0;
        for n in 0..12 {
            let i = wheel.turn(&members, n).unwrap_or(3);
            count[i] += 1;
            run = if i == 0 { run + 1 } else { 0 };
            longest = longest.max(run);
        }
        assert_eq!(count, [10, 0, 2, 0]);
        assert_eq!(longest, 5);
        let wheel = Wheel::new(&members, false);
        let turns = [0, 1, 2, 3].map(|n| wheel.turn(&members, n));
        assert_eq!(turns, [Some(0), Some(2), Some(0), Some(2)]);
        // Better one that drains than none.
        members[0].state = State::Down;
        members[2].state = State::Down;
        assert_eq!(Wheel::new(&members, false).turn(&members, 7), Some(1));
        members[1].state = State::Down;
        assert_eq!(Wheel::new(&members, false).turn(&members, 7), None);
        assert_eq!(Wheel::new(&[], true).turn(&[], 0), None);
    }

    /// The same numbers come out of the program that made those above.
    #[test]
    fn a_client_is_its_address() {
        let v4 = FlowKey::v4([198, 51, 100, 7], 51234, [203, 0, 113, 10], 443);
        assert_eq!(source_hash(0, &v4), V4_SOURCE);
        assert_eq!(
            source_hash(0, &FlowKey::v4([198, 51, 100, 7], 1, [203, 0, 113, 11], 80)),
            V4_SOURCE
        );
        assert_ne!(source_hash(1, &v4), V4_SOURCE);
        let mut other = v4;
        other.saddr[3] = 8;
        assert_ne!(source_hash(0, &other), V4_SOURCE);
        let mut client = [0; 16];
        (client[0], client[1], client[15]) = (0x20, 0x01, 7);
        let v6 = FlowKey::v6(client, 51234, [0xfd; 16], 443);
        assert_eq!(source_hash(0, &v6), V6_SOURCE);
    }

    const V4_SOURCE: u64 = 0xd7a5_23f9_edec_e31e;
    const V6_SOURCE: u64 = 0x7ad8_2d1e_ad9f_2271;

    #[test]
    fn the_least_loaded_for_its_weight() {
        let mut members = [
            node(1, State::Up),
            node(2, State::Up),
            node(3, State::Up),
            node(4, State::Draining),
        ];
        let at = |members: &[Member], start, load: [u32; 4]| by_load(members, start, &|i| load[i]);
        // Turns among those that are equal; the one that drains has none, and gets none.
        assert_eq!(at(&members, 0, [0; 4]), Some(0));
        assert_eq!(at(&members, 1, [0; 4]), Some(1));
        assert_eq!(at(&members, 3, [0; 4]), Some(0));
        assert_eq!(at(&members, 6, [5, 5, 5, 0]), Some(2));
        assert_eq!(at(&members, 0, [2, 1, 1, 0]), Some(1));
        assert_eq!(at(&members, 2, [2, 1, 1, 0]), Some(2));
        // 4 of 3 are as many as 2 of 1.5: the next makes 5/3 there, and 2/1 here.
        members[0].weight = 3;
        assert_eq!(at(&members, 1, [4, 1, 1, 0]), Some(0));
        assert_eq!(at(&members, 1, [5, 1, 1, 0]), Some(1));
        assert_eq!(at(&members, 0, [5, 1, 1, 0]), Some(0));
        assert_eq!(
            at(&members, 0, [u32::MAX, u32::MAX - 1, u32::MAX, 0]),
            Some(0)
        );
        for member in &mut members[..3] {
            member.state = State::Down;
        }
        assert_eq!(at(&members, 0, [0, 0, 0, 9]), Some(3));
        members[3].state = State::Down;
        assert_eq!(at(&members, 0, [0; 4]), None);
        assert_eq!(by_load(&[], 5, &|_| 0), None);
    }

    #[test]
    fn ports_have_owners() {
        let mut members = [node(1, State::Up), node(2, State::Up)];
        members[0].ports = (10_000, 19_999);
        members[1].ports = (20_000, 29_999);
        let ask = |port| Ask {
            flow: 0,
            port,
            opens: false,
        };
        assert_eq!(by_port(&members, &ask(20_000)), Some(1));
        assert_eq!(by_port(&members, &ask(19_999)), Some(0));
        assert_eq!(by_port(&members, &ask(30_000)), None);
        let at = |me, port, origin| by_port_among(&members, me, &ask(port), origin);
        assert_eq!(at(0, 20_001, Origin::Outside), Choice::Node(1));
        assert_eq!(at(0, 20_001, Origin::Node(1)), Choice::Nobody);
        assert_eq!(at(0, 20_001, Origin::Unsure), Choice::Nobody);
        assert_eq!(at(1, 20_001, Origin::Outside), Choice::Nobody);
        assert_eq!(at(1, 5, Origin::Outside), Choice::Local);
        members[1].state = State::Down;
        assert_eq!(by_port(&members, &ask(20_000)), None);
        let at = |me, port, origin| by_port_among(&members, me, &ask(port), origin);
        assert_eq!(at(0, 20_001, Origin::Outside), Choice::Nobody);
    }
}
