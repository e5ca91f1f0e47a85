// SPDX-License-Identifier: GPL-2.0
// Do not edit directly, auto-generated from:
//	Documentation/netlink/specs/tcp_splice.yaml
// To regenerate run, from the top of the tree: cargo run --manifest-path tools/Cargo.toml -p ynl-gen

//! Types and messages of the `tcp-splice` generic netlink family.

use crate::attr::{Attrs, Field, Malformed, Set, Writer};
use crate::message::Request;
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;
use std::net::IpAddr;
use std::ops::{BitOr, BitOrAssign};
use std::str::FromStr;

/// Name that the kernel resolves to the number of the family.
pub const FAMILY_NAME: &str = "tcp-splice";
/// Name of the multicast group `events`.
pub(crate) const MCGRP_EVENTS: &str = "events";
/// A splice was made.
pub(crate) const CMD_SPLICE_NEW_NTF: u8 = 5;
/// A splice ended; reason and byte counts are final.
pub(crate) const CMD_SPLICE_END_NTF: u8 = 6;
/// A splice has drained: other hosts can carry it. Or a FIN of one that is replicated was seen or
/// acknowledged here.
pub(crate) const CMD_SPLICE_CHANGE_NTF: u8 = 7;
/// A node was added or changed.
pub(crate) const CMD_NODE_SET_NTF: u8 = 15;
/// A node was taken out, by itself or with its service.
pub(crate) const CMD_NODE_DEL_NTF: u8 = 16;

/// Where a splice stands in its life.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpliceState {
    /// Being set up; packets are held until the numbers are known.
    Arming,
    /// Carrying data end to end, while a local socket still retransmits bytes that the proxy had
    /// sent before and that are not acknowledged.
    Draining,
    /// Carrying data end to end; header edits only.
    Established,
    /// A FIN was seen in at least one direction.
    Closing,
    /// A limit was reached, or a return was asked for: nothing new is carried, and the sockets are
    /// given back once all that was carried is acknowledged.
    Returning,
    /// Ended; late packets are still carried or answered until the entry is removed.
    Tombstone,
    /// A service has given the connection to a server, which has not answered yet; or its client
    /// has not acknowledged that.
    Opening,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl SpliceState {
    /// Every value that has a name.
    pub const ALL: [Self; 7] = [
        Self::Arming,
        Self::Draining,
        Self::Established,
        Self::Closing,
        Self::Returning,
        Self::Tombstone,
        Self::Opening,
    ];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Arming => "arming",
            Self::Draining => "draining",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Returning => "returning",
            Self::Tombstone => "tombstone",
            Self::Opening => "opening",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Arming,
            1 => Self::Draining,
            2 => Self::Established,
            3 => Self::Closing,
            4 => Self::Returning,
            5 => Self::Tombstone,
            6 => Self::Opening,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Arming => 0,
            Self::Draining => 1,
            Self::Established => 2,
            Self::Closing => 3,
            Self::Returning => 4,
            Self::Tombstone => 5,
            Self::Opening => 6,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for SpliceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for SpliceState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no splice-state"))
    }
}

impl Serialize for SpliceState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpliceState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What the two flows are of.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpliceKind {
    /// Two connections, of a proxy.
    Splice,
    /// A connection that has moved to another host, which gets the client's packets as they are.
    Handoff,
    /// A connection that a service has given to a server, whose answers come by here; addresses and
    /// ports are rewritten, and no numbers.
    Nat,
    /// The same, of a server that answers the client itself; the flow to the client is not seen
    /// here.
    Rewrite,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl SpliceKind {
    /// Every value that has a name.
    pub const ALL: [Self; 4] = [Self::Splice, Self::Handoff, Self::Nat, Self::Rewrite];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Splice => "splice",
            Self::Handoff => "handoff",
            Self::Nat => "nat",
            Self::Rewrite => "rewrite",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Splice,
            1 => Self::Handoff,
            2 => Self::Nat,
            3 => Self::Rewrite,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Splice => 0,
            Self::Handoff => 1,
            Self::Nat => 2,
            Self::Rewrite => 3,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for SpliceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for SpliceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no splice-kind"))
    }
}

impl Serialize for SpliceKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SpliceKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Why a splice ended.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// It has not ended.
    None,
    /// Both directions were closed with a FIN and acknowledged.
    Fin,
    /// The client sent a valid RST.
    ResetByClient,
    /// The server sent a valid RST.
    ResetByServer,
    /// An operator deleted it; both ends got a RST.
    Deleted,
    /// No packet for longer than its idle timeout; both ends got a RST.
    Idle,
    /// A local socket gave up on bytes that the proxy had sent and that were never acknowledged;
    /// both ends got a RST.
    Undeliverable,
    /// The connections are the caller's sockets again, at the byte where the splice stopped.
    Returned,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl EndReason {
    /// Every value that has a name.
    pub const ALL: [Self; 8] = [
        Self::None,
        Self::Fin,
        Self::ResetByClient,
        Self::ResetByServer,
        Self::Deleted,
        Self::Idle,
        Self::Undeliverable,
        Self::Returned,
    ];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::None => "none",
            Self::Fin => "fin",
            Self::ResetByClient => "reset-by-client",
            Self::ResetByServer => "reset-by-server",
            Self::Deleted => "deleted",
            Self::Idle => "idle",
            Self::Undeliverable => "undeliverable",
            Self::Returned => "returned",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::None,
            1 => Self::Fin,
            2 => Self::ResetByClient,
            3 => Self::ResetByServer,
            4 => Self::Deleted,
            5 => Self::Idle,
            6 => Self::Undeliverable,
            7 => Self::Returned,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Fin => 1,
            Self::ResetByClient => 2,
            Self::ResetByServer => 3,
            Self::Deleted => 4,
            Self::Idle => 5,
            Self::Undeliverable => 6,
            Self::Returned => 7,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for EndReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no end-reason"))
    }
}

impl Serialize for EndReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EndReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// How a splice is ended on request.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DelMode {
    /// At once; both ends get a RST that carries the exact number they expect.
    Reset,
    /// The sockets that it was made from become usable again, once all bytes that were carried are
    /// acknowledged.
    Return,
    /// It has ended on another host that carries packets of it, too: nobody is told, and late
    /// packets are still carried. Give the reason with it.
    Forget,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl DelMode {
    /// Every value that has a name.
    pub const ALL: [Self; 3] = [Self::Reset, Self::Return, Self::Forget];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Reset => "reset",
            Self::Return => "return",
            Self::Forget => "forget",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Reset,
            1 => Self::Return,
            2 => Self::Forget,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Reset => 0,
            Self::Return => 1,
            Self::Forget => 2,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for DelMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for DelMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no del-mode"))
    }
}

impl Serialize for DelMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DelMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What a splice does at certain moments.
///
/// In text it is a list of names; a bit without a name is `bit-N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpliceFlags(pub u32);

impl SpliceFlags {
    /// A FIN of either side is not carried: it ends the splice as a limit does, and the socket
    /// toward that side reads end of file. Any limit implies this.
    pub const RETURN_ON_FIN: Self = Self(1 << 0);
    /// The idle timeout cuts at once; without this both ends are probed first.
    pub const CUT_WHEN_IDLE: Self = Self(1 << 1);
    /// Other hosts carry packets of it, too, so that what is not seen here has not failed to
    /// happen: it is never cut for being idle, its progress is told by splice-change-ntf and taken
    /// from splice-set.
    pub const REPLICATED: Self = Self(1 << 2);
    /// The server's socket is on this host: what it sends, packets of to-client, is carried where
    /// it is sent, to the client and past the proxies. For a splice made of numbers; it is a
    /// replicated one.
    pub const SPLIT: Self = Self(1 << 3);

    /// Every bit that has a name, with its name.
    pub const ALL: [(Self, &'static str); 4] = [
        (Self::RETURN_ON_FIN, "return-on-fin"),
        (Self::CUT_WHEN_IDLE, "cut-when-idle"),
        (Self::REPLICATED, "replicated"),
        (Self::SPLIT, "split"),
    ];

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits that are set, lowest first.
    pub fn names(self) -> Vec<String> {
        (0..u32::BITS)
            .map(|bit| (bit, Self(1 << bit)))
            .filter(|(_, flag)| self.contains(*flag))
            .map(|(bit, flag)| {
                let known = Self::ALL.iter().find(|(known, _)| *known == flag);
                known.map_or_else(|| format!("bit-{bit}"), |(_, name)| (*name).to_string())
            })
            .collect()
    }
}

impl BitOr for SpliceFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for SpliceFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromStr for SpliceFlags {
    type Err = String;

    /// Reads the name of one bit.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((flag, _)) = Self::ALL.iter().find(|(_, name)| *name == text) {
            return Ok(*flag);
        }
        text.strip_prefix("bit-")
            .and_then(|bit| bit.parse().ok())
            .and_then(|bit| 1u32.checked_shl(bit))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no splice-flags"))
    }
}

impl Serialize for SpliceFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names();
        let mut list = serializer.serialize_seq(Some(names.len()))?;
        for name in &names {
            list.serialize_element(name)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for SpliceFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut flags = Self::default();
        for name in Vec::<String>::deserialize(deserializer)? {
            flags |= name.parse().map_err(de::Error::custom)?;
        }
        Ok(flags)
    }
}

/// Which translations a flow does, and how far its direction has come.
///
/// In text it is a list of names; a bit without a name is `bit-N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowFlags(pub u32);

