// SPDX-License-Identifier: GPL-2.0

//! Several nodes of a cluster, with kernels that are maps.

mod fake;
mod model;
mod real;
