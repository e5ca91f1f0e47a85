// SPDX-License-Identifier: GPL-2.0

//! `splicectl restore`

use crate::fail::{Fail, tell};
use crate::format::{self, Signs};
use crate::output::Output;
use crate::save::is_live;
use serde::Serialize;
use std::fs;
use std::io;
use std::path::PathBuf;
use tcp_splice_netlink::{Client, Error, Splice, SpliceNew};

/// What became of one saved splice, in JSON.
#[derive(Debug, PartialEq, Serialize)]
struct Outcome {
    /// Its identity when it was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    splice: Option<Splice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) fn run(out: &Output, file: Option<&PathBuf>) -> Result<(), Fail> {
    let name = file.map_or("standard input".into(), |file| file.display().to_string());
    let what = format!("restore: {name}");
    let splices: Vec<Splice> = serde_json::from_str(&read(file)?).map_err(Fail::other(what))?;
    let mut client = Client::open().map_err(Fail::kernel("restore"))?;
    let outcomes = restore(splices, out.signs, |new| client.splice_new(new))?;
    let made = outcomes.iter().filter(|o| o.splice.is_some()).count();
    if out.json() {
        out.value(&outcomes)?;
    } else {
        out.text(&format!("restored {made} of {} splices\n", outcomes.len()))?;
    }
    if made == outcomes.len() {
        Ok(())
    } else {
        Err(Fail::Told)
    }
}

/// The text of a file, or of standard input.
pub(crate) fn read(file: Option<&PathBuf>) -> Result<String, Fail> {
    match file {
        None => io::read_to_string(io::stdin()).map_err(Fail::other("standard input")),
        Some(file) => fs::read_to_string(file).map_err(Fail::other(file.display().to_string())),
    }
}

/// Makes each splice, and tells of those that were refused.
fn restore(
    splices: Vec<Splice>,
    signs: Signs,
    mut make: impl FnMut(&SpliceNew) -> Result<Splice, Error>,
) -> Result<Vec<Outcome>, Fail> {
    let mut outcomes = Vec::new();
    for splice in splices.into_iter().filter(is_live) {
        let saved = splice.id;
        let id = saved.map_or("?".into(), |id| id.to_string());
        let what = format!("restore {id} ({})", format::path(&splice, signs));
        let (splice, error) = match make(&SpliceNew::from(splice)) {
            Ok(splice) => (Some(splice), None),
            // The others would fail alike.
            Err(error) if Fail::is_general(&error) => return Err(Fail::kernel(what)(error)),
            Err(error) => {
                tell(&format!("{what}: {error}"));
                (None, Some(error.to_string()))
            }
        };
        outcomes.push(Outcome {
            saved,
            splice,
            error,
        });
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ASCII;
    use crate::format::tests::splice;
    use crate::save::tests::saved;
    use tcp_splice_netlink::SpliceState;

    fn refused(errno: i32) -> Error {
        Error::Kernel {
            errno,
            message: Some("the flow is in another splice".into()),
            attribute: None,
        }
    }

    #[test]
    fn what_was_saved_is_made_again() {
        let text = saved(vec![splice(1), splice(9)]);
        let splices: Vec<Splice> = serde_json::from_str(&text).expect("it can be read");
        let mut made = Vec::new();
        let outcomes = restore(splices, ASCII, |new| {
            made.push(new.clone());
            Ok(splice(100))
        });
        assert_eq!(outcomes.map(|list| list.len()).ok(), Some(2));
        let expected = SpliceNew {
            to_server: splice(1).to_server,
            to_client: splice(1).to_client,
            idle_timeout: splice(1).idle_timeout,
            ..SpliceNew::default()
        };
        assert_eq!(made, [expected.clone(), expected]);
    }

    #[test]
    fn one_refusal_does_not_stop_the_others() {
        let mut ended = splice(2);
        ended.state = Some(SpliceState::Tombstone);
        let mut calls = 0;
        let outcomes = restore(vec![splice(1), ended, splice(3)], ASCII, |_| {
            calls += 1;
            if calls == 1 {
                Err(refused(17))
            } else {
                Ok(splice(50))
            }
        })
        .expect("it goes on");
        assert_eq!(calls, 2, "what had ended is passed over");
        let json = serde_json::to_string(&outcomes[0]).expect("it can be written");
        assert_eq!(
            json,
            r#"{"saved":1,"error":"the flow is in another splice"}"#
        );
        assert_eq!(outcomes[1].saved, Some(3));
        assert_eq!(outcomes[1].splice, Some(splice(50)));
    }

    #[test]
    fn a_missing_permission_stops_all() {
        let mut calls = 0;
        let fail = restore(vec![splice(1), splice(2)], ASCII, |_| {
            calls += 1;
            Err(refused(1))
        });
        assert!(matches!(fail, Err(Fail::Kernel { .. })));
        assert_eq!(calls, 1);
    }
}
