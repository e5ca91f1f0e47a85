// SPDX-License-Identifier: GPL-2.0

//! A node at work: [`Node`] decides, and what is here moves its messages, its heartbeats and its
//! requests to the kernel.
//!
//! Heartbeats are sent and received by tasks of their own, on sockets of their own, so that no
//! amount of replication holds them up. The kernel is asked by one thread, in order, and listened
//! to by another.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::thread;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tcp_splice_netlink::Migrant;
use thiserror::Error;
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use super::handoff::{self, Arrivals, Move, Text};
use super::heartbeat::{self, Opener, Sealer};
use super::kernel::{Dispatch, Heard, Kernel, KernelError, NodeState};
use super::keys::{KeysError, Tls};
use super::link::{self, Outgoing};
use super::message::{Hello, Message, text};
use super::node::{
    Beat, Done, Event, Node, Op, Outcome, Output, Replicas, Roles, Standings, Terms, WhenShort,
};
use super::row::{Key, NodeId};
use super::servers::Servers;

/// Connections whose other side has not proved yet who it is. One more ends the oldest.
const MAX_UNPROVED: usize = 64;
/// Requests to the kernel that wait; more hold back the peers that cause them.
const MAX_OPS: usize = 4096;
/// Between two attempts to reach a peer, at first and at last.
const REDIAL: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// Between two attempts to reach the kernel.
const REOPEN: Duration = Duration::from_secs(1);
/// A node that decides nothing for so long does not say that it is alive.
const PULSE: Duration = Duration::from_secs(1);
/// Why a connection that came too late to its turn is not taken.
const BUSY: &str = "the node of the server is too busy to take it in time";
/// Messages of one kind that are logged in a second.
const LOGGED: u32 = 5;

/// One node, as all nodes know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it listens. The first one is connected to; heartbeats go to all.
    pub addresses: Vec<SocketAddr>,
    /// What it is there for.
    pub roles: Roles,
}

/// How a node takes part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Which node this is.
    pub me: NodeId,
    /// Where it listens, for TCP and UDP.
    pub listen: SocketAddr,
    /// All nodes, this one included.
    pub members: BTreeMap<NodeId, Member>,
    /// Which of them have servers.
    pub servers: Servers,
    /// Servers' hosts carry what their servers send.
    pub split: bool,
    /// Folder with `ca.crt`, `node-ID.crt` and `node-ID.key`.
    pub keys: PathBuf,
    /// Time between two heartbeats.
    pub heartbeat: Duration,
    /// Heartbeats in a row that do not come before a peer is lost.
    pub misses: u32,
    /// A group that heartbeats go to instead of each peer.
    pub multicast: Option<SocketAddr>,
    /// How many peers hold a splice.
    pub replicas: Replicas,
    /// What if there are fewer.
    pub when_short: WhenShort,
    /// How long an acknowledgement may take.
    pub ack_timeout: Duration,
    /// How often progress is told.
    pub progress: Duration,
    /// How long an end is remembered.
    pub tombstones: Duration,
    /// Most live rows.
    pub max_rows: usize,
    /// Where `splicectl` asks.
    pub control: PathBuf,
}

impl Settings {
    fn terms(&self) -> Terms {
        Terms {
            me: self.me,
            nodes: self.members.iter().map(|(id, m)| (*id, m.roles)).collect(),
            servers: self.servers.clone(),
            split: self.split,
            interval: self.heartbeat,
            misses: self.misses,
            replicas: self.replicas,
            when_short: self.when_short,
            ack_timeout: self.ack_timeout,
            progress_every: self.progress,
            tombstones: self.tombstones,
            // Long enough to connect to everybody, and to hear them.
            grace: self.heartbeat.saturating_mul(self.misses.saturating_mul(3)),
            max_rows: self.max_rows,
        }
    }

    fn is_at(&self, node: NodeId, from: IpAddr) -> bool {
        let from = from.to_canonical();
        self.members
            .get(&node)
            .is_some_and(|m| m.addresses.iter().any(|a| a.ip().to_canonical() == from))
    }
}

