// SPDX-License-Identifier: GPL-2.0

//! The proxy in this process, over loopback, with clients and backends that block. Every wait is
//! bounded: a test that would hang fails instead.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use socket2::SockRef;
use spliced::cluster::handoff::Move;
use spliced::config::Config;
use spliced::handoff::HandOff;
use spliced::server::Server;
use spliced::splice::{Armed, Ended, Ends, Failure, Hop, OpenSplicer, Refusal, Splicer, Terms};
use tcp_splice_netlink::{Migrant, NodeOutput};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Refuses;

impl Splicer for Refuses {
    fn splice(
        &mut self,
        _: BorrowedFd<'_>,
        _: BorrowedFd<'_>,
        _: &Terms,
    ) -> Result<Armed, Failure> {
        Err(Failure::Refused(Refusal {
            reason: "TCP-MD5 in use (errno 95)".into(),
        }))
    }

    fn ended(&mut self, _: u64) -> Result<Option<Ended>, Refusal> {
        panic!("there is none")
    }

    fn subscribe(&mut self) -> Result<Box<dyn Ends>, Refusal> {
        panic!("nothing comes back")
    }
}

type Pair = (TcpStream, TcpStream, Option<Duration>);

/// Takes the sockets as the kernel does: they live on, whatever the proxy does with its own.
struct Takes(Sender<Pair>);

impl Splicer for Takes {
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        terms: &Terms,
    ) -> Result<Armed, Failure> {
        let own = |fd: BorrowedFd<'_>| -> TcpStream {
            let fd: OwnedFd = fd.try_clone_to_owned().unwrap();
            let stream = TcpStream::from(fd);
            stream.set_nonblocking(false).unwrap();
            patient(stream)
        };
        assert_eq!(terms.limits, None);
        self.0.send((own(client), own(server), terms.idle)).unwrap();
        Ok(Armed {
            id: Some(7),
            moved_to_server: Some(0),
            moved_to_client: Some(3),
        })
    }

    fn ended(&mut self, _: u64) -> Result<Option<Ended>, Refusal> {
        panic!("nobody waits for the end")
    }

    fn subscribe(&mut self) -> Result<Box<dyn Ends>, Refusal> {
        panic!("nothing comes back")
    }
}

fn refuses() -> Arc<OpenSplicer> {
    Arc::new(|| Ok(Box::new(Refuses)))
}

fn takes() -> (Arc<OpenSplicer>, Receiver<Pair>) {
    let (sender, taken) = channel();
    let sender = Mutex::new(sender);
    (
        Arc::new(move || Ok(Box::new(Takes(sender.lock().unwrap().clone())))),
        taken,
    )
}

/// A running proxy and the file of its access log.
struct Proxy {
    server: Option<Server>,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

/// The first request decides for the whole connection; keepalive.rs is about the other way.
fn config(text: &str) -> Config {
    let text = &format!("{text}\n[http]\nkeep_alive = false\n");
    Config::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"))
}

impl Proxy {
    fn start(text: &str, open: Arc<OpenSplicer>) -> Proxy {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("access");
        let mut config = config(&format!("workers = 2\narming_threads = 2\n{text}"));
        config.access_log = Some(log.clone());
        Proxy {
            server: Some(Server::start(config, open, None).unwrap()),
            log,
            _dir: dir,
        }
    }

    fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().addresses("web")[0]
    }

    fn client(&self) -> TcpStream {
        patient(TcpStream::connect(self.address()).unwrap())
    }

    /// Everything the proxy answers to these bytes, after which the client sends no more.
    fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut client = self.client();
        client.write_all(request).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        answer
    }

    /// Stops, and returns what the access log tells.
    fn stop(mut self) -> Vec<serde_json::Value> {
        self.server.take().unwrap().stop();
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.phase().send_replace(spliced::connection::Phase::Cut);
            server.stop();
        }
    }
}

/// One listener "web" with one route to these backends.
fn simple(mode: &str, backends: &[SocketAddr]) -> String {
    listener("127.0.0.1:0", "http", mode, backends)
}

fn listener(address: &str, protocol: &str, mode: &str, backends: &[SocketAddr]) -> String {
    let backends: Vec<_> = backends.iter().map(|b| format!("\"{b}\"")).collect();
    format!(
        "mode = \"{mode}\"\n[pool.p]\npolicy = \"order\"\naddresses = [{}]\n\
         [[listener]]\nname = \"web\"\naddresses = [\"{address}\"]\nprotocol = \"{protocol}\"\n\
         [[listener.route]]\npool = \"p\"\n",
        backends.join(", ")
    )
}

fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// A backend that treats each connection as `serve` says.
fn backend(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new(serve);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (patient(stream.unwrap()), serve.clone());
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A backend that reads a head and answers with its name and the head, then closes.
fn echo_head(name: &'static str) -> SocketAddr {
    backend(move |mut stream| {
        let head = read_head(&mut stream);
        let _ = stream.write_all(format!("{name}|").as_bytes());
        let _ = stream.write_all(&head);
    })
}

fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    head
}

/// An address on which nobody listens.
fn dead() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

/// Bytes that repeat nowhere near any buffer size.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn status(answer: &[u8]) -> &str {
    std::str::from_utf8(answer.get(9..12).unwrap_or_default()).unwrap()
}

/// A PUT with a body of noise, both in one piece.
fn upload(length: usize) -> Vec<u8> {
    let mut request =
        format!("PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").into_bytes();
    request.extend(noise(length, 3));
    request
}

/// A backend that sends what it got to `seen` once the client ended, having answered meanwhile.
fn big_both_ways(answer: Vec<u8>) -> (SocketAddr, Receiver<Vec<u8>>) {
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let answer = answer.clone();
        let writing = thread::spawn(move || {
            writer.write_all(&answer).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let mut got = Vec::new();
        let mut reader = stream;
        reader.read_to_end(&mut got).unwrap();
        writing.join().unwrap();
        sender.lock().unwrap().send(got).unwrap();
    });
    (address, seen)
}

/// Uploads and downloads at the same time through the proxy and compares both with what was sent.
fn exchange(mode: &str, open: Arc<OpenSplicer>) -> serde_json::Value {
    const UP: usize = 3 << 20;
    const DOWN: usize = 4 << 20;
    let answer = noise(DOWN, 5);
    let (address, seen) = big_both_ways(answer.clone());
    let proxy = Proxy::start(&simple(mode, &[address]), open);
    let request = upload(UP);
    let mut client = proxy.client();
    let mut writer = client.try_clone().unwrap();
    let sent = request.clone();
    let writing = thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    writing.join().unwrap();
    let uploaded = seen.recv_timeout(PATIENCE).unwrap();
    assert_eq!((got.len(), hash(&got)), (DOWN, hash(&answer)));
    assert_eq!(
        (uploaded.len(), hash(&uploaded)),
        (request.len(), hash(&request))
    );
    let mut lines = proxy.stop();
    assert_eq!(lines.len(), 1);
    let line = lines.remove(0);
    // Every byte is counted once, before or after.
    let number = |key: &str| line[key].as_u64().unwrap();
    assert_eq!(
        number("read_before_arming"),
        number("written_before_arming")
    );
    assert_eq!(
        number("written_before_arming") + number("carried_to_server"),
        request.len() as u64
    );
    assert_eq!(number("carried_to_client"), DOWN as u64);
    assert_eq!(
        number("user_bytes_after_arming"),
        number("carried_to_server") + number("carried_to_client")
    );
    // More than the head came with the first reads.
    assert!(number("read_before_arming") > 60, "{line}");
    line
}

#[test]
fn gateway_carries_both_ways() {
    let line = exchange("gateway", refuses());
    assert_eq!(line["mode"], "gateway");
    assert_eq!(line["end"], "closed");
    assert_eq!(line["refusal"], serde_json::Value::Null);
}

#[test]
fn refused_splice_loses_no_byte() {
    let line = exchange("splice", refuses());
    assert_eq!(line["mode"], "refused");
    assert_eq!(line["refusal"], "TCP-MD5 in use (errno 95)");
    assert_eq!(line["splice_id"], serde_json::Value::Null);
}

#[test]
fn unreachable_kernel_falls_back() {
    let open: Arc<OpenSplicer> = Arc::new(|| {
        Err(Refusal {
            reason: "no such family".into(),
        })
    });
    let line = exchange("splice", open);
    assert_eq!(line["refusal"], "no such family");
}

#[test]
fn spliced_sockets_are_left_alone() {
    let (open, taken) = takes();
    let (sender, accepted) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |stream| sender.lock().unwrap().send(stream).unwrap());
    let proxy = Proxy::start(&simple("splice", &[address]), open);
    let mut client = proxy.client();
    let request = upload(100);
    client.write_all(&request).unwrap();
    let mut server = accepted.recv_timeout(PATIENCE).unwrap();
    let (mut leg_client, mut leg_server, idle) = taken.recv_timeout(PATIENCE).unwrap();
    assert_eq!(idle, Some(Duration::from_secs(900)));

    // What was read before is at the backend, unchanged.
    let mut got = vec![0; request.len()];
    server.read_exact(&mut got).unwrap();
    assert_eq!(got, request);

    // The proxy has closed its descriptors when it has written its line. Neither end was told.
    let lines = proxy.stop();
    let mut byte = [0; 5];
    for stream in [&mut client, &mut server] {
        stream
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        let error = stream.read(&mut byte).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            "{error}"
        );
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    // And both still work, in the kernel's hands.
    client.write_all(b"hello").unwrap();
    leg_client.read_exact(&mut byte).unwrap();
    leg_server.write_all(&byte).unwrap();
    server.read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"hello");

    let line = &lines[0];
    assert_eq!(line["mode"], "spliced");
    assert_eq!(line["splice_id"], 7);
    assert_eq!(line["moved_to_client"], 3);
    assert_eq!(line["read_before_arming"], request.len());
    assert_eq!(line["user_bytes_after_arming"], 0);
    assert_eq!(line["end"], serde_json::Value::Null);
}

