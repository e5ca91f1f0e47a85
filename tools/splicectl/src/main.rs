// SPDX-License-Identifier: GPL-2.0

//! Makes, lists and cuts TCP splices of the network namespace it is run in, and sets its services and nodes.

mod args;
mod cluster;
mod del;
mod descriptor;
mod fail;
mod format;
mod handoff;
mod list;
mod monitor;
mod new;
mod node;
mod output;
mod pages;
mod restore;
mod save;
mod service;
mod show;
mod stats;
mod table;
mod vip;

use args::{Args, Verb};
use clap::Parser;
use fail::Fail;
use output::Output;
use std::process::ExitCode;

fn run(args: Args) -> Result<(), Fail> {
    let out = &mut Output::new(args.json, args.pretty);
    match args.verb {
        Verb::New(new) => new::run(out, new),
        Verb::List => list::run(out),
        Verb::Show { id } => show::run(out, id),
        Verb::Del(del) => del::run(out, &del),
        Verb::Handoff(verb) => handoff::run(out, verb),
        Verb::Vip(verb) => vip::run(out, verb),
        Verb::Monitor => monitor::run(out),
        Verb::Stats => stats::run(out),
        Verb::Service(verb) => service::run(out, verb),
        Verb::Node(verb) => node::run(out, verb),
        Verb::Nodes => node::list(out),
        Verb::Save { file } => save::run(file.as_deref()),
        Verb::Restore { file, split } => restore::run(out, file.as_ref(), split),
        Verb::Cluster(cluster) => cluster::run(out, &cluster),
        Verb::Completions { shell } => pages::completions(shell),
        Verb::Man { folder } => pages::man(folder.as_deref()),
    }
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => fail.report(),
    }
}
