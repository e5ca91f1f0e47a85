// SPDX-License-Identifier: GPL-2.0

//! `splicectl node` and `splicectl nodes`

use crate::args::{NodeSet, NodeVerb};
use crate::del::each;
use crate::fail::Fail;
use crate::format;
use crate::output::Output;
use crate::table::{Cell, Style, Table, left, right};
use tcp_splice_netlink::{Client, Node, NodeFlags, NodeState};

pub(crate) fn run(out: &Output, verb: NodeVerb) -> Result<(), Fail> {
    match verb {
        NodeVerb::Set(set) => {
            let node = Client::open()
                .and_then(|mut client| client.node_set(&node(&set)))
                .map_err(Fail::kernel(format!("node set {} {}", set.service, set.id)))?;
            print(out, &[node])
        }
        NodeVerb::List => list(out),
        NodeVerb::Del { service, ids } => each(
            out,
            "node del",
            &ids,
            |id| format!("node del {service} {id}"),
            |client, id| client.node_del(service, *id),
            |_, _| String::new(),
        ),
    }
}

/// What is to be set.
fn node(set: &NodeSet) -> Node {
    let flags = |local| {
        if local {
            NodeFlags::LOCAL
        } else {
            NodeFlags::default()
        }
    };
    Node {
        address: Some(set.service.ip()),
        port: Some(set.service.port()),
        id: Some(set.id),
        via: set.via,
        weight: set.weight,
        state: set.state,
        output: set.output,
        flags: set.local.map(flags),
        port_low: set.ports.map(|(low, _)| low),
        port_high: set.ports.map(|(_, high)| high),
        server_port: set.port,
        ..Node::default()
    }
}

/// All nodes of all services.
pub(crate) fn list(out: &Output) -> Result<(), Fail> {
    let nodes = Client::open()
        .and_then(|mut client| client.nodes())
        .map_err(Fail::kernel("nodes"))?;
    print(out, &nodes)
}

fn print(out: &Output, nodes: &[Node]) -> Result<(), Fail> {
    if out.json() {
        return out.value(&nodes);
    }
    let mut table = table(nodes);
    if out.width().is_some_and(|width| table.width() > width) {
        table = table.only(&["SERVICE", "NODE", "VIA", "STATE", "PACKETS"]);
    }
    out.text(&table.render(out.color()))
}

/// Which node, in an event.
pub(crate) fn name(node: &Node) -> String {
    let id = node.id.map_or("?".into(), |id| id.to_string());
    format!("{id} of {}", format::endpoint(node.address, node.port))
}

fn style(state: NodeState) -> Style {
    match state {
        NodeState::Up => Style::Green,
        NodeState::Draining => Style::Yellow,
        NodeState::Down => Style::Dim,
        NodeState::Unknown(_) => Style::Plain,
    }
}

fn table(nodes: &[Node]) -> Table {
    let mut table = Table::new(vec![
        left("SERVICE"),
        right("NODE"),
        left("VIA"),
        left("STATE"),
        right("SINCE"),
        right("WEIGHT"),
        left("OUTPUT"),
        left("PORTS"),
        right("PACKETS"),
        right("CONNECTIONS"),
    ]);
    for node in nodes {
        let text = |value: Option<String>| value.unwrap_or("?".into());
        let is_local = node
            .flags
            .is_some_and(|flags| flags.contains(NodeFlags::LOCAL));
        let output = match is_local {
            true => Some("local".into()),
            false => node.output.map(|output| output.to_string()),
        };
        let ports = match (node.port_low, node.port_high) {
            (Some(low), Some(high)) => format!("{low}-{high}"),
            // Where its server is.
            _ => match node.server_port {
                Some(port) => format!("to {port}"),
                None => "any".into(),
            },
        };
        table.row(vec![
            format::endpoint(node.address, node.port).into(),
            text(node.id.map(|id| id.to_string())).into(),
            text(node.via.map(|via| via.to_string())).into(),
            match node.state {
                Some(state) => Cell::styled(state.to_string(), style(state)),
                None => "?".into(),
            },
            text(node.since.map(format::duration)).into(),
            text(node.weight.map(|weight| weight.to_string())).into(),
            text(output).into(),
            ports.into(),
            text(node.packets.map(|packets| packets.to_string())).into(),
            node.connections
                .map_or("".into(), |connections| connections.to_string())
                .into(),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use tcp_splice_netlink::NodeOutput;

    #[test]
    fn one_line_a_node() {
        let node = |id, state, packets| Node {
            address: Some([192, 0, 2, 1].into()),
            port: Some(80),
            id: Some(id),
            via: Some([10, 0, 0, 10 + id as u8].into()),
            weight: Some(1),
            state: Some(state),
            output: Some(NodeOutput::Direct),
            flags: Some(NodeFlags::default()),
            packets: Some(packets),
            since: Some(192_000),
            ..Node::default()
        };
        let mut last = node(2, NodeState::Draining, 0);
        last.flags = Some(NodeFlags::LOCAL);
        (last.port_low, last.port_high) = (Some(20000), Some(29999));
        let lines = [
            "SERVICE       NODE  VIA        STATE     SINCE  WEIGHT  OUTPUT  PORTS        PACKETS  CONNECTIONS",
            "192.0.2.1:80     1  10.0.0.11  up        3m12s       1  direct  any            12345",
            "192.0.2.1:80     2  10.0.0.12  draining  3m12s       1  local   20000-29999        0",
            "192.0.2.1:80     3  10.0.0.13  up        3m12s       1  nat     to 8080            9            2",
        ];
        let mut nat = node(3, NodeState::Up, 9);
        nat.output = Some(NodeOutput::Nat);
        (nat.server_port, nat.connections) = (Some(8080), Some(2));
        let table = table(&[node(1, NodeState::Up, 12345), last, nat]);
        assert_eq!(table.render(false), lines.join("\n") + "\n");
    }
}
