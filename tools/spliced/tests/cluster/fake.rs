// SPDX-License-Identifier: GPL-2.0

//! A kernel that keeps splices in a map, and does with them what the contract says.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use spliced::cluster::kernel::{Heard, Kernel, KernelError, Seen, Standing, Watch};
use spliced::cluster::row::{Both, Edit, Key, NodeId, Progress, Reason, Row, join};
use tcp_splice_netlink::Migrant;

/// `EndReason` of the kernel's interface.
pub(crate) const FIN: Reason = Reason(1);
pub(crate) const RESET: Reason = Reason(2);

/// The splice number `n`.
pub(crate) fn row(n: u16) -> Row {
    let address = |last: u8, port: u16| SocketAddr::from(([192, 0, 2, last], port));
    let origin = u32::from(n).wrapping_mul(1_000_003);
    let edit = |seq_origin: u32| Edit {
        seq_delta: 77,
        seq_origin,
        ..Edit::default()
    };
    let progress = |seq_next: u32| Progress {
        seq_next,
        ack_last: 1,
        ..Progress::default()
    };
    Row {
        ends: [
            address(1, 1024 + n),
            address(2, 80),
            address(3, 1024 + n),
            address(4, 80),
        ],
        edits: [edit(origin), edit(origin ^ 0xffff)],
        progress: [progress(origin), progress(origin ^ 0xffff)],
        idle_timeout: None,
        cut_when_idle: false,
        owner: NodeId(0),
        born: 1_000_000 + u64::from(n),
        away: None,
    }
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Live {
    pub(crate) row: Row,
    pub(crate) draining: bool,
    pub(crate) replicated: bool,
    /// It carries what its server sends, which is on this host.
    pub(crate) split: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) live: BTreeMap<u64, Live>,
    over: Vec<(u64, Key, Reason)>,
    last: u64,
    events: VecDeque<Heard>,
    /// What to refuse installs with.
    pub(crate) refuse: Option<String>,
    /// Ends that this kernel itself came to, not those it was told of.
    pub(crate) own_ends: Vec<Key>,
    pub(crate) installs: usize,
    /// Advances that it was asked for.
    pub(crate) advances: usize,
    /// Connections of other hosts that it took.
    pub(crate) taken: Vec<Migrant>,
    /// How long it takes to take one.
    pub(crate) takes: Duration,
    /// Its own.
    pub(crate) connections: Vec<Key>,
}

impl State {
    fn tell(&mut self, id: u64) {
        let live = &self.live[&id];
        let state = match live.draining {
            true => Standing::Draining,
            false => Standing::Whole(Box::new(live.row.clone())),
        };
        self.events.push_back(Heard::Seen(Seen { id, state }));
    }

    fn add(&mut self, row: Row, draining: bool) -> u64 {
        self.last += 1;
        let live = Live {
            row,
            draining,
            replicated: false,
            split: false,
        };
        self.live.insert(self.last, live);
        self.tell(self.last);
        self.last
    }

    /// A splice of two sockets.
    pub(crate) fn make(&mut self, row: Row) -> u64 {
        self.add(row, true)
    }

    pub(crate) fn drained(&mut self, id: u64) {
        self.live.get_mut(&id).unwrap().draining = false;
        self.tell(id);
    }

    /// Bytes of one direction pass here. Nobody is told.
    pub(crate) fn carry(&mut self, id: u64, direction: usize, bytes: u32) {
        let progress = &mut self.live.get_mut(&id).unwrap().row.progress[direction];
        progress.seq_next = progress.seq_next.wrapping_add(bytes);
    }

    pub(crate) fn fin(&mut self, id: u64, direction: usize, acked: bool) {
        let progress = &mut self.live.get_mut(&id).unwrap().row.progress[direction];
        progress.fin_seen = true;
        progress.fin_acked |= acked;
        self.tell(id);
        self.finish(id);
    }

    fn finish(&mut self, id: u64) {
        let whole = |p: &Progress| p.fin_seen && p.fin_acked;
        if self.live[&id].row.progress.iter().all(whole) {
            self.end(id, FIN);
        }
    }

    /// It ends here.
    pub(crate) fn end(&mut self, id: u64, reason: Reason) {
        let key = self.live.remove(&id).unwrap().row.key();
        self.own_ends.push(key);
        self.over.push((id, key, reason));
        let state = Standing::Over(key, reason);
        self.events.push_back(Heard::Seen(Seen { id, state }));
    }

    pub(crate) fn id_of(&self, key: &Key) -> Option<u64> {
        let found = self.live.iter().find(|(_, live)| live.row.key() == *key);
        found.map(|(id, _)| *id)
    }

