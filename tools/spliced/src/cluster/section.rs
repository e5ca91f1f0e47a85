// SPDX-License-Identifier: GPL-2.0

//! The `[cluster]` section of the configuration.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::node::{Replicas, Roles, WhenShort};
use super::row::NodeId;
use super::run::{Member, Settings};
use super::servers::Servers;
use crate::config::{Check, Time};

/// Nodes of one cluster; each tells all others.
const MAX_NODES: usize = 64;
const HEARTBEAT: Range<Duration> = Duration::from_millis(10)..Duration::from_millis(10_001);
const MAX_ROWS: usize = 1 << 24;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileCluster {
    id: Spanned<u32>,
    keys: PathBuf,
    listen: Option<Spanned<String>>,
    heartbeat: Option<Spanned<Time>>,
    misses: Option<Spanned<usize>>,
    multicast: Option<Spanned<String>>,
    replicas: Option<Spanned<FileReplicas>>,
    #[serde(default)]
    when_short: FileWhenShort,
    split: Option<bool>,
    ack_timeout: Option<Spanned<Time>>,
    progress: Option<Spanned<Time>>,
    tombstones: Option<Spanned<Time>>,
    max_rows: Option<Spanned<usize>>,
    control: Option<PathBuf>,
    #[serde(default)]
    node: Vec<Spanned<FileNode>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected \"all\" or a number")]
