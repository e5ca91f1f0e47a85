// SPDX-License-Identifier: GPL-2.0

//! `splicectl restore`

use crate::fail::{Fail, tell};
use crate::format::{self, Signs};
use crate::output::Output;
use crate::save::is_live;
use serde::Serialize;
use std::fs;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;
use tcp_splice_netlink::{Client, Error, Flow, FlowFlags, Splice, SpliceFlags, SpliceNew};

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

pub(crate) fn run(out: &Output, file: Option<&PathBuf>, split: bool) -> Result<(), Fail> {
    let name = file.map_or("standard input".into(), |file| file.display().to_string());
    let what = format!("restore: {name}");
    let splices: Vec<Splice> = serde_json::from_str(&read(file)?).map_err(Fail::other(what))?;
    let mut client = Client::open().map_err(Fail::kernel("restore"))?;
    let as_what = if split { splits } else { whole };
    let outcomes = restore(splices, out.signs, as_what, |new| client.splice_new(new))?;
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

/// The splice as it was, for a proxy.
fn whole(splice: Splice) -> Result<SpliceNew, String> {
    Ok(SpliceNew::from(splice))
}

/// The half of a splice that is its server's host's.
fn splits(splice: Splice) -> Result<SpliceNew, String> {
    split(splice, is_local)
}

/// Whether this host, in this network namespace, has an address.
fn is_local(address: IpAddr) -> bool {
    // A port that is free is found, and given back at once.
    UdpSocket::bind((address, 0)).is_ok()
}

fn split(splice: Splice, is_local: impl Fn(IpAddr) -> bool) -> Result<SpliceNew, String> {
    let drains = |flow: &Option<Flow>| {
        let flags = flow.as_ref().and_then(|flow| flow.flags);
        flags.is_some_and(|flags| flags.contains(FlowFlags::DRAINING))
    };
    if splice.gives_back() {
        return Err(
            "its sockets come back to a process, so that only its host can carry it".into(),
        );
    }
    if drains(&splice.to_server) || drains(&splice.to_client) {
        return Err("it still drains on its host; save it again when it has".into());
    }
    let server = splice.to_client.as_ref().and_then(|flow| flow.saddr);
    let Some(server) = server else {
        return Err("nothing says where its server is".into());
    };
    if !is_local(server) {
        return Err(format!(
            "{server} is no address of this host; --split is for the host that its server runs on"
        ));
    }
    let mut new = SpliceNew::from(splice);
    let flags = new.flags.unwrap_or_default();
    new.flags = Some(flags | SpliceFlags::REPLICATED | SpliceFlags::SPLIT);
    Ok(new)
}

/// Makes each splice, and tells of those that were refused.
fn restore(
    splices: Vec<Splice>,
    signs: Signs,
    as_what: impl Fn(Splice) -> Result<SpliceNew, String>,
    mut make: impl FnMut(&SpliceNew) -> Result<Splice, Error>,
) -> Result<Vec<Outcome>, Fail> {
    let mut outcomes = Vec::new();
    for splice in splices.into_iter().filter(is_live) {
        let saved = splice.id;
        let id = saved.map_or("?".into(), |id| id.to_string());
        let what = format!("restore {id} ({})", format::path(&splice, signs));
        let made = match as_what(splice).map(|new| make(&new)) {
            Ok(Ok(splice)) => Ok(splice),
            // The others would fail alike.
            Ok(Err(error)) if Fail::is_general(&error) => return Err(Fail::kernel(what)(error)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(why) => Err(why),
        };
        let (splice, error) = match made {
            Ok(splice) => (Some(splice), None),
            Err(why) => {
                tell(&format!("{what}: {why}"));
                (None, Some(why))
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
        let outcomes = restore(splices, ASCII, whole, |new| {
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
        let outcomes = restore(vec![splice(1), ended, splice(3)], ASCII, whole, |_| {
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
    fn the_half_of_the_servers_host() {
        let here = |address: IpAddr| address == IpAddr::from([10, 0, 0, 20]);
        let new = split(splice(1), here).expect("its server is here");
        assert_eq!(
            new.flags,
            Some(SpliceFlags::REPLICATED | SpliceFlags::SPLIT)
        );
        assert_eq!(new.to_client, splice(1).to_client);
        let mut idle = splice(1);
        idle.flags = Some(SpliceFlags::CUT_WHEN_IDLE);
        let flags = split(idle, here).expect("that is kept").flags;
        assert!(flags.is_some_and(|flags| flags.contains(SpliceFlags::CUT_WHEN_IDLE)));
        // Without the option a row that was split somewhere is a proxy's again.
        let mut split_elsewhere = splice(1);
        split_elsewhere.flags = Some(SpliceFlags::REPLICATED | SpliceFlags::SPLIT);
        let flags = whole(split_elsewhere).expect("it can be made").flags;
        assert_eq!(flags, Some(SpliceFlags::REPLICATED));
    }

    #[test]
    fn what_cannot_be_split_is_named() {
        let refused = |change: &dyn Fn(&mut Splice), local: bool| {
            let mut splice = splice(1);
            change(&mut splice);
            split(splice, |_| local).expect_err("it makes no sense")
        };
        let elsewhere = refused(&|_| {}, false);
        assert!(elsewhere.starts_with("10.0.0.20 is no address of this host"));
        let returning = refused(&|s| s.limit_to_client = Some(9), true);
        assert!(returning.starts_with("its sockets come back"));
        let draining = |splice: &mut Splice| {
            let flow = splice.to_server.as_mut().expect("it has one");
            flow.flags = Some(FlowFlags::DRAINING);
        };
        assert!(refused(&draining, true).starts_with("it still drains"));
        let headless = refused(&|s| s.to_client = None, true);
        assert_eq!(headless, "nothing says where its server is");
        // Each is told of, and the others are made.
        let mut limited = splice(1);
        limited.limit_to_server = Some(0);
        let here = |new: Splice| split(new, |_| true);
        let outcomes = restore(vec![limited, splice(2)], ASCII, here, |_| Ok(splice(7)));
        let outcomes = outcomes.expect("it goes on");
        assert!(outcomes[0].error.is_some() && outcomes[0].splice.is_none());
        assert_eq!(outcomes[1].splice, Some(splice(7)));
    }

    #[test]
    fn which_addresses_are_local() {
        assert!(is_local([127, 0, 0, 1].into()));
        // TEST-NET-3 (RFC 5737).
        assert!(!is_local([203, 0, 113, 77].into()));
    }

    #[test]
    fn a_missing_permission_stops_all() {
        let mut calls = 0;
        let fail = restore(vec![splice(1), splice(2)], ASCII, whole, |_| {
            calls += 1;
            Err(refused(1))
        });
        assert!(matches!(fail, Err(Fail::Kernel { .. })));
        assert_eq!(calls, 1);
    }
}