/// Why a node does not start.
#[derive(Debug, Error)]
pub enum ClusterError {
    /// Its address cannot be had.
    #[error("cluster.listen: cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// Its keys are not good.
    #[error("cluster.keys: {0}")]
    Keys(#[from] KeysError),
    /// A thread or an event loop cannot be made.
    #[error("cannot start the cluster: {0}")]
    Thread(io::Error),
}

/// Opens a [`Kernel`]; called by both threads that need one, and again after a failure.
pub type OpenKernel = dyn Fn() -> Result<Box<dyn Kernel>, KernelError> + Send + Sync;

/// What comes from a connection.
enum FromLink {
    Met(Hello, Outgoing, AbortHandle, u64),
    Message(NodeId, u64, Message),
    Ended(NodeId, u64),
}

enum Request {
    Replicate(u64, usize, oneshot::Sender<Outcome>),
    Short(usize, oneshot::Sender<Option<String>>),
    Standings(oneshot::Sender<Vec<Standings>>),
    Drain(bool, oneshot::Sender<()>),
    HandOff(NodeId, Text, Duration, oneshot::Sender<Move>),
}

/// What the kernel is asked.
enum Job {
    Op(Op),
    /// To take a connection of a peer, which came by the link of this generation with this ticket; not later than then.
    TakeOver(NodeId, u64, u64, Text, std::time::Instant),
    /// To look for connections, for a peer that asked by the link of this generation.
    Look(NodeId, u64, Vec<Key>),
}

enum FromKernel {
    Done(Done),
    Heard(Heard),
    TakenOver(NodeId, u64, u64, Result<(), KernelError>),
    /// Those that are not here.
    Looked(NodeId, u64, Vec<Key>),
}

/// Asks a node that runs; clones ask the same one.
#[derive(Clone)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    short: Arc<Mutex<Option<String>>>,
    runtime: tokio::runtime::Handle,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

fn stopped() -> Outcome {
    Outcome::Refused("the cluster has stopped".into())
}

impl Handle {
    /// Waits until the splice of this identity is committed, or cannot be: as many peers hold it as the configuration
    /// wants, and `demand` at least. Others do not wait for it.
    pub async fn replicate(&self, id: u64, demand: usize) -> Outcome {
        let (answer, answered) = oneshot::channel();
        let request = Request::Replicate(id, demand, answer);
        match self.requests.send(request).await {
            Ok(()) => answered.await.unwrap_or_else(|_| stopped()),
            Err(_) => stopped(),
        }
    }

    /// Why no splice must be made now that `demand` peers have to hold, if so.
    pub async fn short_of_peers(&self, demand: usize) -> Option<String> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Short(demand, answer)).await;
        answered
            .await
            .unwrap_or_else(|_| Some("the cluster has stopped".into()))
    }

    /// Asks for as many replicas as the configuration wants, from outside of any event loop, and does
    /// not wait: `told` is called in another thread, at once if too many have asked.
    pub fn ask(&self, id: u64, told: impl FnOnce(Outcome) + Send + 'static) {
        let (answer, answered) = oneshot::channel();
        let request = Request::Replicate(id, 0, answer);
        if self.requests.try_send(request).is_err() {
            told(Outcome::Refused(
                "too many splices wait to be replicated".into(),
            ));
            return;
        }
        self.runtime.spawn(async move {
            told(answered.await.unwrap_or_else(|_| stopped()));
        });
    }

    /// Has another node take a connection. It answers within this time, unless something is lost, or its link ends.
    pub async fn hand_off(&self, to: NodeId, migrant: Migrant, within: Duration) -> Move {
        let Some(text) = Text::of(&migrant) else {
            return Move::Refused("it comes with too many bytes".into());
        };
        let (answer, answered) = oneshot::channel();
        let request = Request::HandOff(to, text, within, answer);
        match self.requests.send(request).await {
            Ok(()) => answered
                .await
                .unwrap_or_else(|_| Move::Unknown("the cluster has stopped".into())),
            Err(_) => Move::Refused("the cluster has stopped".into()),
        }
    }

    /// Why no splice must be made now, if so.
    pub fn refusal(&self) -> Option<String> {
        let short = self.short.lock().unwrap_or_else(PoisonError::into_inner);
        short.clone()
    }

    /// How all nodes stand, as seen from here.
    pub async fn standings(&self) -> Vec<Standings> {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Standings(answer)).await;
        answered.await.unwrap_or_default()
    }

    /// Asks that this node gets no new connections, or that it gets them again.
    pub async fn drain(&self, draining: bool) {
        let (answer, answered) = oneshot::channel();
        let _ = self.requests.send(Request::Drain(draining, answer)).await;
        let _ = answered.await;
    }
}

/// The sockets of a node.
#[derive(Debug)]
pub struct Sockets {
    /// For connections.
    pub tcp: std::net::TcpListener,
    /// For heartbeats.
    pub udp: std::net::UdpSocket,
}

impl Sockets {
    /// Binds both.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub fn bind(address: SocketAddr) -> io::Result<Sockets> {
        use socket2::{Domain, Socket, Type};
        let tcp = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            tcp.set_only_v6(true)?;
        }
        tcp.set_reuse_address(true)?;
        tcp.bind(&address.into())?;
        tcp.listen(128)?;
        let tcp: std::net::TcpListener = tcp.into();
        let udp = std::net::UdpSocket::bind(tcp.local_addr()?)?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        Ok(Sockets { tcp, udp })
    }
}

/// A node at work.
pub struct Cluster {
    runtime: Runtime,
    handle: Handle,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// What the tasks of a node share.
struct Inner {
    settings: Settings,
    tls: Tls,
    incarnation: u64,
    heartbeat_key: [u8; 32],
    openers: Mutex<HashMap<NodeId, VecDeque<Opener>>>,
    beat: Mutex<Beat>,
    /// Milliseconds since the start when the node last decided something.
    pulse: AtomicU64,
    generation: AtomicU64,
    start: Instant,
    links: mpsc::Sender<FromLink>,
    ops: AtomicUsize,
    /// Of strangers.
    quiet: Mutex<Quiet>,
}

impl Inner {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn may_say(&self) -> bool {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.may_say(self.now())
    }

