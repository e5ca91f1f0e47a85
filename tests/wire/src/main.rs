// SPDX-License-Identifier: GPL-2.0

//! Judges packet captures, as a TCP that trusts nobody would: checksums, continuity of sequence and
//! acknowledgement numbers, windows, timestamps and their echoes, SACK blocks, addresses.
//!
//! It shares no code with the module. A capture is taken beside an end host, where every packet of the
//! connection passes.

mod packet;
mod pcap;
mod rules;

use std::fmt::Write;
use std::process::ExitCode;

use packet::Parsed;
use rules::{Capture, Rules};

const USAGE: &str = "usage: wire [OPTION...] FILE
  --allow ADDRESS    (again and again) TCP only between these addresses
  --port PORT        look only at connections with this port
  --full-checksums   every checksum is complete (offloads are off)
  --lossless         every byte comes by in the end
  --rst              a RST is no fault
  --late-rst         one of a connection that both ends have closed
  --complete         every connection opens and closes in good order
  --sack-edges       SACK edges are edges of segments
  --window           no data beyond the window
  --list             print every segment first
Prints counts as JSON on standard output, and one line a fault on standard error.";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(text) => {
            eprintln!("wire: {text}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, String> {
    let mut rules = Rules::default();
    let mut file = None;
    let mut port: Option<u16> = None;
    let mut list = false;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--allow" => rules
                .allowed
                .push(value()?.parse().map_err(|e| format!("--allow: {e}"))?),
            "--port" => port = Some(value()?.parse().map_err(|e| format!("--port: {e}"))?),
            "--full-checksums" => rules.full_checksums = true,
            "--lossless" => rules.lossless = true,
            "--rst" => rules.rst = true,
            "--late-rst" => rules.late_rst = true,
            "--complete" => rules.complete = true,
            "--sack-edges" => rules.sack_edges = true,
            "--window" => rules.window = true,
            "--list" => list = true,
            _ if !arg.starts_with('-') && file.is_none() => file = Some(arg),
            _ => return Err(format!("{arg}?\n{USAGE}")),
        }
    }
    let file = file.ok_or(USAGE)?;
    let data = std::fs::read(&file).map_err(|e| format!("{file}: {e}"))?;
    let mut capture = Capture::new(rules);
    let mut began = None;
    for (i, frame) in pcap::frames(&data)
        .map_err(|e| format!("{file}: {e}"))?
        .enumerate()
    {
        let began = *began.get_or_insert(frame.micros);
        let micros = frame.micros.saturating_sub(began);
        let at = format!(
            "packet {} at {}.{:06}",
            i + 1,
            micros / 1_000_000,
            micros % 1_000_000
        );
        match packet::parse(frame.bytes, frame.len) {
            Parsed::Tcp(seg) if port.is_none_or(|p| seg.src.1 == p || seg.dst.1 == p) => {
                if list {
                    println!("{at} {seg}");
                }
                capture.see(&at, &seg);
            }
            Parsed::Error(quote) => capture.see_error(&at, &quote),
            Parsed::Tcp(_) | Parsed::Other => {}
            Parsed::Malformed(what) => capture.faults.push(format!("{at}: {what}")),
        }
    }
    if capture.segments == 0 {
        capture
            .faults
            .push(format!("{file}: no TCP segment in {} bytes", data.len()));
    }
    capture.finish();

    for f in capture.faults.iter().take(40) {
        eprintln!("{f}");
    }
    if capture.faults.len() > 40 {
        eprintln!("... and {} more", capture.faults.len() - 40);
    }
    println!("{}", json(&capture));
    Ok(capture.faults.is_empty())
}

/// Counts in total and for each connection. `up` is from the end that was seen to speak first when ports
/// tell which end serves: the one with the lower port.
fn json(capture: &Capture) -> String {
    let mut list = String::new();
    let mut total: [rules::Counts; 2] = Default::default();
    for (i, ((a, b), dirs)) in capture.connections.iter().enumerate() {
        // The end with the lower port is the server.
        let up = usize::from(a.1 < b.1);
        let (client, server) = if up == 0 { (a, b) } else { (b, a) };
        let comma = if i == 0 { "" } else { "," };
        let _ = write!(
            list,
            "{comma}{{\"client\":\"{} {}\",\"server\":\"{} {}\",\"up\":{},\"down\":{}}}",
            client.0,
            client.1,
            server.0,
            server.1,
            counts(&dirs[up].counts),
            counts(&dirs[1 - up].counts)
        );
        for (t, c) in total
            .iter_mut()
            .zip([&dirs[up].counts, &dirs[1 - up].counts])
        {
            t.packets += c.packets;
            t.bytes += c.bytes;
            t.retransmits += c.retransmits;
            t.gaps += c.gaps;
            t.fins += c.fins;
            t.rsts += c.rsts;
            t.sacks += c.sacks;
            t.zero_windows += c.zero_windows;
            t.shrinks += c.shrinks;
            t.largest = t.largest.max(c.largest);
            t.acks_back += c.acks_back;
            t.keepalives += c.keepalives;
            t.echoes_between += c.echoes_between;
        }
    }
    format!(
        "{{\"faults\":{},\"segments\":{},\"icmp_errors\":{},\"up\":{},\"down\":{},\"connections\":[{list}]}}",
        capture.faults.len(),
        capture.segments,
        capture.errors,
        counts(&total[0]),
        counts(&total[1])
    )
}

fn counts(c: &rules::Counts) -> String {
    format!(
        "{{\"packets\":{},\"bytes\":{},\"retransmits\":{},\"gaps\":{},\"fins\":{},\"rsts\":{},\"sacks\":{},\
         \"zero_windows\":{},\"shrinks\":{},\"largest\":{},\"acks_back\":{},\"keepalives\":{},\"echoes_between\":{}}}",
        c.packets,
        c.bytes,
        c.retransmits,
        c.gaps,
        c.fins,
        c.rsts,
        c.sacks,
        c.zero_windows,
        c.shrinks,
        c.largest,
        c.acks_back,
        c.keepalives,
        c.echoes_between
    )
}
