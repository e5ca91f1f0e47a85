// SPDX-License-Identifier: GPL-2.0

//! The kernel's splices as rows, by way of the `tcp_splice` module's netlink family.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tcp_splice_netlink::{
    Client, Connections, EndReason, Error, Event, Events, Flow, FlowFlags, Migrant, Node,
    NodeOutput, Splice, SpliceFlags, SpliceKind, SpliceNew, SpliceState,
};

use super::kernel::{Dispatch, Heard, Kernel, KernelError, NodeState, Seen, Standing, Watch};
use super::row::{Away, Both, Edit, Key, NodeId, Progress, Reason, Row};

impl From<Error> for KernelError {
    fn from(error: Error) -> Self {
        KernelError(error.to_string())
    }
}

/// Flags that tell how far a flow has come, not what it does.
const PROGRESS: [FlowFlags; 3] = [
    FlowFlags::DRAINING,
    FlowFlags::FIN_SEEN,
    FlowFlags::FIN_ACKED,
];

fn has(flow: &Flow, flag: FlowFlags) -> bool {
    flow.flags.is_some_and(|flags| flags.contains(flag))
}

/// The addresses of a flow: those of arriving packets, and those of leaving ones.
fn addresses(flow: &Flow) -> Option<[SocketAddr; 4]> {
    let address = |ip: Option<IpAddr>, port: Option<u16>| Some(SocketAddr::new(ip?, port?));
    Some([
        address(flow.saddr, flow.sport)?,
        address(flow.daddr, flow.dport)?,
        address(flow.new_saddr, flow.new_sport)?,
        address(flow.new_daddr, flow.new_dport)?,
    ])
}

fn edit(flow: &Flow) -> Option<Edit> {
    let mut flags = flow.flags.unwrap_or_default().0;
    for progress in PROGRESS {
        flags &= !progress.0;
    }
    Some(Edit {
        seq_delta: flow.seq_delta?,
        ack_delta: flow.ack_delta?,
        tsval_delta: flow.tsval_delta,
        tsecr_delta: flow.tsecr_delta,
        wscale_in: flow.wscale_in,
        wscale_out: flow.wscale_out,
        flags,
        seq_origin: flow.seq_origin?,
        ack_floor: flow.ack_floor,
        tsecr_floor: flow.tsecr_floor,
        mss: flow.mss,
    })
}

fn progress(flow: &Flow) -> Option<Progress> {
    Some(Progress {
        seq_next: flow.seq_next?,
        ack_last: flow.ack_last?,
        window_edge: flow.window_edge,
        tsval_last: flow.tsval_last,
        fin_seen: has(flow, FlowFlags::FIN_SEEN),
        fin_acked: has(flow, FlowFlags::FIN_ACKED),
    })
}

/// A flow again, from what a row has of it.
fn flow(ends: [SocketAddr; 4], edit: &Edit, progress: &Progress) -> Flow {
    let mut flags = FlowFlags(edit.flags);
    if progress.fin_seen {
        flags |= FlowFlags::FIN_SEEN;
    }
    if progress.fin_acked {
        flags |= FlowFlags::FIN_ACKED;
    }
    Flow {
        saddr: Some(ends[0].ip()),
        sport: Some(ends[0].port()),
        daddr: Some(ends[1].ip()),
        dport: Some(ends[1].port()),
        new_saddr: Some(ends[2].ip()),
        new_sport: Some(ends[2].port()),
        new_daddr: Some(ends[3].ip()),
        new_dport: Some(ends[3].port()),
        seq_delta: Some(edit.seq_delta),
        ack_delta: Some(edit.ack_delta),
        tsval_delta: edit.tsval_delta,
        tsecr_delta: edit.tsecr_delta,
        wscale_in: edit.wscale_in,
        wscale_out: edit.wscale_out,
        flags: Some(flags),
        seq_origin: Some(edit.seq_origin),
        seq_next: Some(progress.seq_next),
        ack_last: Some(progress.ack_last),
        ack_floor: edit.ack_floor,
        tsecr_floor: edit.tsecr_floor,
        mss: edit.mss,
        window_edge: progress.window_edge,
        tsval_last: progress.tsval_last,
        ..Flow::default()
    }
}

