// SPDX-License-Identifier: GPL-2.0

//! Which TCP connections this host has: by `sock_diag`, which every kernel has, as a module or built in.

use crate::attr::{Malformed, Set};
use crate::error::Error;
use crate::message::{self, Message};
use crate::socket::{self, Exchange, Outcome};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_SOCK_DIAG;
use rustix::io::Errno;
use std::net::{IpAddr, SocketAddr};

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
/// The state of a socket that listens, which is what is found where there is no connection.
const TCP_LISTEN: u8 = 10;
/// Any socket of these addresses, whichever it is.
const NO_COOKIE: [u8; 8] = [0xff; 8];

static NAMES: Set = Set(&[]);

/// The connections of the network namespace of the calling thread.
#[derive(Debug)]
pub struct Connections(Exchange<Socket>);

/// `struct inet_diag_req_v2`.
fn request(flags: u16, seq: u32, local: SocketAddr, remote: SocketAddr) -> Vec<u8> {
    let family = if local.is_ipv4() { AF_INET } else { AF_INET6 };
    let mut head = vec![family, IPPROTO_TCP, 0, 0];
    // States, of which only lists take notice: none.
    head.extend([0; 4]);
    head.extend(local.port().to_be_bytes());
    head.extend(remote.port().to_be_bytes());
    for end in [local, remote] {
        let mut bytes = [0; 16];
        match end.ip() {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes = ip.octets(),
        }
        head.extend(bytes);
    }
    // Of any device.
    head.extend([0; 4]);
    head.extend(NO_COOKIE);
    let flags = flags | message::NLM_F_REQUEST | message::NLM_F_ACK;
    message::build_after(SOCK_DIAG_BY_FAMILY, flags, seq, &head, |_| {})
}

/// The state in a `struct inet_diag_msg`.
fn state(message: &Message<'_>) -> Result<u8, Malformed> {
    let state = message.payload().get(1).copied();
    state.ok_or(Malformed("truncated description of a socket"))
}

/// What the kernel says without a word.
fn explain(error: Error) -> Error {
    match error {
        Error::Kernel { errno, .. } if errno == Errno::NOENT.raw_os_error() => Error::Kernel {
            errno,
            message: Some(
                "the kernel has no tcp_diag, by which connections are looked for: run modprobe tcp_diag"
                    .into(),
            ),
            attribute: None,
        },
        other => other,
    }
}

impl Connections {
    /// Connects to the kernel, and sees that it knows what it is asked.
    ///
    /// # Errors
    ///
    /// Those of making a socket; [`Error::Kernel`] with `ENOENT` if the kernel has no `tcp_diag`.
    pub fn open() -> Result<Connections, Error> {
        let mut connections = Connections(Exchange::new(socket::open_of(NETLINK_SOCK_DIAG)?));
        // A kernel without it says the same of every connection as of one that is not there.
        for nowhere in ["0.0.0.0:0", "[::]:0"].map(|text| text.parse::<SocketAddr>()) {
            let nowhere = nowhere.map_err(|_| Malformed("no address"))?;
            let seq = connections.0.next_seq();
            let list = request(message::NLM_F_DUMP, seq, nowhere, nowhere);
            connections.0.run(&list, &NAMES, state).map_err(explain)?;
        }
        Ok(connections)
    }

    /// Whether this host has a connection of `local`, an address of its own, with `remote`, in any state but closed. Both are of one
    /// family.
    ///
    /// # Errors
    ///
    /// Those of the socket; [`Error::Kernel`] with what the kernel says, but for `ENOENT`.
    pub fn has(&mut self, local: SocketAddr, remote: SocketAddr) -> Result<bool, Error> {
        let seq = self.0.next_seq();
        match self.0.run(&request(0, seq, local, remote), &NAMES, state) {
            Ok(Outcome::Done { replies, .. }) => Ok(replies.iter().any(|s| *s != TCP_LISTEN)),
            Ok(Outcome::Inconsistent) => {
                Err(Malformed("a single answer marked as interrupted").into())
            }
            Err(error) if error.errno() == Some(Errno::NOENT.raw_os_error()) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    #[cfg(target_endian = "little")]
    fn a_request_is_these_bytes() {
        let ends = ["192.0.2.1:80", "198.51.100.2:1024"].map(|end| end.parse().expect("it is one"));
        #[rustfmt::skip]
        assert_eq!(request(0, 3, ends[0], ends[1]), [
            72, 0, 0, 0,  20, 0,  5, 0,  3, 0, 0, 0,  0, 0, 0, 0,
            2, 6, 0, 0,  0, 0, 0, 0,
            0, 80,  4, 0,
            192, 0, 2, 1,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
            198, 51, 100, 2,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
            0, 0, 0, 0,
            255, 255, 255, 255,  255, 255, 255, 255,
        ]);
    }

    #[test]
    fn a_kernel_without_tcp_diag_is_named() {
        let silent = |errno| Error::Kernel {
            errno,
            message: None,
            attribute: None,
        };
        assert!(explain(silent(2)).to_string().contains("modprobe tcp_diag"));
        assert_eq!(explain(silent(1)).to_string(), silent(1).to_string());
    }

    /// Of one address each, whether a connection is told from none, and from one that is over.
    fn tells(address: &str) {
        let mut connections = match Connections::open() {
            Ok(connections) => connections,
            // The guest's kernel has it; this one may be without.
            Err(error) => return eprintln!("not tried: no tcp_diag: {error}"),
        };
        let listener = TcpListener::bind(address).expect("a port is free");
        let local = listener.local_addr().expect("it is bound");
        let client = TcpStream::connect(local).expect("somebody listens");
        let remote = client.local_addr().expect("it is connected");
        let mut has = || connections.has(local, remote).expect("it answers");
        // Before it is accepted, and after.
        assert!(has());
        let (server, _) = listener.accept().expect("it is there");
        assert!(has());
        drop(client);
        assert!(has(), "it is half closed");
        drop(server);
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while has() && std::time::Instant::now() < until {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        // The client has it, in TIME-WAIT; the listener is no connection.
        assert!(!has());
        assert!(connections.has(remote, local).expect("it answers"));
    }

    #[test]
    fn the_running_kernel_knows_its_connections() {
        tells("127.0.0.1:0");
        tells("[::1]:0");
    }
}
