// SPDX-License-Identifier: GPL-2.0

//! The source's experiments: throughput against offered load, for each number of proxies.

use crate::bound::Bounds;
use crate::packet::{Configuration, Error, Outcome, Scene, simulate};
use serde::Serialize;
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is varied.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// Offered loads: bits a second.
    pub loads: Vec<f64>,
    pub proxies: RangeInclusive<usize>,
}

impl Default for Sweep {
    /// 30 to 990 Mbit/s in steps of 60, 1 to 13 proxies.
    fn default() -> Sweep {
        Sweep {
            loads: (0..17)
                .map(|step| 1e6 * (30.0 + 60.0 * f64::from(step)))
                .collect(),
            proxies: 1..=13,
        }
    }
}

/// A figure to be made: everything but what is varied.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Of its files.
    pub name: String,
    pub title: String,
    pub scene: Scene,
}

/// The figures of the source, with these costs; split-splice has a second one, with each cost at 2 us, if they are
/// the source's.
pub fn plans(scene: &Scene, with_2us: bool) -> Vec<Plan> {
    let plan = |name: &str, title: &str, configuration, cost: Option<f64>| {
        let mut scene = scene.clone();
        scene.configuration = configuration;
        if let Some(cost) = cost {
            scene.costs.data_us = cost;
            scene.costs.ack_us = cost;
            scene.costs.backend_us = cost;
        }
        let costs = scene.costs;
        let cost = match configuration {
            Configuration::Split => costs.backend_us,
            Configuration::Separate | Configuration::Colocated => costs.data_us,
        };
        Plan {
            name: name.into(),
            title: format!("{title}, {cost} us a packet"),
            scene,
        }
    };
    let mut plans = vec![
        plan(
            "separate",
            "Separate proxies and backend",
            Configuration::Separate,
            None,
        ),
        plan(
            "colocated",
            "Co-located proxies and backend",
            Configuration::Colocated,
            None,
        ),
    ];
    if with_2us {
        plans.push(plan(
            "split-25us",
            "Split-splice",
            Configuration::Split,
            None,
        ));
        plans.push(plan(
            "split-2us",
            "Split-splice",
            Configuration::Split,
            Some(2.0),
        ));
    } else {
        plans.push(plan("split", "Split-splice", Configuration::Split, None));
    }
    plans
}

/// A run, and what it is held against.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    pub proxies: usize,
    /// Bits a second.
    pub offered: f64,
    pub bounds: Bounds,
    pub outcome: Outcome,
}

impl Point {
    /// Whether it is above what is possible; a millionth is for rounding.
    pub fn is_impossible(&self) -> bool {
        let work = self.outcome.proxies.iter().chain(&self.outcome.backend);
        self.outcome.throughput > self.bounds.hard() * (1.0 + 1e-6)
            || work.fold(0.0, |most: f64, work| most.max(work.utilisation)) > 1.0 + 1e-6
    }

    /// Acknowledgements sent for a packet with data.
    pub fn acks(&self) -> f64 {
        self.outcome.acks.sent as f64 / self.outcome.data.sent.max(1) as f64
    }
}

/// A figure that was made: a point for each number of proxies and load, in this order.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub name: String,
    pub title: String,
    pub points: Vec<Point>,
}

/// Runs all of a sweep, on all processors. The result does not depend on how many there are.
pub fn run(plans: &[Plan], sweep: &Sweep) -> Result<Vec<Figure>, Error> {
    let scenes: Vec<Scene> = plans
        .iter()
        .flat_map(|plan| {
            sweep.proxies.clone().flat_map(move |proxies| {
                sweep.loads.iter().map(move |&offered| Scene {
                    proxies,
                    offered,
                    ..plan.scene.clone()
                })
            })
        })
        .collect();
    let results: Vec<OnceLock<_>> = scenes.iter().map(|_| OnceLock::new()).collect();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(index) =
                    Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&i| i < scenes.len())
                {
                    let _ = results[index].set(simulate(&scenes[index]));
                }
            });
        }
    });
    let mut points = Vec::new();
    for (scene, result) in scenes.iter().zip(results) {
        if let Some(outcome) = result.into_inner() {
            points.push(Point {
                proxies: scene.proxies,
                offered: scene.offered,
                bounds: Bounds::of(scene),
                outcome: outcome?,
            });
        }
    }
    let each = scenes.len() / plans.len().max(1);
    let mut points = points.into_iter();
    let figures = plans.iter().map(|plan| Figure {
        name: plan.name.clone(),
        title: plan.title.clone(),
        points: points.by_ref().take(each).collect(),
    });
    Ok(figures.collect())
}

impl Figure {
    /// A line for each point. Rates are megabits of payload a second.
    pub fn csv(&self) -> String {
        let mut text = String::from(
            "proxies,offered_mbps,throughput_mbps,bound_mbps,expected_mbps,busiest_proxy,backend,acks_per_data,\
             sent_again,out_of_order,timeouts,dropped,longest_stall_s\n",
        );
        for point in &self.points {
            let outcome = &point.outcome;
            let busiest = outcome
                .proxies
                .iter()
                .map(|proxy| proxy.utilisation)
                .fold(0.0, f64::max);
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{},{},{:.3},{:.3},{:.3},{:.4},{:.4},{:.4},{},{},{},{},{:.6}",
                point.proxies,
                point.offered / 1e6,
                outcome.throughput / 1e6,
                point.bounds.hard() / 1e6,
                point.bounds.expected().min(point.offered) / 1e6,
                busiest,
                outcome.backend.map_or(0.0, |backend| backend.utilisation),
                point.acks(),
                outcome.sent_again,
                outcome.out_of_order,
                outcome.timeouts,
                outcome.data.dropped + outcome.acks.dropped,
                outcome.longest_stall,
            );
        }
        text
    }

    /// The points of one number of proxies after the other.
    pub fn curves(&self) -> impl Iterator<Item = &[Point]> {
        self.points.chunk_by(|a, b| a.proxies == b.proxies)
    }

    /// What is above what is possible.
    pub fn impossible(&self) -> Vec<&Point> {
        self.points
            .iter()
            .filter(|point| point.is_impossible())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_above_a_bound_or_busier_than_all_the_time_is_found() {
        let sweep = Sweep {
            loads: vec![100e6],
            proxies: 1..=2,
        };
        let scene = Scene {
            bytes: 1_000_000,
            ..Scene::default()
        };
        let mut figure = run(&plans(&scene, false), &sweep).unwrap().swap_remove(0);
        assert_eq!((figure.curves().count(), figure.impossible().len()), (2, 0));
        figure.points[0].outcome.throughput = 467.3e6;
        assert_eq!(figure.impossible().len(), 1);
        figure.points[1].outcome.proxies[1].utilisation = 1.01;
        assert_eq!(figure.impossible().len(), 2);
    }
}
