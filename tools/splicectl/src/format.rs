// SPDX-License-Identifier: GPL-2.0

//! Numbers and addresses as a person reads them.

use std::net::{IpAddr, SocketAddr};
use tcp_splice_netlink::{Flow, Splice};

/// An amount of bytes: `17 B`, `1.5 KiB`, `310 MiB`.
pub(crate) fn bytes(amount: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if amount < 1024 {
        return format!("{amount} B");
    }
    let mut scaled = amount as f64 / 1024.0;
    let mut units = UNITS.iter();
    let mut unit = units.next().copied().unwrap_or_default();
    // What would be rounded up to 1024 is written in the next unit.
    while scaled >= 1023.5 {
        let Some(next) = units.next() else { break };
        unit = next;
        scaled /= 1024.0;
    }
    if scaled < 9.95 {
        format!("{scaled:.1} {unit}")
    } else {
        format!("{scaled:.0} {unit}")
    }
}

/// A time in milliseconds: `250ms`, `42s`, `3m12s`, `2h05m`, `3d04h`.
pub(crate) fn duration(ms: u64) -> String {
    let s = ms / 1000;
    let (m, h, d) = (s / 60, s / 3600, s / 86400);
    if s == 0 {
        format!("{ms}ms")
    } else if m == 0 {
        format!("{s}s")
    } else if h == 0 {
        format!("{m}m{:02}s", s % 60)
    } else if d == 0 {
        format!("{h}h{:02}m", m % 60)
    } else {
        format!("{d}d{:02}h", h % 24)
    }
}

/// Reads `500ms`, `90s`, `15m`, `2h`, `1d` or `never`, as milliseconds.
pub(crate) fn parse_duration(text: &str) -> Result<u64, String> {
    if text == "never" {
        return Ok(0);
    }
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "d" => 24 * 60 * 60 * 1000,
        _ => return Err("expected a number with ms, s, m, h or d, or never".into()),
    };
    let number: u64 = number
        .parse()
        .map_err(|_| "expected a whole number before the unit")?;
    number
        .checked_mul(scale)
        .ok_or_else(|| "it is too long".into())
}

/// Reads a number of bytes, which may end in K, M, G or T, each 1024 of the one before.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let (number, shift) = match text.char_indices().last() {
        Some((at, 'K')) => (&text[..at], 10),
        Some((at, 'M')) => (&text[..at], 20),
        Some((at, 'G')) => (&text[..at], 30),
        Some((at, 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err("expected a whole number, with K, M, G or T after it or without".into());
    }
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "it is too large".into())
}

/// An address and a port, whichever of them is known.
pub(crate) fn endpoint(address: Option<IpAddr>, port: Option<u16>) -> String {
    match (address, port) {
        (Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
        (Some(address), None) => address.to_string(),
        (None, Some(port)) => format!("?:{port}"),
        (None, None) => "?".into(),
    }
}

/// The four endpoints of a splice: client, the address it connected to, the address of this host
/// toward the server, and the server.
pub(crate) fn endpoints(splice: &Splice) -> [String; 4] {
    let unknown = Flow::default();
    let flow = splice.to_server.as_ref().unwrap_or(&unknown);
    [
        endpoint(flow.saddr, flow.sport),
        endpoint(flow.daddr, flow.dport),
        endpoint(flow.new_saddr, flow.new_sport),
        endpoint(flow.new_daddr, flow.new_dport),
    ]
}

/// The signs between the endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signs {
    pub(crate) to: &'static str,
    pub(crate) splice: &'static str,
}

pub(crate) const UNICODE: Signs = Signs {
    to: "→",
    splice: "⇄",
};
pub(crate) const ASCII: Signs = Signs {
    to: "->",
    splice: "<>",
};

/// The way through a splice in one line.
pub(crate) fn path(splice: &Splice, signs: Signs) -> String {
    let [client, vip, proxy, backend] = endpoints(splice);
    let Signs { to, splice } = signs;
    format!("{client} {to} {vip} {splice} {proxy} {to} {backend}")
}

