// SPDX-License-Identifier: GPL-2.0

//! Downloads through one middle host after the other, each between markers that `tests/bench/count.c` sees: what differs between
//! them is what the middle host costs. The hosts are the namespaces of `tests/netns/middle.sh`.
//!
//! Usage: `bulk PORT BYTES ROUNDS MARKER ADDRESS:PORT...`. The server listens on PORT of every address of its namespace. Each
//! round downloads from each address in turn; the first one ends with marker MARKER, the next one with MARKER + 1, and so on.

mod marker;
mod namespace;

use std::env;
use std::error::Error;
use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use marker::passed;
use namespace::enter;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What goes before those that are counted: windows open, splices begin.
const WARM_UP: usize = 2 << 20;
/// Bytes of a read or a write.
const CHUNK: usize = 128 << 10;
/// The bytes of a body are these, over and over.
const PERIOD: usize = 251;

/// The end of a head of HTTP; bytes that had come after it.
fn head(stream: &mut TcpStream, chunk: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    loop {
        let n = stream.read(&mut chunk[have..])?;
        if n == 0 {
            return Err("a connection ended within a head".into());
        }
        have += n;
        if let Some(at) = chunk[..have]
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
        {
            return Ok(have - at - 4);
        }
    }
}

/// Answers each connection with so many bytes.
fn serve(listener: &TcpListener, bytes: usize) -> Result<()> {
    let body: Vec<u8> = (0..CHUNK + PERIOD).map(|n| (n % PERIOD) as u8).collect();
    let mut chunk = vec![0; CHUNK];
    loop {
        let (mut stream, _) = listener.accept()?;
        head(&mut stream, &mut chunk)?;
        let all = WARM_UP + bytes;
        let length =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {all}\r\nConnection: close\r\n\r\n");
        stream.write_all(length.as_bytes())?;
        let mut sent = 0;
        while sent < all {
            let n = CHUNK.min(all - sent);
            stream.write_all(&body[sent % PERIOD..][..n])?;
            sent += n;
        }
    }
}

/// One download, of which the end is counted.
fn fetch(from: SocketAddr, bytes: usize, n: u8) -> Result<()> {
    let mut stream = TcpStream::connect(from)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")?;
    let mut chunk = vec![0; CHUNK];
    let mut got = head(&mut stream, &mut chunk)?;
    while got < WARM_UP {
        let most = CHUNK.min(WARM_UP - got);
        let n = stream.read(&mut chunk[..most])?;
        if n == 0 {
            return Err(format!("{from} ended after {got} bytes").into());
        }
        got += n;
    }
    let mut last = 0;
    passed(0);
    while got < WARM_UP + bytes {
        last = stream.read(&mut chunk)?;
        if last == 0 {
            break;
        }
        got += last;
    }
    passed(n);
    let right = (got - last..got).map(|at| (at % PERIOD) as u8);
    if got != WARM_UP + bytes || !right.eq(chunk[..last].iter().copied()) {
        return Err(format!("{from}: {got} bytes, or wrong ones").into());
    }
    if stream.read(&mut chunk)? != 0 {
        return Err(format!("{from}: more than there is").into());
    }
    Ok(())
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
    thread::spawn(move || {
        if let Err(error) = serve(&listener, bytes) {
            eprintln!("bulk: the server: {error}");
            std::process::exit(1);
        }
    });
    enter("client")?;
    for _ in 0..rounds {
        for (n, from) in (first..).zip(&rows) {
            fetch(*from, bytes, n)?;
        }
    }
    Ok(())
}
