// SPDX-License-Identifier: GPL-2.0

//! From the host, path or protocols that a client asks for to a route.
//!
//! The host decides first: an exact name, else the longest `*.suffix`, else the routes without a
//! host. Among the routes of that host the longest path prefix (HTTP) or a matching protocol
//! (TLS) decides. A host whose routes do not match does not fall back to a less exact host: one
//! tenant's requests never leak to another's backends.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use crate::host::{normal_authority, normal_name};
use crate::pool::Pool;

/// Who carries the bytes once a backend is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// The kernel; user space only when the kernel refuses.
    #[default]
    Splice,
    /// The same; what the server sends, its own host.
    SplitSplice,
    /// Nobody: the connection moves to the server's host, and its packets go there in frames.
    Handoff,
    /// The same, and its packets go there in a tunnel.
    Hop,
    /// User space: the TCP gateway.
    Gateway,
}

impl Mode {
    /// Whether the kernel carries what stays here.
    pub fn splices(self) -> bool {
        self != Mode::Gateway
    }
}

/// Where matching connections go.
#[derive(Debug)]
pub struct Route {
    /// Name in logs.
    pub name: String,
    /// Path prefix; `/` matches every path.
    pub path: String,
    /// Protocols of ALPN, one of which must be offered; empty matches every offer.
    pub alpn: Vec<String>,
    /// Backends.
    pub pool: Arc<Pool>,
    /// Who carries.
    pub mode: Mode,
}

impl Route {
    fn takes_path(&self, path: &str) -> bool {
        path.strip_prefix(&*self.path).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with('/') || self.path.ends_with('/')
        })
    }

    fn takes_alpn(&self, offered: &[Vec<u8>]) -> bool {
        self.alpn.is_empty()
            || offered
                .iter()
                .any(|o| self.alpn.iter().any(|mine| mine.as_bytes() == o.as_slice()))
    }
}

/// Which hosts a route is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// This name only.
    Exact(String),
    /// Every name below this one: `*.suffix`. Not the suffix itself.
    Below(String),
    /// Every host that no other route names, and clients that name none.
    Any,
}

impl Host {
    /// Reads `name`, `*.suffix` or an address literal, as a route is written.
    pub fn parse(text: &str) -> Option<Host> {
        match text.strip_prefix("*.") {
            Some(suffix) => normal_name(suffix).map(Host::Below),
            None if text.contains(':') && !text.starts_with('[') => None,
            None if text.starts_with('[') && !text.ends_with(']') => None,
            None => normal_authority(text).map(Host::Exact),
        }
    }
}

/// The routes of one listener.
#[derive(Debug, Default)]
pub struct Table {
    hosts: BTreeMap<Host, Vec<Arc<Route>>>,
}

impl Table {
    /// Adds a route; `false` when one for the same host, path and protocols exists.
    pub fn add(&mut self, host: Host, route: Arc<Route>) -> bool {
        let routes = self.hosts.entry(host).or_default();
        if routes
            .iter()
            .any(|r| r.path == route.path && r.alpn == route.alpn)
        {
            return false;
        }
        routes.push(route);
        // Longest path first, then those that ask for a protocol; stable, so else in file order.
        routes.sort_by_key(|r| (std::cmp::Reverse(r.path.len()), r.alpn.is_empty()));
        true
    }

    /// The route of an HTTP request; `path` is without its query.
    pub fn http(&self, host: Option<&str>, path: &str) -> Option<&Arc<Route>> {
        self.of_host(host)?.iter().find(|r| r.takes_path(path))
    }

    /// The route of a TLS connection.
    pub fn tls(&self, server_name: Option<&str>, alpn: &[Vec<u8>]) -> Option<&Arc<Route>> {
        self.of_host(server_name)?
            .iter()
            .find(|r| r.takes_alpn(alpn))
    }

