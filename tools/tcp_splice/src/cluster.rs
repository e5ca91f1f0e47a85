// SPDX-License-Identifier: GPL-2.0

//! What is asked of the `spliced` of this host, which has links to others.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tcp_splice_netlink::Migrant;

/// What an answer may take beyond what the other host may.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// What became of a connection.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "moved", rename_all = "lowercase")]
pub(crate) enum Answer {
    /// The other host has it.
    Taken {},
    /// The other host has not got it, and will not.
    Refused {
        /// In its words.
        why: String,
    },
    /// Nobody knows.
    Unknown {
        /// What went wrong.
        why: String,
    },
}

/// What is answered to any request that cannot be done.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Reply {
    Answer(Answer),
    Refusal { error: String },
}

/// Has the host of a server take a connection.
pub(crate) fn hand_off(
    control: &Path,
    server: SocketAddr,
    migrant: &Migrant,
    patience: Duration,
) -> Answer {
    let refused = |why: String| Answer::Refused { why };
    let mut stream = match UnixStream::connect(control) {
        Ok(stream) => stream,
        Err(error) => {
            return refused(format!(
                "no spliced with a [cluster] answers at {}: {error}",
                control.display()
            ));
        }
    };
    if let Err(error) = ask(&mut stream, server, migrant, patience) {
        // A request that is not whole is none.
        return refused(format!("{}: {error}", control.display()));
    }
    let mut text = String::new();
    let ended = stream.shutdown(Shutdown::Write);
    match ended.and_then(|()| stream.read_to_string(&mut text)) {
        Ok(_) => understand(&text),
        Err(error) => Answer::Unknown {
            why: format!("spliced does not answer: {error}"),
        },
    }
}

fn ask(
    stream: &mut UnixStream,
    server: SocketAddr,
    migrant: &Migrant,
    patience: Duration,
) -> io::Result<()> {
    // It waits so long itself, and says so.
    stream.set_read_timeout(Some(patience + MARGIN))?;
    stream.set_write_timeout(Some(patience))?;
    let mut text = format!("handoff {server} {}\n", patience.as_millis());
    text += &serde_json::to_string(migrant)?;
    // The end of the line is the end of the request.
    text.push('\n');
    stream.write_all(text.as_bytes())
}

fn understand(text: &str) -> Answer {
    match serde_json::from_str(text) {
        Ok(Reply::Answer(answer)) => answer,
        Ok(Reply::Refusal { error }) => Answer::Refused { why: error },
        Err(_) if text.is_empty() => Answer::Unknown {
            why: "spliced has ended before it said what became of it".into(),
        },
        Err(error) => Answer::Unknown {
            why: format!("spliced is not understood: {error}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    const SERVER: &str = "192.0.2.7:80";

    /// What is made of this answer, and what was asked.
    fn answered(number: u32, answer: Option<&'static str>) -> (Answer, String) {
        let name = format!("tcp_splice-cluster-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let listener = UnixListener::bind(&path).expect("it can be bound");
        let spliced = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut text = String::new();
            stream.read_to_string(&mut text).expect("a request");
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).expect("an answer"),
                None => thread::sleep(MARGIN * 2),
            }
            text
        });
        let server = SERVER.parse().expect("it is an address");
        let patience = Duration::from_millis(50);
        let answer = hand_off(&path, server, &Migrant::default(), patience);
        let text = spliced.join().expect("it ends");
        std::fs::remove_file(&path).expect("it is there");
        (answer, text)
    }

    #[test]
    fn only_who_has_not_got_it_refuses() {
        let (answer, text) = answered(1, Some("{\"moved\":\"taken\"}\n"));
        assert_eq!(answer, Answer::Taken {});
        let (words, connection) = text.split_once('\n').expect("two lines");
        assert_eq!(words, format!("handoff {SERVER} 50"));
        let connection = serde_json::from_str::<Migrant>(connection);
        assert_eq!(connection.ok(), Some(Migrant::default()));
        assert!(text.ends_with('\n'));

        let why = || "nobody listens".to_owned();
        let (answer, _) = answered(2, Some(r#"{"moved":"refused","why":"nobody listens"}"#));
        assert_eq!(answer, Answer::Refused { why: why() });
        let (answer, _) = answered(3, Some(r#"{"error":"nobody listens"}"#));
        assert_eq!(answer, Answer::Refused { why: why() });

        let (answer, _) = answered(4, Some(r#"{"moved":"unknown","why":"nobody listens"}"#));
        assert_eq!(answer, Answer::Unknown { why: why() });
        for (number, said) in [(5, Some("")), (6, Some("{}")), (7, None)] {
            let (answer, _) = answered(number, said);
            assert!(
                matches!(answer, Answer::Unknown { .. }),
                "{said:?}: {answer:?}"
            );
        }
        let nobody = Path::new("/nonexistent");
        let server = SERVER.parse().expect("it is an address");
        let answer = hand_off(nobody, server, &Migrant::default(), MARGIN);
        assert!(matches!(answer, Answer::Refused { .. }), "{answer:?}");
    }
}
