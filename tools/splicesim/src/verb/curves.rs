// SPDX-License-Identifier: GPL-2.0

//! `splicesim curves`.

use crate::args::Curves;
use crate::fail::Fail;
use crate::output::Output;
use serde::Serialize;
use splicesim::curves::{Figure, Sweep, plans, run as sweep};
use splicesim::plot::svg;
use std::fmt::Write;
use std::fs;

/// The most loads for one curve.
const MOST_LOADS: f64 = 1000.0;
/// The most curves in one figure.
const MOST_PROXIES: usize = 100;

/// A curve in a line.
#[derive(Debug, Serialize)]
struct Row {
    figure: String,
    proxies: usize,
    /// The most that was carried: bits a second.
    throughput: f64,
    at_offered: f64,
    /// What data alone allows, and what is left when acknowledgements are spliced.
    bound: f64,
    expected: f64,
    impossible: usize,
}

fn rows(figure: &Figure) -> Vec<Row> {
    let row = |curve: &[splicesim::curves::Point]| {
        let best = curve
            .iter()
            .max_by(|a, b| a.outcome.throughput.total_cmp(&b.outcome.throughput))?;
        let last = curve.iter().map(|point| point.offered).fold(0.0, f64::max);
        Some(Row {
            figure: figure.name.clone(),
            proxies: best.proxies,
            throughput: best.outcome.throughput,
            at_offered: best.offered,
            bound: best.bounds.hard(),
            expected: best.bounds.expected().min(last),
            impossible: curve.iter().filter(|point| point.is_impossible()).count(),
        })
    };
    figure.curves().filter_map(row).collect()
}

fn text(rows: &[Row]) -> String {
    let mut text = String::from(
        "figure      proxies  most Mbit/s  at offered  bound, data alone  with ACKs  reached\n",
    );
    for row in rows {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{:<10}  {:>7}  {:>11.1}  {:>10.0}  {:>17.1}  {:>9.1}  {:>6.1}%{}",
            row.figure,
            row.proxies,
            row.throughput / 1e6,
            row.at_offered / 1e6,
            row.bound / 1e6,
            row.expected / 1e6,
            100.0 * row.throughput / row.expected,
            if row.impossible > 0 {
                "  ABOVE THE BOUND"
            } else {
                ""
            },
        );
    }
    text
}

pub(crate) fn run(out: &Output, args: &Curves) -> Result<(), Fail> {
    let scene = args.scene.scene()?;
    let count = ((args.to_mbps - args.from_mbps) / args.step_mbps + 1e-9).floor();
    if !(args.from_mbps > 0.0 && (0.0..MOST_LOADS).contains(&count)) {
        let message = "--from-mbps, --to-mbps and --step-mbps have to make 1 to 1000 loads above 0";
        return Err(Fail::Usage(message.into()));
    }
    let loads =
        (0..=count as u32).map(|step| 1e6 * (args.from_mbps + f64::from(step) * args.step_mbps));
    if !(1..=MOST_PROXIES).contains(&args.max_proxies) {
        return Err(Fail::Usage("--max-proxies has to be from 1 to 100".into()));
    }
    let range = Sweep {
        loads: loads.collect(),
        proxies: 1..=args.max_proxies,
    };
    // Before the work.
    fs::create_dir_all(&args.out).map_err(Fail::other(args.out.display()))?;
    let figures =
        sweep(&plans(&scene, !args.scene.costs.are_given()), &range).map_err(Fail::usage)?;
    for figure in &figures {
        let drawing = svg(figure).map_err(Fail::other(&figure.name))?;
        for (kind, content) in [("csv", figure.csv()), ("svg", drawing)] {
            let file = args.out.join(format!("{}.{kind}", figure.name));
            fs::write(&file, content).map_err(Fail::other(file.display()))?;
        }
    }
    let rows: Vec<Row> = figures.iter().flat_map(rows).collect();
    out.print(&rows, || text(&rows))?;
    match rows.iter().map(|row| row.impossible).sum() {
        0 => Ok(()),
        count => Err(Fail::Other(format!(
            "{count} points are above their bound: the simulator is wrong"
        ))),
    }
}
