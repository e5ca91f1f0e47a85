// SPDX-License-Identifier: GPL-2.0

//! Closed-form bounds of throughput: what no run can exceed.
//!
//! A proxy that spends `c` on each packet with `L` bytes of data carries no more than `8 L / c` bits a second: 467 Mbit/s for
//! 1,460 bytes and 25 us. If the other direction passes it too, with `a` acknowledgements for a packet that cost
//! `d` each, a packet takes `c + a d` of a proxy, and `P` proxies carry
//!
//! ```text
//!     X <= 8 L P / (c + a d)
//! ```
//!
//! which is 311 Mbit/s for one if every second packet is acknowledged (`a` = 1/2) and `d` = `c`. A receiver that sees packets out of order
//! acknowledges more often than that, so the bound with `a` = 1/2 holds, and is not reached, then.

use crate::packet::{Configuration, Scene};
use serde::Serialize;

/// The bounds of a scene: bits of payload a second; infinite where something costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bounds {
    /// What splices data, if acknowledgements were free.
    pub data: f64,
    /// What splices data, and acknowledgements.
    pub splicing: f64,
    /// The links.
    pub link: f64,
    /// The windows: a buffer for each connection and round trip.
    pub window: f64,
}

/// A bit rate that work of so many microseconds for each packet allows.
fn per_packet(payload: f64, micros: f64) -> f64 {
    8.0 * payload / (micros * 1e-6)
}

impl Bounds {
    pub fn of(scene: &Scene) -> Bounds {
        let payload = scene.payload as f64;
        let costs = &scene.costs;
        let proxies = scene.proxies as f64;
        let acks = 1.0 / scene.ack_every as f64;
        let (data, splicing) = match scene.configuration {
            Configuration::Separate | Configuration::Colocated => (
                proxies * per_packet(payload, costs.data_us),
                proxies * per_packet(payload, costs.data_us + acks * costs.ack_us),
            ),
            Configuration::Split => {
                let backend = per_packet(payload, costs.backend_us);
                let acks = proxies * per_packet(payload, acks * costs.ack_us);
                (backend, backend.min(acks))
            }
        };
        let round_trip = 2.0 * (scene.outer + scene.inner());
        let windows = scene.connections as f64 * scene.window() as f64 * payload * 8.0;
        Bounds {
            data,
            splicing,
            link: scene.rate * payload / (payload + scene.header as f64),
            window: windows / round_trip,
        }
    }

    /// What holds for every span of time: a run that is above it is wrong. The others are for the long run: the first window
    /// is sent at once, and the acknowledgements of the last one are spliced after the data.
    pub fn hard(&self) -> f64 {
        self.data.min(self.link)
    }

    /// What a run without loss or reordering should come near to, if it is offered as much.
    pub fn expected(&self) -> f64 {
        self.hard().min(self.splicing).min(self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value / expected - 1.0).abs() < 1e-9, "{value} {expected}");
    }

    #[test]
    fn one_proxy_of_the_source() {
        let bounds = Bounds::of(&Scene::default());
        near(bounds.data, 467.2e6);
        near(bounds.splicing, 467.2e6 / 1.5);
        near(bounds.link, 1e9);
        // 32 windows of 179 segments in 51.4 ms.
        near(bounds.window, 32.0 * 179.0 * 11680.0 / 51.4e-3);
        near(bounds.expected(), 467.2e6 / 1.5);
    }

    #[test]
    fn a_backend_that_splices_is_one_cpu_however_many_proxies() {
        let mut scene = Scene {
            configuration: Configuration::Split,
            proxies: 1,
            ..Scene::default()
        };
        near(Bounds::of(&scene).expected(), 467.2e6);
        scene.costs.backend_us = 2.0;
        // Half as many acknowledgements, at 25 us.
        near(Bounds::of(&scene).expected(), 2.0 * 467.2e6);
        scene.proxies = 2;
        near(Bounds::of(&scene).expected(), 1e9);
        scene.costs.ack_us = 0.0;
        near(Bounds::of(&scene).splicing, 5.84e9);
    }

    #[test]
    fn headers_take_their_share_of_a_link() {
        let scene = Scene {
            header: 40,
            proxies: 13,
            ..Scene::default()
        };
        near(Bounds::of(&scene).expected(), 1e9 * 1460.0 / 1500.0);
    }
}