impl FlowFlags {
    /// Both connections use RFC 7323 timestamps; TSval and TSecr are translated.
    pub const TIMESTAMPS: Self = Self(1 << 0);
    /// Both connections use RFC 2018 selective acknowledgement; SACK edges are translated.
    pub const SACK: Self = Self(1 << 1);
    /// The local socket toward this flow's sender still has unacknowledged bytes, so
    /// acknowledgements are raised to ack-floor when they fall below it.
    pub const DRAINING: Self = Self(1 << 2);
    /// The sender of this flow sent a FIN; seq-next counts it.
    pub const FIN_SEEN: Self = Self(1 << 3);
    /// The receiver acknowledged that FIN.
    pub const FIN_ACKED: Self = Self(1 << 4);
    /// The sender may still echo timestamps of the local socket toward it; such an echo is replaced
    /// by tsecr-floor.
    pub const ECHOING: Self = Self(1 << 5);
    /// Acknowledgements are raised to ack-floor for as long as the splice lives, draining or not.
    pub const FLOORED: Self = Self(1 << 6);

    /// Every bit that has a name, with its name.
    pub const ALL: [(Self, &'static str); 7] = [
        (Self::TIMESTAMPS, "timestamps"),
        (Self::SACK, "sack"),
        (Self::DRAINING, "draining"),
        (Self::FIN_SEEN, "fin-seen"),
        (Self::FIN_ACKED, "fin-acked"),
        (Self::ECHOING, "echoing"),
        (Self::FLOORED, "floored"),
    ];

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits that are set, lowest first.
    pub fn names(self) -> Vec<String> {
        (0..u32::BITS)
            .map(|bit| (bit, Self(1 << bit)))
            .filter(|(_, flag)| self.contains(*flag))
            .map(|(bit, flag)| {
                let known = Self::ALL.iter().find(|(known, _)| *known == flag);
                known.map_or_else(|| format!("bit-{bit}"), |(_, name)| (*name).to_string())
            })
            .collect()
    }
}

impl BitOr for FlowFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for FlowFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromStr for FlowFlags {
    type Err = String;

    /// Reads the name of one bit.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((flag, _)) = Self::ALL.iter().find(|(_, name)| *name == text) {
            return Ok(*flag);
        }
        text.strip_prefix("bit-")
            .and_then(|bit| bit.parse().ok())
            .and_then(|bit| 1u32.checked_shl(bit))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no flow-flags"))
    }
}

impl Serialize for FlowFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names();
        let mut list = serializer.serialize_seq(Some(names.len()))?;
        for name in &names {
            list.serialize_element(name)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for FlowFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut flags = Self::default();
        for name in Vec::<String>::deserialize(deserializer)? {
            flags |= name.parse().map_err(de::Error::custom)?;
        }
        Ok(flags)
    }
}

/// How a service chooses a node for a packet.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheduler {
    /// Each packet goes to the next node that is up, whatever connection it belongs to; of nodes
    /// with output nat or rewrite, each connection.
    Rr,
    /// The same, in proportion to the weights.
    Weighted,
    /// All packets of a connection go to the node that scores highest for its client's address and
    /// port. A node that comes or goes moves only its own share.
    Hash,
    /// A packet goes to the node whose range contains its destination port.
    Ports,
    /// A connection goes to the node that has the fewest for its weight; of those that are equal,
    /// in turn. For nodes with output nat or rewrite, where connections are known.
    Least,
    /// As hash, by the client's address alone; all its connections go to one node.
    Source,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl Scheduler {
    /// Every value that has a name.
    pub const ALL: [Self; 6] = [
        Self::Rr,
        Self::Weighted,
        Self::Hash,
        Self::Ports,
        Self::Least,
        Self::Source,
    ];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Rr => "rr",
            Self::Weighted => "weighted",
            Self::Hash => "hash",
            Self::Ports => "ports",
            Self::Least => "least",
            Self::Source => "source",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Rr,
            1 => Self::Weighted,
            2 => Self::Hash,
            3 => Self::Ports,
            4 => Self::Least,
            5 => Self::Source,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Rr => 0,
            Self::Weighted => 1,
            Self::Hash => 2,
            Self::Ports => 3,
            Self::Least => 4,
            Self::Source => 5,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for Scheduler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no scheduler"))
    }
}

impl Serialize for Scheduler {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scheduler {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What a node is given.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// Everything.
    Up,
    /// No new connection, but packets of connections that it may have.
    Draining,
    /// Nothing.
    Down,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl NodeState {
    /// Every value that has a name.
    pub const ALL: [Self; 3] = [Self::Up, Self::Draining, Self::Down];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Down => "down",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Up,
            1 => Self::Draining,
            2 => Self::Down,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Up => 0,
            Self::Draining => 1,
            Self::Down => 2,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for NodeState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no node-state"))
    }
}

impl Serialize for NodeState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeState {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// How a packet gets to a node.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeOutput {
    /// Unchanged, in a frame to the link-layer address of the node, which is a neighbour on an
    /// Ethernet.
    Direct,
    /// In a packet of its own family to the address of the node (IPIP, IP6IP6).
    Tunnel,
    /// With the node's address, and its port, as destination, as it is routed. The server's answers
    /// have to come by this host, and get the service's address and port as source. The first
    /// packet of a connection chooses the node for all.
    Nat,
    /// The same on the way to the server, which answers the client itself: on its host the node is
    /// local, and what the server sends gets the service's address and port there.
    Rewrite,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl NodeOutput {
    /// Every value that has a name.
    pub const ALL: [Self; 4] = [Self::Direct, Self::Tunnel, Self::Nat, Self::Rewrite];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Direct => "direct",
            Self::Tunnel => "tunnel",
            Self::Nat => "nat",
            Self::Rewrite => "rewrite",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Direct,
            1 => Self::Tunnel,
            2 => Self::Nat,
            3 => Self::Rewrite,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Direct => 0,
            Self::Tunnel => 1,
            Self::Nat => 2,
            Self::Rewrite => 3,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for NodeOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for NodeOutput {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no node-output"))
    }
}

impl Serialize for NodeOutput {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeOutput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// What else is to know of a node.
///
/// In text it is a list of names; a bit without a name is `bit-N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct NodeFlags(pub u32);

impl NodeFlags {
    /// The node is this host. It makes the host a proxy of the service; without one it is a load
    /// balancer.
    pub const LOCAL: Self = Self(1 << 0);

    /// Every bit that has a name, with its name.
    pub const ALL: [(Self, &'static str); 1] = [(Self::LOCAL, "local")];

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits that are set, lowest first.
    pub fn names(self) -> Vec<String> {
        (0..u32::BITS)
            .map(|bit| (bit, Self(1 << bit)))
            .filter(|(_, flag)| self.contains(*flag))
            .map(|(bit, flag)| {
                let known = Self::ALL.iter().find(|(known, _)| *known == flag);
                known.map_or_else(|| format!("bit-{bit}"), |(_, name)| (*name).to_string())
            })
            .collect()
    }
}

impl BitOr for NodeFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for NodeFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromStr for NodeFlags {
    type Err = String;

    /// Reads the name of one bit.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((flag, _)) = Self::ALL.iter().find(|(_, name)| *name == text) {
            return Ok(*flag);
        }
        text.strip_prefix("bit-")
            .and_then(|bit| bit.parse().ok())
            .and_then(|bit| 1u32.checked_shl(bit))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no node-flags"))
    }
}

impl Serialize for NodeFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names();
        let mut list = serializer.serialize_seq(Some(names.len()))?;
        for name in &names {
            list.serialize_element(name)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for NodeFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut flags = Self::default();
        for name in Vec::<String>::deserialize(deserializer)? {
            flags |= name.parse().map_err(de::Error::custom)?;
        }
        Ok(flags)
    }
}

/// What was negotiated for a connection that moves, and where it stands.
///
/// In text it is a list of names; a bit without a name is `bit-N`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct HandoffFlags(pub u32);

impl HandoffFlags {
    /// RFC 7323 timestamps.
    pub const TIMESTAMPS: Self = Self(1 << 0);
    /// This side's timestamps tick in microseconds.
    pub const MICROSECONDS: Self = Self(1 << 1);
    /// RFC 2018 selective acknowledgement.
    pub const SACK: Self = Self(1 << 2);
    /// RFC 7323 window scaling.
    pub const SCALING: Self = Self(1 << 3);
    /// RFC 3168 explicit congestion notification.
    pub const ECN: Self = Self(1 << 4);
    /// The client has sent a FIN, which rcv-next counts.
    pub const FIN: Self = Self(1 << 5);

    /// Every bit that has a name, with its name.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::TIMESTAMPS, "timestamps"),
        (Self::MICROSECONDS, "microseconds"),
        (Self::SACK, "sack"),
        (Self::SCALING, "scaling"),
        (Self::ECN, "ecn"),
        (Self::FIN, "fin"),
    ];

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the bits that are set, lowest first.
    pub fn names(self) -> Vec<String> {
        (0..u32::BITS)
            .map(|bit| (bit, Self(1 << bit)))
            .filter(|(_, flag)| self.contains(*flag))
            .map(|(bit, flag)| {
                let known = Self::ALL.iter().find(|(known, _)| *known == flag);
                known.map_or_else(|| format!("bit-{bit}"), |(_, name)| (*name).to_string())
            })
            .collect()
    }
}

impl BitOr for HandoffFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for HandoffFlags {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl FromStr for HandoffFlags {
    type Err = String;

    /// Reads the name of one bit.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((flag, _)) = Self::ALL.iter().find(|(_, name)| *name == text) {
            return Ok(*flag);
        }
        text.strip_prefix("bit-")
            .and_then(|bit| bit.parse().ok())
            .and_then(|bit| 1u32.checked_shl(bit))
            .map(Self)
            .ok_or_else(|| format!("{text:?} is no handoff-flags"))
    }
}

impl Serialize for HandoffFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = self.names();
        let mut list = serializer.serialize_seq(Some(names.len()))?;
        for name in &names {
            list.serialize_element(name)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for HandoffFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut flags = Self::default();
        for name in Vec::<String>::deserialize(deserializer)? {
            flags |= name.parse().map_err(de::Error::custom)?;
        }
        Ok(flags)
    }
}

