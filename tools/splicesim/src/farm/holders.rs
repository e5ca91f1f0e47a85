// SPDX-License-Identifier: GPL-2.0

//! Which proxies have a connection's splice, and which of them carries it.
//!
//! Each connection has an order of all proxies that is its own, as hashing by the highest random weight gives. The first live one
//! carries it; that one and the next `replicas` have its splice. One that dies is replaced by the next in order, when it
//! was detected and the splices were copied.

/// A proxy, as others see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node {
    Live {
        /// Since when: seconds.
        since: f64,
    },
    /// Dead, and the load balancer does not know.
    Silent {
        since: f64,
    },
    Out {
        since: f64,
    },
}

impl Node {
    /// Whether the load balancer sends packets there.
    pub(super) fn is_chosen(self) -> bool {
        matches!(self, Node::Live { .. } | Node::Silent { .. })
    }

    pub(super) fn is_live(self) -> bool {
        matches!(self, Node::Live { .. })
    }
}

/// Proxies that are tried before giving up; it takes that many dead ones in a row, or a farm of very few, to see it.
const TRIES: u32 = 64;

/// A proxy for the `n`th place in the order of a connection: an even hash (splitmix64). The same one may stand in
/// several places, and counts in the first.
fn place(id: u32, n: u32, count: usize) -> usize {
    let mut x = ((u64::from(id) << 32) | u64::from(n)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^= x >> 31;
    ((u128::from(x) * count as u128) >> 64) as usize
}

/// The proxies in the order of a connection, each as often as it has places.
fn order(id: u32, count: usize) -> impl Iterator<Item = usize> {
    // After the tries, all in turn, so that the last one is found, too.
    let first = (0..TRIES).map(move |n| place(id, n, count));
    first.chain((0..count).map(move |n| (place(id, 0, count) + n) % count))
}

/// Which one the load balancer sends a connection's packets to.
pub(super) fn owner(id: u32, nodes: &[Node]) -> Option<usize> {
    order(id, nodes.len()).find(|&node| nodes[node].is_chosen())
}

/// Which one a connection comes to that tries until it finds one.
pub(super) fn first_live(id: u32, nodes: &[Node]) -> Option<usize> {
    order(id, nodes.len()).find(|&node| nodes[node].is_live())
}

/// Whether `first` stands before `second` in the order of a connection.
pub(super) fn precedes(id: u32, first: usize, second: usize, count: usize) -> bool {
    order(id, count).find(|&node| node == first || node == second) == Some(first)
}

/// Who takes a connection over whose owner died at `death`; `None` if all that had its splice are dead. A node that
/// was dead for `replaced` seconds by then had been replaced; one that came back after it has no copy.
pub(super) fn heir(
    id: u32,
    nodes: &[Node],
    replicas: usize,
    death: f64,
    replaced: f64,
) -> Option<usize> {
    let mut had = Vec::with_capacity(replicas + 1);
    for node in order(id, nodes.len()) {
        match nodes[node] {
            _ if had.contains(&node) => continue,
            Node::Silent { since } | Node::Out { since } if since + replaced < death => continue,
            Node::Live { since } if since > death => continue,
            Node::Live { .. } => return Some(node),
            Node::Silent { .. } | Node::Out { .. } => had.push(node),
        }
        if had.len() > replicas {
            break;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: Node = Node::Live { since: 0.0 };

    /// The first three different proxies of a connection.
    fn first(id: u32, count: usize) -> [usize; 3] {
        let mut nodes = vec![LIVE; count];
        [0; 3].map(|_| {
            let node = owner(id, &nodes).unwrap();
            nodes[node] = Node::Out { since: 0.0 };
            node
        })
    }

    #[test]
    fn owners_are_spread_evenly_and_only_the_dead_ones_move() {
        let mut nodes = vec![LIVE; 10];
        let mut share = [0; 10];
        let before: Vec<_> = (0..100_000).map(|id| owner(id, &nodes).unwrap()).collect();
        before.iter().for_each(|&node| share[node] += 1);
        assert!(
            share
                .iter()
                .all(|&count: &i32| (count - 10_000).abs() < 400),
            "{share:?}"
        );
        nodes[3] = Node::Out { since: 1.0 };
        let mut moved = [0; 10];
        for (id, &node) in before.iter().enumerate() {
            let now = owner(id as u32, &nodes).unwrap();
            if node == 3 {
                moved[now] += 1;
                assert!(precedes(id as u32, 3, now, 10) && !precedes(id as u32, now, 3, 10));
            } else {
                assert_eq!(now, node);
            }
        }
        // A ninth for each of the others.
        assert!(
            moved
                .iter()
                .enumerate()
                .all(|(node, &count): (_, &i32)| (count == 0) == (node == 3))
        );
        assert!(moved.iter().all(|&count| count < 1400), "{moved:?}");
    }

    #[test]
    fn the_last_one_that_lives_is_found() {
        let mut nodes = vec![Node::Out { since: 0.0 }; 500];
        nodes[77] = LIVE;
        assert!((0..100).all(|id| owner(id, &nodes) == Some(77)));
        nodes[77] = Node::Out { since: 0.0 };
        assert_eq!(owner(1, &nodes), None);
    }

    #[test]
    fn the_next_replica_inherits_unless_all_died_together() {
        for id in 0..1000 {
            let [a, b, c] = first(id, 20);
            let mut nodes = vec![LIVE; 20];
            nodes[a] = Node::Out { since: 10.0 };
            assert_eq!(heir(id, &nodes, 1, 10.0, 5.0), Some(b));
            assert_eq!(heir(id, &nodes, 0, 10.0, 5.0), None);
            // The replica died shortly before, and long enough before to have been replaced.
            nodes[b] = Node::Out { since: 8.0 };
            assert_eq!(heir(id, &nodes, 1, 10.0, 5.0), None);
            assert_eq!(heir(id, &nodes, 2, 10.0, 5.0), Some(c));
            nodes[b] = Node::Silent { since: 4.9 };
            assert_eq!(heir(id, &nodes, 1, 10.0, 5.0), Some(c));
            // It came back empty after the death.
            nodes[b] = Node::Live { since: 11.0 };
            assert_eq!(heir(id, &nodes, 1, 10.0, 5.0), Some(c));
        }
    }
}
