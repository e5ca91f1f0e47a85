// SPDX-License-Identifier: GPL-2.0

//! The farm level against what is known without it.

use splicesim::costs::Costs;
use splicesim::farm::{
    Dispatch, Error, Farm, Kill, Load, Outcome, Shape, availability, needed, simulate,
};

fn run(farm: &Farm) -> Outcome {
    let outcome = simulate(farm).unwrap();
    conserved(&outcome);
    outcome
}

/// Every connection, and every byte that one came with, is accounted for.
fn conserved(outcome: &Outcome) {
    let lost = outcome.lost_uncommitted + outcome.lost_committed;
    assert_eq!(
        outcome.initial + outcome.arrived,
        outcome.completed + outcome.present + lost + outcome.refused,
        "{outcome:?}"
    );
    let bytes = outcome.bytes_carried + outcome.bytes_lost + outcome.bytes_to_go;
    near(bytes, outcome.bytes_wanted, 1e-9);
}

fn near(value: f64, expected: f64, share: f64) {
    assert!(
        (value / expected - 1.0).abs() <= share,
        "{value} is not within {share} of {expected}"
    );
}

/// Twenty proxies, busy for two fifths; 16 s for a connection of mean size, 1250 new ones a second.
fn farm() -> Farm {
    Farm {
        proxies: 20,
        connections: 20_000,
        rate: 5e5,
        size: 1e6,
        costs: Costs {
            data_us: 5.0,
            ack_us: 5.0,
            setup_us: 100.0,
            replica_us: 5.0,
            ..Costs::default()
        },
        duration: 30.0,
        ..Farm::default()
    }
}

fn kill(count: usize, at: f64, back: Option<f64>) -> Vec<Kill> {
    vec![Kill { count, at, back }]
}

#[test]
fn the_same_seed_makes_the_same_run() {
    let farm = Farm {
        between_failures: Some(100.0),
        repair: 5.0,
        ..farm()
    };
    let outcome = run(&farm);
    assert!(outcome.deaths > 2 && outcome.returns > 0);
    assert_eq!(run(&farm), outcome);
    assert_ne!(run(&Farm { seed: 2, ..farm }), outcome);
}

#[test]
fn a_farm_that_is_large_enough_carries_what_is_wanted() {
    for shape in [Shape::Fixed, Shape::Exponential, Shape::Lognormal] {
        for dispatch in [Dispatch::Rr, Dispatch::Hash] {
            let farm = Farm {
                shape,
                dispatch,
                ..farm()
            };
            let load = Load::of(&farm);
            // 10 Gbit/s.
            near(load.traffic, 1e10, 1e-12);
            near(load.arrivals, 1250.0, 1e-12);
            near(load.packet_cores, 1e10 / 11680.0 * 7.5e-6, 1e-9);
            let outcome = run(&farm);
            // The law of the infinite server does not ask for the distribution.
            near(outcome.mean_present, 20_000.0, 0.02);
            near(outcome.throughput, 1e10, 0.02);
            near(outcome.mean_rate, 5e5, 1e-9);
            near(outcome.arrived as f64, 30.0 * 1250.0, 0.02);
            near(outcome.completed as f64, 30.0 * 1250.0, 0.03);
            near(outcome.utilisation, load.cores() / 20.0, 0.02);
            assert_eq!(
                (outcome.saturated, outcome.refused, outcome.stalled),
                (0.0, 0, 0)
            );
        }
    }
}

#[test]
fn a_farm_that_is_too_small_carries_what_it_can() {
    let farm = Farm {
        proxies: 5,
        link: 1e10,
        ..farm()
    };
    let load = Load::of(&farm);
    let cores = 5.0 - load.setup_cores - load.replica_cores;
    let bound = 8.0 * cores / load.per_byte;
    assert!(bound < 0.8 * load.traffic);
    let outcome = run(&farm);
    near(outcome.throughput, bound, 1e-6);
    near(outcome.utilisation, 1.0, 1e-6);
    near(outcome.saturated, 1.0, 1e-6);
    assert!(outcome.mean_present > 22_000.0);
    // And its link, if that is less.
    let outcome = run(&Farm { link: 5e8, ..farm });
    near(outcome.throughput, 2.5e9, 1e-6);
}

#[test]
fn more_proxies_are_never_worse() {
    for dispatch in [Dispatch::Rr, Dispatch::Hash] {
        let mut before = 0.0;
        for proxies in [2, 4, 6, 8, 12, 20, 50] {
            let throughput = run(&Farm {
                proxies,
                dispatch,
                duration: 10.0,
                ..farm()
            })
            .throughput;
            // The replicas of a farm that shares all splices are work, too.
            assert!(
                throughput >= before * 0.99,
                "{dispatch:?} {proxies}: {throughput} {before}"
            );
            before = throughput;
        }
    }
}

