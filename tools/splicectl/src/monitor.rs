// SPDX-License-Identifier: GPL-2.0

//! `splicectl monitor`

use crate::fail::{Fail, tell};
use crate::format::{self, Signs};
use crate::node;
use crate::output::Output;
use serde::Serialize;
use std::time::{SystemTime, UNIX_EPOCH};
use tcp_splice_netlink::{Event, Events, Node, Splice};

/// An event in JSON.
#[derive(Debug, Serialize)]
struct Record<'a> {
    /// Milliseconds since 1970, when it was read.
    time: u64,
    event: &'static str,
    #[serde(flatten)]
    splice: Option<&'a Splice>,
    #[serde(flatten)]
    node: Option<&'a Node>,
}

pub(crate) fn run(out: &Output) -> Result<(), Fail> {
    let mut events = Events::open().map_err(Fail::kernel("monitor"))?;
    loop {
        let event = events.next().map_err(Fail::kernel("monitor"))?;
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        let time = time.map_or(0, |time| time.as_millis() as u64);
        if out.json() {
            // One line an event, for who reads lines: -p makes no difference.
            let record = serde_json::to_string(&record(time, &event));
            out.text(&(record.map_err(Fail::other("standard output"))? + "\n"))?;
        } else if let Some(line) = line(&event, out.signs) {
            out.text(&(line + "\n"))?;
        } else {
            tell("monitor: an event of a kind that this version does not know");
        }
    }
}

fn record(time: u64, event: &Event) -> Record<'_> {
    let (event, splice, node) = match event {
        Event::New(splice) => ("new", Some(splice), None),
        Event::End(splice) => ("end", Some(splice), None),
        Event::NodeSet(node) => ("node-set", None, Some(node)),
        Event::NodeDel(node) => ("node-del", None, Some(node)),
        Event::Lost => ("lost", None, None),
        _ => ("unknown", None, None),
    };
    Record {
        time,
        event,
        splice,
        node,
    }
}

fn line(event: &Event, signs: Signs) -> Option<String> {
    let id = |splice: &Splice| splice.id.map_or("?".into(), |id| id.to_string());
    Some(match event {
        Event::New(splice) => {
            let path = format::path(splice, signs);
            format!("new {}  {path}", id(splice))
        }
        Event::End(splice) => {
            let reason = splice
                .reason
                .map_or("?".into(), |reason| reason.to_string());
            format!(
                "end {}  {}  {reason} after {}, {} to server, {} to client",
                id(splice),
                format::path(splice, signs),
                splice.age.map_or("?".into(), format::duration),
                format::bytes(format::carried(splice.to_server.as_ref())),
                format::bytes(format::carried(splice.to_client.as_ref())),
            )
        }
        Event::NodeSet(node) => {
            let state = node.state.map_or("?".into(), |state| state.to_string());
            format!("node-set {}  {state}", node::name(node))
        }
        Event::NodeDel(node) => format!("node-del {}", node::name(node)),
        Event::Lost => {
            "lost  events came faster than they were read; list the splices again".into()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::ASCII;
    use crate::format::tests::splice;
    use tcp_splice_netlink::{EndReason, NodeState};

    #[test]
    fn one_line_an_event() {
        let path = "192.0.2.1:40000 -> 198.51.100.1:80 <> 10.0.0.1:5000 -> 10.0.0.20:8080";
        let mut ended = splice(4);
        ended.reason = Some(EndReason::ResetByServer);
        assert_eq!(
            line(&Event::New(splice(4)), ASCII),
            Some(format!("new 4  {path}"))
        );
        assert_eq!(
            line(&Event::End(ended), ASCII),
            Some(format!(
                "end 4  {path}  reset-by-server after 3m12s, 2.0 KiB to server, 300 MiB to client"
            ))
        );
        let mut returned = splice(4);
        returned.reason = Some(EndReason::Returned);
        assert_eq!(
            line(&Event::End(returned), ASCII),
            Some(format!(
                "end 4  {path}  returned after 3m12s, 2.0 KiB to server, 300 MiB to client"
            ))
        );
        let node = Node {
            address: Some([192, 0, 2, 1].into()),
            port: Some(80),
            id: Some(2),
            state: Some(NodeState::Down),
            ..Node::default()
        };
        assert_eq!(
            line(&Event::NodeSet(node.clone()), ASCII).as_deref(),
            Some("node-set 2 of 192.0.2.1:80  down")
        );
        let set = serde_json::to_string(&record(5, &Event::NodeSet(node)));
        assert_eq!(
            set.expect("it can be written"),
            r#"{"time":5,"event":"node-set","address":"192.0.2.1","port":80,"id":2,"state":"down"}"#
        );
        let lost = serde_json::to_string(&record(5, &Event::Lost)).expect("it can be written");
        assert_eq!(lost, r#"{"time":5,"event":"lost"}"#);
        let splice = Splice {
            id: Some(4),
            ..Splice::default()
        };
        let new = serde_json::to_string(&record(5, &Event::New(splice)));
        let expected = r#"{"time":5,"event":"new","id":4}"#;
        assert_eq!(new.expect("it can be written"), expected);
    }
}
