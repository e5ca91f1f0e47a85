// SPDX-License-Identifier: GPL-2.0

//! `splicectl cluster`

use crate::args::{Cluster, ClusterVerb};
use crate::fail::Fail;
use crate::output::Output;
use crate::table::{Cell, Style, Table, left, right};
use serde::{Deserialize, Serialize};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// How long spliced may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

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
enum Answer {
    Nodes(Vec<Node>),
    Refusal { error: String },
}

pub(crate) fn run(out: &Output, cluster: &Cluster) -> Result<(), Fail> {
    let (verb, word) = match cluster.verb {
        ClusterVerb::Nodes => ("nodes", "nodes"),
        ClusterVerb::Drain => ("drain", "drain"),
        ClusterVerb::Undrain => ("undrain", "undrain"),
    };
    let what = format!("cluster {verb}: {}", cluster.control.display());
    let text = ask(&cluster.control, word).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Fail::other(what.clone())(
            "no spliced with a [cluster] answers there; start it, or name another with --control",
        ),
        _ => Fail::other(what.clone())(error),
    })?;
    if text.is_empty() {
        return Err(Fail::other(what)(
            "spliced does not answer this user; run as root",
        ));
    }
    let nodes = match serde_json::from_str(&text).map_err(Fail::other(what.clone()))? {
        Answer::Nodes(nodes) => nodes,
        Answer::Refusal { error } => return Err(Fail::other(what)(error)),
    };
    if out.json() {
        return out.value(&nodes);
    }
    out.text(&table(&nodes).render(out.color()))
}

fn ask(control: &Path, word: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(control)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(word.as_bytes())?;
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

    #[test]
    fn asks_on_a_socket() {
        let folder = std::env::temp_dir().join(format!("splicectl-ask-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        let path = folder.join("control");
        let listener = UnixListener::bind(&path).expect("it can be bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut word = String::new();
            stream.read_to_string(&mut word).expect("a word");
            stream.write_all(ANSWER.as_bytes()).expect("an answer");
            word
        });
        assert_eq!(ask(&path, "nodes").ok().as_deref(), Some(ANSWER));
        assert_eq!(server.join().ok().as_deref(), Some("nodes"));
        assert!(ask(&folder.join("none"), "nodes").is_err());
        std::fs::remove_dir_all(&folder).expect("it can be removed");
    }
}
