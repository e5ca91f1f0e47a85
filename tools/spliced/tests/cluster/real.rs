// SPDX-License-Identifier: GPL-2.0

//! Nodes with real sockets, real TLS and real time on the loopback interface.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use spliced::cluster::kernel::{Dispatch, KernelError, NodeState};
use spliced::cluster::keys::{self, Tls};
use spliced::cluster::message::{Hello, Message, VERSION};
use spliced::cluster::node::{Outcome, Replicas, Roles, WhenShort};
use spliced::cluster::row::{Key, NodeId};
use spliced::cluster::run::{Cluster, Member, Settings, Sockets};
use spliced::cluster::servers::Servers;

use spliced::cluster::handoff::Move;
use tcp_splice_netlink::{Bytes, Migrant, Piece};

use crate::fake::{RESET, Shared, row};

/// What a loaded machine may add to a time that is promised.
const MARGIN: Duration = Duration::from_millis(1000);
/// Longer than the time that is given to prove oneself.
const READ_TIME: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(20);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// These tests measure time: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

type States = Arc<Mutex<Vec<(Instant, NodeId, NodeState)>>>;

struct Told(States);

impl Dispatch for Told {
    fn node(&mut self, id: NodeId, state: NodeState) -> Result<(), KernelError> {
        self.0.lock().unwrap().push((Instant::now(), id, state));
        Ok(())
    }
}

struct Running {
    cluster: Option<Cluster>,
    kernel: Shared,
    states: States,
    settings: Settings,
}

impl Running {
    fn start(&mut self, sockets: Option<Sockets>) {
        let kernel = self.kernel.clone();
        let open = Arc::new(move || Ok(Box::new(kernel.clone()) as Box<_>));
        let told = Box::new(Told(self.states.clone()));
        let settings = self.settings.clone();
        let cluster = match sockets {
            Some(sockets) => Cluster::start_on(sockets, settings, open, told),
            // The sockets of the one before close when its tasks have ended.
            None => {
                let sockets = wait("the address", || Sockets::bind(settings.listen).ok());
                Cluster::start_on(sockets, settings, open, told)
            }
        };
        self.cluster = Some(cluster.unwrap());
    }

    fn kill(&mut self) -> Instant {
        let now = Instant::now();
        self.cluster.take().unwrap().stop();
        now
    }

    fn state(&self, of: u32) -> Option<(Instant, NodeState)> {
        let states = self.states.lock().unwrap();
        let last = states.iter().rev().find(|(_, id, _)| *id == NodeId(of));
        last.map(|(at, _, state)| (*at, *state))
    }

    fn replicate(&self, which: u16) -> Outcome {
        let id = self.kernel.with(|state| {
            let id = state.make(row(which));
            state.drained(id);
            id
        });
        let handle = self.cluster.as_ref().unwrap().handle();
        let (answer, answered) = std::sync::mpsc::channel();
        handle.ask(id, move |outcome| answer.send(outcome).unwrap());
        answered.recv_timeout(PATIENCE).unwrap()
    }
}

fn wait<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(result) = ready() {
            return result;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        thread::sleep(ms(2));
    }
}

const PROXY: Roles = Roles {
    balancer: false,
    proxy: true,
    backend: false,
};
const BACKEND: Roles = Roles {
    balancer: false,
    proxy: false,
    backend: true,
};

/// Nodes from 1 on, and what reaches them through `via`.
struct Farm {
    _alone: std::sync::MutexGuard<'static, ()>,
    nodes: Vec<Running>,
    addresses: Vec<SocketAddr>,
    keys: tempfile::TempDir,
}

impl Farm {
    fn new(count: u32, via: impl Fn(u32, u32, SocketAddr) -> SocketAddr) -> Farm {
        Farm::patient(count, 3, via)
    }

    /// One that loses a node only after so many misses.
    fn patient(count: u32, misses: u32, via: impl Fn(u32, u32, SocketAddr) -> SocketAddr) -> Farm {
        let count = usize::try_from(count).unwrap();
        Farm::of(&vec![PROXY; count], misses, via)
    }

