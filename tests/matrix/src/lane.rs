// SPDX-License-Identifier: GPL-2.0

//! Three network namespaces in a row, in which one sample runs at a time.
//!
//! ```text
//!   cN                    pN                    sN
//!   c0 10.0.1.2 ───── p0 10.0.1.1
//!      fd00:1::2         fd00:1::1
//!                     p1 10.0.2.1 ───── e0 10.0.2.11
//!                        fd00:2::1         fd00:2::11
//! ```

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};
use tcp_splice_netlink::{Client, DelMode, Events, SpliceState};

use crate::host::PIECE;
use crate::sample::{Buffer, Link, Options, Sample, Side};
use crate::space::{Space, command};

const CLIENT: usize = 0;
const PROXY: usize = 1;
const SERVER: usize = 2;

/// Where the proxy and the server listen.
const PORT: u16 = 8000;

/// A place for one sample at a time.
pub(crate) struct Lane {
    /// Client, proxy, server.
    pub(crate) spaces: [Space; 3],
    pub(crate) kernel: Client,
    pub(crate) events: Events,
    links: [Option<Link>; 2],
    pub(crate) buf: Vec<u8>,
}

/// The four sockets of two connections.
pub(crate) struct Sockets {
    pub(crate) client: TcpStream,
    pub(crate) legs: [TcpStream; 2],
    pub(crate) server: TcpStream,
}

impl Lane {
    /// The lane whose namespaces are `cN`, `pN`, `sN`.
    pub(crate) fn open(number: usize) -> Result<Lane, String> {
        let space = |letter: char| Space::open(&format!("{letter}{number}"));
        let mut spaces = [space('c')?, space('p')?, space('s')?];
        spaces[PROXY].enter()?;
        let kernel = Client::open().map_err(|e| e.to_string())?;
        let events = Events::open().map_err(|e| e.to_string())?;
        // The proxy agrees to whatever its peers want.
        spaces[PROXY].switch("ipv4/tcp_ecn", true)?;
        Ok(Lane {
            spaces,
            kernel,
            events,
            links: [None; 2],
            buf: vec![0; PIECE],
        })
    }

    /// Sockets, counters and splices as they are, for who wants to know why nothing moves.
    pub(crate) fn state(&mut self) -> String {
        let mut out = String::new();
        for space in &self.spaces {
            for what in ["ss -Htanoeim", "nstat -s"] {
                let line = format!("nsenter --net=/run/netns/{} {what}", space.name);
                let said = command(&line).unwrap_or_else(|e| e);
                out += &format!("== {line}\n{said}\n");
            }
        }
        for splice in self.kernel.splices().unwrap_or_default() {
            if splice.state != Some(SpliceState::Tombstone) {
                out += &format!("{splice:?}\n");
            }
        }
        out + &format!("{:?}\n", self.kernel.stats())
    }

    /// Cuts what a failed sample has left, so that it is not taken for the next one's.
    pub(crate) fn clean(&mut self, limit: Duration) -> Result<(), String> {
        let splices = self.kernel.splices().map_err(|e| e.to_string())?;
        for splice in splices {
            if let (Some(id), true) = (splice.id, splice.state != Some(SpliceState::Tombstone)) {
                // It may end by itself just now.
                let _ = self.kernel.splice_del(id, DelMode::Reset);
            }
        }
        let end = Instant::now() + limit;
        while Instant::now() < end {
            let mut left = 0;
            for space in &self.spaces {
                left += space.sockets()?;
            }
            if left == 0 {
                break;
            }
            wait(&mut [], 20);
        }
        // Events of the past are nobody's.
        while let Ok(Some(_)) = self.events.try_next() {}
        Ok(())
    }

    /// Makes the links what the sample wants.
    pub(crate) fn set_links(&mut self, links: &[Link; 2]) -> Result<(), String> {
        let places = [
            [(CLIENT, "c0"), (PROXY, "p0")],
            [(PROXY, "p1"), (SERVER, "e0")],
        ];
        for (side, place) in places.iter().enumerate() {
            let (old, new) = (self.links[side], links[side]);
            for (space, dev) in place {
                let name = &self.spaces[*space].name;
                if old.is_none_or(|old| old.mtu != new.mtu) {
                    command(&format!("ip -n {name} link set {dev} mtu {}", new.mtu))?;
                }
                if old.is_none_or(|old| old.offloads != new.offloads) {
                    let to = if new.offloads { "on" } else { "off" };
                    let ethtool = format!(
                        "nsenter --net=/run/netns/{name} ethtool -K {dev} tso {to} gso {to} gro {to} tx {to} rx {to} sg {to}"
                    );
                    command(&ethtool)?;
                }
                if old.map_or(new.usec, |old| old.usec != new.usec) {
                    self.spaces[*space].units(dev, side, new.usec)?;
                }
                if old.map(|old| old.netem()) != Some(new.netem()) {
                    let netem = format!(
                        "tc -n {name} qdisc replace dev {dev} root netem limit 20000{}",
                        new.netem()
                    );
                    command(&netem)?;
                }
            }
            self.links[side] = Some(new);
        }
        for space in &self.spaces {
            space.flush_routes()?;
        }
        Ok(())
    }

