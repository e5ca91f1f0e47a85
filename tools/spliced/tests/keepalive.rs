// SPDX-License-Identifier: GPL-2.0

//! Requests that share connections, over loopback: each goes to its own backend, answers keep their
//! order, no byte is lost or anybody else's. A thread plays the kernel: it carries exactly as many
//! bytes as a splice was asked for, and says when it is done.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use spliced::config::Config;
use spliced::server::Server;
use spliced::splice::{Armed, Ended, Ends, Failure, OpenSplicer, Refusal, Splicer, Terms, Told};

const PATIENCE: Duration = Duration::from_secs(20);
/// Well above the threshold.
const LARGE: usize = 300_000;

/// How the kernel behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Tells,
    /// Says only that something was missed.
    Loses,
    /// Says nothing at all.
    Mute,
    Refuses,
    /// Carries a part, then ends the connections.
    Cuts,
    Unknown,
}

struct Kernel {
    manner: Manner,
    next: AtomicU64,
    listeners: Mutex<Vec<Sender<Told>>>,
    done: Mutex<HashMap<u64, Ended>>,
    /// What was asked for.
    asked: Mutex<Vec<Terms>>,
}

impl Kernel {
    fn new(manner: Manner) -> Arc<Kernel> {
        Arc::new(Kernel {
            manner,
            next: AtomicU64::new(1),
            listeners: Mutex::default(),
            done: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    fn open(self: &Arc<Self>) -> Arc<OpenSplicer> {
        let kernel = self.clone();
        Arc::new(move || Ok(Box::new(Handle(kernel.clone()))))
    }

    /// Limits of the splices so far: to the server, to the client.
    fn limits(&self) -> Vec<(u64, u64)> {
        let asked = self.asked.lock().unwrap();
        let limits = asked.iter().filter_map(|terms| terms.limits);
        limits.map(|l| (l.to_server, l.to_client)).collect()
    }

    fn end(&self, ended: Ended) {
        self.done.lock().unwrap().insert(ended.id, ended.clone());
        let told = match self.manner {
            Manner::Loses => Told::Lost,
            Manner::Mute => return,
            _ => Told::Ended(ended),
        };
        for listener in &*self.listeners.lock().unwrap() {
            let _ = listener.send(told.clone());
        }
    }
}

struct Handle(Arc<Kernel>);

/// Sockets of others, which must not be made to block.
fn own(fd: BorrowedFd<'_>) -> TcpStream {
    let fd: OwnedFd = fd.try_clone_to_owned().unwrap();
    TcpStream::from(fd)
}

/// Whether this end has sent its last byte, read or not.
fn fin(stream: &TcpStream) -> bool {
    let mut fds = [PollFd::new(stream, PollFlags::RDHUP)];
    poll(&mut fds, Some(&Timespec::default())).unwrap() > 0
}

/// Moves at most `left` bytes that are there, and takes none that cannot be passed on; whether
/// there will be no more.
fn carry(from: &TcpStream, to: &TcpStream, left: &mut u64) -> bool {
    if *left == 0 {
        return fin(from);
    }
    let mut buffer = [0; 5000];
    let most = buffer
        .len()
        .min(usize::try_from(*left).unwrap_or(usize::MAX));
    let passed = match from.peek(&mut buffer[..most]) {
        Ok(0) => return true,
        Ok(count) => (&mut &*to).write(&buffer[..count]),
        Err(error) => Err(error),
    };
    match passed {
        Ok(count) => {
            (&mut &*from).read_exact(&mut buffer[..count]).unwrap();
            *left -= count as u64;
            false
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            thread::sleep(Duration::from_micros(200));
            false
        }
        Err(_) => true,
    }
}

impl Splicer for Handle {
    fn splice(
        &mut self,
        client: BorrowedFd<'_>,
        server: BorrowedFd<'_>,
        terms: &Terms,
    ) -> Result<Armed, Failure> {
        let kernel = self.0.clone();
        kernel.asked.lock().unwrap().push(*terms);
        let refusal = Refusal {
            reason: "not today".into(),
        };
        match kernel.manner {
            Manner::Refuses => return Err(Failure::Refused(refusal)),
            Manner::Unknown => return Err(Failure::Unknown(refusal)),
            _ => {}
        }
        let id = kernel.next.fetch_add(1, Ordering::Relaxed);
        let (client, server) = (own(client), own(server));
        let (mut up, mut down) = match terms.limits {
            Some(limits) => (limits.to_server, limits.to_client),
            None => (u64::MAX, u64::MAX),
        };
        if terms.limits.is_some() {
            assert!(
                !kernel.listeners.lock().unwrap().is_empty(),
                "armed before anybody listens"
            );
        }
        let (begin_up, begin_down) = (up, down);
        let cut = (kernel.manner == Manner::Cuts).then_some(down / 2);
        let whole = terms.limits.is_none();
        thread::spawn(move || {
            let (mut up_open, mut down_open) = (true, true);
            while up > 0 || down > 0 {
                let ended = (
                    up_open && carry(&client, &server, &mut up),
                    down_open && carry(&server, &client, &mut down),
                );
                if cut.is_some_and(|cut| down < cut) {
                    for end in [client, server] {
                        SockRef::from(&end)
                            .set_linger(Some(Duration::ZERO))
                            .unwrap();
                        end.shutdown(Shutdown::Both).unwrap();
                    }
                    kernel.end(Ended {
                        id,
                        returned: false,
                        reason: "idle".into(),
                        to_server: begin_up - up,
                        to_client: begin_down - down,
                    });
                    return;
                }
                if ended.0 || ended.1 {
                    if !whole {
                        break;
                    }
                    if ended.0 {
                        let _ = server.shutdown(Shutdown::Write);
                        up_open = false;
                    }
                    if ended.1 {
                        let _ = client.shutdown(Shutdown::Write);
                        down_open = false;
                    }
                    if !up_open && !down_open {
                        break;
                    }
                }
            }
            drop((client, server));
            kernel.end(Ended {
                id,
                returned: !whole,
                reason: if whole { "fin" } else { "returned" }.into(),
                to_server: begin_up - up,
                to_client: begin_down - down,
            });
        });
        Ok(Armed {
            id: Some(id),
            moved_to_server: Some(0),
            moved_to_client: Some(0),
        })
    }

    fn ended(&mut self, id: u64) -> Result<Option<Ended>, Refusal> {
        Ok(self.0.done.lock().unwrap().get(&id).cloned())
    }

    fn subscribe(&mut self) -> Result<Box<dyn Ends>, Refusal> {
        let (sender, told) = channel();
        self.0.listeners.lock().unwrap().push(sender);
        Ok(Box::new(Subscription(told)))
    }
}

struct Subscription(Receiver<Told>);

impl Ends for Subscription {
    fn next(&mut self, within: Duration) -> Result<Option<Told>, Refusal> {
        match self.0.recv_timeout(within) {
            Ok(told) => Ok(Some(told)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Refusal {
                reason: "gone".into(),
            }),
        }
    }
}

struct Proxy {
    server: Option<Server>,
    log: PathBuf,
    _dir: tempfile::TempDir,
}

impl Proxy {
    fn start(text: &str, kernel: &Arc<Kernel>) -> Proxy {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("access");
        let text = format!("workers = 2\narming_threads = 3\n{text}");
        let mut config =
            Config::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
        config.access_log = Some(log.clone());
        Proxy {
            server: Some(Server::start(config, kernel.open(), None).unwrap()),
            log,
            _dir: dir,
        }
    }

    fn client(&self) -> TcpStream {
        let address = self.server.as_ref().unwrap().addresses("web")[0];
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

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

/// `/a` goes to one backend, `/b` to another.
fn two(mode: &str, a: SocketAddr, b: SocketAddr, more: &str) -> String {
    format!(
        "mode = \"{mode}\"\ndrain_timeout = \"2s\"\n[pool.a]\naddresses = [\"{a}\"]\n\
         [pool.b]\naddresses = [\"{b}\"]\n\
         [[listener]]\nname = \"web\"\naddresses = [\"127.0.0.1:0\"]\nprotocol = \"http\"\n\
         [[listener.route]]\npath = \"/a\"\npool = \"a\"\n\
         [[listener.route]]\npath = \"/b\"\npool = \"b\"\n{more}"
    )
}

/// Bytes that are different for each name and length.
fn noise(name: &str, length: usize) -> Vec<u8> {
    let mut state = name.bytes().fold(length as u64 | 1, |state, byte| {
        state.wrapping_mul(31).wrapping_add(byte.into())
    });
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}

/// Reads one byte after the other, so that nothing behind it is lost.
fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ if head.is_empty() => return None,
            other => panic!("{other:?} within {:?}", String::from_utf8_lossy(&head)),
        }
    }
    Some(String::from_utf8(head).unwrap())
}

fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn read_body(stream: &TcpStream, head: &str) -> Vec<u8> {
    let mut body = Vec::new();
    if let Some(length) = field(head, "Content-Length") {
        body.resize(length.parse().unwrap(), 0);
        (&mut &*stream).read_exact(&mut body).unwrap();
    } else if field(head, "Transfer-Encoding").is_some() {
        let line = || {
            let mut line = Vec::new();
            let mut byte = [0];
            while !line.ends_with(b"\r\n") {
                (&mut &*stream).read_exact(&mut byte).unwrap();
                line.push(byte[0]);
            }
            String::from_utf8(line).unwrap().trim().to_owned()
        };
        loop {
            let size = line();
            let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
            if size == 0 {
                while !line().is_empty() {}
                return body;
            }
            let mut chunk = vec![0; size + 2];
            (&mut &*stream).read_exact(&mut chunk).unwrap();
            assert!(chunk.ends_with(b"\r\n"));
            chunk.truncate(size);
            body.extend(chunk);
        }
    }
    body
}

/// What a backend saw.
#[derive(Debug, Clone)]
struct Seen {
    connection: usize,
    head: String,
    body: Vec<u8>,
}

#[derive(Clone)]
struct Backend {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

impl Backend {
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A backend that answers what the last parts of the path ask for: `len/N`, `chunked/N`, `close/N`, and
/// some special cases.
fn backend(name: &'static str) -> Backend {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let this = Backend {
        address: listener.local_addr().unwrap(),
        seen: Arc::default(),
        connections: Arc::default(),
    };
    let made = this.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let this = this.clone();
            let connection = this.connections.fetch_add(1, Ordering::Relaxed);
            thread::spawn(move || serve(name, stream.unwrap(), connection, &this));
        }
    });
    made
}