#[test]
fn splitting_leaves_the_proxies_only_acknowledgements() {
    let whole = Load::of(&farm());
    let split = Load::of(&Farm {
        split: true,
        ..farm()
    });
    near(split.packet_cores, whole.packet_cores / 3.0, 1e-9);
    let few = Farm {
        proxies: 4,
        link: 1e6,
        ..farm()
    };
    assert!(run(&few).throughput < 1e10 * 0.5);
    near(run(&Farm { split: true, ..few }).throughput, 1e10, 0.02);
}

#[test]
fn without_a_replica_a_death_loses_what_the_proxy_had() {
    let with = |replicas| {
        run(&Farm {
            replicas,
            kills: kill(1, 10.0, None),
            ..farm()
        })
    };
    let none = with(0);
    // A twentieth of 20,000; and of the 1250 a second those of the last 0.1 s.
    near(none.lost_committed as f64, 1000.0, 0.1);
    assert!((2..=14).contains(&none.lost_uncommitted), "{none:?}");
    // A SYN waits for the next proxy, and is not lost.
    assert!((10..=80).contains(&none.stalled), "{none:?}");
    for replicas in [1, 2, 19] {
        let some = with(replicas);
        assert_eq!(
            (some.lost_committed, some.lost_uncommitted),
            (0, none.lost_uncommitted)
        );
        assert_eq!(some.stalled, none.lost_committed + none.stalled);
        // Time-outs at 0.2 and 0.6 s; 0.3 s to detect.
        near(some.longest_stall, 0.6, 1e-9);
        assert_eq!((some.deaths, some.returns, some.fewest_live), (1, 0, 19));
    }
}

#[test]
fn replicas_hold_as_many_deaths_at_once_as_there_are() {
    let with = |replicas, count| {
        run(&Farm {
            replicas,
            kills: kill(count, 10.0, None),
            ..farm()
        })
        .lost_committed
    };
    // Of all connections, those whose owner and k replicas are among the d of 20 that died.
    let expected = |replicas: u32, dead: u32| {
        (0..=replicas)
            .map(|i| f64::from(dead.saturating_sub(i)) / f64::from(20 - i))
            .product::<f64>()
            * 20_000.0
    };
    assert_eq!(with(1, 1), 0);
    near(with(1, 2) as f64, expected(1, 2), 0.25);
    near(with(1, 5) as f64, expected(1, 5), 0.1);
    assert_eq!(with(2, 2), 0);
    near(with(2, 8) as f64, expected(2, 8), 0.1);
    assert!(with(19, 20) > 19_000);
}

#[test]
fn what_was_copied_in_time_is_not_lost() {
    let with = |copying| {
        let kills = [kill(1, 10.0, None), kill(1, 15.0, None)].concat();
        run(&Farm {
            kills,
            copying,
            ..farm()
        })
        .lost_committed
    };
    assert_eq!(with(4.0), 0);
    // A replica on one of the two, and the other the owner; owners that died first have been taken over.
    near(with(6.0) as f64, 20_000.0 * 2.0 / 20.0 / 19.0, 0.3);
}

#[test]
fn with_every_splice_everywhere_packets_are_lost_and_no_connection() {
    let rr = Farm {
        dispatch: Dispatch::Rr,
        kills: kill(3, 10.0, Some(20.0)),
        ..farm()
    };
    let outcome = run(&rr);
    assert_eq!(
        (
            outcome.lost_committed,
            outcome.deaths,
            outcome.returns,
            outcome.fewest_live
        ),
        (0, 3, 3, 17)
    );
    assert!(outcome.lost_uncommitted > 0);
    // 13 packets in 0.3 s, a twentieth of which at first go to dead proxies, then two, then three.
    assert!(outcome.hit > 10_000, "{outcome:?}");
    assert!(outcome.stalled > outcome.hit / 40 && outcome.stalled < outcome.hit / 5);
    near(outcome.longest_stall, 0.6, 1e-9);
    near(outcome.throughput, 1e10, 0.05);
    let all = run(&Farm {
        kills: kill(20, 10.0, Some(12.0)),
        ..rr
    });
    assert!(all.lost_committed > 19_000 && all.completed > all.lost_committed);
    assert_eq!(all.fewest_live, 0);
}

#[test]
fn the_dead_carry_nothing() {
    for dispatch in [Dispatch::Rr, Dispatch::Hash] {
        // Nobody finds out before the end.
        let farm = Farm {
            dispatch,
            kills: kill(20, 10.0, None),
            detection: 100.0,
            ..farm()
        };
        let outcome = run(&farm);
        near(outcome.bytes_carried, 10.0 * 1e10 / 8.0, 0.02);
        assert_eq!((outcome.deaths, outcome.fewest_live), (20, 0));
    }
}

