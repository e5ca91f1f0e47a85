// SPDX-License-Identifier: GPL-2.0

//! On which nodes servers run: what split-splice has to know, since the half of a splice that carries
//! what the server sends belongs to the server's own host.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::row::NodeId;

/// Which node has the server of an address, as proxies connect to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Servers {
    /// Without a port: all of them.
    nodes: HashMap<(IpAddr, Option<u16>), NodeId>,
}

impl Servers {
    /// Takes note that a node serves an address, on one port or on all.
    ///
    /// # Errors
    ///
    /// The node that serves it already, or some of it; which may be the same one.
    pub fn add(&mut self, ip: IpAddr, port: Option<u16>, node: NodeId) -> Result<(), NodeId> {
        let taken = match port {
            Some(port) => self.node(SocketAddr::new(ip, port)),
            None => {
                let of_any_port = self.nodes.iter().filter(|((other, _), _)| *other == ip);
                of_any_port.map(|(_, node)| *node).min()
            }
        };
        match taken {
            Some(other) => Err(other),
            None => {
                self.nodes.insert((ip, port), node);
                Ok(())
            }
        }
    }

    /// The node that has this server, if any node does.
    pub fn node(&self, server: SocketAddr) -> Option<NodeId> {
        let at = |port| self.nodes.get(&(server.ip(), port)).copied();
        at(Some(server.port())).or_else(|| at(None))
    }

    /// The nodes that have any.
    pub fn nodes(&self) -> BTreeSet<NodeId> {
        self.nodes.values().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_node() {
        let (ip, other) = ([10, 0, 2, 21].into(), [10, 0, 2, 22].into());
        let mut servers = Servers::default();
        assert_eq!(servers.add(ip, Some(80), NodeId(5)), Ok(()));
        assert_eq!(servers.add(ip, Some(443), NodeId(6)), Ok(()));
        assert_eq!(servers.add(other, None, NodeId(7)), Ok(()));
        for (ip, port, by) in [
            (ip, Some(80), 5),
            (ip, None, 5),
            (other, Some(1), 7),
            (other, None, 7),
        ] {
            assert_eq!(servers.add(ip, port, NodeId(8)), Err(NodeId(by)));
        }
        assert_eq!(servers.node((ip, 80).into()), Some(NodeId(5)));
        assert_eq!(servers.node((ip, 443).into()), Some(NodeId(6)));
        assert_eq!(servers.node((ip, 81).into()), None);
        assert_eq!(servers.node((other, 81).into()), Some(NodeId(7)));
        assert_eq!(servers.nodes(), [5, 6, 7].map(NodeId).into());
    }
}
