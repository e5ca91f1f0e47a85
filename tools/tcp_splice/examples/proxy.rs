// SPDX-License-Identifier: GPL-2.0

//! A proxy that reads a request, picks a server by its path, and leaves the rest to the kernel: by a splice, or with
//! `--handoff` by moving the connection to the server's host. What cannot be spliced is copied.
//!
//! Usage: `proxy [--handoff] LISTEN PREFIX=SERVER...`, as in `proxy 0.0.0.0:80 /a/=10.0.2.11:80 /=10.0.2.12:80`

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::{error::Error, io, io::Read, io::Write, thread};

use tcp_splice::{Event, Events, Kernel, NotMoved, Way};

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// A request up to its empty line.
fn read_head(client: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(head)
}

fn serve(mut client: TcpStream, routes: &[(String, SocketAddr)], handoff: bool) -> Result<()> {
    let head = read_head(&mut client)?;
    let line = String::from_utf8_lossy(&head);
    let path = line.split(' ').nth(1).ok_or("that is no request")?;
    let route = routes.iter().find(|(prefix, _)| path.starts_with(prefix));
    let (_, address) = route.ok_or("there is no server for that")?;
    let mut kernel = Kernel::open()?;
    if handoff {
        client = match kernel.hand_off(client, &head, *address, Way::Direct) {
            Ok(_) => return Ok(()),
            Err(NotMoved::Stays(client, why)) => {
                eprintln!("it stays: {why}");
                client
            }
            Err(NotMoved::Unknown(why)) => return Err(why.into()),
        };
    }
    let mut server = TcpStream::connect(address)?;
    server.write_all(&head)?;
    match kernel.splice(client, server) {
        Ok(_) => Ok(()),
        Err(refused) => {
            eprintln!("it is copied: {}", refused.error);
            copy(&refused.client, &refused.server)
        }
    }
}

/// What a proxy without a kernel that splices does.
fn copy(client: &TcpStream, server: &TcpStream) -> Result<()> {
    let one_way = |mut from: &TcpStream, mut to: &TcpStream| {
        let copied = io::copy(&mut from, &mut to);
        copied.and_then(|_| to.shutdown(Shutdown::Write))
    };
    thread::scope(|scope| {
        scope.spawn(|| one_way(client, server));
        one_way(server, client)
    })?;
    Ok(())
}

fn tell_ends(mut events: Events) -> Result<()> {
    loop {
        if let Event::End(splice) = events.next()? {
            let [_, to_client] = splice.bytes();
            println!("ended: {:?}, {to_client} bytes", splice.reason);
        }
    }
}

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    let handoff = args.first().is_some_and(|arg| arg == "--handoff");
    let mut args = args.drain(usize::from(handoff)..);
    let usage = "usage: proxy [--handoff] LISTEN PREFIX=SERVER...";
    let listener = TcpListener::bind(args.next().ok_or(usage)?)?;
    let route = |arg: String| {
        let (prefix, server) = arg.split_once('=').ok_or(usage)?;
        Ok((prefix.to_owned(), server.parse()?))
    };
    let routes: &[_] = args.map(route).collect::<Result<Vec<_>>>()?.leak();
    let events = Events::open()?;
    thread::spawn(move || tell_ends(events).map_err(|error| eprintln!("{error}")));
    for client in listener.incoming() {
        let client = client?;
        thread::spawn(move || serve(client, routes, handoff).map_err(|e| eprintln!("{e}")));
    }
    Ok(())
}
