// SPDX-License-Identifier: GPL-2.0

//! Addresses that this host has and tells nobody of: on its loopback device.

use crate::attr::Set;
use crate::error::Error;
use crate::message;
use crate::socket::{self, Exchange};
use netlink_sys::Socket;
use netlink_sys::protocols::NETLINK_ROUTE;
use std::net::IpAddr;

const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_CACHEINFO: u16 = 6;
/// The loopback device of each network namespace.
const LOOPBACK: u32 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const SCOPE_GLOBAL: u8 = 0;
/// No choice for the source of what this host says by itself.
const SCOPE_HOST: u8 = 254;
const FOREVER: u32 = u32::MAX;

static NAMES: Set = Set(&[]);

/// The addresses of the network namespace of the calling thread.
#[derive(Debug)]
pub struct Addresses(Exchange<Socket>);

/// A request about one address of the loopback device.
fn request(kind: u16, flags: u16, seq: u32, address: IpAddr) -> Vec<u8> {
    let (family, prefix, scope) = match address {
        IpAddr::V4(_) => (AF_INET, 32, SCOPE_HOST),
        IpAddr::V6(_) => (AF_INET6, 128, SCOPE_GLOBAL),
    };
    let flags = flags | message::NLM_F_REQUEST | message::NLM_F_ACK;
    let mut head = vec![family, prefix, 0, scope];
    head.extend(LOOPBACK.to_ne_bytes());
    message::build_after(kind, flags, seq, &head, |out| {
        out.address(IFA_LOCAL, address);
        out.address(IFA_ADDRESS, address);
        if address.is_ipv6() && kind == RTM_NEWADDR {
            // Preferred for no time: as the scope of an IPv4 address.
            let times = [0, FOREVER, 0, 0];
            let bytes: Vec<u8> = times.iter().flat_map(|time| time.to_ne_bytes()).collect();
            out.bytes(IFA_CACHEINFO, &bytes);
        }
    })
}

impl Addresses {
    /// Connects to the kernel.
    ///
    /// # Errors
    ///
    /// Those of making a socket.
    pub fn open() -> Result<Addresses, Error> {
        Ok(Addresses(Exchange::new(socket::open_of(NETLINK_ROUTE)?)))
    }

    fn ask(&mut self, kind: u16, flags: u16, address: IpAddr) -> Result<(), Error> {
        let seq = self.0.next_seq();
        let request = request(kind, flags, seq, address);
        self.0
            .obeyed(&request, &NAMES)
            .map_err(|error| match error {
                // Its attributes are not those of this family.
                Error::Kernel { errno, message, .. } => Error::Kernel {
                    errno,
                    message,
                    attribute: None,
                },
                other => other,
            })
    }

    /// Gives this host an address, on its loopback device; it is not chosen as the source of what the host says by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `EEXIST` if the device has it.
    pub fn add(&mut self, address: IpAddr) -> Result<(), Error> {
        self.ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address)
    }

    /// Takes it away again.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] with `EADDRNOTAVAIL` if the device has it not.
    pub fn del(&mut self, address: IpAddr) -> Result<(), Error> {
        self.ask(RTM_DELADDR, 0, address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn requests_are_these_bytes() {
        #[rustfmt::skip]
        assert_eq!(request(RTM_DELADDR, 0, 3, [192, 0, 2, 1].into()), [
            40, 0, 0, 0,  21, 0,  5, 0,  3, 0, 0, 0,  0, 0, 0, 0,
            2, 32, 0, 254,  1, 0, 0, 0,
            8, 0, 2, 0,  192, 0, 2, 1,
            8, 0, 1, 0,  192, 0, 2, 1,
        ]);
        let six = request(RTM_NEWADDR, NLM_F_CREATE, 3, [7u16; 8].into());
        assert_eq!(six[16..20], [10, 128, 0, 0]);
        assert_eq!(
            six[six.len() - 20..],
            [
                20, 0, 6, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0
            ]
        );
    }

    #[test]
    fn the_running_kernel_refuses_what_is_not_there() {
        let mut addresses = Addresses::open().expect("there is always rtnetlink");
        let error = addresses
            .del([192, 0, 2, 77].into())
            .expect_err("it is not there, or not ours to take");
        // EADDRNOTAVAIL, or EPERM.
        assert!(matches!(error.errno(), Some(99 | 1)), "{error}");
    }
}
