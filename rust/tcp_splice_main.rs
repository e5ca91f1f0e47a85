// SPDX-License-Identifier: GPL-2.0

//! TCP splice: a proxy hands two connections to the kernel, which from then on rewrites headers.
//!
//! From top to bottom, each module uses only those below it: [`netlink`] takes requests, [`splice`]
//! makes and ends what they ask for, [`hook`] and [`dispatch`] are the packet path, [`flow`] and [`service`]
//! what it looks packets up in, [`net`] the kernel made safe, [`xlate`] the translation itself, which knows no kernel.
//! `Documentation/architecture.md` tells more.

use kernel::prelude::*;

pub mod bindings;
pub mod dispatch;
pub mod flow;
pub mod forward;
pub mod hook;
pub mod net;
pub mod netlink;
pub mod netlink_gen;
pub mod pernet;
pub mod service;
pub mod splice;
pub mod stats;
pub mod xlate;

module! {
    type: TcpSplice,
    name: "tcp_splice",
    authors: ["the tcp_splice authors"],
    description: "TCP splice: connections through a proxy, headers rewritten in the kernel",
    license: "GPL",
    alias: ["net-pf-16-proto-16-family-tcp-splice"],
}

/// The module. Dropped from top to bottom: no request comes in before the namespaces go.
struct TcpSplice {
    _family: net::netlink::Registration,
    _namespaces: net::namespace::Registration<pernet::Ns>,
}

impl kernel::Module for TcpSplice {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let namespaces = net::namespace::Registration::new()?;
        Ok(TcpSplice {
            _family: netlink::register()?,
            _namespaces: namespaces,
        })
    }
}

impl Drop for TcpSplice {
    fn drop(&mut self) {}
}