/// Which bytes of a connection that moves.
///
/// As a string it is the name in the specification, or the number if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HandoffStream {
    /// The client has sent them, and nobody has read them.
    Received,
    /// They were sent to the client, or are to be, and were not acknowledged.
    Sent,
    /// A value that a newer kernel has.
    Unknown(u32),
}

impl HandoffStream {
    /// Every value that has a name.
    pub const ALL: [Self; 2] = [Self::Received, Self::Sent];

    /// The name in the specification, if the value has one.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Received => "received",
            Self::Sent => "sent",
            Self::Unknown(_) => return None,
        })
    }

    /// The value with this number.
    pub const fn from_u32(value: u32) -> Self {
        match value {
            0 => Self::Received,
            1 => Self::Sent,
            other => Self::Unknown(other),
        }
    }

    /// The number of the value.
    pub const fn to_u32(self) -> u32 {
        match self {
            Self::Received => 0,
            Self::Sent => 1,
            Self::Unknown(value) => value,
        }
    }
}

impl fmt::Display for HandoffStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }
    }
}

impl FromStr for HandoffStream {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{text:?} is no handoff-stream"))
    }
}

impl Serialize for HandoffStream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HandoffStream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// One direction of a splice, as it arrives at this host and as it leaves.
///
/// `None` is an attribute that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Flow {
    /// Source address of arriving packets; 4 bytes for IPv4, 16 for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saddr: Option<IpAddr>,
    /// Destination address of arriving packets; the family of saddr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daddr: Option<IpAddr>,
    /// Source port of arriving packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sport: Option<u16>,
    /// Destination port of arriving packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dport: Option<u16>,
    /// Source address of leaving packets; the family of saddr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_saddr: Option<IpAddr>,
    /// Destination address of leaving packets; the family of saddr.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_daddr: Option<IpAddr>,
    /// Source port of leaving packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_sport: Option<u16>,
    /// Destination port of leaving packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_dport: Option<u16>,
    /// Added to the sequence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_delta: Option<u32>,
    /// Added to the acknowledgement number and to SACK edges.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_delta: Option<u32>,
    /// Added to TSval; in ticks of the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsval_delta: Option<u32>,
    /// Added to TSecr; in ticks of the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsecr_delta: Option<u32>,
    /// Shift of the window field in arriving packets, as the sender announced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wscale_in: Option<u32>,
    /// Shift of the window field in leaving packets, as this host announced it to the receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wscale_out: Option<u32>,
    /// Translations and progress.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<FlowFlags>,
    /// Sequence number, as it arrives, of the first byte carried end to end. Bytes before it
    /// belonged to the proxy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_origin: Option<u32>,
    /// Sequence number, as it arrives, after the highest byte or FIN seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq_next: Option<u32>,
    /// Highest acknowledgement number seen, as it arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_last: Option<u32>,
    /// The receiver of this flow was told this acknowledgement number before the splice; no packet
    /// that leaves carries a lower one while draining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ack_floor: Option<u32>,
    /// Packets translated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Bytes of the stream carried end to end, each counted once; a FIN is not a byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The largest segment, options and payload, that the receiver takes, if the sender may send
    /// larger ones, which are cut then; 0 or absent if it may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u32>,
    /// Where the widest window seen ends, in the numbers of ack-last. A new splice assumes at least
    /// the widest that can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_edge: Option<u32>,
    /// Highest TSval seen, as it arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsval_last: Option<u32>,
    /// The receiver's TSval that the proxy echoed last, in numbers of leaving packets; while
    /// echoing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsecr_floor: Option<u32>,
    /// The connection has moved to another host: packets go there as they are, in this way. Absent
    /// for a flow whose packets are translated and go where they are routed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<NodeOutput>,
    /// The address that reaches that host; with output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
}

impl Flow {
    /// Reads the attributes; those that a newer kernel has are passed over.
    pub(crate) fn decode(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.id() {
                1 => this.saddr = Some(attr.address()?),
                2 => this.daddr = Some(attr.address()?),
                3 => this.sport = Some(attr.be16()?),
                4 => this.dport = Some(attr.be16()?),
                5 => this.new_saddr = Some(attr.address()?),
                6 => this.new_daddr = Some(attr.address()?),
                7 => this.new_sport = Some(attr.be16()?),
                8 => this.new_dport = Some(attr.be16()?),
                9 => this.seq_delta = Some(attr.u32()?),
                10 => this.ack_delta = Some(attr.u32()?),
                11 => this.tsval_delta = Some(attr.u32()?),
                12 => this.tsecr_delta = Some(attr.u32()?),
                13 => this.wscale_in = Some(attr.u32()?),
                14 => this.wscale_out = Some(attr.u32()?),
                15 => this.flags = Some(FlowFlags(attr.u32()?)),
                16 => this.seq_origin = Some(attr.u32()?),
                17 => this.seq_next = Some(attr.u32()?),
                18 => this.ack_last = Some(attr.u32()?),
                19 => this.ack_floor = Some(attr.u32()?),
                20 => this.packets = Some(attr.uint()?),
                21 => this.bytes = Some(attr.uint()?),
                22 => this.mss = Some(attr.u32()?),
                23 => this.window_edge = Some(attr.u32()?),
                24 => this.tsval_last = Some(attr.u32()?),
                25 => this.tsecr_floor = Some(attr.u32()?),
                26 => this.output = Some(NodeOutput::from_u32(attr.u32()?)),
                27 => this.via = Some(attr.address()?),
                _ => {}
            }
        }
        Ok(this)
    }
}

impl Flow {
    /// Writes the attributes that are there.
    pub(crate) fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.saddr {
            out.address(1, value);
        }
        if let Some(value) = self.daddr {
            out.address(2, value);
        }
        if let Some(value) = self.sport {
            out.be16(3, value);
        }
        if let Some(value) = self.dport {
            out.be16(4, value);
        }
        if let Some(value) = self.new_saddr {
            out.address(5, value);
        }
        if let Some(value) = self.new_daddr {
            out.address(6, value);
        }
        if let Some(value) = self.new_sport {
            out.be16(7, value);
        }
        if let Some(value) = self.new_dport {
            out.be16(8, value);
        }
        if let Some(value) = self.seq_delta {
            out.u32(9, value);
        }
        if let Some(value) = self.ack_delta {
            out.u32(10, value);
        }
        if let Some(value) = self.tsval_delta {
            out.u32(11, value);
        }
        if let Some(value) = self.tsecr_delta {
            out.u32(12, value);
        }
        if let Some(value) = self.wscale_in {
            out.u32(13, value);
        }
        if let Some(value) = self.wscale_out {
            out.u32(14, value);
        }
        if let Some(value) = self.flags {
            out.u32(15, value.0);
        }
        if let Some(value) = self.seq_origin {
            out.u32(16, value);
        }
        if let Some(value) = self.seq_next {
            out.u32(17, value);
        }
        if let Some(value) = self.ack_last {
            out.u32(18, value);
        }
        if let Some(value) = self.ack_floor {
            out.u32(19, value);
        }
        if let Some(value) = self.packets {
            out.uint(20, value);
        }
        if let Some(value) = self.bytes {
            out.uint(21, value);
        }
        if let Some(value) = self.mss {
            out.u32(22, value);
        }
        if let Some(value) = self.window_edge {
            out.u32(23, value);
        }
        if let Some(value) = self.tsval_last {
            out.u32(24, value);
        }
        if let Some(value) = self.tsecr_floor {
            out.u32(25, value);
        }
        if let Some(value) = self.output {
            out.u32(26, value.to_u32());
        }
        if let Some(value) = self.via {
            out.address(27, value);
        }
    }
}

/// Two flows that are each other's reverse.
///
/// `None` is an attribute that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Splice {
    /// Identity, unique in the network namespace while the module is loaded; never 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The flow from the client to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_server: Option<Flow>,
    /// The flow from the server to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_client: Option<Flow>,
    /// Milliseconds without a packet in either direction after which both ends are probed, and the
    /// splice is cut if one of them does not answer; 0 means never. Without the attribute the
    /// default is 15 minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_timeout: Option<u64>,
    /// Where the splice stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<SpliceState>,
    /// Why the splice ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<EndReason>,
    /// Milliseconds since the splice was made on this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age: Option<u64>,
    /// Milliseconds since the last packet in either direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<u64>,
    /// Bytes that were unread in the client's socket at arming and were sent to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to_server: Option<u64>,
    /// Bytes that were unread in the server's socket at arming and were sent to the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to_client: Option<u64>,
    /// Bytes of the client's stream, from the first that the caller has not read, that go to the
    /// server. What comes after them is kept for the client's socket. When this many have gone,
    /// nothing new is carried in the other direction either, unless that has a limit of its own to
    /// reach first; and when all is acknowledged the sockets are given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_to_server: Option<u64>,
    /// The same for the server's stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_to_client: Option<u64>,
    /// What it does at certain moments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<SpliceFlags>,
    /// What its flows are of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<SpliceKind>,
}

impl Splice {
    /// Reads the attributes; those that a newer kernel has are passed over.
    pub(crate) fn decode(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.id() {
                1 => this.id = Some(attr.uint()?),
                4 => this.to_server = Some(Flow::decode(attr.nested())?),
                5 => this.to_client = Some(Flow::decode(attr.nested())?),
                6 => this.idle_timeout = Some(attr.uint()?),
                7 => this.state = Some(SpliceState::from_u32(attr.u32()?)),
                8 => this.reason = Some(EndReason::from_u32(attr.u32()?)),
                9 => this.age = Some(attr.uint()?),
                10 => this.idle = Some(attr.uint()?),
                11 => this.moved_to_server = Some(attr.uint()?),
                12 => this.moved_to_client = Some(attr.uint()?),
                13 => this.limit_to_server = Some(attr.uint()?),
                14 => this.limit_to_client = Some(attr.uint()?),
                15 => this.flags = Some(SpliceFlags(attr.u32()?)),
                17 => this.kind = Some(SpliceKind::from_u32(attr.u32()?)),
                _ => {}
            }
        }
        Ok(this)
    }
}

