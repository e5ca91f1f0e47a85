// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::fail::Fail;
use clap::{Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use splicesim::costs::Costs;
use splicesim::farm::{Dispatch, Farm, Kill, Shape};
use splicesim::packet::{Arrivals, Configuration, Outage, Scene};
use std::path::PathBuf;
use std::time::Duration;

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  a file could not be read or written, or a result is above its closed-form bound
  2  the command line is wrong, or asks for what makes no sense

The same command line prints the same numbers, on every machine. What is simulated, and what is not, is in
Documentation/splicesim.md of the source.";

/// Simulate farms of proxies that splice TCP connections.
#[derive(Debug, Parser)]
#[command(name = "splicesim", version, after_help = EXIT_STATUS, max_term_width = 100)]
pub(crate) struct Args {
    /// Print JSON.
    #[arg(short, long, global = true)]
    pub(crate) json: bool,

    /// Print JSON with line breaks and indentation.
    #[arg(short, long, global = true)]
    pub(crate) pretty: bool,

    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Write curves of throughput against offered load, as SVG and CSV, and check them.
    ///
    /// The defaults are those of Marwah, Mishra and Fetzer (DSN 2006): separate proxies, co-located ones, split-splice
    /// at 25 and at 2 us.
    Curves(Curves),

    /// Simulate one farm packet by packet, and print what happened.
    Run(Run),

    /// Say how many proxies a farm needs, and simulate every connection of it, failures included.
    ///
    /// To 10,000 proxies and 100 million connections at once, 16 to 40 bytes of memory each.
    Size(Size),

    /// Print a completion script.
    #[command(hide = true)]
    Completions {
        /// For which shell.
        shell: Shell,
    },

    /// Print the manual page, or write all of them into a folder.
    #[command(hide = true)]
    Man {
        /// The folder.
        folder: Option<PathBuf>,
    },
}

/// What splicing costs.
#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Costs")]
pub(crate) struct CostArgs {
    /// TOML file of measured costs: data_us, ack_us, backend_us, setup_us, replica_us, splice_bytes.
    #[arg(long, value_name = "FILE")]
    costs: Option<PathBuf>,

    /// Microseconds of one core to splice a packet: with data, an acknowledgement, and at a backend.
    #[arg(long, value_name = "US")]
    cost_us: Option<f64>,

    /// Microseconds to splice an acknowledgement.
    #[arg(long, value_name = "US")]
    ack_us: Option<f64>,

    /// Microseconds to splice a packet at the output of a split-splicing backend.
    #[arg(long, value_name = "US")]
    backend_us: Option<f64>,

    /// Microseconds to accept a connection, read its head, connect to a backend and splice.
    #[arg(long, value_name = "US")]
    setup_us: Option<f64>,

    /// Microseconds to install a splice of another proxy.
    #[arg(long, value_name = "US")]
    replica_us: Option<f64>,

    /// Memory of a splice on a proxy.
    #[arg(long, value_name = "BYTES")]
    splice_bytes: Option<f64>,
}

impl CostArgs {
    /// Whether they are other than the source's.
    pub(crate) fn are_given(&self) -> bool {
        self.costs.is_some()
            || self.cost_us.is_some()
            || self.ack_us.is_some()
            || self.backend_us.is_some()
    }

    /// The file's, or the source's, with what the command line changes.
    pub(crate) fn read(&self) -> Result<Costs, Fail> {
        let mut costs = match &self.costs {
            Some(file) => Costs::read(file).map_err(Fail::other(file.display()))?,
            None => Costs::default(),
        };
        if let Some(cost) = self.cost_us {
            (costs.data_us, costs.ack_us, costs.backend_us) = (cost, cost, cost);
        }
        costs.ack_us = self.ack_us.unwrap_or(costs.ack_us);
        costs.backend_us = self.backend_us.unwrap_or(costs.backend_us);
        costs.setup_us = self.setup_us.unwrap_or(costs.setup_us);
        costs.replica_us = self.replica_us.unwrap_or(costs.replica_us);
        costs.splice_bytes = self.splice_bytes.unwrap_or(costs.splice_bytes);
        costs.check().map_err(Fail::usage)?;
        Ok(costs)
    }
}

/// What both `curves` and `run` take.
#[derive(Debug, ClapArgs)]
pub(crate) struct SceneArgs {
    #[command(flatten)]
    pub(crate) costs: CostArgs,

    /// Connections that share the load.
    #[arg(long, default_value_t = 32, value_name = "N", help_heading = "Load")]
    connections: usize,

    /// Data to transfer, for each point.
    #[arg(long, default_value_t = 50.0, value_name = "MB", help_heading = "Load")]
    megabytes: f64,

    /// When applications write: with exponential or with equal gaps.
    #[arg(long, default_value = "poisson", help_heading = "Load")]
    arrivals: Arrivals,

    /// Seed of what is random.
    #[arg(long, default_value_t = 1, help_heading = "Load")]
    seed: u64,

    /// Payload of a packet, in bytes.
    #[arg(
        long,
        default_value_t = 1460,
        value_name = "BYTES",
        help_heading = "Network"
    )]
    payload: u64,

    /// What a packet takes on a link beyond its payload.
    #[arg(
        long,
        default_value_t = 0,
        value_name = "BYTES",
        help_heading = "Network"
    )]
    header: u64,

    /// What an acknowledgement takes on a link.
    #[arg(
        long,
        default_value_t = 40,
        value_name = "BYTES",
        help_heading = "Network"
    )]
    ack_bytes: u64,

    /// Rate of every link.
    #[arg(
        long,
        default_value_t = 1000.0,
        value_name = "MBPS",
        help_heading = "Network"
    )]
    rate_mbps: f64,

    /// Room of every queue; no limit if absent.
    #[arg(long, value_name = "KIB", help_heading = "Network")]
    queue_kib: Option<u64>,

    /// One way between client and proxies.
    #[arg(long, default_value = "25ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Network")]
    outer_delay: Duration,

    /// One way between proxies and backend; none where they are co-located.
    #[arg(long, default_value = "700us", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Network")]
    inner_delay: Duration,

    /// Buffer of a receiver, and so the largest window.
    #[arg(long, default_value_t = 256, value_name = "KIB", help_heading = "TCP")]
    buffer_kib: u64,

    /// Every so many segments in order are acknowledged at once.
    #[arg(long, default_value_t = 2, value_name = "N", help_heading = "TCP")]
    ack_every: u64,

    /// How long the acknowledgement of a segment in order may wait for another one.
    #[arg(long, default_value = "40ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "TCP")]
    ack_delay: Duration,

    /// Segments of the first congestion window; the whole buffer if absent, since the connections have been in use.
    #[arg(long, value_name = "N", help_heading = "TCP")]
    initial_window: Option<u64>,

    /// So many segments beyond one say that it is lost.
    #[arg(long, default_value_t = 3, value_name = "N", help_heading = "TCP")]
    dup_threshold: u64,

    /// Shortest retransmission time-out.
    #[arg(long, default_value = "200ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "TCP")]
    min_timeout: Duration,
}

