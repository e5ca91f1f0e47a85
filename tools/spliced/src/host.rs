// SPDX-License-Identifier: GPL-2.0

//! Host names as clients send them and as routes are written, brought to one form.

use std::net::Ipv6Addr;

/// Brings a host name to the form routes are compared in: lower case, no trailing dot.
///
/// Accepts letters, digits, `-`, `_` and `.`, at most 253 of them, labels of 1 to 63. The other
/// characters that RFC 3986 allows in a name never occur in a real one and are refused, because
/// what a proxy and a backend read differently is a way around the proxy.
pub fn normal_name(name: &str) -> Option<String> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > 253 {
        return None;
    }
    let good = name.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    });
    good.then(|| name.to_ascii_lowercase())
}

/// Brings `name`, `name:port`, `a.b.c.d:port` or `[v6]:port` to the form of [`normal_name`],
/// without the port. IPv6 addresses keep their brackets and are written canonically.
pub fn normal_authority(authority: &str) -> Option<String> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let address: Ipv6Addr = address.parse().ok()?;
        return good_port(port).then(|| format!("[{address}]"));
    }
    let (name, port) = match authority.find(':') {
        Some(at) => authority.split_at(at),
        None => (authority, ""),
    };
    if !good_port(port) {
        return None;
    }
    normal_name(name)
}

/// Whether this is nothing, `:` or `:port`.
fn good_port(port: &str) -> bool {
    match port.strip_prefix(':') {
        None => port.is_empty(),
        Some("") => true,
        Some(digits) => digits.bytes().all(|b| b.is_ascii_digit()) && digits.parse::<u16>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn authorities() {
        for (given, expected) in [
            ("A.Example", Some("a.example")),
            ("a.example.", Some("a.example")),
            ("a.example:80", Some("a.example")),
            ("a.example:", Some("a.example")),
            ("10.0.0.1:8080", Some("10.0.0.1")),
            ("[2001:DB8:0::1]:80", Some("[2001:db8::1]")),
            ("[::1]", Some("[::1]")),
            ("under_score.example", Some("under_score.example")),
            ("a.example:65536", None),
            ("a.example:+80", None),
            ("a.example:80:80", None),
            ("a..example", None),
            (".example", None),
            ("", None),
            (".", None),
            (":80", None),
            ("a.example/x", None),
            ("user@a.example", None),
            ("a example", None),
            ("a,b", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[zz]", None),
            ("ex\u{e4}mple", None),
        ] {
            assert_eq!(normal_authority(given).as_deref(), expected, "{given:?}");
        }
        assert!(normal_name(&"a".repeat(64)).is_none());
        assert!(normal_name(&vec!["a"; 127].join(".")).is_some());
        assert!(normal_name(&vec!["a"; 128].join(".")).is_none());
    }
}
