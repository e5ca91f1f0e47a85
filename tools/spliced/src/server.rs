// SPDX-License-Identifier: GPL-2.0

//! The process: event loops, arming threads, listeners, and their start, change and stop.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc as blocking;
use std::sync::{Arc, mpsc::RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::sleep;

use crate::config::{Config, Listener};
use crate::connection::{Phase, Shared, reached};
use crate::handoff::HandOff;
use crate::keeper::{self, Kept};
use crate::listener::{self, Served};
use crate::log::AccessLog;
use crate::splice::{Armer, OpenSplicer};

/// Time in which connections that were cut write their last line.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why the server did not start, or kept its old configuration.
#[derive(Debug, Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}{}", remedy(.error))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        error: io::Error,
    },
    /// The access log cannot be opened.
    #[error("cannot open the access log: {0}")]
    AccessLog(io::Error),
    /// A thread or an event loop cannot be made.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; stop the other process, or use another port",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; no interface of this host has the address",
        _ => "",
    }
}

/// A listening socket and where its configuration comes from.
struct Order {
    socket: std::net::TcpListener,
    served: watch::Receiver<Arc<Served>>,
}

/// An address that is listened on; dropping it ends the accepting.
struct Bound {
    actual: SocketAddr,
    served: watch::Sender<Arc<Served>>,
}

/// The address as configured, and a number that tells apart several with port 0.
type Key = (SocketAddr, usize);

/// A running proxy.
pub struct Server {
    config: Config,
    bound: HashMap<Key, Bound>,
    workers: Vec<mpsc::UnboundedSender<Order>>,
    threads: Vec<JoinHandle<()>>,
    /// Disconnected when the last event loop has ended.
    loops: blocking::Receiver<Infallible>,
    phase: Arc<watch::Sender<Phase>>,
    shared: Arc<Shared>,
    /// What is looked after between requests.
    kept: watch::Sender<Kept>,
}

impl Server {
    /// Starts everything that `config` asks for. `open` reaches whoever makes splices, `hand_off` the hosts of servers.
    ///
    /// # Errors
    ///
    /// When an address cannot be listened on, or the system lacks threads or descriptors.
    pub fn start(
        config: Config,
        open: Arc<OpenSplicer>,
        hand_off: Option<Arc<HandOff>>,
    ) -> Result<Server, ServerError> {
        let (phase, watched) = watch::channel(Phase::Running);
        let mut threads = Vec::new();
        let access = match &config.access_log {
            Some(path) => {
                let (log, thread) = AccessLog::open(path).map_err(ServerError::AccessLog)?;
                threads.push(thread);
                Some(log)
            }
            None => None,
        };
        let (armer, arming) =
            Armer::start(config.arming_threads, open).map_err(ServerError::Thread)?;
        threads.extend(arming);
        let shared = Arc::new(Shared {
            armer,
            hand_off,
            access,
            phase: watched,
        });

        let (ended, loops) = blocking::channel();
        let mut workers = Vec::new();
        for n in 0..config.workers {
            let runtime = runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()
                .map_err(ServerError::Thread)?;
            let (orders, ordered) = mpsc::unbounded_channel();
            let (shared, ended) = (shared.clone(), ended.clone());
            let thread = thread::Builder::new()
                .name(format!("loop-{n}"))
                .spawn(move || {
                    run_loop(runtime, ordered, shared);
                    drop(ended);
                })
                .map_err(ServerError::Thread)?;
            workers.push(orders);
            threads.push(thread);
        }

        let (kept, looked_after) = watch::channel(kept(&config));
        let runtime = runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(ServerError::Thread)?;
        let keeper = thread::Builder::new()
            .name("keeper".into())
            .spawn(move || runtime.block_on(keeper::keep(looked_after)))
            .map_err(ServerError::Thread)?;
        threads.push(keeper);

        let mut server = Server {
            config,
            kept,
            bound: HashMap::new(),
            workers,
            threads,
            loops,
            phase: Arc::new(phase),
            shared,
        };
        let listeners = std::mem::take(&mut server.config.listeners);
        server.listen(listeners, true)?;
        Ok(server)
    }

    /// The addresses that the listener of this name has, with the ports it really got.
    pub fn addresses(&self, listener: &str) -> Vec<SocketAddr> {
        let mut found: Vec<_> = self
            .bound
            .iter()
            .filter(|(_, bound)| bound.served.borrow().name == listener)
            .map(|(key, bound)| (*key, bound.actual))
            .collect();
        found.sort();
        found.into_iter().map(|(_, actual)| actual).collect()
    }