    fn of_host(&self, host: Option<&str>) -> Option<&Vec<Arc<Route>>> {
        host.and_then(|name| self.named(name))
            .or_else(|| self.hosts.get(&Host::Any))
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<Route>>> {
        if let Some(routes) = self.hosts.get(&Host::Exact(name.to_owned())) {
            return Some(routes);
        }
        let mut rest = name;
        while let Some((_, suffix)) = rest.split_once('.') {
            if let Some(routes) = self.hosts.get(&Host::Below(suffix.to_owned())) {
                return Some(routes);
            }
            rest = suffix;
        }
        None
    }

    /// Whether any route hands its connections to the kernel.
    pub fn splices(&self) -> bool {
        self.hosts.values().flatten().any(|r| r.mode.splices())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[(&str, &str, &[&str])]) -> Table {
        let mut table = Table::default();
        for (host, path, alpn) in routes {
            let parsed = if host.is_empty() {
                Host::Any
            } else {
                Host::parse(host).unwrap()
            };
            let route = Route {
                name: format!("{host}{path}{}", alpn.join("")),
                path: (*path).into(),
                alpn: alpn.iter().map(|p| (*p).to_owned()).collect(),
                pool: Arc::new(Pool::new(
                    "p".into(),
                    vec![],
                    Default::default(),
                    Default::default(),
                )),
                mode: Mode::Splice,
            };
            assert!(table.add(parsed, Arc::new(route)));
        }
        table
    }

    #[test]
    fn http_routes() {
        let table = table(&[
            ("", "/", &[]),
            ("", "/img", &[]),
            ("a.example", "/", &[]),
            ("a.example", "/api", &[]),
            ("a.example", "/api/v2/", &[]),
            ("*.example", "/", &[]),
            ("*.b.example", "/only", &[]),
            ("[::1]", "/", &[]),
        ]);
        for (host, path, expected) in [
            (None, "/", Some("/")),
            (None, "/img/1", Some("/img")),
            (None, "/img", Some("/img")),
            (None, "/imgs", Some("/")),
            (Some("other.test"), "/x", Some("/")),
            (Some("a.example"), "/", Some("a.example/")),
            (Some("a.example"), "/img", Some("a.example/")),
            (Some("a.example"), "/api", Some("a.example/api")),
            (Some("a.example"), "/api/v2", Some("a.example/api")),
            (Some("a.example"), "/api/v2/", Some("a.example/api/v2/")),
            (Some("a.example"), "/api/v2/x", Some("a.example/api/v2/")),
            (Some("a.example"), "/apix", Some("a.example/")),
            (Some("c.example"), "/", Some("*.example/")),
            (Some("d.c.example"), "/", Some("*.example/")),
            (Some("b.example"), "/", Some("*.example/")),
            (Some("x.b.example"), "/only/a", Some("*.b.example/only")),
            (Some("x.b.example"), "/other", None),
            (Some("example"), "/", Some("/")),
            (Some("[::1]"), "/", Some("[::1]/")),
        ] {
            let found = table.http(host, path).map(|r| &*r.name);
            assert_eq!(found, expected, "{host:?} {path}");
        }
    }

    #[test]
    fn tls_routes() {
        let table = table(&[
            ("a.example", "/", &[]),
            ("a.example", "/", &["acme-tls/1"]),
            ("*.h2.example", "/", &["h2"]),
        ]);
        let h2 = [b"h2".to_vec(), b"http/1.1".to_vec()];
        let acme = [b"acme-tls/1".to_vec()];
        for (name, alpn, expected) in [
            (Some("a.example"), &h2[..], Some("a.example/")),
            (Some("a.example"), &acme[..], Some("a.example/acme-tls/1")),
            (Some("a.example"), &[], Some("a.example/")),
            (Some("x.h2.example"), &h2[..], Some("*.h2.example/h2")),
            (Some("x.h2.example"), &acme[..], None),
            (Some("b.example"), &h2[..], None),
            (None, &h2[..], None),
        ] {
            assert_eq!(
                table.tls(name, alpn).map(|r| &*r.name),
                expected,
                "{name:?} {alpn:?}"
            );
        }
    }

    #[test]
    fn hosts_as_routes_write_them() {
        assert_eq!(
            Host::parse("A.example"),
            Some(Host::Exact("a.example".into()))
        );
        assert_eq!(
            Host::parse("*.Example"),
            Some(Host::Below("example".into()))
        );
        for bad in [
            "*",
            "*.",
            "a.*",
            "a.example:80",
            "[::1]:80",
            "",
            "a b",
            "*.*.example",
        ] {
            assert_eq!(Host::parse(bad), None, "{bad}");
        }
    }
}
