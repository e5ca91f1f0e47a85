// SPDX-License-Identifier: GPL-2.0

//! Choosing a node: what must hold for any nodes and any flow.

use proptest::prelude::*;
use xlate::choose::{
    by_load, by_score, by_score_among, flow_hash, rank, source_hash, Ask, Choice, Member, Origin,
    State, Wheel,
};
use xlate::FlowKey;

fn state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(State::Up),
        1 => Just(State::Draining),
        1 => Just(State::Down),
    ]
}

/// Up to a dozen nodes with different ids.
fn members() -> impl Strategy<Value = Vec<Member>> {
    prop::collection::btree_map(any::<u32>(), (1..=255u8, state()), 1..12).prop_map(|nodes| {
        let member = |(id, (weight, state))| Member {
            id,
            weight,
            state,
            ports: (0, 0),
        };
        nodes.into_iter().map(member).collect()
    })
}

fn ask(flow: u64, opens: bool) -> Ask {
    Ask {
        flow,
        port: 80,
        opens,
    }
}

/// The order of a flow, by sorting.
fn order(members: &[Member], flow: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..members.len()).collect();
    order.sort_by_key(|&i| rank(flow, &members[i]));
    order
}

proptest! {
    #![proptest_config(crate::config())]

    /// The least loaded: nobody who takes connections would be left with fewer for its weight; from each start one of
    /// these, and each of them from one.
    #[test]
    fn the_fewest_for_its_weight(members in members(), loads in prop::collection::vec(any::<u32>(), 12), start: usize) {
        let chosen = by_load(&members, start, &|i| loads[i]);
        let ups = members.iter().any(|m| m.state == State::Up);
        let takes = |m: &Member| m.state == State::Up || !ups && m.state == State::Draining;
        // As fractions, with room.
        let cost = |i: usize| (u128::from(loads[i]) + 1, u128::from(members[i].weight));
        let fewer = |a: (u128, u128), b: (u128, u128)| a.0 * b.1 < b.0 * a.1;
        let best: Vec<usize> = (0..members.len())
            .filter(|&i| takes(&members[i]))
            .filter(|&i| (0..members.len()).filter(|&j| takes(&members[j])).all(|j| !fewer(cost(j), cost(i))))
            .collect();
        match chosen {
            Some(i) => prop_assert!(best.contains(&i)),
            None => prop_assert!(best.is_empty()),
        }
        let mut found: Vec<usize> = (0..members.len()).filter_map(|start| by_load(&members, start, &|i| loads[i])).collect();
        found.sort_unstable();
        found.dedup();
        prop_assert_eq!(found, best);
    }

    /// Connections that stay are spread by weight: none has more for its weight than another would with one more.
    #[test]
    fn loads_follow_weights(weights in prop::collection::vec(1..=255u8, 1..8), n in 1..600usize) {
        let member = |(id, weight): (usize, &u8)| Member { id: id as u32, weight: *weight, state: State::Up, ports: (0, 0) };
        let members: Vec<Member> = weights.iter().enumerate().map(member).collect();
        let mut loads = vec![0u32; members.len()];
        for turn in 0..n {
            let i = by_load(&members, turn, &|i| loads[i]).unwrap();
            loads[i] += 1;
        }
        for (a, x) in members.iter().zip(&loads) {
            for (b, y) in members.iter().zip(&loads) {
                prop_assert!(u64::from(*x) * u64::from(b.weight) <= (u64::from(*y) + 1) * u64::from(a.weight));
            }
        }
    }

    /// A client is its address, whatever it connects to and from which port.
    #[test]
    fn a_client_has_one_server(members in members(), saddr: [u8; 4], sport: u16, daddr: [u8; 4], dport: u16, seed: u32) {
        let node = |key: &FlowKey| by_score(&members, &ask(source_hash(seed, key), true));
        let one = node(&FlowKey::v4(saddr, sport, daddr, dport));
        prop_assert_eq!(one, node(&FlowKey::v4(saddr, !sport, [9; 4], 1)));
    }

    /// A node that goes moves its own flows and no other; one that comes takes flows and moves none between others.
    #[test]
    fn a_node_moves_only_its_own_share(members in members(), flow: u64, which: prop::sample::Index, opens: bool) {
        let which = which.index(members.len());
        let with = by_score(&members, &ask(flow, opens)).map(|i| members[i].id);
        let mut fewer = members.clone();
        let gone = fewer.remove(which).id;
        let without = by_score(&fewer, &ask(flow, opens)).map(|i| fewer[i].id);
        let ups = fewer.iter().filter(|m| m.state == State::Up).count();
        // Unless it was the last that is up, when those that drain have to do.
        if with != Some(gone) && (!opens || ups > 0) {
            prop_assert_eq!(with, without);
        }
        let mut down = members.clone();
        down[which].state = State::Down;
        prop_assert_eq!(by_score(&down, &ask(flow, opens)).map(|i| down[i].id), without);
    }

    /// The order in which nodes are listed says nothing.
    #[test]
    fn the_list_has_no_order(members in members(), flow: u64, opens: bool, shuffle in any::<u64>()) {
        let mut other = members.clone();
        other.sort_by_key(|m| u64::from(m.id).wrapping_mul(shuffle | 1));
        let id = |members: &[Member]| by_score(members, &ask(flow, opens)).map(|i| members[i].id);
        prop_assert_eq!(id(&members), id(&other));
    }

    /// A balancer sends to the first of the order that can take it.
    #[test]
    fn a_balancer_takes_the_first(members in members(), flow: u64, opens: bool) {
        let order = order(&members, flow);
        let find = |f: &dyn Fn(&Member) -> bool| order.iter().copied().find(|&i| f(&members[i]));
        let alive = find(&|m| m.state != State::Down);
        let expected = match opens {
            true => find(&|m| m.state == State::Up).or(alive),
            false => alive,
        };
        prop_assert_eq!(by_score(&members, &ask(flow, opens)), expected);
    }

    /// Whatever each host thinks of the others, a packet that nobody owns comes to an end after as many
    /// hops as there are nodes at most, and after the first each goes down the order.
    #[test]
    fn no_loop(members in members(), flow: u64, opens: bool, knows in prop::collection::vec(any::<bool>(), 1..5), start: prop::sample::Index, opinions in prop::collection::vec(prop::collection::vec(state(), 12), 12)) {
        let mut me = start.index(members.len());
        let mut origin = Origin::Outside;
        let mut hops = 0;
        // Whether a host knows who sent it something makes no difference.
        let mut know = knows.into_iter().cycle();
        loop {
            let mut view = members.clone();
            for (member, opinion) in view.iter_mut().zip(&opinions[me]) {
                member.state = *opinion;
            }
            match by_score_among(&view, me, &ask(flow, opens), origin) {
                Choice::Node(next) => {
                    prop_assert_ne!(next, me);
                    prop_assert_ne!(view[next].state, State::Down);
                    prop_assert_ne!(origin, Origin::Node(next));
                    if origin != Origin::Outside {
                        prop_assert!(rank(flow, &members[next]) > rank(flow, &members[me]));
                    }
                    origin = if know.next().unwrap() { Origin::Node(me) } else { Origin::Unsure };
                    me = next;
                    hops += 1;
                    prop_assert!(hops <= members.len());
                }
                Choice::Local => {
                    prop_assert!(opens);
                    break;
                }
                Choice::Nobody => {
                    prop_assert!(!opens);
                    break;
                }
            }
        }
    }

    /// If hosts agree, a packet finds the node that has its connection, wherever it comes in.
    #[test]
    fn the_owner_is_found(mut members in members(), flow: u64, start: prop::sample::Index, owner: prop::sample::Index) {
        let (mut me, owner) = (start.index(members.len()), owner.index(members.len()));
        if members[owner].state == State::Down {
            members[owner].state = State::Draining;
        }
        let mut origin = Origin::Outside;
        let mut hops = 0;
        while me != owner {
            hops += 1;
            prop_assert!(hops <= members.len());
            match by_score_among(&members, me, &ask(flow, false), origin) {
                Choice::Node(next) => {
                    origin = Origin::Node(me);
                    me = next;
                }
                other => prop_assert!(false, "{other:?} at {me}, never came to {owner}"),
            }
        }
    }

    /// If hosts agree, a SYN ends where a balancer by score sends it, wherever it comes in.
    #[test]
    fn a_new_connection_has_one_owner(mut members in members(), flow: u64, start: prop::sample::Index, up: prop::sample::Index) {
        let mut me = start.index(members.len());
        let up = up.index(members.len());
        members[up].state = State::Up;
        if let Choice::Node(next) = by_score_among(&members, me, &ask(flow, true), Origin::Outside) {
            let origin = Origin::Node(me);
            me = next;
            prop_assert_eq!(by_score_among(&members, me, &ask(flow, true), origin), Choice::Local);
        }
        prop_assert_eq!(Some(me), by_score(&members, &ask(flow, true)));
        prop_assert_eq!(members[me].state, State::Up);
    }

    /// In a whole number of rounds each has exactly its share.
    #[test]
    fn a_wheel_is_exact(members in members(), weighted: bool, from in 0..1_000_000u64) {
        let wheel = Wheel::new(&members, weighted);
        let ups = members.iter().filter(|m| m.state == State::Up).count();
        let share = |m: &Member| {
            let takes = m.state == State::Up || (ups == 0 && m.state == State::Draining);
            if takes { if weighted { u64::from(m.weight) } else { 1 } } else { 0 }
        };
        let round: u64 = members.iter().map(share).sum();
        let mut count = vec![0; members.len()];
        for n in from..from + round {
            count[wheel.turn(&members, n).unwrap()] += 1;
        }
        prop_assert_eq!(count, members.iter().map(share).collect::<Vec<u64>>());
        prop_assert!(round > 0 || wheel.turn(&members, from).is_none());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..crate::config() })]

    /// One client's ports are shared out in proportion to the weights: within six standard deviations, which
    /// chance exceeds once in 5e8 times.
    #[test]
    fn balance(weights in prop::collection::vec(1..=255u8, 2..8), client: [u8; 4], seed: u32) {
        let members: Vec<Member> = weights
            .iter()
            .enumerate()
            .map(|(i, &weight)| Member { id: i as u32 + 1, weight, state: State::Up, ports: (0, 0) })
            .collect();
        let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        let mut count = vec![0f64; members.len()];
        let n = 4000;
        for port in 0..n {
            let key = FlowKey::v4(client, 20_000 + port, [203, 0, 113, 10], 443);
            count[by_score(&members, &ask(flow_hash(seed, &key), true)).unwrap()] += 1.0;
        }
        for (count, weight) in count.iter().zip(&weights) {
            let p = f64::from(*weight) / total;
            let expected = p * f64::from(n);
            let bound = 6.0 * (expected * (1.0 - p)).sqrt() + 2.0;
            prop_assert!((count - expected).abs() < bound, "{count} of {n}, expected {expected:.0}");
        }
    }
}
