// SPDX-License-Identifier: GPL-2.0

//! Downloads through one middle host after the other, each between markers that `tests/bench/count.c` sees: what differs between
//! them is what the middle host costs. The hosts are the namespaces of `tests/netns/middle.sh`.
//!
//! Both ends are this one thread, which writes some at one end and reads as much at the other: how packets are cut and when they are
//! acknowledged depends on nobody's scheduling, and is the same each time.
//!
//! Usage: `bulk PORT BYTES ROUNDS MARKER ADDRESS:PORT...`. The server listens on PORT of every address of its namespace. Each
//! round downloads from each address in turn; the first one ends with marker MARKER, the next one with MARKER + 1, and so on.

mod marker;
mod namespace;

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use rustix::net::sockopt::{set_socket_recv_buffer_size_force, set_socket_send_buffer_size_force};

use marker::passed;
use namespace::enter;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What goes before those that are counted: windows open, splices begin.
const WARM_UP: usize = 2 << 20;
/// Bytes written before they are read; the buffers of both ends take as much at any time.
const CHUNK: usize = 128 << 10;
/// Of the ends' buffers, bytes. They do not grow.
const BUFFER: usize = 1 << 20;
/// The bytes of a body are these, over and over.
const PERIOD: usize = 251;

/// Reads the head of a message of HTTP, and nothing after it.
fn head(stream: &mut TcpStream) -> Result<()> {
    let mut last = [0; 4];
    while last != *b"\r\n\r\n" {
        last.rotate_left(1);
        stream.read_exact(&mut last[3..])?;
    }
    Ok(())
}

/// A download: both its ends.
struct Download {
    client: TcpStream,
    server: TcpStream,
    /// Bytes that were written and read.
    carried: usize,
    body: Vec<u8>,
    room: Vec<u8>,
}

impl Download {
    /// Its request and the head of its answer.
    fn new(from: SocketAddr, listener: &TcpListener, bytes: usize) -> Result<Download> {
        let mut client = TcpStream::connect(from)?;
        set_socket_recv_buffer_size_force(&client, BUFFER)?;
        client.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")?;
        let (mut server, _) = listener.accept()?;
        set_socket_send_buffer_size_force(&server, BUFFER)?;
        head(&mut server)?;
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n");
        server.write_all(answer.as_bytes())?;
        head(&mut client)?;
        Ok(Download {
            client,
            server,
            carried: 0,
            body: (0..CHUNK + PERIOD).map(|n| (n % PERIOD) as u8).collect(),
            room: vec![0; CHUNK],
        })
    }

    fn carry(&mut self, bytes: usize) -> Result<()> {
        let mut left = bytes;
        while left > 0 {
            let n = CHUNK.min(left);
            self.server
                .write_all(&self.body[self.carried % PERIOD..][..n])?;
            self.client.read_exact(&mut self.room[..n])?;
            self.carried += n;
            left -= n;
        }
        Ok(())
    }

    /// The last bytes were the right ones, and they are the last.
    fn end(mut self) -> Result<()> {
        let first = self.carried - CHUNK;
        if self.room != self.body[first % PERIOD..][..CHUNK] {
            return Err("wrong bytes".into());
        }
        drop(self.server);
        if self.client.read(&mut self.room)? != 0 {
            return Err("more than there is".into());
        }
        Ok(())
    }
}

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let [port, bytes, rounds, first, rows @ ..] = &words[..] else {
        return Err("usage: bulk PORT BYTES ROUNDS MARKER ADDRESS:PORT...".into());
    };
    let (port, bytes, rounds): (u16, usize, u32) = (port.parse()?, bytes.parse()?, rounds.parse()?);
    let first: u8 = first.parse()?;
    let rows = rows
        .iter()
        .map(|row| row.parse())
        .collect::<std::result::Result<Vec<SocketAddr>, _>>()?;
    enter("server")?;
    let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port))?;
    enter("client")?;
    for _ in 0..rounds {
        for (n, from) in (first..).zip(&rows) {
            let mut download = Download::new(*from, &listener, WARM_UP + bytes)?;
            download.carry(WARM_UP)?;
            passed(0);
            download.carry(bytes)?;
            passed(n);
            download.end().map_err(|error| format!("{from}: {error}"))?;
        }
    }
    Ok(())
}