    /// One of these nodes; a backend among them has the server of all rows.
    fn of(roles: &[Roles], misses: u32, via: impl Fn(u32, u32, SocketAddr) -> SocketAddr) -> Farm {
        let count = u32::try_from(roles.len()).unwrap();
        let mut servers = Servers::default();
        for (id, _) in (1..).zip(roles).filter(|(_, roles)| roles.backend) {
            servers.add(row(0).ends[3].ip(), None, NodeId(id)).unwrap();
        }
        let alone = ALONE.lock().unwrap_or_else(|held| held.into_inner());
        let keys = tempfile::tempdir().unwrap();
        let ids: Vec<_> = (1..=count).map(NodeId).collect();
        keys::make(keys.path(), &ids).unwrap();
        let sockets: Vec<_> = ids
            .iter()
            .map(|_| Sockets::bind("127.0.0.1:0".parse().unwrap()).unwrap())
            .collect();
        let addresses: Vec<_> = sockets
            .iter()
            .map(|s| s.tcp.local_addr().unwrap())
            .collect();
        let nodes = (1..=count).zip(sockets).map(|(me, sockets)| {
            let members: BTreeMap<_, _> = (1..)
                .zip(addresses.iter().zip(roles))
                .map(|(id, (address, roles))| {
                    let address = if id == me {
                        *address
                    } else {
                        via(me, id, *address)
                    };
                    let member = Member {
                        addresses: vec![address],
                        roles: *roles,
                    };
                    (NodeId(id), member)
                })
                .collect();
            let settings = Settings {
                me: NodeId(me),
                listen: sockets.tcp.local_addr().unwrap(),
                members,
                servers: servers.clone(),
                split: true,
                keys: keys.path().into(),
                heartbeat: ms(100),
                misses,
                multicast: None,
                replicas: Replicas::All,
                when_short: WhenShort::Warn,
                ack_timeout: ms(1000),
                progress: ms(300),
                tombstones: Duration::from_secs(600),
                max_rows: 100_000,
                control: "/nonexistent".into(),
            };
            let mut running = Running {
                cluster: None,
                kernel: Shared::default(),
                states: States::default(),
                settings,
            };
            running.start(Some(sockets));
            running
        });
        let farm = Farm {
            _alone: alone,
            nodes: nodes.collect(),
            addresses,
            keys,
        };
        farm.all_up();
        farm
    }

    fn all_up(&self) {
        for node in &self.nodes {
            for of in 1..=u32::try_from(self.nodes.len()).unwrap() {
                wait("all nodes to be up", || {
                    node.state(of).filter(|(_, state)| *state == NodeState::Up)
                });
            }
        }
        // As the nodes themselves see it: dispatch may count those that join, too.
        for node in self.nodes.iter().filter(|node| node.cluster.is_some()) {
            let cluster = node.cluster.as_ref().unwrap();
            let handle = cluster.handle();
            wait("all nodes to be in step", || {
                let all = cluster.runtime().block_on(handle.standings());
                all.iter().all(|s| s.state == NodeState::Up).then_some(())
            });
        }
    }

    fn node(&mut self, id: usize) -> &mut Running {
        &mut self.nodes[id - 1]
    }

    fn table(&self, id: usize) -> BTreeMap<Key, spliced::cluster::row::Both> {
        self.nodes[id - 1].kernel.with(|state| state.table())
    }

    fn same_tables(&self, rows: usize) {
        wait("equal tables", || {
            let first = self.table(1);
            let same = (2..=self.nodes.len()).all(|id| self.table(id) == first);
            (same && first.len() == rows).then_some(())
        });
    }

    /// Whether any node was lost, and by whom, since `when`.
    fn losses(&self, when: Instant) -> usize {
        let lost = |node: &Running| {
            let states = node.states.lock().unwrap();
            // At its start a node says of all that they are down.
            let mut up = std::collections::BTreeSet::new();
            let mut losses = 0;
            for (at, id, state) in states.iter() {
                if *state != NodeState::Down {
                    up.insert(*id);
                } else if up.remove(id) && *at > when {
                    losses += 1;
                }
            }
            losses
        };
        self.nodes.iter().map(lost).sum()
    }
}

