// SPDX-License-Identifier: GPL-2.0

//! `splicectl del`

use crate::args::Del;
use crate::fail::{Fail, tell};
use crate::format;
use crate::output::Output;
use tcp_splice_netlink::{Client, DelMode};

pub(crate) fn run(out: &Output, del: &Del) -> Result<(), Fail> {
    let mut client = Client::open().map_err(Fail::kernel("del"))?;
    let (mode, word) = match del.give_back {
        true => (DelMode::Return, "returning"),
        false => (DelMode::Reset, "cut"),
    };
    let mut ending = Vec::new();
    let mut result = Ok(());
    for id in &del.ids {
        match client.splice_del(*id, mode) {
            Ok(splice) => {
                if !out.json() {
                    out.text(&format!(
                        "{word} {id}: {}\n",
                        format::path(&splice, out.signs)
                    ))?;
                }
                ending.push(splice);
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
        out.value(&ending)?;
    }
    result
}
