// SPDX-License-Identifier: GPL-2.0

//! Answers `splicectl` on a socket of this host: one word, one line of JSON.
//!
//! Only root, and the user that this process runs as, are answered.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::kernel::NodeState;
use super::node::Standings;
use super::run::Handle;

/// Where it is if the configuration does not say.
pub const DEFAULT: &str = "/run/spliced/control";
/// From the connection to the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a word.
const MAX_WORD: u64 = 64;

/// One node, as `splicectl cluster nodes -j` prints it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeLine {
    /// Its number.
    pub id: u32,
    /// It is the one that answers.
    pub this: bool,
    /// `balancer`, `proxy`, `backend`.
    pub roles: Vec<String>,
    /// Its state, as seen from the node that answers.
    pub state: NodeState,
    /// Milliseconds since it is in that state.
    pub since: u64,
    /// Its load average over a minute, in thousandths of its processors.
    pub load: u16,
    /// Milliseconds since its last heartbeat; absent if there was none, and for this node.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heard: Option<u64>,
    /// Rows that it holds.
    pub rows: u64,
    /// There is a connection to it.
    pub linked: bool,
    /// Milliseconds that the oldest rows sent to it have waited for its acknowledgement.
    pub lag: u64,
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl From<(usize, Standings)> for NodeLine {
    fn from((place, s): (usize, Standings)) -> NodeLine {
        let roles = s.roles.to_string();
        NodeLine {
            id: s.id.0,
            // They begin with the one that was asked.
            this: place == 0,
            roles: roles.split(',').map(str::to_owned).collect(),
            state: s.state,
            since: ms(s.since),
            load: s.beat.load,
            heard: s.heard.map(ms),
            rows: s.beat.rows,
            linked: s.linked,
            lag: ms(s.lag),
        }
    }
}

/// Opens the socket, in place of one that nobody listens on.
///
/// # Errors
///
/// When there is something else, or another process listens.
pub async fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if UnixStream::connect(path).await.is_ok() {
                return Err(io::Error::new(
                    io::ErrorKind::AddrInUse,
                    "another process answers there",
                ));
            }
            std::fs::remove_file(path)?;
        }
        _ => {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
        }
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers until the runtime ends.
pub async fn serve(listener: UnixListener, handle: Handle) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let handle = handle.clone();
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, answer(stream, handle)).await;
                });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn answer(mut stream: UnixStream, handle: Handle) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    let mut word = String::new();
    (&mut stream)
        .take(MAX_WORD)
        .read_to_string(&mut word)
        .await?;
    match word.trim() {
        "drain" => handle.drain(true).await,
        "undrain" => handle.drain(false).await,
        "nodes" => {}
        _ => {
            stream
                .write_all(b"{\"error\":\"unknown word; use nodes, drain or undrain\"}\n")
                .await?;
            return Ok(());
        }
    }
    let all = handle.standings().await;
    let lines: Vec<NodeLine> = all.into_iter().enumerate().map(NodeLine::from).collect();
    let text = serde_json::to_string(&lines).map_err(io::Error::other)?;
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\n").await
}
