// SPDX-License-Identifier: GPL-2.0

//! `splicectl show`

use crate::fail::Fail;
use crate::format;
use crate::list::style;
use crate::output::Output;
use crate::table::Style;
use std::fmt::Write;
use tcp_splice_netlink::{Client, Flow, FlowFlags, Splice};

pub(crate) fn run(out: &Output, id: u64) -> Result<(), Fail> {
    let splice = Client::open()
        .and_then(|mut client| client.splice_get(id))
        .map_err(Fail::kernel(format!("show {id}")))?;
    print(out, &splice)
}

/// Prints everything about a splice.
pub(crate) fn print(out: &Output, splice: &Splice) -> Result<(), Fail> {
    if out.json() {
        out.value(splice)
    } else {
        out.text(&text(splice, out.signs.to, out.color()))
    }
}

fn text(splice: &Splice, arrow: &str, color: bool) -> String {
    let paint = |style: Style, text: String| {
        if color { style.paint(&text) } else { text }
    };
    let mut out = String::new();
    let title = format!(
        "splice {}",
        splice.id.map_or("?".into(), |id| id.to_string())
    );
    writeln!(out, "{}", paint(Style::Bold, title)).expect("a String grows");
    if let Some(state) = splice.state {
        let drains = drains(splice);
        let mut text = paint(style(state), state.to_string());
        if !drains.is_empty() {
            text += &format!(", draining {}", drains.join(" and "));
        }
        line(&mut out, 2, "state", Some(text));
    }
    line(
        &mut out,
        2,
        "kind",
        splice.kind.map(|kind| kind.to_string()),
    );
    line(
        &mut out,
        2,
        "reason",
        splice.reason.map(|reason| reason.to_string()),
    );
    line(&mut out, 2, "age", splice.age.map(format::duration));
    line(&mut out, 2, "idle", splice.idle.map(format::duration));
    let never = |timeout| {
        if timeout == 0 {
            "never".into()
        } else {
            format::duration(timeout)
        }
    };
    line(&mut out, 2, "idle timeout", splice.idle_timeout.map(never));
    line(
        &mut out,
        2,
        "moved to server",
        splice.moved_to_server.map(exact),
    );
    line(
        &mut out,
        2,
        "moved to client",
        splice.moved_to_client.map(exact),
    );
    line(
        &mut out,
        2,
        "limit to server",
        splice.limit_to_server.map(exact),
    );
    line(
        &mut out,
        2,
        "limit to client",
        splice.limit_to_client.map(exact),
    );
    let flags = splice.flags.map(|flags| flags.names().join(" "));
    line(
        &mut out,
        2,
        "flags",
        flags.filter(|flags| !flags.is_empty()),
    );
    for (name, flow) in [
        ("client to server", &splice.to_server),
        ("server to client", &splice.to_client),
    ] {
        if let Some(flow) = flow {
            writeln!(out, "  {}", paint(Style::Bold, name.into())).expect("a String grows");
            flow_lines(&mut out, flow, arrow);
        }
    }
    out
}

/// Toward whom a local socket still has bytes to bring.
fn drains(splice: &Splice) -> Vec<&'static str> {
    let is_draining = |flow: &Option<Flow>| {
        let flags = flow.as_ref().and_then(|flow| flow.flags);
        flags.is_some_and(|flags| flags.contains(FlowFlags::DRAINING))
    };
    // The socket in question stands toward the sender of the flow.
    let mut toward = Vec::new();
    if is_draining(&splice.to_server) {
        toward.push("to the client");
    }
    if is_draining(&splice.to_client) {
        toward.push("to the server");
    }
    toward
}

/// An amount of bytes, exact, and readable where that differs.
fn exact(amount: u64) -> String {
    if amount < 1024 {
        format::bytes(amount)
    } else {
        format!("{amount} B ({})", format::bytes(amount))
    }
}

/// A name and its value in columns; nothing if the kernel did not say it.
fn line(out: &mut String, indent: usize, name: &str, value: Option<String>) {
    if let Some(value) = value {
        let width = 20 - indent;
        writeln!(out, "{:indent$}{name:width$}{value}", "").expect("a String grows");
    }
}

