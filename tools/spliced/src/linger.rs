// SPDX-License-Identifier: GPL-2.0

//! The two ways to end a connection other than by its own FINs.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a client may take to hear the last words.
const PATIENCE: Duration = Duration::from_secs(2);
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
