// SPDX-License-Identifier: GPL-2.0

//! What went wrong, as one line and an exit status.

use std::io;
use std::process::ExitCode;
use tcp_splice_netlink::Error;

const REFUSED: u8 = 1;
const NOT_POSSIBLE: u8 = 3;

/// Why the program ends early.
#[derive(Debug)]
pub(crate) enum Fail {
    /// The kernel's answer to a request, and what the request was about.
    Kernel { what: String, error: Error },
    /// Anything else, with what it was about.
    Other { what: String, message: String },
    /// Each failure was told when it happened.
    Told,
    /// Whoever read the output has seen enough.
    BrokenPipe,
}

impl Fail {
    /// For `map_err`: the kernel's answer to a request about `what`.
    pub(crate) fn kernel(what: impl Into<String>) -> impl FnOnce(Error) -> Fail {
        let what = what.into();
        move |error| Fail::Kernel { what, error }
    }

    /// For `map_err`: a failure of reading or making `what`.
    pub(crate) fn other<E: ToString>(what: impl Into<String>) -> impl FnOnce(E) -> Fail {
        let what = what.into();
        move |error| Fail::Other {
            what,
            message: error.to_string(),
        }
    }

    /// Whether everything else the program could try would fail alike.
    pub(crate) fn is_general(error: &Error) -> bool {
        matches!(error, Error::NotLoaded) || error.is_permission()
    }

    /// The line without the name of the program.
    fn line(&self) -> Option<String> {
        match self {
            Fail::Kernel { what, error } => Some(format!("{what}: {error}")),
            Fail::Other { what, message } => Some(format!("{what}: {message}")),
            Fail::Told | Fail::BrokenPipe => None,
        }
    }

    fn code(&self) -> u8 {
        match self {
            Fail::Kernel { error, .. } if Fail::is_general(error) => NOT_POSSIBLE,
            Fail::Kernel { .. } | Fail::Other { .. } | Fail::Told => REFUSED,
            Fail::BrokenPipe => 0,
        }
    }

    /// Tells it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        if let Some(line) = self.line() {
            tell(&line);
        }
        ExitCode::from(self.code())
    }
}

/// A line on standard error, with the name of the program; lost if nobody listens there.
pub(crate) fn tell(line: &str) {
    use io::Write;
    let _ = writeln!(io::stderr(), "splicectl: {line}");
}

/// Of standard output, the only place that is written to without a name.
impl From<io::Error> for Fail {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Fail::BrokenPipe
        } else {
            Fail::Other {
                what: "standard output".into(),
                message: error.to_string(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_statuses() {
        let kernel = |errno, message: Option<&str>| Fail::Kernel {
            what: "show 5".into(),
            error: Error::Kernel {
                errno,
                message: message.map(String::from),
                attribute: Some("id".into()),
            },
        };
        let refused = kernel(2, Some("no such splice"));
        assert_eq!(
            refused.line().as_deref(),
            Some("show 5: no such splice (id)")
        );
        assert_eq!(refused.code(), 1);
        assert_eq!(kernel(1, None).code(), 3);
        let absent = Fail::kernel("list")(Error::NotLoaded);
        assert_eq!(
            absent.line().as_deref(),
            Some("list: kernel module tcp_splice is not loaded: run modprobe tcp_splice")
        );
        assert_eq!(absent.code(), 3);
        assert_eq!(
            Fail::from(io::Error::from(io::ErrorKind::BrokenPipe)).code(),
            0
        );
        assert_eq!(Fail::Told.code(), 1);
    }
}
