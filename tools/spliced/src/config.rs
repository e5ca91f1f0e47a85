// SPDX-License-Identifier: GPL-2.0

//! The configuration file: what may be written, with which default, and what is wrong with it.
//!
//! `Documentation/spliced.md` explains every key to operators.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use toml::Spanned;

use crate::backend::{Backend, Idling};
use crate::cluster::run::Settings;
use crate::cluster::section::{self, FileCluster};
use crate::log::Format;
use crate::pool::{Policy, Pool};
use crate::route::{Host, Mode, Route, Table};

/// Bytes of a head that must be acceptable, and the most that may be configured.
const HEAD_RANGE: Range<usize> = 1024..(1 << 20) + 1;
/// More loops than any machine has cores.
const MAX_THREADS: usize = 1024;
/// Below it a splice cannot pay; above it nothing would be spliced.
const THRESHOLD_RANGE: Range<usize> = 1..(1 << 40) + 1;
/// More than any client sends on one connection.
const MAX_REQUESTS: usize = 1 << 30;
/// Connections to one backend that may wait for requests.
const MAX_IDLE: usize = 1 << 16;
/// Connections in user space that one listener may hold.
const MAX_CONNECTIONS: usize = 1 << 20;

/// What a listener expects its clients to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    Http,
    /// TLS, whatever is inside.
    Tls,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// From accept to the end of the head.
    pub header: Duration,
    /// One attempt to connect to one backend, and then for sending it the head.
    pub connect: Duration,
    /// Without a byte either way, gateway and spliced alike; `None` means for ever.
    pub idle: Option<Duration>,
    /// From the end of a response to the first byte of the next request.
    pub keep_alive: Duration,
}

/// How requests share connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http {
    /// Each request of a connection goes its own way; without it the first decides for all.
    pub keep_alive: bool,
    /// A body of at least so many bytes is the kernel's; a shorter one is cheaper to copy.
    pub splice_threshold: u64,
    /// The same for a chunk.
    pub chunk_threshold: u64,
    /// Most requests of one connection.
    pub max_requests: usize,
}

/// One listener.
#[derive(Debug)]
pub struct Listener {
    /// Name in logs; unique.
    pub name: String,
    /// Where to listen.
    pub addresses: Vec<SocketAddr>,
    /// What clients speak.
    pub protocol: Protocol,
    /// Most connections in user space at a time.
    pub max_connections: usize,
    /// Where connections go.
    pub routes: Table,
}

/// A valid configuration.
#[derive(Debug)]
pub struct Config {
    /// Event loops.
    pub workers: usize,
    /// Threads that ask the kernel for splices.
    pub arming_threads: usize,
    /// How long connections may go on in user space after the order to stop.
    pub drain_timeout: Duration,
    /// Most bytes of a request head or a ClientHello.
    pub max_head: usize,
    /// Limits in time.
    pub timeouts: Timeouts,
    /// Requests on connections.
    pub http: Http,
    /// All pools.
    pub pools: Vec<Arc<Pool>>,
    /// Form of the log.
    pub log_format: Format,
    /// Least severe message that is logged.
    pub log_level: tracing::Level,
    /// File that gets one JSON line for each connection.
    pub access_log: Option<PathBuf>,
    /// What to listen on.
    pub listeners: Vec<Listener>,
    /// How this node takes part in a cluster, if it does.
    pub cluster: Option<Settings>,
}

/// One thing wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line in the file, from 1; 0 when it concerns no line.
    pub line: usize,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Everything wrong with a configuration.
#[derive(Debug)]
pub struct ConfigError {
    /// The file, as it was given.
    pub file: PathBuf,
    /// In the order of the file; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            match problem.line {
                0 => write!(f, "{}: {}", self.file.display(), problem.message)?,
                line => write!(f, "{}:{line}: {}", self.file.display(), problem.message)?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    ///
    /// Everything wrong with it, each with its line and a remedy.
    pub fn load(file: &Path) -> Result<Config, ConfigError> {
        let error = |problems| ConfigError {
            file: file.to_owned(),
            problems,
        };
        let text = std::fs::read_to_string(file).map_err(|e| {
            error(vec![Problem {
                line: 0,
                message: format!("cannot be read: {e}"),
            }])
        })?;
        Config::parse(&text).map_err(error)
    }

