// SPDX-License-Identifier: GPL-2.0

//! What the program does, a verb a file.

pub(crate) mod curves;
pub(crate) mod pages;
pub(crate) mod run;
pub(crate) mod size;
