// SPDX-License-Identifier: GPL-2.0

//! `splicectl cluster`, and what else is asked of spliced.

use crate::args::{Cluster, ClusterVerb};
use crate::fail::Fail;
use crate::output::Output;
use crate::table::{Cell, Style, Table, left, right};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long spliced may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a splice that is replicated: more than spliced waits itself.
const COMMIT_PATIENCE: Duration = Duration::from_secs(70);

/// One node; `Documentation/cluster.md` explains the fields.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Node {
    id: u32,
    this: bool,
    roles: Vec<String>,
    state: String,
    since: u64,
    load: u16,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    heard: Option<u64>,
    rows: u64,
    linked: bool,
    lag: u64,
}

/// What spliced answers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Refusal { error: String },
    Said(T),
}

/// What became of a splice that has to be replicated.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub(crate) enum Replication {
    /// So many other proxies hold it.
    Committed { have: u32 },
    /// Fewer do than should.
    Degraded { have: u32, want: u32 },
    /// It ended before.
    Ended,
}

pub(crate) fn run(out: &Output, cluster: &Cluster) -> Result<(), Fail> {
    let (verb, word) = match cluster.verb {
        ClusterVerb::Nodes => ("nodes", "nodes"),
        ClusterVerb::Drain => ("drain", "drain"),
        ClusterVerb::Undrain => ("undrain", "undrain"),
    };
    let what = format!("cluster {verb}: {}", cluster.control.display());
    let nodes: Vec<Node> = ask(&cluster.control, word, PATIENCE, &what)?;
    if out.json() {
        return out.value(&nodes);
    }
    out.text(&table(&nodes).render(out.color()))
}

/// Asks whether a splice may be made that so many other proxies have to hold.
pub(crate) fn may_replicate(control: &Path, replicas: u32) -> Result<(), Fail> {
    let what = format!("new: {}", control.display());
    let words = format!("may-replicate {replicas}");
    // What is not a refusal allows it.
    let IgnoredAny = ask(control, &words, PATIENCE, &what)?;
    Ok(())
}

/// Waits until so many other proxies hold the splice.
pub(crate) fn replicate(control: &Path, id: u64, replicas: u32) -> Result<Replication, Fail> {
    let what = format!("new: splice {id} was made");
    let words = format!("replicate {id} {replicas}");
    ask(control, &words, COMMIT_PATIENCE, &what)
}

fn ask<T: DeserializeOwned>(
    control: &Path,
    words: &str,
    patience: Duration,
    what: &str,
) -> Result<T, Fail> {
    let text = exchange(control, words, patience).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Fail::other(what)(
            "no spliced with a [cluster] answers there; start it, or name another with --control",
        ),
        _ => Fail::other(what)(error),
    })?;
    if text.is_empty() {
        return Err(Fail::other(what)(
            "spliced does not answer this user; run as root",
        ));
    }
    match serde_json::from_str(&text).map_err(Fail::other(what))? {
        Answer::Said(answer) => Ok(answer),
        Answer::Refusal { error } => Err(Fail::other(what)(error)),
    }
}