/// Counters of one network namespace since the module was loaded or the namespace was made.
///
/// `None` is an attribute that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Stats {
    /// Splices that exist now, tombstones not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub splices: Option<u64>,
    /// Ended splices that still carry or answer late packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tombstones: Option<u64>,
    /// Splices made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<u64>,
    /// Splices ended, for any reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// Requests for a splice that were refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<u64>,
    /// Packets translated and sent on; a GSO packet counts once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub translated: Option<u64>,
    /// Packets held while a splice was being armed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
    /// Acknowledgements given to a local socket that was draining.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained: Option<u64>,
    /// Splices whose sockets were given back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned: Option<u64>,
    /// Packets kept, whole or in part, for a local socket, since they were beyond a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
    /// Segments that a local socket had received out of order, and had told its peer of, that were
    /// sent to the other side at arming.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_out_of_order: Option<u64>,
    /// Packets cut into segments that their receiver takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resegmented: Option<u64>,
    /// Keep-alive probes sent to the ends of idle splices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub probes: Option<u64>,
    /// Packets for a cut splice that were answered with a RST.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<u64>,
    /// ICMP errors about translated packets that were passed to whoever had sent these, the quoted
    /// addresses, ports and sequence number translated back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_errors: Option<u64>,
    /// Packets dropped because too many were held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_held: Option<u64>,
    /// Packets of a splice dropped because a header was truncated or contradicted itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_malformed: Option<u64>,
    /// Packets dropped because their TTL or hop limit was used up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_ttl: Option<u64>,
    /// Packets dropped because this host had no route to their new destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_no_route: Option<u64>,
    /// Packets dropped because they were larger than the MTU toward their new destination; their
    /// sender was told by ICMP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_too_big: Option<u64>,
    /// Packets dropped because a header could not be made writable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_no_memory: Option<u64>,
    /// RSTs dropped because their sequence number was outside the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_invalid_rst: Option<u64>,
    /// Segments of a dormant local socket dropped because they belonged to the spliced range.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_local: Option<u64>,
    /// Packets of services sent to a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dispatched: Option<u64>,
    /// Packets taken out of a tunnel of a service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decapsulated: Option<u64>,
    /// Packets of services dropped because no node could take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_no_node: Option<u64>,
    /// Packets of services dropped because no node that was asked had their connection, while one
    /// that could not be asked might; no RST was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_not_owned: Option<u64>,
    /// Packets of services dropped because they would have gone back to where they came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_loop: Option<u64>,
    /// Packets that the local socket would have taken in, on their way when it was spliced, that
    /// waited until the window of the other end took them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited: Option<u64>,
    /// Packets of connections that have moved, sent to the host that has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forwarded: Option<u64>,
    /// Connections that moved to another host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handed_off: Option<u64>,
    /// Connections that came from another host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub taken_over: Option<u64>,
    /// Connections of services that exist now and whose clients have not acknowledged a server's
    /// answer yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening: Option<u64>,
    /// Connections that services gave to a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned: Option<u64>,
    /// Packets of this host's servers that were given the address of their service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewritten: Option<u64>,
    /// Packets of services that give connections to servers, dropped because they were of no
    /// connection that is known and opened none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_no_row: Option<u64>,
    /// SYNs of services dropped because the answers of too many connections had not been
    /// acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_opening: Option<u64>,
    /// SYNs of services dropped because there are too many rows, or because another service has
    /// given a connection of the same client's address and port to the same server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drop_full: Option<u64>,
}

impl Stats {
    /// Reads the attributes; those that a newer kernel has are passed over.
    pub(crate) fn decode(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.id() {
                1 => this.splices = Some(attr.uint()?),
                2 => this.tombstones = Some(attr.uint()?),
                3 => this.created = Some(attr.uint()?),
                4 => this.ended = Some(attr.uint()?),
                5 => this.refused = Some(attr.uint()?),
                6 => this.translated = Some(attr.uint()?),
                7 => this.held = Some(attr.uint()?),
                8 => this.drained = Some(attr.uint()?),
                9 => this.returned = Some(attr.uint()?),
                10 => this.kept = Some(attr.uint()?),
                11 => this.moved_out_of_order = Some(attr.uint()?),
                12 => this.resegmented = Some(attr.uint()?),
                13 => this.probes = Some(attr.uint()?),
                14 => this.answered = Some(attr.uint()?),
                15 => this.icmp_errors = Some(attr.uint()?),
                16 => this.drop_held = Some(attr.uint()?),
                17 => this.drop_malformed = Some(attr.uint()?),
                18 => this.drop_ttl = Some(attr.uint()?),
                19 => this.drop_no_route = Some(attr.uint()?),
                20 => this.drop_too_big = Some(attr.uint()?),
                21 => this.drop_no_memory = Some(attr.uint()?),
                22 => this.drop_invalid_rst = Some(attr.uint()?),
                23 => this.drop_local = Some(attr.uint()?),
                24 => this.dispatched = Some(attr.uint()?),
                25 => this.decapsulated = Some(attr.uint()?),
                26 => this.drop_no_node = Some(attr.uint()?),
                27 => this.drop_not_owned = Some(attr.uint()?),
                28 => this.drop_loop = Some(attr.uint()?),
                29 => this.waited = Some(attr.uint()?),
                30 => this.forwarded = Some(attr.uint()?),
                31 => this.handed_off = Some(attr.uint()?),
                32 => this.taken_over = Some(attr.uint()?),
                33 => this.opening = Some(attr.uint()?),
                34 => this.assigned = Some(attr.uint()?),
                35 => this.rewritten = Some(attr.uint()?),
                36 => this.drop_no_row = Some(attr.uint()?),
                37 => this.drop_opening = Some(attr.uint()?),
                38 => this.drop_full = Some(attr.uint()?),
                _ => {}
            }
        }
        Ok(this)
    }
}

impl Stats {
    /// Every number that is there: its name, its meaning and its value.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        [
            (
                "splices",
                "Splices that exist now, tombstones not counted.",
                self.splices,
            ),
            (
                "tombstones",
                "Ended splices that still carry or answer late packets.",
                self.tombstones,
            ),
            ("created", "Splices made.", self.created),
            ("ended", "Splices ended, for any reason.", self.ended),
            (
                "refused",
                "Requests for a splice that were refused.",
                self.refused,
            ),
            (
                "translated",
                "Packets translated and sent on; a GSO packet counts once.",
                self.translated,
            ),
            (
                "held",
                "Packets held while a splice was being armed.",
                self.held,
            ),
            (
                "drained",
                "Acknowledgements given to a local socket that was draining.",
                self.drained,
            ),
            (
                "returned",
                "Splices whose sockets were given back.",
                self.returned,
            ),
            (
                "kept",
                "Packets kept, whole or in part, for a local socket, since they were beyond \
                 a limit.",
                self.kept,
            ),
            (
                "moved-out-of-order",
                "Segments that a local socket had received out of order, and had told its \
                 peer of, that were sent to the other side at arming.",
                self.moved_out_of_order,
            ),
            (
                "resegmented",
                "Packets cut into segments that their receiver takes.",
                self.resegmented,
            ),
            (
                "probes",
                "Keep-alive probes sent to the ends of idle splices.",
                self.probes,
            ),
            (
                "answered",
                "Packets for a cut splice that were answered with a RST.",
                self.answered,
            ),
            (
                "icmp-errors",
                "ICMP errors about translated packets that were passed to whoever had sent \
                 these, the quoted addresses, ports and sequence number translated back.",
                self.icmp_errors,
            ),
            (
                "drop-held",
                "Packets dropped because too many were held.",
                self.drop_held,
            ),
            (
                "drop-malformed",
                "Packets of a splice dropped because a header was truncated or contradicted \
                 itself.",
                self.drop_malformed,
            ),
            (
                "drop-ttl",
                "Packets dropped because their TTL or hop limit was used up.",
                self.drop_ttl,
            ),
            (
                "drop-no-route",
                "Packets dropped because this host had no route to their new destination.",
                self.drop_no_route,
            ),
            (
                "drop-too-big",
                "Packets dropped because they were larger than the MTU toward their new \
                 destination; their sender was told by ICMP.",
                self.drop_too_big,
            ),
            (
                "drop-no-memory",
                "Packets dropped because a header could not be made writable.",
                self.drop_no_memory,
            ),
            (
                "drop-invalid-rst",
                "RSTs dropped because their sequence number was outside the window.",
                self.drop_invalid_rst,
            ),
            (
                "drop-local",
                "Segments of a dormant local socket dropped because they belonged to the \
                 spliced range.",
                self.drop_local,
            ),
            (
                "dispatched",
                "Packets of services sent to a node.",
                self.dispatched,
            ),
            (
                "decapsulated",
                "Packets taken out of a tunnel of a service.",
                self.decapsulated,
            ),
            (
                "drop-no-node",
                "Packets of services dropped because no node could take them.",
                self.drop_no_node,
            ),
            (
                "drop-not-owned",
                "Packets of services dropped because no node that was asked had their \
                 connection, while one that could not be asked might; no RST was sent.",
                self.drop_not_owned,
            ),
            (
                "drop-loop",
                "Packets of services dropped because they would have gone back to where they \
                 came from.",
                self.drop_loop,
            ),
            (
                "waited",
                "Packets that the local socket would have taken in, on their way when it was \
                 spliced, that waited until the window of the other end took them.",
                self.waited,
            ),
            (
                "forwarded",
                "Packets of connections that have moved, sent to the host that has them.",
                self.forwarded,
            ),
            (
                "handed-off",
                "Connections that moved to another host.",
                self.handed_off,
            ),
            (
                "taken-over",
                "Connections that came from another host.",
                self.taken_over,
            ),
            (
                "opening",
                "Connections of services that exist now and whose clients have not \
                 acknowledged a server's answer yet.",
                self.opening,
            ),
            (
                "assigned",
                "Connections that services gave to a server.",
                self.assigned,
            ),
            (
                "rewritten",
                "Packets of this host's servers that were given the address of their \
                 service.",
                self.rewritten,
            ),
            (
                "drop-no-row",
                "Packets of services that give connections to servers, dropped because they \
                 were of no connection that is known and opened none.",
                self.drop_no_row,
            ),
            (
                "drop-opening",
                "SYNs of services dropped because the answers of too many connections had \
                 not been acknowledged.",
                self.drop_opening,
            ),
            (
                "drop-full",
                "SYNs of services dropped because there are too many rows, or because \
                 another service has given a connection of the same client's address and port \
                 to the same server.",
                self.drop_full,
            ),
        ]
        .into_iter()
        .filter_map(|(name, doc, value)| Some((name, doc, value?)))
    }
}