fn serve(name: &str, mut stream: TcpStream, connection: usize, this: &Backend) {
    stream.set_nodelay(true).unwrap();
    let mut count = 0;
    while let Some(head) = read_head(&mut stream) {
        count += 1;
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let parts: Vec<_> = path.split('/').skip(2).collect();
        let number = |at: usize| parts.get(at).and_then(|n| n.parse::<usize>().ok());
        if field(&head, "Expect").is_some() && parts[0] != "early" {
            stream
                .write_all(b"HTTP/1.1 100 Continue\r\nX-Interim: yes\r\n\r\n")
                .unwrap();
        }
        if parts[0] == "early" {
            // Reads nothing more, as servers do that find a body too long.
            stream
                .write_all(b"HTTP/1.1 413 Too Long\r\nContent-Length: 2\r\n\r\nno")
                .unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            thread::sleep(Duration::from_millis(300));
            return;
        }
        let body = read_body(&stream, &head);
        this.seen.lock().unwrap().push(Seen {
            connection,
            head: head.clone(),
            body,
        });
        let length = number(1).unwrap_or(0);
        let data = noise(name, length);
        let mut say = |what: &[u8]| stream.write_all(what).is_ok();
        match parts[0] {
            "len" => {
                say(format!(
                    "HTTP/1.1 200 OK\r\nX-Name: {name}\r\nContent-Length: {length}\r\n\r\n"
                )
                .as_bytes());
                if !head.starts_with("HEAD ") {
                    say(&data);
                }
            }
            "chunked" => {
                say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
                let size = number(2).unwrap_or(1000);
                for chunk in data.chunks(size) {
                    say(format!("{:x};x=\"y\"\r\n", chunk.len()).as_bytes());
                    say(chunk);
                    say(b"\r\n");
                }
                say(b"0\r\nX-Trailer: 1\r\n\r\n");
            }
            "close" => {
                say(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n");
                say(&data);
                return;
            }
            "old" => {
                say(format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
                say(&data);
                return;
            }
            "hints" => {
                say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n");
                thread::sleep(Duration::from_millis(50));
                say(b"HTTP/1.1 204 No Content\r\nX-Name: x\r\n\r\n");
            }
            // Says more than it announced.
            "surplus" => {
                say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
            }
            // Breaks off.
            "torn" => {
                say(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes());
                say(&data[..length / 3]);
                return;
            }
            "bad" => {
                say(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
            }
            // Closes instead of answering any but the first request of a connection.
            "moody" if count > 1 => return,
            "moody" => {
                say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
            "socket" => {
                say(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello");
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                got.reverse();
                stream.write_all(&got).unwrap();
                return;
            }
            "h2c" => {
                say(b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n");
                thread::sleep(Duration::from_millis(200));
                return;
            }
            "silent" => return,
            "slow" => {
                thread::sleep(Duration::from_millis(700));
                say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow");
            }
            other => panic!("what is {other}"),
        }
    }
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

/// Reads a response with Content-Length or chunks: its status and its body.
fn answer(stream: &mut TcpStream) -> (u16, Vec<u8>) {
    let head = read_head(stream).expect("a response");
    let status = head[9..12].parse().unwrap();
    if status == 204 || (100..200).contains(&status) {
        return (status, Vec::new());
    }
    (status, read_body(stream, &head))
}

fn number(line: &serde_json::Value, key: &str) -> u64 {
    line[key]
        .as_u64()
        .unwrap_or_else(|| panic!("{key}: {line}"))
}

/// 20 requests in one write; the answers in order, each of the right backend, each byte right.
fn pipelined(mode: &str, manner: Manner) -> (Vec<serde_json::Value>, Arc<Kernel>) {
    let (a, b) = (backend("a"), backend("b"));
    let kernel = Kernel::new(manner);
    let proxy = Proxy::start(&two(mode, a.address, b.address, ""), &kernel);
    let mut client = proxy.client();
    let sizes: Vec<usize> = (0..20)
        .map(|n| [0, 10, LARGE, 20_000, 3000, LARGE + 7][n % 6])
        .collect();
    let name = |n: usize| ["a", "b"][n % 2];
    let kind = |n: usize| if n % 5 == 3 { "chunked" } else { "len" };
    let all: Vec<u8> = (0..sizes.len())
        .flat_map(|n| get(&format!("/{}/{}/{}", name(n), kind(n), sizes[n])))
        .collect();
    client.write_all(&all).unwrap();
    for (n, &size) in sizes.iter().enumerate() {
        let (status, body) = answer(&mut client);
        assert_eq!((status, body.len()), (200, size), "{n}");
        assert!(body == noise(name(n), size), "{n}");
    }
    drop(client);
    let lines = proxy.stop();
    assert_eq!(lines.len(), sizes.len());
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(number(line, "request"), n as u64 + 1);
        assert_eq!(line["pool"], name(n));
        assert_eq!(
            (&line["status"], &line["end"]),
            (&200.into(), &"complete".into())
        );
        // One connection to each backend carries all.
        assert_eq!(line["reused"], n > 1, "{line}");
    }
    assert_eq!((a.connections(), b.connections()), (1, 1));
    (lines, kernel)
}

#[test]
fn each_request_goes_its_own_way() {
    let (lines, kernel) = pipelined("splice", Manner::Tells);
    let mut spliced = 0;
    for line in &lines {
        let chunked = line["path"].as_str().unwrap().contains("chunked");
        let carried = number(line, "spliced_to_client");
        // Heads, and what came with them.
        if carried > 0 {
            spliced += 1;
            assert!(!chunked && line["mode"] == "spliced", "{line}");
        } else {
            assert_eq!(line["mode"], "copied");
        }
    }
    assert!(spliced >= 5, "{spliced}");
    for (up, down) in kernel.limits() {
        assert!(up == 0 && down >= 16384, "{up} {down}");
    }
}

#[test]
fn the_gateway_does_the_same() {
    let (lines, kernel) = pipelined("gateway", Manner::Tells);
    assert!(kernel.limits().is_empty());
    assert!(lines.iter().all(|line| line["mode"] == "gateway"));
}

#[test]
fn any_cut_of_the_stream_is_answered_the_same() {
    for (mode, size) in [
        ("splice", 1),
        ("splice", 61),
        ("gateway", 7),
        ("gateway", 1021),
    ] {
        let (a, b) = (backend("a"), backend("b"));
        let kernel = Kernel::new(Manner::Tells);
        let proxy = Proxy::start(&two(mode, a.address, b.address, ""), &kernel);
        let mut client = proxy.client();
        client.set_nodelay(true).unwrap();
        let body = noise("up", 2000);
        let mut all = get("/a/len/20000");
        all.extend(b"PUT /b/len/5 HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
        all.extend(&body);
        all.extend(b"\r\nPOST /a/len/6 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        all.extend(b"7d0;x=y\r\n");
        all.extend(&body);
        all.extend(b"\r\n0\r\nX-Trailer: z\r\n\r\n");
        all.extend(get("/b/chunked/20000/300"));
        let mut writer = client.try_clone().unwrap();
        let writing = thread::spawn(move || {
            for piece in all.chunks(size) {
                writer.write_all(piece).unwrap();
            }
        });
        for (name, length) in [("a", 20_000), ("b", 5), ("a", 6), ("b", 20_000)] {
            assert!(
                answer(&mut client) == (200, noise(name, length)),
                "{mode} {size}"
            );
        }
        writing.join().unwrap();
        let bodies =
            |of: &Backend| -> Vec<_> { of.seen().into_iter().map(|seen| seen.body).collect() };
        assert!(bodies(&a) == [vec![], body.clone()]);
        assert!(bodies(&b) == [body, vec![]]);
    }
}

#[test]
fn events_that_are_lost_are_asked_for() {
    let (lines, _) = pipelined("splice", Manner::Loses);
    assert!(lines.iter().any(|line| line["mode"] == "spliced"));
}

#[test]
fn a_mute_kernel_is_asked_now_and_then() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Mute);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.write_all(&get(&format!("/a/len/{LARGE}"))).unwrap();
        assert!(answer(&mut client).1 == noise("a", LARGE));
    }
    assert!(kernel.limits().len() == 2);
}

#[test]
fn refusals_copy_each_request() {
    let (lines, _) = pipelined("splice", Manner::Refuses);
    let refused: Vec<_> = lines.iter().filter(|l| l["mode"] == "refused").collect();
    assert!(refused.len() >= 5);
    for line in refused {
        assert_eq!(line["refusal"], "not today");
        assert_eq!(number(line, "spliced_to_client"), 0);
    }
}

#[test]
fn nobody_goes_on_with_sockets_that_may_be_spliced() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Unknown);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    let mut client = proxy.client();
    client.write_all(&get(&format!("/a/len/{LARGE}"))).unwrap();
    let mut got = Vec::new();
    let _ = client.read_to_end(&mut got);
    assert!(got.len() < LARGE);
    let line = &proxy.stop()[0];
    assert!(
        line["end"]
            .as_str()
            .unwrap()
            .contains("unknown whether spliced"),
        "{line}"
    );
}

#[test]
fn a_splice_that_does_not_return_ends_the_connection() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Cuts);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    let mut client = proxy.client();
    client.write_all(&get(&format!("/a/len/{LARGE}"))).unwrap();
    let mut got = Vec::new();
    let _ = client.read_to_end(&mut got);
    assert!(got.len() < LARGE);
    let line = &proxy.stop()[0];
    assert_eq!(
        (&line["end"], &line["mode"]),
        (&"idle".into(), &"spliced".into())
    );
}

#[test]
fn uploads_between_downloads() {
    for (mode, manner) in [
        ("splice", Manner::Tells),
        ("splice", Manner::Refuses),
        ("gateway", Manner::Tells),
    ] {
        let (a, b) = (backend("a"), backend("b"));
        let kernel = Kernel::new(manner);
        let proxy = Proxy::start(&two(mode, a.address, b.address, ""), &kernel);
        let mut client = proxy.client();
        let body = noise("up", LARGE);
        let mut chunked = Vec::new();
        for chunk in body.chunks(70_001) {
            chunked.extend(format!("{:X}\r\n", chunk.len()).bytes());
            chunked.extend(chunk);
            chunked.extend(b"\r\n");
        }
        chunked.extend(b"0\r\n\r\n");
        let mut all = get(&format!("/a/len/{LARGE}"));
        all.extend(
            format!("PUT /b/len/5 HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n").bytes(),
        );
        all.extend(&body);
        all.extend(get("/a/len/7"));
        all.extend(b"POST /b/len/6 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        all.extend(&chunked);
        all.extend(get(&format!("/b/len/{LARGE}")));
        let mut writer = client.try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&all).unwrap());
        for (name, size) in [("a", LARGE), ("b", 5), ("a", 7), ("b", 6), ("b", LARGE)] {
            assert!(
                answer(&mut client) == (200, noise(name, size)),
                "{name} {size}"
            );
        }
        writing.join().unwrap();
        let bodies: Vec<_> = b.seen().into_iter().map(|seen| seen.body).collect();
        assert!(bodies == [body.clone(), body, vec![]], "{mode}");
        let lines = proxy.stop();
        if (mode, manner) == ("splice", Manner::Tells) {
            assert!(
                number(&lines[1], "spliced_to_server") > 200_000,
                "{}",
                lines[1]
            );
            assert!(
                kernel
                    .limits()
                    .iter()
                    .any(|(up, down)| *up > 0 && *down == 0)
            );
        }
        let put = &lines[1];
        let all = number(put, "read_before_arming")
            + number(put, "carried_to_server")
            + number(put, "spliced_to_server");
        let head = b.seen()[0].head.len();
        assert_eq!(all, (head + LARGE) as u64, "every byte is counted once");
    }
}

