// SPDX-License-Identifier: GPL-2.0

//! Making, reading and cutting splices; services and their nodes.

use crate::bytes::Bytes;
use crate::error::Error;
use crate::generated::{
    DelMode, EndReason, Flow, Handoff, HandoffAbortRequest, HandoffCommitRequest,
    HandoffExportRequest, HandoffImportRequest, HandoffReadRequest, HandoffStream,
    HandoffTakeRequest, HandoffWriteRequest, Node, NodeDelRequest, NodeGetDumpRequest,
    NodeGetRequest, NodeOutput, NodeSetRequest, Scheduler, Service, ServiceDelRequest,
    ServiceGetDumpRequest, ServiceGetRequest, ServiceNewRequest, Splice, SpliceDelRequest,
    SpliceFlags, SpliceGetDumpRequest, SpliceGetRequest, SpliceNewRequest, SpliceSetRequest,
    SpliceState, Stats, StatsGetRequest,
};
use crate::socket::{self, Exchange};
use netlink_sys::Socket;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

/// A request for a connection of another host to come, where it stands there.
macro_rules! comes {
    ($request:ident, $there:expr, $($more:ident: $value:expr),*) => {
        $request {
            remote: $there.remote,
            local: $there.local,
            remote_port: $there.remote_port,
            local_port: $there.local_port,
            rcv_start: $there.rcv_start,
            rcv_next: $there.rcv_next,
            rcv_edge: $there.rcv_edge,
            snd_una: $there.snd_una,
            snd_sent: $there.snd_sent,
            snd_next: $there.snd_next,
            snd_edge: $there.snd_edge,
            wscale_in: $there.wscale_in,
            wscale_out: $there.wscale_out,
            tsval: $there.tsval,
            ts_recent: $there.ts_recent,
            mss: $there.mss,
            acked: $there.acked,
            flags: $there.flags,
            $($more: $value,)*
        }
    };
}

/// What a new splice is made from: two sockets, or two flows of explicit numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpliceNew {
    /// The connected TCP socket toward the client.
    ///
    /// The kernel takes the connection; the caller still owns the descriptor and closes it.
    pub client_fd: Option<RawFd>,
    /// The connected TCP socket toward the server.
    pub server_fd: Option<RawFd>,
    /// The flow from the client to the server.
    pub to_server: Option<Flow>,
    /// The flow from the server to the client.
    pub to_client: Option<Flow>,
    /// Milliseconds without a packet after which the ends are probed; 0 is never, `None` the
    /// kernel's default.
    pub idle_timeout: Option<u64>,
    /// Bytes not read yet of the client's stream that go to the server; then the sockets return.
    pub limit_to_server: Option<u64>,
    /// The same for the server's stream.
    pub limit_to_client: Option<u64>,
    /// What it does at certain moments.
    pub flags: Option<SpliceFlags>,
}

impl Splice {
    /// Bytes that the kernel has taken to the server, and to the client: what was unread in the sockets, and what was carried
    /// from end to end.
    pub fn bytes(&self) -> [u64; 2] {
        let carried = |flow: &Option<Flow>| flow.as_ref().and_then(|flow| flow.bytes).unwrap_or(0);
        [
            carried(&self.to_server) + self.moved_to_server.unwrap_or(0),
            carried(&self.to_client) + self.moved_to_client.unwrap_or(0),
        ]
    }

    /// Whether its sockets are to become a process's again. Made elsewhere without them it would carry
    /// what is not for that server.
    pub fn gives_back(&self) -> bool {
        self.state == Some(SpliceState::Returning)
            || self.limit_to_server.is_some()
            || self.limit_to_client.is_some()
            || self
                .flags
                .is_some_and(|flags| flags.contains(SpliceFlags::RETURN_ON_FIN))
    }
}

/// What of its flags a splice has on another host, too.
const KEPT_FLAGS: SpliceFlags =
    SpliceFlags(SpliceFlags::CUT_WHEN_IDLE.0 | SpliceFlags::REPLICATED.0);

