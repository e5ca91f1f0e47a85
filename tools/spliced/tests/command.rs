// SPDX-License-Identifier: GPL-2.0

//! The command as people and systemd run it, and the files that come with it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use spliced::config::Config;

const PATIENCE: Duration = Duration::from_secs(20);

fn spliced() -> Command {
    Command::new(env!("CARGO_BIN_EXE_spliced"))
}

fn file(relative: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(relative)
}

fn check(path: &Path) -> Output {
    spliced()
        .arg("--check")
        .arg("--config")
        .arg(path)
        .output()
        .unwrap()
}

#[test]
fn version() {
    let output = spliced().arg("--version").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "spliced 0.1.0\n");
}

#[test]
fn pages_name_every_option() {
    for page in [&["--man"][..], &["--completions", "bash"]] {
        let output = spliced().args(page).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).replace('\\', "");
        assert!(output.status.success());
        for option in [
            "--config",
            "--check",
            "--access-log",
            "--make-keys",
            "--nodes",
        ] {
            assert!(text.contains(option), "{option} not in {page:?}");
        }
    }
}

#[test]
fn check_accepts_the_example() {
    let output = check(&file("../dist/spliced.toml"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_example_shows_true_defaults() {
    // With every commented key switched on, nothing but the access log changes.
    let text = std::fs::read_to_string(file("../dist/spliced.toml")).unwrap();
    let on: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    assert_ne!(text, on);
    let (default, shown) = (Config::parse(&text).unwrap(), Config::parse(&on).unwrap());
    let seen = |c: &Config| {
        format!(
            "{:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:?}",
            c.arming_threads,
            c.drain_timeout,
            c.max_head,
            c.timeouts,
            c.http,
            c.log_format,
            c.log_level,
            c.listeners,
            c.splices(),
        )
    };
    assert_eq!(seen(&default), seen(&shown));
    assert!(shown.access_log.is_some());
}

#[test]
fn check_tells_file_line_and_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.toml");
    std::fs::write(&path, "workers = 1\nworker = 2\n").unwrap();
    let output = check(&path);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.starts_with(&format!("{}:2: unknown field `worker`", path.display())),
        "{said}"
    );
    let output = check(&dir.path().join("none.toml"));
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot be read"));
}

#[test]
fn the_document_is_complete_and_true() {
    let text = std::fs::read_to_string(file("../../Documentation/spliced.md")).unwrap();
    let mut examples = text
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap());
    let example = examples.next().unwrap();
    Config::parse(example).unwrap();
    // The parser itself lists the keys that it knows.
    for place in [
        "",
        "[timeouts]\n",
        "[http]\n",
        "[log]\n",
        "[pool.p]\n",
        "[[listener]]\n",
        "[[listener]]\n[[listener.route]]\n",
        "[cluster]\n",
        "[[cluster.node]]\n",
    ] {
        let message = Config::parse(&format!("{place}nonsense = 1\n")).unwrap_err()[0]
            .message
            .clone();
        let (_, keys) = message.split_once("expected ").unwrap();
        for key in keys.split('`').skip(1).step_by(2) {
            assert!(
                text.contains(&format!("`{key}`")),
                "{key} is not documented"
            );
        }
    }
    // And a record lists the fields of a line.
    let record = spliced::log::Record::new("127.0.0.1:1".parse().unwrap(), "web");
    let serde_json::Value::Object(fields) = serde_json::to_value(&record).unwrap() else {
        panic!("a record is an object");
    };
    for field in fields.keys() {
        assert!(
            text.contains(&format!("`{field}`")),
            "{field} is not documented"
        );
    }
}

