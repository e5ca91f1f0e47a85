// SPDX-License-Identifier: GPL-2.0

//! The table of splices as the cluster knows it: live rows, and tombstones of those that ended.
//!
//! Two tables have a least upper bound: progress is joined, an end wins over any progress, and of two
//! splices of the same four numbers the younger one wins. Nothing here knows of peers or of a kernel;
//! `T` is what the caller keeps with each row.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::ops::Bound;
use std::time::Duration;

use super::row::{Both, Key, NodeId, Reason, Row, fins, join};
use super::servers::Servers;

/// Parts that a digest has. At a million rows one has 250 rows, which is what is sent again when one
/// row differs.
pub const BUCKETS: usize = 4096;

/// A live row.
#[derive(Debug, Clone)]
pub struct Entry<T> {
    /// What the cluster knows.
    pub row: Row,
    /// What the caller keeps with it.
    pub held: T,
}

#[derive(Debug)]
struct Bucket<T> {
    rows: BTreeMap<Key, Entry<T>>,
    /// The exclusive or of the hashes of its rows.
    hash: u64,
}

#[derive(Debug)]
struct Tombstone {
    reason: Reason,
    since: Duration,
    /// What was known of it, if it was live here and no younger one has its four numbers.
    row: Option<Box<Row>>,
}

/// What became of a row that was merged.
#[derive(Debug)]
pub enum Merged<T> {
    /// It was not known; the row that it took the place of, if there was one.
    New(Option<(Key, T)>),
    /// It was known; whether something was news, and whether that was a FIN.
    Known {
        /// It had come farther than was known.
        advanced: bool,
        /// A FIN was seen or acknowledged that was not known.
        fin: bool,
    },
    /// It has ended.
    Ended(Reason),
    /// There is no room.
    Full,
}

/// All that is known.
#[derive(Debug)]
pub struct Table<T> {
    buckets: Vec<Bucket<T>>,
    servers: Servers,
    /// The hashes of each part, of those rows alone whose server a node has.
    served: BTreeMap<NodeId, Vec<u64>>,
    live: usize,
    limit: usize,
    /// Which live row has these addresses of client and service.
    tuples: HashMap<(SocketAddr, SocketAddr), Key>,
    ended: HashMap<Key, Tombstone>,
    /// Tombstones, oldest first.
    order: VecDeque<Key>,
}

fn bucket_of(key: &Key) -> usize {
    usize::try_from(key.spread() % BUCKETS as u64).unwrap_or(0)
}

fn hash_of(row: &Row) -> u64 {
    row.key().hash(&[fins(&row.progress)])
}

/// The node whose part of the table a row belongs to: the one that has its server, and could carry what that sends. A connection that
/// has moved is that host's own, and no splice there.
pub fn node_of(servers: &Servers, row: &Row) -> Option<NodeId> {
    match row.away {
        Some(_) => None,
        None => servers.node(row.ends[3]),
    }
}

