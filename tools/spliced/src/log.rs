// SPDX-License-Identifier: GPL-2.0

//! What is told about connections: one line each in the log, and in the access log when there is one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::splice::Armed;

/// Form of the log on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging to standard error. May be called once in a process.
///
/// # Errors
///
/// When logging was started before.
pub fn init(
    format: Format,
    level: tracing::Level,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr);
    match format {
        Format::Text => log.with_ansi(false).with_target(false).try_init(),
        Format::Json => log.json().flatten_event(true).with_target(false).try_init(),
    }
}

/// Who carried the bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Carrier {
    /// Nobody: the connection ended before a backend had it.
    None,
    /// The kernel.
    Spliced,
    /// User space, as the route says.
    Gateway,
    /// Nobody: it moved to the server's host.
    #[serde(rename = "handed-off")]
    HandedOff,
    /// User space, since there was too little for a splice, or its end was not known before.
    Copied,
    /// User space, because the kernel refused.
    Refused,
}

impl Carrier {
    fn as_str(self) -> &'static str {
        match self {
            Carrier::None => "none",
            Carrier::Spliced => "spliced",
            Carrier::Gateway => "gateway",
            Carrier::HandedOff => "handed-off",
            Carrier::Copied => "copied",
            Carrier::Refused => "refused",
        }
    }
}

/// One request, or one connection that is not looked into further, as its line tells it when user
/// space's part is over. Times in microseconds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub struct Record {
    /// Milliseconds since 1970 at accept.
    pub time_ms: u64,
    /// The client's address.
    pub client: SocketAddr,
    /// Name of the listener.
    pub listener: String,
    /// Which request of its connection, from 1.
    pub request: usize,
    /// Host of the request or server name of the ClientHello.
    pub host: Option<String>,
    /// Method of the request.
    pub method: Option<String>,
    /// Path of the request without its query, which may hold secrets; at most [`MAX_PATH`] bytes.
    pub path: Option<String>,
    /// Name of the route.
    pub route: Option<String>,
    /// Name of the pool.
    pub pool: Option<String>,
    /// The backend that accepted.
    pub backend: Option<SocketAddr>,
    /// Whether its connection had served a request before, or was opened ahead.
    pub reused: bool,
    /// Whether the request was sent again, since such a connection turned out to have ended.
    pub repeated: bool,
    /// Backends that did not.
    pub failed_backends: usize,
    /// Who carried the bytes.
    pub mode: Carrier,
    /// The kernel's id of the splice.
    pub splice_id: Option<u64>,
    /// Why the kernel refused.
    pub refusal: Option<String>,
    /// Why the connection did not move to the server's host, as its route says.
    pub stays: Option<String>,
    /// Status of the backend's response.
    pub status: Option<u16>,
    /// Status of the response that the proxy itself gave; of TLS, the number of the alert.
    pub answered: Option<u16>,
    /// How it ended, when not by being spliced.
    pub end: Option<String>,
    /// Bytes read from the client before arming: the head and what came with it.
    pub read_before_arming: u64,
    /// Bytes written to the backend before arming.
    pub written_before_arming: u64,
    /// Bytes that user space carried to the server after arming was tried, or without it.
    pub carried_to_server: u64,
    /// The same to the client.
    pub carried_to_client: u64,
    /// Sum of the two: what passed through user space after arming.
    pub user_bytes_after_arming: u64,
    /// Bytes that the kernel carried to the server before it gave the sockets back.
    pub spliced_to_server: u64,
    /// The same to the client.
    pub spliced_to_client: u64,
    /// Unread bytes that the kernel moved to the server at arming.
    pub moved_to_server: Option<u64>,
    /// The same to the client.
    pub moved_to_client: Option<u64>,
    /// From accept to the end of the head.
    pub head_us: Option<u64>,
    /// From there to the connection to a backend.
    pub connect_us: Option<u64>,
    /// From the request to the kernel to its answer.
    pub arm_us: Option<u64>,
    /// From accept to this line.
    pub total_us: u64,
}

/// Most bytes of a path that are logged.
pub const MAX_PATH: usize = 1024;

