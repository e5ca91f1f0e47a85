// SPDX-License-Identifier: GPL-2.0

//! The KUnit suites of the files run on the host, too.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cfg=CONFIG_KUNIT=\"y\"");
}