    fn hello(&self, to: NodeId) -> Hello {
        Hello {
            node: self.settings.me,
            to,
            incarnation: self.incarnation,
            heartbeat_key: self.heartbeat_key,
        }
    }

    /// Takes heartbeats that are sealed with the key of this hello. Those of the process before are
    /// still good, and its late ones do no harm.
    fn meet(&self, hello: &Hello) {
        let mut openers = self.openers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = openers.entry(hello.node).or_default();
        if known.iter().all(|o| o.incarnation() != hello.incarnation) {
            known.clear();
            known.push_back(Opener::new(
                hello.node,
                hello.incarnation,
                &hello.heartbeat_key,
            ));
        }
    }

    fn open(&self, datagram: &[u8], from: IpAddr) -> Option<(NodeId, Beat)> {
        let node = heartbeat::claimed(datagram)?;
        if !self.settings.is_at(node, from) {
            return None;
        }
        let mut openers = self.openers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = openers.get_mut(&node)?;
        known
            .iter_mut()
            .find_map(|opener| opener.open(datagram))
            .map(|beat| (node, beat))
    }
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("no random numbers"))?;
    Ok(bytes)
}

impl Cluster {
    /// Starts a node, on the address of its settings.
    ///
    /// # Errors
    ///
    /// When the address cannot be had, or the keys are not good.
    pub fn start(
        settings: Settings,
        open: Arc<OpenKernel>,
        dispatch: Box<dyn Dispatch>,
    ) -> Result<Cluster, ClusterError> {
        let sockets = Sockets::bind(settings.listen).map_err(|error| ClusterError::Listen {
            address: settings.listen,
            error,
        })?;
        Cluster::start_on(sockets, settings, open, dispatch)
    }

