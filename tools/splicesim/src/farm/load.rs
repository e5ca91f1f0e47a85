// SPDX-License-Identifier: GPL-2.0

//! What a farm has to do, and how many proxies that takes: closed form.

use super::{Dispatch, Farm};
use serde::Serialize;

/// The load of a farm that carries all that is wanted of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Load {
    /// New connections a second.
    pub arrivals: f64,
    /// Payload: bits a second.
    pub traffic: f64,
    /// Packets with data a second.
    pub packets: f64,
    /// Time that a byte of payload takes of the proxies: seconds of a core.
    pub per_byte: f64,
    /// Cores that are busy with packets, with new connections, and with the splices of other proxies; of all proxies.
    pub packet_cores: f64,
    pub setup_cores: f64,
    pub replica_cores: f64,
    /// Splices on each proxy, and their memory in bytes.
    pub splices_each: f64,
    pub memory_each: f64,
}

impl Load {
    pub fn of(farm: &Farm) -> Load {
        let costs = &farm.costs;
        let traffic = farm.connections as f64 * farm.rate;
        let arrivals = traffic / 8.0 / farm.size;
        let packets = traffic / 8.0 / farm.payload as f64;
        let acks = costs.ack_us / farm.ack_every as f64;
        let data = if farm.split { 0.0 } else { costs.data_us };
        let copies = farm.copies() as f64;
        let splices_each = farm.connections as f64 * (copies + 1.0) / farm.proxies as f64;
        Load {
            arrivals,
            traffic,
            packets,
            per_byte: (data + acks) * 1e-6 / farm.payload as f64,
            packet_cores: packets * (data + acks) * 1e-6,
            setup_cores: arrivals * costs.setup_us * 1e-6,
            replica_cores: arrivals * copies * costs.replica_us * 1e-6,
            splices_each,
            memory_each: splices_each * costs.splice_bytes,
        }
    }

    /// Cores that are busy, of all proxies.
    pub fn cores(&self) -> f64 {
        self.packet_cores + self.setup_cores + self.replica_cores
    }
}

/// The fewest proxies that are no busier than `most`, a share of 1, in CPU and link, and that replicas have room on; `None` if no
/// number is enough, because each one more has to install the splices of all the others.
pub fn needed(farm: &Farm, most: f64) -> Option<usize> {
    carrying(farm, most).map(|proxies| proxies.max(farm.dispatch.least(farm.replicas)))
}

/// The same, if replicas may be missing.
pub(super) fn carrying(farm: &Farm, most: f64) -> Option<usize> {
    let enough = |proxies: usize| {
        let farm = Farm {
            proxies,
            ..farm.clone()
        };
        let load = Load::of(&farm);
        let link = if farm.split { 0.0 } else { load.traffic };
        load.cores() <= most * farm.cores * proxies as f64
            && link <= most * farm.link * proxies as f64
    };
    (1..=super::MOST_PROXIES).find(|&proxies| enough(proxies))
}

impl Dispatch {
    /// The fewest proxies that so many replicas can be on.
    fn least(self, replicas: usize) -> usize {
        match self {
            Dispatch::Rr => 1,
            Dispatch::Hash => replicas + 1,
        }
    }
}
