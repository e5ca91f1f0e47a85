// SPDX-License-Identifier: GPL-2.0

//! Standard output: JSON or text, and what the reader of the text can make of it.

use crate::fail::Fail;
use crate::format::{ASCII, Signs, UNICODE};
use rustix::termios::tcgetwinsize;
use serde::Serialize;
use std::env;
use std::io::{self, IsTerminal, Write};

/// How and how wide to print.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    pretty: bool,
    color: bool,
    width: Option<usize>,
    pub(crate) signs: Signs,
}

/// A variable that is set to something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether the locale of the environment has the signs that are not ASCII.
fn is_utf8(lookup: impl Fn(&str) -> Option<String>) -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .find_map(lookup)
        .is_some_and(|locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        })
}

impl Output {
    pub(crate) fn new(json: bool, pretty: bool) -> Output {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        let columns = variable("COLUMNS").and_then(|columns| columns.parse().ok());
        let width = if is_terminal {
            columns.or_else(|| {
                let size = tcgetwinsize(&stdout).ok()?;
                Some(size.ws_col.into()).filter(|&width| width > 0)
            })
        } else {
            None
        };
        let is_dumb = variable("TERM").is_some_and(|term| term == "dumb");
        Output {
            json: json || pretty,
            pretty,
            color: is_terminal && !is_dumb && variable("NO_COLOR").is_none(),
            width,
            signs: if is_utf8(variable) { UNICODE } else { ASCII },
        }
    }

    /// Whether JSON is wanted.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether colors are wanted.
    pub(crate) fn color(&self) -> bool {
        self.color
    }

    /// Columns of the terminal; `None` is as many as it takes.
    pub(crate) fn width(&self) -> Option<usize> {
        self.width
    }

    /// Prints a value as JSON, and a line break.
    pub(crate) fn value(&self, value: &impl Serialize) -> Result<(), Fail> {
        let text = if self.pretty {
            serde_json::to_string_pretty(value)
        } else {
            serde_json::to_string(value)
        };
        let text = text.map_err(Fail::other("standard output"))?;
        self.text(&(text + "\n"))
    }

    /// Prints a text at once.
    pub(crate) fn text(&self, text: &str) -> Result<(), Fail> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        stdout.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_locale_that_is_set_decides() {
        let locale = |set: &'static [(&str, &str)]| {
            is_utf8(|name| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| value.to_string())
            })
        };
        assert!(locale(&[("LANG", "de_DE.UTF-8")]));
        assert!(locale(&[("LC_CTYPE", "C.utf8"), ("LANG", "C")]));
        assert!(!locale(&[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")]));
        assert!(!locale(&[]));
    }
}
