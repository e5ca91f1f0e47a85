// SPDX-License-Identifier: GPL-2.0

//! A connection to one peer: how it is made and proved, and how frames go through it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::keys::{self, Tls};
use super::message::{self, FrameError, Hello, MAX_FRAME, Message};
use super::row::NodeId;

/// From the first byte to the last one of both hellos.
pub const HANDSHAKE: Duration = Duration::from_secs(3);
/// A frame that was begun has to end, and one that is written has to be taken.
const FRAME_TIME: Duration = Duration::from_secs(10);
/// Bytes that wait to be written to one peer.
const MAX_WAITING: usize = 32 << 20;
/// Frames that wait to be written to one peer.
const MAX_FRAMES: usize = 4096;
/// What one peer may ask for in a second, counted in rows, and at once.
const RATE: f64 = 200_000.0;

/// Why there is no connection, or none any more.
#[derive(Debug, Error)]
pub enum LinkError {
    /// The network, or TLS.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("no {0} in time")]
    Late(&'static str),
    /// What it said is not understood.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It is not who it should be.
    #[error("{0}")]
    Stranger(String),
}

/// A peer that has proved who it is.
#[derive(Debug)]
pub struct Met {
    /// What it said of itself.
    pub hello: Hello,
    /// The connection.
    pub stream: TlsStream<TcpStream>,
}

async fn read_frame(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<Message>, LinkError> {
    let mut head = [0; 4];
    // The first byte may be long in coming, the rest not.
    if stream.read(&mut head[..1]).await? == 0 {
        return Ok(None);
    }
    let rest = async {
        stream.read_exact(&mut head[1..]).await?;
        let mut frame = vec![0; message::length(head)?];
        stream.read_exact(&mut frame).await?;
        Ok::<_, LinkError>(frame)
    };
    let frame = timeout(FRAME_TIME, rest)
        .await
        .map_err(|_| LinkError::Late("end of a frame"))??;
    Ok(Some(Message::decode(&frame)?))
}

async fn read_hello(stream: &mut TlsStream<TcpStream>, me: NodeId) -> Result<Hello, LinkError> {
    match read_frame(stream).await? {
        Some(Message::Hello(hello)) if hello.to == me => Ok(hello),
        Some(Message::Hello(hello)) => Err(LinkError::Stranger(format!(
            "it looks for node {}, and this is node {me}: compare the addresses of both configurations",
            hello.to
        ))),
        Some(_) => Err(LinkError::Stranger("it does not say hello".into())),
        None => Err(LinkError::Io(std::io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Whether the other side's certificate is of this node.
fn is_proved(stream: &TlsStream<TcpStream>, node: NodeId) -> bool {
    let (_, connection) = stream.get_ref();
    connection
        .peer_certificates()
        .and_then(<[_]>::first)
        .is_some_and(|certificate| keys::is_of(certificate, node))
}

/// A connection from the address that this node listens on, which is the one that its peers know.
async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if !from.is_unspecified() && from.is_ipv4() == to.is_ipv4() {
        socket.bind(SocketAddr::new(from, 0))?;
    }
    socket.connect(to).await
}

/// Connects to a node, and does not trust whoever answers.
///
/// # Errors
///
/// When nobody answers in time, or somebody else does.
pub async fn dial(
    tls: &Tls,
    from: IpAddr,
    address: SocketAddr,
    peer: NodeId,
    hello: Hello,
) -> Result<Met, LinkError> {
    let me = hello.node;
    let work = async {
        let tcp = connect(from, address).await?;
        tcp.set_nodelay(true)?;
        let Some(name) = keys::server_name(peer) else {
            return Err(LinkError::Stranger("no such name".into()));
        };
        let connector = TlsConnector::from(tls.client.clone());
        let mut stream = TlsStream::from(connector.connect(name, tcp).await?);
        stream.write_all(&Message::Hello(hello).frame()).await?;
        stream.flush().await?;
        let hello = read_hello(&mut stream, me).await?;
        if hello.node != peer || !is_proved(&stream, peer) {
            return Err(LinkError::Stranger(format!("it is node {}", hello.node)));
        }
        Ok(Met { hello, stream })
    };
    timeout(HANDSHAKE, work)
        .await
        .map_err(|_| LinkError::Late("answer"))?
}

/// Takes a connection, says nothing before the other side has proved who it is, and answers with
/// what `reply` has for that node at that address, if anything.
///
/// # Errors
///
/// When the other side is too slow, or a stranger.
pub async fn answer(
    tls: &Tls,
    tcp: TcpStream,
    me: NodeId,
    reply: impl Fn(NodeId, IpAddr) -> Option<Hello>,
) -> Result<Met, LinkError> {
    let work = async {
        tcp.set_nodelay(true)?;
        let from = tcp.peer_addr()?.ip();
        let acceptor = TlsAcceptor::from(tls.server.clone());
        let mut stream = TlsStream::from(acceptor.accept(tcp).await?);
        let hello = read_hello(&mut stream, me).await?;
        if !is_proved(&stream, hello.node) {
            return Err(LinkError::Stranger(format!(
                "it says that it is node {}, and its certificate does not",
                hello.node
            )));
        }
        let Some(reply) = reply(hello.node, from) else {
            return Err(LinkError::Stranger(format!(
                "node {} is not expected to connect from {from}",
                hello.node
            )));
        };
        stream.write_all(&Message::Hello(reply).frame()).await?;
        stream.flush().await?;
        Ok(Met { hello, stream })
    };
    timeout(HANDSHAKE, work)
        .await
        .map_err(|_| LinkError::Late("proof"))?
}

/// Where frames for a peer are put.
#[derive(Debug, Clone)]
pub struct Outgoing {
    frames: mpsc::Sender<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

impl Outgoing {
    /// Queues a message; `false` when the peer takes too little, and has to be cut.
    pub fn send(&self, message: &Message) -> bool {
        let frame = message.frame();
        let waiting = self.bytes.fetch_add(frame.len(), Ordering::Relaxed);
        waiting < MAX_WAITING && self.frames.try_send(frame).is_ok()
    }
}

/// The queue of a connection, and what writes it out.
pub fn outgoing() -> (Outgoing, Incoming) {
    let (frames, queue) = mpsc::channel(MAX_FRAMES);
    let bytes = Arc::new(AtomicUsize::new(0));
    let incoming = Incoming {
        queue,
        bytes: bytes.clone(),
    };
    (Outgoing { frames, bytes }, incoming)
}

/// The other end of [`Outgoing`].
#[derive(Debug)]
pub struct Incoming {
    queue: mpsc::Receiver<Vec<u8>>,
    bytes: Arc<AtomicUsize>,
}

async fn write_out(
    mut stream: impl AsyncWrite + Unpin,
    mut frames: Incoming,
) -> Result<(), LinkError> {
    while let Some(frame) = frames.queue.recv().await {
        let work = async {
            stream.write_all(&frame).await?;
            if frames.queue.is_empty() {
                stream.flush().await?;
            }
            Ok::<_, std::io::Error>(())
        };
        timeout(FRAME_TIME, work)
            .await
            .map_err(|_| LinkError::Late("room for a frame"))??;
        frames.bytes.fetch_sub(frame.len(), Ordering::Relaxed);
    }
    Ok(())
}

/// Holds back a peer that asks for more than its share.
struct Allowance {
    left: f64,
    at: Instant,
}

impl Allowance {
    fn new() -> Allowance {
        Allowance {
            left: RATE,
            at: Instant::now(),
        }
    }

    /// How long to wait after this.
    fn spend(&mut self, cost: u32) -> Duration {
        let now = Instant::now();
        let gained = now.duration_since(self.at).as_secs_f64() * RATE;
        self.at = now;
        self.left = (self.left + gained).min(RATE) - f64::from(cost);
        if self.left >= 0.0 {
            Duration::ZERO
        } else {
            Duration::from_secs_f64(-self.left / RATE)
        }
    }
}

/// Carries frames both ways until one side ends or misbehaves. `received` may wait, which holds back
/// the peer.
///
/// # Errors
///
/// Why it ended, if not in order.
pub async fn run<F>(
    stream: TlsStream<TcpStream>,
    frames: Incoming,
    received: impl Fn(Message) -> F,
) -> Result<(), LinkError>
where
    F: Future<Output = bool>,
{
    let (mut reading, writing) = tokio::io::split(stream);
    let mut allowance = Allowance::new();
    let read = async {
        while let Some(message) = read_frame(&mut reading).await? {
            let pause = allowance.spend(message.cost());
            if !received(message).await {
                return Ok(());
            }
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        Ok(())
    };
    tokio::select! {
        result = read => result,
        result = write_out(writing, frames) => result,
    }
}

const _: () = assert!(MAX_FRAME < MAX_WAITING);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_allowance_is_spent_and_comes_back() {
        let mut allowance = Allowance::new();
        assert_eq!(allowance.spend(200_000), Duration::ZERO);
        assert_eq!(allowance.spend(100_000), Duration::from_millis(500));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(allowance.spend(100_000), Duration::ZERO);
        assert_eq!(allowance.spend(2_000), Duration::from_millis(10));
        sleep(Duration::from_secs(60)).await;
        assert_eq!(
            allowance.spend(200_000),
            Duration::ZERO,
            "not more is saved"
        );
        assert!(!allowance.spend(1).is_zero());
    }

    #[tokio::test]
    async fn a_queue_is_bounded_by_frames_and_bytes() {
        let (out, kept) = outgoing();
        let sent = (0..MAX_FRAMES + 9)
            .filter(|_| out.send(&Message::Synced))
            .count();
        assert_eq!(sent, MAX_FRAMES);
        drop(kept);
        let (out, kept) = outgoing();
        let large = Message::Digest(vec![u64::MAX; super::super::table::BUCKETS]);
        let sent = (0..MAX_FRAMES).filter(|_| out.send(&large)).count();
        assert!(
            sent * large.frame().len() <= MAX_WAITING + MAX_FRAME,
            "{sent}"
        );
        assert!(sent > 100);
        drop(kept);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_does_not_end_is_not_waited_for() {
        let (mut near, mut far) = tokio::io::duplex(64);
        far.write_all(&[0, 0, 1]).await.unwrap();
        let result = read_frame(&mut near).await;
        assert!(matches!(result, Err(LinkError::Late(_))), "{result:?}");
        let (mut near, mut far) = tokio::io::duplex(64);
        far.write_all(&[0xff; 4]).await.unwrap();
        let result = read_frame(&mut near).await;
        assert!(
            matches!(result, Err(LinkError::Frame(FrameError::TooLong(_)))),
            "{result:?}"
        );
    }
}