fn direct(_: u32, _: u32, address: SocketAddr) -> SocketAddr {
    address
}

#[test]
fn a_splice_is_committed_and_its_end_is_heard() {
    let mut farm = Farm::new(3, direct);
    let start = Instant::now();
    assert_eq!(farm.node(1).replicate(1), Outcome::Committed(2));
    println!("committed in {:?}", start.elapsed());
    farm.same_tables(1);
    wait("the mark", || {
        let kernel = &farm.nodes[0].kernel;
        kernel.with(|state| {
            state
                .live
                .values()
                .all(|live| live.replicated)
                .then_some(())
        })
    });
    // It goes on in another's kernel, and ends there.
    let key = row(1).key();
    farm.node(2).kernel.with(|state| {
        let id = state.id_of(&key).unwrap();
        state.carry(id, 1, 100_000);
        state.fin(id, 1, false);
    });
    wait("the FIN", || farm.table(3)[&key][1].fin_seen.then_some(()));
    assert_eq!(farm.table(3)[&key], farm.table(2)[&key]);
    farm.node(3).kernel.with(|state| {
        let id = state.id_of(&key).unwrap();
        state.end(id, RESET);
    });
    farm.same_tables(0);
}

#[test]
fn a_backend_carries_its_half_and_comes_back_to_it() {
    let mut farm = Farm::of(&[PROXY, PROXY, BACKEND], 3, direct);
    // One of a server elsewhere is none of its business.
    let mut elsewhere = row(9);
    elsewhere.ends[3] = "192.0.2.99:80".parse().unwrap();
    farm.node(1).kernel.with(|state| {
        let id = state.make(elsewhere.clone());
        state.drained(id);
    });
    wait("the other proxy", || {
        farm.table(2).contains_key(&elsewhere.key()).then_some(())
    });
    for which in 1..=3 {
        assert_eq!(farm.node(1).replicate(which), Outcome::Committed(1));
    }
    wait("the backend", || (farm.table(3).len() == 3).then_some(()));
    farm.node(3).kernel.with(|state| {
        assert!(state.live.values().all(|live| live.split));
    });
    let keys = [1, 2, 3].map(|which| row(which).key());
    // Only the backend sees what its server sends.
    farm.node(3).kernel.with(|state| {
        let id = state.id_of(&keys[0]).unwrap();
        state.carry(id, 1, 100_000);
        state.fin(id, 1, false);
        let id = state.id_of(&keys[1]).unwrap();
        state.end(id, RESET);
    });
    for proxy in [1, 2] {
        wait("the FIN", || {
            farm.table(proxy)[&keys[0]][1].fin_seen.then_some(())
        });
        assert_eq!(farm.table(proxy)[&keys[0]], farm.table(3)[&keys[0]]);
        wait("the end", || {
            (!farm.table(proxy).contains_key(&keys[1])).then_some(())
        });
    }
    // Its daemon is away while one ends on a proxy, and one is new.
    farm.node(3).kill();
    farm.node(2).kernel.with(|state| {
        let id = state.id_of(&keys[2]).unwrap();
        state.end(id, RESET);
    });
    assert_eq!(farm.node(2).replicate(4), Outcome::Committed(1));
    assert!(farm.table(3).contains_key(&keys[2]));
    farm.node(3).start(None);
    wait("what it missed", || {
        let table = farm.table(3);
        let mut proxies = farm.table(1);
        proxies.remove(&elsewhere.key());
        (table == proxies && table.len() == 2).then_some(())
    });
}