impl From<Splice> for SpliceNew {
    /// The splice again, as another host or a later boot can make it: its numbers alone, without
    /// its identity and its history.
    fn from(splice: Splice) -> Self {
        SpliceNew {
            client_fd: None,
            server_fd: None,
            to_server: splice.to_server,
            to_client: splice.to_client,
            idle_timeout: splice.idle_timeout,
            // Limits, and a return, are for sockets.
            flags: splice
                .flags
                .map(|flags| SpliceFlags(flags.0 & KEPT_FLAGS.0))
                .filter(|flags| flags.0 != 0),
            ..SpliceNew::default()
        }
    }
}

/// A connection to the kernel's splices of one network namespace.
///
/// Each method waits for the kernel's answer, which it gives at once.
#[derive(Debug)]
pub struct Client {
    exchange: Exchange<Socket>,
    family: u16,
}

impl Client {
    /// Connects to the kernel.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoaded`] when the module is not there and the kernel could not load it.
    pub fn open() -> Result<Client, Error> {
        let mut exchange = Exchange::new(socket::open()?);
        let family = exchange.resolve()?.id;
        Ok(Client { exchange, family })
    }

    /// Makes a splice, and returns it with its identity.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`]: `EBADF` and `ENOTSOCK` for a descriptor, `EINVAL` for numbers that
    /// contradict themselves, `EEXIST` when a flow is in another splice, among others.
    pub fn splice_new(&mut self, new: &SpliceNew) -> Result<Splice, Error> {
        // A negative descriptor becomes one that is never open, and the kernel says so.
        let fd = |fd: RawFd| fd as u32;
        self.exchange.call(
            self.family,
            &SpliceNewRequest {
                client_fd: new.client_fd.map(fd),
                server_fd: new.server_fd.map(fd),
                to_server: new.to_server.as_ref(),
                to_client: new.to_client.as_ref(),
                idle_timeout: new.idle_timeout,
                limit_to_server: new.limit_to_server,
                limit_to_client: new.limit_to_client,
                flags: new.flags,
            },
        )
    }

    /// The splice with this identity.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none.
    pub fn splice_get(&mut self, id: u64) -> Result<Splice, Error> {
        self.exchange
            .call(self.family, &SpliceGetRequest { id: Some(id) })
    }

    /// All splices, in no order.
    ///
    /// A list that changed while it was read is read again.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when it changed each time.
    pub fn splices(&mut self) -> Result<Vec<Splice>, Error> {
        self.exchange.dump(self.family, &SpliceGetDumpRequest)
    }

    /// Ends a splice: cuts it at once, or begins to give its sockets back. Returns it as it stands.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none; `EOPNOTSUPP` when its sockets cannot be
    /// given back.
    pub fn splice_del(&mut self, id: u64, mode: DelMode) -> Result<Splice, Error> {
        self.exchange.call(
            self.family,
            &SpliceDelRequest {
                id: Some(id),
                mode: Some(mode),
                reason: None,
            },
        )
    }

    /// Ends a splice as it has ended on another host that carries packets of it, too: nobody is told.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none, or it has ended here, too; `EINVAL` for a reason that
    /// is none.
    pub fn splice_forget(&mut self, id: u64, reason: EndReason) -> Result<Splice, Error> {
        self.exchange.call(
            self.family,
            &SpliceDelRequest {
                id: Some(id),
                mode: Some(DelMode::Forget),
                reason: Some(reason),
            },
        )
    }

    /// Merges what another host has seen of a splice of which it carries packets, too, and with the flag
    /// [`SpliceFlags::REPLICATED`] has what is seen here told from now on. Of the flows only what tells how far
    /// they have come is looked at; it may be said in any order, and again.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none; `EOPNOTSUPP` when its sockets are to return.
    pub fn splice_set(
        &mut self,
        id: u64,
        to_server: Option<&Flow>,
        to_client: Option<&Flow>,
        flags: Option<SpliceFlags>,
    ) -> Result<Splice, Error> {
        self.exchange.call(
            self.family,
            &SpliceSetRequest {
                id: Some(id),
                to_server,
                to_client,
                flags,
            },
        )
    }

