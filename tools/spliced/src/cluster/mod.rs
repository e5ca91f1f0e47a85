// SPDX-License-Identifier: GPL-2.0

//! The cluster: several hosts that hold each other's splices. `Documentation/cluster.md` explains it.
//!
//! From the inside out:
//!
//! 1. [`row`] is what nodes tell each other of a splice, and [`table`] all that one knows; both can
//!    be merged in any order. [`liveness`] says whether a peer is alive, [`servers`] where servers run.
//! 2. [`node`] decides what to do about everything that is heard. None of these does any input or
//!    output, or reads a clock.
//! 3. [`message`] and [`heartbeat`] are what is said, [`keys`] and [`link`] how and to whom; [`handoff`]
//!    is what is said of connections that move to another node.
//! 4. [`kernel`] is what is asked of the kernel, and [`netlink`] asks it.
//! 5. [`run`] moves things between all of these.
//! 6. [`section`] reads the configuration, [`control`] answers `splicectl`, and [`admission`] stands
//!    between the proxy and the splices that it makes.

pub mod admission;
pub mod control;
pub mod handoff;
pub mod heartbeat;
pub mod kernel;
pub mod keys;
pub mod link;
pub mod liveness;
pub mod message;
pub mod netlink;
pub mod node;
pub mod row;
pub mod run;
pub mod section;
pub mod servers;
pub mod table;
