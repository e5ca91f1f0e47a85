// SPDX-License-Identifier: GPL-2.0

//! `splicesim size`.

use crate::args::Size;
use crate::fail::Fail;
use crate::output::{Output, lines};
use serde::Serialize;
use splicesim::farm::{
    Availability, Dispatch, Farm, Load, Outcome, availability, needed, simulate,
};

#[derive(Debug, Serialize)]
struct Report {
    farm: Farm,
    load: Load,
    /// Fewest proxies within the share of `--busy`, and with the spare ones.
    needed: Option<usize>,
    advised: Option<usize>,
    outcome: Outcome,
    availability: Option<Availability>,
}

/// A number with three digits and the power of a thousand it needs.
fn short(value: f64, unit: &str) -> String {
    let mut value = value;
    let mut prefix = "";
    for next in ["k", "M", "G", "T", "P"] {
        if value.abs() < 1000.0 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    let digits = if value.abs() < 9.995 {
        2
    } else if value.abs() < 99.95 {
        1
    } else {
        0
    };
    format!("{value:.digits$} {prefix}{unit}")
        .trim_end()
        .to_string()
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn text(report: &Report, args: &Size) -> String {
    let Report {
        farm,
        load,
        outcome,
        ..
    } = report;
    let each = |cores: f64| percent(cores / farm.proxies as f64 / farm.cores);
    let mut rows = vec![
        ("wanted", String::new()),
        ("  connections at once", farm.connections.to_string()),
        ("  new connections", short(load.arrivals, "/s")),
        ("  traffic", short(load.traffic, "bit/s")),
        ("  data packets", short(load.packets, "/s")),
        ("needed", String::new()),
        (
            "  proxies",
            match (report.needed, report.advised) {
                (Some(needed), Some(advised)) => {
                    format!(
                        "{needed} no busier than {} %, {advised} with {} spare",
                        args.busy, args.spare
                    )
                }
                _ => "no number is enough: each has to install the splices of all the others; \
                  fewer replicas (--dispatch hash), or cheaper ones"
                    .into(),
            },
        ),
        ("each proxy", format!("of {}", farm.proxies)),
        ("  CPU for packets", each(load.packet_cores)),
        ("  for new connections", each(load.setup_cores)),
        ("  for splices of others", each(load.replica_cores)),
        (
            "  link",
            match farm.split {
                true => "acknowledgements only".into(),
                false => percent(load.traffic / farm.proxies as f64 / farm.link),
            },
        ),
        (
            "  splices",
            format!(
                "{}, {}",
                short(load.splices_each, ""),
                short(load.memory_each, "B")
            ),
        ),
        (
            "simulated",
            format!("{} s, seed {}", farm.duration, farm.seed),
        ),
        ("  throughput", short(outcome.throughput, "bit/s")),
        ("  each connection", short(outcome.mean_rate, "bit/s")),
        (
            "  at once",
            format!(
                "{:.0}, at most {}",
                outcome.mean_present, outcome.most_present
            ),
        ),
        (
            "  CPU",
            format!(
                "{}, busiest proxy {}",
                percent(outcome.utilisation),
                percent(outcome.busiest)
            ),
        ),
        ("  time with too little", percent(outcome.saturated)),
        (
            "  connections",
            format!(
                "{} came, {} completed, {} refused",
                outcome.arrived, outcome.completed, outcome.refused
            ),
        ),
        (
            "  deaths, returns",
            format!(
                "{}, {}; fewest alive {}",
                outcome.deaths, outcome.returns, outcome.fewest_live
            ),
        ),
        (
            "  lost",
            format!(
                "{} committed, {} not yet committed",
                outcome.lost_committed, outcome.lost_uncommitted
            ),
        ),
        (
            "  stalled",
            match outcome.stalled {
                0 => "0".into(),
                count => format!("{count}, at most {:.0} ms", 1e3 * outcome.longest_stall),
            },
        ),
    ];
    if farm.dispatch == Dispatch::Rr && outcome.deaths > 0 {
        rows.push(("  lost packets", format!("{} connections", outcome.hit)));
    }
    if let Some(ahead) = &report.availability {
        rows.extend([
            ("expected", format!("in {:.1} days", ahead.time / 86400.0)),
            ("  connections", short(ahead.connections, "")),
            (
                "  deaths",
                format!("{}, at most {} dead at once", ahead.deaths, ahead.most_dead),
            ),
            (
                "  lost",
                format!(
                    "{} committed, {} not yet committed",
                    short(ahead.lost_committed, ""),
                    short(ahead.lost_uncommitted, "")
                ),
            ),
            ("  stalled", short(ahead.stalled, "")),
            (
                "  with too few alive",
                format!("{:.1} h", ahead.short / 3600.0),
            ),
        ]);
    }
    lines(&rows)
}

pub(crate) fn run(out: &Output, args: &Size) -> Result<(), Fail> {
    if !(args.busy > 0.0 && args.busy <= 100.0) {
        return Err(Fail::Usage(
            "--busy has to be above 0 and at most 100 per cent".into(),
        ));
    }
    let mut farm = args.farm()?;
    // Everything but the number of proxies, which is to be found.
    let largest = Farm {
        proxies: args.proxies.unwrap_or(splicesim::farm::MOST_PROXIES),
        ..farm.clone()
    };
    largest.check().map_err(Fail::usage)?;
    let needed = needed(&farm, args.busy / 100.0);
    let advised = needed.map(|needed| needed.saturating_add(args.spare));
    farm.proxies = match (args.proxies, advised) {
        (Some(proxies), _) | (None, Some(proxies)) => proxies,
        (None, None) => {
            let message = "no number of proxies is enough: say how many with --proxies to see what they carry";
            return Err(Fail::Other(message.into()));
        }
    };
    let report = Report {
        load: Load::of(&farm),
        needed,
        advised,
        outcome: simulate(&farm).map_err(Fail::usage)?,
        availability: match farm.between_failures {
            Some(_) => Some(availability(&farm, args.outlook.as_secs_f64()).map_err(Fail::usage)?),
            None => None,
        },
        farm,
    };
    out.print(&report, || text(&report, args))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_numbers() {
        assert_eq!(short(0.0, "B"), "0.00 B");
        assert_eq!(short(999.0, ""), "999");
        assert_eq!(short(1250.0, "/s"), "1.25 k/s");
        assert_eq!(short(5e13, "bit/s"), "50.0 Tbit/s");
    }
}
