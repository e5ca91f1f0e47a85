// SPDX-License-Identifier: GPL-2.0

//! What splicing costs: the source's figures, or measured ones from a file.

use serde::{Deserialize, Serialize};
use std::path::Path;

/// Time of one core in microseconds, and memory. What a file leaves out is as in the source.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Costs {
    /// To splice a packet with data, on a proxy.
    pub data_us: f64,
    /// To splice an acknowledgement, on a proxy.
    pub ack_us: f64,
    /// To splice a packet with data at the local output of a backend that split-splices.
    pub backend_us: f64,
    /// To accept a connection, read its head, connect to a backend and splice, on the proxy that does it.
    pub setup_us: f64,
    /// To install a splice of another proxy, on each that has a replica.
    pub replica_us: f64,
    /// Memory of a splice, on each proxy that has it.
    pub splice_bytes: f64,
}

/// The source's splicing cost for every packet. It says nothing of the other three: a new connection is taken to cost a proxy
/// as much as twenty packets do, a replica as much as one, and a splice a kilobyte.
impl Default for Costs {
    fn default() -> Costs {
        Costs {
            data_us: 25.0,
            ack_us: 25.0,
            backend_us: 25.0,
            setup_us: 500.0,
            replica_us: 25.0,
            splice_bytes: 1024.0,
        }
    }
}

/// Why there are no costs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Read(#[from] std::io::Error),
    #[error("{0}")]
    Parse(#[from] toml::de::Error),
    #[error("{0} has to be a number from 0 to 1e9")]
    Range(&'static str),
}

impl Costs {
    /// Reads them from a TOML file.
    pub fn read(file: &Path) -> Result<Costs, Error> {
        Costs::parse(&std::fs::read_to_string(file)?)
    }

    /// Reads them from TOML.
    pub fn parse(text: &str) -> Result<Costs, Error> {
        let costs: Costs = toml::from_str(text)?;
        costs.check()?;
        Ok(costs)
    }

    /// Refuses what no cost can be.
    pub fn check(&self) -> Result<(), Error> {
        for (name, value) in [
            ("data_us", self.data_us),
            ("ack_us", self.ack_us),
            ("backend_us", self.backend_us),
            ("setup_us", self.setup_us),
            ("replica_us", self.replica_us),
            ("splice_bytes", self.splice_bytes),
        ] {
            if !(0.0..=1e9).contains(&value) {
                return Err(Error::Range(name));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_leaves_out_is_the_sources() {
        let costs = Costs::parse("data_us = 1.5\n").unwrap();
        assert_eq!((costs.data_us, costs.ack_us), (1.5, 25.0));
    }

    #[test]
    fn a_misspelt_or_impossible_cost_is_refused() {
        let error = Costs::parse("data = 1.5\n").unwrap_err().to_string();
        assert!(error.contains("unknown field `data`"), "{error}");
        for bad in ["-1", "nan", "inf"] {
            let error = Costs::parse(&format!("ack_us = {bad}\n")).unwrap_err();
            assert_eq!(error.to_string(), "ack_us has to be a number from 0 to 1e9");
        }
    }
}
