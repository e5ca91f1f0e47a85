// SPDX-License-Identifier: GPL-2.0

//! The packet level against what is known without it.

use splicesim::bound::Bounds;
use splicesim::curves::{Sweep, plans, run as sweep};
use splicesim::packet::{
    Arrivals, Configuration, Error, Outage, Outcome, Packets, Scene, simulate,
};
use splicesim::plot::svg;

fn scene(configuration: Configuration, proxies: usize, mbps: f64) -> Scene {
    Scene {
        configuration,
        proxies,
        offered: mbps * 1e6,
        bytes: 10_000_000,
        ..Scene::default()
    }
}

fn separate(proxies: usize, mbps: f64) -> Scene {
    scene(Configuration::Separate, proxies, mbps)
}

fn run(scene: &Scene) -> Outcome {
    simulate(scene).unwrap()
}

fn near(value: f64, expected: f64, share: f64) {
    assert!(
        (value / expected - 1.0).abs() <= share,
        "{value} is not within {share} of {expected}"
    );
}

/// Every packet is accounted for, and every segment that arrived is delivered, waits or came twice.
fn conserved(scene: &Scene, outcome: &Outcome) {
    for packets in [outcome.data, outcome.acks] {
        let Packets {
            sent,
            arrived,
            dropped,
            died,
            nowhere,
            in_flight,
        } = packets;
        assert_eq!(
            sent,
            arrived + dropped + died + nowhere + in_flight,
            "{packets:?}"
        );
    }
    let segments = |bytes: u64| bytes / scene.payload;
    assert_eq!(
        outcome.data.arrived - outcome.twice,
        segments(outcome.delivered + outcome.waiting)
    );
    assert!(outcome.written >= outcome.delivered + outcome.waiting);
    assert!(segments(outcome.written) >= outcome.data.sent - outcome.sent_again);
    assert_eq!(
        outcome.complete,
        segments(outcome.delivered) == scene.segments()
    );
}

#[test]
fn the_same_seed_makes_the_same_bytes() {
    let small = Sweep {
        loads: vec![300e6, 900e6],
        proxies: 1..=3,
    };
    let files = |seed| {
        let base = Scene {
            bytes: 2_000_000,
            seed,
            ..Scene::default()
        };
        let figures = sweep(&plans(&base, true), &small).unwrap();
        let names: Vec<_> = figures.iter().map(|figure| figure.name.clone()).collect();
        assert_eq!(names, ["separate", "colocated", "split-25us", "split-2us"]);
        let files = figures
            .iter()
            .map(|figure| figure.csv() + &svg(figure).unwrap());
        files.collect::<Vec<_>>()
    };
    let first = files(1);
    assert_eq!(first, files(1));
    assert_ne!(first, files(2));
    // Head, and two loads for each of three numbers of proxies; then the drawing.
    let csv = first[0].split("<svg").next().unwrap();
    assert_eq!(csv.lines().count(), 1 + 6);
    assert!(csv.lines().all(|line| line.split(',').count() == 13));
    assert!(first[0].ends_with("</svg>\n"));
    assert_eq!(
        first[0].matches("<polyline").count() - first[2].matches("<polyline").count(),
        0
    );
}

#[test]
fn one_proxy_carries_467_mbps_if_acknowledgements_are_free() {
    for mbps in [470.0, 990.0] {
        let mut scene = Scene {
            arrivals: Arrivals::Constant,
            ..separate(1, mbps)
        };
        scene.costs.ack_us = 0.0;
        let outcome = run(&scene);
        assert!(outcome.throughput <= 467.2e6, "{}", outcome.throughput);
        near(outcome.throughput, 467.2e6, 0.01);
        conserved(&scene, &outcome);
    }
}

#[test]
fn acknowledgements_take_their_part_of_a_proxy() {
    for (every, expected) in [(1, 467.2e6 / 2.0), (2, 467.2e6 / 1.5), (4, 467.2e6 / 1.25)] {
        let scene = Scene {
            ack_every: every,
            bytes: 50_000_000,
            ..separate(1, 990.0)
        };
        near(Bounds::of(&scene).splicing, expected, 1e-9);
        let outcome = run(&scene);
        // The acknowledgements of the last round trip are spliced after the last byte is there.
        assert!(
            outcome.throughput >= expected * 0.995,
            "{}",
            outcome.throughput
        );
        near(outcome.throughput, expected, 0.04);
        let proxy = &outcome.proxies[0];
        let acks = proxy.acks as f64 / proxy.data as f64;
        near(outcome.throughput, 467.2e6 / (1.0 + acks), 0.001);
    }
}