/// Both flows of a row.
fn flows(row: &Row) -> [Flow; 2] {
    let [client, service, proxy, server] = row.ends;
    let output = |away: Away| match away.tunnel {
        true => NodeOutput::Tunnel,
        false => NodeOutput::Direct,
    };
    let to_server = flow(
        [client, service, proxy, server],
        &row.edits[0],
        &row.progress[0],
    );
    [
        Flow {
            output: row.away.map(output),
            via: row.away.map(|away| away.via),
            ..to_server
        },
        flow(
            [server, proxy, service, client],
            &row.edits[1],
            &row.progress[1],
        ),
    ]
}

/// The row of a splice, if its numbers are all there and its flows are each other's reverse.
fn row(splice: &Splice) -> Option<Row> {
    let (to_server, to_client) = (splice.to_server.as_ref()?, splice.to_client.as_ref()?);
    let ends @ [client, service, proxy, server] = addresses(to_server)?;
    if addresses(to_client)? != [server, proxy, service, client] {
        return None;
    }
    let age = Duration::from_millis(splice.age.unwrap_or(0));
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let born = now.unwrap_or_default().saturating_sub(age);
    Some(Row {
        ends,
        edits: [edit(to_server)?, edit(to_client)?],
        progress: [progress(to_server)?, progress(to_client)?],
        idle_timeout: splice.idle_timeout,
        cut_when_idle: splice
            .flags
            .is_some_and(|flags| flags.contains(SpliceFlags::CUT_WHEN_IDLE)),
        // The node itself knows better.
        owner: NodeId(0),
        born: u64::try_from(born.as_millis()).unwrap_or(u64::MAX),
        away: to_server.via.map(|via| Away {
            via,
            tunnel: to_server.output == Some(NodeOutput::Tunnel),
        }),
    })
}

/// How a splice stands, for the cluster; `None` for what it has no use for.
fn seen(splice: &Splice) -> Option<Seen> {
    if matches!(splice.kind, Some(SpliceKind::Nat | SpliceKind::Rewrite)) {
        // Of a service of this host; no proxy has made it.
        return None;
    }
    let id = splice.id?;
    let flows = [splice.to_server.as_ref()?, splice.to_client.as_ref()?];
    let has_moved = flows.iter().any(|flow| flow.via.is_some());
    // That a connection has come back here is news for all that send its packets elsewhere.
    let came_back = splice.reason == Some(EndReason::Returned) && !has_moved;
    let state = if splice.gives_back() || came_back {
        Standing::Bound
    } else if splice.state == Some(SpliceState::Tombstone) {
        let reason = splice.reason.unwrap_or(EndReason::None);
        Standing::Over(row(splice)?.key(), Reason(reason.to_u32()))
    } else if splice.state == Some(SpliceState::Arming)
        || flows.iter().any(|flow| has(flow, FlowFlags::DRAINING))
    {
        Standing::Draining
    } else {
        Standing::Whole(Box::new(row(splice)?))
    };
    Some(Seen { id, state })
}

/// What makes this host a holder of a row.
fn request(row: &Row, split: bool) -> SpliceNew {
    let [to_server, to_client] = flows(row);
    let mut flags = SpliceFlags::REPLICATED;
    if row.cut_when_idle {
        flags |= SpliceFlags::CUT_WHEN_IDLE;
    }
    if split {
        flags |= SpliceFlags::SPLIT;
    }
    SpliceNew {
        to_server: Some(to_server),
        to_client: Some(to_client),
        idle_timeout: row.idle_timeout,
        flags: Some(flags),
        ..SpliceNew::default()
    }
}

/// What `splice-set` merges into a flow.
fn merged(progress: &Progress) -> Flow {
    let mut flags = FlowFlags::default();
    if progress.fin_seen {
        flags |= FlowFlags::FIN_SEEN;
    }
    if progress.fin_acked {
        flags |= FlowFlags::FIN_ACKED;
    }
    Flow {
        seq_next: Some(progress.seq_next),
        ack_last: Some(progress.ack_last),
        window_edge: progress.window_edge,
        tsval_last: progress.tsval_last,
        flags: Some(flags),
        ..Flow::default()
    }
}

/// So many times as long as it took to list all splices, they are not listed again to find one.
const LIST_SHARE: u32 = 10;

struct Module {
    client: Client,
    /// Which splice has which key, as it was when they were listed last; and when that was, and how long it took.
    index: HashMap<Key, u64>,
    listed: Option<(Instant, Duration)>,
    /// Opened when it is needed.
    connections: Option<Connections>,
}

