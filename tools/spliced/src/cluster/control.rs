// SPDX-License-Identifier: GPL-2.0

//! Answers `splicectl` and other programs on a socket of this host: one request of a few words, one line of JSON. A connection that is to
//! move stands in a line after its words.
//!
//! Only root, and the user that this process runs as, are answered.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::handoff::{MAX_CONNECTION, Move, give};
use super::kernel::NodeState;
use super::node::{Outcome, Standings};
use super::run::Handle;
use super::servers::Servers;

/// Where it is if the configuration does not say.
pub const DEFAULT: &str = "/run/spliced/control";
/// From the connection to the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// For a splice to drain and to be installed on peers.
const COMMIT_PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of a request, but for a connection that comes with it.
const MAX_WORDS: usize = 128;

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
pub async fn serve(listener: UnixListener, handle: Handle, servers: Arc<Servers>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let (handle, servers) = (handle.clone(), servers.clone());
                tokio::spawn(async move {
                    let _ = answer(stream, &handle, &servers).await;
                });
            }
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}

/// What `replicate` is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Replication {
    /// As many peers hold it as are wanted.
    Committed {
        /// How many.
        have: usize,
    },
    /// Fewer do, and it goes on.
    Degraded {
        /// How many.
        have: usize,
        /// How many should.
        want: usize,
    },
    /// It ended before.
    Ended,
}

/// What `handoff` is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "moved", rename_all = "lowercase")]
pub enum Moved {
    /// The other node has it.
    Taken {},
    /// The other node has not got it, and will not.
    Refused {
        /// In its words.
        why: String,
    },
    /// It may be there, and may not.
    Unknown {
        /// What went wrong.
        why: String,
    },
}

impl From<Move> for Moved {
    fn from(moved: Move) -> Moved {
        match moved {
            Move::Taken => Moved::Taken {},
            Move::Refused(why) => Moved::Refused { why },
            Move::Unknown(why) => Moved::Unknown { why },
        }
    }
}

/// What is answered.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Nodes(Vec<NodeLine>),
    Replication(Replication),
    Moved(Moved),
    Allowed {},
    Refusal { error: String },
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Answer {
        match outcome {
            Outcome::Committed(have) => Answer::Replication(Replication::Committed { have }),
            Outcome::Degraded { have, want } => {
                Answer::Replication(Replication::Degraded { have, want })
            }
            Outcome::Ended => Answer::Replication(Replication::Ended),
            Outcome::Refused(error) => Answer::Refusal { error },
        }
    }
}

/// Of somebody else, nothing: he is not answered.
async fn request(stream: &mut UnixStream) -> io::Result<Option<String>> {
    let uid = stream.peer_cred()?.uid();
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Ok(None);
    }
    let mut text = String::new();
    // One more, so that what is too long is not taken for what is not.
    let most = (MAX_WORDS + MAX_CONNECTION + 1) as u64;
    stream.take(most).read_to_string(&mut text).await?;
    Ok(Some(text))
}

async fn nodes(handle: &Handle) -> Answer {
    let all = handle.standings().await;
    Answer::Nodes(all.into_iter().enumerate().map(NodeLine::from).collect())
}

/// Has the node of a server take the connection in this line, within so many milliseconds.
async fn hand_off(
    server: SocketAddr,
    within: u64,
    line: &str,
    handle: &Handle,
    servers: &Servers,
) -> Answer {
    let Some(connection) = line
        .strip_suffix('\n')
        .filter(|c| c.len() <= MAX_CONNECTION)
    else {
        let error = format!("the connection is not whole, or is more than {MAX_CONNECTION} bytes");
        return Answer::Refusal { error };
    };
    let migrant = match serde_json::from_str(connection) {
        Ok(migrant) => migrant,
        Err(error) => {
            return Answer::Refusal {
                error: format!("that is no connection: {error}"),
            };
        }
    };
    let within = Duration::from_millis(within);
    match timeout(within, give(handle, servers, server, migrant, within)).await {
        Ok(moved) => Answer::Moved(moved.into()),
        Err(_) => Answer::Moved(Moved::Unknown {
            why: "the node of the server does not answer".into(),
        }),
    }
}

async fn carry_out(text: &str, handle: &Handle, servers: &Servers) -> Answer {
    let (words, rest) = text.split_once('\n').unwrap_or((text, ""));
    if words.len() > MAX_WORDS {
        return Answer::Refusal {
            error: format!("a request is {MAX_WORDS} bytes at most"),
        };
    }
    let words: Vec<_> = words.split_ascii_whitespace().collect();
    match words[..] {
        ["handoff", server, within] => match (server.parse(), within.parse()) {
            (Ok(server), Ok(within)) => hand_off(server, within, rest, handle, servers).await,
            _ => Answer::Refusal {
                error: "handoff takes the address and port of a server and milliseconds".into(),
            },
        },
        ["nodes"] => nodes(handle).await,
        ["drain"] => {
            handle.drain(true).await;
            nodes(handle).await
        }
        ["undrain"] => {
            handle.drain(false).await;
            nodes(handle).await
        }
        ["may-replicate", demand] => match demand.parse() {
            Ok(demand) => match handle.short_of_peers(demand).await {
                None => Answer::Allowed {},
                Some(error) => Answer::Refusal { error },
            },
            Err(_) => Answer::Refusal {
                error: "may-replicate takes the number of replicas".into(),
            },
        },
        ["replicate", id, demand] => match (id.parse(), demand.parse()) {
            (Ok(id), Ok(demand)) => {
                match timeout(COMMIT_PATIENCE, handle.replicate(id, demand)).await {
                    Ok(outcome) => outcome.into(),
                    Err(_) => Answer::Refusal {
                        error: format!(
                            "not replicated within {} s: it still drains, or peers do not answer; \
                             it is replicated as soon as it can be",
                            COMMIT_PATIENCE.as_secs()
                        ),
                    },
                }
            }
            _ => Answer::Refusal {
                error: "replicate takes the identity of a splice and the number of replicas".into(),
            },
        },
        _ => Answer::Refusal {
            error:
                "unknown request; use nodes, drain, undrain, may-replicate, replicate or handoff"
                    .into(),
        },
    }
}

async fn answer(mut stream: UnixStream, handle: &Handle, servers: &Servers) -> io::Result<()> {
    let Some(text) = timeout(PATIENCE, request(&mut stream)).await?? else {
        return Ok(());
    };
    let mut line = serde_json::to_string(&carry_out(&text, handle, servers).await)?;
    line.push('\n');
    timeout(PATIENCE, stream.write_all(line.as_bytes())).await?
}
