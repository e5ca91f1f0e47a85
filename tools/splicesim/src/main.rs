// SPDX-License-Identifier: GPL-2.0

//! Simulates farms of splicing proxies.

mod args;
mod fail;
mod output;
mod verb;

use args::{Args, Verb};
use clap::Parser;
use fail::Fail;
use output::Output;
use std::process::ExitCode;

fn run(args: Args) -> Result<(), Fail> {
    let out = Output::new(args.json, args.pretty);
    match args.verb {
        Verb::Curves(curves) => verb::curves::run(&out, &curves),
        Verb::Run(run) => verb::run::run(&out, &run),
        Verb::Size(size) => verb::size::run(&out, &size),
        Verb::Completions { shell } => verb::pages::completions(shell),
        Verb::Man { folder } => verb::pages::man(folder.as_deref()),
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => fail.report(),
    }
}
