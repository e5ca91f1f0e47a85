// SPDX-License-Identifier: GPL-2.0

//! `splicectl vip`: addresses that this host takes packets for and does not answer for, as the survey's one-way mechanisms want
//! it of a server's host.
//!
//! What was before is kept in a file for each network namespace, so that it can be put back.

use crate::args::VipVerb;
use crate::fail::{Fail, tell};
use crate::output::Output;
use crate::table::{Table, left};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tcp_splice_netlink::{Addresses, Client, Node, NodeFlags, NodeOutput, Scheduler};

/// Where the files are.
const FOLDER: &str = "/run/splicectl";
/// Of IPv4: no answer for an address of another device, and no such address in a question (ip-sysctl.rst).
const SYSCTLS: [(&str, u32); 2] = [("arp_ignore", 1), ("arp_announce", 2)];
const SYSCTL_FOLDER: &str = "/proc/sys/net/ipv4/conf/all";
/// The one node of the service that has tunnels taken out.
const NODE: u32 = 1;

pub(crate) fn run(out: &Output, verb: VipVerb) -> Result<(), Fail> {
    match verb {
        VipVerb::Add { address, tunnel } => {
            let vip = Vip { address, tunnel };
            let what = format!("vip add {address}");
            add(&mut Kept::open(&what)?, vip, &what)?;
            print(out, &[vip])
        }
        VipVerb::List => print(out, &Kept::open("vip list")?.state.vips),
        VipVerb::Del { addresses } => {
            let mut result = Ok(());
            for address in addresses {
                let what = format!("vip del {address}");
                let gone = Kept::open(&what).and_then(|mut kept| del(&mut kept, address, &what));
                if let Err(fail) = gone {
                    fail.report();
                    result = Err(Fail::Told);
                }
            }
            result
        }
    }
}

/// One address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Vip {
    address: IpAddr,
    /// Where tunnels end that are taken out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    tunnel: Option<IpAddr>,
}

/// What was done in a network namespace.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// Sysctls as they were.
    before: BTreeMap<String, u32>,
    vips: Vec<Vip>,
}

impl State {
    fn has_v4(&self) -> bool {
        self.vips.iter().any(|vip| vip.address.is_ipv4())
    }
}

/// The file of this network namespace, which nobody else has open.
struct Kept {
    file: File,
    state: State,
}

/// Whether this host has an address.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

fn path() -> Result<PathBuf, std::io::Error> {
    let namespace = fs::metadata("/proc/thread-self/ns/net")?;
    Ok(Path::new(FOLDER).join(format!("vip-{}", namespace.ino())))
}

impl Kept {
    fn open(what: &str) -> Result<Kept, Fail> {
        let io = |error: std::io::Error| Fail::other(format!("{what}: {FOLDER}"))(error);
        fs::create_dir_all(FOLDER).map_err(io)?;
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path().map_err(io)?)
            .map_err(io)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| io(error.into()))?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        let mut state: State = if text.is_empty() {
            State::default()
        } else {
            serde_json::from_str(&text).map_err(Fail::other(format!("{what}: {FOLDER}")))?
        };
        // Of a namespace that has gone, and whose number another one has, nothing is here.
        state.vips.retain(|vip| is_here(vip.address));
        if state.vips.is_empty() {
            state.before.clear();
        }
        Ok(Kept { file, state })
    }

    fn write(&mut self) -> std::io::Result<()> {
        let text = serde_json::to_string(&self.state)?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.file.write_all(text.as_bytes())
    }
}

fn sysctl(name: &str) -> PathBuf {
    Path::new(SYSCTL_FOLDER).join(name)
}

/// Keeps the host from answering ARP for what is on its loopback device, and notes how it was.
fn hush(before: &mut BTreeMap<String, u32>) -> std::io::Result<()> {
    for (name, least) in SYSCTLS {
        let text = fs::read_to_string(sysctl(name))?;
        let value: u32 = text.trim().parse().map_err(std::io::Error::other)?;
        if value < least {
            fs::write(sysctl(name), least.to_string())?;
            before.insert(name.into(), value);
        }
    }
    Ok(())
}

/// Puts sysctls back, unless somebody has set them otherwise since.
fn unhush(before: &BTreeMap<String, u32>) -> std::io::Result<()> {
    for (name, least) in SYSCTLS {
        let now = fs::read_to_string(sysctl(name))?;
        if let Some(value) = before.get(name).filter(|_| now.trim() == least.to_string()) {
            fs::write(sysctl(name), value.to_string())?;
        }
    }
    Ok(())
}

/// The service that has tunnels taken out.
fn service(vip: &Vip) -> SocketAddr {
    SocketAddr::new(vip.address, 0)
}