    /// Makes both connections, each with its options, one after the other.
    pub(crate) fn connect(&mut self, sample: &Sample, limit: Duration) -> Result<Sockets, String> {
        let v6 = [sample.v6, sample.v6 != sample.mixed];
        let (client, to_client) = self.join(Side::Client, &sample.legs[0], v6[0], limit)?;
        let (to_server, server) = self.join(Side::Server, &sample.legs[1], v6[1], limit)?;
        Ok(Sockets {
            client,
            legs: [to_client, to_server],
            server,
        })
    }

    /// One connection: the socket that connects and the one that is accepted.
    fn join(
        &mut self,
        side: Side,
        options: &Options,
        v6: bool,
        limit: Duration,
    ) -> Result<(TcpStream, TcpStream), String> {
        // In `options` the end is first and the proxy second.
        let (from, to, of_from, of_to, end) = match side {
            Side::Client => (CLIENT, PROXY, 0, 1, CLIENT),
            Side::Server => (PROXY, SERVER, 1, 0, SERVER),
        };
        let space = &mut self.spaces[end];
        space.switch("ipv4/tcp_timestamps", options.timestamps)?;
        space.switch("ipv4/tcp_sack", options.sack)?;
        space.switch("ipv4/tcp_window_scaling", options.scaling)?;
        // The client asks for it, the server agrees to it.
        let ecn = match (options.ecn, side) {
            (false, _) => "0",
            (true, Side::Client) => "1",
            (true, Side::Server) => "2",
        };
        space.set("ipv4/tcp_ecn", ecn)?;
        for (space, of) in [(from, of_from), (to, of_to)] {
            if let Buffer::Grows(scale) = options.receive[of] {
                let max = 1u64 << (15 + scale);
                self.spaces[space].set("ipv4/tcp_rmem", &format!("4096 131072 {max}"))?;
            }
        }
        let address = |host: u16| -> IpAddr {
            let net = match side {
                Side::Client => 1,
                Side::Server => 2,
            };
            if v6 {
                [
                    0xfd00,
                    net,
                    0,
                    0,
                    0,
                    0,
                    0,
                    if host == 11 { 0x11 } else { host },
                ]
                .into()
            } else {
                [10, 0, net as u8, host as u8].into()
            }
        };
        let at = SocketAddr::new(address(if side == Side::Client { 1 } else { 11 }), PORT);
        self.spaces[to].enter()?;
        let listener = socket(options, of_to, v6)?;
        let failed = |what: &str, e: std::io::Error| format!("{side:?}'s connection: {what}: {e}");
        listener
            .set_reuse_address(true)
            .map_err(|e| failed("SO_REUSEADDR", e))?;
        listener.bind(&at.into()).map_err(|e| failed("bind", e))?;
        listener.listen(4).map_err(|e| failed("listen", e))?;
        self.spaces[from].enter()?;
        let connecting = socket(options, of_from, v6)?;
        match connecting.connect(&at.into()) {
            Err(e) if e.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                return Err(failed("connect", e));
            }
            _ => {}
        }
        let end = Instant::now() + limit;
        let accepted = loop {
            match listener.accept() {
                Ok((accepted, _)) => break accepted,
                Err(e) if e.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                    wait(&mut [PollFd::new(&listener, PollFlags::IN)], 100);
                }
                Err(e) => return Err(failed("accept", e)),
            }
        };
        accepted
            .set_nonblocking(true)
            .map_err(|e| failed("O_NONBLOCK", e))?;
        accepted
            .set_tcp_nodelay(options.nodelay[of_to])
            .map_err(|e| failed("TCP_NODELAY", e))?;
        // It is accepted once its last acknowledgement came; the other end knows before.
        let leg = if side == Side::Client {
            &accepted
        } else {
            &connecting
        };
        leg.set_tcp_cork(options.cork)
            .map_err(|e| failed("TCP_CORK", e))?;
        Ok((connecting.into(), accepted.into()))
    }
}

/// A socket with the options of one end of a connection.
pub(crate) fn socket(options: &Options, of: usize, v6: bool) -> Result<Socket, String> {
    let make = || {
        let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if let Buffer::Fixed(bytes) = options.receive[of] {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = options.send[of] {
            socket.set_send_buffer_size(bytes)?;
        }
        if let Some(mss) = options.mss[of] {
            socket.set_tcp_mss(mss)?;
        }
        socket.set_tcp_nodelay(options.nodelay[of])?;
        Ok(socket)
    };
    make().map_err(|e: std::io::Error| format!("a socket: {e}"))
}

/// Waits for any of these, or so many milliseconds.
pub(crate) fn wait(fds: &mut [PollFd<'_>], ms: i64) {
    let time = Timespec {
        tv_sec: ms / 1000,
        tv_nsec: ms % 1000 * 1_000_000,
    };
    // A signal or a time-out is as good as an event: whoever waits looks again.
    let _ = poll(fds, Some(&time));
}
