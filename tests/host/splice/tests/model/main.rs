// SPDX-License-Identifier: GPL-2.0

//! Two TCP ends and a splice between them: the packet path, the translation and the flow lifecycle of the
//! module, over networks that do what networks may.

mod assigned;
mod found;
mod handoff;
#[path = "../../../tests/properties/model.rs"]
#[allow(dead_code, reason = "shared with the tests of the edit")]
mod packet;
mod replicas;
mod resets;
mod returns;
mod streams;
mod tcp;
mod wire;
mod world;

/// How hard to try; the variables of proptest, `PROPTEST_CASES` among them, have the last word.
fn config(cases: u32) -> proptest::test_runner::Config {
    let mut config = proptest::test_runner::Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = cases;
    }
    // What fails is fixed and becomes a test with a name, not a file of seeds.
    config.failure_persistence = None;
    config
}