#[test]
fn half_close_of_the_client() {
    // The backend answers only after it saw the client's FIN.
    let address = backend(|mut stream| {
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        stream
            .write_all(format!("{} bytes", got.len()).as_bytes())
            .unwrap();
    });
    let proxy = Proxy::start(&simple("gateway", &[address]), refuses());
    let request = upload(1000);
    assert_eq!(
        proxy.ask(&request),
        format!("{} bytes", request.len()).into_bytes()
    );
}

#[test]
fn half_close_of_the_server() {
    // The backend ends first and goes on listening.
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |mut stream| {
        stream.write_all(b"done").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        stream.read_to_end(&mut got).unwrap();
        sender.lock().unwrap().send(got.len()).unwrap();
    });
    let proxy = Proxy::start(&simple("gateway", &[address]), refuses());
    let mut client = proxy.client();
    let request = upload(100_000);
    let (first, rest) = request.split_at(80);
    client.write_all(first).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"done");
    client.write_all(rest).unwrap();
    drop(client);
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), request.len());
}

#[test]
fn reset_of_the_server_is_not_an_end_of_file() {
    let address = backend(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"half an ans").unwrap();
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        thread::sleep(Duration::from_millis(100));
    });
    let proxy = Proxy::start(&simple("gateway", &[address]), refuses());
    let mut client = proxy.client();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(proxy.stop()[0]["end"], "server-reset");
}

#[test]
fn bytes_before_a_reset_arrive() {
    // More than the client's buffer takes, so that the proxy holds the rest when the RST comes.
    const LENGTH: usize = 400_000;
    let (sender, sent) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |mut stream| {
        read_head(&mut stream);
        stream.write_all(&noise(LENGTH, 9)).unwrap();
        thread::sleep(Duration::from_millis(300));
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
        drop(stream);
        sender.lock().unwrap().send(()).unwrap();
    });
    let proxy = Proxy::start(&simple("gateway", &[address]), refuses());
    let client = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    client.set_recv_buffer_size(8192).unwrap();
    client.connect(&proxy.address().into()).unwrap();
    let mut client = patient(client.into());
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    sent.recv_timeout(PATIENCE).unwrap();
    thread::sleep(Duration::from_millis(100));
    let mut got = vec![0; LENGTH];
    client.read_exact(&mut got).unwrap();
    assert_eq!(hash(&got), hash(&noise(LENGTH, 9)));
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn reset_under_an_upload_is_not_an_end_of_file() {
    // The proxy learns of the reset by a write or by a read, whichever comes first.
    for _ in 0..20 {
        let address = backend(|mut stream| {
            read_head(&mut stream);
            stream.write_all(b"half an ans").unwrap();
            let mut some = [0; 100_000];
            let _ = stream.read(&mut some);
            SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        });
        let proxy = Proxy::start(&simple("gateway", &[address]), refuses());
        let mut client = proxy.client();
        let mut writer = client.try_clone().unwrap();
        let writing = thread::spawn(move || {
            loop {
                if let Err(error) = writer.write_all(&upload(10_000)) {
                    return error.kind();
                }
            }
        });
        let mut answer = Vec::new();
        let read = client.read_to_end(&mut answer);
        let written = writing.join().unwrap();
        // Whichever call is first is told of the RST. A FIN before it would make it EPIPE.
        assert!(
            read.is_err() || written == ErrorKind::ConnectionReset,
            "{} bytes, then an end of file; {written}",
            answer.len()
        );
        assert_eq!(proxy.stop()[0]["end"], "server-reset");
    }
}

#[test]
fn reset_of_the_client_reaches_the_server() {
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |mut stream| {
        read_head(&mut stream);
        sender.lock().unwrap().send(Ok(0)).unwrap();
        let result = stream.read_to_end(&mut Vec::new()).map_err(|e| e.kind());
        sender.lock().unwrap().send(result).unwrap();
    });
    let proxy = Proxy::start(&simple("gateway", &[address]), refuses());
    let mut client = proxy.client();
    client.write_all(&upload(10)).unwrap();
    seen.recv_timeout(PATIENCE).unwrap().unwrap();
    thread::sleep(Duration::from_millis(100));
    SockRef::from(&client)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(client);
    assert_eq!(
        seen.recv_timeout(PATIENCE).unwrap(),
        Err(ErrorKind::ConnectionReset)
    );
    assert_eq!(proxy.stop()[0]["end"], "client-reset");
}

