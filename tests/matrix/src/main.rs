// SPDX-License-Identifier: GPL-2.0

//! Random splices between real TCP ends, in network namespaces: every way to arm one, every way to end it. Every byte
//! is compared with what was sent, and after each sample nothing may be left.

mod copier;
mod course;
mod held;
mod host;
mod lane;
mod moves;
mod random;
mod sample;
mod space;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use course::Outcome;
use lane::Lane;
use sample::Sample;

const USAGE: &str = "usage: matrix --seed N [OPTION...]
  --samples N      how many (60)
  --first N        number of the first (0)
  --lanes N        how many at a time, in namespaces cN, pN, sN from 0 on (1)
  --slow N         stretch every time limit
  --repeat N       run each so many times (1)
  --control        ask for no splice: the proxy copies all
  --without WHAT   leave out: return, mss, loss (again and again)
  --moves          instead, connections that move between hosts, in namespaces cN, pN, sN, tN
  --ends           instead, every kind of end in turn, quickly
  --killed N       instead, N splices in lane 0 whose proxy is killed
  --deleted N      the same, and its namespace goes too
  --hold N         be the proxy of these
  --list           print the samples and do nothing";

struct Args {
    seed: u64,
    samples: u64,
    first: u64,
    lanes: usize,
    slow: u32,
    repeat: u64,
    without: Vec<String>,
    list: bool,
    control: bool,
    ends: bool,
    moves: bool,
    held: Option<held::What>,
}

impl Args {
    fn sample(&self, number: u64) -> Sample {
        if self.ends {
            Sample::ending(self.seed, number)
        } else {
            Sample::choose(self.seed, number, &self.without)
        }
    }
}

fn args() -> Result<Args, String> {
    let mut out = Args {
        seed: 0,
        samples: 60,
        first: 0,
        lanes: 1,
        slow: 1,
        repeat: 1,
        without: Vec::new(),
        list: false,
        control: false,
        ends: false,
        moves: false,
        held: None,
    };
    let mut seed = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let switch = match arg.as_str() {
            "--list" => Some(&mut out.list),
            "--control" => Some(&mut out.control),
            "--ends" => Some(&mut out.ends),
            "--moves" => Some(&mut out.moves),
            _ => None,
        };
        if let Some(switch) = switch {
            *switch = true;
            continue;
        }
        let value = args
            .next()
            .ok_or_else(|| format!("{arg} needs a value\n{USAGE}"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|e| format!("{arg} {value}: {e}"))
        };
        match arg.as_str() {
            "--seed" => seed = Some(number()?),
            "--samples" => out.samples = number()?,
            "--first" => out.first = number()?,
            "--lanes" => out.lanes = number()?.clamp(1, 64) as usize,
            "--slow" => out.slow = number()?.clamp(1, 100) as u32,
            "--repeat" => out.repeat = number()?,
            "--killed" => out.held = Some(held::What::Killed(number()?)),
            "--deleted" => out.held = Some(held::What::Deleted(number()?)),
            "--hold" => out.held = Some(held::What::Hold(number()?)),
            "--without" => out.without.push(value),
            _ => return Err(USAGE.into()),
        }
    }
    out.seed = match out.held {
        Some(_) => 0,
        None => seed.ok_or(USAGE)?,
    };
    Ok(out)
}

