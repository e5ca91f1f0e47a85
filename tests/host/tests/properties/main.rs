// SPDX-License-Identifier: GPL-2.0

//! What holds of `xlate` for every packet, judged by a model that shares no code with it.

mod choices;
mod edits;
mod model;
mod narrow;
mod ours;
mod packets;
mod parsing;
mod quotes;

/// How hard to try; the variables of proptest, `PROPTEST_CASES` among them, have the last word.
fn config() -> proptest::test_runner::Config {
    let mut config = proptest::test_runner::Config::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = 6000;
    }
    // What fails is fixed and becomes a test with a name, not a file of seeds.
    config.failure_persistence = None;
    config
}