#[test]
fn answer_of_a_server_that_stops_reading_arrives() {
    // Answers 413 to a long upload and closes without reading it, as servers do.
    let address = backend(|mut stream| {
        read_head(&mut stream);
        stream.write_all(b"413 too long").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut some = [0; 1000];
        let _ = stream.read(&mut some);
        thread::sleep(Duration::from_millis(300));
    });
    let proxy = Proxy::start(&simple("gateway", &[address]), refuses());
    let mut client = proxy.client();
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn(move || {
        // Fails at some point.
        let _ = writer.write_all(&upload(1 << 20));
    });
    let mut answer = [0; 12];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"413 too long");
    drop(client);
    writing.join().unwrap();
}

#[test]
fn idle_gateway_is_cut() {
    let address = backend(|mut stream| {
        read_head(&mut stream);
        let _ = stream.read(&mut [0]);
    });
    let text = format!(
        "{}[timeouts]\nidle = \"300ms\"\n",
        simple("gateway", &[address])
    );
    let proxy = Proxy::start(&text, refuses());
    let mut client = proxy.client();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let start = Instant::now();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(
        start.elapsed() >= Duration::from_millis(250),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(proxy.stop()[0]["end"], "idle");
}

#[test]
fn busy_gateway_is_not_cut() {
    let address = backend(|mut stream| {
        read_head(&mut stream);
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(100));
            stream.write_all(b".").unwrap();
        }
    });
    let text = format!(
        "{}[timeouts]\nidle = \"600ms\"\n",
        simple("gateway", &[address])
    );
    let proxy = Proxy::start(&text, refuses());
    let mut client = proxy.client();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"..........");
}

#[test]
fn dead_backend_then_the_next() {
    let alive = echo_head("alive");
    let proxy = Proxy::start(&simple("gateway", &[dead(), alive]), refuses());
    assert!(
        proxy
            .ask(b"GET / HTTP/1.0\r\n\r\n")
            .starts_with(b"alive|GET / ")
    );
    let line = &proxy.stop()[0];
    assert_eq!(line["failed_backends"], 1);
    assert_eq!(line["backend"], alive.to_string());
}

#[test]
fn all_backends_dead() {
    let proxy = Proxy::start(&simple("gateway", &[dead(), dead()]), refuses());
    let answer = proxy.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(status(&answer), "502");
    // A HEAD gets no body.
    let answer = proxy.ask(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(status(&answer) == "502" && answer.ends_with(b"\r\n\r\n"));
    let line = &proxy.stop()[0];
    assert_eq!(
        (&line["failed_backends"], &line["answered"]),
        (&2.into(), &502.into())
    );
    assert_eq!(line["mode"], "none");
}

#[test]
fn slow_clients() {
    let text = format!(
        "{}[timeouts]\nheader = \"1s\"\n",
        simple("gateway", &[dead()])
    );
    let proxy = Proxy::start(&text, refuses());
    let mut slow = proxy.client();
    let mut silent = proxy.client();
    let start = Instant::now();
    // A byte now and then does not prolong the time.
    slow.set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    let mut answer = vec![0; 1000];
    let length = loop {
        let _ = slow.write_all(b"G");
        match slow.read(&mut answer) {
            Ok(length) => break length,
            Err(error) if start.elapsed() > Duration::from_secs(6) => panic!("{error}"),
            Err(_) => {}
        }
    };
    answer.truncate(length);
    assert_eq!(
        status(&answer),
        "408",
        "{}",
        String::from_utf8_lossy(&answer)
    );
    answer.clear();
    silent.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty());
}

#[test]
fn bad_requests_are_answered() {
    let text = format!("max_head = 1024\n{}", simple("gateway", &[dead()])).replace(
        "[[listener.route]]\n",
        "[[listener.route]]\nhosts = [\"known.example\"]\n",
    );
    let proxy = Proxy::start(&text, refuses());
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(2000));
    let long_head = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "a".repeat(2000)
    );
    // The body is longer than any buffer, and nobody reads it: the answer must survive.
    let mut smuggled = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\
        Transfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    smuggled.extend(noise(500_000, 1));
    for (expected, request) in [
        ("400", b"nonsense\r\n\r\n".to_vec()),
        ("400", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("400", b"GET / HTTP/1.1\r\nHo".to_vec()),
        ("400", smuggled),
        (
            "404",
            b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n".to_vec(),
        ),
        ("404", b"GET / HTTP/1.0\r\n\r\n".to_vec()),
        ("414", long_target.into_bytes()),
        ("431", long_head.into_bytes()),
        ("501", b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()),
        (
            "502",
            b"GET / HTTP/1.1\r\nHost: known.example\r\n\r\n".to_vec(),
        ),
        ("505", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
    ] {
        let answer = proxy.ask(&request);
        let text = String::from_utf8_lossy(&answer);
        let start = String::from_utf8_lossy(&request[..request.len().min(40)]);
        assert_eq!(status(&answer), expected, "{start:?} {text}");
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("\r\nConnection: close"), "{head}");
        assert!(
            head.contains(&format!("Content-Length: {}", body.len())),
            "{text}"
        );
    }
    // Nothing at all is not a request.
    assert!(proxy.ask(b"").is_empty());
}