/// An address and port whose TCP packets go to one of several nodes, unless they belong to a splice
/// on this host.
///
/// `None` is an attribute that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Service {
    /// Destination address of the packets; 4 bytes for IPv4, 16 for IPv6.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Destination port of the packets; 0 is any, for the schedulers ports, rr and weighted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How a node is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// Mixed into the scores of the schedulers hash and source; the same on all hosts of a service,
    /// 0 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u32>,
    /// How many nodes it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<u32>,
}

impl Service {
    /// Reads the attributes; those that a newer kernel has are passed over.
    pub(crate) fn decode(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.id() {
                1 => this.address = Some(attr.address()?),
                2 => this.port = Some(attr.be16()?),
                3 => this.scheduler = Some(Scheduler::from_u32(attr.u32()?)),
                4 => this.seed = Some(attr.u32()?),
                5 => this.nodes = Some(attr.u32()?),
                _ => {}
            }
        }
        Ok(this)
    }
}

/// A host that takes packets of a service.
///
/// `None` is an attribute that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Node {
    /// Address of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Port of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Identity of the node, the same on all hosts of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u32>,
    /// Address that reaches the node; of the family of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<IpAddr>,
    /// Share of the node relative to the others, 1 to 255; 1 if absent when the node is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// What it is given; up if absent when the node is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeState>,
    /// How a packet gets to it; direct if absent when the node is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<NodeOutput>,
    /// What else is to know of it; none if absent when the node is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<NodeFlags>,
    /// First destination port that it owns, for the scheduler ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_low: Option<u16>,
    /// Last destination port that it owns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_high: Option<u16>,
    /// Packets that this host has sent to it; a GSO packet counts once. Of output nat and rewrite,
    /// connections that it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets: Option<u64>,
    /// Milliseconds since it was made or its state was last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The server's port, of output nat and rewrite; 0, as if absent when the node is made, is the
    /// service's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_port: Option<u16>,
    /// Connections that it was given and that have not ended; of output nat and rewrite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
}

impl Node {
    /// Reads the attributes; those that a newer kernel has are passed over.
    pub(crate) fn decode(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.id() {
                1 => this.address = Some(attr.address()?),
                2 => this.port = Some(attr.be16()?),
                3 => this.id = Some(attr.u32()?),
                4 => this.via = Some(attr.address()?),
                5 => this.weight = Some(attr.u32()?),
                6 => this.state = Some(NodeState::from_u32(attr.u32()?)),
                7 => this.output = Some(NodeOutput::from_u32(attr.u32()?)),
                8 => this.flags = Some(NodeFlags(attr.u32()?)),
                9 => this.port_low = Some(attr.be16()?),
                10 => this.port_high = Some(attr.be16()?),
                11 => this.packets = Some(attr.uint()?),
                12 => this.since = Some(attr.uint()?),
                13 => this.server_port = Some(attr.be16()?),
                14 => this.connections = Some(attr.uint()?),
                _ => {}
            }
        }
        Ok(this)
    }
}

/// A connection of a client that moves from one host to another. Numbers are those of the
/// connection; this side is whichever host has it.
///
/// `None` is an attribute that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Handoff {
    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<IpAddr>,
    /// The address that the client has connected to; the family of remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<IpAddr>,
    /// The client's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_port: Option<u16>,
    /// The port that the client has connected to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_port: Option<u16>,
    /// Number of the first byte that the new owner is to read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcv_start: Option<u32>,
    /// Number that is expected from the client next; all before it is acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcv_next: Option<u32>,
    /// Where the widest window ends that the client was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcv_edge: Option<u32>,
    /// Oldest number of this side that the client has not acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snd_una: Option<u32>,
    /// Number after the last byte that was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snd_sent: Option<u32>,
    /// Number after the last byte that was given to TCP to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snd_next: Option<u32>,
    /// Where the window ends that the client has given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snd_edge: Option<u32>,
    /// Shift of windows that the client announces; with scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wscale_in: Option<u32>,
    /// Shift of windows that this side announces; with scaling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wscale_out: Option<u32>,
    /// This side's TSval goes on from here; with timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tsval: Option<u32>,
    /// The client's TSval to echo; with timestamps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ts_recent: Option<u32>,
    /// The largest segment that the client takes, in bytes of options and payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mss: Option<u32>,
    /// Bytes that the client has acknowledged, 2^30 at most; bounds how old an acknowledgement may
    /// be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acked: Option<u32>,
    /// What was negotiated, and where it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<HandoffFlags>,
    /// Number of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u32>,
    /// The bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<crate::Bytes>,
    /// Number after the last byte that the client has sent and this host has, gaps before it or
    /// not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rcv_max: Option<u32>,
}

impl Handoff {
    /// Reads the attributes; those that a newer kernel has are passed over.
    pub(crate) fn decode(attrs: Attrs<'_>) -> Result<Self, Malformed> {
        let mut this = Self::default();
        for attr in attrs {
            let attr = attr?;
            match attr.id() {
                1 => this.id = Some(attr.uint()?),
                3 => this.remote = Some(attr.address()?),
                4 => this.local = Some(attr.address()?),
                5 => this.remote_port = Some(attr.be16()?),
                6 => this.local_port = Some(attr.be16()?),
                7 => this.rcv_start = Some(attr.u32()?),
                8 => this.rcv_next = Some(attr.u32()?),
                9 => this.rcv_edge = Some(attr.u32()?),
                10 => this.snd_una = Some(attr.u32()?),
                11 => this.snd_sent = Some(attr.u32()?),
                12 => this.snd_next = Some(attr.u32()?),
                13 => this.snd_edge = Some(attr.u32()?),
                14 => this.wscale_in = Some(attr.u32()?),
                15 => this.wscale_out = Some(attr.u32()?),
                16 => this.tsval = Some(attr.u32()?),
                17 => this.ts_recent = Some(attr.u32()?),
                18 => this.mss = Some(attr.u32()?),
                19 => this.acked = Some(attr.u32()?),
                20 => this.flags = Some(HandoffFlags(attr.u32()?)),
                22 => this.seq = Some(attr.u32()?),
                23 => this.bytes = Some(crate::Bytes(attr.octets())),
                28 => this.rcv_max = Some(attr.u32()?),
                _ => {}
            }
        }
        Ok(this)
    }
}

/// Names of the `flow` attributes, from id 1.
pub(crate) static FLOW: Set = Set(&[
    Field {
        name: "saddr",
        nest: None,
    },
    Field {
        name: "daddr",
        nest: None,
    },
    Field {
        name: "sport",
        nest: None,
    },
    Field {
        name: "dport",
        nest: None,
    },
    Field {
        name: "new-saddr",
        nest: None,
    },
    Field {
        name: "new-daddr",
        nest: None,
    },
    Field {
        name: "new-sport",
        nest: None,
    },
    Field {
        name: "new-dport",
        nest: None,
    },
    Field {
        name: "seq-delta",
        nest: None,
    },
    Field {
        name: "ack-delta",
        nest: None,
    },
    Field {
        name: "tsval-delta",
        nest: None,
    },
    Field {
        name: "tsecr-delta",
        nest: None,
    },
    Field {
        name: "wscale-in",
        nest: None,
    },
    Field {
        name: "wscale-out",
        nest: None,
    },
    Field {
        name: "flags",
        nest: None,
    },
    Field {
        name: "seq-origin",
        nest: None,
    },
    Field {
        name: "seq-next",
        nest: None,
    },
    Field {
        name: "ack-last",
        nest: None,
    },
    Field {
        name: "ack-floor",
        nest: None,
    },
    Field {
        name: "packets",
        nest: None,
    },
    Field {
        name: "bytes",
        nest: None,
    },
    Field {
        name: "mss",
        nest: None,
    },
    Field {
        name: "window-edge",
        nest: None,
    },
    Field {
        name: "tsval-last",
        nest: None,
    },
    Field {
        name: "tsecr-floor",
        nest: None,
    },
    Field {
        name: "output",
        nest: None,
    },
    Field {
        name: "via",
        nest: None,
    },
]);

/// Names of the `splice` attributes, from id 1.
pub(crate) static SPLICE: Set = Set(&[
    Field {
        name: "id",
        nest: None,
    },
    Field {
        name: "client-fd",
        nest: None,
    },
    Field {
        name: "server-fd",
        nest: None,
    },
    Field {
        name: "to-server",
        nest: Some(&FLOW),
    },
    Field {
        name: "to-client",
        nest: Some(&FLOW),
    },
    Field {
        name: "idle-timeout",
        nest: None,
    },
    Field {
        name: "state",
        nest: None,
    },
    Field {
        name: "reason",
        nest: None,
    },
    Field {
        name: "age",
        nest: None,
    },
    Field {
        name: "idle",
        nest: None,
    },
    Field {
        name: "moved-to-server",
        nest: None,
    },
    Field {
        name: "moved-to-client",
        nest: None,
    },
    Field {
        name: "limit-to-server",
        nest: None,
    },
    Field {
        name: "limit-to-client",
        nest: None,
    },
    Field {
        name: "flags",
        nest: None,
    },
    Field {
        name: "mode",
        nest: None,
    },
    Field {
        name: "kind",
        nest: None,
    },
]);