#[test]
fn a_body_waits_for_leave() {
    for mode in ["splice", "gateway"] {
        let a = backend("a");
        let kernel = Kernel::new(Manner::Tells);
        let proxy = Proxy::start(&two(mode, a.address, a.address, ""), &kernel);
        let mut client = proxy.client();
        let head = format!(
            "PUT /a/len/5 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {LARGE}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).unwrap();
        let interim = read_head(&mut client).unwrap();
        assert!(interim.starts_with("HTTP/1.1 100 ") && interim.contains("X-Interim"));
        let body = noise("up", LARGE);
        client.write_all(&body).unwrap();
        assert!(answer(&mut client) == (200, noise("a", 5)));
        assert!(a.seen()[0].body == body);
        // A final answer instead of leave: the body is not sent, and the connection ends.
        client
            .write_all(head.replace("/a/len/5", "/a/early").as_bytes())
            .unwrap();
        assert_eq!(answer(&mut client), (413, b"no".to_vec()));
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
    }
}

#[test]
fn an_early_answer_arrives() {
    for mode in ["splice", "gateway"] {
        for chunked in [false, true] {
            let a = backend("a");
            let kernel = Kernel::new(Manner::Tells);
            let proxy = Proxy::start(&two(mode, a.address, a.address, ""), &kernel);
            let mut client = proxy.client();
            let framing = match chunked {
                true => "Transfer-Encoding: chunked\r\n\r\n1000000\r\n",
                false => "Content-Length: 50000000\r\n\r\n",
            };
            client
                .write_all(format!("PUT /a/early HTTP/1.1\r\nHost: a\r\n{framing}").as_bytes())
                .unwrap();
            let mut writer = client.try_clone().unwrap();
            let writing = thread::spawn(move || {
                // Fails at some point.
                let _ = writer.write_all(&noise("up", 200_000));
            });
            assert_eq!(
                answer(&mut client),
                (413, b"no".to_vec()),
                "{mode} {chunked}"
            );

            drop(client);
            writing.join().unwrap();
        }
    }
}

#[test]
fn every_kind_of_response() {
    for mode in ["splice", "gateway"] {
        let a = backend("a");
        let kernel = Kernel::new(Manner::Tells);
        let proxy = Proxy::start(
            &two(
                mode,
                a.address,
                a.address,
                "[http]\nchunk_threshold = 50000\n",
            ),
            &kernel,
        );
        let mut client = proxy.client();
        client
            .write_all(b"HEAD /a/len/1000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        let head = read_head(&mut client).unwrap();
        assert_eq!(field(&head, "Content-Length"), Some("1000000"));
        client.write_all(&get("/a/hints")).unwrap();
        assert!(read_head(&mut client).unwrap().starts_with("HTTP/1.1 103 "));
        assert_eq!(answer(&mut client).0, 204);
        for (length, size) in [
            (0, 1),
            (1000, 1),
            (LARGE, 7000),
            (LARGE, 100_000),
            (LARGE, LARGE),
        ] {
            client
                .write_all(&get(&format!("/a/chunked/{length}/{size}")))
                .unwrap();
            // Byte for byte, framing and trailer included.
            assert!(read_head(&mut client).unwrap().contains("chunked"));
            let mut expected = Vec::new();
            for chunk in noise("a", length).chunks(size) {
                expected.extend(format!("{:x};x=\"y\"\r\n", chunk.len()).bytes());
                expected.extend(chunk);
                expected.extend(b"\r\n");
            }
            expected.extend(b"0\r\nX-Trailer: 1\r\n\r\n");
            let mut got = vec![0; expected.len()];
            client.read_exact(&mut got).unwrap();
            assert!(got == expected, "{length} {size}");
        }
        // An old backend: the connection ends with the response, whose length is known.
        client.write_all(&get("/a/old/1000")).unwrap();
        assert!(answer(&mut client) == (200, noise("a", 1000)));
        assert_eq!(client.read(&mut [0]).unwrap(), 0);
        for length in [0, 100, LARGE] {
            let mut client = proxy.client();
            client
                .write_all(&get(&format!("/a/close/{length}")))
                .unwrap();
            assert!(read_head(&mut client).unwrap().contains("X: y"));
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            assert!(got == noise("a", length), "{length}");
        }
        let chunks = kernel.limits();
        assert_eq!(!chunks.is_empty(), mode == "splice");
        assert!(chunks.iter().all(|(up, down)| *up == 0 && *down >= 50_000));
        drop(client);
    }
}

#[test]
fn what_the_client_says_of_its_connection_is_honoured() {
    for mode in ["splice", "gateway"] {
        let (a, b) = (backend("a"), backend("b"));
        let kernel = Kernel::new(Manner::Tells);
        let proxy = Proxy::start(&two(mode, a.address, b.address, ""), &kernel);
        for (first, last) in [
            (get("/b/len/4"), &b"GET /a/old/20 HTTP/1.0\r\n\r\n"[..]),
            (
                get("/b/len/4"),
                b"GET /a/old/20 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            ),
            (
                b"GET /b/len/4 HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n".to_vec(),
                b"GET /a/old/20 HTTP/1.0\r\n\r\n",
            ),
        ] {
            let mut client = proxy.client();
            client.write_all(&first).unwrap();
            client.write_all(last).unwrap();
            assert!(answer(&mut client) == (200, noise("b", 4)));
            assert!(answer(&mut client) == (200, noise("a", 20)));
            assert_eq!(client.read(&mut [0]).unwrap(), 0, "{mode}");
        }
        drop(proxy);
    }
}

#[test]
fn other_protocols_take_over() {
    for mode in ["splice", "gateway"] {
        let (a, b) = (backend("a"), backend("b"));
        let kernel = Kernel::new(Manner::Tells);
        let proxy = Proxy::start(&two(mode, a.address, b.address, ""), &kernel);
        let mut client = proxy.client();
        // What follows is no HTTP, wherever it looks like it.
        let mut request = get("/b/len/4");
        request.extend(
            b"GET /a/socket HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nGET /b",
        );
        client.write_all(&request).unwrap();
        assert!(answer(&mut client) == (200, noise("b", 4)));
        assert_eq!(answer(&mut client).0, 101);
        client.write_all(b" HTTP/1.1").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        assert_eq!(got, "hello1.1/PTTH b/ TEG");
        // A protocol that carries requests past the routes is not one of them.
        let mut client = proxy.client();
        client
            .write_all(
                b"GET /a/h2c HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            )
            .unwrap();
        assert_eq!(answer(&mut client).0, 502);
    }
}

#[test]
fn nothing_is_smuggled() {
    let (a, b) = (backend("a"), backend("b"));
    let kernel = Kernel::new(Manner::Tells);
    let proxy = Proxy::start(&two("splice", a.address, b.address, ""), &kernel);
    let hidden = "GET /b/len/1 HTTP/1.1\r\nHost: a\r\n\r\n";
    for request in [
        "PUT /a/len/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "PUT /a/len/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
        "PUT /a/len/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "PUT /a/len/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
        "PUT /a/len/1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "GET /a/len/1 HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET /a/len/1 HTTP/1.1\r\nHost: a\n\n",
    ] {
        let mut client = proxy.client();
        client.write_all(&get("/a/len/3")).unwrap();
        assert!(answer(&mut client) == (200, noise("a", 3)));
        client.write_all(request.as_bytes()).unwrap();
        client.write_all(hidden.as_bytes()).unwrap();
        assert_eq!(answer(&mut client).0, 400, "{request}");
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "{request}");
    }
    let long = format!(
        "GET /a/len/1 HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(70_000)
    );
    let mut client = proxy.client();
    client.write_all(&get("/a/len/3")).unwrap();
    answer(&mut client);
    client.write_all(long.as_bytes()).unwrap();
    assert_eq!(answer(&mut client).0, 431);
    assert_eq!(b.connections(), 0);
}

#[test]
fn what_was_cut_does_not_look_complete() {
    for (mode, manner) in [
        ("splice", Manner::Tells),
        ("splice", Manner::Refuses),
        ("gateway", Manner::Tells),
    ] {
        let a = backend("a");
        let kernel = Kernel::new(manner);
        let proxy = Proxy::start(&two(mode, a.address, a.address, ""), &kernel);
        for length in [900, LARGE] {
            let mut client = proxy.client();
            client
                .write_all(&get(&format!("/a/torn/{length}")))
                .unwrap();
            let mut got = Vec::new();
            let error = client.read_to_end(&mut got).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
        let mut client = proxy.client();
        client.write_all(&get("/a/bad")).unwrap();
        assert_eq!(answer(&mut client).0, 502);
        let mut client = proxy.client();
        client.write_all(&get("/a/silent")).unwrap();
        assert_eq!(answer(&mut client).0, 502);
    }
}

#[test]
fn few_connections_serve_many_clients() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Tells);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    for n in 0..50 {
        let mut client = proxy.client();
        let size = [10, LARGE][n % 2];
        client.write_all(&get(&format!("/a/len/{size}"))).unwrap();
        assert!(answer(&mut client) == (200, noise("a", size)));
    }
    // A client can be back before the connection is.
    assert!(a.connections() <= 5, "{}", a.connections());
    // What says more than it should is not used again, and nobody gets the rest.
    for _ in 0..3 {
        let mut client = proxy.client();
        client.write_all(&get("/a/surplus")).unwrap();
        assert_eq!(answer(&mut client), (200, b"ok".to_vec()));
        client.write_all(&get("/a/len/3")).unwrap();
        assert!(answer(&mut client) == (200, noise("a", 3)));
    }
    let poisoned: Vec<_> = a
        .seen()
        .iter()
        .filter(|seen| seen.head.contains("surplus"))
        .map(|seen| seen.connection)
        .collect();
    for connection in poisoned {
        let seen = a.seen();
        let last = seen.iter().rfind(|seen| seen.connection == connection);
        assert!(last.unwrap().head.contains("surplus"));
    }
}

#[test]
fn a_request_is_repeated_only_if_it_may_be() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Tells);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    let mut client = proxy.client();
    for _ in 0..5 {
        client.write_all(&get("/a/moody")).unwrap();
        assert_eq!(answer(&mut client), (200, b"ok".to_vec()));
    }
    // A POST is never sent on a connection that may be on its way out.
    for _ in 0..3 {
        client
            .write_all(b"POST /a/moody HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx")
            .unwrap();
        assert_eq!(answer(&mut client), (200, b"ok".to_vec()));
    }
    drop(client);
    let lines = proxy.stop();
    assert!(lines.iter().any(|line| line["repeated"] == true));
    for line in &lines[5..] {
        assert_eq!(
            (&line["reused"], &line["repeated"]),
            (&false.into(), &false.into())
        );
    }
    let posts = a.seen().into_iter().filter(|s| s.head.starts_with("POST"));
    assert_eq!(posts.count(), 3);
}