/// Opens a netlink socket to the module.
///
/// # Errors
///
/// When the module is not loaded, or netlink does not work.
pub fn open() -> Result<Box<dyn Kernel>, KernelError> {
    Ok(Box::new(Module {
        client: Client::open()?,
        index: HashMap::new(),
        listed: None,
        connections: None,
    }))
}

impl Module {
    /// The splice of this key, if there is a live one. Many may be asked for in a row: the list, which may be long, is not made for each.
    fn find(&mut self, key: &Key) -> Result<Option<u64>, KernelError> {
        if let Some(id) = self.index.get(key).copied() {
            if self
                .client
                .splice_get(id)
                .is_ok_and(|splice| live(&splice) == Some(*key))
            {
                return Ok(Some(id));
            }
        }
        let is_fresh = |(at, took): (Instant, Duration)| at.elapsed() < took * LIST_SHARE;
        if self.listed.is_some_and(is_fresh) {
            return Ok(None);
        }
        let began = Instant::now();
        let all = self.client.splices()?;
        let found = all
            .iter()
            .filter_map(|splice| Some((live(splice)?, splice.id?)));
        self.index = found.collect();
        self.listed = Some((Instant::now(), began.elapsed()));
        Ok(self.index.get(key).copied())
    }
}

impl Kernel for Module {
    fn list(&mut self) -> Result<Vec<Seen>, KernelError> {
        Ok(self.client.splices()?.iter().filter_map(seen).collect())
    }