    /// Takes over a new configuration: new connections follow it, old ones finish as they began.
    /// Threads and logs stay as they were started.
    ///
    /// # Errors
    ///
    /// When a new address cannot be listened on; everything then goes on as before.
    pub fn reload(&mut self, mut config: Config) -> Result<(), ServerError> {
        let listeners = std::mem::take(&mut config.listeners);
        // For the new listeners only: old ones keep the limits they are given here as well.
        let old = std::mem::replace(&mut self.config, config);
        if let Err(error) = self.listen(listeners, false) {
            self.config = old;
            return Err(error);
        }
        let started = |c: &Config| (c.workers, c.arming_threads, c.log_format, c.log_level);
        if started(&old) != started(&self.config) || old.access_log != self.config.access_log {
            tracing::warn!("workers, arming_threads and [log] change at the next restart only");
        }
        if old.cluster != self.config.cluster {
            tracing::warn!("[cluster] changes at the next restart only");
        }
        if let Some(access) = &self.shared.access {
            access.reopen();
        }
        let before = self.kept.send_replace(kept(&self.config));
        for backend in before.pools.iter().flat_map(|pool| pool.backends()) {
            backend.retire();
        }
        Ok(())
    }

    /// Opens what is not open, tells the others of the change, and closes the rest.
    fn listen(&mut self, listeners: Vec<Listener>, alone: bool) -> Result<(), ServerError> {
        let mut wanted: Vec<(Key, Arc<Served>)> = Vec::new();
        for listener in listeners {
            let served = Arc::new(Served {
                room: self.room(&listener),
                max_connections: listener.max_connections,
                name: listener.name,
                protocol: listener.protocol,
                routes: Arc::new(listener.routes),
                timeouts: self.config.timeouts,
                max_head: self.config.max_head,
                http: self.config.http,
            });
            for address in listener.addresses {
                let number = wanted.iter().filter(|(key, _)| key.0 == address).count();
                wanted.push(((address, number), served.clone()));
            }
        }
        let mut opened = HashMap::new();
        for (key, _) in &wanted {
            if !self.bound.contains_key(key) {
                let sockets =
                    listener::bind(key.0, self.workers.len(), alone).map_err(|error| {
                        ServerError::Listen {
                            address: key.0,
                            error,
                        }
                    })?;
                opened.insert(*key, sockets);
            }
        }
        // Nothing can fail from here on.
        let mut bound = HashMap::new();
        for (key, served) in wanted {
            if let Some(old) = self.bound.remove(&key) {
                old.served.send_replace(served);
                bound.insert(key, old);
            } else if let Some((actual, sockets)) = opened.remove(&key) {
                tracing::info!(address = %actual, listener = served.name, "listening");
                let (sender, receiver) = watch::channel(served);
                for (worker, socket) in self.workers.iter().zip(sockets) {
                    // A loop that has ended has panicked; the others go on.
                    let _ = worker.send(Order {
                        socket,
                        served: receiver.clone(),
                    });
                }
                bound.insert(
                    key,
                    Bound {
                        actual,
                        served: sender,
                    },
                );
            }
        }
        self.bound = bound;
        Ok(())
    }

    /// The permits of a listener: those it had, if the limit is the same.
    fn room(&self, listener: &Listener) -> Arc<Semaphore> {
        let old = self
            .bound
            .values()
            .map(|b| b.served.borrow().clone())
            .find(|served| {
                served.name == listener.name && served.max_connections == listener.max_connections
            });
        match old {
            Some(served) => served.room.clone(),
            None => Arc::new(Semaphore::new(listener.max_connections)),
        }
    }

    /// Whatever is sent `Phase::Cut` here ends a [`Server::stop`] early.
    pub fn phase(&self) -> Arc<watch::Sender<Phase>> {
        self.phase.clone()
    }

    /// Stops: closes the listeners, lets connections finish within the drain time, cuts the rest.
    /// Spliced connections live on in the kernel. Blocks until all threads have ended.
    pub fn stop(self) {
        self.phase.send_if_modified(|phase| {
            let first = *phase < Phase::Draining;
            *phase = (*phase).max(Phase::Draining);
            first
        });
        drop(self.bound);
        drop(self.workers);
        drop(self.kept);
        let drained = self.loops.recv_timeout(self.config.drain_timeout);
        if matches!(drained, Err(RecvTimeoutError::Timeout)) {
            tracing::warn!("drain time over; cutting what is left");
        }
        self.phase.send_replace(Phase::Cut);
        drop(self.shared);
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread had panicked");
            }
        }
    }
}

/// What a configuration has to be looked after.
fn kept(config: &Config) -> Kept {
    Kept {
        pools: config.pools.clone(),
        connect: config.timeouts.connect,
    }
}

/// One event loop, from its start until its last connection has ended or was cut.
fn run_loop(runtime: Runtime, mut orders: mpsc::UnboundedReceiver<Order>, shared: Arc<Shared>) {
    let phase = shared.phase.clone();
    runtime.block_on(async move {
        let (alive, mut ended) = mpsc::channel::<Infallible>(1);
        while let Some(Order { socket, served }) = orders.recv().await {
            match TcpListener::from_std(socket) {
                Ok(socket) => {
                    tokio::spawn(listener::accept(
                        socket,
                        served,
                        shared.clone(),
                        alive.clone(),
                    ));
                }
                Err(error) => {
                    tracing::error!(%error, "a listening socket is lost to one event loop")
                }
            }
        }
        drop(alive);
        tokio::select! {
            _ = ended.recv() => {}
            () = async {
                reached(phase, Phase::Cut).await;
                sleep(LAST_WORDS).await;
            } => {}
        }
    });
}