#[test]
fn routes_by_host_and_path() {
    let (a, b, c) = (echo_head("a"), echo_head("b"), echo_head("c"));
    let text = format!(
        "mode = \"gateway\"\n[pool.a]\naddresses = [\"{a}\"]\n[pool.b]\naddresses = [\"{b}\"]\n\
         [pool.c]\naddresses = [\"{c}\"]\n\
         [[listener]]\nname = \"web\"\naddresses = [\"127.0.0.1:0\"]\nprotocol = \"http\"\n\
         [[listener.route]]\nhosts = [\"a.example\"]\npool = \"a\"\n\
         [[listener.route]]\nhosts = [\"a.example\", \"*.b.example\"]\npath = \"/img\"\npool = \"b\"\n\
         [[listener.route]]\npool = \"c\"\nname = \"rest\"\n"
    );
    let proxy = Proxy::start(&text, refuses());
    for (expected, host, path) in [
        ("a", "a.example", "/"),
        ("b", "A.EXAMPLE:80", "/img/x?y"),
        ("b", "x.b.example", "/img"),
        ("c", "b.example", "/img"),
        ("c", "127.0.0.1", "/"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nX-Odd:  kept \r\n\r\n");
        let answer = proxy.ask(request.as_bytes());
        assert_eq!(
            String::from_utf8_lossy(&answer),
            format!("{expected}|{request}")
        );
    }
    let lines = proxy.stop();
    assert_eq!(lines.last().unwrap()["route"], "rest");
    assert!(
        lines
            .iter()
            .any(|l| l["path"] == "/img/x" && l["host"] == "a.example")
    );
}

#[test]
fn round_robin() {
    let (a, b) = (echo_head("a"), echo_head("b"));
    let text = simple("gateway", &[a, b]).replace("\"order\"", "\"round-robin\"");
    let proxy = Proxy::start(&text, refuses());
    let mut names: Vec<_> = (0..4)
        .map(|_| proxy.ask(b"GET / HTTP/1.0\r\n\r\n")[0])
        .collect();
    names.sort();
    assert_eq!(names, b"aabb");
}

fn hello(file: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(format!("tests/data/{file}.hex")).unwrap();
    let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    let digit = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(digit).collect()
}

#[test]
fn tls_routes_by_server_name() {
    // Answers with its name and as many bytes as the largest hello has.
    let tls = |name: &'static str| {
        backend(move |mut stream| {
            let mut got = Vec::new();
            stream.read_to_end(&mut got).unwrap();
            stream.write_all(format!("{name}|").as_bytes()).unwrap();
            stream.write_all(&got).unwrap();
        })
    };
    let (secure, old, rest) = (tls("secure"), tls("old"), tls("rest"));
    let text = format!(
        "mode = \"gateway\"\n[pool.s]\naddresses = [\"{secure}\"]\n[pool.o]\naddresses = [\"{old}\"]\n\
         [pool.r]\naddresses = [\"{rest}\"]\n\
         [[listener]]\nname = \"web\"\naddresses = [\"127.0.0.1:0\"]\nprotocol = \"tls\"\n\
         [[listener.route]]\nsni = [\"secure.example\"]\nalpn = [\"h2\"]\npool = \"s\"\n\
         [[listener.route]]\nsni = [\"*.example\"]\npool = \"o\"\n\
         [[listener.route]]\npool = \"r\"\n"
    );
    let proxy = Proxy::start(&text, refuses());
    for (expected, file) in [
        ("secure", "hello-tls13-alpn"),
        ("old", "hello-tls10"),
        ("rest", "hello-no-sni"),
    ] {
        let mut request = hello(file);
        request.extend(b"and what follows it");
        // Whole, and byte by byte.
        let whole = [format!("{expected}|").as_bytes(), &request].concat();
        assert_eq!(proxy.ask(&request), whole);
        let mut client = proxy.client();
        client.set_nodelay(true).unwrap();
        for part in request.chunks(9) {
            client.write_all(part).unwrap();
            thread::sleep(Duration::from_millis(1));
        }
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, whole);
    }
    assert!(
        proxy
            .stop()
            .iter()
            .any(|line| line["host"] == "secure.example")
    );
}