impl SceneArgs {
    pub(crate) fn scene(&self) -> Result<Scene, Fail> {
        Ok(Scene {
            connections: self.connections,
            bytes: (self.megabytes * 1e6).round() as u64,
            payload: self.payload,
            header: self.header,
            ack: self.ack_bytes,
            buffer: self.buffer_kib.saturating_mul(1024),
            rate: self.rate_mbps * 1e6,
            room: self.queue_kib.map(|kib| kib.saturating_mul(1024)),
            outer: self.outer_delay.as_secs_f64(),
            inner: self.inner_delay.as_secs_f64(),
            costs: self.costs.read()?,
            ack_every: self.ack_every,
            ack_delay: self.ack_delay.as_secs_f64(),
            initial_window: self.initial_window,
            dup_threshold: self.dup_threshold,
            min_timeout: self.min_timeout.as_secs_f64(),
            arrivals: self.arrivals,
            seed: self.seed,
            ..Scene::default()
        })
    }
}

/// What `curves` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Curves {
    /// Folder for the files; made if it is not there.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// From one proxy to so many.
    #[arg(long, default_value_t = 13, value_name = "N")]
    pub(crate) max_proxies: usize,

    /// Least offered load.
    #[arg(
        long,
        default_value_t = 30.0,
        value_name = "MBPS",
        help_heading = "Load"
    )]
    pub(crate) from_mbps: f64,

    /// Greatest offered load.
    #[arg(
        long,
        default_value_t = 990.0,
        value_name = "MBPS",
        help_heading = "Load"
    )]
    pub(crate) to_mbps: f64,

    /// Between two offered loads.
    #[arg(
        long,
        default_value_t = 60.0,
        value_name = "MBPS",
        help_heading = "Load"
    )]
    pub(crate) step_mbps: f64,

    #[command(flatten)]
    pub(crate) scene: SceneArgs,
}