#[test]
fn nothing_is_above_its_bound() {
    for configuration in [
        Configuration::Separate,
        Configuration::Colocated,
        Configuration::Split,
    ] {
        for (proxies, mbps, room) in [
            (1, 990.0, None),
            (2, 690.0, None),
            (3, 990.0, Some(100_000)),
            (13, 990.0, None),
        ] {
            let scene = Scene {
                room,
                ..scene(configuration, proxies, mbps)
            };
            let outcome = run(&scene);
            assert!(outcome.throughput <= Bounds::of(&scene).hard());
            for work in outcome.proxies.iter().chain(&outcome.backend) {
                assert!(work.utilisation <= 1.0, "{work:?}");
            }
            assert!(outcome.complete);
            conserved(&scene, &outcome);
        }
    }
}

#[test]
fn what_is_offered_below_the_bound_is_carried() {
    for (proxies, mbps) in [(1, 270.0), (2, 570.0), (3, 870.0), (4, 990.0), (13, 990.0)] {
        let scene = Scene {
            arrivals: Arrivals::Constant,
            ..separate(proxies, mbps)
        };
        let outcome = run(&scene);
        assert!(outcome.throughput <= scene.offered);
        near(outcome.throughput, scene.offered, 0.01);
    }
}

#[test]
fn utilisation_is_throughput_times_cost() {
    for (proxies, mbps) in [(1, 200.0), (3, 500.0), (7, 900.0)] {
        let scene = Scene {
            bytes: 20_000_000,
            ..separate(proxies, mbps)
        };
        let outcome = run(&scene);
        let packets = outcome.throughput / (1460.0 * 8.0) / proxies as f64;
        for proxy in &outcome.proxies {
            // 25 us, and half as much for every second packet's acknowledgement; those of the last round trip, 51.4 ms, are missing.
            let last = 51.4e-3 / outcome.elapsed / 3.0;
            near(proxy.utilisation, packets * 37.5e-6, 0.01 + last);
        }
    }
}

#[test]
fn waiting_is_as_in_the_queue_of_random_arrivals_and_fixed_service() {
    for (mbps, busy) in [(233.6, 0.5), (350.4, 0.75)] {
        // No acknowledgement before the end, no window in the way, a link that does not order what comes.
        let scene = Scene {
            ack_every: 1_000_000,
            ack_delay: 10.0,
            buffer: 900_000_000,
            connections: 1,
            rate: 1e12,
            bytes: 40_000_000,
            min_timeout: 60.0,
            seed: 3,
            ..separate(1, mbps)
        };
        let outcome = run(&scene);
        let proxy = &outcome.proxies[0];
        near(proxy.utilisation, busy, 0.02);
        // Pollaczek and Khinchine.
        near(proxy.wait, 25e-6 * busy / (2.0 * (1.0 - busy)), 0.06);
    }
}

#[test]
fn packets_go_to_each_proxy_in_turn() {
    let outcome = run(&separate(7, 500.0));
    for work in &outcome.proxies {
        assert!(work.data.abs_diff(outcome.proxies[0].data) <= 1);
        assert!(work.acks.abs_diff(outcome.proxies[0].acks) <= 1);
    }
    assert_eq!(
        outcome.proxies.iter().map(|work| work.data).sum::<u64>(),
        outcome.data.sent
    );
}

#[test]
fn more_proxies_are_never_worse() {
    for configuration in [
        Configuration::Separate,
        Configuration::Colocated,
        Configuration::Split,
    ] {
        for mbps in [330.0, 990.0] {
            let mut before = 0.0;
            for proxies in [1, 2, 3, 4, 5, 8, 13] {
                let throughput = run(&scene(configuration, proxies, mbps)).throughput;
                assert!(
                    throughput >= before * 0.99,
                    "{configuration:?} {mbps} {proxies}: {throughput} {before}"
                );
                before = throughput;
            }
        }
    }
}