#[test]
fn tls_alerts() {
    let text = listener("127.0.0.1:0", "tls", "gateway", &[dead()]).replace(
        "[[listener.route]]\n",
        "[[listener.route]]\nsni = [\"secure.example\"]\n",
    );
    let proxy = Proxy::start(&text, refuses());
    let alert = |code| vec![21, 3, 3, 0, 2, 2, code];
    assert_eq!(proxy.ask(&hello("hello-tls13-alpn")), alert(80));
    assert_eq!(proxy.ask(&hello("hello-tls10")), alert(112));
    assert_eq!(proxy.ask(&hello("hello-no-sni")), alert(112));
    assert_eq!(proxy.ask(&[22, 3, 1, 0, 0]), alert(50));
    assert!(proxy.ask(b"GET / HTTP/1.1\r\n").is_empty());
    assert!(proxy.ask(&hello("hello-tls10")[..50]).is_empty());
}

#[test]
fn ipv6_listener() {
    let text = listener("[::1]:0", "http", "gateway", &[echo_head("v6")]);
    let proxy = Proxy::start(&text, refuses());
    assert!(proxy.address().is_ipv6());
    assert!(proxy.ask(b"GET / HTTP/1.0\r\n\r\n").starts_with(b"v6|"));
}

#[test]
fn connections_beyond_the_limit_wait() {
    let (sender, accepted) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |stream| sender.lock().unwrap().send(stream).unwrap());
    let text = simple("gateway", &[address]).replace("protocol", "max_connections = 1\nprotocol");
    let proxy = Proxy::start(&text, refuses());
    let mut clients: Vec<_> = (0..5)
        .map(|n| {
            let mut client = proxy.client();
            client
                .write_all(format!("GET /{n} HTTP/1.0\r\n\r\n").as_bytes())
                .unwrap();
            Some(client)
        })
        .collect();
    for _ in 0..clients.len() {
        let mut server = accepted.recv_timeout(PATIENCE).unwrap();
        let second = accepted.recv_timeout(Duration::from_millis(100));
        assert!(second.is_err(), "two at a time");
        let number = usize::from(read_head(&mut server)[5] - b'0');
        drop(server);
        // Its place is free when both ends have closed.
        let mut client = clients[number].take().unwrap();
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn many_at_a_time() {
    let proxy = Proxy::start(&simple("splice", &[echo_head("many")]), refuses());
    let address = proxy.address();
    let clients: Vec<JoinHandle<io::Result<usize>>> = (0..200)
        .map(|n| {
            thread::spawn(move || {
                let mut client = patient(TcpStream::connect(address)?);
                let request = format!("GET /{n} HTTP/1.0\r\n\r\n");
                client.write_all(request.as_bytes())?;
                let mut answer = Vec::new();
                client.read_to_end(&mut answer)?;
                assert_eq!(String::from_utf8_lossy(&answer), format!("many|{request}"));
                Ok(n)
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap().unwrap();
    }
    let lines = proxy.stop();
    assert_eq!(lines.len(), 200);
    assert!(lines.iter().all(|line| line["mode"] == "refused"));
}

#[test]
fn stop_lets_connections_finish() {
    let (sender, accepted) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |stream| sender.lock().unwrap().send(stream).unwrap());
    // Longer than the drain time.
    let text = format!(
        "{}[timeouts]\nheader = \"2m\"\n",
        simple("gateway", &[address])
    );
    let mut proxy = Proxy::start(&text, refuses());
    let listening = proxy.address();
    let mut client = proxy.client();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut server = accepted.recv_timeout(PATIENCE).unwrap();
    read_head(&mut server);
    // A client that has not said anything does not hold up the stop.
    let _silent = proxy.client();
    let running = proxy.server.take().unwrap();
    let stopping = thread::spawn(move || running.stop());
    // No new connection is accepted, soon.
    let refused = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(listening).is_err()
    });
    assert!(refused, "still accepting");
    // The old one works.
    assert!(!stopping.is_finished());
    server.write_all(b"still here").unwrap();
    drop(server);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"still here");
    drop(client);
    let start = Instant::now();
    stopping.join().unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "waited for the whole drain time"
    );
}

#[test]
fn stop_cuts_after_the_drain_time() {
    let (sender, seen) = channel();
    let sender = Mutex::new(sender);
    let address = backend(move |mut stream| {
        read_head(&mut stream);
        sender.lock().unwrap().send(()).unwrap();
        let _ = stream.read(&mut [0]);
    });
    let text = format!(
        "drain_timeout = \"300ms\"\n{}",
        simple("gateway", &[address])
    );
    let proxy = Proxy::start(&text, refuses());
    let mut client = proxy.client();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    seen.recv_timeout(PATIENCE).unwrap();
    thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    let lines = proxy.stop();
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(lines[0]["end"], "cut");
    assert_eq!(
        client.read(&mut [0]).unwrap_err().kind(),
        ErrorKind::ConnectionReset
    );
}

