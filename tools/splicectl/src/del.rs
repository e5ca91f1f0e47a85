// SPDX-License-Identifier: GPL-2.0

//! `splicectl del`

use crate::fail::{Fail, tell};
use crate::format;
use crate::output::Output;
use tcp_splice_netlink::{Client, DelMode};

pub(crate) fn run(out: &Output, ids: &[u64]) -> Result<(), Fail> {
    let mut client = Client::open().map_err(Fail::kernel("del"))?;
    let mut cut = Vec::new();
    let mut result = Ok(());
    for id in ids {
        match client.splice_del(*id, DelMode::Reset) {
            Ok(splice) => {
                if !out.json() {
                    out.text(&format!("cut {id}: {}\n", format::path(&splice, out.signs)))?;
                }
                cut.push(splice);
            }
            Err(error) if Fail::is_general(&error) => {
                return Err(Fail::kernel(format!("del {id}"))(error));
            }
            Err(error) => {
                tell(&format!("del {id}: {error}"));
                result = Err(Fail::Told);
            }
        }
    }
    if out.json() {
        out.value(&cut)?;
    }
    result
}