impl Record {
    /// A connection of which nothing is known yet.
    pub fn new(client: SocketAddr, listener: &str) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Record {
            time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            client,
            listener: listener.to_owned(),
            request: 1,
            host: None,
            method: None,
            path: None,
            route: None,
            pool: None,
            backend: None,
            reused: false,
            repeated: false,
            failed_backends: 0,
            mode: Carrier::None,
            splice_id: None,
            refusal: None,
            stays: None,
            status: None,
            answered: None,
            end: None,
            read_before_arming: 0,
            written_before_arming: 0,
            carried_to_server: 0,
            carried_to_client: 0,
            user_bytes_after_arming: 0,
            spliced_to_server: 0,
            spliced_to_client: 0,
            moved_to_server: None,
            moved_to_client: None,
            head_us: None,
            connect_us: None,
            arm_us: None,
            total_us: 0,
        }
    }

    /// Notes the path, cut to a length that a log can bear.
    pub fn set_path(&mut self, path: &str) {
        // A target is ASCII, so every index is a boundary.
        self.path = Some(path.get(..MAX_PATH).unwrap_or(path).to_owned());
    }

    /// Takes the time of the first byte of a request that follows others.
    pub fn begins(&mut self) {
        let now = Record::new(self.client, "").time_ms;
        self.time_ms = now;
    }

    /// Counts bytes that user space carried.
    pub fn copied(&mut self, to_server: u64, to_client: u64) {
        self.carried_to_server = self.carried_to_server.saturating_add(to_server);
        self.carried_to_client = self.carried_to_client.saturating_add(to_client);
        self.user_bytes_after_arming = self
            .carried_to_server
            .saturating_add(self.carried_to_client);
    }

    /// Notes a splice.
    pub fn armed(&mut self, armed: &Armed) {
        self.mode = Carrier::Spliced;
        self.splice_id = armed.id;
        let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.saturating_add(b)),
            (a, b) => a.or(b),
        };
        self.moved_to_server = sum(self.moved_to_server, armed.moved_to_server);
        self.moved_to_client = sum(self.moved_to_client, armed.moved_to_client);
    }

    /// Writes the line to the log.
    pub fn emit(&self) {
        // A macro, since the level of an event must be constant.
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    client = %self.client,
                    listener = self.listener,
                    request = self.request,
                    host = self.host.as_deref(),
                    method = self.method.as_deref(),
                    path = self.path.as_deref(),
                    route = self.route.as_deref(),
                    pool = self.pool.as_deref(),
                    backend = self.backend.map(tracing::field::display),
                    reused = self.reused,
                    repeated = self.repeated,
                    failed_backends = self.failed_backends,
                    mode = self.mode.as_str(),
                    splice_id = self.splice_id,
                    refusal = self.refusal.as_deref(),
                    stays = self.stays.as_deref(),
                    status = self.status,
                    answered = self.answered,
                    end = self.end.as_deref(),
                    read_before_arming = self.read_before_arming,
                    written_before_arming = self.written_before_arming,
                    carried_to_server = self.carried_to_server,
                    carried_to_client = self.carried_to_client,
                    spliced_to_server = self.spliced_to_server,
                    spliced_to_client = self.spliced_to_client,
                    moved_to_server = self.moved_to_server,
                    moved_to_client = self.moved_to_client,
                    head_us = self.head_us,
                    connect_us = self.connect_us,
                    arm_us = self.arm_us,
                    total_us = self.total_us,
                    "request"
                )
            };
        }
        if self.mode == Carrier::Refused || self.answered == Some(502) {
            line!(warn);
        } else {
            line!(info);
        }
    }
}

/// Lines that may wait for the disk.
const QUEUE: usize = 8192;

enum Message {
    Line(Vec<u8>),
    Reopen,
}

/// A file of JSON lines, written by a thread of its own: a slow disk must not stop an event loop.
#[derive(Debug)]
pub struct AccessLog {
    queue: SyncSender<Message>,
    lost: AtomicU64,
}

impl AccessLog {
    /// Opens the file for appending. The thread ends, with everything written, when the
    /// `AccessLog` is dropped.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the thread not be started.
    pub fn open(path: &Path) -> io::Result<(AccessLog, JoinHandle<()>)> {
        let file = append(path)?;
        let (queue, messages) = sync_channel(QUEUE);
        let path = path.to_owned();
        let thread = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write_lines(file, &path, &messages))?;
        Ok((
            AccessLog {
                queue,
                lost: AtomicU64::new(0),
            },
            thread,
        ))
    }

    /// Adds the line of a connection.
    pub fn add(&self, record: &Record) {
        let Ok(mut line) = serde_json::to_vec(record) else {
            return; // A record has nothing that JSON cannot say.
        };
        line.push(b'\n');
        if self.queue.try_send(Message::Line(line)).is_err() {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
            if lost.is_power_of_two() {
                tracing::warn!(lost, "the access log cannot keep up; lines are lost");
            }
        }
    }

    /// Opens the file anew, after it was moved away.
    pub fn reopen(&self) {
        let _ = self.queue.send(Message::Reopen);
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn write_lines(mut file: File, path: &PathBuf, messages: &Receiver<Message>) {
    let mut failing = false;
    for message in messages {
        let result = match message {
            Message::Line(line) => file.write_all(&line),
            Message::Reopen => append(path).map(|new| file = new),
        };
        match result {
            Ok(()) => failing = false,
            Err(error) if !failing => {
                tracing::warn!(%error, ?path, "cannot write the access log");
                failing = true;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_survive_reopening() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("log"), dir.path().join("log.1"));
        let (log, thread) = AccessLog::open(&path).unwrap();
        let mut record = Record::new("127.0.0.1:1".parse().unwrap(), "web");
        record.set_path(&"/a\"".repeat(MAX_PATH));
        log.add(&record);
        // The line may still be in the queue; it follows the file under either name.
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        record.mode = Carrier::Spliced;
        log.add(&record);
        drop(log);
        thread.join().unwrap();
        for (path, mode) in [(moved, "none"), (path, "spliced")] {
            let text = std::fs::read_to_string(path).unwrap();
            let value: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
            assert_eq!(value["mode"], mode);
            assert_eq!(value["client"], "127.0.0.1:1");
            assert_eq!(value["path"].as_str().unwrap().len(), MAX_PATH);
        }
    }
}