fn flow_lines(out: &mut String, flow: &Flow, arrow: &str) {
    let way = |from, sport, to, dport| {
        let (from, to) = (format::endpoint(from, sport), format::endpoint(to, dport));
        Some(format!("{from} {arrow} {to}"))
    };
    let arrives = way(flow.saddr, flow.sport, flow.daddr, flow.dport);
    let leaves = way(
        flow.new_saddr,
        flow.new_sport,
        flow.new_daddr,
        flow.new_dport,
    );
    line(out, 4, "arrives", arrives);
    line(out, 4, "leaves", leaves);
    let flags = flow.flags.map(|flags| flags.names().join(" "));
    line(out, 4, "flags", flags.filter(|flags| !flags.is_empty()));
    let number = |value: Option<u32>| value.map(|value| value.to_string());
    line(out, 4, "seq delta", flow.seq_delta.map(format::delta));
    line(out, 4, "ack delta", flow.ack_delta.map(format::delta));
    line(out, 4, "tsval delta", flow.tsval_delta.map(format::delta));
    line(out, 4, "tsecr delta", flow.tsecr_delta.map(format::delta));
    line(out, 4, "wscale in", number(flow.wscale_in));
    line(out, 4, "wscale out", number(flow.wscale_out));
    line(out, 4, "seq origin", number(flow.seq_origin));
    line(out, 4, "seq next", number(flow.seq_next));
    line(out, 4, "ack last", number(flow.ack_last));
    line(out, 4, "ack floor", number(flow.ack_floor));
    line(out, 4, "mss", number(flow.mss.filter(|mss| *mss > 0)));
    line(out, 4, "window edge", number(flow.window_edge));
    line(out, 4, "tsval last", number(flow.tsval_last));
    line(
        out,
        4,
        "packets",
        flow.packets.map(|packets| packets.to_string()),
    );
    line(out, 4, "bytes", flow.bytes.map(exact));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::tests::splice;
    use tcp_splice_netlink::{SpliceFlags, SpliceKind, SpliceState};

    #[test]
    fn a_split_one_says_so() {
        let mut splice = splice(7);
        splice.flags = Some(SpliceFlags::REPLICATED | SpliceFlags::SPLIT);
        let text = text(&splice, "→", false);
        assert!(
            text.contains("  flags             replicated split\n"),
            "{text}"
        );
    }

    #[test]
    fn the_kind_is_shown() {
        let mut splice = splice(7);
        splice.kind = Some(SpliceKind::Nat);
        let text = text(&splice, "→", false);
        assert!(text.contains("  kind              nat\n"), "{text}");
    }

    #[test]
    fn limits_are_shown() {
        let mut splice = splice(7);
        splice.state = Some(SpliceState::Returning);
        splice.limit_to_server = Some(0);
        splice.limit_to_client = Some(1 << 20);
        splice.flags = Some(SpliceFlags::RETURN_ON_FIN | SpliceFlags::CUT_WHEN_IDLE);
        if let Some(flow) = &mut splice.to_client {
            flow.mss = Some(1460);
            flow.window_edge = Some(70);
        }
        let text = text(&splice, "→", false);
        for expected in [
            "  state             returning\n",
            "  limit to server   0 B\n  limit to client   1048576 B (1.0 MiB)\n",
            "  flags             return-on-fin cut-when-idle\n",
            "    mss             1460\n    window edge     70\n",
        ] {
            assert!(text.contains(expected), "{expected:?} not in {text}");
        }
    }

    #[test]
    fn everything_is_shown() {
        let mut splice = splice(7);
        splice.state = Some(SpliceState::Draining);
        if let Some(flow) = &mut splice.to_client {
            flow.flags = Some(FlowFlags::DRAINING);
            flow.ack_floor = Some(99);
        }
        let expected = "\
splice 7
  state             draining, draining to the server
  reason            none
  age               3m12s
  idle              40ms
  idle timeout      15m00s
  moved to server   100 B
  moved to client   0 B
  client to server
    arrives         192.0.2.1:40000 → 198.51.100.1:80
    leaves          10.0.0.1:5000 → 10.0.0.20:8080
    flags           timestamps sack
    seq delta       +5
    ack delta       -1
    packets         12
    bytes           2048 B (2.0 KiB)
  server to client
    arrives         10.0.0.20:8080 → 10.0.0.1:5000
    leaves          198.51.100.1:80 → 192.0.2.1:40000
    flags           draining
    seq delta       +1
    ack delta       -5
    ack floor       99
    bytes           314572800 B (300 MiB)
";
        assert_eq!(text(&splice, "→", false), expected);
    }
}