fn main() -> ExitCode {
    let done = args().and_then(|args| match args.held {
        Some(what) => held::run(what, args.slow).map(|()| true),
        None if args.moves => {
            moves::run(args.seed, args.first, args.samples, args.lanes, args.slow)
        }
        None => run(&args),
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(text) => {
            eprintln!("matrix: {text}");
            ExitCode::from(2)
        }
    }
}

/// What all lanes add to.
#[derive(Default)]
struct Sum {
    failed: u64,
    done: u64,
    retried: u64,
    counts: BTreeMap<String, u64>,
}

impl Sum {
    fn count(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn add(&mut self, sample: &Sample, outcome: &Outcome) {
        let word = |s: String| s.split('(').next().unwrap_or_default().to_string();
        self.done += 1;
        self.count(format!("end {}", word(format!("{:?}", sample.end))));
        self.count(format!("armed {}", word(format!("{:?}", sample.moment))));
        if !outcome.in_time {
            self.count("armed by patience".into());
        }
        if outcome.refused {
            self.count("refused".into());
        }
        if !outcome.refused && (0..2).all(|i| sample.links[i].usec && sample.legs[i].timestamps) {
            self.count("with timestamps in microseconds".into());
        }
        if outcome.timeouts > 0 {
            self.count("with time-outs".into());
        }
        if outcome.retransmits > 0 {
            self.count("with retransmissions".into());
        }
        if outcome.paws > 0 {
            self.count("with segments that PAWS dropped".into());
        }
        if outcome.sack_discards > 0 {
            self.count("with SACK blocks that were discarded".into());
        }
        for splice in &outcome.splices {
            let [Some(up), Some(down)] = [&splice.to_server, &splice.to_client] else {
                continue;
            };
            for flow in [up, down] {
                self.count(format!("wscale-in {:2}", flow.wscale_in.unwrap_or(99)));
                self.count(format!("wscale-out {:2}", flow.wscale_out.unwrap_or(99)));
            }
            let state = splice.state.and_then(|s| s.name()).unwrap_or("?");
            self.count(format!("state {state} once armed"));
            if splice.moved_to_server.unwrap_or(0) + splice.moved_to_client.unwrap_or(0) > 0 {
                self.count("with unread bytes moved".into());
            }
        }
    }
}

/// Time-outs on a path that loses nothing are an emulated machine's stalls or the module's fault: then they come again, and
/// not without a splice.
const TRIES: u32 = 3;

fn one(lane: &mut Lane, sample: &Sample, args: &Args, sum: &Mutex<Sum>) -> Result<Outcome, String> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        let outcome = course::run(lane, sample, args.control, args.slow)?;
        // The matrix judges that; a stall of ten thousand is no end.
        if args.ends || outcome.timeouts == 0 || !sample.is_clean() || sample.may_overrun() {
            return Ok(outcome);
        }
        if outcome.kept_long {
            lock(sum).count("with time-outs, and a return that took longer than that".into());
            return Ok(outcome);
        }
        with.push(outcome.timeouts);
        let control = course::run(lane, sample, true, args.slow)?;
        without.push(control.timeouts);
        if control.timeouts > 0 {
            lock(sum).count("with time-outs on a path that loses nothing, spliced or not".into());
            return Ok(outcome);
        }
        lock(sum).retried += 1;
    }
    Err(format!(
        "time-outs on a path that loses nothing, each time: {with:?}; without a splice {without:?}"
    ))
}

fn lock(sum: &Mutex<Sum>) -> std::sync::MutexGuard<'_, Sum> {
    sum.lock().unwrap_or_else(|e| e.into_inner())
}

fn work(number: usize, args: &Args, next: &AtomicU64, sum: &Mutex<Sum>) -> Result<(), String> {
    let mut lane = Lane::open(number)?;
    loop {
        // A lane takes a group at a time: its links are set once.
        let at = next.load(Ordering::Relaxed);
        if at >= args.first + args.samples {
            return Ok(());
        }
        let end = (at / sample::GROUP + 1) * sample::GROUP;
        if next
            .compare_exchange(at, end, Ordering::Relaxed, Ordering::Relaxed)
            .is_err()
        {
            continue;
        }
        for number in at..end.min(args.first + args.samples) {
            let sample = args.sample(number);
            let began = Instant::now();
            let ran = (0..args.repeat).try_fold(Outcome::default(), |_, _| {
                one(&mut lane, &sample, args, sum)
            });
            match ran {
                Ok(outcome) => {
                    println!("ok {number} {} ms", began.elapsed().as_millis());
                    lock(sum).add(&sample, &outcome);
                }
                Err(e) => {
                    println!("not ok {number} {e}\n    {sample}");
                    let mut sum = lock(sum);
                    sum.failed += 1;
                    sum.done += 1;
                    drop(sum);
                    lane.clean(Duration::from_secs(10) * args.slow)?;
                }
            }
        }
    }
}

fn run(args: &Args) -> Result<bool, String> {
    println!("SEED={} SAMPLES={}", args.seed, args.samples);
    if args.list {
        for number in args.first..args.first + args.samples {
            println!("{}", args.sample(number));
        }
        return Ok(true);
    }
    let next = AtomicU64::new(args.first);
    let sum = Mutex::new(Sum::default());
    let began = Instant::now();
    let lanes: Vec<Result<(), String>> = std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..args.lanes)
            .map(|n| {
                let (next, sum) = (&next, &sum);
                scope.spawn(move || work(n, args, next, sum))
            })
            .collect();
        lanes
            .into_iter()
            .map(|lane| {
                lane.join()
                    .unwrap_or_else(|_| Err("a lane panicked".into()))
            })
            .collect()
    });
    for lane in lanes {
        lane?;
    }
    let sum = lock(&sum);
    for (what, n) in &sum.counts {
        println!("{n:6} {what}");
    }
    println!(
        "{} samples, {} failed, {} run again, {} s, SEED={}",
        sum.done,
        sum.failed,
        sum.retried,
        began.elapsed().as_secs(),
        args.seed
    );
    Ok(sum.failed == 0 && sum.done == args.samples)
}
