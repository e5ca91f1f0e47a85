// SPDX-License-Identifier: GPL-2.0

//! What went wrong, as one line and an exit status.

use std::io::{self, Write};
use std::process::ExitCode;

/// Why the program ends early.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fail {
    /// What was asked for makes no sense.
    Usage(String),
    /// Something could not be read, written or simulated, or a result is above what is possible.
    Other(String),
    /// Whoever read the output has seen enough.
    BrokenPipe,
}

impl Fail {
    /// For `map_err`: a failure of reading or making `what`.
    pub(crate) fn other<E: ToString>(what: impl ToString) -> impl FnOnce(E) -> Fail {
        move |error| {
            Fail::Other(format!(
                "{}: {}",
                what.to_string(),
                error.to_string().trim_end()
            ))
        }
    }

    /// For `map_err`: numbers that make no sense.
    pub(crate) fn usage<E: ToString>(error: E) -> Fail {
        Fail::Usage(error.to_string())
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        let (line, code) = match self {
            Fail::Other(line) => (line, 1),
            Fail::Usage(line) => (line, 2),
            Fail::BrokenPipe => return ExitCode::SUCCESS,
        };
        // Lost if nobody listens there.
        let _ = writeln!(io::stderr(), "splicesim: {line}");
        ExitCode::from(code)
    }
}

/// Of standard output, the only place that is written to without a name.
impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Fail::BrokenPipe
        } else {
            Fail::Other(format!("standard output: {error}"))
        }
    }
}
