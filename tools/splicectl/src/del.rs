// SPDX-License-Identifier: GPL-2.0

//! `splicectl del`, and how `service del` and `node del` go through what they are given.

use crate::args::Del;
use crate::fail::{Fail, tell};
use crate::format;
use crate::output::Output;
use serde::Serialize;
use tcp_splice_netlink::{Client, DelMode, Error};

pub(crate) fn run(out: &Output, del: &Del) -> Result<(), Fail> {
    let (mode, word) = match del.give_back {
        true => (DelMode::Return, "returning"),
        false => (DelMode::Reset, "cut"),
    };
    each(
        out,
        "del",
        &del.ids,
        |id| format!("del {id}"),
        |client, id| client.splice_del(*id, mode),
        |id, splice| format!("{word} {id}: {}\n", format::path(splice, out.signs)),
    )
}

/// Ends one after the other. What the kernel refuses is told, and the others go on. `what` names the ending of one;
/// `line` is said of each that has ended, if JSON is not wanted; it may be empty.
pub(crate) fn each<I, T: Serialize>(
    out: &Output,
    verb: &str,
    ids: &[I],
    what: impl Fn(&I) -> String,
    mut end: impl FnMut(&mut Client, &I) -> Result<T, Error>,
    line: impl Fn(&I, &T) -> String,
) -> Result<(), Fail> {
    let mut client = Client::open().map_err(Fail::kernel(verb))?;
    let mut gone = Vec::new();
    let mut result = Ok(());
    for id in ids {
        match end(&mut client, id) {
            Ok(it) => {
                if !out.json() {
                    out.text(&line(id, &it))?;
                }
                gone.push(it);
            }
            Err(error) if Fail::is_general(&error) => {
                return Err(Fail::kernel(what(id))(error));
            }
            Err(error) => {
                tell(&format!("{}: {error}", what(id)));
                result = Err(Fail::Told);
            }
        }
    }
    if out.json() {
        out.value(&gone)?;
    }
    result
}
