// SPDX-License-Identifier: GPL-2.0

//! Listening sockets, one for each event loop and address, and the loop that accepts.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol as Transport, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::sleep;

use crate::config::{Http, Protocol, Timeouts};
use crate::connection::{self, Shared};
use crate::route::Table;

/// Connections that may wait to be accepted; the kernel takes less if `somaxconn` says so.
const BACKLOG: i32 = 4096;
/// Pauses after running out of descriptors or memory.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// What a listener's connections need to know. Replaced as a whole on reload; connections keep
/// the one they began with.
#[derive(Debug)]
pub struct Served {
    /// Name in logs.
    pub name: String,
    /// What clients speak.
    pub protocol: Protocol,
    /// Where connections go.
    pub routes: Arc<Table>,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// Most bytes of a head.
    pub max_head: usize,
    /// How requests share connections.
    pub http: Http,
    /// Most connections in user space.
    pub max_connections: usize,
    /// One permit for each connection in user space.
    pub room: Arc<Semaphore>,
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Transport::TCP),
    )?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can both be listened on.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Opens `count` sockets on one address, among which the kernel spreads connections. Port 0 takes
/// the same free port for all.
///
/// With `alone`, an address that another process listens on is an error even if that process, too,
/// would share it.
///
/// # Errors
///
/// Those of bind(2) and listen(2).
pub fn bind(
    address: SocketAddr,
    count: usize,
    alone: bool,
) -> io::Result<(SocketAddr, Vec<std::net::TcpListener>)> {
    if alone && address.port() != 0 {
        socket(address)?.bind(&address.into())?;
    }
    let mut actual = address;
    let mut sockets = Vec::new();
    for _ in 0..count {
        let socket = socket(actual)?;
        socket.set_reuse_port(true)?;
        socket.bind(&actual.into())?;
        socket.listen(BACKLOG)?;
        let listener: std::net::TcpListener = socket.into();
        actual = listener.local_addr()?;
        sockets.push(listener);
    }
    Ok((actual, sockets))
}

/// Accepts until the sender of `served` is dropped; then accepts what waits already, and closes.
///
/// Every connection's task holds a clone of `alive`.
pub async fn accept(
    listener: TcpListener,
    mut served: watch::Receiver<Arc<Served>>,
    shared: Arc<Shared>,
    alive: mpsc::Sender<Infallible>,
) {
    let mut pause = BACK_OFF.0;
    loop {
        let accepted = tokio::select! {
            biased;
            changed = served.changed() => match changed {
                Ok(()) => continue,
                Err(_) => break,
            },
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = BACK_OFF.0;
                let served = served.borrow().clone();
                // Accepted first, then counted: a loop that waits for clients takes no room.
                let Ok(room) = served.room.clone().acquire_owned().await else {
                    break;
                };
                begin(stream, peer, served, room, &shared, &alive);
            }
            Err(error) if exhausted(&error) => {
                tracing::warn!(%error, pause_ms = pause.as_millis(), "cannot accept; pausing");
                sleep(pause).await;
                pause = (pause * 2).min(BACK_OFF.1);
            }
            // Of a connection that died in the queue; the next one is fine.
            Err(error) => tracing::debug!(%error, "accept"),
        }
    }
    // Closing the socket would reset the connections that its queue holds.
    let served = served.borrow().clone();
    let Ok(listener) = listener.into_std() else {
        return;
    };
    while let Ok((stream, peer)) = listener.accept() {
        let ready = stream
            .set_nonblocking(true)
            .and_then(|()| TcpStream::from_std(stream));
        let (Ok(stream), Ok(room)) = (ready, served.room.clone().try_acquire_owned()) else {
            continue;
        };
        begin(stream, peer, served.clone(), room, &shared, &alive);
    }
}

/// Starts the task of one connection, which holds its place in `room` and keeps the loop `alive`.
fn begin(
    stream: TcpStream,
    peer: SocketAddr,
    served: Arc<Served>,
    room: OwnedSemaphorePermit,
    shared: &Arc<Shared>,
    alive: &mpsc::Sender<Infallible>,
) {
    let (shared, alive) = (shared.clone(), alive.clone());
    tokio::spawn(async move {
        connection::serve(stream, peer, &served, &shared).await;
        drop((room, alive));
    });
}

/// Whether the machine or the process lacks something that comes back when connections end.
fn exhausted(error: &io::Error) -> bool {
    const ENOMEM: i32 = 12;
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    const ENOBUFS: i32 = 105;
    matches!(
        error.raw_os_error(),
        Some(ENOMEM | ENFILE | EMFILE | ENOBUFS)
    )
}