#[test]
fn a_connection_moves_to_the_node_of_its_server() {
    // What moves is what is tried here, not how soon a busy host is taken for dead.
    let mut farm = Farm::of(&[PROXY, PROXY, BACKEND], 30, direct);
    let migrant = |len: usize| Migrant {
        received: vec![Piece {
            seq: 7,
            bytes: Bytes((0..len).map(|n| n as u8).collect()),
        }],
        ..Migrant::default()
    };
    let move_from = |farm: &Farm, from: usize, to: u32, what: Migrant| {
        let cluster = farm.nodes[from - 1].cluster.as_ref().unwrap();
        let handle = cluster.handle();
        cluster
            .runtime()
            .block_on(handle.hand_off(NodeId(to), what, Duration::from_secs(5)))
    };
    for (n, len) in [0, 5, 1_000_000].into_iter().enumerate() {
        assert_eq!(move_from(&farm, 1, 3, migrant(len)), Move::Taken);
        let taken = farm.nodes[2].kernel.with(|state| state.taken.clone());
        assert_eq!((taken.len(), taken.last()), (n + 1, Some(&migrant(len))));
    }
    let refused = |farm: &Farm, from, to, what, why: &str| {
        let Move::Refused(said) = move_from(farm, from, to, what) else {
            panic!("it moved");
        };
        assert!(said.contains(why), "{said}");
    };
    refused(&farm, 1, 3, migrant(4 << 20), "too many bytes");
    // Of two at a time the second waits for too long, and is told so while somebody listens.
    farm.nodes[2]
        .kernel
        .with(|state| state.takes = Duration::from_secs(1));
    let cluster = farm.nodes[0].cluster.as_ref().unwrap();
    let (handle, within) = (cluster.handle(), Duration::from_millis(1600));
    let both = cluster.runtime().block_on(async {
        let one = handle.hand_off(NodeId(3), migrant(1), within);
        let other = handle.hand_off(NodeId(3), migrant(2), within);
        tokio::join!(one, other)
    });
    assert_eq!(both.0, Move::Taken);
    assert!(
        matches!(&both.1, Move::Refused(why) if why.contains("too busy")),
        "{both:?}"
    );
    farm.nodes[2].kernel.with(|state| {
        state.takes = Duration::ZERO;
        assert_eq!(state.taken.len(), 4);
    });
    // A proxy has no servers, but rows; whether somebody listens is for its kernel to say.
    farm.nodes[1]
        .kernel
        .with(|state| state.refuse = Some("nobody listens".into()));
    refused(&farm, 1, 2, migrant(1), "nobody listens");
    refused(&farm, 3, 1, migrant(1), "only proxies");
    refused(&farm, 1, 1, migrant(1), "no link");
    farm.node(3).kill();
    wait("the link to break", || {
        match move_from(&farm, 2, 3, migrant(1)) {
            Move::Refused(why) => why.contains("no link").then_some(()),
            // What was on its way when it died.
            Move::Unknown(_) => None,
            Move::Taken => panic!("it is dead"),
        }
    });
}

#[test]
fn a_killed_node_is_missed_in_time() {
    let mut farm = Farm::new(3, direct);
    let died = farm.node(3).kill();
    for by in [1, 2] {
        let seen = wait("the loss", || {
            let state = farm.nodes[by - 1].state(3);
            state.filter(|(_, state)| *state == NodeState::Down)
        });
        let took = seen.0.saturating_duration_since(died);
        println!("{by} missed 3 after {took:?}");
        assert!(took >= ms(150) && took <= ms(300) + MARGIN, "{took:?}");
    }
    assert_eq!(farm.node(1).replicate(0), Outcome::Committed(1));
}

#[test]
fn a_node_returns_with_all_and_its_table_holds_up_no_heartbeat() {
    const ROWS: u16 = 2000;
    // Half a second, for a machine that does more than this.
    let mut farm = Farm::patient(3, 5, direct);
    farm.node(1).kernel.with(|state| {
        for which in 0..ROWS {
            let id = state.make(row(which));
            state.drained(id);
        }
    });
    farm.same_tables(ROWS.into());
    farm.node(3).kill();
    wait("the loss", || {
        farm.nodes[0]
            .state(3)
            .filter(|(_, s)| *s == NodeState::Down)
    });
    // Its host was switched off.
    farm.node(3).kernel.with(|state| state.reboot());
    for node in [1, 2] {
        let mut states = farm.node(node).states.lock().unwrap();
        states.retain(|(_, id, _)| *id != NodeId(3));
    }
    farm.node(3).states.lock().unwrap().clear();
    let back = Instant::now();
    farm.node(3).start(None);
    let up = wait("the return", || {
        farm.nodes[1]
            .state(3)
            .filter(|(_, state)| *state == NodeState::Up)
    });
    // What it had at that moment.
    let has = farm.table(3).len();
    println!("{has} rows, and up, after {:?}", up.0.duration_since(back));
    assert_eq!(has, usize::from(ROWS));
    assert_eq!(farm.losses(back), 0);
    farm.all_up();
}