#[test]
fn a_connection_that_knows_its_user_is_nobody_elses() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Tells);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    let mut client = proxy.client();
    let login = b"GET /a/len/2 HTTP/1.1\r\nHost: a\r\nAuthorization: NTLM TlRM\r\n\r\n";
    client.write_all(login).unwrap();
    answer(&mut client);
    let mut other = proxy.client();
    other.write_all(&get("/a/len/3")).unwrap();
    answer(&mut other);
    client.write_all(&get("/a/len/4")).unwrap();
    answer(&mut client);
    let seen: Vec<_> = a.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(seen, [0, 1, 0]);
}

#[test]
fn connections_are_opened_ahead() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Tells);
    let text = two("splice", a.address, a.address, "")
        .replace("[pool.a]", "[pool.a]\nmin_idle = 3\nmax_idle = 4");
    let proxy = Proxy::start(&text, &kernel);
    let start = Instant::now();
    while a.connections() < 3 {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(10));
    }
    let mut client = proxy.client();
    client.write_all(&get("/a/len/3")).unwrap();
    answer(&mut client);
    drop(client);
    assert_eq!(proxy.stop()[0]["reused"], true);
}

#[test]
fn idle_clients_and_busy_ones_end() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Tells);
    let text = two(
        "splice",
        a.address,
        a.address,
        "[timeouts]\nkeep_alive = \"300ms\"\nheader = \"500ms\"\n[http]\nmax_requests = 3\n",
    );
    let proxy = Proxy::start(&text, &kernel);
    let mut client = proxy.client();
    client.write_all(&get("/a/len/3")).unwrap();
    answer(&mut client);
    let start = Instant::now();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    assert!(start.elapsed() >= Duration::from_millis(250));
    // Half a head is not idle.
    let mut client = proxy.client();
    client.write_all(&get("/a/len/3")).unwrap();
    answer(&mut client);
    client.write_all(b"GET /a").unwrap();
    assert_eq!(answer(&mut client).0, 408);
    // One request more than may be.
    let mut client = proxy.client();
    for _ in 0..4 {
        client.write_all(&get("/a/len/3")).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(answer(&mut client).0, 200);
    }
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}