/// A running command, killed when the test ends.
struct Running {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that is free now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn config(listen: SocketAddr, backend: SocketAddr) -> String {
    format!(
        "mode = \"gateway\"\nworkers = 2\n[log]\nformat = \"json\"\n\
         [pool.p]\naddresses = [\"{backend}\"]\n[[listener]]\nname = \"web\"\n\
         addresses = [\"{listen}\"]\nprotocol = \"http\"\n[[listener.route]]\npool = \"p\"\n"
    )
}

impl Running {
    /// Starts the command behind `shell` and waits until it says that it is ready.
    fn start(backend: SocketAddr, shell: &str) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let address = free();
        std::fs::write(dir.path().join("config"), config(address, backend)).unwrap();
        let socket = dir.path().join("notify");
        let notified = UnixDatagram::bind(&socket).unwrap();
        notified.set_read_timeout(Some(PATIENCE)).unwrap();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("sh")
            .args([
                "-c",
                &format!("{shell} exec \"$0\" \"$@\""),
                env!("CARGO_BIN_EXE_spliced"),
            ])
            .arg("--config")
            .arg(dir.path().join("config"))
            .arg("--access-log")
            .arg(dir.path().join("access"))
            .env("NOTIFY_SOCKET", &socket)
            .stderr(log)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let running = Running {
            child,
            address,
            dir,
        };
        let mut said = [0; 64];
        let length = notified
            .recv(&mut said)
            .unwrap_or_else(|e| panic!("{e}: {}", running.log()));
        assert_eq!(&said[..length], b"READY=1");
        running
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    fn signal(&self, name: &str) {
        // The shell's own kill: the build root has no other.
        let kill = format!("kill -s {name} {}", self.child.id());
        let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until the log holds this.
    fn wait_for(&self, what: &str) {
        let start = Instant::now();
        while !self.log().contains(what) {
            assert!(start.elapsed() < PATIENCE, "no {what:?} in {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn wait(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "still running: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn get(&self) -> String {
        let mut client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
            .write_all(b"GET /here?secret HTTP/1.0\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }
}

/// A backend that reads something and answers `name`.
fn backend(name: &'static str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1000]);
            let _ = stream.write_all(name.as_bytes());
        }
    });
    address
}

#[test]
fn serves_reloads_and_stops() {
    let mut running = Running::start(backend("one"), "");
    assert_eq!(running.get(), "one");

    // A bad configuration keeps the old one.
    let path = running.dir.path().join("config");
    std::fs::write(&path, "nonsense").unwrap();
    running.signal("HUP");
    running.wait_for("configuration kept as it was");
    assert_eq!(running.get(), "one");

    std::fs::write(&path, config(running.address, backend("two"))).unwrap();
    running.signal("HUP");
    running.wait_for("configuration read again");
    assert_eq!(running.get(), "two");

    running.signal("TERM");
    assert!(running.wait().success());
    assert!(TcpStream::connect(running.address).is_err());
    running.wait_for("stopped");
    let log = running.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines
            .iter()
            .filter(|line| line["message"] == "request")
            .count(),
        3
    );
    assert!(!log.contains("secret"), "{log}");
    let access = std::fs::read_to_string(running.dir.path().join("access")).unwrap();
    assert_eq!(access.lines().count(), 3);
    assert!(access.contains("\"path\":\"/here\"") && !access.contains("secret"));
}

#[test]
fn a_second_signal_does_not_wait() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut running = Running::start(listener.local_addr().unwrap(), "");
    let mut client = TcpStream::connect(running.address).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _server = listener.accept().unwrap();
    running.signal("TERM");
    running.wait_for("stopping");
    thread::sleep(Duration::from_millis(100));
    assert!(
        running.child.try_wait().unwrap().is_none(),
        "did not wait at all"
    );
    let start = Instant::now();
    running.signal("INT");
    assert!(running.wait().success());
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn survives_running_out_of_descriptors() {
    let running = Running::start(backend("alive"), "ulimit -n 60;");
    let crowd: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(running.address).unwrap())
        .collect();
    running.wait_for("cannot accept; pausing");
    drop(crowd);
    assert_eq!(running.get(), "alive");
}

#[test]
fn an_address_in_use_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config");
    std::fs::write(&path, config(taken.local_addr().unwrap(), free())).unwrap();
    let output = spliced().arg("--config").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cannot listen on") && said.contains("stop the other process"),
        "{said}"
    );
}

