// SPDX-License-Identifier: GPL-2.0

//! What holds of `xlate` for every packet, judged by a model that shares no code with it.

mod edits;
mod model;
mod narrow;
mod ours;
mod packets;
mod parsing;