/// Bytes carried by a flow so far.
pub(crate) fn carried(flow: Option<&Flow>) -> u64 {
    flow.and_then(|flow| flow.bytes).unwrap_or(0)
}

/// A delta, which is added modulo 2^32, as the nearest number to zero.
pub(crate) fn delta(value: u32) -> String {
    format!("{:+}", value as i32)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use tcp_splice_netlink::{FlowFlags, SpliceState};

    /// A splice as the kernel prints it.
    pub(crate) fn splice(id: u64) -> Splice {
        let client = IpAddr::from([192, 0, 2, 1]);
        let vip = IpAddr::from([198, 51, 100, 1]);
        let proxy = IpAddr::from([10, 0, 0, 1]);
        let backend = IpAddr::from([10, 0, 0, 20]);
        Splice {
            id: Some(id),
            to_server: Some(Flow {
                saddr: Some(client),
                sport: Some(40000),
                daddr: Some(vip),
                dport: Some(80),
                new_saddr: Some(proxy),
                new_sport: Some(5000),
                new_daddr: Some(backend),
                new_dport: Some(8080),
                seq_delta: Some(5),
                ack_delta: Some(u32::MAX),
                flags: Some(FlowFlags::SACK | FlowFlags::TIMESTAMPS),
                packets: Some(12),
                bytes: Some(2048),
                ..Flow::default()
            }),
            to_client: Some(Flow {
                saddr: Some(backend),
                sport: Some(8080),
                daddr: Some(proxy),
                dport: Some(5000),
                new_saddr: Some(vip),
                new_sport: Some(80),
                new_daddr: Some(client),
                new_dport: Some(40000),
                seq_delta: Some(1),
                ack_delta: Some(5u32.wrapping_neg()),
                bytes: Some(314_572_800),
                ..Flow::default()
            }),
            idle_timeout: Some(900_000),
            state: Some(SpliceState::Established),
            reason: Some(tcp_splice_netlink::EndReason::None),
            age: Some(192_000),
            idle: Some(40),
            moved_to_server: Some(100),
            moved_to_client: Some(0),
            ..Splice::default()
        }
    }

    #[test]
    fn amounts() {
        for (amount, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10 * 1024, "10 KiB"),
            (10 * 1024 - 1, "10 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (1024 * 1024, "1.0 MiB"),
            (1023 * 1024, "1023 KiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(amount), text, "{amount}");
        }
    }

    #[test]
    fn times() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1000, "1s"),
            (59_999, "59s"),
            (60_000, "1m00s"),
            (192_000, "3m12s"),
            (3_600_000, "1h00m"),
            (7_500_000, "2h05m"),
            (86_400_000, "1d00h"),
        ] {
            assert_eq!(duration(ms), text, "{ms}");
        }
        for (text, ms) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("never", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5w",
            "99999999999999999999s",
            "9999999999999999d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits() {
        for (text, amount) in [
            ("0", 0),
            ("17", 17),
            ("1K", 1024),
            ("4G", 4 << 30),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(parse_bytes(text), Ok(amount), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "+1",
            "1.5M",
            "1k",
            "1KB",
            "18446744073709551616",
            "99999999T",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn addresses() {
        assert_eq!(endpoint(Some([1, 2, 3, 4].into()), Some(80)), "1.2.3.4:80");
        let v6 = "2001:db8::1".parse().expect("an address");
        assert_eq!(endpoint(Some(v6), Some(80)), "[2001:db8::1]:80");
        assert_eq!(endpoint(None, Some(80)), "?:80");
        assert_eq!(path(&Splice::default(), ASCII), "? -> ? <> ? -> ?");
        assert_eq!(
            path(&splice(1), UNICODE),
            "192.0.2.1:40000 → 198.51.100.1:80 ⇄ 10.0.0.1:5000 → 10.0.0.20:8080"
        );
    }

    #[test]
    fn deltas_are_signed() {
        assert_eq!(delta(5), "+5");
        assert_eq!(delta(u32::MAX), "-1");
        assert_eq!(delta(0), "+0");
    }
}