    /// Starts a node on sockets that are bound already.
    ///
    /// # Errors
    ///
    /// When the keys are not good, or the system lacks threads.
    pub fn start_on(
        sockets: Sockets,
        settings: Settings,
        open: Arc<OpenKernel>,
        dispatch: Box<dyn Dispatch>,
    ) -> Result<Cluster, ClusterError> {
        let tls = Tls::load(&settings.keys, settings.me)?;
        let incarnation = random::<8>().map_err(ClusterError::Thread)?;
        // Never 0, which stands for none.
        let incarnation = u64::from_be_bytes(incarnation) | 1;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("cluster")
            .enable_all()
            .build()
            .map_err(ClusterError::Thread)?;
        let (links, from_links) = mpsc::channel(64);
        let (requests, requested) = mpsc::channel(4096);
        let (beats, beaten) = mpsc::channel(1024);
        let (kernel, from_kernel) = mpsc::channel(1024);
        let has_rows = settings.terms().has_rows();
        let handle = Handle {
            requests,
            short: Arc::default(),
            runtime: runtime.handle().clone(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let inner = Arc::new(Inner {
            tls,
            incarnation,
            heartbeat_key: random().map_err(ClusterError::Thread)?,
            openers: Mutex::default(),
            beat: Mutex::new(Beat {
                incarnation,
                ..Beat::default()
            }),
            pulse: AtomicU64::new(0),
            generation: AtomicU64::new(1),
            start: runtime.block_on(async { Instant::now() }),
            links,
            ops: AtomicUsize::new(0),
            quiet: Mutex::default(),
            settings,
        });

        let (ops, asked) = blocking::channel();
        let (states, told) = blocking::channel();
        if has_rows {
            let (open_too, kernel_too, stop_too) = (open.clone(), kernel.clone(), stop.clone());
            spawn("cluster-kernel", {
                let inner = inner.clone();
                move || ask_kernel(&*open, &asked, &kernel, &inner)
            })?;
            spawn("cluster-events", move || {
                hear_kernel(&*open_too, &kernel_too, &stop_too);
            })?;
        }
        spawn("cluster-dispatch", move || tell_dispatch(dispatch, &told))?;

        let started: Result<(), ClusterError> = runtime.block_on(async {
            let tcp = TcpListener::from_std(sockets.tcp).map_err(ClusterError::Thread)?;
            let udp = UdpSocket::from_std(sockets.udp).map_err(ClusterError::Thread)?;
            if let Some(group) = inner.settings.multicast {
                let heard = join_group(&udp, group, inner.settings.listen).map_err(|error| {
                    ClusterError::Listen {
                        address: group,
                        error,
                    }
                })?;
                tokio::spawn(hear(Arc::new(heard), inner.clone(), beats.clone()));
            }
            let udp = Arc::new(udp);
            tokio::spawn(accept(tcp, inner.clone()));
            tokio::spawn(hear(udp.clone(), inner.clone(), beats));
            tokio::spawn(beat(udp, inner.clone()));
            let greater = inner.settings.members.range(inner.settings.me..).skip(1);
            for (id, member) in greater {
                if let Some(address) = member.addresses.first() {
                    tokio::spawn(keep_dialing(*id, *address, inner.clone()));
                }
            }
            let node = Node::new(inner.settings.terms(), incarnation, inner.now());
            let work = Work {
                node,
                inner: inner.clone(),
                links: HashMap::new(),
                tickets: HashMap::new(),
                next_ticket: 0,
                ops,
                leaving: HashMap::new(),
                arriving: Arrivals::default(),
                has_rows,
                states,
                short: handle.short.clone(),
                quiet: Quiet::default(),
                load_at: Duration::ZERO,
            };
            tokio::spawn(work.run(Sources {
                beaten,
                requested,
                from_kernel,
                from_links,
            }));
            Ok(())
        });
        started?;
        Ok(Cluster {
            runtime,
            handle,
            stop,
        })
    }

    /// What asks this node.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Where tasks that belong to the node can run.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Ends it at once, without a word to its peers, as a crash would. The kernel goes on.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.runtime.shutdown_background();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), ClusterError> {
    thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map(|_| ())
        .map_err(ClusterError::Thread)
}

/// A socket that hears a group, on the interface that has the address of this node. The one that is
/// bound to that address does not.
fn join_group(udp: &UdpSocket, group: SocketAddr, here: SocketAddr) -> io::Result<UdpSocket> {
    use socket2::{Domain, SockRef, Socket, Type};
    let heard = Socket::new(Domain::for_address(group), Type::DGRAM, None)?;
    heard.set_reuse_address(true)?;
    heard.bind(&group.into())?;
    match (group.ip(), here.ip()) {
        (IpAddr::V4(group), IpAddr::V4(here)) => {
            SockRef::from(udp).set_multicast_if_v4(&here)?;
            heard.join_multicast_v4(&group, &here)?;
        }
        (IpAddr::V6(group), IpAddr::V6(_)) => heard.join_multicast_v6(&group, 0)?,
        _ => return Err(io::Error::other("the group is of another family")),
    }
    heard.set_nonblocking(true)?;
    UdpSocket::from_std(heard.into())
}

// Threads.

/// Asks the kernel one thing after the other.
fn ask_kernel(
    open: &OpenKernel,
    asked: &blocking::Receiver<Job>,
    answers: &mpsc::Sender<FromKernel>,
    inner: &Inner,
) {
    let mut kernel: Option<Box<dyn Kernel>> = None;
    let mut failed: Option<(std::time::Instant, String)> = None;
    while let Ok(job) = asked.recv() {
        inner.ops.fetch_sub(1, Ordering::Relaxed);
        if kernel.is_none() && failed.as_ref().is_none_or(|(at, _)| at.elapsed() >= REOPEN) {
            match open() {
                Ok(opened) => {
                    kernel = Some(opened);
                    failed = None;
                }
                Err(error) => {
                    if failed.as_ref().is_none_or(|(_, before)| *before != error.0) {
                        tracing::warn!(%error, "the cluster cannot reach the kernel");
                    }
                    failed = Some((std::time::Instant::now(), error.0));
                }
            }
        }
        let unreachable = || {
            let (_, why) = failed
                .clone()
                .unwrap_or((std::time::Instant::now(), String::new()));
            KernelError(format!("the kernel cannot be reached: {why}"))
        };
        let told = |done: Done| answers.blocking_send(FromKernel::Done(done)).is_ok();
        let op = match job {
            Job::Op(op) => op,
            Job::TakeOver(peer, generation, ticket, text, until) => {
                let migrant = text.read().map_err(|unfit| KernelError(unfit.to_string()));
                let result = migrant.and_then(|migrant| match &mut kernel {
                    _ if std::time::Instant::now() > until => Err(KernelError(BUSY.into())),
                    Some(kernel) => kernel.take_over(&migrant),
                    None => Err(unreachable()),
                });
                let answer = FromKernel::TakenOver(peer, generation, ticket, result);
                if answers.blocking_send(answer).is_err() {
                    return;
                }
                continue;
            }
            Job::Look(peer, generation, mut keys) => {
                // What is not known to be gone is there.
                keys.retain(|key| match kernel.as_mut().map(|kernel| kernel.has(key)) {
                    Some(Ok(has)) => !has,
                    Some(Err(error)) => {
                        tracing::debug!(%error, "connections were not looked for");
                        false
                    }
                    None => false,
                });
                let answer = FromKernel::Looked(peer, generation, keys);
                if answers.blocking_send(answer).is_err() {
                    return;
                }
                continue;
            }
        };
        let going = match op {
            Op::Install { row, split } => {
                let result = match &mut kernel {
                    Some(kernel) => kernel.install(&row, split),
                    None => Err(unreachable()),
                };
                let result = result.map_err(|error| error.0);
                told(Done::Installed(row.key(), row.progress, result))
            }
            Op::Advance {
                id,
                progress,
                replicated,
            } => {
                let result = kernel
                    .as_mut()
                    .map(|kernel| kernel.advance(id, &progress, replicated));
                if let Some(Err(error)) = result {
                    // It may have ended, which is told as well.
                    tracing::debug!(id, %error, "progress was not merged");
                }
                true
            }
            Op::Forget { id, reason } => {
                let result = kernel.as_mut().map(|kernel| kernel.forget(id, reason));
                if let Some(Err(error)) = result {
                    tracing::debug!(id, %error, "a splice that ended elsewhere was not ended");
                }
                true
            }
            Op::List { epoch } => {
                let listed = match &mut kernel {
                    Some(kernel) => kernel.list(),
                    None => Err(unreachable()),
                };
                match listed {
                    Ok(seen) => {
                        seen.chunks(512)
                            .all(|chunk| told(Done::Listing(chunk.to_vec())))
                            && told(Done::Listed { epoch, whole: true })
                    }
                    Err(error) => {
                        tracing::debug!(%error, "splices were not listed");
                        kernel = None;
                        told(Done::Listed {
                            epoch,
                            whole: false,
                        })
                    }
                }
            }
        };
        if !going {
            return;
        }
    }
}

/// Hears of splices.
fn hear_kernel(open: &OpenKernel, to: &mpsc::Sender<FromKernel>, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let watch = open().and_then(|mut kernel| kernel.subscribe());
        let Ok(mut watch) = watch else {
            thread::sleep(REOPEN);
            continue;
        };
        // What happened before is in a list.
        let mut heard = Ok(Some(Heard::Lost));
        while !stop.load(Ordering::Relaxed) {
            match heard {
                Ok(Some(heard)) => {
                    if to.blocking_send(FromKernel::Heard(heard)).is_err() {
                        return;
                    }
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "the kernel's events are lost; subscribing again");
                    thread::sleep(REOPEN);
                    break;
                }
            }
            heard = watch.next(Duration::from_millis(200));
        }
    }
}

