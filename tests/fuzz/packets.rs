// SPDX-License-Identifier: GPL-2.0

//! The program that libFuzzer drives.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::packet(data));
