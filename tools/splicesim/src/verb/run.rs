// SPDX-License-Identifier: GPL-2.0

//! `splicesim run`.

use crate::args::Run;
use crate::fail::Fail;
use crate::output::{Output, lines};
use serde::Serialize;
use splicesim::bound::Bounds;
use splicesim::packet::{Outcome, Packets, Scene, Work, simulate};

#[derive(Debug, Serialize)]
struct Report {
    scene: Scene,
    bounds: Bounds,
    outcome: Outcome,
}

fn packets(packets: &Packets) -> String {
    let Packets {
        sent,
        arrived,
        dropped,
        died,
        nowhere,
        in_flight,
    } = packets;
    format!(
        "{sent} sent, {arrived} arrived, {dropped} found a queue full, {died} lost in dead proxies, \
         {nowhere} had no proxy, {in_flight} in flight"
    )
}

fn work(work: &Work) -> String {
    let Work {
        data,
        acks,
        utilisation,
        wait,
    } = work;
    let (percent, micros) = (100.0 * utilisation, 1e6 * wait);
    format!(
        "{data} data, {acks} acknowledgements, {percent:.1} % busy, a packet waited {micros:.1} us"
    )
}

fn text(report: &Report) -> String {
    let Report {
        scene,
        bounds,
        outcome,
    } = report;
    let mbps = |rate: f64| format!("{:.1} Mbit/s", rate / 1e6);
    let names: Vec<String> = (0..outcome.proxies.len())
        .map(|index| format!("proxy {index}"))
        .collect();
    let mut rows = vec![
        ("offered", mbps(scene.offered)),
        ("throughput", mbps(outcome.throughput)),
        ("bound, data alone", mbps(bounds.hard())),
        ("bound with ACKs", mbps(bounds.expected())),
        (
            "delivered",
            format!(
                "{} of {} bytes in {:.3} s{}",
                outcome.delivered,
                outcome.written,
                outcome.elapsed,
                if outcome.complete { "" } else { "; stopped" }
            ),
        ),
        (
            "longest stall",
            format!("{:.1} ms", 1e3 * outcome.longest_stall),
        ),
        ("data packets", packets(&outcome.data)),
        ("acknowledgements", packets(&outcome.acks)),
        (
            "sent again",
            format!(
                "{}, in {} recoveries; {} time-outs",
                outcome.sent_again, outcome.recoveries, outcome.timeouts
            ),
        ),
        (
            "at the receiver",
            format!(
                "{} out of order, {} twice",
                outcome.out_of_order, outcome.twice
            ),
        ),
    ];
    rows.extend(
        outcome
            .backend
            .iter()
            .map(|backend| ("backend", work(backend))),
    );
    rows.extend(
        names
            .iter()
            .zip(&outcome.proxies)
            .map(|(name, proxy)| (name.as_str(), work(proxy))),
    );
    lines(&rows)
}

pub(crate) fn run(out: &Output, args: &Run) -> Result<(), Fail> {
    let scene = Scene {
        configuration: args.configuration,
        proxies: args.proxies,
        offered: args.offered_mbps * 1e6,
        outages: args.fail.clone(),
        detection: args.detection.as_secs_f64(),
        until: args.until.map(|until| until.as_secs_f64()),
        ..args.scene.scene()?
    };
    let outcome = simulate(&scene).map_err(Fail::usage)?;
    let report = Report {
        bounds: Bounds::of(&scene),
        scene,
        outcome,
    };
    out.print(&report, || text(&report))
}
