// SPDX-License-Identifier: GPL-2.0

//! Moves connections from one host to another, one at a time, and makes ordinary ones in turn with them, each step between
//! markers that `tests/bench/count.c` sees. The hosts are the namespaces of `tests/netns/cost.sh`.
//!
//! Usage: `cost SERVICE PROXY BACKEND CONNECTIONS`. Addresses; SERVICE is the proxy's and the backend's.

mod marker;
mod namespace;

use namespace::enter;
use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::Duration;

use tcp_splice_netlink::{Client, Migrant, NodeOutput};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What has come to its end. `tests/bench/report` knows the numbers.
#[derive(Clone, Copy)]
enum Step {
    /// What is not counted.
    Begin,
    Export,
    Carry,
    Import,
    Answer,
    Commit,
    Accept,
    Read,
    PlainConnect,
    PlainAccept,
    PlainWrite,
    PlainRead,
    /// The method itself.
    Nothing,
    /// Connections over this family are counted from here on, and until the end.
    Four,
    Six,
    End,
}

#[inline(always)]
fn passed(step: Step) {
    marker::passed(step as u8);
}

/// Bytes of a request.
const REQUEST: usize = 1024;
/// Those of the first connections go without being counted: caches fill, pages are mapped.
const WARM_UP: usize = 20;

/// What stays from connection to connection.
struct Hosts {
    service: IpAddr,
    backend: IpAddr,
    front: TcpListener,
    server: TcpListener,
    /// An ordinary listener of the backend's host.
    plain: TcpListener,
    at_proxy: Client,
    at_backend: Client,
    /// The connection between two daemons.
    link: (TcpStream, TcpStream),
}

impl Hosts {
    fn new(service: IpAddr, proxy: IpAddr, backend: IpAddr) -> Result<Hosts> {
        enter("proxy")?;
        let front = TcpListener::bind((service, 80))?;
        let at_proxy = Client::open()?;
        let daemon = TcpListener::bind((proxy, 0))?;
        enter("b1")?;
        let server = TcpListener::bind((service, 80))?;
        let plain = TcpListener::bind((backend, 0))?;
        let at_backend = Client::open()?;
        let there = TcpStream::connect(daemon.local_addr()?)?;
        let here = daemon.accept()?.0;
        for stream in [&here, &there] {
            stream.set_nodelay(true)?;
        }
        Ok(Hosts {
            service,
            backend,
            front,
            server,
            plain,
            at_proxy,
            at_backend,
            link: (here, there),
        })
    }

    /// Writes the connection to the other daemon, which reads it.
    fn send(&mut self, migrant: &Migrant) -> Result<Migrant> {
        let text = serde_json::to_vec(migrant)?;
        let (here, there) = &mut self.link;
        let mut head = (text.len() as u32).to_be_bytes();
        here.write_all(&[&head[..], &text].concat())?;
        there.read_exact(&mut head)?;
        let mut got = vec![0; u32::from_be_bytes(head) as usize];
        there.read_exact(&mut got)?;
        Ok(serde_json::from_slice(&got)?)
    }

    /// The answer of the other daemon.
    fn answer(&mut self) -> Result<()> {
        let (here, there) = &mut self.link;
        there.write_all(b"+")?;
        Ok(here.read_exact(&mut [0])?)
    }

    /// One connection of a client to the proxy, moved to the backend with its request.
    fn hand_off(&mut self, request: &[u8]) -> Result<()> {
        enter("client")?;
        let mut client = TcpStream::connect((self.service, 80))?;
        let (mut near, _) = self.front.accept()?;
        client.write_all(request)?;
        let mut read = vec![0; REQUEST];
        near.read_exact(&mut read)?;
        enter("b1")?;
        // What is delayed has come.
        sleep(Duration::from_millis(100));

        passed(Step::Begin);
        let fd = near.as_raw_fd();
        let mut migrant = self.at_proxy.export(fd, None, None)?;
        let id = migrant.connection.id.take().ok_or("no id")?;
        migrant.unread(read);
        passed(Step::Export);
        let migrant = self.send(&migrant)?;
        passed(Step::Carry);
        self.at_backend.import(&migrant, None)?;
        passed(Step::Import);
        self.answer()?;
        passed(Step::Answer);
        let to = Some((NodeOutput::Direct, self.backend));
        self.at_proxy.handoff_commit(id, to)?;
        drop(near);
        passed(Step::Commit);
        let (mut served, peer) = self.server.accept()?;
        passed(Step::Accept);
        let mut got = vec![0; REQUEST];
        served.read_exact(&mut got)?;
        passed(Step::Read);

        if got != request || peer != client.local_addr()? {
            return Err("another connection or another request".into());
        }
        // It works, both ways.
        served.write_all(b"answer")?;
        client.read_exact(&mut [0; 6])?;
        client.write_all(b"more")?;
        served.read_exact(&mut [0; 4])?;
        Ok(())
    }

    /// One connection of a client on the backend's host to a server there.
    fn shake_hands(&mut self, request: &[u8]) -> Result<()> {
        let address = self.plain.local_addr()?;
        sleep(Duration::from_millis(100));

        passed(Step::Begin);
        let mut client = TcpStream::connect(address)?;
        passed(Step::PlainConnect);
        let (mut served, _) = self.plain.accept()?;
        passed(Step::PlainAccept);
        client.write_all(request)?;
        passed(Step::PlainWrite);
        let mut got = vec![0; REQUEST];
        served.read_exact(&mut got)?;
        passed(Step::PlainRead);

        if got != request {
            return Err("another request".into());
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [service, proxy, backend, connections] = &words[..] else {
        return Err("usage: cost SERVICE PROXY BACKEND CONNECTIONS".into());
    };
    let connections: usize = connections.parse()?;
    let mut hosts = Hosts::new(service.parse()?, proxy.parse()?, backend.parse()?)?;
    let request: Vec<u8> = (0..REQUEST).map(|n| n as u8).collect();
    for n in 0..WARM_UP + connections {
        if n == WARM_UP {
            passed(if service.contains(':') {
                Step::Six
            } else {
                Step::Four
            });
        }
        hosts.hand_off(&request)?;
        hosts.shake_hands(&request)?;
        // Two in a row have nothing between them.
        passed(Step::Begin);
        passed(Step::Nothing);
    }
    passed(Step::End);
    Ok(())
}