    /// Begins to move the connection of a socket to another host. It goes on as if nothing had been asked unless
    /// [`Client::handoff_commit`] comes within `timeout` milliseconds, or five seconds if it is not said.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOTCONN` when it is not established, `EOPNOTSUPP` when it cannot be moved, `EEXIST` when it
    /// is spliced, among others.
    pub fn handoff_export(
        &mut self,
        fd: RawFd,
        idle_timeout: Option<u64>,
        timeout: Option<u64>,
    ) -> Result<Handoff, Error> {
        self.exchange.call(
            self.family,
            &HandoffExportRequest {
                fd: Some(fd as u32),
                idle_timeout,
                timeout,
            },
        )
    }

    /// Bytes of a connection that is being exported, from `seq` on, or after a gap, and where they begin. None are the end.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when it is not being exported.
    pub fn handoff_read(
        &mut self,
        id: u64,
        stream: HandoffStream,
        seq: u32,
    ) -> Result<(u32, Vec<u8>), Error> {
        let read: Handoff = self.exchange.call(
            self.family,
            &HandoffReadRequest {
                id: Some(id),
                stream: Some(stream),
                seq: Some(seq),
            },
        )?;
        let bytes = read.bytes.unwrap_or_default();
        Ok((read.seq.unwrap_or(seq), bytes.0))
    }

    /// Begins to take a connection of another host. Returns the identity that it has here. It is forgotten unless
    /// [`Client::handoff_commit`] comes within `timeout` milliseconds, or five seconds if it is not said.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `EINVAL` for numbers that contradict each other, `EEXIST` when its addresses and ports are
    /// spliced.
    pub fn handoff_import(
        &mut self,
        connection: &Handoff,
        timeout: Option<u64>,
    ) -> Result<u64, Error> {
        let request = comes!(HandoffImportRequest, connection, timeout: timeout);
        let made = self.exchange.call(self.family, &request)?;
        Ok(made.id.unwrap_or_default())
    }

    /// Takes a connection of another host at once, for the listening socket `fd` or whoever listens; `received` is all that its
    /// client has sent and nobody has read, 16 KiB at most, and nothing is unacknowledged.
    ///
    /// # Errors
    ///
    /// As [`Client::handoff_import`], [`Client::handoff_write`] and [`Client::handoff_commit_to`]; nothing of it is left then.
    pub fn handoff_take(
        &mut self,
        connection: &Handoff,
        received: &Bytes,
        fd: Option<RawFd>,
    ) -> Result<(), Error> {
        let fd = fd.map(|fd| fd as u32);
        let request = comes!(HandoffTakeRequest, connection, bytes: Some(received), fd: fd);
        self.exchange.order(self.family, &request)
    }

    /// Adds bytes to a connection that is being imported: 16 KiB at most, each stream in order.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when it is not being imported, `EINVAL` for bytes that do not follow.
    pub fn handoff_write(
        &mut self,
        id: u64,
        stream: HandoffStream,
        seq: u32,
        bytes: &Bytes,
    ) -> Result<(), Error> {
        self.exchange.order(
            self.family,
            &HandoffWriteRequest {
                id: Some(id),
                stream: Some(stream),
                seq: Some(seq),
                bytes: Some(bytes),
            },
        )
    }

    /// An imported connection goes to whoever listens for it; an exported one is the host's at `via` from now on.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] that says why nobody could have it; `ENOENT` when it is not being moved.
    pub fn handoff_commit(
        &mut self,
        id: u64,
        to: Option<(NodeOutput, IpAddr)>,
    ) -> Result<(), Error> {
        self.exchange.order(
            self.family,
            &HandoffCommitRequest {
                id: Some(id),
                fd: None,
                output: to.map(|(output, _)| output),
                via: to.map(|(_, via)| via),
            },
        )
    }