#[test]
fn reload_changes_what_is_new() {
    let (sender, accepted) = channel();
    let sender = Mutex::new(sender);
    let held = backend(move |stream| sender.lock().unwrap().send(stream).unwrap());
    let mut proxy = Proxy::start(
        "[[listener]]
name = \"web\"\naddresses = [\"127.0.0.1:0\"]\nprotocol = \"http\"\n[[listener.route]]\npool = \"p\"
[pool.p]\naddresses = [\"HELD\"]\n"
            .replace("HELD", &held.to_string())
            .as_str(),
        refuses(),
    );
    let listening = proxy.address();
    let mut old = proxy.client();
    old.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut server = accepted.recv_timeout(PATIENCE).unwrap();
    read_head(&mut server);

    // Port 0 stays on the port it got.
    let after = simple("gateway", &[echo_head("new")]);
    proxy
        .server
        .as_mut()
        .unwrap()
        .reload(config(&after))
        .unwrap();
    assert_eq!(proxy.address(), listening);
    assert!(proxy.ask(b"GET / HTTP/1.0\r\n\r\n").starts_with(b"new|"));
    server.write_all(b"old").unwrap();
    drop(server);
    let mut answer = Vec::new();
    old.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"old");

    // An address that cannot be had changes nothing.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let bad = after.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string());
    let error = proxy
        .server
        .as_mut()
        .unwrap()
        .reload(config(&bad))
        .unwrap_err();
    assert!(
        error.to_string().contains("stop the other process"),
        "{error}"
    );
    assert!(proxy.ask(b"GET / HTTP/1.0\r\n\r\n").starts_with(b"new|"));

    // An address that is no longer wanted is closed.
    let moved = after.replace("127.0.0.1:0", "127.0.0.2:0");
    proxy
        .server
        .as_mut()
        .unwrap()
        .reload(config(&moved))
        .unwrap();
    assert_ne!(proxy.address(), listening);
    assert!(proxy.ask(b"GET / HTTP/1.0\r\n\r\n").starts_with(b"new|"));
    let closed = (0..200).any(|_| {
        thread::sleep(Duration::from_millis(10));
        TcpStream::connect(listening).is_err()
    });
    assert!(closed);
}

#[test]
fn a_second_process_is_told_that_the_address_is_taken() {
    let proxy = Proxy::start(&simple("gateway", &[dead()]), refuses());
    let text = simple("gateway", &[dead()]).replace("127.0.0.1:0", &proxy.address().to_string());
    let Err(error) = Server::start(config(&text), refuses(), None) else {
        panic!("two servers share an address");
    };
    assert!(
        error.to_string().contains("stop the other process"),
        "{error}"
    );
}

/// What was asked of a kernel that has connections move.
#[derive(Debug, PartialEq)]
enum Asked {
    Export(Option<Duration>),
    Settle(u64, Option<Hop>),
}

/// A kernel that has connections move, unless they are to stay.
struct Moves(Sender<Asked>, bool);

impl Splicer for Moves {
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        terms: &Terms,
    ) -> Result<Armed, Failure> {
        Refuses.splice(client, server, terms)
    }

    fn export(
        &mut self,
        _: BorrowedFd<'_>,
        idle: Option<Duration>,
        _: Duration,
    ) -> Result<(u64, Migrant), Failure> {
        self.0.send(Asked::Export(idle)).unwrap();
        let mut migrant = Migrant::default();
        migrant.connection.rcv_start = Some(1000);
        if self.1 {
            return Ok((9, migrant));
        }
        Err(Failure::Refused(Refusal {
            reason: "it is signed".into(),
        }))
    }

    fn settle(&mut self, id: u64, to: Option<Hop>) -> Result<(), Refusal> {
        self.0.send(Asked::Settle(id, to)).unwrap();
        Ok(())
    }

    fn ended(&mut self, _: u64) -> Result<Option<Ended>, Refusal> {
        panic!("there is none")
    }

    fn subscribe(&mut self) -> Result<Box<dyn Ends>, Refusal> {
        panic!("nothing comes back")
    }
}

