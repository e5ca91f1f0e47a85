// SPDX-License-Identifier: GPL-2.0

//! The command: arguments, signals, exit codes.

#![forbid(unsafe_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use spliced::cluster::handoff::give;
use spliced::cluster::keys::{self, Tls};
use spliced::cluster::row::NodeId;
use spliced::cluster::run::{Cluster, Handle, Settings};
use spliced::cluster::servers::Servers;
use spliced::cluster::{admission, control, netlink};
use spliced::config::Config;
use spliced::connection::Phase;
use spliced::handoff::HandOff;
use spliced::server::Server;
use spliced::splice::OpenSplicer;
use spliced::{kernel, log, notify};
use tokio::signal::unix::{SignalKind, signal};

/// Content-routing TCP proxy that hands its connections to the tcp_splice kernel module.
#[derive(Parser)]
#[command(name = "spliced", version)]
struct Arguments {
    /// Configuration file.
    #[arg(
        long,
        value_name = "PATH",
        default_value = "/etc/tcp_splice/spliced.toml"
    )]
    config: PathBuf,
    /// Check the configuration and exit: 0 when it is good, 1 when it is not.
    #[arg(long)]
    check: bool,
    /// Append one JSON line for each request to this file; overrides log.access.
    #[arg(long, value_name = "PATH")]
    access_log: Option<PathBuf>,
    /// Make the keys of a cluster's nodes in this folder, and its authority if it is not there yet,
    /// and exit.
    #[arg(long, value_name = "FOLDER", requires = "nodes", conflicts_with_all = ["check", "access_log"])]
    make_keys: Option<PathBuf>,
    /// Which nodes to make keys for, as in 1,2,3.
    #[arg(long, value_name = "ID,...", requires = "make_keys", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(1..))]
    nodes: Vec<u32>,
    /// Print a completion script and exit.
    #[arg(long, value_name = "SHELL", hide = true, exclusive = true)]
    completions: Option<Shell>,
    /// Print the manual page and exit.
    #[arg(long, hide = true, exclusive = true)]
    man: bool,
}

/// Prints what is made from the definitions of the command line, if that is asked for.
fn pages(arguments: &Arguments) -> std::io::Result<bool> {
    // Into memory first: the generators do not expect that writing fails.
    let mut text = Vec::new();
    if let Some(shell) = arguments.completions {
        clap_complete::generate(shell, &mut Arguments::command(), "spliced", &mut text);
    } else if arguments.man {
        clap_mangen::Man::new(Arguments::command())
            .section("8")
            .render(&mut text)?;
    } else {
        return Ok(false);
    }
    std::io::stdout().write_all(&text)?;
    Ok(true)
}

impl Arguments {
    fn load(&self) -> Result<Config, spliced::config::ConfigError> {
        let mut config = Config::load(&self.config)?;
        if self.access_log.is_some() {
            config.access_log.clone_from(&self.access_log);
        }
        Ok(config)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match pages(&arguments) {
        Ok(true) => return ExitCode::SUCCESS,
        Ok(false) => {}
        Err(error) => {
            eprintln!("spliced: {error}");
            return ExitCode::FAILURE;
        }
    }
    if let Some(folder) = &arguments.make_keys {
        let nodes: Vec<_> = arguments.nodes.iter().copied().map(NodeId).collect();
        return match keys::make(folder, &nodes) {
            Ok(made) => {
                made.iter().for_each(|file| println!("{}", file.display()));
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("spliced: {error}");
                ExitCode::FAILURE
            }
        };
    }
    let config = match arguments.load() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.check {
        if let Some(Err(error)) = config.cluster.as_ref().map(|c| Tls::load(&c.keys, c.me)) {
            eprintln!("{}: cluster.keys: {error}", arguments.config.display());
            return ExitCode::FAILURE;
        }
        println!("{}: good", arguments.config.display());
        return ExitCode::SUCCESS;
    }
    match run(&arguments, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spliced: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts this host's part in a cluster, and what answers `splicectl` about it.
fn join(settings: Settings) -> Result<Cluster> {
    let path = settings.control.clone();
    let servers = settings.servers.clone();
    let me = settings.me.0;
    let open = Arc::new(netlink::open);
    let cluster = Cluster::start(settings, open, Box::new(netlink::Nodes::default()))?;
    let listener = cluster
        .runtime()
        .block_on(control::bind(&path))
        .with_context(|| format!("cluster.control: {}", path.display()))?;
    let serve = control::serve(listener, cluster.handle(), servers.into());
    cluster.runtime().spawn(serve);
    tracing::info!(node = me, "the cluster is started");
    Ok(cluster)
}

/// Gives connections to the nodes of servers.
fn hand_off(cluster: Handle, servers: Servers) -> Arc<HandOff> {
    let servers = Arc::new(servers);
    Arc::new(HandOff::new(move |server, migrant, within| {
        let (cluster, servers) = (cluster.clone(), servers.clone());
        Box::pin(async move { give(&cluster, &servers, server, migrant, within).await })
    }))
}

fn run(arguments: &Arguments, config: Config) -> Result<()> {
    log::init(config.log_format, config.log_level)
        .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))?;
    let mut open: Arc<OpenSplicer> = Arc::new(kernel::open);
    if config.splices() {
        if let Err(reason) = open() {
            tracing::warn!(%reason, "the kernel makes no splices now; connections are copied in user space");
        }
    }
    let cluster = config.cluster.clone().map(join).transpose()?;
    if let Some(cluster) = &cluster {
        open = admission::replicating(open, cluster.handle());
    }
    let hand_off = cluster
        .as_ref()
        .zip(config.cluster.as_ref())
        .map(|(cluster, settings)| hand_off(cluster.handle(), settings.servers.clone()));
    let signals = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot make an event loop")?;
    let result = signals.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
        let mut server = Server::start(config, open, hand_off)?;
        notify::tell("READY=1");
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hangup.recv() => reload(&mut server, arguments),
            }
        }
        tracing::info!("stopping");
        notify::tell("STOPPING=1");
        let phase = server.phase();
        let mut stop = tokio::task::spawn_blocking(move || server.stop());
        tokio::select! {
            done = &mut stop => done?,
            _ = terminate.recv() => hurry(&phase, stop).await?,
            _ = interrupt.recv() => hurry(&phase, stop).await?,
        }
        tracing::info!("stopped");
        Ok(())
    });
    if let Some(cluster) = cluster {
        cluster.stop();
    }
    result
}

/// A second signal ends the wait for connections.
async fn hurry(
    phase: &tokio::sync::watch::Sender<Phase>,
    stop: tokio::task::JoinHandle<()>,
) -> Result<()> {
    tracing::warn!("a second signal; cutting what is left");
    phase.send_replace(Phase::Cut);
    Ok(stop.await?)
}

fn reload(server: &mut Server, arguments: &Arguments) {
    let result = match arguments.load() {
        Ok(config) => server.reload(config).map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => tracing::info!("configuration read again"),
        Err(error) => tracing::error!("configuration kept as it was: {error:#}"),
    }
}