/// What `run` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Run {
    /// Who splices, and which way the data goes.
    #[arg(long, default_value = "separate")]
    pub(crate) configuration: Configuration,

    /// How many proxies.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) proxies: usize,

    /// Data that applications write.
    #[arg(
        long,
        default_value_t = 300.0,
        value_name = "MBPS",
        help_heading = "Load"
    )]
    pub(crate) offered_mbps: f64,

    /// A proxy that dies, counted from 0, and when; and when it is back, if it is: 1@500ms or 1@500ms-2s.
    #[arg(long, value_parser = outage, value_name = "PROXY@TIME[-TIME]", help_heading = "Failures")]
    pub(crate) fail: Vec<Outage>,

    /// From a proxy's death until the load balancer stops choosing it.
    #[arg(long, default_value = "300ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    pub(crate) detection: Duration,

    /// Stop after so much simulated time, if not done before.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Load")]
    pub(crate) until: Option<Duration>,

    #[command(flatten)]
    pub(crate) scene: SceneArgs,
}

/// What `size` takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Size {
    /// How many proxies; if absent, as many as are needed.
    #[arg(long, value_name = "N")]
    pub(crate) proxies: Option<usize>,

    /// How busy proxies may be when all live, in per cent of CPU and link.
    #[arg(long, default_value_t = 70.0, value_name = "PERCENT")]
    pub(crate) busy: f64,

    /// Proxies beyond those, to stay within it while so many are dead.
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(crate) spare: usize,

    #[command(flatten)]
    costs: CostArgs,

    /// Connections at once.
    #[arg(long, value_name = "N", help_heading = "Load")]
    connections: u64,

    /// The most that a connection takes.
    #[arg(
        long,
        default_value_t = 5.0,
        value_name = "MBPS",
        help_heading = "Load"
    )]
    each_mbps: f64,

    /// Mean size of a connection.
    #[arg(long, default_value_t = 10.0, value_name = "MB", help_heading = "Load")]
    megabytes: f64,

    /// How sizes are spread.
    #[arg(long, default_value = "lognormal", help_heading = "Load")]
    sizes: Shape,

    /// Seconds to simulate.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Load")]
    duration: Duration,

    /// Seed of what is random.
    #[arg(long, default_value_t = 1, help_heading = "Load")]
    seed: u64,

    /// How the load balancer chooses: for each packet the next, or for each connection one.
    #[arg(long, default_value = "hash", help_heading = "Farm")]
    dispatch: Dispatch,

    /// Proxies beside the owner that have a splice; with rr all have it.
    #[arg(long, value_name = "K", help_heading = "Farm")]
    replicas: Option<usize>,

    /// Backends splice what they send, which is all the data.
    #[arg(long, help_heading = "Farm")]
    split: bool,

    /// Cores of a proxy that splice.
    #[arg(long, default_value_t = 1.0, value_name = "N", help_heading = "Farm")]
    cores: f64,

    /// Link of a proxy, in payload.
    #[arg(
        long,
        default_value_t = 1000.0,
        value_name = "MBPS",
        help_heading = "Farm"
    )]
    link_mbps: f64,

    /// Payload of a packet, in bytes.
    #[arg(
        long,
        default_value_t = 1460,
        value_name = "BYTES",
        help_heading = "Farm"
    )]
    payload: u64,

    /// Every so many packets are acknowledged.
    #[arg(long, default_value_t = 2, value_name = "N", help_heading = "Farm")]
    ack_every: u64,

    /// Round trip between client and backend.
    #[arg(long, default_value = "51400us", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Farm")]
    round_trip: Duration,

    /// Mean time between failures of one proxy; never if absent.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    mtbf: Option<Duration>,

    /// Mean time from the detection of a failure until the proxy is back.
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    repair: Duration,

    /// So many proxies that die together, and when; and when they are back, if they are: 3@20s or 3@20s-40s.
    #[arg(long, value_parser = kill, value_name = "COUNT@TIME[-TIME]", help_heading = "Failures")]
    kill: Vec<Kill>,

    /// From a proxy's death until the load balancer stops choosing it.
    #[arg(long, default_value = "300ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    detection: Duration,

    /// From then until what it had has been copied to others.
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    copying: Duration,

    /// From accepting a connection until its splice is committed.
    #[arg(long, default_value = "100ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    setup: Duration,

    /// First retransmission time-out of clients and backends.
    #[arg(long, default_value = "200ms", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    timeout: Duration,

    /// With --mtbf, look at failures over so long, without single connections.
    #[arg(long, default_value = "1y", value_parser = humantime::parse_duration, value_name = "TIME", help_heading = "Failures")]
    pub(crate) outlook: Duration,
}