    fn install(&mut self, row: &Row, split: bool) -> Result<u64, KernelError> {
        // It has come here since, and its packets are for its socket.
        if row.away.is_some() && self.has(&row.key())? {
            return Err(KernelError("this host has the connection".into()));
        }
        match self.client.splice_new(&request(row, split)) {
            Ok(splice) => splice
                .id
                .ok_or_else(|| KernelError("the kernel did not tell which splice it made".into())),
            Err(error) if error.errno() == Some(rustix::io::Errno::EXIST.raw_os_error()) => {
                self.find(&row.key())?.ok_or_else(|| error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn advance(&mut self, id: u64, progress: &Both, replicated: bool) -> Result<(), KernelError> {
        let [to_server, to_client] = [merged(&progress[0]), merged(&progress[1])];
        let flags = replicated.then_some(SpliceFlags::REPLICATED);
        self.client
            .splice_set(id, Some(&to_server), Some(&to_client), flags)?;
        Ok(())
    }

    fn forget(&mut self, id: u64, reason: Reason) -> Result<(), KernelError> {
        // Of one that went without a word the reason is not known; what came back did not come back here.
        let reason = match EndReason::from_u32(reason.0) {
            EndReason::None | EndReason::Returned => EndReason::Deleted,
            known => known,
        };
        self.client.splice_forget(id, reason)?;
        Ok(())
    }

    fn take_over(&mut self, migrant: &Migrant) -> Result<(), KernelError> {
        Ok(self.client.import(migrant, None)?)
    }

    fn has(&mut self, key: &Key) -> Result<bool, KernelError> {
        let mut connections = match self.connections.take() {
            Some(connections) => connections,
            None => Connections::open()?,
        };
        let has = connections.has(key.service, key.client)?;
        // After a failure a new one is opened.
        self.connections = Some(connections);
        Ok(has)
    }

    fn subscribe(&mut self) -> Result<Box<dyn Watch>, KernelError> {
        Ok(Box::new(Subscription(Events::open()?)))
    }
}

/// The key of a splice that has not ended.
fn live(splice: &Splice) -> Option<Key> {
    let is_live = splice.state != Some(SpliceState::Tombstone);
    Some(row(splice).filter(|_| is_live)?.key())
}

struct Subscription(Events);

impl Watch for Subscription {
    fn next(&mut self, within: Duration) -> Result<Option<Heard>, KernelError> {
        let until = Instant::now() + within;
        loop {
            match self.0.next_until(until)? {
                Some(Event::Lost) => return Ok(Some(Heard::Lost)),
                Some(Event::New(splice) | Event::Change(splice) | Event::End(splice)) => {
                    if let Some(seen) = seen(&splice) {
                        return Ok(Some(Heard::Seen(seen)));
                    }
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }
}

/// The kernel's choice of nodes for packets: the state of a node is set in each service that has it.
///
/// Only what changes is set, so what an operator sets stays until then. A service that is made later
/// has its nodes as `splicectl node set` says.
#[derive(Debug, Default)]
pub struct Nodes(Option<Client>);

/// What a node is given in the kernel's words. Who has not the whole table gets nothing yet.
fn given(state: NodeState) -> tcp_splice_netlink::NodeState {
    match state {
        NodeState::Down | NodeState::Joining => tcp_splice_netlink::NodeState::Down,
        NodeState::Up => tcp_splice_netlink::NodeState::Up,
        NodeState::Draining => tcp_splice_netlink::NodeState::Draining,
    }
}

/// What is to be set: of these nodes those with this number that stand otherwise.
fn changes(nodes: Vec<Node>, id: NodeId, state: NodeState) -> Vec<Node> {
    let state = Some(given(state));
    nodes
        .into_iter()
        .filter(|node| node.id == Some(id.0) && node.state != state)
        .map(|node| Node {
            address: node.address,
            port: node.port,
            id: node.id,
            state,
            ..Node::default()
        })
        .collect()
}

impl Nodes {
    fn set(client: &mut Client, id: NodeId, state: NodeState) -> Result<(), Error> {
        for node in changes(client.nodes()?, id, state) {
            client.node_set(&node)?;
        }
        Ok(())
    }
}

impl Dispatch for Nodes {
    fn node(&mut self, id: NodeId, state: NodeState) -> Result<(), KernelError> {
        let mut client = match self.0.take() {
            Some(client) => client,
            None => Client::open()?,
        };
        Nodes::set(&mut client, id, state)?;
        // After a failure a new one is opened: the module may have been loaded anew.
        self.0 = Some(client);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row as sample;
    use super::*;

    /// What the kernel tells of a row that it has.
    fn told(row: &Row) -> Splice {
        let [to_server, to_client] = flows(row);
        Splice {
            id: Some(5),
            to_server: Some(to_server),
            to_client: Some(to_client),
            idle_timeout: row.idle_timeout,
            flags: row.cut_when_idle.then_some(SpliceFlags::CUT_WHEN_IDLE),
            state: Some(SpliceState::Established),
            age: Some(1000),
            ..Splice::default()
        }
    }

    #[test]
    fn a_row_goes_to_the_kernel_and_comes_back() {
        let mut row = sample(3);
        row.edits[0].tsval_delta = Some(9);
        row.edits[1].mss = Some(1400);
        row.edits[1].flags = FlowFlags::SACK.0;
        row.progress[0].fin_seen = true;
        row.progress[1].fin_acked = true;
        row.progress[1].window_edge = Some(77);
        row.cut_when_idle = true;
        let Some(Seen {
            id: 5,
            state: Standing::Whole(back),
        }) = seen(&told(&row))
        else {
            panic!("{:?}", seen(&told(&row)));
        };
        // The kernel knows no owner, and the age by this host's clock.
        assert!(back.born > 1_600_000_000_000);
        let back = Row {
            owner: row.owner,
            born: row.born,
            ..*back
        };
        assert_eq!(back, row);
        let [to_server, to_client] = flows(&row);
        let new = request(&row, false);
        assert_eq!(
            (new.to_server, new.to_client),
            (Some(to_server), Some(to_client))
        );
        let replicated = SpliceFlags::CUT_WHEN_IDLE | SpliceFlags::REPLICATED;
        assert_eq!(new.flags, Some(replicated));
        let split = request(&row, true);
        assert_eq!(split.flags, Some(replicated | SpliceFlags::SPLIT));
        // What is merged is progress and nothing else.
        let flow = merged(&row.progress[1]);
        assert_eq!(flow.flags, Some(FlowFlags::FIN_ACKED));
        assert_eq!(
            (flow.seq_next, flow.window_edge),
            (Some(row.progress[1].seq_next), Some(77))
        );
        assert_eq!(
            (flow.saddr, flow.seq_delta, flow.ack_floor),
            (None, None, None)
        );
        assert_eq!((new.client_fd, new.server_fd), (None, None));
    }

    #[test]
    fn where_a_connection_moved_goes_along() {
        let mut row = sample(2);
        row.ends = [row.ends[0], row.ends[1], row.ends[0], row.ends[1]];
        for tunnel in [false, true] {
            let via = [10, 0, 0, 2].into();
            row.away = Some(Away { via, tunnel });
            let state = seen(&told(&row)).map(|seen| seen.state);
            let Some(Standing::Whole(back)) = state else {
                panic!("{state:?}");
            };
            assert_eq!(back.away, row.away);
            let [to_server, to_client] = flows(&row);
            assert_eq!((to_server.via, to_client.via), (Some(via), None));
        }
    }

    #[test]
    fn how_splices_stand() {
        let row = sample(1);
        let standing = |change: &dyn Fn(&mut Splice)| {
            let mut splice = told(&row);
            change(&mut splice);
            seen(&splice).map(|seen| seen.state)
        };
        let draining = |splice: &mut Splice| {
            let flow = splice.to_client.as_mut().unwrap();
            flow.flags = Some(FlowFlags::SACK | FlowFlags::DRAINING);
        };
        assert_eq!(standing(&draining), Some(Standing::Draining));
        assert_eq!(
            standing(&|s| s.limit_to_client = Some(5)),
            Some(Standing::Bound)
        );
        assert_eq!(
            standing(&|s| s.flags = Some(SpliceFlags::RETURN_ON_FIN)),
            Some(Standing::Bound)
        );
        let returned = |s: &mut Splice| {
            s.state = Some(SpliceState::Tombstone);
            s.reason = Some(EndReason::Returned);
        };
        assert_eq!(standing(&returned), Some(Standing::Bound));
        // Of a connection that had moved, others know.
        let came_back = |s: &mut Splice| {
            s.to_server.as_mut().unwrap().via = Some([10, 0, 0, 2].into());
            returned(s);
        };
        let over = Standing::Over(row.key(), Reason::RETURNED);
        assert_eq!(standing(&came_back), Some(over));
        assert_eq!(Reason::RETURNED, Reason(EndReason::Returned.to_u32()));
        assert_eq!(Reason::FIN, Reason(EndReason::Fin.to_u32()));
        let over = |s: &mut Splice| {
            s.state = Some(SpliceState::Tombstone);
            s.reason = Some(EndReason::Idle);
        };
        assert_eq!(
            standing(&over),
            Some(Standing::Over(row.key(), Reason(EndReason::Idle.to_u32())))
        );
        // Nor are connections of services.
        assert_eq!(standing(&|s| s.kind = Some(SpliceKind::Nat)), None);
        assert_eq!(standing(&|s| s.kind = Some(SpliceKind::Rewrite)), None);
        // Flows that are not each other's reverse, or not whole, are none of the cluster's.
        assert_eq!(standing(&|s| s.to_client = s.to_server.clone()), None);
        assert_eq!(
            standing(&|s| s.to_client.as_mut().unwrap().ack_last = None),
            None
        );
        assert_eq!(
            Reason::SUPERSEDED,
            Reason(EndReason::Deleted.to_u32()),
            "as if somebody had deleted it"
        );
    }

    #[test]
    fn a_state_is_set_in_each_service_that_has_the_node() {
        use tcp_splice_netlink::NodeState as Given;
        let node = |port: u16, id: u32, state: Given| Node {
            address: Some([192, 0, 2, 1].into()),
            port: Some(port),
            id: Some(id),
            state: Some(state),
            weight: Some(3),
            packets: Some(100),
            ..Node::default()
        };
        let all = vec![
            node(80, 1, Given::Up),
            node(80, 2, Given::Up),
            node(81, 2, Given::Down),
            node(82, 2, Given::Draining),
        ];
        // Only what identifies it, and its state.
        let set = |port: u16, state: Given| Node {
            weight: None,
            packets: None,
            ..node(port, 2, state)
        };
        for (state, expected) in [
            (
                NodeState::Down,
                vec![set(80, Given::Down), set(82, Given::Down)],
            ),
            (
                NodeState::Joining,
                vec![set(80, Given::Down), set(82, Given::Down)],
            ),
            (NodeState::Up, vec![set(81, Given::Up), set(82, Given::Up)]),
            (
                NodeState::Draining,
                vec![set(80, Given::Draining), set(81, Given::Draining)],
            ),
        ] {
            assert_eq!(changes(all.clone(), NodeId(2), state), expected, "{state}");
        }
        assert_eq!(changes(all, NodeId(9), NodeState::Up), []);
    }
}
