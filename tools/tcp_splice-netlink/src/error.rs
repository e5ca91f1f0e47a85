// SPDX-License-Identifier: GPL-2.0

//! What can go wrong between a program and the kernel.

use crate::attr::Malformed;
use rustix::io::Errno;
use std::fmt;
use std::io;

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel does not know the family.
    #[error("kernel module tcp_splice is not loaded: run modprobe tcp_splice")]
    NotLoaded,
    /// The kernel refused the request.
    #[error("{}", KernelText(*errno, message.as_deref(), attribute.as_deref()))]
    Kernel {
        /// Positive errno.
        errno: i32,
        /// What the kernel said in its extended acknowledgement.
        message: Option<String>,
        /// The attribute at fault or missing, with the nests around it, as in `to-server.saddr`.
        attribute: Option<String>,
    },
    /// The netlink socket failed.
    #[error("netlink socket: {0}")]
    Io(#[from] io::Error),
    /// The kernel sent something that this library cannot read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The table changed under every attempt to read it whole.
    #[error("the list of splices changed during each of {0} attempts to read it")]
    Interrupted(u32),
}

impl Error {
    /// The errno, if the kernel refused the request or a system call failed.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Error::Kernel { errno, .. } => Some(*errno),
            Error::Io(e) => e.raw_os_error(),
            Error::NotLoaded => Some(Errno::NOENT.raw_os_error()),
            Error::Malformed(_) | Error::Interrupted(_) => None,
        }
    }

    /// Whether the caller lacks a permission, which is `CAP_NET_ADMIN` over the network namespace.
    pub fn is_permission(&self) -> bool {
        let errno = self.errno().map(Errno::from_raw_os_error);
        matches!(errno, Some(Errno::PERM | Errno::ACCESS))
    }
}

/// How a refusal reads: the kernel's words if it has any, then what they are about.
struct KernelText<'a>(i32, Option<&'a str>, Option<&'a str>);

impl fmt::Display for KernelText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KernelText(errno, message, attribute) = *self;
        match message {
            Some(message) => f.write_str(message)?,
            None => {
                // The standard library appends the number to its text.
                let text = io::Error::from_raw_os_error(errno).to_string();
                let end = text.rfind(" (os error").unwrap_or(text.len());
                f.write_str(&text[..end])?;
                if errno == Errno::PERM.raw_os_error() {
                    f.write_str("; CAP_NET_ADMIN is needed")?;
                }
            }
        }
        if let Some(attribute) = attribute {
            write!(f, " ({attribute})")?;
        }
        Ok(())
    }
}