#[test]
fn a_proxy_that_returns_has_its_share_again() {
    let farm = Farm {
        kills: kill(10, 5.0, Some(6.0)),
        replicas: 19,
        shape: Shape::Exponential,
        duration: 50.0,
        ..farm()
    };
    let outcome = run(&farm);
    assert_eq!(
        (outcome.deaths, outcome.returns, outcome.lost_committed),
        (10, 10, 0)
    );
    // While half is dead one has twice its share, 2000; for a second only.
    assert!((1900..2200).contains(&outcome.most_owned), "{outcome:?}");
    near(outcome.mean_present, 20_000.0, 0.03);
    // Had they stayed away, or had the others kept what they took over, the rest would be too much for ten.
    near(outcome.throughput, 1e10, 0.03);
    assert!(outcome.saturated < 0.02, "{outcome:?}");
}

#[test]
fn what_a_proxy_owned_before_it_died_it_owns_when_it_is_back() {
    // Connections that outlast the run. The same ten die twice.
    let farm = Farm {
        size: 1e9,
        kills: [kill(10, 5.0, Some(6.0)), kill(10, 20.0, None)].concat(),
        replicas: 19,
        ..farm()
    };
    let outcome = run(&farm);
    assert_eq!(outcome.lost_committed, 0);
    near(outcome.stalled as f64, 20_000.0, 0.03);
}

#[test]
fn failures_come_as_often_as_they_should() {
    let farm = Farm {
        connections: 100,
        between_failures: Some(1000.0),
        repair: 100.0,
        duration: 20_000.0,
        proxies: 100,
        ..farm()
    };
    let outcome = simulate(&farm).unwrap();
    // Each dies once in 1000 s of life, which is 1000 of 1100.6.
    near(outcome.deaths as f64, 100.0 * 20_000.0 / 1100.6, 0.06);
    assert!(outcome.returns <= outcome.deaths && outcome.returns > outcome.deaths - 30);
    // Being killed makes nobody fail more often: 19 times all that live, for a second.
    let kills = (1..20).flat_map(|n| {
        kill(
            100,
            f64::from(n) * 1000.0,
            Some(f64::from(n) * 1000.0 + 1.0),
        )
    });
    let killed = simulate(&Farm {
        kills: kills.collect(),
        ..farm
    })
    .unwrap();
    near(
        killed.deaths as f64,
        19.0 * 91.0 + outcome.deaths as f64,
        0.06,
    );
}

#[test]
fn what_is_expected_of_failures_is_what_single_connections_see() {
    // Where every death loses connections they have to be rare, or there are fewer connections to lose.
    for (dispatch, replicas, connections, between, duration) in [
        (Dispatch::Hash, 1, 20_000, 200.0, 600.0),
        (Dispatch::Hash, 0, 2000, 2000.0, 6000.0),
        (Dispatch::Rr, 1, 20_000, 200.0, 600.0),
    ] {
        let farm = Farm {
            dispatch,
            replicas,
            connections,
            duration,
            link: 1e11,
            cores: 10.0,
            between_failures: Some(between),
            repair: between / 10.0,
            copying: 10.0,
            ..farm()
        };
        let seen = run(&farm);
        let expected = availability(&farm, 100.0 * duration).unwrap();
        let each = |count: f64| count / expected.deaths as f64;
        let seen_each = |count: u64| count as f64 / seen.deaths as f64;
        // Failures of one run, of a hundred as long.
        near(seen.deaths as f64, expected.deaths as f64 / 100.0, 0.2);
        near(
            seen_each(seen.lost_uncommitted),
            each(expected.lost_uncommitted),
            0.3,
        );
        near(
            seen_each(seen.stalled + seen.lost_committed),
            each(expected.stalled + expected.lost_committed),
            0.15,
        );
        match (dispatch, replicas) {
            (Dispatch::Hash, 1) => near(
                seen_each(seen.lost_committed),
                each(expected.lost_committed),
                0.35,
            ),
            (Dispatch::Hash, _) => near(
                seen_each(seen.lost_committed),
                each(expected.lost_committed),
                0.1,
            ),
            (Dispatch::Rr, _) => {
                assert_eq!((seen.lost_committed, expected.lost_committed), (0, 0.0))
            }
        }
    }
}

#[test]
fn a_farm_is_short_for_as_long_as_too_few_live() {
    // Two, each dead for a tenth of the time, and both are needed.
    let farm = Farm {
        proxies: 2,
        connections: 2000,
        link: 1e9 * 0.7,
        between_failures: Some(900.0),
        repair: 99.4,
        ..farm()
    };
    assert_eq!(needed(&farm, 1.0), Some(2));
    let two = availability(&farm, 1e7).unwrap();
    near(two.short / two.time, 1.0 - 0.9 * 0.9, 0.03);
    assert_eq!(two.most_dead, 2);
    let one = availability(
        &Farm {
            link: 2e9,
            ..farm.clone()
        },
        1e7,
    )
    .unwrap();
    near(one.short / one.time, 0.1 * 0.1, 0.1);
    assert_eq!(
        availability(
            &Farm {
                between_failures: None,
                ..farm
            },
            1e7
        )
        .unwrap()
        .short,
        0.0
    );
}