    /// Checks the text of a configuration.
    ///
    /// # Errors
    ///
    /// Everything wrong with it.
    pub fn parse(text: &str) -> Result<Config, Vec<Problem>> {
        let file: File = toml::from_str(text).map_err(|e| {
            let line = e.span().map_or(0, |span| line_of(text, span.start));
            vec![Problem {
                line,
                message: e.message().to_owned(),
            }]
        })?;
        Check {
            text,
            problems: Vec::new(),
        }
        .file(file)
    }

    /// Whether any route hands its connections to the kernel.
    pub fn splices(&self) -> bool {
        self.listeners.iter().any(|l| l.routes.splices())
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|&b| b == b'\n').count()
}

// What the file may contain, before anything is compared with anything else.

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default, alias = "mode")]
    method: Mode,
    workers: Option<Spanned<usize>>,
    arming_threads: Option<Spanned<usize>>,
    drain_timeout: Option<Time>,
    max_head: Option<Spanned<usize>>,
    #[serde(default)]
    timeouts: FileTimeouts,
    #[serde(default)]
    http: FileHttp,
    #[serde(default)]
    log: FileLog,
    #[serde(default)]
    listener: Vec<Spanned<FileListener>>,
    #[serde(default)]
    pool: BTreeMap<String, Spanned<FilePool>>,
    cluster: Option<Spanned<FileCluster>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileTimeouts {
    header: Option<Spanned<Time>>,
    connect: Option<Spanned<Time>>,
    idle: Option<Time>,
    keep_alive: Option<Spanned<Time>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileHttp {
    keep_alive: Option<bool>,
    splice_threshold: Option<Spanned<usize>>,
    chunk_threshold: Option<Spanned<usize>>,
    max_requests: Option<Spanned<usize>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct FileLog {
    #[serde(default)]
    format: Format,
    #[serde(default)]
    level: Level,
    access: Option<PathBuf>,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileListener {
    name: Spanned<String>,
    addresses: Vec<Spanned<String>>,
    protocol: Protocol,
    max_connections: Option<Spanned<usize>>,
    #[serde(default)]
    route: Vec<Spanned<FileRoute>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRoute {
    name: Option<String>,
    hosts: Option<Spanned<Vec<Spanned<String>>>>,
    path: Option<Spanned<String>>,
    sni: Option<Spanned<Vec<Spanned<String>>>>,
    alpn: Option<Spanned<Vec<String>>>,
    pool: Spanned<String>,
    #[serde(alias = "mode")]
    method: Option<Mode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilePool {
    addresses: Vec<Spanned<String>>,
    #[serde(default)]
    policy: Policy,
    min_idle: Option<Spanned<usize>>,
    max_idle: Option<Spanned<usize>>,
    idle_timeout: Option<Spanned<Time>>,
}

/// A duration written as a number and a unit: `250ms`, `10s`, `15m`, `1h`.
#[derive(Clone, Copy)]
pub(crate) struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time with its unit, such as \"250ms\", \"10s\", \"15m\" or \"1h\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Time, E> {
                let wrong = || E::invalid_value(de::Unexpected::Str(text), &self);
                let digits = text.bytes().take_while(u8::is_ascii_digit).count();
                let (number, unit) = text.split_at(digits);
                let number: u64 = number.parse().map_err(|_| wrong())?;
                let factor = match unit.trim() {
                    "ms" => 1,
                    "s" => 1000,
                    "m" => 60_000,
                    "h" => 3_600_000,
                    _ => return Err(wrong()),
                };
                // A year is for ever; it also keeps every later sum in range.
                match number.checked_mul(factor) {
                    Some(ms) if ms <= 365 * 24 * 3_600_000 => Ok(Time(Duration::from_millis(ms))),
                    _ => Err(E::custom(
                        "a time of more than a year; use \"0s\" for no limit",
                    )),
                }
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Compares the parts of a file with each other and collects what is wrong.
pub(crate) struct Check<'t> {
    text: &'t str,
    pub(crate) problems: Vec<Problem>,
}

impl Check<'_> {
    pub(crate) fn wrong(&mut self, span: Range<usize>, message: impl Into<String>) {
        let line = line_of(self.text, span.start);
        self.problems.push(Problem {
            line,
            message: message.into(),
        });
    }

    fn file(mut self, file: File) -> Result<Config, Vec<Problem>> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.count("workers", file.workers, cores, 1..MAX_THREADS + 1);
        let arming = self.count("arming_threads", file.arming_threads, 8, 1..MAX_THREADS + 1);
        let max_head = self.count("max_head", file.max_head, 1 << 16, HEAD_RANGE);
        let idle = file.timeouts.idle.map_or(Duration::from_secs(900), |t| t.0);
        let timeouts = Timeouts {
            header: self.positive(
                "timeouts.header",
                file.timeouts.header,
                Duration::from_secs(10),
            ),
            connect: self.positive(
                "timeouts.connect",
                file.timeouts.connect,
                Duration::from_secs(3),
            ),
            idle: Some(idle).filter(|t| !t.is_zero()),
            keep_alive: self.positive(
                "timeouts.keep_alive",
                file.timeouts.keep_alive,
                Duration::from_secs(60),
            ),
        };
        let threshold = |check: &mut Self, key, given, default| {
            check.count(key, given, default, THRESHOLD_RANGE) as u64
        };
        let http = Http {
            keep_alive: file.http.keep_alive.unwrap_or(true),
            splice_threshold: threshold(
                &mut self,
                "splice_threshold",
                file.http.splice_threshold,
                16 << 10,
            ),
            chunk_threshold: threshold(
                &mut self,
                "chunk_threshold",
                file.http.chunk_threshold,
                256 << 10,
            ),
            max_requests: self.count(
                "max_requests",
                file.http.max_requests,
                1000,
                1..MAX_REQUESTS + 1,
            ),
        };

        let is_node = file.cluster.is_some();
        let cluster = file
            .cluster
            .and_then(|file| section::check(&mut self, file));
        let pools = self.pools(file.pool);
        let mut used = HashSet::new();
        // Pools whose connections wait for requests.
        let mut reused = HashSet::new();
        let mut listeners: Vec<Listener> = Vec::new();
        let mut taken = HashSet::new();
        for listener in file.listener {
            let span = listener.span();
            let listener = listener.into_inner();
            let name_span = listener.name.span();
            let name = listener.name.clone().into_inner();
            if listeners.iter().any(|l| l.name == name) {
                self.wrong(
                    name_span,
                    format!("a second listener \"{name}\"; names must differ"),
                );
            }
            let mut addresses = Vec::new();
            for address in &listener.addresses {
                let Some(parsed) = self.address(address) else {
                    continue;
                };
                // Port 0 asks for any free port, so two of them are two listeners.
                if parsed.port() != 0 && !taken.insert(parsed) {
                    self.wrong(
                        address.span(),
                        format!("{parsed} is listened on twice; keep one"),
                    );
                }
                addresses.push(parsed);
            }
            if listener.addresses.is_empty() {
                self.wrong(
                    span.clone(),
                    format!("listener \"{name}\" has no address; add \"0.0.0.0:80\" or such"),
                );
            }
            if listener.route.is_empty() {
                self.wrong(
                    span,
                    format!(
                        "listener \"{name}\" has no route; add a [[listener.route]] with a pool"
                    ),
                );
            }
            let max_connections = self.count(
                "max_connections",
                listener.max_connections,
                10_000,
                1..MAX_CONNECTIONS + 1,
            );
            let mut routes = Table::default();
            for (number, route) in listener.route.into_iter().enumerate() {
                let default_name = format!("{name}#{}", number + 1);
                let pool = route.get_ref().pool.get_ref().clone();
                self.route(
                    listener.protocol,
                    file.method,
                    default_name,
                    route,
                    &pools,
                    (is_node, cluster.as_ref()),
                    &mut routes,
                );
                if listener.protocol == Protocol::Http && http.keep_alive {
                    reused.insert(pool.clone());
                }
                used.insert(pool);
            }
            listeners.push(Listener {
                name,
                addresses,
                protocol: listener.protocol,
                max_connections,
                routes,
            });
        }
        if listeners.is_empty() && !is_node {
            self.problems.push(Problem {
                line: 0,
                message: "no [[listener]] and no [cluster]; nothing would be done, add one".into(),
            });
        }
        for (name, (_, span)) in &pools {
            if !used.contains(name) {
                self.wrong(
                    span.clone(),
                    format!("no route uses pool \"{name}\"; remove it, or name it in a route"),
                );
            }
        }

        for (name, (pool, span)) in &pools {
            if pool.opens_ahead() && used.contains(name) && !reused.contains(name) {
                self.wrong(
                    span.clone(),
                    format!(
                        "min_idle of pool \"{name}\" opens connections that no request could use; \
                         remove it, or use the pool on an http listener with keep_alive"
                    ),
                );
            }
        }

        if !self.problems.is_empty() {
            self.problems.sort_by_key(|p| p.line);
            return Err(self.problems);
        }
        Ok(Config {
            workers,
            arming_threads: arming,
            drain_timeout: file.drain_timeout.map_or(Duration::from_secs(30), |t| t.0),
            max_head,
            timeouts,
            http,
            pools: pools.into_values().map(|(pool, _)| pool).collect(),
            log_format: file.log.format,
            log_level: match file.log.level {
                Level::Error => tracing::Level::ERROR,
                Level::Warn => tracing::Level::WARN,
                Level::Info => tracing::Level::INFO,
                Level::Debug => tracing::Level::DEBUG,
                Level::Trace => tracing::Level::TRACE,
            },
            access_log: file.log.access,
            listeners,
            cluster,
        })
    }

    pub(crate) fn count(
        &mut self,
        key: &str,
        given: Option<Spanned<usize>>,
        default: usize,
        range: Range<usize>,
    ) -> usize {
        let Some(given) = given else { return default };
        if !range.contains(given.get_ref()) {
            self.wrong(
                given.span(),
                format!(
                    "{key} = {} is out of range; use {} to {}",
                    given.get_ref(),
                    range.start,
                    range.end - 1
                ),
            );
        }
        given.into_inner()
    }

    pub(crate) fn positive(
        &mut self,
        key: &str,
        given: Option<Spanned<Time>>,
        default: Duration,
    ) -> Duration {
        let Some(given) = given else { return default };
        if given.get_ref().0.is_zero() {
            self.wrong(given.span(), format!("{key} is zero; use \"10s\" or such"));
        }
        given.get_ref().0
    }

    pub(crate) fn address(&mut self, text: &Spanned<String>) -> Option<SocketAddr> {
        match text.get_ref().parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.wrong(
                    text.span(),
                    format!(
                        "\"{}\" is not an IP address and port; write \"192.0.2.1:80\" or \"[2001:db8::1]:80\"",
                        text.get_ref()
                    ),
                );
                None
            }
        }
    }

    fn pools(
        &mut self,
        pools: BTreeMap<String, Spanned<FilePool>>,
    ) -> BTreeMap<String, (Arc<Pool>, Range<usize>)> {
        let mut made = BTreeMap::new();
        for (name, pool) in pools {
            let span = pool.span();
            let pool = pool.into_inner();
            if pool.addresses.is_empty() {
                self.wrong(
                    span.clone(),
                    format!("pool \"{name}\" has no address; add a backend"),
                );
            }
            let mut addresses = Vec::new();
            for text in &pool.addresses {
                match self.address(text) {
                    Some(address) if address.port() == 0 => {
                        self.wrong(
                            text.span(),
                            format!("{address} has port 0; give the backend's port"),
                        );
                    }
                    Some(address) if addresses.contains(&address) => {
                        self.wrong(
                            text.span(),
                            format!("{address} is in pool \"{name}\" twice; keep one"),
                        );
                    }
                    Some(address) => addresses.push(address),
                    None => {}
                }
            }
            let default = Idling::default();
            let max = self.count("max_idle", pool.max_idle, default.max, 0..MAX_IDLE + 1);
            let min_span = pool.min_idle.as_ref().map(Spanned::span);
            let min = self.count("min_idle", pool.min_idle, default.min, 0..MAX_IDLE + 1);
            if let Some(span) = min_span.filter(|_| min > max) {
                self.wrong(
                    span,
                    format!("min_idle = {min} is more than max_idle = {max}; raise max_idle"),
                );
            }
            let idling = Idling {
                min,
                max,
                timeout: self.positive("idle_timeout", pool.idle_timeout, Duration::from_secs(30)),
            };
            let pool = Arc::new(Pool::new(name.clone(), addresses, pool.policy, idling));
            made.insert(name, (pool, span));
        }
        made
    }

    /// Whether a method can ever carry what goes to this pool. `cluster` says whether there is one, and what it is if
    /// nothing is wrong with it.
    fn may(
        &mut self,
        mode: Mode,
        pool: &Pool,
        span: Range<usize>,
        (is_node, cluster): (bool, Option<&Settings>),
    ) {
        let what = match mode {
            Mode::Splice | Mode::Gateway => return,
            Mode::SplitSplice => "split-splice",
            Mode::Handoff => "handoff",
            Mode::Hop => "hop",
        };
        let Some(cluster) = cluster else {
            if !is_node {
                self.wrong(
                    span,
                    format!("method \"{what}\" needs a [cluster] with the nodes of the servers; add one, or use \"splice\""),
                );
            }
            return;
        };
        let known = |backend: &Arc<Backend>| cluster.servers.node(backend.address).is_some();
        if !pool.backends().iter().any(known) {
            self.wrong(
                span.clone(),
                format!(
                    "method \"{what}\", and no node has a backend of pool \"{}\"; name them in serves of a [[cluster.node]]",
                    pool.name
                ),
            );
        }
        if mode == Mode::SplitSplice && !cluster.split {
            self.wrong(
                span,
                "method \"split-splice\" needs split = true in [cluster]",
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "all that is known of a route")]
    fn route(
        &mut self,
        protocol: Protocol,
        mode: Mode,
        default_name: String,
        route: Spanned<FileRoute>,
        pools: &BTreeMap<String, (Arc<Pool>, Range<usize>)>,
        cluster: (bool, Option<&Settings>),
        table: &mut Table,
    ) {
        let span = route.span();
        let route = route.into_inner();
        let foreign: [(&str, Option<Range<usize>>, &str); 2] = match protocol {
            Protocol::Http => [
                (
                    "sni",
                    route.sni.as_ref().map(Spanned::span),
                    "use hosts on an http listener",
                ),
                (
                    "alpn",
                    route.alpn.as_ref().map(Spanned::span),
                    "it exists on tls listeners only",
                ),
            ],
            Protocol::Tls => [
                (
                    "hosts",
                    route.hosts.as_ref().map(Spanned::span),
                    "use sni on a tls listener",
                ),
                (
                    "path",
                    route.path.as_ref().map(Spanned::span),
                    "the proxy does not see inside TLS",
                ),
            ],
        };
        for (key, span, remedy) in foreign {
            if let Some(span) = span {
                self.wrong(span, format!("{key} does not apply here; {remedy}"));
            }
        }

        let path = match route.path {
            Some(path)
                if !path.get_ref().starts_with('/') || path.get_ref().contains(['?', '#', ' ']) =>
            {
                self.wrong(
                    path.span(),
                    format!(
                        "path \"{}\" must begin with / and have no query",
                        path.get_ref()
                    ),
                );
                return;
            }
            Some(path) => path.into_inner(),
            None => "/".to_owned(),
        };
        let alpn = route.alpn.map(Spanned::into_inner).unwrap_or_default();
        let named = match protocol {
            Protocol::Http => route.hosts,
            Protocol::Tls => route.sni,
        };
        let mut hosts = Vec::new();
        match named {
            None => hosts.push((Host::Any, span)),
            Some(list) if list.get_ref().is_empty() => {
                self.wrong(
                    list.span(),
                    "an empty list matches nothing; leave the key out to match every host",
                );
            }
            Some(list) => {
                for text in list.into_inner() {
                    match Host::parse(text.get_ref()) {
                        Some(host) => hosts.push((host, text.span())),
                        None => self.wrong(
                            text.span(),
                            format!(
                                "\"{}\" is not a host name; write \"www.example\" or \"*.example\" without a \
                                 port, or leave the key out to match every host",
                                text.get_ref()
                            ),
                        ),
                    }
                }
            }
        }
        let Some((pool, _)) = pools.get(route.pool.get_ref()) else {
            let known: Vec<_> = pools.keys().map(String::as_str).collect();
            let remedy = match known.is_empty() {
                true => "there is none yet".to_owned(),
                false => format!("there are: {}", known.join(", ")),
            };
            let name = route.pool.get_ref();
            self.wrong(
                route.pool.span(),
                format!("no pool \"{name}\"; add [pool.{name}], or use another ({remedy})"),
            );
            return;
        };
        let mode = route.method.unwrap_or(mode);
        self.may(mode, pool, route.pool.span(), cluster);
        let made = Arc::new(Route {
            name: route.name.unwrap_or(default_name),
            path,
            alpn,
            pool: pool.clone(),
            mode,
        });
        for (host, span) in hosts {
            if !table.add(host, made.clone()) {
                self.wrong(
                    span,
                    "an earlier route of this listener matches exactly the same; remove one",
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
[[listener]]
name = "web"
addresses = ["127.0.0.1:8080", "[::1]:8080"]
protocol = "http"
[[listener.route]]
pool = "p"
[pool.p]
addresses = ["127.0.0.1:81"]
"#;

    /// Each problem as `line: message`.
    fn problems(text: &str) -> Vec<String> {
        match Config::parse(text) {
            Ok(_) => vec![],
            Err(all) => all
                .iter()
                .map(|p| format!("{}: {}", p.line, p.message))
                .collect(),
        }
    }

    #[test]
    fn defaults() {
        let config = Config::parse(SMALL).unwrap();
        assert_eq!(config.max_head, 65536);
        assert_eq!(config.timeouts.header, Duration::from_secs(10));
        assert_eq!(config.timeouts.connect, Duration::from_secs(3));
        assert_eq!(config.timeouts.idle, Some(Duration::from_secs(900)));
        assert_eq!(config.drain_timeout, Duration::from_secs(30));
        assert_eq!(config.listeners[0].addresses.len(), 2);
        assert_eq!(config.listeners[0].max_connections, 10_000);
        assert!(config.workers >= 1);
        assert!(config.splices());
        let route = config.listeners[0].routes.http(None, "/").unwrap();
        assert_eq!((route.name.as_str(), route.mode), ("web#1", Mode::Splice));
    }

    #[test]
    fn modes_and_times() {
        let text = format!(
            "mode = \"gateway\"\ndrain_timeout = \"250ms\"\n[timeouts]\nidle = \"0s\"\nheader = \"2m\"\n{SMALL}"
        );
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.drain_timeout, Duration::from_millis(250));
        assert_eq!(config.timeouts.idle, None);
        assert_eq!(config.timeouts.header, Duration::from_secs(120));
        assert!(!config.splices());
        let text = text.replace("pool = \"p\"", "pool = \"p\"\nmode = \"splice\"");
        assert!(Config::parse(&text).unwrap().splices());
    }

    #[test]
    fn problems_have_a_line_and_a_remedy() {
        let change = |from: &str, to: &str| {
            assert!(SMALL.contains(from), "{from}");
            problems(&SMALL.replace(from, to))
        };
        for (found, expected) in [
            (problems(""), "0: no [[listener]]"),
            (problems("workers = ["), "1: "),
            (
                problems("worker = 1"),
                "1: unknown field `worker`, expected one of",
            ),
            (
                problems("mode = \"kernel\""),
                "1: unknown variant `kernel`, expected one of `splice`, `split-splice`, `handoff`, `hop`, `gateway`",
            ),
            (
                problems(&format!("method = \"handoff\"{SMALL}")),
                "7: method \"handoff\" needs a [cluster] with the nodes of the servers",
            ),
            (
                change("pool = \"p\"", "pool = \"p\"\nmethod = \"hop\""),
                "7: method \"hop\" needs a [cluster]",
            ),
            (
                change(
                    "[pool.p]",
                    "method = \"handoff\"\n[cluster]\nid = 1\nlisten = \"0.0.0.0:7946\"\nkeys = \"/x\"\n\
                     [[cluster.node]]\nid = 1\naddresses = [\"192.0.2.1:7946\"]\nroles = [\"proxy\"]\n\
                     [[cluster.node]]\nid = 2\naddresses = [\"192.0.2.2:7946\"]\nroles = [\"backend\"]\n\
                     serves = [\"192.0.2.2\"]\n[pool.p]",
                ),
                "7: method \"handoff\", and no node has a backend of pool \"p\"",
            ),
            (
                problems("workers = 0"),
                "1: workers = 0 is out of range; use 1 to 1024",
            ),
            (
                problems("\nmax_head = 10"),
                "2: max_head = 10 is out of range; use 1024 to 1048576",
            ),
            (
                problems("[timeouts]\nheader = \"10\""),
                "2: invalid value: string \"10\", expected a time with its unit",
            ),
            (
                problems("[timeouts]\nheader = 10"),
                "2: invalid type: integer `10`, expected a time with its unit",
            ),
            (
                problems("[timeouts]\nheader = \"0s\""),
                "2: timeouts.header is zero",
            ),
            (
                problems("[timeouts]\nidle = \"9999999h\""),
                "2: a time of more than a year",
            ),
            (
                change("\"http\"", "\"ftp\""),
                "5: unknown variant `ftp`, expected `http` or `tls`",
            ),
            (
                change("127.0.0.1:8080", "localhost:80"),
                "4: \"localhost:80\" is not an IP address and port; write",
            ),
            (
                change("127.0.0.1:8080", "[::1]:8080"),
                "4: [::1]:8080 is listened on twice",
            ),
            (
                change("\"127.0.0.1:8080\", \"[::1]:8080\"", ""),
                "2: listener \"web\" has no address",
            ),
            (
                change("[[listener.route]]\npool = \"p\"\n", ""),
                "2: listener \"web\" has no route",
            ),
            (
                change("pool = \"p\"", "pool = \"q\""),
                "7: no pool \"q\"; add [pool.q], or use another (there are: p)",
            ),
            (
                change("pool = \"p\"", "pool = \"p\"\nsni = [\"a\"]"),
                "8: sni does not apply here; use hosts",
            ),
            (
                change("pool = \"p\"", "pool = \"p\"\npath = \"x\""),
                "8: path \"x\" must begin with /",
            ),
            (
                change("pool = \"p\"", "pool = \"p\"\nhosts = [\"*\"]"),
                "8: \"*\" is not a host name",
            ),
            (
                change("pool = \"p\"", "pool = \"p\"\nhosts = []"),
                "8: an empty list matches nothing",
            ),
            (
                change("pool = \"p\"", "pool = \"p\"\nhosts = [\"a\",\n\"A.\"]"),
                "9: an earlier route",
            ),
            (
                change("pool = \"p\"", "pool = \"p\"\nweight = 1"),
                "8: unknown field `weight`",
            ),
            (
                change("127.0.0.1:81", "127.0.0.1:0"),
                "9: 127.0.0.1:0 has port 0",
            ),
            (
                change("\"127.0.0.1:81\"", ""),
                "8: pool \"p\" has no address",
            ),
            (
                problems(&format!("{SMALL}[pool.q]\naddresses = [\"127.0.0.1:82\"]")),
                "10: no route uses pool \"q\"",
            ),
            (problems(&format!("{SMALL}{SMALL}")), "17: duplicate key"),
            (
                problems("[http]\nkeepalive = true"),
                "2: unknown field `keepalive`, expected one of `keep_alive`",
            ),
            (
                problems("[http]\nsplice_threshold = 0"),
                "2: splice_threshold = 0 is out of range; use 1 to",
            ),
            (
                problems("[timeouts]\nkeep_alive = \"0s\""),
                "2: timeouts.keep_alive is zero",
            ),
            (
                problems(&format!("{SMALL}min_idle = 9\nmax_idle = 8")),
                "10: min_idle = 9 is more than max_idle = 8; raise max_idle",
            ),
            (
                problems(&format!("{SMALL}idle_timeout = \"0s\"")),
                "10: idle_timeout is zero",
            ),
            (
                problems(&format!("{SMALL}min_idle = 1\n[http]\nkeep_alive = false")),
                "8: min_idle of pool \"p\" opens connections that no request could use",
            ),
        ] {
            assert!(
                found.iter().any(|p| p.starts_with(expected)),
                "{expected:?} not in {found:#?}"
            );
        }
    }

    #[test]
    fn all_problems_are_told_in_file_order() {
        let found = problems("workers = 0\nmax_head = 1\n[timeouts]\nconnect = \"0s\"\n");
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(
            found[0].starts_with("0:") && found[3].starts_with("4:"),
            "{found:#?}"
        );
    }

    #[test]
    fn tls_routes_take_no_http_keys() {
        let text = SMALL.replace("\"http\"", "\"tls\"").replace(
            "pool = \"p\"",
            "pool = \"p\"\nhosts = [\"a\"]\npath = \"/x\"",
        );
        let found = problems(&text);
        assert!(
            found
                .iter()
                .any(|p| p.starts_with("8: hosts does not apply here; use sni")),
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .any(|p| p.starts_with("9: path does not apply here")),
            "{found:?}"
        );
    }
}