    pub(crate) fn list(&self) -> Vec<Seen> {
        let live = self.live.iter().map(|(id, live)| Seen {
            id: *id,
            state: match live.draining {
                true => Standing::Draining,
                false => Standing::Whole(Box::new(live.row.clone())),
            },
        });
        let over = self.over.iter().map(|(id, key, reason)| Seen {
            id: *id,
            state: Standing::Over(*key, *reason),
        });
        live.chain(over).collect()
    }

    pub(crate) fn install(&mut self, row: &Row, split: bool) -> Result<u64, String> {
        self.installs += 1;
        if let Some(why) = &self.refuse {
            return Err(why.clone());
        }
        let key = row.key();
        if let Some(id) = self.id_of(&key) {
            return Ok(id);
        }
        let taken = |live: &Live| live.row.ends[..2] == row.ends[..2];
        if self.live.values().any(taken) {
            return Err("the flow is in another splice".into());
        }
        let id = self.add(row.clone(), false);
        let live = self.live.get_mut(&id).unwrap();
        // As with the module: such a row is never alone.
        (live.split, live.replicated) = (split, true);
        self.finish(id);
        Ok(id)
    }

    pub(crate) fn advance(
        &mut self,
        id: u64,
        progress: &Both,
        replicated: bool,
    ) -> Result<(), String> {
        self.advances += 1;
        let live = self.live.get_mut(&id).ok_or("no such splice")?;
        let before = live.row.progress;
        live.row.progress = join(&live.row.progress, progress);
        live.replicated |= replicated;
        if live.row.progress != before {
            self.finish(id);
        }
        Ok(())
    }

    pub(crate) fn forget(&mut self, id: u64, reason: Reason) -> Result<(), String> {
        let live = self.live.remove(&id).ok_or("no such splice")?;
        self.over.push((id, live.row.key(), reason));
        let state = Standing::Over(live.row.key(), reason);
        self.events.push_back(Heard::Seen(Seen { id, state }));
        Ok(())
    }

    pub(crate) fn event(&mut self) -> Option<Heard> {
        self.events.pop_front()
    }

    /// The host lost power.
    pub(crate) fn reboot(&mut self) {
        self.live.clear();
        self.over.clear();
        self.events.clear();
    }

    /// The only part of what it has that others can see: key and progress.
    pub(crate) fn table(&self) -> BTreeMap<Key, Both> {
        self.live
            .values()
            .filter(|live| !live.draining)
            .map(|live| (live.row.key(), live.row.progress))
            .collect()
    }
}

/// The same for threads. A clone is the same kernel, as another process sees it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared(Arc<(Mutex<State>, Condvar)>);

impl Shared {
    pub(crate) fn with<T>(&self, what: impl FnOnce(&mut State) -> T) -> T {
        let result = what(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        result
    }
}

impl Kernel for Shared {
    fn list(&mut self) -> Result<Vec<Seen>, KernelError> {
        Ok(self.with(|state| state.list()))
    }

    fn install(&mut self, row: &Row, split: bool) -> Result<u64, KernelError> {
        self.with(|state| state.install(row, split))
            .map_err(KernelError)
    }

    fn advance(&mut self, id: u64, progress: &Both, replicated: bool) -> Result<(), KernelError> {
        self.with(|state| state.advance(id, progress, replicated))
            .map_err(KernelError)
    }

    fn forget(&mut self, id: u64, reason: Reason) -> Result<(), KernelError> {
        self.with(|state| state.forget(id, reason))
            .map_err(KernelError)
    }

    fn take_over(&mut self, migrant: &Migrant) -> Result<(), KernelError> {
        std::thread::sleep(self.with(|state| state.takes));
        self.with(|state| match &state.refuse {
            Some(why) => Err(KernelError(why.clone())),
            None => {
                state.taken.push(migrant.clone());
                Ok(())
            }
        })
    }

    fn has(&mut self, key: &Key) -> Result<bool, KernelError> {
        Ok(self.with(|state| state.connections.contains(key)))
    }

    fn subscribe(&mut self) -> Result<Box<dyn Watch>, KernelError> {
        Ok(Box::new(self.clone()))
    }
}

impl Watch for Shared {
    fn next(&mut self, within: Duration) -> Result<Option<Heard>, KernelError> {
        let state = self.0.0.lock().unwrap();
        let (mut state, _) = self
            .0
            .1
            .wait_timeout_while(state, within, |state| state.events.is_empty())
            .unwrap();
        Ok(state.event())
    }
}