/// One request by way of a route of this method, to a host of the server that answers `outcome` if it answers. What the client
/// got, what the kernel was asked, what the host was given, and the line of the log.
fn hands_over(
    method: &str,
    moves: bool,
    keep_alive: bool,
    outcome: Option<Move>,
) -> (Vec<u8>, Vec<Asked>, Option<Vec<u8>>, serde_json::Value) {
    let server = backend(|mut stream| {
        let head = read_head(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(&head);
    });
    // What nobody here reads ends in a RST.
    let after: &[u8] = match outcome {
        Some(Move::Taken) => b"and more",
        _ => b"",
    };
    let (asked, questions) = channel();
    let asked = Mutex::new(asked);
    let open: Arc<OpenSplicer> =
        Arc::new(move || Ok(Box::new(Moves(asked.lock().unwrap().clone(), moves))));
    let (given, gifts) = channel();
    let given = Mutex::new(given);
    let hand_off = HandOff::new(move |to, migrant, _| {
        assert_eq!(to, server);
        let start = migrant.connection.rcv_start.unwrap();
        let read = migrant.received[0].bytes.0.clone();
        assert_eq!(start, 1000 - read.len() as u32);
        given.lock().unwrap().send(read).unwrap();
        let outcome = outcome.clone();
        Box::pin(async move {
            match outcome {
                Some(outcome) => outcome,
                None => std::future::pending().await,
            }
        })
    });
    let text = format!(
        "{}[timeouts]\nconnect = \"300ms\"\n[cluster]\nid = 1\nlisten = \"127.0.0.1:0\"\nkeys = \"/x\"\n\
         [[cluster.node]]\nid = 1\naddresses = [\"127.0.0.1:1\"]\nroles = [\"proxy\"]\n\
         [[cluster.node]]\nid = 2\naddresses = [\"127.0.0.1:2\"]\nroles = [\"backend\"]\nserves = [\"192.0.2.9\"]\n",
        simple(method, &[server, ([192, 0, 2, 9], 80).into()])
    );
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("access");
    // Before the tables.
    let text =
        format!("workers = 1\narming_threads = 1\n{text}[http]\nkeep_alive = {keep_alive}\n");
    let mut config =
        Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    config.access_log = Some(log.clone());
    let proxy = Proxy {
        server: Some(Server::start(config, open, Some(Arc::new(hand_off))).unwrap()),
        log,
        _dir: dir,
    };
    let answer = proxy.ask(&[&b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"[..], after].concat());
    let mut lines = proxy.stop();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let asked = questions.try_iter().collect();
    (answer, asked, gifts.try_iter().next(), lines.remove(0))
}

#[test]
fn a_connection_moves_to_the_host_of_its_server() {
    let via = [127, 0, 0, 1].into();
    for (method, output) in [("handoff", NodeOutput::Direct), ("hop", NodeOutput::Tunnel)] {
        for keep_alive in [false, true] {
            let hop = Hop { output, via };
            let (answer, asked, given, line) =
                hands_over(method, true, keep_alive, Some(Move::Taken));
            // The socket that is closed here is of no use any more; this one is a real one.
            assert_eq!(answer, b"");
            assert_eq!(asked, away_of(hop));
            let given = given.expect("it was given away");
            assert!(
                given.starts_with(b"GET /x HTTP/1.1\r\n") && given.ends_with(b"\r\n\r\nand more")
            );
            assert_eq!(line["mode"], "handed-off");
            assert_eq!(
                (&line["splice_id"], &line["end"]),
                (&9.into(), &serde_json::Value::Null)
            );
            // Nobody knows whether it is there: it is not here at least.
            for outcome in [Some(Move::Unknown("link lost".into())), None] {
                let (answer, asked, _, line) = hands_over(method, true, keep_alive, outcome);
                assert_eq!((answer, asked), (b"".to_vec(), Vec::from(away_of(hop))));
                assert_eq!(line["mode"], "none");
                let end = line["end"].as_str().expect("it says why");
                assert!(["link lost", "the node of the server does not answer"].contains(&end));
            }
        }
    }
}

fn away_of(hop: Hop) -> [Asked; 2] {
    [
        Asked::Export(Some(Duration::from_secs(900))),
        Asked::Settle(9, Some(hop)),
    ]
}

#[test]
fn a_connection_that_cannot_move_is_carried() {
    let export = || Asked::Export(Some(Duration::from_secs(900)));
    for keep_alive in [false, true] {
        for (moves, expected, why) in [
            (
                true,
                vec![export(), Asked::Settle(9, None)],
                "nobody listens",
            ),
            (false, vec![export()], "it is signed"),
        ] {
            let refused = Move::Refused("nobody listens".into());
            let (answer, asked, given, line) =
                hands_over("handoff", moves, keep_alive, Some(refused));
            assert!(
                answer.ends_with(b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n"),
                "{line}"
            );
            assert_eq!(asked, expected);
            assert_eq!(given.is_some(), moves);
            assert_eq!(line["stays"], why);
            assert_ne!(line["mode"], "handed-off");
        }
    }
}