/// Tells whoever chooses nodes for packets, again and again until it is taken.
fn tell_dispatch(mut dispatch: Box<dyn Dispatch>, told: &blocking::Receiver<(NodeId, NodeState)>) {
    let mut untold: BTreeMap<NodeId, NodeState> = BTreeMap::new();
    let mut said = None;
    loop {
        let next = match untold.is_empty() {
            true => told
                .recv()
                .map_err(|_| blocking::RecvTimeoutError::Disconnected),
            false => told.recv_timeout(REOPEN),
        };
        match next {
            Ok((id, state)) => {
                untold.insert(id, state);
            }
            Err(blocking::RecvTimeoutError::Timeout) => {}
            Err(blocking::RecvTimeoutError::Disconnected) => return,
        }
        untold.retain(|id, state| match dispatch.node(*id, *state) {
            Ok(()) => false,
            Err(error) => {
                if said.as_ref() != Some(&error) {
                    tracing::warn!(node = id.0, %state, %error, "dispatch was not told; trying again");
                    said = Some(error);
                }
                true
            }
        });
        if untold.is_empty() {
            said = None;
        }
    }
}

// Heartbeats.

async fn hear(
    udp: Arc<UdpSocket>,
    inner: Arc<Inner>,
    beats: mpsc::Sender<(NodeId, Beat, Duration)>,
) {
    // One byte more, so that what is too long is seen to be.
    let mut datagram = [0; heartbeat::MAX + 1];
    loop {
        match udp.recv_from(&mut datagram).await {
            Ok((length, from)) => {
                let datagram = datagram.get(..length).unwrap_or_default();
                if let Some((node, beat)) = inner.open(datagram, from.ip()) {
                    // Of a flood of authentic ones, some are enough.
                    let _ = beats.try_send((node, beat, inner.now()));
                }
            }
            // An ICMP error about a peer that is not there.
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    }
}

async fn beat(udp: Arc<UdpSocket>, inner: Arc<Inner>) {
    let settings = &inner.settings;
    let mut sealer = Sealer::new(settings.me, inner.incarnation, &inner.heartbeat_key);
    // A little earlier than due: what is on its way for a sixteenth of the interval is in time.
    let every = settings.heartbeat - settings.heartbeat / 16;
    let mut due = interval(every.max(Duration::from_millis(1)));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let others = settings
        .members
        .iter()
        .filter(|(id, _)| **id != settings.me);
    let to: Vec<SocketAddr> = match settings.multicast {
        Some(group) => vec![group],
        None => others.flat_map(|(_, m)| m.addresses.clone()).collect(),
    };
    loop {
        due.tick().await;
        let decided = Duration::from_millis(inner.pulse.load(Ordering::Relaxed));
        if inner.now().saturating_sub(decided) > PULSE {
            tracing::error!("this node decides nothing any more; its peers will miss it");
            continue;
        }
        let beat = *inner.beat.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(datagram) = sealer.seal(&beat) else {
            continue;
        };
        for address in &to {
            // A peer that is not there, or no route to it: what it misses, it tells.
            let _ = udp.try_send_to(&datagram, *address);
        }
    }
}

// Connections.

async fn accept(tcp: TcpListener, inner: Arc<Inner>) {
    let mut unproved: JoinSet<()> = JoinSet::new();
    let mut oldest: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            accepted = tcp.accept() => accepted,
            Some(_) = unproved.join_next() => {
                oldest.retain(|handle| !handle.is_finished());
                continue;
            }
        };
        let Ok((stream, from)) = accepted else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        let settings = &inner.settings;
        if !settings
            .members
            .keys()
            .any(|id| settings.is_at(*id, from.ip()))
        {
            if inner.may_say() {
                tracing::warn!(%from, "a connection from an address that no node has; closed");
            }
            continue;
        }
        while oldest.len() >= MAX_UNPROVED {
            if let Some(handle) = oldest.pop_front() {
                handle.abort();
            }
        }
        let inner = inner.clone();
        oldest.push_back(unproved.spawn(async move {
            let me = inner.settings.me;
            let reply = |node: NodeId, from: IpAddr| {
                let expected = node < me && inner.settings.is_at(node, from);
                expected.then(|| inner.hello(node))
            };
            match link::answer(&inner.tls, stream, me, reply).await {
                Ok(met) => {
                    // The connection goes on by itself, and does not count any more.
                    let _ = carry(met, inner.clone()).await;
                }
                Err(error) => {
                    if inner.may_say() {
                        tracing::warn!(%from, %error, "a connection that is no node's; closed");
                    }
                }
            }
        }));
    }
}