fn exchange(control: &Path, words: &str, patience: Duration) -> io::Result<String> {
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(words.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// A time in the largest unit that tells enough.
fn time(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{} s", ms / 1000),
        60_000..3_600_000 => format!("{} min", ms / 60_000),
        3_600_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

fn table(nodes: &[Node]) -> Table {
    let mut table = Table::new(vec![
        right("ID"),
        left("ROLES"),
        left("STATE"),
        right("SINCE"),
        right("LOAD"),
        right("HEARD"),
        right("ROWS"),
        right("LAG"),
    ]);
    for node in nodes {
        let style = match node.state.as_str() {
            "up" => Style::Green,
            "down" => Style::Bold,
            _ => Style::Yellow,
        };
        let heard = match (node.this, node.heard) {
            (true, _) => "this".into(),
            (false, Some(ms)) => time(ms),
            (false, None) => "never".into(),
        };
        let lag = match node.this || !node.linked {
            true => "-".into(),
            false => time(node.lag),
        };
        table.row(vec![
            node.id.to_string().into(),
            node.roles.join(",").into(),
            Cell::styled(node.state.clone(), style),
            time(node.since).into(),
            format!("{:.2}", f64::from(node.load) / 1000.0).into(),
            heard.into(),
            node.rows.to_string().into(),
            lag.into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    const ANSWER: &str = r#"[{"id":1,"this":true,"roles":["proxy"],"state":"up","since":65000,"load":250,"rows":12345,"linked":false,"lag":0},{"id":2,"this":false,"roles":["proxy","backend"],"state":"joining","since":900,"load":1010,"heard":42,"rows":7,"linked":true,"lag":1500},{"id":9,"this":false,"roles":["balancer"],"state":"down","since":200000000,"load":0,"rows":0,"linked":false,"lag":0}]"#;

    #[test]
    fn a_line_for_each_node() {
        let nodes: Vec<Node> = serde_json::from_str(ANSWER).expect("it is well formed");
        let lines = [
            "ID  ROLES          STATE    SINCE  LOAD  HEARD   ROWS  LAG",
            " 1  proxy          up       1 min  0.25   this  12345    -",
            " 2  proxy,backend  joining  900 ms  1.01  42 ms      7  1 s",
            " 9  balancer       down       2 d  0.00  never      0    -",
        ];
        // Whatever the widths: the same words in the same places.
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let text = table(&nodes).render(false);
        let found: Vec<_> = text.lines().map(words).collect();
        assert_eq!(found, lines.map(words));
        assert_eq!(
            serde_json::to_string(&nodes).expect("it can be written"),
            ANSWER
        );
    }

    /// What `ask` makes of this answer, and what it said.
    fn answered<T: DeserializeOwned>(answer: &'static str) -> (Result<T, Fail>, String) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("splicectl-ask-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let path = folder.join("control");
        let listener = UnixListener::bind(&path).expect("it can be bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut words = String::new();
            stream.read_to_string(&mut words).expect("some words");
            stream.write_all(answer.as_bytes()).expect("an answer");
            words
        });
        let result = ask(&path, "some words", PATIENCE, "it");
        let words = server.join().expect("the server ends");
        std::fs::remove_dir_all(&folder).expect("it can be removed");
        (result, words)
    }

    #[test]
    fn asks_on_a_socket() {
        let (nodes, words) = answered::<Vec<Node>>(ANSWER);
        assert_eq!(nodes.expect("an answer").len(), 3);
        assert_eq!(words, "some words");
        let said = |answer| answered::<Replication>(answer).0.expect("an answer");
        let degraded = r#"{"state":"degraded","have":1,"want":2}"#;
        assert_eq!(said(degraded), Replication::Degraded { have: 1, want: 2 });
        assert_eq!(said(r#"{"state":"ended"}"#), Replication::Ended);
        let committed = r#"{"state":"committed","have":2}"#;
        assert_eq!(said(committed), Replication::Committed { have: 2 });
    }

    #[test]
    fn says_why_there_is_no_answer() {
        let refusal = |answer| match answered::<Replication>(answer).0 {
            Err(Fail::Other { what, message }) if what == "it" => message,
            other => panic!("{other:?}"),
        };
        assert_eq!(refusal(r#"{"error":"too few"}"#), "too few");
        assert!(refusal("").contains("run as root"));
        assert!(answered::<IgnoredAny>(r#"{"error":"too few"}"#).0.is_err());
        assert!(answered::<IgnoredAny>("{}").0.is_ok());
        assert!(!refusal("[]").is_empty());
        let nobody = ask::<Replication>(Path::new("/nonexistent"), "nodes", PATIENCE, "it");
        assert!(format!("{nobody:?}").contains("no spliced with a [cluster] answers there"));
    }
}