#[test]
fn co_located_proxies_are_almost_the_same() {
    for (proxies, mbps) in [(1, 150.0), (1, 990.0), (2, 570.0), (3, 990.0), (13, 990.0)] {
        let apart = run(&separate(proxies, mbps)).throughput;
        let together = run(&scene(Configuration::Colocated, proxies, mbps)).throughput;
        near(together, apart, 0.02);
    }
    // And yet nearer: what a window allows grows as the round trip shrinks, by 51.4 to 50.
    let one = |configuration| {
        run(&Scene {
            connections: 1,
            bytes: 3_000_000,
            ..scene(configuration, 13, 300.0)
        })
        .throughput
    };
    near(
        one(Configuration::Colocated) / one(Configuration::Separate),
        51.4 / 50.0,
        0.005,
    );
}

#[test]
fn split_splice_is_bound_by_the_backend_and_not_by_proxies() {
    for proxies in [1, 13] {
        let mut scene = scene(Configuration::Split, proxies, 990.0);
        let slow = run(&scene);
        assert!(slow.throughput <= 467.2e6);
        near(slow.throughput, 467.2e6, 0.01);
        let backend = slow.backend.unwrap();
        near(backend.utilisation, 1.0, 0.01);
        assert_eq!((backend.data, backend.acks), (slow.data.sent, 0));
        // No packet with data passes a proxy.
        assert!(
            slow.proxies
                .iter()
                .all(|proxy| proxy.data == 0 && proxy.acks > 0)
        );
        for cost in [
            &mut scene.costs.data_us,
            &mut scene.costs.ack_us,
            &mut scene.costs.backend_us,
        ] {
            *cost = 2.0;
        }
        let fast = run(&scene);
        near(fast.throughput, 990e6, 0.02);
        // 84,760 packets a second, 2 us each.
        near(fast.backend.unwrap().utilisation, 0.1695, 0.02);
        conserved(&scene, &fast);
    }
}

#[test]
fn a_connection_has_no_more_than_its_window() {
    let scene = Scene {
        connections: 1,
        ..separate(13, 300.0)
    };
    let bound = 179.0 * 11680.0 / 51.4e-3;
    near(Bounds::of(&scene).expected(), bound, 1e-9);
    let outcome = run(&scene);
    // The first window needs no round trip.
    let first = 1.0 + 51.4e-3 / outcome.elapsed;
    assert!(outcome.throughput <= bound * first);
    near(outcome.throughput, bound, 0.03);
}

#[test]
fn full_queues_lose_packets_and_no_data() {
    let scene = Scene {
        room: Some(256 * 1024),
        bytes: 50_000_000,
        ..separate(1, 990.0)
    };
    let outcome = run(&scene);
    assert!(
        outcome.complete && outcome.data.dropped > 100,
        "{outcome:?}"
    );
    assert!(outcome.sent_again >= outcome.data.dropped);
    assert!(outcome.recoveries > 0);
    conserved(&scene, &outcome);
}

#[test]
fn many_queues_reorder_and_one_does_not() {
    let with = |proxies| {
        run(&Scene {
            bytes: 50_000_000,
            ..separate(proxies, 990.0)
        })
    };
    let (one, two) = (with(1), with(2));
    assert_eq!((one.out_of_order, one.sent_again), (0, 0));
    assert!(two.out_of_order > 100, "{}", two.out_of_order);
    // Each is acknowledged at once.
    assert!(two.acks.sent > one.acks.sent);
}