#[test]
fn the_size_of_a_farm() {
    let farm = farm();
    // Packets 6.42 cores, setup 0.125, replicas 0.00625; links 10 Gbit/s.
    assert_eq!(needed(&farm, 1.0), Some(10));
    assert_eq!(needed(&farm, 0.5), Some(20));
    assert_eq!(
        needed(
            &Farm {
                link: 1e10,
                ..farm.clone()
            },
            1.0
        ),
        Some(7)
    );
    assert_eq!(
        needed(
            &Farm {
                link: 1e10,
                ..farm.clone()
            },
            0.5
        ),
        Some(14)
    );
    assert_eq!(
        needed(
            &Farm {
                cores: 0.1,
                ..farm.clone()
            },
            1.0
        ),
        Some(66)
    );
    assert_eq!(
        needed(
            &Farm {
                replicas: 30,
                ..farm.clone()
            },
            1.0
        ),
        Some(31)
    );
    // What every proxy has to install of the others grows with them: at 1250 a second and 0.8 ms nobody has time for anything else.
    let mut all = Farm {
        dispatch: Dispatch::Rr,
        link: 1e10,
        ..farm.clone()
    };
    assert_eq!(needed(&all, 1.0), Some(7));
    all.costs.replica_us = 800.0;
    assert_eq!(needed(&all, 1.0), None);
    all.costs.replica_us = 400.0;
    // (6.42 + 0.125 - 0.5) / (1 - 0.5).
    assert_eq!(needed(&all, 1.0), Some(13));
    // One less is too few, and the simulation says so, too.
    let enough = Farm {
        link: 1e10,
        proxies: 7,
        dispatch: Dispatch::Rr,
        ..farm
    };
    near(run(&enough).throughput, 1e10, 0.02);
    assert!(
        run(&Farm {
            proxies: 6,
            ..enough
        })
        .saturated
            > 0.9
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    let refused = |farm: Farm| simulate(&farm).unwrap_err();
    assert_eq!(
        refused(Farm {
            proxies: 0,
            ..farm()
        })
        .to_string(),
        "the number of proxies has to be from 1 to 10000"
    );
    assert_eq!(
        refused(Farm {
            replicas: 20,
            ..farm()
        }),
        Error::Replicas(20, 20)
    );
    let early = refused(Farm {
        kills: kill(1, 10.0, Some(10.5)),
        ..farm()
    })
    .to_string();
    assert_eq!(
        early,
        "the return after a kill has to be after the others have taken over"
    );
    assert!(matches!(
        refused(Farm {
            duration: 1e8,
            ..farm()
        }),
        Error::Arrivals(_)
    ));
    assert!(
        simulate(&Farm {
            rate: f64::NAN,
            ..farm()
        })
        .is_err()
    );
    let often = Farm {
        between_failures: Some(1.0),
        repair: 1.0,
        ..farm()
    };
    assert_eq!(
        availability(&often, 2e6).unwrap_err(),
        Error::Failures(20_000_000)
    );
}

/// A tenth of the farm below in each measure.
#[test]
fn a_hundred_proxies_and_a_million_connections() {
    large(100, 1_000_000, 5.0);
}

/// Memory: 16 bytes a connection, at most twice as much while a heap grows. Run it by name.
#[test]
#[ignore = "takes a minute"]
fn a_thousand_proxies_and_ten_million_connections() {
    large(1000, 10_000_000, 60.0);
}

fn large(proxies: usize, connections: u64, duration: f64) {
    let farm = Farm {
        proxies,
        connections,
        rate: 1e6,
        size: 10e6,
        cores: 16.0,
        link: 25e9,
        costs: Costs {
            data_us: 1.0,
            ack_us: 0.8,
            setup_us: 100.0,
            replica_us: 5.0,
            ..Costs::default()
        },
        kills: kill(proxies / 100, duration / 3.0, Some(duration * 2.0 / 3.0)),
        replicas: 2,
        duration,
        ..Farm::default()
    };
    let outcome = run(&farm);
    let mean = connections as f64;
    near(outcome.mean_present, mean, 0.01);
    near(outcome.throughput, mean * 1e6, 0.01);
    near(outcome.stalled as f64, mean / 100.0, 0.1);
    assert_eq!(outcome.deaths, proxies as u64 / 100);
    let bound = mean * (proxies as f64 / 100.0 / proxies as f64).powi(3) * 2.0;
    assert!(
        (outcome.lost_committed as f64) < bound.max(1.0),
        "{outcome:?}"
    );
}
