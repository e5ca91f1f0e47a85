// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::format::{parse_bytes, parse_duration};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgGroup, Args as ClapArgs, Parser, Subcommand};
use clap_complete::Shell;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;
use tcp_splice_netlink::{NodeOutput, NodeState, Scheduler};

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

    /// Move a connection of a client to another host.
    #[command(subcommand)]
    Handoff(HandoffVerb),

    /// Addresses of services that this host has and tells no neighbour of.
    #[command(subcommand)]
    Vip(VipVerb),

    /// Print splices as they begin and end, one a line, until interrupted.
    Monitor,

    /// Print the counters of the network namespace.
    Stats,

    /// Addresses whose packets go to nodes.
    #[command(subcommand)]
    Service(ServiceVerb),

    /// The nodes of services.
    #[command(subcommand)]
    Node(NodeVerb),

    /// List the nodes of all services.
    Nodes,

    /// Write all live splices as JSON, for `restore`.
    Save {
        /// Where to; replaced only when all is written. Standard output if absent.
        file: Option<PathBuf>,
    },

    /// Make the splices that `save` wrote, here.
    ///
    /// What fails is told for each splice, and does not stop the others.
    Restore {
        /// Carry here what their servers send, to the clients and past the proxies: the servers run
        /// on this host.
        #[arg(long)]
        split: bool,

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

/// Where spliced answers if its configuration says nothing else.
const CONTROL: &str = "/run/spliced/control";

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

    /// Wait until the cluster of this host's spliced has it on so many other proxies, at least; a
    /// minute at most.
    ///
    /// Nothing is made if the cluster has not so many, or if fewer are alive and cluster.when_short
    /// is "refuse". If it is "warn", fewer do, with a warning. Without this option it is replicated
    /// as the configuration says, and not waited for.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["limit_to_server", "limit_to_client", "return_on_fin"])]
    pub(crate) replicas: Option<u32>,

    /// Where spliced answers; cluster.control of its configuration.
    #[arg(long, value_name = "PATH", default_value = CONTROL, requires = "replicas")]
    pub(crate) control: PathBuf,
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
        default_value = CONTROL
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

/// What to do about a connection that moves.
#[derive(Debug, Subcommand)]
pub(crate) enum HandoffVerb {
    /// Hand a connection to another host, where COMMAND takes it.
    ///
    /// COMMAND gets the connection on its standard input, and has it taken there: `ssh HOST splicectl
    /// handoff receive`. If it exits with 0, this host forgets the connection and sends its client's
    /// packets to that host, unchanged. Otherwise, or after --timeout, it goes on here as if nothing
    /// had been asked.
    Send(HandoffSend),

    /// Take a connection that another host hands over: whoever listens here accepts it, or COMMAND gets it.
    ///
    /// COMMAND has the connection as its standard input and output, and runs on when this has ended.
    /// The exit status is 0 as soon as this host has the connection.
    Receive(HandoffReceive),
}

/// Which connection goes where.
#[derive(Debug, ClapArgs)]
pub(crate) struct HandoffSend {
    /// Descriptor of the connected TCP socket, inherited or of --pid.
    #[arg(long, value_name = "N", value_parser = descriptor())]
    pub(crate) fd: RawFd,

    /// Process whose descriptor it is; the right to trace it is needed.
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) pid: Option<i32>,

    /// Address that reaches the other host.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) via: IpAddr,

    /// How the client's packets get there: direct (the default) is in a frame to a neighbour, tunnel
    /// in a packet, which the other host has to unpack.
    #[arg(long, value_parser = named::<NodeOutput>([NodeOutput::Direct, NodeOutput::Tunnel].iter().filter_map(|v| v.name()).collect()))]
    pub(crate) output: Option<NodeOutput>,

    /// File with what was read from the socket last and is to be read again there.
    #[arg(long, value_name = "FILE")]
    pub(crate) read: Option<PathBuf>,

    /// Ask the client whether it is there after this long without a packet, or never.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) idle_timeout: Option<u64>,

    /// How long the move may take, a minute at most; 5s if it is not said. The client waits meanwhile.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<u64>,

    /// What takes the connection to the other host.
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// Which connection is taken.
#[derive(Debug, ClapArgs)]
pub(crate) struct HandoffReceive {
    /// How long it may take to give the kernel its bytes, a minute at most; 5s if it is not said.
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub(crate) timeout: Option<u64>,

    /// File with it. Standard input if absent.
    pub(crate) file: Option<PathBuf>,

    /// What gets the connection, instead of whoever listens.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What to do with an address of a service.
#[derive(Debug, Subcommand)]
pub(crate) enum VipVerb {
    /// Have this host take packets for an address without answering for it, as a server's host to
    /// which connections move.
    ///
    /// The address is put on the loopback device. Of IPv4 the host is kept from answering ARP for it
    /// and from naming it in its own ARP: net.ipv4.conf.all.arp_ignore is at least 1 from then on, and
    /// arp_announce 2. `del` undoes all that.
    Add {
        /// Which.
        address: IpAddr,

        /// Take packets for it out of tunnels (IPIP, IP6IP6) that end at this address of this host.
        #[arg(long, value_name = "ADDRESS")]
        tunnel: Option<IpAddr>,
    },

    /// List them.
    #[command(visible_alias = "ls")]
    List,

    /// Undo `add`.
    Del {
        /// Which.
        #[arg(required = true)]
        addresses: Vec<IpAddr>,
    },
}

/// What to do with a service.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceVerb {
    /// Make a service without nodes.
    Add {
        /// Destination of its packets; port 0 is any, for the schedulers `rr`, `weighted` and `ports`.
        #[arg(value_name = "ADDRESS:PORT")]
        service: SocketAddr,

        /// How a node is chosen.
        ///
        /// rr: each packet goes to the next node. weighted: the same, by weight. hash: all packets of a
        /// connection go to the node that scores highest for it. source: the same by the client's address. ports: to
        /// the node that owns the destination port. least: a new connection goes to the node that has the fewest. With
        /// nodes of output nat or rewrite all but ports choose once for each connection.
        #[arg(long, value_parser = named::<Scheduler>(Scheduler::ALL.iter().filter_map(|v| v.name()).collect()))]
        scheduler: Scheduler,

        /// Mixed into the scores of hash and source; the same on all hosts.
        #[arg(long, value_name = "NUMBER")]
        seed: Option<u32>,
    },

    /// List all services.
    #[command(visible_alias = "ls")]
    List,

    /// Forget services and their nodes.
    Del {
        /// Which.
        #[arg(required = true, value_name = "ADDRESS:PORT")]
        services: Vec<SocketAddr>,
    },
}

/// What to do with a node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeVerb {
    /// Add a node to a service, or change one: what is not given stays as it is.
    Set(NodeSet),

    /// List the nodes of all services.
    #[command(visible_alias = "ls")]
    List,

    /// Take nodes out of a service.
    Del {
        /// Of which service.
        #[arg(value_name = "ADDRESS:PORT")]
        service: SocketAddr,

        /// Which.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<u32>,
    },
}

