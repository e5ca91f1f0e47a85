// SPDX-License-Identifier: GPL-2.0

//! Ways to end a connection other than by its own FINs.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How long a client may take to hear the last words.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the send queue is looked at.
const LOOK: Duration = Duration::from_millis(10);
/// How much is read and thrown away meanwhile.
const DISCARD: usize = 1 << 20;

/// Closes after a last write. Closing a socket that has unread bytes sends a RST, which can destroy
/// the response on its way; so what the client still sends is read and thrown away for a while.
pub async fn close_softly(mut stream: TcpStream) {
    let drain = async {
        stream.shutdown().await?;
        let mut buffer = [0; 4096];
        let mut discarded = 0;
        while discarded < DISCARD {
            match stream.read(&mut buffer).await? {
                0 => break,
                n => discarded += n,
            }
        }
        Ok::<_, std::io::Error>(())
    };
    // Nothing can be done for a client that is gone or does not listen.
    let _ = timeout(PATIENCE, drain).await;
}

/// Closes with a RST, so that the peer does not take a stream that was cut for a complete one.
pub fn abort(stream: TcpStream) {
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    drop(stream);
}

/// As [`abort`], once the peer has acknowledged what was written, or takes nothing for a while: a
/// RST makes the kernel forget its send queue.
pub async fn deliver_and_abort(stream: TcpStream) {
    // First, so that being dropped here is an abort as well.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    let mut left = unacknowledged(&stream);
    let mut progress = Instant::now();
    while left > 0 && progress.elapsed() < PATIENCE {
        sleep(LOOK).await;
        let now = unacknowledged(&stream);
        if now < left {
            progress = Instant::now();
        }
        left = now;
    }
}

/// Bytes in the send queue; 0 when the connection is gone.
fn unacknowledged(stream: &TcpStream) -> u32 {
    /// `SIOCOUTQ` has the number of `TIOCOUTQ`; see tcp(7).
    const SIOCOUTQ: rustix::ioctl::Opcode = 0x5411;
    // SAFETY: SIOCOUTQ writes one int, and touches nothing else.
    #[allow(unsafe_code)]
    let queued = unsafe {
        rustix::ioctl::ioctl(
            stream,
            rustix::ioctl::Getter::<SIOCOUTQ, std::ffi::c_int>::new(),
        )
    };
    queued.ok().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}