async fn keep_dialing(peer: NodeId, address: SocketAddr, inner: Arc<Inner>) {
    let mut pause = REDIAL.0;
    let mut said = String::new();
    loop {
        let from = inner.settings.listen.ip();
        match link::dial(&inner.tls, from, address, peer, inner.hello(peer)).await {
            Ok(met) => {
                said.clear();
                pause = REDIAL.0;
                if let Some(ended) = carry(met, inner.clone()).await {
                    let _ = ended.await;
                }
            }
            Err(error) => {
                let error = error.to_string();
                if error != said {
                    tracing::info!(node = peer.0, %address, error, "a node cannot be reached");
                    said = error;
                }
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(REDIAL.1);
    }
}

/// Lets a connection run in a task of its own, whose end can be waited for.
async fn carry(met: link::Met, inner: Arc<Inner>) -> Option<oneshot::Receiver<()>> {
    let link::Met { hello, stream } = met;
    let peer = hello.node;
    let generation = inner.generation.fetch_add(1, Ordering::Relaxed);
    inner.meet(&hello);
    let (outgoing, frames) = link::outgoing();
    let (begin, begun) = oneshot::channel::<()>();
    let (end, ended) = oneshot::channel::<()>();
    let links = inner.links.clone();
    let task = tokio::spawn(async move {
        // Dropped when this task ends, or is ended.
        let _end = end;
        if begun.await.is_err() {
            return;
        }
        let received = |message| {
            let links = links.clone();
            async move {
                let message = FromLink::Message(peer, generation, message);
                links.send(message).await.is_ok()
            }
        };
        if let Err(error) = link::run(stream, frames, received).await {
            tracing::info!(node = peer.0, %error, "the connection to a node ended");
        }
        let _ = links.send(FromLink::Ended(peer, generation)).await;
    });
    let met = FromLink::Met(hello, outgoing, task.abort_handle(), generation);
    inner.links.send(met).await.ok()?;
    begin.send(()).ok()?;
    Some(ended)
}

// Decisions.

struct Sources {
    beaten: mpsc::Receiver<(NodeId, Beat, Duration)>,
    requested: mpsc::Receiver<Request>,
    from_kernel: mpsc::Receiver<FromKernel>,
    from_links: mpsc::Receiver<FromLink>,
}

struct Open {
    generation: u64,
    outgoing: Outgoing,
    task: AbortHandle,
}

/// Keeps a flood of the same message out of the log.
#[derive(Default)]
struct Quiet {
    since: Duration,
    said: u32,
    unsaid: u32,
}

impl Quiet {
    fn may_say(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= Duration::from_secs(1) {
            if self.unsaid > 0 {
                tracing::warn!(messages = self.unsaid, "more of the same");
            }
            *self = Quiet {
                since: now,
                ..Quiet::default()
            };
        }
        let may = self.said < LOGGED;
        self.said += u32::from(may);
        self.unsaid += u32::from(!may);
        may
    }
}

struct Work {
    node: Node,
    inner: Arc<Inner>,
    links: HashMap<NodeId, Open>,
    tickets: HashMap<u64, oneshot::Sender<Outcome>>,
    next_ticket: u64,
    ops: blocking::Sender<Job>,
    /// Who waits for a node to take a connection, by node and ticket, and the generation of the link.
    leaving: HashMap<(NodeId, u64), (u64, oneshot::Sender<Move>)>,
    arriving: Arrivals,
    /// It has a kernel to ask.
    has_rows: bool,
    states: blocking::Sender<(NodeId, NodeState)>,
    short: Arc<Mutex<Option<String>>>,
    quiet: Quiet,
    load_at: Duration,
}

impl Work {
    async fn run(mut self, mut from: Sources) {
        let late = self.inner.settings.heartbeat / 2;
        loop {
            self.act();
            let now = self.inner.now();
            let pulse = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            self.inner.pulse.store(pulse, Ordering::Relaxed);
            // A tick at least so often keeps the pulse.
            let due = self.node.deadline(now).min(now + PULSE / 4);
            let has_room = self.inner.ops.load(Ordering::Relaxed) < MAX_OPS;
            tokio::select! {
                biased;
                Some((node, beat, at)) = from.beaten.recv() => {
                    self.node.heartbeat(node, beat, at);
                }
                () = sleep_until(self.inner.start + due) => {
                    if self.inner.now().saturating_sub(due) > late {
                        // This host stood still, and its clock did not. Heartbeats that came
                        // meanwhile are heard before anybody is declared lost.
                        sleep(Duration::from_millis(10)).await;
                        while let Ok((node, beat, at)) = from.beaten.try_recv() {
                            self.node.heartbeat(node, beat, at);
                        }
                    }
                    let now = self.inner.now();
                    self.measure(now);
                    self.node.tick(now);
                }
                Some(answer) = from.from_kernel.recv() => self.answered(answer),
                request = from.requested.recv() => match request {
                    Some(request) => self.request(request),
                    // Nobody can ask any more: the process ends.
                    None => return,
                },
                Some(input) = from.from_links.recv(), if has_room => self.carried(input),
            }
        }
    }

    fn measure(&mut self, now: Duration) {
        if now < self.load_at {
            return;
        }
        self.load_at = now + Duration::from_secs(1);
        let minute = rustix::system::sysinfo().loads[0];
        let cores = thread::available_parallelism().map_or(1, usize::from) as u64;
        // Fixed point, 16 bits.
        let load = minute.saturating_mul(1000) / 65_536 / cores;
        self.node.load(u16::try_from(load).unwrap_or(u16::MAX));
    }

    fn answered(&mut self, answer: FromKernel) {
        let now = self.inner.now();
        match answer {
            FromKernel::Done(done) => self.node.done(done, now),
            FromKernel::Heard(Heard::Seen(seen)) => self.node.seen(seen, now),
            FromKernel::Heard(Heard::Lost) => self.node.lost_events(now),
            FromKernel::TakenOver(peer, generation, ticket, result) => {
                let refusal = result.err().map(|error| text(error.0));
                self.say(peer, generation, &Message::HandedOff { ticket, refusal });
            }
            FromKernel::Looked(peer, generation, gone) => {
                if !gone.is_empty() {
                    self.say(peer, generation, &Message::HasNot(gone));
                }
            }
        }
    }

    /// Sends a message over the link of this generation. `false` if it does not get there.
    fn say(&mut self, peer: NodeId, generation: u64, message: &Message) -> bool {
        let open = self.links.get(&peer);
        let Some(open) = open.filter(|open| open.generation == generation) else {
            return false;
        };
        if !open.outgoing.send(message) {
            tracing::warn!(node = peer.0, "a node takes too little; connecting anew");
            self.cut(peer, generation);
            return false;
        }
        true
    }

    /// Gives a connection to a node.
    fn hand_off(
        &mut self,
        to: NodeId,
        connection: &Text,
        within: Duration,
        answer: oneshot::Sender<Move>,
    ) {
        let refused = |why: &str| Move::Refused(why.into());
        let Some(generation) = self.links.get(&to).map(|open| open.generation) else {
            let _ = answer.send(refused("there is no link to the node of the server"));
            return;
        };
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let mut messages = connection.messages(ticket, within);
        let last = messages.pop();
        let said = messages.iter().all(|part| self.say(to, generation, part));
        let Some(last) = last.filter(|_| said) else {
            let _ = answer.send(refused("the link to the node of the server was lost"));
            return;
        };
        // From here on it may be there.
        self.leaving.insert((to, ticket), (generation, answer));
        self.say(to, generation, &last);
    }

    fn is_proxy(&self, node: NodeId) -> bool {
        let member = self.inner.settings.members.get(&node);
        member.is_some_and(|member| member.roles.proxy)
    }

    /// A peer asks for connections that it gave to this node.
    fn look(&mut self, peer: NodeId, generation: u64, keys: Vec<Key>) {
        if self.has_rows && self.is_proxy(peer) {
            self.inner.ops.fetch_add(1, Ordering::Relaxed);
            let _ = self.ops.send(Job::Look(peer, generation, keys));
        }
    }

    /// A part of a connection of a peer; with the last one, within how many milliseconds that waits for an answer.
    fn arrive(
        &mut self,
        peer: NodeId,
        generation: u64,
        ticket: u64,
        part: &[u8],
        last: Option<u32>,
    ) {
        let refusal = if !self.is_proxy(peer) {
            "only proxies hand connections over".into()
        } else if !self.has_rows {
            "this node has no servers".into()
        } else {
            match self.arriving.add(peer, ticket, part, last.is_some()) {
                Ok(Some(text)) => {
                    self.inner.ops.fetch_add(1, Ordering::Relaxed);
                    let until = std::time::Instant::now() + handoff::patience(last.unwrap_or(0));
                    let job = Job::TakeOver(peer, generation, ticket, text, until);
                    let _ = self.ops.send(job);
                    return;
                }
                Ok(None) => return,
                Err(unfit) => unfit.to_string(),
            }
        };
        let refusal = Some(refusal);
        self.say(peer, generation, &Message::HandedOff { ticket, refusal });
    }

    /// A peer has taken a connection, or has not.
    fn handed_off(&mut self, peer: NodeId, ticket: u64, refusal: Option<String>) {
        if let Some((_, answer)) = self.leaving.remove(&(peer, ticket)) {
            let _ = answer.send(refusal.map_or(Move::Taken, Move::Refused));
        }
    }

    fn request(&mut self, request: Request) {
        let now = self.inner.now();
        match request {
            Request::Replicate(id, demand, answer) => {
                self.next_ticket += 1;
                self.tickets.insert(self.next_ticket, answer);
                self.node.replicate(id, demand, self.next_ticket, now);
            }
            Request::Short(demand, answer) => {
                let _ = answer.send(self.node.short_of_peers(demand));
            }
            Request::Standings(answer) => {
                let _ = answer.send(self.node.standings(now));
            }
            Request::Drain(draining, answer) => {
                self.node.drain(draining, now);
                let _ = answer.send(());
            }
            Request::HandOff(to, connection, within, answer) => {
                self.hand_off(to, &connection, within, answer);
            }
        }
    }

    fn carried(&mut self, input: FromLink) {
        let now = self.inner.now();
        match input {
            FromLink::Met(hello, outgoing, task, generation) => {
                let open = Open {
                    generation,
                    outgoing,
                    task,
                };
                if let Some(old) = self.links.insert(hello.node, open) {
                    old.task.abort();
                    self.moves_end(hello.node, old.generation);
                }
                self.node
                    .linked(hello.node, generation, hello.incarnation, now);
            }
            FromLink::Message(
                peer,
                generation,
                Message::Handoff {
                    ticket,
                    part,
                    last,
                    within,
                },
            ) => self.arrive(peer, generation, ticket, &part, last.then_some(within)),
            FromLink::Message(peer, _, Message::HandedOff { ticket, refusal }) => {
                self.handed_off(peer, ticket, refusal);
            }
            FromLink::Message(peer, generation, Message::Has(keys)) => {
                self.look(peer, generation, keys);
            }
            FromLink::Message(peer, generation, message) => {
                self.node.message(peer, generation, message, now);
            }
            FromLink::Ended(peer, generation) => self.cut(peer, generation),
        }
    }

    /// What was on its way over a link that has ended is not heard of any more.
    fn moves_end(&mut self, peer: NodeId, generation: u64) {
        self.arriving.forget(peer);
        let by_it =
            |((of, _), (at, _)): &(&(NodeId, u64), &(u64, _))| *of == peer && *at == generation;
        let lost: Vec<_> = self
            .leaving
            .iter()
            .filter(by_it)
            .map(|(key, _)| *key)
            .collect();
        for (_, answer) in lost.iter().filter_map(|key| self.leaving.remove(key)) {
            let why = "the link to the node of the server was lost";
            let _ = answer.send(Move::Unknown(why.into()));
        }
    }

    fn cut(&mut self, peer: NodeId, generation: u64) {
        if let Some(open) = self.links.get(&peer) {
            if open.generation == generation {
                open.task.abort();
                self.links.remove(&peer);
                self.moves_end(peer, generation);
            }
        }
        self.node.unlinked(peer, generation, self.inner.now());
    }

    fn act(&mut self) {
        loop {
            let outputs = self.node.take(self.inner.now());
            if outputs.is_empty() {
                break;
            }
            for output in outputs {
                self.output(output);
            }
        }
        *self
            .inner
            .beat
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = self.node.beat();
        let mut short = self.short.lock().unwrap_or_else(PoisonError::into_inner);
        *short = self.node.short_of_peers(0);
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Send(peer, generation, message) => {
                self.say(peer, generation, &message);
            }
            Output::Reset(peer, generation, why) => {
                tracing::info!(node = peer.0, why, "the connection to a node is cut");
                self.cut(peer, generation);
            }
            Output::Op(op) => {
                self.inner.ops.fetch_add(1, Ordering::Relaxed);
                let _ = self.ops.send(Job::Op(op));
            }
            Output::Dispatch(id, state) => {
                let _ = self.states.send((id, state));
            }
            Output::Answer(ticket, outcome) => {
                if let Some(answer) = self.tickets.remove(&ticket) {
                    let _ = answer.send(outcome);
                }
            }
            Output::Event(event) => self.log(event),
        }
    }

    fn log(&mut self, event: Event) {
        match event {
            Event::Node(id, was, is) => tracing::info!(node = id.0, %was, %is, "a node changed"),
            Event::Lost(id, silent) => {
                tracing::warn!(
                    node = id.0,
                    silent_ms = silent.as_millis(),
                    "a node is lost"
                );
            }
            Event::Ready(rows) => tracing::info!(rows, "this node has the whole table"),
            Event::ReadyWithout(nodes) => {
                let nodes: Vec<_> = nodes.iter().map(|node| node.0).collect();
                tracing::warn!(
                    ?nodes,
                    "this node takes packets without the tables of these"
                );
            }
            _ if !self.quiet.may_say(self.inner.now()) => {}
            Event::Short { key, have, want } => tracing::warn!(
                client = %key.client, service = %key.service, have, want,
                "a splice is committed-degraded: fewer peers hold it than should"
            ),
            Event::RefusedBy(node, key, why) => tracing::warn!(
                node = node.0, client = %key.client, service = %key.service, why,
                "a node did not take a splice"
            ),
            Event::RefusedHere(key, why) => tracing::warn!(
                client = %key.client, service = %key.service, why,
                "the kernel did not take a splice of a peer"
            ),
        }
    }
}