/// A node, and what is to be set of it.
#[derive(Debug, ClapArgs)]
pub(crate) struct NodeSet {
    /// Of which service.
    #[arg(value_name = "ADDRESS:PORT")]
    pub(crate) service: SocketAddr,

    /// Identity, the same on all hosts.
    pub(crate) id: u32,

    /// Address that reaches the node; a new node needs it.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) via: Option<IpAddr>,

    /// Share relative to the others; 1 if a new node has none.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub(crate) weight: Option<u32>,

    /// What it is given: up is everything, draining no new connections, down nothing.
    #[arg(long, value_parser = named::<NodeState>(NodeState::ALL.iter().filter_map(|v| v.name()).collect()))]
    pub(crate) state: Option<NodeState>,

    /// How packets get to it: direct is in a frame to a neighbour, tunnel in a packet; nat and rewrite with another
    /// destination.
    ///
    /// nat: the server's answers come back by this host. rewrite: the server answers clients itself; on its host the
    /// node is `--local`.
    #[arg(long, value_parser = named::<NodeOutput>(NodeOutput::ALL.iter().filter_map(|v| v.name()).collect()))]
    pub(crate) output: Option<NodeOutput>,

    /// The server's port there, of output nat and rewrite; 0 is the service's.
    #[arg(long, value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// The node is this host.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) local: Option<bool>,

    /// Destination ports that it owns, for the scheduler `ports`.
    #[arg(long, value_name = "LOW-HIGH", value_parser = parse_ports)]
    pub(crate) ports: Option<(u16, u16)>,
}

/// Two ports.
fn parse_ports(text: &str) -> Result<(u16, u16), String> {
    let ports = text.split_once('-').and_then(|(low, high)| {
        let ports = (low.parse().ok()?, high.parse().ok()?);
        (ports.0 <= ports.1).then_some(ports)
    });
    ports.ok_or_else(|| "two ports are written LOW-HIGH".into())
}

/// One of these values of the interface, by name.
fn named<T>(names: Vec<&'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err = String> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.parse::<T>())
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
            "splicectl service add 192.0.2.1:80 --scheduler rr",
            "splicectl service add [2001:db8::1]:0 --scheduler ports --seed 7",
            "splicectl service ls",
            "splicectl service del 192.0.2.1:80 [::1]:80",
            "splicectl node set 192.0.2.1:80 1",
            "splicectl node set 192.0.2.1:80 1 --via 10.0.0.1 --weight 255 --state draining --local",
            "splicectl node set 192.0.2.1:80 1 --output nat --port 8080",
            "splicectl node set 192.0.2.1:0 1 --output tunnel --local=false --ports 20000-29999",
            "splicectl node del 192.0.2.1:80 1 2",
            "splicectl nodes -j",
            "splicectl handoff send --fd 3 --via 10.0.0.2 -- ssh b1 splicectl handoff receive",
            "splicectl handoff receive",
            "splicectl handoff receive -- cat",
            "splicectl handoff receive --timeout 1s file -- nc -l 80",
            "splicectl vip add 192.0.2.80",
            "splicectl vip add 2001:db8::80 --tunnel 2001:db8::2",
            "splicectl vip ls",
            "splicectl vip del 192.0.2.80 2001:db8::80",
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
            ("splicectl vip add 192.0.2.0/24", ErrorKind::ValueValidation),
            ("splicectl vip del", ErrorKind::MissingRequiredArgument),
            (
                "splicectl handoff send --fd 3 --via 10.0.0.2",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "splicectl service add 192.0.2.1:80",
                ErrorKind::MissingRequiredArgument,
            ),
            (
                "splicectl service add 192.0.2.1 --scheduler rr",
                ErrorKind::ValueValidation,
            ),
            (
                "splicectl service add 192.0.2.1:80 --scheduler 1",
                ErrorKind::InvalidValue,
            ),
            (
                "splicectl node set 192.0.2.1:80 1 --weight 0",
                ErrorKind::ValueValidation,
            ),
            (
                "splicectl node set 192.0.2.1:80 1 --ports 2-1",
                ErrorKind::ValueValidation,
            ),
            (
                "splicectl node del 192.0.2.1:80",
                ErrorKind::MissingRequiredArgument,
            ),
        ] {
            assert_eq!(kind(line), Some(expected), "{line}");
        }
    }
}