#[test]
fn the_cluster_examples_are_good() {
    // Which node has the server of each pool's addresses, in the order of the file.
    let examples: [(&str, usize, &[Option<u32>]); 4] = [
        ("three-proxies", 4, &[None, None]),
        ("co-located", 4, &[Some(1), Some(2), Some(3)]),
        ("mixed", 4, &[Some(5), None]),
        ("mixed-backend", 4, &[]),
    ];
    for (name, members, servers) in examples {
        let path = file(&format!("../../Documentation/examples/{name}.toml"));
        let config = Config::load(&path).unwrap();
        let cluster = config.cluster.unwrap();
        assert_eq!(cluster.members.len(), members, "{name}");
        let backends = config.pools.iter().flat_map(|pool| pool.backends());
        let found: Vec<_> = backends
            .map(|backend| cluster.servers.node(backend.address).map(|node| node.0))
            .collect();
        assert_eq!(found, servers, "{name}");
        assert_eq!(config.listeners.is_empty(), servers.is_empty(), "{name}");
        // The keys are another matter.
        let output = check(&path);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("cluster.keys: ") && said.contains("ca.crt"),
            "{said}"
        );
    }
}

/// A node that is nothing but a balancer, so that it needs no kernel module.
struct Balancer {
    child: Child,
    control: PathBuf,
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Balancer {
    fn start(dir: &Path, id: usize, addresses: &[SocketAddr]) -> Balancer {
        let control = dir.join(format!("control-{id}"));
        let mut text = format!(
            "[cluster]\nid = {id}\nkeys = {:?}\ncontrol = {control:?}\n",
            dir.join("keys")
        );
        for (n, address) in addresses.iter().enumerate() {
            text += &format!(
                "[[cluster.node]]\nid = {}\naddresses = [\"{address}\"]\nroles = [\"balancer\"]\n",
                n + 1
            );
        }
        let path = dir.join(format!("config-{id}"));
        std::fs::write(&path, text).unwrap();
        let output = check(&path);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let child = spliced()
            .arg("--config")
            .arg(&path)
            .stderr(std::fs::File::create(dir.join(format!("log-{id}"))).unwrap())
            .spawn()
            .unwrap();
        Balancer { child, control }
    }

    /// What it answers to a word.
    fn ask(&self, word: &str) -> Option<serde_json::Value> {
        let mut stream = UnixStream::connect(&self.control).ok()?;
        stream.write_all(word.as_bytes()).ok()?;
        stream.shutdown(std::net::Shutdown::Write).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// Waits until it sees the other node in this state.
    fn wait(&self, state: &str) {
        let start = Instant::now();
        loop {
            let nodes = self.ask("nodes");
            let seen = nodes.as_ref().map(|nodes| &nodes[1]["state"]);
            if seen.is_some_and(|seen| seen == state) {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "not {state}: {nodes:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn two_daemons_find_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let output = spliced()
        .arg("--make-keys")
        .arg(dir.path().join("keys"))
        .args(["--nodes", "1,2"])
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 6);
    let addresses = [free(), free()];
    let one = Balancer::start(dir.path(), 1, &addresses);
    let two = Balancer::start(dir.path(), 2, &addresses);
    one.wait("up");
    two.wait("up");
    assert_eq!(one.ask("nodes").unwrap()[0]["this"], true);
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&one.control).unwrap().permissions()
        ) & 0o777,
        0o600
    );
    assert!(one.ask("nonsense").unwrap()["error"].is_string());
    // A second one of the same number does not take its place.
    let mut twin = Balancer::start(dir.path(), 1, &addresses);
    assert_eq!(twin.child.wait().unwrap().code(), Some(1));
    let said = std::fs::read_to_string(dir.path().join("log-1")).unwrap();
    assert!(said.contains("cluster.listen: cannot listen on"), "{said}");
    two.ask("drain").unwrap();
    one.wait("draining");
    two.ask("undrain").unwrap();
    one.wait("up");
    drop(two);
    one.wait("down");
}