    /// An imported connection goes into the accept queue of the listening socket `fd`, of its address family and wherever
    /// that is bound.
    ///
    /// # Errors
    ///
    /// As [`Client::handoff_commit`]; `EINVAL` when the socket does not listen, is of another address family, or bound to another
    /// device.
    pub fn handoff_commit_to(&mut self, id: u64, fd: RawFd) -> Result<(), Error> {
        self.exchange.order(
            self.family,
            &HandoffCommitRequest {
                id: Some(id),
                fd: Some(fd as u32),
                output: None,
                via: None,
            },
        )
    }

    /// The connection stays where it was.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when it is not being moved.
    pub fn handoff_abort(&mut self, id: u64) -> Result<(), Error> {
        self.exchange
            .order(self.family, &HandoffAbortRequest { id: Some(id) })
    }

    /// The counters of the network namespace.
    pub fn stats(&mut self) -> Result<Stats, Error> {
        self.exchange.call(self.family, &StatsGetRequest)
    }

    /// Makes a service without nodes. Port 0 is any, for the scheduler `ports` only.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `EEXIST` when there is one.
    pub fn service_new(
        &mut self,
        service: SocketAddr,
        scheduler: Scheduler,
        seed: Option<u32>,
    ) -> Result<Service, Error> {
        self.exchange.call(
            self.family,
            &ServiceNewRequest {
                address: Some(service.ip()),
                port: Some(service.port()),
                scheduler: Some(scheduler),
                seed,
            },
        )
    }

    /// The service of this address and port.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none.
    pub fn service_get(&mut self, service: SocketAddr) -> Result<Service, Error> {
        self.exchange.call(
            self.family,
            &ServiceGetRequest {
                address: Some(service.ip()),
                port: Some(service.port()),
            },
        )
    }

    /// All services, by address and port.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when the list changed each time it was read.
    pub fn services(&mut self) -> Result<Vec<Service>, Error> {
        self.exchange.dump(self.family, &ServiceGetDumpRequest)
    }

    /// Forgets a service and its nodes. Returns it as it was.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none.
    pub fn service_del(&mut self, service: SocketAddr) -> Result<Service, Error> {
        self.exchange.call(
            self.family,
            &ServiceDelRequest {
                address: Some(service.ip()),
                port: Some(service.port()),
            },
        )
    }

    /// Adds a node to the service of `address` and `port`, or changes what is given of it. Counters are not set.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`]: `ENOENT` without such a service, `EEXIST` when another node has what only one can have,
    /// `EINVAL` for what no node can be.
    pub fn node_set(&mut self, node: &Node) -> Result<Node, Error> {
        self.exchange.call(
            self.family,
            &NodeSetRequest {
                address: node.address,
                port: node.port,
                id: node.id,
                via: node.via,
                weight: node.weight,
                state: node.state,
                output: node.output,
                flags: node.flags,
                port_low: node.port_low,
                port_high: node.port_high,
                server_port: node.server_port,
            },
        )
    }

    /// A node of a service.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none.
    pub fn node_get(&mut self, service: SocketAddr, id: u32) -> Result<Node, Error> {
        self.exchange.call(
            self.family,
            &NodeGetRequest {
                address: Some(service.ip()),
                port: Some(service.port()),
                id: Some(id),
            },
        )
    }

    /// All nodes of all services, by service and id.
    ///
    /// # Errors
    ///
    /// [`Error::Interrupted`] when the list changed each time it was read.
    pub fn nodes(&mut self) -> Result<Vec<Node>, Error> {
        self.exchange.dump(self.family, &NodeGetDumpRequest)
    }

    /// Takes a node out of a service. Returns it as it was.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `ENOENT` when there is none.
    pub fn node_del(&mut self, service: SocketAddr, id: u32) -> Result<Node, Error> {
        self.exchange.call(
            self.family,
            &NodeDelRequest {
                address: Some(service.ip()),
                port: Some(service.port()),
                id: Some(id),
            },
        )
    }

    /// The number of the family, which is another one after the module was loaded anew.
    pub fn family(&self) -> u16 {
        self.family
    }

    /// What the kernel remarked on the last request that succeeded.
    pub fn warning(&self) -> Option<&str> {
        self.exchange.warning.as_deref()
    }
}