/// Names of the `service` attributes, from id 1.
pub(crate) static SERVICE: Set = Set(&[
    Field {
        name: "address",
        nest: None,
    },
    Field {
        name: "port",
        nest: None,
    },
    Field {
        name: "scheduler",
        nest: None,
    },
    Field {
        name: "seed",
        nest: None,
    },
    Field {
        name: "nodes",
        nest: None,
    },
]);

/// Names of the `node` attributes, from id 1.
pub(crate) static NODE: Set = Set(&[
    Field {
        name: "address",
        nest: None,
    },
    Field {
        name: "port",
        nest: None,
    },
    Field {
        name: "id",
        nest: None,
    },
    Field {
        name: "via",
        nest: None,
    },
    Field {
        name: "weight",
        nest: None,
    },
    Field {
        name: "state",
        nest: None,
    },
    Field {
        name: "output",
        nest: None,
    },
    Field {
        name: "flags",
        nest: None,
    },
    Field {
        name: "port-low",
        nest: None,
    },
    Field {
        name: "port-high",
        nest: None,
    },
    Field {
        name: "packets",
        nest: None,
    },
    Field {
        name: "since",
        nest: None,
    },
    Field {
        name: "server-port",
        nest: None,
    },
    Field {
        name: "connections",
        nest: None,
    },
]);

/// Names of the `handoff` attributes, from id 1.
pub(crate) static HANDOFF: Set = Set(&[
    Field {
        name: "id",
        nest: None,
    },
    Field {
        name: "fd",
        nest: None,
    },
    Field {
        name: "remote",
        nest: None,
    },
    Field {
        name: "local",
        nest: None,
    },
    Field {
        name: "remote-port",
        nest: None,
    },
    Field {
        name: "local-port",
        nest: None,
    },
    Field {
        name: "rcv-start",
        nest: None,
    },
    Field {
        name: "rcv-next",
        nest: None,
    },
    Field {
        name: "rcv-edge",
        nest: None,
    },
    Field {
        name: "snd-una",
        nest: None,
    },
    Field {
        name: "snd-sent",
        nest: None,
    },
    Field {
        name: "snd-next",
        nest: None,
    },
    Field {
        name: "snd-edge",
        nest: None,
    },
    Field {
        name: "wscale-in",
        nest: None,
    },
    Field {
        name: "wscale-out",
        nest: None,
    },
    Field {
        name: "tsval",
        nest: None,
    },
    Field {
        name: "ts-recent",
        nest: None,
    },
    Field {
        name: "mss",
        nest: None,
    },
    Field {
        name: "acked",
        nest: None,
    },
    Field {
        name: "flags",
        nest: None,
    },
    Field {
        name: "stream",
        nest: None,
    },
    Field {
        name: "seq",
        nest: None,
    },
    Field {
        name: "bytes",
        nest: None,
    },
    Field {
        name: "output",
        nest: None,
    },
    Field {
        name: "via",
        nest: None,
    },
    Field {
        name: "idle-timeout",
        nest: None,
    },
    Field {
        name: "timeout",
        nest: None,
    },
    Field {
        name: "rcv-max",
        nest: None,
    },
]);

/// Make a splice, from two connected sockets of the caller or from explicit numbers as splice-get
/// prints them. With sockets, bytes not read yet are moved to the other side and the sockets are no
/// longer usable by the caller, unless limits or a return give them back to a caller that kept them
/// open. Answers with the splice.
#[derive(Debug, Default)]
pub(crate) struct SpliceNewRequest<'a> {
    /// File descriptor, in the caller, of the connected TCP socket toward the client.
    pub(crate) client_fd: Option<u32>,
    /// File descriptor, in the caller, of the connected TCP socket toward the server.
    pub(crate) server_fd: Option<u32>,
    /// The flow from the client to the server.
    pub(crate) to_server: Option<&'a Flow>,
    /// The flow from the server to the client.
    pub(crate) to_client: Option<&'a Flow>,
    /// Milliseconds without a packet in either direction after which both ends are probed, and the
    /// splice is cut if one of them does not answer; 0 means never. Without the attribute the
    /// default is 15 minutes.
    pub(crate) idle_timeout: Option<u64>,
    /// Bytes of the client's stream, from the first that the caller has not read, that go to the
    /// server. What comes after them is kept for the client's socket. When this many have gone,
    /// nothing new is carried in the other direction either, unless that has a limit of its own to
    /// reach first; and when all is acknowledged the sockets are given back.
    pub(crate) limit_to_server: Option<u64>,
    /// The same for the server's stream.
    pub(crate) limit_to_client: Option<u64>,
    /// What it does at certain moments.
    pub(crate) flags: Option<SpliceFlags>,
}

impl Request for SpliceNewRequest<'_> {
    const CMD: u8 = 1;
    const ATTRS: &'static Set = &SPLICE;
    type Reply = Splice;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.client_fd {
            out.u32(2, value);
        }
        if let Some(value) = self.server_fd {
            out.u32(3, value);
        }
        if let Some(value) = self.to_server {
            out.nested(4, |out| value.encode(out));
        }
        if let Some(value) = self.to_client {
            out.nested(5, |out| value.encode(out));
        }
        if let Some(value) = self.idle_timeout {
            out.uint(6, value);
        }
        if let Some(value) = self.limit_to_server {
            out.uint(13, value);
        }
        if let Some(value) = self.limit_to_client {
            out.uint(14, value);
        }
        if let Some(value) = self.flags {
            out.u32(15, value.0);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Splice, Malformed> {
        Splice::decode(attrs)
    }
}

/// Get one splice, or dump all of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct SpliceGetRequest {
    /// Identity, unique in the network namespace while the module is loaded; never 0.
    pub(crate) id: Option<u64>,
}

