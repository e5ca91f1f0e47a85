// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::format::{parse_bytes, parse_duration};
use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use std::os::fd::RawFd;
use std::path::PathBuf;

const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  the kernel refused something, or a file could not be read or written
  2  the command line is wrong
  3  the kernel module is not loaded, or CAP_NET_ADMIN is missing

A splice is two TCP connections, one from a client and one to a server, whose packets the kernel
translates into each other. All commands concern the network namespace they are run in.";

/// Make, list and cut TCP splices.
#[derive(Debug, Parser)]
#[command(name = "splicectl", version, after_help = EXIT_STATUS, max_term_width = 100)]
pub(crate) struct Args {
    /// Print JSON, with exact numbers.
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
    /// Make a splice from two connected sockets, or from saved numbers, and print it.
    New(New),

    /// List all splices, those that ended of late included.
    #[command(visible_alias = "ls")]
    List,

    /// Show everything about one splice.
    Show {
        /// Identity, as `list` prints it.
        id: u64,
    },

    /// End splices: cut them at once, or give their sockets back.
    Del(Del),

    /// Print splices as they begin and end, one a line, until interrupted.
    Monitor,

    /// Print the counters of the network namespace.
    Stats,

    /// Write all live splices as JSON, for `restore`.
    Save {
        /// Where to; replaced only when all is written. Standard output if absent.
        file: Option<PathBuf>,
    },

    /// Make the splices that `save` wrote, here.
    ///
    /// What fails is told for each splice, and does not stop the others.
    Restore {
        /// Where from. Standard input if absent.
        file: Option<PathBuf>,
    },

    /// Show the cluster that this host's spliced is part of, or take this node out of it for a while.
    Cluster(Cluster),

    /// Print a completion script.
    #[command(hide = true)]
    Completions {
        /// For which shell.
        shell: Shell,
    },

    /// Print the manual page, or write those of all commands.
    #[command(hide = true)]
    Man {
        /// Folder for one page a command.
        folder: Option<PathBuf>,
    },
}

/// What a new splice is made from.
#[derive(Debug, ClapArgs)]
#[command(group = ArgGroup::new("source").required(true).args(["client_fd", "from"]))]
pub(crate) struct New {
    /// Descriptor of the connected TCP socket toward the client, inherited or of --pid.
    #[arg(long, value_name = "N", requires = "server_fd", value_parser = descriptor())]
    pub(crate) client_fd: Option<RawFd>,

    /// Descriptor of the connected TCP socket toward the server, inherited or of --pid.
    #[arg(long, value_name = "M", requires = "client_fd", value_parser = descriptor())]
    pub(crate) server_fd: Option<RawFd>,

    /// Process whose descriptors they are; the right to trace it is needed.
    #[arg(long, requires = "client_fd", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,

    /// File with one splice in JSON, as `show --json` prints it; - is standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,

    /// Probe the ends after this long without a packet (500ms, 90s, 15m, 2h, 1d), or never; who
    /// does not answer has the splice cut.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_timeout: Option<u64>,

    /// Give the sockets back after this many bytes of the client's stream, counted from the first
    /// that was not read.
    ///
    /// They go back to whoever still has them open: this command ends at once, and what it
    /// inherited or copied with --pid is closed then, so a return needs another process that holds
    /// them. Sockets that nobody holds are closed with a FIN.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, conflicts_with = "from")]
    pub(crate) limit_to_server: Option<u64>,

    /// The same for the server's stream.
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes, conflicts_with = "from")]
    pub(crate) limit_to_client: Option<u64>,

    /// A FIN of either side is not passed on: the sockets are given back, and the one toward that
    /// side reads end of file. Any limit implies this.
    #[arg(long, conflicts_with = "from")]
    pub(crate) return_on_fin: bool,

    /// Cut at once after the idle timeout, without probing the ends.
    #[arg(long)]
    pub(crate) cut_when_idle: bool,
}

/// What to ask spliced about its cluster.
#[derive(Debug, ClapArgs)]
pub(crate) struct Cluster {
    #[command(subcommand)]
    pub(crate) verb: ClusterVerb,

    /// Where spliced answers; cluster.control of its configuration.
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        default_value = "/run/spliced/control"
    )]
    pub(crate) control: PathBuf,
}

/// What to do about the cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum ClusterVerb {
    /// List the nodes, as this one sees them.
    Nodes,
    /// Ask all nodes to send no new connections to this one.
    Drain,
    /// Ask them to send new connections again.
    Undrain,
}

/// Which splices end, and how.
#[derive(Debug, ClapArgs)]
pub(crate) struct Del {
    /// Cut at once: both ends get a RST. This is the default.
    #[arg(long, conflicts_with = "give_back")]
    pub(crate) reset: bool,

    /// Give the sockets back to the process that still holds them, once all that was carried is
    /// acknowledged. Refused after a FIN, and when nobody holds them.
    #[arg(long = "return")]
    pub(crate) give_back: bool,

    /// Identities, as `list` prints them.
    #[arg(required = true, value_name = "ID")]
    pub(crate) ids: Vec<u64>,
}

fn descriptor() -> clap::builder::RangedI64ValueParser<RawFd> {
    clap::value_parser!(RawFd).range(0..)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    fn kind(line: &str) -> Option<ErrorKind> {
        Args::try_parse_from(line.split(' '))
            .err()
            .map(|e| e.kind())
    }

    #[test]
    fn definitions_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn new_takes_two_sockets_or_a_file() {
        for line in [
            "splicectl new --client-fd 3 --server-fd 4",
            "splicectl new --pid 7 --client-fd 3 --server-fd 4 --idle-timeout never",
            "splicectl new --from x.json -j",
            "splicectl -p new --from -",
            "splicectl new --client-fd 3 --server-fd 4 --limit-to-server 0 --limit-to-client 4G",
            "splicectl new --client-fd 3 --server-fd 4 --return-on-fin --cut-when-idle",
            "splicectl new --from x --cut-when-idle",
            "splicectl del 1 2",
            "splicectl del --reset 1",
            "splicectl del 1 --return",
            "splicectl cluster nodes -j",
            "splicectl cluster drain --control /tmp/x",
        ] {
            assert_eq!(kind(line), None, "{line}");
        }
        for (line, expected) in [
            ("splicectl new", ErrorKind::MissingRequiredArgument),
            (
                "splicectl new --client-fd 3",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "splicectl new --server-fd 3",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "splicectl new --pid 7 --from x",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "splicectl new --from x --client-fd 3 --server-fd 4",
                ErrorKind::ArgumentConflict,
            ),
            (
                "splicectl new --client-fd -3 --server-fd 4",
                ErrorKind::UnknownArgument,
            ),
            (
                "splicectl new --from x --idle-timeout 3w",
                ErrorKind::ValueValidation,
            ),
            (
                "splicectl new --from x --limit-to-client 5",
                ErrorKind::ArgumentConflict,
            ),
            (
                "splicectl new --from x --return-on-fin",
                ErrorKind::ArgumentConflict,
            ),
            (
                "splicectl new --client-fd 3 --server-fd 4 --limit-to-client 5Q",
                ErrorKind::ValueValidation,
            ),
            (
                "splicectl del --reset --return 1",
                ErrorKind::ArgumentConflict,
            ),
            ("splicectl del", ErrorKind::MissingRequiredArgument),
            ("splicectl show x", ErrorKind::ValueValidation),
        ] {
            assert_eq!(kind(line), Some(expected), "{line}");
        }
    }
}
