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
use spliced::config::Config;
use spliced::connection::Phase;
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
    let config = match arguments.load() {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.check {
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

fn run(arguments: &Arguments, config: Config) -> Result<()> {
    log::init(config.log_format, config.log_level)
        .map_err(|e| anyhow::anyhow!("cannot start logging: {e}"))?;
    let open: Arc<OpenSplicer> = Arc::new(kernel::open);
    if config.splices() {
        if let Err(reason) = open() {
            tracing::warn!(%reason, "the kernel makes no splices now; connections are copied in user space");
        }
    }
    let signals = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .context("cannot make an event loop")?;
    signals.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let mut hangup = signal(SignalKind::hangup()).context("SIGHUP")?;
        let mut server = Server::start(config, open)?;
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
    })
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