fn dig(vip: &Vip, via: IpAddr) -> Result<(), tcp_splice_netlink::Error> {
    let mut client = Client::open()?;
    client.service_new(service(vip), Scheduler::Rr, None)?;
    let node = Node {
        address: Some(vip.address),
        port: Some(0),
        id: Some(NODE),
        via: Some(via),
        output: Some(NodeOutput::Tunnel),
        flags: Some(NodeFlags::LOCAL),
        ..Node::default()
    };
    let set = client.node_set(&node);
    if set.is_err() {
        let _ = client.service_del(service(vip));
    }
    set.map(drop)
}

fn add(kept: &mut Kept, vip: Vip, what: &str) -> Result<(), Fail> {
    let other = |message: &str| Fail::Other {
        what: what.into(),
        message: message.into(),
    };
    if kept
        .state
        .vips
        .iter()
        .any(|known| known.address == vip.address)
    {
        return Err(other("it is there already; delete it first"));
    }
    if is_here(vip.address) {
        return Err(other(
            "this host has it already, and answers for it; take it away first",
        ));
    }
    if vip
        .tunnel
        .is_some_and(|end| end.is_ipv4() != vip.address.is_ipv4())
    {
        return Err(other("the end of the tunnel is of another address family"));
    }
    let mut before = BTreeMap::new();
    if let Err(fail) = set_up(vip, &mut before, !kept.state.has_v4(), what) {
        let _ = unhush(&before);
        return Err(fail);
    }
    kept.state.before.extend(before);
    kept.state.vips.push(vip);
    kept.write()
        .map_err(Fail::other(format!("{what}: {FOLDER}")))
}

/// Has the host take packets for an address; the `first` of IPv4 has sysctls set, which are noted as they were `before`.
fn set_up(
    vip: Vip,
    before: &mut BTreeMap<String, u32>,
    first: bool,
    what: &str,
) -> Result<(), Fail> {
    // Before the address is there, so that nobody hears of it.
    if first && vip.address.is_ipv4() {
        hush(before).map_err(Fail::other(format!("{what}: {SYSCTL_FOLDER}")))?;
    }
    let mut addresses = Addresses::open().map_err(Fail::kernel(what))?;
    addresses.add(vip.address).map_err(Fail::kernel(what))?;
    let Some(via) = vip.tunnel else {
        return Ok(());
    };
    dig(&vip, via).map_err(|error| {
        let _ = addresses.del(vip.address);
        Fail::kernel(format!("{what} --tunnel {via}"))(error)
    })
}

fn del(kept: &mut Kept, address: IpAddr, what: &str) -> Result<(), Fail> {
    let Some(at) = kept
        .state
        .vips
        .iter()
        .position(|vip| vip.address == address)
    else {
        return Err(Fail::Other {
            what: what.into(),
            message: "it was not added by `vip add`; see `vip list`".into(),
        });
    };
    let vip = kept.state.vips[at];
    if vip.tunnel.is_some() {
        let gone = Client::open().and_then(|mut client| client.service_del(service(&vip)));
        // Without the module there is no service, and somebody may have deleted it.
        if let Err(error) = gone {
            tell(&format!("{what}: its service: {error}"));
        }
    }
    Addresses::open()
        .and_then(|mut addresses| addresses.del(address))
        .map_err(Fail::kernel(what))?;
    kept.state.vips.remove(at);
    if address.is_ipv4() && !kept.state.has_v4() {
        unhush(&kept.state.before).map_err(Fail::other(format!("{what}: {SYSCTL_FOLDER}")))?;
        kept.state.before.clear();
    }
    kept.write()
        .map_err(Fail::other(format!("{what}: {FOLDER}")))
}

fn print(out: &Output, vips: &[Vip]) -> Result<(), Fail> {
    if out.json() {
        return out.value(&vips);
    }
    out.text(&table(vips).render(out.color()))
}

fn table(vips: &[Vip]) -> Table {
    let mut table = Table::new(vec![left("ADDRESS"), left("TUNNEL")]);
    for vip in vips {
        let tunnel = vip.tunnel.map_or("-".into(), |end| end.to_string());
        table.row(vec![vip.address.to_string().into(), tunnel.into()]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_address() {
        let vips = [
            Vip {
                address: [192, 0, 2, 80].into(),
                tunnel: Some([10, 0, 0, 2].into()),
            },
            Vip {
                address: [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into(),
                tunnel: None,
            },
        ];
        let lines = [
            "ADDRESS      TUNNEL",
            "192.0.2.80   10.0.0.2",
            "2001:db8::1  -",
        ];
        assert_eq!(table(&vips).render(false), lines.join("\n") + "\n");
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        let state = State {
            before: [("arp_ignore".into(), 0)].into(),
            vips: vec![Vip {
                address: [192, 0, 2, 80].into(),
                tunnel: None,
            }],
        };
        let text = serde_json::to_string(&state).expect("it can be written");
        assert_eq!(serde_json::from_str::<State>(&text).ok(), Some(state));
        assert!(is_here([127, 0, 0, 1].into()) && !is_here([192, 0, 2, 80].into()));
    }
}