#[test]
fn a_killed_daemon_leaves_its_kernel_alone_and_takes_it_over_again() {
    let mut farm = Farm::new(3, direct);
    for which in 0..20 {
        assert_eq!(farm.node(1).replicate(which), Outcome::Committed(2));
    }
    farm.node(1).kill();
    assert_eq!(farm.table(1).len(), 20);
    let key = row(3).key();
    let (one, two) = (row(4).key(), row(5).key());
    farm.node(1).kernel.with(|state| {
        let id = state.id_of(&key).unwrap();
        state.fin(id, 0, false);
        let id = state.id_of(&one).unwrap();
        state.end(id, RESET);
    });
    farm.node(2).kernel.with(|state| {
        let id = state.id_of(&two).unwrap();
        state.end(id, RESET);
    });
    let missed = |farm: &Farm| {
        farm.nodes[1]
            .state(1)
            .filter(|(_, s)| *s == NodeState::Down)
    };
    wait("the loss", || missed(&farm));
    let before = farm.node(1).kernel.with(|state| state.installs);
    farm.node(1).start(None);
    farm.same_tables(18);
    assert!(farm.table(3)[&key][0].fin_seen);
    assert_eq!(farm.node(1).kernel.with(|state| state.installs), before);
}

/// Stands between two nodes: what one sends to the address of this reaches the other.
#[derive(Clone)]
struct Relay {
    address: SocketAddr,
    stalled: Arc<AtomicBool>,
    /// Milliseconds that each piece takes.
    delay: Arc<AtomicU64>,
    /// Connections made before this many breaks are broken.
    breaks: Arc<AtomicU64>,
    /// The last datagrams.
    datagrams: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Relay {
    fn new(to: SocketAddr) -> Relay {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap();
        let udp = UdpSocket::bind(address).unwrap();
        let relay = Relay {
            address,
            stalled: Arc::default(),
            delay: Arc::default(),
            breaks: Arc::default(),
            datagrams: Arc::default(),
        };
        let beats = relay.clone();
        thread::spawn(move || {
            let mut buffer = [0; 2048];
            while let Ok((length, _)) = udp.recv_from(&mut buffer) {
                if beats.stalled.load(Ordering::Relaxed) {
                    continue;
                }
                beats
                    .datagrams
                    .lock()
                    .unwrap()
                    .push(buffer[..length].to_vec());
                let _ = udp.send_to(&buffer[..length], to);
            }
        });
        let streams = relay.clone();
        thread::spawn(move || {
            while let Ok((near, _)) = tcp.accept() {
                let Ok(far) = TcpStream::connect(to) else {
                    continue;
                };
                let epoch = streams.breaks.load(Ordering::Relaxed);
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let relay = streams.clone();
                    thread::spawn(move || relay.copy(from, to, epoch));
                }
            }
        });
        relay
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream, epoch: u64) {
        from.set_read_timeout(Some(ms(20))).unwrap();
        let mut buffer = [0; 4096];
        loop {
            while self.stalled.load(Ordering::Relaxed) {
                thread::sleep(ms(5));
            }
            if self.breaks.load(Ordering::Relaxed) != epoch {
                break;
            }
            match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => {
                    thread::sleep(ms(self.delay.load(Ordering::Relaxed)));
                    if self.breaks.load(Ordering::Relaxed) != epoch
                        || to.write_all(&buffer[..length]).is_err()
                    {
                        break;
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => break,
            }
        }
        let _ = from.shutdown(std::net::Shutdown::Both);
        let _ = to.shutdown(std::net::Shutdown::Both);
    }
}

/// Relays between all nodes, by sender and receiver.
type Relays = Arc<Mutex<BTreeMap<(u32, u32), Relay>>>;

fn relayed(count: u32) -> (Farm, Relays) {
    let relays = Relays::default();
    let made = relays.clone();
    let farm = Farm::new(count, move |from, to, address| {
        let relay = Relay::new(address);
        let at = relay.address;
        made.lock().unwrap().insert((from, to), relay);
        at
    });
    (farm, relays)
}

fn stall(relays: &Relays, node: u32, stalled: bool) {
    for ((from, to), relay) in relays.lock().unwrap().iter() {
        if *from == node || *to == node {
            relay.stalled.store(stalled, Ordering::Relaxed);
        }
    }
}

#[test]
fn two_halves_that_went_on_by_themselves_heal() {
    let (mut farm, relays) = relayed(3);
    for which in 0..50 {
        assert_eq!(farm.node(1).replicate(which), Outcome::Committed(2));
    }
    stall(&relays, 3, true);
    let is_down = |farm: &Farm, by: usize, of| {
        farm.nodes[by - 1]
            .state(of)
            .filter(|(_, s)| *s == NodeState::Down)
    };
    for (by, of) in [(1, 3), (2, 3), (3, 1), (3, 2)] {
        wait("both halves to notice", || is_down(&farm, by, of));
    }
    // 1 and 2 go on together, 3 alone.
    assert_eq!(farm.node(2).replicate(100), Outcome::Committed(1));
    assert_eq!(
        farm.node(3).replicate(101),
        Outcome::Degraded { have: 0, want: 1 }
    );
    for (on, which) in [(1, 0), (2, 1), (3, 2)] {
        farm.node(on).kernel.with(|state| {
            let id = state.id_of(&row(which).key()).unwrap();
            state.end(id, RESET);
        });
    }
    for (on, which, direction) in [(3, 10, 0), (1, 10, 1), (3, 11, 0)] {
        farm.node(on).kernel.with(|state| {
            let id = state.id_of(&row(which).key()).unwrap();
            state.fin(id, direction, true);
        });
    }
    thread::sleep(ms(300));
    let healed = Instant::now();
    stall(&relays, 3, false);
    // Four ended: one on each, and one of which each half had seen one direction end.
    farm.same_tables(48);
    println!("healed after {:?}", healed.elapsed());
    for which in [0, 1, 2, 10] {
        assert!(!farm.table(3).contains_key(&row(which).key()));
    }
    assert!(farm.table(1)[&row(11).key()][0].fin_acked);
    assert!(farm.table(1).contains_key(&row(101).key()));
    farm.all_up();
}

#[test]
fn slow_and_broken_connections_lose_nothing() {
    let (mut farm, relays) = relayed(3);
    let all: Vec<_> = relays.lock().unwrap().values().cloned().collect();
    all.iter()
        .for_each(|relay| relay.delay.store(15, Ordering::Relaxed));
    let start = Instant::now();
    let mut ended = 0;
    for which in 0..300u16 {
        let on = 1 + usize::from(which % 3);
        farm.node(on).kernel.with(|state| {
            let id = state.make(row(which));
            state.drained(id);
        });
        if which % 4 == 3 {
            // Wherever it is known by now.
            let key = row(which - 2).key();
            let found = (1..=3).find_map(|on| {
                farm.node(on).kernel.with(|state| {
                    let id = state.id_of(&key)?;
                    state.end(id, RESET);
                    Some(())
                })
            });
            ended += usize::from(found.is_some());
        }
        if which % 25 == 24 {
            let relay = &all[usize::from(which) % all.len()];
            relay.breaks.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(ms(5));
    }
    assert_eq!(ended, 75);
    farm.same_tables(225);
    println!("at rest {:?} after the start", start.elapsed());
}

#[test]
fn heartbeats_go_to_a_group() {
    let mut farm = Farm::new(2, direct);
    // The same port on two addresses of the loopback interface.
    let port = farm.addresses[0].port();
    let group = SocketAddr::from(([239, 255, 77, 77], port));
    let addresses = [1, 2].map(|last| SocketAddr::from(([127, 0, 0, last], port)));
    for id in [1, 2] {
        let node = farm.node(id);
        node.kill();
        node.states.lock().unwrap().clear();
        node.settings.listen = addresses[id - 1];
        node.settings.multicast = Some(group);
        for (member, address) in node.settings.members.values_mut().zip(addresses) {
            member.addresses = vec![address];
        }
    }
    for id in [1, 2] {
        farm.node(id).start(None);
    }
    farm.all_up();
    assert_eq!(farm.node(1).replicate(1), Outcome::Committed(1));
    let died = farm.node(2).kill();
    let seen = wait("the loss", || {
        farm.nodes[0]
            .state(2)
            .filter(|(_, s)| *s == NodeState::Down)
    });
    assert!(seen.0.saturating_duration_since(died) <= ms(300) + MARGIN);
}

#[test]
fn replayed_heartbeats_keep_nobody_alive() {
    let (mut farm, relays) = relayed(2);
    let relay = relays.lock().unwrap()[&(2, 1)].clone();
    wait("heartbeats", || {
        (relay.datagrams.lock().unwrap().len() > 5).then_some(())
    });
    let died = farm.node(2).kill();
    let old = relay.datagrams.lock().unwrap().clone();
    let to = farm.addresses[0];
    let attacker = UdpSocket::bind("127.0.0.1:0").unwrap();
    let seen = wait("the loss", || {
        for datagram in &old {
            attacker.send_to(datagram, to).unwrap();
            let mut changed = datagram.clone();
            let last = changed.len() - 1;
            // Claims to be newer.
            changed[20] = changed[20].wrapping_add(100);
            attacker.send_to(&changed, to).unwrap();
            changed[last] ^= 1;
            attacker.send_to(&changed[..last], to).unwrap();
        }
        thread::sleep(ms(3));
        farm.nodes[0]
            .state(2)
            .filter(|(_, s)| *s == NodeState::Down)
    });
    let took = seen.0.saturating_duration_since(died);
    assert!(took <= ms(300) + MARGIN, "{took:?}");
}

/// Says something as a TLS client with this certificate, and returns what it gets to read.
fn as_node(keys: &Path, node: u32, to: SocketAddr, asked: u32, say: &[u8]) -> Vec<u8> {
    let tls = Tls::load(keys, NodeId(node)).unwrap();
    let name = ServerName::try_from(format!("node-{asked}")).unwrap();
    let mut connection = rustls::ClientConnection::new(tls.client, name).unwrap();
    let mut tcp = TcpStream::connect(to).unwrap();
    tcp.set_read_timeout(Some(READ_TIME)).unwrap();
    let mut stream = rustls::Stream::new(&mut connection, &mut tcp);
    let _ = stream.write_all(say);
    let _ = stream.flush();
    let mut got = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        got.extend(&buffer[..length]);
    }
    got
}

fn hello(node: u32, to: u32) -> Vec<u8> {
    Message::Hello(Hello {
        node: NodeId(node),
        to: NodeId(to),
        incarnation: 5,
        heartbeat_key: [1; 32],
    })
    .frame()
}

#[test]
fn strangers_get_nothing_and_disturb_nobody() {
    let mut farm = Farm::patient(3, 10, direct);
    let start = Instant::now();
    let to = farm.addresses[2];
    let keys = farm.keys.path().to_owned();
    keys::make(&keys, &[NodeId(9)]).unwrap();
    let foreign = tempfile::tempdir().unwrap();
    keys::make(foreign.path(), &[NodeId(1)]).unwrap();

    // The same name by another authority: TLS itself fails, and not a byte of ours is read.
    assert_eq!(as_node(foreign.path(), 1, to, 3, &hello(1, 3)), b"");
    // A node of the cluster that says it is another.
    assert_eq!(as_node(&keys, 2, to, 3, &hello(1, 3)), b"");
    // A certificate of the authority for a node that is not configured.
    assert_eq!(as_node(&keys, 9, to, 3, &hello(9, 3)), b"");
    assert_eq!(as_node(&keys, 9, to, 3, &hello(2, 3)), b"");
    // A true node that means another.
    assert_eq!(as_node(&keys, 1, to, 3, &hello(1, 2)), b"");
    // A true node that speaks another version, too much, or nonsense, before it says hello.
    let mut other = hello(1, 3);
    other[4] = VERSION + 1;
    assert_eq!(as_node(&keys, 1, to, 3, &other), b"");
    assert_eq!(as_node(&keys, 1, to, 3, &[0xff; 300]), b"");
    assert_eq!(as_node(&keys, 1, to, 3, &Message::Synced.frame()), b"");

    // No TLS at all: an alert at most, and then the end.
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &hello(1, 3)] {
        let mut tcp = TcpStream::connect(to).unwrap();
        tcp.set_read_timeout(Some(READ_TIME)).unwrap();
        let _ = tcp.write_all(garbage);
        let mut got = Vec::new();
        let _ = tcp.read_to_end(&mut got);
        assert!(got.len() <= 7, "{got:?}");
    }
    // Many that say nothing, and many that say it slowly, on every node.
    let mut idle = Vec::new();
    for address in &farm.addresses {
        for _ in 0..100 {
            let mut tcp = TcpStream::connect(address).unwrap();
            let _ = tcp.write_all(&[0x16, 3, 1]);
            idle.push(tcp);
        }
    }
    // Datagrams of every length.
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..2000usize {
        let byte = u8::try_from(round % 251).unwrap();
        let mut datagram = vec![byte; round % 300];
        if let [version, _, _, _, node, ..] = &mut datagram[..] {
            (*version, *node) = (1, byte % 5);
        }
        let _ = udp.send_to(&datagram, farm.addresses[round % 3]);
    }
    // Meanwhile all goes on, and a node that returns gets in.
    assert_eq!(farm.node(1).replicate(1), Outcome::Committed(2));
    assert_eq!(farm.losses(start), 0);
    farm.node(2).kill();
    wait("the loss", || {
        farm.nodes[0]
            .state(2)
            .filter(|(_, s)| *s == NodeState::Down)
    });
    for node in [1, 2, 3] {
        farm.node(node)
            .states
            .lock()
            .unwrap()
            .retain(|(_, id, _)| *id != NodeId(2));
    }
    farm.node(2).start(None);
    wait("the return", || {
        farm.nodes[0].state(2).filter(|(_, s)| *s == NodeState::Up)
    });
    assert_eq!(farm.node(3).replicate(2), Outcome::Committed(2));
    drop(idle);
}