#[test]
fn a_dead_proxy_loses_packets_until_it_is_detected_and_no_data() {
    let mut scene = Scene {
        outages: vec![Outage {
            proxy: 1,
            from: 0.3,
            until: None,
        }],
        detection: 0.1,
        bytes: 30_000_000,
        ..separate(3, 300.0)
    };
    let outcome = run(&scene);
    assert!(outcome.complete);
    conserved(&scene, &outcome);
    // A third of what was sent in 0.1 s, at most: windows close when packets are lost.
    let third = 0.1 * 300e6 / 11680.0 / 3.0;
    assert!(
        outcome.data.died as f64 <= third * 1.1 && outcome.data.died as f64 > third * 0.2,
        "{outcome:?}"
    );
    assert_eq!((outcome.data.nowhere, outcome.data.dropped), (0, 0));
    assert!(outcome.sent_again >= outcome.data.died);
    assert!(outcome.proxies[1].data < outcome.proxies[0].data / 2);
    assert!(outcome.longest_stall > 0.03);

    // Detected at once, nobody loses more than what stood in its queue.
    scene.detection = 0.0;
    let outcome = run(&scene);
    assert!(
        outcome.complete && outcome.data.died + outcome.acks.died <= 5,
        "{outcome:?}"
    );

    scene.outages.clear();
    let outcome = run(&scene);
    assert_eq!(
        (outcome.data.died, outcome.sent_again, outcome.timeouts),
        (0, 0, 0)
    );
    assert!(outcome.longest_stall < 0.03, "{}", outcome.longest_stall);
}

#[test]
fn nothing_passes_while_all_are_dead_and_everything_after() {
    let down = |proxy| Outage {
        proxy,
        from: 0.1,
        until: Some(0.9),
    };
    let mut scene = Scene {
        outages: vec![down(0), down(1)],
        detection: 0.05,
        arrivals: Arrivals::Constant,
        ..separate(2, 100.0)
    };
    let outcome = run(&scene);
    assert!(
        outcome.complete && outcome.data.died > 0 && outcome.data.nowhere > 0,
        "{outcome:?}"
    );
    // All were silent from the death until the first time-out after the return.
    assert!(
        outcome.longest_stall >= 0.8 && outcome.longest_stall < 2.5,
        "{}",
        outcome.longest_stall
    );
    conserved(&scene, &outcome);

    // In the middle of it.
    scene.until = Some(0.5);
    let outcome = run(&scene);
    assert!(!outcome.complete);
    // 0.1 s at 100 Mbit/s, less the way.
    near(outcome.delivered as f64, (0.1 - 25e-3) * 100e6 / 8.0, 0.01);
    conserved(&scene, &outcome);
}

#[test]
fn a_run_that_is_stopped_accounts_for_what_is_on_its_way() {
    for until in [0.03, 0.1, 0.2] {
        for room in [None, Some(60_000)] {
            let scene = Scene {
                until: Some(until),
                room,
                outages: vec![Outage {
                    proxy: 0,
                    from: 0.08,
                    until: Some(0.15),
                }],
                detection: 0.02,
                ..separate(2, 990.0)
            };
            let outcome = run(&scene);
            assert!(!outcome.complete && outcome.data.in_flight > 0);
            conserved(&scene, &outcome);
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |change: fn(&mut Scene)| {
        let mut scene = Scene::default();
        change(&mut scene);
        simulate(&scene).unwrap_err().to_string()
    };
    assert_eq!(
        refused(|s| s.proxies = 0),
        "the number of proxies has to be from 1 to 10000"
    );
    assert_eq!(
        refused(|s| s.offered = f64::NAN),
        "the offered load has to be from 1 kbit/s to 1 Tbit/s"
    );
    assert_eq!(
        refused(|s| s.buffer = 1000),
        "the buffer has to be from one payload to 1 GB"
    );
    assert_eq!(
        refused(|s| s.room = Some(1459)),
        "the room of a queue has to be at least one packet"
    );
    assert_eq!(
        refused(|s| s.costs.data_us = -1.0),
        "a cost has to be from 0 to 1e9"
    );
    let outage = |proxy, from, until| Outage { proxy, from, until };
    let refused = |outages: &[Outage]| {
        simulate(&Scene {
            outages: outages.to_vec(),
            ..Scene::default()
        })
        .unwrap_err()
    };
    assert_eq!(refused(&[outage(1, 1.0, None)]), Error::NoSuchProxy(1, 1));
    assert_eq!(refused(&[outage(0, 1.0, Some(1.0))]), Error::Outages(0));
    assert_eq!(
        refused(&[outage(0, 2.0, None), outage(0, 1.0, Some(3.0))]),
        Error::Outages(0)
    );
}