#[test]
fn stopping_ends_idle_connections_and_lets_requests_finish() {
    let a = backend("a");
    let kernel = Kernel::new(Manner::Tells);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    let mut idle = proxy.client();
    idle.write_all(&get("/a/len/3")).unwrap();
    answer(&mut idle);
    let mut busy = proxy.client();
    busy.write_all(&get("/a/slow")).unwrap();
    thread::sleep(Duration::from_millis(200));
    let start = Instant::now();
    let stopping = thread::spawn(move || proxy.stop());
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    assert_eq!(answer(&mut busy), (200, b"slow".to_vec()));
    assert_eq!(busy.read(&mut [0]).unwrap(), 0);
    drop((idle, busy));
    let lines = stopping.join().unwrap();
    assert_eq!(lines.len(), 2);
    assert!(
        start.elapsed() < Duration::from_millis(1900),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_client_that_ends_early_gets_the_rest() {
    // The kernel takes a FIN for the end of a splice; the response goes on.
    let a = backend("a");
    let kernel = Kernel::new(Manner::Tells);
    let proxy = Proxy::start(&two("splice", a.address, a.address, ""), &kernel);
    let mut client = proxy.client();
    client.write_all(&get(&format!("/a/len/{LARGE}"))).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert!(answer(&mut client) == (200, noise("a", LARGE)));
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
}