impl Size {
    /// The farm, with as many proxies as are asked for, or one.
    pub(crate) fn farm(&self) -> Result<Farm, Fail> {
        if self.dispatch == Dispatch::Rr && self.replicas.is_some() {
            let message = "--replicas is for --dispatch hash: with rr any proxy may get any packet, so all have all splices";
            return Err(Fail::Usage(message.into()));
        }
        Ok(Farm {
            proxies: self.proxies.unwrap_or(1),
            connections: self.connections,
            rate: self.each_mbps * 1e6,
            size: self.megabytes * 1e6,
            shape: self.sizes,
            split: self.split,
            dispatch: self.dispatch,
            replicas: self.replicas.unwrap_or(1),
            costs: self.costs.read()?,
            cores: self.cores,
            link: self.link_mbps * 1e6,
            payload: self.payload,
            ack_every: self.ack_every,
            round_trip: self.round_trip.as_secs_f64(),
            between_failures: self.mtbf.map(|time| time.as_secs_f64()),
            repair: self.repair.as_secs_f64(),
            kills: self.kill.clone(),
            detection: self.detection.as_secs_f64(),
            copying: self.copying.as_secs_f64(),
            setup: self.setup.as_secs_f64(),
            timeout: self.timeout.as_secs_f64(),
            duration: self.duration.as_secs_f64(),
            seed: self.seed,
        })
    }
}

/// A number and one or two moments as they are written on the command line.
fn moments(text: &str) -> Option<(usize, f64, Option<f64>)> {
    let time = |text: &str| {
        humantime::parse_duration(text)
            .ok()
            .map(|time| time.as_secs_f64())
    };
    let (number, times) = text.split_once('@')?;
    let (from, until) = match times.split_once('-') {
        Some((from, until)) => (from, Some(time(until)?)),
        None => (times, None),
    };
    Some((number.parse().ok()?, time(from)?, until))
}

/// Proxies that die together, as on the command line.
fn kill(text: &str) -> Result<Kill, String> {
    match moments(text) {
        Some((count, at, back)) => Ok(Kill { count, at, back }),
        None => Err("expected COUNT@TIME or COUNT@TIME-TIME, as in 3@20s-40s".into()),
    }
}

/// An outage as it is written on the command line.
fn outage(text: &str) -> Result<Outage, String> {
    match moments(text) {
        Some((proxy, from, until)) => Ok(Outage { proxy, from, until }),
        None => Err("expected PROXY@TIME or PROXY@TIME-TIME, as in 1@500ms-2s".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_hold_together() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_defaults_are_the_librarys() {
        let args = Args::try_parse_from(["splicesim", "curves", "--out", "x"]).unwrap();
        let Verb::Curves(curves) = args.verb else {
            panic!("another verb")
        };
        assert_eq!(curves.scene.scene(), Ok(Scene::default()));
        assert!(!curves.scene.costs.are_given());
        let args = Args::try_parse_from([
            "splicesim",
            "size",
            "--connections",
            "1000",
            "--proxies",
            "10",
        ])
        .unwrap();
        let Verb::Size(size) = args.verb else {
            panic!("another verb")
        };
        assert_eq!(size.farm(), Ok(Farm::default()));
    }

    #[test]
    fn outages() {
        let is = |proxy, from, until| Ok(Outage { proxy, from, until });
        assert_eq!(outage("1@500ms"), is(1, 0.5, None));
        assert_eq!(outage("0@1s-2500ms"), is(0, 1.0, Some(2.5)));
        for bad in ["1", "x@1s", "1@", "1@1s-", "1@1"] {
            assert!(
                outage(bad).unwrap_err().starts_with("expected PROXY@TIME"),
                "{bad}"
            );
        }
    }
}
