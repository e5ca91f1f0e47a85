// SPDX-License-Identifier: GPL-2.0

//! Standard output: JSON or text.

use crate::fail::Fail;
use serde::Serialize;
use std::io::{self, Write};

/// How to print.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    pretty: bool,
}

impl Output {
    pub(crate) fn new(json: bool, pretty: bool) -> Output {
        Output {
            json: json || pretty,
            pretty,
        }
    }

    /// Prints a value as JSON, if that is wanted, or else a text.
    pub(crate) fn print(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Fail> {
        let text = match (self.json, self.pretty) {
            (true, true) => {
                serde_json::to_string_pretty(value).map_err(Fail::other("standard output"))? + "\n"
            }
            (true, false) => {
                serde_json::to_string(value).map_err(Fail::other("standard output"))? + "\n"
            }
            (false, _) => text(),
        };
        write(text.as_bytes())
    }
}

/// Writes at once.
pub(crate) fn write(text: &[u8]) -> Result<(), Fail> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text)?;
    stdout.flush()?;
    Ok(())
}

/// Lines of a name and a value, the values in one column.
pub(crate) fn lines(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| match value.is_empty() {
            true => format!("{name}\n"),
            false => format!("{name:width$}  {value}\n"),
        })
        .collect()
}
