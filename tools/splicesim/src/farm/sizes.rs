// SPDX-License-Identifier: GPL-2.0

//! How much a connection transfers.

use rand::{Rng, RngExt};
use rand_distr::{Distribution, Exp1, StandardNormal};
use serde::Serialize;

/// The shape of the distribution; its mean is given beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// All the same.
    Fixed,
    Exponential,
    /// Few large ones have most of the bytes, as files have: the logarithm has a standard deviation of 1.5.
    Lognormal,
}

const SIGMA: f64 = 1.5;

impl Shape {
    /// A size, with a mean of 1.
    pub(super) fn sample(self, random: &mut impl Rng) -> f64 {
        match self {
            Shape::Fixed => 1.0,
            Shape::Exponential => Exp1.sample(random),
            Shape::Lognormal => normal(random, -0.5),
        }
    }

    /// What is left of a connection that is met at a random moment: the larger ones are met more often, in proportion to
    /// their size, at a point that is anywhere in them.
    pub(super) fn rest(self, random: &mut impl Rng) -> f64 {
        match self {
            Shape::Fixed => random.random(),
            Shape::Exponential => Exp1.sample(random),
            Shape::Lognormal => normal(random, 0.5) * random.random::<f64>(),
        }
    }
}

/// The mean of the logarithm is so many variances from 0: -1/2 makes a mean of 1, and 1/2 the same weighted by size.
fn normal(random: &mut impl Rng, variances: f64) -> f64 {
    let deviate: f64 = StandardNormal.sample(random);
    (SIGMA * deviate + variances * SIGMA * SIGMA).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg64;

    #[test]
    fn means() {
        // Of the rest: half the second moment over the first.
        for (shape, rest) in [
            (Shape::Fixed, 0.5),
            (Shape::Exponential, 1.0),
            (Shape::Lognormal, 0.5 * 2.25_f64.exp()),
        ] {
            let random = &mut Pcg64::seed_from_u64(1);
            let count = 1_000_000;
            let mean = (0..count).map(|_| shape.sample(random)).sum::<f64>() / f64::from(count);
            assert!((mean - 1.0).abs() < 0.02, "{shape:?} {mean}");
            let mean = (0..count).map(|_| shape.rest(random)).sum::<f64>() / f64::from(count);
            assert!((mean / rest - 1.0).abs() < 0.05, "{shape:?} {mean} {rest}");
        }
    }
}