enum FileReplicas {
    Count(usize),
    Word(All),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    All,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum FileWhenShort {
    #[default]
    Warn,
    Refuse,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileNode {
    id: Spanned<u32>,
    addresses: Vec<Spanned<String>>,
    roles: Spanned<Vec<FileRole>>,
    #[serde(default)]
    serves: Vec<Spanned<String>>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum FileRole {
    Balancer,
    Proxy,
    Backend,
}

/// Compares the parts of the section with each other. `None` when something is wrong.
pub(crate) fn check(check: &mut Check<'_>, file: Spanned<FileCluster>) -> Option<Settings> {
    let before = check.problems.len();
    let span = file.span();
    let file = file.into_inner();
    let me = NodeId(*file.id.get_ref());
    let (members, servers) = nodes(check, file.node);
    if members.len() > MAX_NODES {
        check.wrong(
            span.clone(),
            format!(
                "{} nodes; at most {MAX_NODES} make a cluster",
                members.len()
            ),
        );
    }
    let own = members.get(&me);
    if own.is_none() {
        check.wrong(
            file.id.span(),
            format!(
                "cluster.id = {me} is none of the nodes; add a [[cluster.node]] with id = {me}"
            ),
        );
    }
    let first = own.and_then(|own| own.addresses.first()).copied();
    let listen = match &file.listen {
        Some(text) => check.address(text),
        None => first,
    };
    let multicast = file.multicast.as_ref().and_then(|text| {
        let group = check.address(text)?;
        let same_family = listen.is_none_or(|listen| listen.is_ipv4() == group.is_ipv4());
        if !group.ip().is_multicast() || !same_family {
            check.wrong(
                text.span(),
                format!("{group} is no multicast group of the family of cluster.listen; write \"239.192.0.1:7946\" or such"),
            );
        }
        // All nodes hear the group on the port that they listen on.
        if listen.is_some_and(|listen| listen.port() != group.port()) {
            check.wrong(
                text.span(),
                "the port of cluster.multicast must be that of cluster.listen, on all nodes".to_owned(),
            );
        }
        Some(group)
    });
    let heartbeat_span = file.heartbeat.as_ref().map(Spanned::span);
    let heartbeat = check.positive(
        "cluster.heartbeat",
        file.heartbeat,
        Duration::from_millis(100),
    );
    if let Some(span) = heartbeat_span.filter(|_| !HEARTBEAT.contains(&heartbeat)) {
        check.wrong(
            span,
            "cluster.heartbeat is out of range; use \"10ms\" to \"10s\"",
        );
    }
    let misses = check.count("cluster.misses", file.misses, 3, 1..101);
    let peers = members
        .iter()
        .filter(|(id, member)| **id != me && member.roles.proxy)
        .count();
    let replicas = match file.replicas {
        None => Replicas::All,
        Some(given) => {
            let span = given.span();
            match given.into_inner() {
                FileReplicas::Word(All::All) => Replicas::All,
                FileReplicas::Count(count) => {
                    let is_proxy = members.get(&me).is_none_or(|own| own.roles.proxy);
                    if is_proxy && !(1..=peers).contains(&count) {
                        check.wrong(
                            span,
                            format!(
                                "cluster.replicas = {count}, and there are {peers} other proxies; \
                                 use 1 to {peers}, or \"all\""
                            ),
                        );
                    }
                    Replicas::Count(count)
                }
            }
        }
    };
    let mut time = |key, given, default| check.positive(key, given, Duration::from_secs(default));
    let ack_timeout = time("cluster.ack_timeout", file.ack_timeout, 1);
    let progress = time("cluster.progress", file.progress, 1);
    let tombstones = time("cluster.tombstones", file.tombstones, 600);
    let max_rows = check.count("cluster.max_rows", file.max_rows, 1 << 20, 1..MAX_ROWS + 1);
    if check.problems.len() > before {
        return None;
    }
    Some(Settings {
        me,
        listen: listen?,
        members,
        servers,
        split: file.split.unwrap_or(true),
        keys: file.keys,
        heartbeat,
        misses: u32::try_from(misses).ok()?,
        multicast,
        replicas,
        when_short: match file.when_short {
            FileWhenShort::Warn => WhenShort::Warn,
            FileWhenShort::Refuse => WhenShort::Refuse,
        },
        ack_timeout,
        progress,
        tombstones,
        max_rows,
        control: file
            .control
            .unwrap_or_else(|| super::control::DEFAULT.into()),
    })
}

/// An address, and a port if only one is meant, that proxies connect to and that is a host's own.
fn server(check: &mut Check<'_>, text: &Spanned<String>) -> Option<(IpAddr, Option<u16>)> {
    let given = text.get_ref();
    let address = given.parse::<SocketAddr>();
    let address = address.map(|address| (address.ip(), Some(address.port())));
    let Ok((ip, port)) = address.or_else(|_| given.parse().map(|ip| (ip, None))) else {
        check.wrong(
            text.span(),
            format!(
                "\"{given}\" is no address of a server; write \"192.0.2.11\" or \"192.0.2.11:80\""
            ),
        );
        return None;
    };
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let wrong = if ip.is_unspecified() || ip.is_multicast() || ip == IpAddr::from([255; 4]) {
        "is no address of a server; give the one that pools have"
    } else if ip.is_loopback() || link_local {
        "is not the same server on all hosts; give the address that proxies connect to"
    } else if ip.to_canonical() != ip {
        "is an IPv4 address; write it as one"
    } else if port == Some(0) {
        "has port 0; leave the port out for all of them"
    } else {
        return Some((ip, port));
    };
    check.wrong(text.span(), format!("{given} {wrong}"));
    None
}

fn nodes(
    check: &mut Check<'_>,
    nodes: Vec<Spanned<FileNode>>,
) -> (BTreeMap<NodeId, Member>, Servers) {
    let mut servers = Servers::default();
    let mut members = BTreeMap::new();
    let mut taken: HashSet<SocketAddr> = HashSet::new();
    for node in nodes {
        let span = node.span();
        let node = node.into_inner();
        let id = NodeId(*node.id.get_ref());
        if id.0 == 0 {
            check.wrong(node.id.span(), "node 0 is none; count from 1");
        }
        let mut addresses = Vec::new();
        for text in &node.addresses {
            let Some(address) = check.address(text) else {
                continue;
            };
            if address.port() == 0 || address.ip().is_unspecified() {
                check.wrong(
                    text.span(),
                    format!(
                        "{address} cannot be connected to; give the node's own address and port"
                    ),
                );
            }
            if !taken.insert(address) {
                check.wrong(text.span(), format!("{address} is there twice; keep one"));
            }
            addresses.push(address);
        }
        if node.addresses.is_empty() {
            check.wrong(
                span,
                format!("node {id} has no address; add \"192.0.2.1:7946\" or such"),
            );
        }
        let mut roles = Roles::default();
        for role in node.roles.get_ref() {
            match role {
                FileRole::Balancer => roles.balancer = true,
                FileRole::Proxy => roles.proxy = true,
                FileRole::Backend => roles.backend = true,
            }
        }
        if roles == Roles::default() {
            check.wrong(
                node.roles.span(),
                format!("node {id} has no role; use \"balancer\", \"proxy\", \"backend\""),
            );
        }
        for text in &node.serves {
            if !roles.backend {
                check.wrong(
                    text.span(),
                    format!(
                        "node {id} serves {} and is no backend; add \"backend\" to its roles",
                        text.get_ref()
                    ),
                );
                break;
            }
            let Some((ip, port)) = server(check, text) else {
                continue;
            };
            if let Err(other) = servers.add(ip, port, id) {
                check.wrong(
                    text.span(),
                    format!(
                        "node {other} serves {} already; a server is on one node, and there once",
                        text.get_ref()
                    ),
                );
            }
        }
        let member = Member { addresses, roles };
        if members.insert(id, member).is_some() {
            check.wrong(
                node.id.span(),
                format!("a second node {id}; numbers must differ"),
            );
        }
    }
    (members, servers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    const THREE: &str = r#"
[cluster]
id = 1
keys = "/etc/tcp_splice/cluster"
[[cluster.node]]
id = 1
addresses = ["10.0.0.1:7946"]
roles = ["proxy"]
[[cluster.node]]
id = 2
addresses = ["10.0.0.2:7946", "10.1.0.2:7946"]
roles = ["proxy", "backend"]
serves = ["192.0.2.12", "2001:db8::12"]
[[cluster.node]]
id = 9
addresses = ["10.0.0.9:7946"]
roles = ["balancer"]
"#;

    fn settings(text: &str) -> Settings {
        Config::parse(text).unwrap().cluster.unwrap()
    }

    #[test]
    fn defaults() {
        // A node without a listener takes part, too.
        let settings = settings(THREE);
        assert_eq!(settings.me, NodeId(1));
        assert_eq!(settings.listen, "10.0.0.1:7946".parse().unwrap());
        assert_eq!(settings.heartbeat, Duration::from_millis(100));
        assert_eq!((settings.misses, settings.max_rows), (3, 1 << 20));
        assert_eq!(settings.replicas, Replicas::All);
        assert_eq!(settings.when_short, WhenShort::Warn);
        assert_eq!(settings.ack_timeout, Duration::from_secs(1));
        assert_eq!(settings.tombstones, Duration::from_secs(600));
        assert_eq!(settings.members[&NodeId(2)].addresses.len(), 2);
        assert_eq!(
            settings.members[&NodeId(2)].roles.to_string(),
            "proxy,backend"
        );
        assert_eq!(settings.control.to_str(), Some("/run/spliced/control"));
        assert!(settings.split);
        for (server, node) in [
            ("192.0.2.12:80", Some(NodeId(2))),
            ("[2001:db8::12]:9", Some(NodeId(2))),
            ("10.0.0.2:80", None),
        ] {
            let server = server.parse().unwrap();
            assert_eq!(settings.servers.node(server), node, "{server}");
        }
    }

    #[test]
    fn what_is_said() {
        let text = THREE.replace(
            "id = 1\nkeys",
            "id = 9\nlisten = \"0.0.0.0:7946\"\nreplicas = 2\nsplit = false\nwhen_short = \"refuse\"\nmulticast = \"239.192.0.1:7946\"\nkeys",
        );
        let settings = settings(&text);
        assert_eq!(settings.me, NodeId(9));
        assert_eq!(settings.listen, "0.0.0.0:7946".parse().unwrap());
        assert_eq!(settings.replicas, Replicas::Count(2));
        assert_eq!(settings.when_short, WhenShort::Refuse);
        assert!(!settings.split);
    }

    #[test]
    fn problems_have_a_line_and_a_remedy() {
        for (from, to, expected) in [
            (
                "id = 1\nkeys",
                "id = 4\nkeys",
                "3: cluster.id = 4 is none of the nodes",
            ),
            (
                "id = 2",
                "id = 1",
                "10: a second node 1; numbers must differ",
            ),
            ("id = 2", "id = 0", "10: node 0 is none; count from 1"),
            (
                ":7946\"]\nroles = [\"proxy\"]",
                ":0\"]\nroles = [\"proxy\"]",
                "7: 10.0.0.1:0 cannot be connected to",
            ),
            (
                "10.0.0.2:7946",
                "10.0.0.1:7946",
                "11: 10.0.0.1:7946 is there twice",
            ),
            ("[\"10.0.0.1:7946\"]", "[]", "5: node 1 has no address"),
            (
                "[\"balancer\"]",
                "[]",
                "17: node 9 has no role; use \"balancer\"",
            ),
            (
                "[\"balancer\"]",
                "[\"balancer\"]\nserves = [\"192.0.2.9\"]",
                "18: node 9 serves 192.0.2.9 and is no backend; add \"backend\"",
            ),
            (
                "[\"balancer\"]",
                "[\"balancer\", \"backend\"]\nserves = [\"192.0.2.13\", \"192.0.2.12:80\"]",
                "18: node 2 serves 192.0.2.12:80 already; a server is on one node",
            ),
            (
                "\"2001:db8::12\"",
                "\"192.0.2.12:443\"",
                "13: node 2 serves 192.0.2.12:443 already",
            ),
            (
                "2001:db8::12",
                "web.example",
                "13: \"web.example\" is no address of a server; write",
            ),
            (
                "2001:db8::12",
                "0.0.0.0",
                "13: 0.0.0.0 is no address of a server; give",
            ),
            (
                "2001:db8::12",
                "239.1.1.1",
                "13: 239.1.1.1 is no address of a server; give",
            ),
            (
                "2001:db8::12",
                "127.0.0.1:80",
                "13: 127.0.0.1:80 is not the same server on all hosts",
            ),
            (
                "2001:db8::12",
                "fe80::1",
                "13: fe80::1 is not the same server on all hosts",
            ),
            (
                "2001:db8::12",
                "::ffff:192.0.2.7",
                "13: ::ffff:192.0.2.7 is an IPv4 address; write it as one",
            ),
            (
                "2001:db8::12",
                "192.0.2.13:0",
                "13: 192.0.2.13:0 has port 0; leave the port out",
            ),
            (
                "keys",
                "split = \"no\"\nkeys",
                "4: invalid type: string \"no\", expected a boolean",
            ),
            ("[\"balancer\"]", "[\"king\"]", "17: unknown variant `king`"),
            (
                "keys",
                "replicas = 2\nkeys",
                "4: cluster.replicas = 2, and there are 1 other proxies; use 1 to 1",
            ),
            (
                "keys",
                "replicas = \"some\"\nkeys",
                "4: expected \"all\" or a number",
            ),
            (
                "keys",
                "heartbeat = \"1ms\"\nkeys",
                "4: cluster.heartbeat is out of range; use \"10ms\" to",
            ),
            (
                "keys",
                "misses = 0\nkeys",
                "4: cluster.misses = 0 is out of range; use 1 to 100",
            ),
            (
                "keys",
                "ack_timeout = \"0s\"\nkeys",
                "4: cluster.ack_timeout is zero",
            ),
            (
                "keys",
                "multicast = \"10.0.0.5:7946\"\nkeys",
                "4: 10.0.0.5:7946 is no multicast group",
            ),
            (
                "keys",
                "multicast = \"239.1.1.1:1\"\nkeys",
                "4: the port of cluster.multicast must be",
            ),
            (
                "keys",
                "listen = \"here\"\nkeys",
                "4: \"here\" is not an IP address and port",
            ),
            (
                "keys = \"/etc/tcp_splice/cluster\"\n",
                "",
                "2: missing field `keys`",
            ),
            (
                "keys",
                "password = 1\nkeys",
                "4: unknown field `password`, expected one of",
            ),
        ] {
            assert!(THREE.contains(from), "{from}");
            let found = Config::parse(&THREE.replacen(from, to, 1)).unwrap_err();
            let found: Vec<_> = found
                .iter()
                .map(|p| format!("{}: {}", p.line, p.message))
                .collect();
            assert!(
                found.iter().any(|p| p.starts_with(expected)),
                "{expected:?} not in {found:#?}"
            );
        }
    }
}