impl<T: Default> Table<T> {
    /// An empty table of at most `limit` live rows and as many tombstones. Each node of `servers` has
    /// a digest of its own.
    pub fn new(limit: usize, servers: Servers) -> Table<T> {
        let empty = || Bucket {
            rows: BTreeMap::new(),
            hash: 0,
        };
        let nodes = servers.nodes().into_iter();
        Table {
            buckets: std::iter::repeat_with(empty).take(BUCKETS).collect(),
            served: nodes.map(|node| (node, vec![0; BUCKETS])).collect(),
            servers,
            live: 0,
            limit,
            tuples: HashMap::new(),
            ended: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Live rows.
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether there is no live row.
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Tombstones.
    pub fn tombstones(&self) -> usize {
        self.ended.len()
    }

    /// The live row of this key.
    pub fn get(&self, key: &Key) -> Option<&Entry<T>> {
        self.buckets.get(bucket_of(key))?.rows.get(key)
    }

    /// What is kept with the live row of this key.
    pub fn held(&mut self, key: &Key) -> Option<&mut T> {
        let bucket = self.buckets.get_mut(bucket_of(key))?;
        Some(&mut bucket.rows.get_mut(key)?.held)
    }

    /// How the splice of this key ended, if that is remembered.
    pub fn ended(&self, key: &Key) -> Option<Reason> {
        self.ended.get(key).map(|tombstone| tombstone.reason)
    }

    /// All live rows.
    pub fn rows(&self) -> impl Iterator<Item = &Entry<T>> {
        self.buckets.iter().flat_map(|bucket| bucket.rows.values())
    }

    /// Takes in what somebody knows of a row.
    pub fn merge(&mut self, row: Row, now: Duration) -> Merged<T> {
        let key = row.key();
        if let Some(reason) = self.ended(&key) {
            return Merged::Ended(reason);
        }
        if let Some(known) = self.get(&key) {
            let (owner, born) = (known.row.owner, known.row.born);
            let merged = self.advance(&key, &row.progress).unwrap_or((false, false));
            if let Some(entry) = self.buckets[bucket_of(&key)].rows.get_mut(&key) {
                entry.row.owner = owner.min(row.owner);
                entry.row.born = born.min(row.born);
            }
            let (advanced, fin) = merged;
            return Merged::Known { advanced, fin };
        }
        let tuple = (key.client, key.service);
        let mut superseded = None;
        if let Some(other) = self.tuples.get(&tuple).copied() {
            let born = self.get(&other).map_or(0, |entry| entry.row.born);
            if (born, other) > (row.born, key) {
                self.end(&key, Reason::SUPERSEDED, now);
                return Merged::Ended(Reason::SUPERSEDED);
            }
            let (_, held) = self.end(&other, Reason::SUPERSEDED, now);
            superseded = held.map(|held| (other, held));
        }
        if self.live >= self.limit {
            return Merged::Full;
        }
        self.mix(&key, node_of(&self.servers, &row), hash_of(&row));
        let held = T::default();
        let bucket = &mut self.buckets[bucket_of(&key)];
        bucket.rows.insert(key, Entry { row, held });
        self.live += 1;
        self.tuples.insert(tuple, key);
        Merged::New(superseded)
    }

    /// Takes in progress of a row that is known and live: whether it was news, and of a FIN.
    pub fn advance(&mut self, key: &Key, progress: &Both) -> Option<(bool, bool)> {
        let bucket = self.buckets.get_mut(bucket_of(key))?;
        let entry = bucket.rows.get_mut(key)?;
        let joined = join(&entry.row.progress, progress);
        let advanced = joined != entry.row.progress;
        let fin = fins(&joined) != fins(&entry.row.progress);
        if fin {
            let before = hash_of(&entry.row);
            entry.row.progress = joined;
            let changed = before ^ hash_of(&entry.row);
            let node = node_of(&self.servers, &entry.row);
            self.mix(key, node, changed);
        } else {
            entry.row.progress = joined;
        }
        Some((advanced, fin))
    }

    /// Puts the hash of a row into the digests that it belongs to, or takes it out of them.
    fn mix(&mut self, key: &Key, node: Option<NodeId>, hash: u64) {
        let part = bucket_of(key);
        if let Some(bucket) = self.buckets.get_mut(part) {
            bucket.hash ^= hash;
        }
        let hashes = node.and_then(|node| self.served.get_mut(&node));
        if let Some(served) = hashes.and_then(|hashes| hashes.get_mut(part)) {
            *served ^= hash;
        }
    }

    /// Takes in an end: whether it was news, and what was kept with the row if it was live.
    pub fn end(&mut self, key: &Key, reason: Reason, now: Duration) -> (bool, Option<T>) {
        let (row, held) = match self.take(key) {
            Some(Entry { row, held }) => (Some(Box::new(row)), Some(held)),
            None => (None, None),
        };
        if let Some(tombstone) = self.ended.get_mut(key) {
            // Whoever heard of two reasons keeps the same one.
            tombstone.reason = tombstone.reason.min(reason);
            return (false, held);
        }
        while self.ended.len() >= self.limit {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            self.ended.remove(&oldest);
        }
        let row = row.filter(|_| reason != Reason::SUPERSEDED);
        let since = now;
        let tombstone = Tombstone { reason, since, row };
        self.ended.insert(*key, tombstone);
        self.order.push_back(*key);
        (true, held)
    }

    /// Which ended at or after `since`, oldest first.
    pub fn ended_since(&self, since: Duration) -> impl Iterator<Item = Key> {
        let late = move |key: &&Key| self.ended.get(key).is_some_and(|t| t.since >= since);
        self.order.iter().filter(late).copied()
    }

    /// What was known of a row that has ended, and how it did.
    pub fn epitaph(&self, key: &Key) -> Option<(&Row, Reason)> {
        let tombstone = self.ended.get(key)?;
        Some((tombstone.row.as_deref()?, tombstone.reason))
    }

    /// Removes a live row, as if it had never been known.
    pub fn forget(&mut self, key: &Key) -> Option<T> {
        self.take(key).map(|entry| entry.held)
    }

    fn take(&mut self, key: &Key) -> Option<Entry<T>> {
        let bucket = self.buckets.get_mut(bucket_of(key))?;
        let entry = bucket.rows.remove(key)?;
        self.mix(key, node_of(&self.servers, &entry.row), hash_of(&entry.row));
        self.live -= 1;
        self.tuples.remove(&(key.client, key.service));
        Some(entry)
    }

    /// Forgets tombstones that were made before `before`.
    pub fn expire(&mut self, before: Duration) {
        while let Some(key) = self.order.front().copied() {
            let old = self.ended.get(&key).is_none_or(|t| t.since < before);
            if !old {
                return;
            }
            self.ended.remove(&key);
            self.order.pop_front();
        }
    }

    /// One hash for each part of the live rows: which there are, and which FINs are known of each.
    pub fn digest(&self) -> Vec<u64> {
        self.buckets.iter().map(|bucket| bucket.hash).collect()
    }

    /// The same of those rows alone whose server this node has.
    pub fn digest_for(&self, node: NodeId) -> Vec<u64> {
        let hashes = self.served.get(&node).cloned();
        hashes.unwrap_or_else(|| vec![0; BUCKETS])
    }

    /// Up to `most` rows of one part of the table, those after `after`; with a node, those alone whose
    /// server it has.
    pub fn part(
        &self,
        bucket: usize,
        after: Option<Key>,
        most: usize,
        of: Option<NodeId>,
    ) -> Vec<Row> {
        let Some(bucket) = self.buckets.get(bucket) else {
            return Vec::new();
        };
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let is_of = |row: &Row| of.is_none() || node_of(&self.servers, row) == of;
        bucket
            .rows
            .range((from, Bound::Unbounded))
            .filter(|(_, entry)| is_of(&entry.row))
            .take(most)
            .map(|(_, entry)| entry.row.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;
    use proptest::prelude::*;

    type Plain = Table<()>;
    const NOW: Duration = Duration::from_secs(1);

    fn table() -> Plain {
        Table::new(1000, Servers::default())
    }

    /// All that a table says, without its order.
    fn said(table: &Plain) -> (Vec<Row>, Vec<(Key, Reason)>) {
        let mut rows: Vec<Row> = table.rows().map(|entry| entry.row.clone()).collect();
        rows.sort_by_key(Row::key);
        let mut ended: Vec<_> = table.ended.iter().map(|(k, t)| (*k, t.reason)).collect();
        ended.sort();
        (rows, ended)
    }

    #[test]
    fn an_end_wins() {
        let mut table = table();
        assert!(matches!(table.merge(row(1), NOW), Merged::New(None)));
        assert_eq!(table.end(&row(1).key(), Reason(1), NOW), (true, Some(())));
        assert!(matches!(table.merge(row(1), NOW), Merged::Ended(Reason(1))));
        assert_eq!(table.len(), 0);
        // Of one that was never seen, too.
        assert_eq!(table.end(&row(2).key(), Reason(3), NOW), (true, None));
        assert!(matches!(table.merge(row(2), NOW), Merged::Ended(Reason(3))));
    }

    #[test]
    fn digests_are_of_live_rows_and_fins() {
        let (mut a, mut b) = (table(), table());
        for n in [1, 2, 3] {
            a.merge(row(n), NOW);
        }
        for n in [3, 1, 2] {
            b.merge(row(n), NOW);
        }
        assert_eq!(a.digest(), b.digest());
        let mut further = row(2);
        further.progress[0].seq_next += 5;
        b.merge(further.clone(), NOW);
        assert_eq!(a.digest(), b.digest(), "bytes are not in it");
        further.progress[0].fin_seen = true;
        b.merge(further.clone(), NOW);
        let differ = a
            .digest()
            .iter()
            .zip(b.digest())
            .filter(|(a, b)| **a != *b)
            .count();
        assert_eq!(differ, 1);
        a.merge(further, NOW);
        assert_eq!(a.digest(), b.digest());
        a.end(&row(3).key(), Reason(1), NOW);
        assert_ne!(a.digest(), b.digest());
        b.end(&row(3).key(), Reason(1), NOW);
        b.end(&row(9).key(), Reason(1), NOW);
        assert_eq!(a.digest(), b.digest());
    }

    #[test]
    fn of_two_with_the_same_numbers_the_younger_is_kept() {
        let old = row(1);
        let mut young = row(1);
        young.edits[0].seq_origin ^= 1;
        young.born += 1;
        for order in [[&old, &young], [&young, &old]] {
            let mut table = table();
            for row in order {
                table.merge(row.clone(), NOW);
            }
            assert_eq!(
                said(&table),
                (vec![young.clone()], vec![(old.key(), Reason::SUPERSEDED)])
            );
        }
    }

    #[test]
    fn room_is_bounded() {
        let mut table = Plain::new(2, Servers::default());
        for n in [1, 2] {
            assert!(matches!(table.merge(row(n), NOW), Merged::New(None)));
        }
        assert!(matches!(table.merge(row(3), NOW), Merged::Full));
        for n in 4..9 {
            table.end(&row(n).key(), Reason(1), NOW);
        }
        assert_eq!((table.tombstones(), table.order.len()), (2, 2));
        assert_eq!(table.ended(&row(8).key()), Some(Reason(1)));
        assert_eq!(table.ended(&row(6).key()), None, "the oldest went first");
    }

    #[test]
    fn what_ended_is_told_of_for_a_while() {
        let mut table = table();
        for n in [1, 2, 3] {
            table.merge(row(n), NOW);
            table.end(&row(n).key(), Reason(1), NOW * u32::from(n));
        }
        let late: Vec<_> = table.ended_since(NOW * 2).collect();
        assert_eq!(late, [row(2).key(), row(3).key()]);
        assert_eq!(table.epitaph(&late[0]), Some((&row(2), Reason(1))));
        // Of one that was never known nothing can be told; nor of one that was never known to have ended.
        table.end(&row(4).key(), Reason(1), NOW);
        assert_eq!(table.epitaph(&row(4).key()), None);
        assert_eq!(table.epitaph(&row(5).key()), None);
    }

    #[test]
    fn a_younger_one_leaves_nothing_to_tell_of_the_older() {
        let mut table = table();
        let (mut old, mut young) = (row(1), row(1));
        young.edits[0].seq_origin ^= 1;
        (old.born, young.born) = (1, 2);
        table.merge(old.clone(), NOW);
        assert!(matches!(table.merge(young, NOW), Merged::New(Some(_))));
        assert_eq!(table.ended(&old.key()), Some(Reason::SUPERSEDED));
        assert_eq!(table.epitaph(&old.key()), None);
    }

    #[test]
    fn tombstones_expire() {
        let mut table = table();
        table.end(&row(1).key(), Reason(1), NOW);
        table.end(&row(2).key(), Reason(1), NOW * 2);
        table.expire(NOW);
        assert_eq!(table.tombstones(), 2);
        table.expire(NOW * 2);
        assert_eq!(table.ended(&row(1).key()), None);
        assert_eq!(table.ended(&row(2).key()), Some(Reason(1)));
    }

    #[test]
    fn parts_go_on_where_they_stopped() {
        let mut table = table();
        (0..500).for_each(|n| {
            table.merge(row(n), NOW);
        });
        let mut found = Vec::new();
        for bucket in 0..BUCKETS {
            let mut after = None;
            loop {
                let part = table.part(bucket, after, 1, None);
                let Some(last) = part.last() else { break };
                after = Some(last.key());
                found.extend(part);
            }
        }
        found.sort_by_key(Row::key);
        assert_eq!(found, said(&table).0);
        assert_eq!(found.len(), 500);
    }

    #[test]
    fn a_node_has_the_digest_of_a_table_with_its_rows_alone() {
        let at = |n: u16, host: u8| {
            let mut row = row(n);
            row.ends[3] = ([192, 0, 2, host], 80).into();
            row
        };
        let mut servers = Servers::default();
        for host in [21, 22] {
            let ip = [192, 0, 2, host].into();
            servers.add(ip, None, NodeId(host.into())).unwrap();
        }
        let (mut all, mut own) = (Plain::new(1000, servers), table());
        for n in 0..300 {
            let row = at(n, 20 + u8::try_from(n % 3).unwrap());
            all.merge(row.clone(), NOW);
            if n % 3 == 1 {
                own.merge(row, NOW);
            }
        }
        let node = NodeId(21);
        assert_eq!(all.digest_for(node), own.digest());
        assert_ne!(all.digest_for(NodeId(22)), own.digest());
        assert_eq!(all.digest_for(NodeId(23)), table().digest());
        let mut further = at(4, 21);
        further.progress[1].fin_seen = true;
        all.merge(further.clone(), NOW);
        assert_ne!(all.digest_for(node), own.digest(), "a FIN is in it");
        own.merge(further, NOW);
        all.end(&at(7, 21).key(), Reason(1), NOW);
        assert_ne!(all.digest_for(node), own.digest(), "what ended is not");
        own.end(&at(7, 21).key(), Reason(1), NOW);
        all.end(&at(8, 22).key(), Reason(1), NOW);
        assert_eq!(all.digest_for(node), own.digest());
        // Its rows, and no others.
        let found: usize = (0..BUCKETS)
            .map(|part| {
                let rows = all.part(part, None, usize::MAX, Some(node));
                assert_eq!(rows, own.part(part, None, usize::MAX, None));
                rows.len()
            })
            .sum();
        assert_eq!(found, 99);
    }

    #[derive(Debug, Clone)]
    enum News {
        Row(u16, u32, u8),
        End(u16, u32),
    }

    fn apply(table: &mut Plain, news: &News) {
        match *news {
            News::Row(n, bytes, fins) => {
                let mut row = row(n);
                for (direction, bits) in row.progress.iter_mut().zip([fins >> 2, fins & 3]) {
                    direction.seq_next = direction.seq_next.wrapping_add(bytes);
                    direction.fin_seen = bits & 2 != 0;
                    direction.fin_acked = bits & 1 != 0;
                }
                // A row that is new or not: only progress differs.
                table.merge(row, NOW);
            }
            News::End(n, reason) => {
                table.end(&row(n).key(), Reason(reason), NOW);
            }
        }
    }

    proptest! {
        /// Any order, any repetition: the same table, and the same digest.
        #[test]
        fn order_and_repetition_do_not_matter(
            news in prop::collection::vec(
                prop_oneof![
                    4 => (0u16..6, 0u32..1 << 30, 0u8..16).prop_map(|(n, b, f)| News::Row(n, b, f)),
                    1 => (0u16..6, 1u32..6).prop_map(|(n, r)| News::End(n, r)),
                ],
                0..40,
            ),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let (mut a, mut b) = (table(), table());
            news.iter().for_each(|n| apply(&mut a, n));
            if !news.is_empty() {
                picks.iter().for_each(|pick| apply(&mut b, pick.get(&news)));
            }
            news.iter().rev().for_each(|n| apply(&mut b, n));
            prop_assert_eq!(said(&a), said(&b));
            prop_assert_eq!(a.digest(), b.digest());
            let mut fresh = table();
            for row in said(&a).0 {
                fresh.merge(row, NOW);
            }
            prop_assert_eq!(fresh.digest(), a.digest());
        }
    }
}
