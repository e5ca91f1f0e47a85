// SPDX-License-Identifier: GPL-2.0

//! The manual pages and the completions, made from the command line's definitions.

use crate::args::Args;
use crate::fail::Fail;
use crate::output::write;
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use std::path::Path;

pub(crate) fn completions(shell: Shell) -> Result<(), Fail> {
    // Into memory first: the generator panics when it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "splicesim", &mut script);
    write(&script)
}

pub(crate) fn man(folder: Option<&Path>) -> Result<(), Fail> {
    match folder {
        Some(folder) => {
            clap_mangen::generate_to(Args::command(), folder).map_err(Fail::other(folder.display()))
        }
        None => {
            let mut page = Vec::new();
            Man::new(Args::command())
                .render(&mut page)
                .map_err(Fail::other("man"))?;
            write(&page)
        }
    }
}