impl Request for SpliceGetRequest {
    const CMD: u8 = 2;
    const ATTRS: &'static Set = &SPLICE;
    type Reply = Splice;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.id {
            out.uint(1, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Splice, Malformed> {
        Splice::decode(attrs)
    }
}

/// Get one splice, or dump all of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct SpliceGetDumpRequest;

impl Request for SpliceGetDumpRequest {
    const CMD: u8 = 2;
    const ATTRS: &'static Set = &SPLICE;
    type Reply = Splice;

    fn encode(&self, _out: &mut Writer) {}

    fn decode(attrs: Attrs<'_>) -> Result<Splice, Malformed> {
        Splice::decode(attrs)
    }
}

/// End a live splice: cut it at once, so that both ends get a RST and the local sockets disappear,
/// or give the sockets back to whoever holds them. Answers with the splice as it stands.
#[derive(Debug, Default)]
pub(crate) struct SpliceDelRequest {
    /// Identity, unique in the network namespace while the module is loaded; never 0.
    pub(crate) id: Option<u64>,
    /// How it is to end; a reset if absent.
    pub(crate) mode: Option<DelMode>,
    /// Why the splice ended.
    pub(crate) reason: Option<EndReason>,
}

impl Request for SpliceDelRequest {
    const CMD: u8 = 3;
    const ATTRS: &'static Set = &SPLICE;
    type Reply = Splice;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.id {
            out.uint(1, value);
        }
        if let Some(value) = self.mode {
            out.u32(16, value.to_u32());
        }
        if let Some(value) = self.reason {
            out.u32(8, value.to_u32());
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Splice, Malformed> {
        Splice::decode(attrs)
    }
}

/// Merge what another host has seen of a splice of which it carries packets, too: of each flow the
/// highest of seq-next, ack-last, window-edge and tsval-last, fin-seen and fin-acked. Nothing goes
/// back, so that the order does not matter, nor how often it is said. With the flag replicated it
/// is from now on told what is seen here. Answers with the splice as it stands.
#[derive(Debug, Default)]
pub(crate) struct SpliceSetRequest<'a> {
    /// Identity, unique in the network namespace while the module is loaded; never 0.
    pub(crate) id: Option<u64>,
    /// The flow from the client to the server.
    pub(crate) to_server: Option<&'a Flow>,
    /// The flow from the server to the client.
    pub(crate) to_client: Option<&'a Flow>,
    /// What it does at certain moments.
    pub(crate) flags: Option<SpliceFlags>,
}

impl Request for SpliceSetRequest<'_> {
    const CMD: u8 = 4;
    const ATTRS: &'static Set = &SPLICE;
    type Reply = Splice;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.id {
            out.uint(1, value);
        }
        if let Some(value) = self.to_server {
            out.nested(4, |out| value.encode(out));
        }
        if let Some(value) = self.to_client {
            out.nested(5, |out| value.encode(out));
        }
        if let Some(value) = self.flags {
            out.u32(15, value.0);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Splice, Malformed> {
        Splice::decode(attrs)
    }
}

/// Get the counters of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct StatsGetRequest;

impl Request for StatsGetRequest {
    const CMD: u8 = 8;
    const ATTRS: &'static Set = &Set(&[]);
    type Reply = Stats;

    fn encode(&self, _out: &mut Writer) {}

    fn decode(attrs: Attrs<'_>) -> Result<Stats, Malformed> {
        Stats::decode(attrs)
    }
}

/// Make a service, without nodes. Answers with it.
#[derive(Debug, Default)]
pub(crate) struct ServiceNewRequest {
    /// Destination address of the packets; 4 bytes for IPv4, 16 for IPv6.
    pub(crate) address: Option<IpAddr>,
    /// Destination port of the packets; 0 is any, for the schedulers ports, rr and weighted.
    pub(crate) port: Option<u16>,
    /// How a node is chosen.
    pub(crate) scheduler: Option<Scheduler>,
    /// Mixed into the scores of the schedulers hash and source; the same on all hosts of a service,
    /// 0 if absent.
    pub(crate) seed: Option<u32>,
}

impl Request for ServiceNewRequest {
    const CMD: u8 = 9;
    const ATTRS: &'static Set = &SERVICE;
    type Reply = Service;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.address {
            out.address(1, value);
        }
        if let Some(value) = self.port {
            out.be16(2, value);
        }
        if let Some(value) = self.scheduler {
            out.u32(3, value.to_u32());
        }
        if let Some(value) = self.seed {
            out.u32(4, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Service, Malformed> {
        Service::decode(attrs)
    }
}

/// Get one service, or dump all of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct ServiceGetRequest {
    /// Destination address of the packets; 4 bytes for IPv4, 16 for IPv6.
    pub(crate) address: Option<IpAddr>,
    /// Destination port of the packets; 0 is any, for the schedulers ports, rr and weighted.
    pub(crate) port: Option<u16>,
}

impl Request for ServiceGetRequest {
    const CMD: u8 = 10;
    const ATTRS: &'static Set = &SERVICE;
    type Reply = Service;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.address {
            out.address(1, value);
        }
        if let Some(value) = self.port {
            out.be16(2, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Service, Malformed> {
        Service::decode(attrs)
    }
}

/// Get one service, or dump all of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct ServiceGetDumpRequest;

impl Request for ServiceGetDumpRequest {
    const CMD: u8 = 10;
    const ATTRS: &'static Set = &SERVICE;
    type Reply = Service;

    fn encode(&self, _out: &mut Writer) {}

    fn decode(attrs: Attrs<'_>) -> Result<Service, Malformed> {
        Service::decode(attrs)
    }
}

/// Forget a service and its nodes. Answers with the service as it was.
#[derive(Debug, Default)]
pub(crate) struct ServiceDelRequest {
    /// Destination address of the packets; 4 bytes for IPv4, 16 for IPv6.
    pub(crate) address: Option<IpAddr>,
    /// Destination port of the packets; 0 is any, for the schedulers ports, rr and weighted.
    pub(crate) port: Option<u16>,
}

impl Request for ServiceDelRequest {
    const CMD: u8 = 11;
    const ATTRS: &'static Set = &SERVICE;
    type Reply = Service;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.address {
            out.address(1, value);
        }
        if let Some(value) = self.port {
            out.be16(2, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Service, Malformed> {
        Service::decode(attrs)
    }
}

/// Add a node to a service, or change one: what is absent stays as it is. Answers with the node.
#[derive(Debug, Default)]
pub(crate) struct NodeSetRequest {
    /// Address of the service.
    pub(crate) address: Option<IpAddr>,
    /// Port of the service.
    pub(crate) port: Option<u16>,
    /// Identity of the node, the same on all hosts of the service.
    pub(crate) id: Option<u32>,
    /// Address that reaches the node; of the family of the service.
    pub(crate) via: Option<IpAddr>,
    /// Share of the node relative to the others, 1 to 255; 1 if absent when the node is made.
    pub(crate) weight: Option<u32>,
    /// What it is given; up if absent when the node is made.
    pub(crate) state: Option<NodeState>,
    /// How a packet gets to it; direct if absent when the node is made.
    pub(crate) output: Option<NodeOutput>,
    /// What else is to know of it; none if absent when the node is made.
    pub(crate) flags: Option<NodeFlags>,
    /// First destination port that it owns, for the scheduler ports.
    pub(crate) port_low: Option<u16>,
    /// Last destination port that it owns.
    pub(crate) port_high: Option<u16>,
    /// The server's port, of output nat and rewrite; 0, as if absent when the node is made, is the
    /// service's.
    pub(crate) server_port: Option<u16>,
}

impl Request for NodeSetRequest {
    const CMD: u8 = 12;
    const ATTRS: &'static Set = &NODE;
    type Reply = Node;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.address {
            out.address(1, value);
        }
        if let Some(value) = self.port {
            out.be16(2, value);
        }
        if let Some(value) = self.id {
            out.u32(3, value);
        }
        if let Some(value) = self.via {
            out.address(4, value);
        }
        if let Some(value) = self.weight {
            out.u32(5, value);
        }
        if let Some(value) = self.state {
            out.u32(6, value.to_u32());
        }
        if let Some(value) = self.output {
            out.u32(7, value.to_u32());
        }
        if let Some(value) = self.flags {
            out.u32(8, value.0);
        }
        if let Some(value) = self.port_low {
            out.be16(9, value);
        }
        if let Some(value) = self.port_high {
            out.be16(10, value);
        }
        if let Some(value) = self.server_port {
            out.be16(13, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Node, Malformed> {
        Node::decode(attrs)
    }
}

/// Get one node of a service, or dump all nodes of all services of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct NodeGetRequest {
    /// Address of the service.
    pub(crate) address: Option<IpAddr>,
    /// Port of the service.
    pub(crate) port: Option<u16>,
    /// Identity of the node, the same on all hosts of the service.
    pub(crate) id: Option<u32>,
}

impl Request for NodeGetRequest {
    const CMD: u8 = 13;
    const ATTRS: &'static Set = &NODE;
    type Reply = Node;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.address {
            out.address(1, value);
        }
        if let Some(value) = self.port {
            out.be16(2, value);
        }
        if let Some(value) = self.id {
            out.u32(3, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Node, Malformed> {
        Node::decode(attrs)
    }
}

/// Get one node of a service, or dump all nodes of all services of this network namespace.
#[derive(Debug, Default)]
pub(crate) struct NodeGetDumpRequest;

impl Request for NodeGetDumpRequest {
    const CMD: u8 = 13;
    const ATTRS: &'static Set = &NODE;
    type Reply = Node;

    fn encode(&self, _out: &mut Writer) {}

    fn decode(attrs: Attrs<'_>) -> Result<Node, Malformed> {
        Node::decode(attrs)
    }
}

/// Take a node out of a service. Answers with the node as it was.
#[derive(Debug, Default)]
pub(crate) struct NodeDelRequest {
    /// Address of the service.
    pub(crate) address: Option<IpAddr>,
    /// Port of the service.
    pub(crate) port: Option<u16>,
    /// Identity of the node, the same on all hosts of the service.
    pub(crate) id: Option<u32>,
}

impl Request for NodeDelRequest {
    const CMD: u8 = 14;
    const ATTRS: &'static Set = &NODE;
    type Reply = Node;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.address {
            out.address(1, value);
        }
        if let Some(value) = self.port {
            out.be16(2, value);
        }
        if let Some(value) = self.id {
            out.u32(3, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Node, Malformed> {
        Node::decode(attrs)
    }
}

/// Begin to move a connection to another host: its packets are held, its socket sleeps. Answers
/// with where it stands. It goes on as if nothing had been asked if it has not moved when its time
/// is over.
#[derive(Debug, Default)]
pub(crate) struct HandoffExportRequest {
    /// File descriptor, in the caller: of the connected TCP socket that is to move; of an import,
    /// of a listening TCP socket of the same address family, bound to anything, that is to have the
    /// connection.
    pub(crate) fd: Option<u32>,
    /// Milliseconds without a packet of the client after which it is asked whether it is still
    /// there, once the connection has moved; 0 is never. A client that says nothing to that has its
    /// entry forgotten, and nobody is told.
    pub(crate) idle_timeout: Option<u64>,
    /// Milliseconds that the move may take, 5000 unless it is said, 60000 at most. The client is
    /// not answered meanwhile, as if packets had been lost.
    pub(crate) timeout: Option<u64>,
}

impl Request for HandoffExportRequest {
    const CMD: u8 = 17;
    const ATTRS: &'static Set = &HANDOFF;
    type Reply = Handoff;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.fd {
            out.u32(2, value);
        }
        if let Some(value) = self.idle_timeout {
            out.uint(26, value);
        }
        if let Some(value) = self.timeout {
            out.uint(27, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Handoff, Malformed> {
        Handoff::decode(attrs)
    }
}

/// Read bytes of a connection that is being exported, from seq on: as many as are in one piece, 16
/// KiB at most. Of what was received, the next piece if there is a gap. No bytes are the end.
#[derive(Debug, Default)]
pub(crate) struct HandoffReadRequest {
    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    pub(crate) id: Option<u64>,
    /// Which bytes.
    pub(crate) stream: Option<HandoffStream>,
    /// Number of the first of them.
    pub(crate) seq: Option<u32>,
}

impl Request for HandoffReadRequest {
    const CMD: u8 = 18;
    const ATTRS: &'static Set = &HANDOFF;
    type Reply = Handoff;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.id {
            out.uint(1, value);
        }
        if let Some(value) = self.stream {
            out.u32(21, value.to_u32());
        }
        if let Some(value) = self.seq {
            out.u32(22, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Handoff, Malformed> {
        Handoff::decode(attrs)
    }
}

/// Begin to take a connection of another host: its packets are held. It is forgotten if it is not
/// there when its time is over.
#[derive(Debug, Default)]
pub(crate) struct HandoffImportRequest {
    /// The client's address.
    pub(crate) remote: Option<IpAddr>,
    /// The address that the client has connected to; the family of remote.
    pub(crate) local: Option<IpAddr>,
    /// The client's port.
    pub(crate) remote_port: Option<u16>,
    /// The port that the client has connected to.
    pub(crate) local_port: Option<u16>,
    /// Number of the first byte that the new owner is to read.
    pub(crate) rcv_start: Option<u32>,
    /// Number that is expected from the client next; all before it is acknowledged.
    pub(crate) rcv_next: Option<u32>,
    /// Where the widest window ends that the client was given.
    pub(crate) rcv_edge: Option<u32>,
    /// Oldest number of this side that the client has not acknowledged.
    pub(crate) snd_una: Option<u32>,
    /// Number after the last byte that was sent.
    pub(crate) snd_sent: Option<u32>,
    /// Number after the last byte that was given to TCP to be sent.
    pub(crate) snd_next: Option<u32>,
    /// Where the window ends that the client has given.
    pub(crate) snd_edge: Option<u32>,
    /// Shift of windows that the client announces; with scaling.
    pub(crate) wscale_in: Option<u32>,
    /// Shift of windows that this side announces; with scaling.
    pub(crate) wscale_out: Option<u32>,
    /// This side's TSval goes on from here; with timestamps.
    pub(crate) tsval: Option<u32>,
    /// The client's TSval to echo; with timestamps.
    pub(crate) ts_recent: Option<u32>,
    /// The largest segment that the client takes, in bytes of options and payload.
    pub(crate) mss: Option<u32>,
    /// Bytes that the client has acknowledged, 2^30 at most; bounds how old an acknowledgement may
    /// be.
    pub(crate) acked: Option<u32>,
    /// What was negotiated, and where it stands.
    pub(crate) flags: Option<HandoffFlags>,
    /// Milliseconds that the move may take, 5000 unless it is said, 60000 at most. The client is
    /// not answered meanwhile, as if packets had been lost.
    pub(crate) timeout: Option<u64>,
}

impl Request for HandoffImportRequest {
    const CMD: u8 = 19;
    const ATTRS: &'static Set = &HANDOFF;
    type Reply = Handoff;

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.remote {
            out.address(3, value);
        }
        if let Some(value) = self.local {
            out.address(4, value);
        }
        if let Some(value) = self.remote_port {
            out.be16(5, value);
        }
        if let Some(value) = self.local_port {
            out.be16(6, value);
        }
        if let Some(value) = self.rcv_start {
            out.u32(7, value);
        }
        if let Some(value) = self.rcv_next {
            out.u32(8, value);
        }
        if let Some(value) = self.rcv_edge {
            out.u32(9, value);
        }
        if let Some(value) = self.snd_una {
            out.u32(10, value);
        }
        if let Some(value) = self.snd_sent {
            out.u32(11, value);
        }
        if let Some(value) = self.snd_next {
            out.u32(12, value);
        }
        if let Some(value) = self.snd_edge {
            out.u32(13, value);
        }
        if let Some(value) = self.wscale_in {
            out.u32(14, value);
        }
        if let Some(value) = self.wscale_out {
            out.u32(15, value);
        }
        if let Some(value) = self.tsval {
            out.u32(16, value);
        }
        if let Some(value) = self.ts_recent {
            out.u32(17, value);
        }
        if let Some(value) = self.mss {
            out.u32(18, value);
        }
        if let Some(value) = self.acked {
            out.u32(19, value);
        }
        if let Some(value) = self.flags {
            out.u32(20, value.0);
        }
        if let Some(value) = self.timeout {
            out.uint(27, value);
        }
    }

    fn decode(attrs: Attrs<'_>) -> Result<Handoff, Malformed> {
        Handoff::decode(attrs)
    }
}

/// Add bytes to a connection that is being imported, each stream in order. What was received may
/// have gaps after rcv-next.
#[derive(Debug, Default)]
pub(crate) struct HandoffWriteRequest<'a> {
    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    pub(crate) id: Option<u64>,
    /// Which bytes.
    pub(crate) stream: Option<HandoffStream>,
    /// Number of the first of them.
    pub(crate) seq: Option<u32>,
    /// The bytes.
    pub(crate) bytes: Option<&'a crate::Bytes>,
}

impl Request for HandoffWriteRequest<'_> {
    const CMD: u8 = 20;
    const ATTRS: &'static Set = &HANDOFF;
    type Reply = ();

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.id {
            out.uint(1, value);
        }
        if let Some(value) = self.stream {
            out.u32(21, value.to_u32());
        }
        if let Some(value) = self.seq {
            out.u32(22, value);
        }
        if let Some(value) = self.bytes {
            out.bytes(23, &value.0);
        }
    }

    fn decode(_attrs: Attrs<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Of an imported connection: it goes into the accept queue of the listening socket fd or, without
/// fd, of whoever listens on its address and port, its bytes waiting to be read, and is an ordinary
/// connection of this host. Whoever is refused aborts it, which fails with ENOENT if it is
/// forgotten already. Of an exported one: another host has it, the socket is gone without a FIN or
/// a RST, and the client's packets go to that host.
#[derive(Debug, Default)]
pub(crate) struct HandoffCommitRequest {
    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    pub(crate) id: Option<u64>,
    /// File descriptor, in the caller: of the connected TCP socket that is to move; of an import,
    /// of a listening TCP socket of the same address family, bound to anything, that is to have the
    /// connection.
    pub(crate) fd: Option<u32>,
    /// How packets of the client get to the host that has the connection now.
    pub(crate) output: Option<NodeOutput>,
    /// The address that reaches that host.
    pub(crate) via: Option<IpAddr>,
}

impl Request for HandoffCommitRequest {
    const CMD: u8 = 21;
    const ATTRS: &'static Set = &HANDOFF;
    type Reply = ();

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.id {
            out.uint(1, value);
        }
        if let Some(value) = self.fd {
            out.u32(2, value);
        }
        if let Some(value) = self.output {
            out.u32(24, value.to_u32());
        }
        if let Some(value) = self.via {
            out.address(25, value);
        }
    }

    fn decode(_attrs: Attrs<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Of an exported connection: its socket goes on as if nothing had been asked. Of an imported one:
/// it is forgotten.
#[derive(Debug, Default)]
pub(crate) struct HandoffAbortRequest {
    /// Identity of the entry that holds its packets meanwhile, and of the splice that it becomes.
    pub(crate) id: Option<u64>,
}

impl Request for HandoffAbortRequest {
    const CMD: u8 = 22;
    const ATTRS: &'static Set = &HANDOFF;
    type Reply = ();

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.id {
            out.uint(1, value);
        }
    }

    fn decode(_attrs: Attrs<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}

/// Take a connection of another host at once: handoff-import, handoff-write of bytes, which are all
/// that was received, from rcv-start on, and handoff-commit. For one with nothing unacknowledged.
/// Nothing is left of one that is refused.
#[derive(Debug, Default)]
pub(crate) struct HandoffTakeRequest<'a> {
    /// The client's address.
    pub(crate) remote: Option<IpAddr>,
    /// The address that the client has connected to; the family of remote.
    pub(crate) local: Option<IpAddr>,
    /// The client's port.
    pub(crate) remote_port: Option<u16>,
    /// The port that the client has connected to.
    pub(crate) local_port: Option<u16>,
    /// Number of the first byte that the new owner is to read.
    pub(crate) rcv_start: Option<u32>,
    /// Number that is expected from the client next; all before it is acknowledged.
    pub(crate) rcv_next: Option<u32>,
    /// Where the widest window ends that the client was given.
    pub(crate) rcv_edge: Option<u32>,
    /// Oldest number of this side that the client has not acknowledged.
    pub(crate) snd_una: Option<u32>,
    /// Number after the last byte that was sent.
    pub(crate) snd_sent: Option<u32>,
    /// Number after the last byte that was given to TCP to be sent.
    pub(crate) snd_next: Option<u32>,
    /// Where the window ends that the client has given.
    pub(crate) snd_edge: Option<u32>,
    /// Shift of windows that the client announces; with scaling.
    pub(crate) wscale_in: Option<u32>,
    /// Shift of windows that this side announces; with scaling.
    pub(crate) wscale_out: Option<u32>,
    /// This side's TSval goes on from here; with timestamps.
    pub(crate) tsval: Option<u32>,
    /// The client's TSval to echo; with timestamps.
    pub(crate) ts_recent: Option<u32>,
    /// The largest segment that the client takes, in bytes of options and payload.
    pub(crate) mss: Option<u32>,
    /// Bytes that the client has acknowledged, 2^30 at most; bounds how old an acknowledgement may
    /// be.
    pub(crate) acked: Option<u32>,
    /// What was negotiated, and where it stands.
    pub(crate) flags: Option<HandoffFlags>,
    /// The bytes.
    pub(crate) bytes: Option<&'a crate::Bytes>,
    /// File descriptor, in the caller: of the connected TCP socket that is to move; of an import,
    /// of a listening TCP socket of the same address family, bound to anything, that is to have the
    /// connection.
    pub(crate) fd: Option<u32>,
}

impl Request for HandoffTakeRequest<'_> {
    const CMD: u8 = 23;
    const ATTRS: &'static Set = &HANDOFF;
    type Reply = ();

    fn encode(&self, out: &mut Writer) {
        if let Some(value) = self.remote {
            out.address(3, value);
        }
        if let Some(value) = self.local {
            out.address(4, value);
        }
        if let Some(value) = self.remote_port {
            out.be16(5, value);
        }
        if let Some(value) = self.local_port {
            out.be16(6, value);
        }
        if let Some(value) = self.rcv_start {
            out.u32(7, value);
        }
        if let Some(value) = self.rcv_next {
            out.u32(8, value);
        }
        if let Some(value) = self.rcv_edge {
            out.u32(9, value);
        }
        if let Some(value) = self.snd_una {
            out.u32(10, value);
        }
        if let Some(value) = self.snd_sent {
            out.u32(11, value);
        }
        if let Some(value) = self.snd_next {
            out.u32(12, value);
        }
        if let Some(value) = self.snd_edge {
            out.u32(13, value);
        }
        if let Some(value) = self.wscale_in {
            out.u32(14, value);
        }
        if let Some(value) = self.wscale_out {
            out.u32(15, value);
        }
        if let Some(value) = self.tsval {
            out.u32(16, value);
        }
        if let Some(value) = self.ts_recent {
            out.u32(17, value);
        }
        if let Some(value) = self.mss {
            out.u32(18, value);
        }
        if let Some(value) = self.acked {
            out.u32(19, value);
        }
        if let Some(value) = self.flags {
            out.u32(20, value.0);
        }
        if let Some(value) = self.bytes {
            out.bytes(23, &value.0);
        }
        if let Some(value) = self.fd {
            out.u32(2, value);
        }
    }

    fn decode(_attrs: Attrs<'_>) -> Result<(), Malformed> {
        Ok(())
    }
}