#[test]
fn a_true_node_that_goes_mad_is_cut_and_harms_only_itself() {
    let mut farm = Farm::new(3, direct);
    assert_eq!(farm.node(1).replicate(1), Outcome::Committed(2));
    farm.node(2).kill();
    wait("the loss", || {
        farm.nodes[0]
            .state(2)
            .filter(|(_, s)| *s == NodeState::Down)
    });
    let keys = farm.keys.path().to_owned();
    let to = farm.addresses[2];
    let mad = [hello(2, 3), vec![0, 0, 0, 2, VERSION, 77]].concat();
    let start = Instant::now();
    let got = as_node(&keys, 2, to, 3, &mad);
    // Our hello, perhaps our digest; then it ended.
    assert!(!got.is_empty() && start.elapsed() < READ_TIME);
    let twice = [hello(2, 3), hello(2, 3)].concat();
    let start = Instant::now();
    as_node(&keys, 2, to, 3, &twice);
    assert!(start.elapsed() < READ_TIME);
    // Rows that no kernel takes are refused one by one.
    let mut nonsense = row(7);
    nonsense.ends[0].set_port(0);
    let rows = Message::Rows {
        batch: 0,
        rows: vec![nonsense],
    };
    let got = as_node(&keys, 2, to, 3, &[hello(2, 3), rows.frame()].concat());
    let text = String::from_utf8_lossy(&got);
    assert!(
        text.contains("no kernel takes such numbers"),
        "{}",
        got.len()
    );
    assert_eq!(farm.table(3).len(), 1);
    assert_eq!(farm.node(1).replicate(2), Outcome::Committed(1));
}
