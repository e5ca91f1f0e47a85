// SPDX-License-Identifier: GPL-2.0

//! `struct tcp_splice`

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt::Display;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::time::Duration;

use rustix::io::Errno;
use tcp_splice::{Kernel, NotMoved, NotReceived, NotSpliced, Way, Why};

use crate::negative;

/// `struct tcp_splice`
pub struct TcpSplice {
    kernel: Kernel,
    /// Of the last call that did not succeed.
    error: CString,
}

impl TcpSplice {
    /// Keeps what went wrong.
    fn fail(&mut self, errno: c_int, error: &dyn Display) -> c_int {
        let text = error.to_string().replace('\0', " ");
        self.error = CString::new(text).unwrap_or_default();
        errno
    }

    fn splice(&mut self, client: c_int, server: c_int) -> Result<u64, c_int> {
        let (Some(client), Some(server)) = (borrow(client), borrow(server)) else {
            return Err(self.fail(-Errno::BADF.raw_os_error(), &"a descriptor is negative"));
        };
        let made = self.kernel.splice(client, server);
        made.map_err(|NotSpliced { error, .. }| self.fail(negative(&error), &error))
    }

    fn hand_off(
        &mut self,
        client: c_int,
        read: &[u8],
        server: Option<&str>,
        way: c_int,
    ) -> Result<u64, c_int> {
        let invalid = -Errno::INVAL.raw_os_error();
        let Some(client) = borrow(client) else {
            return Err(self.fail(-Errno::BADF.raw_os_error(), &"the descriptor is negative"));
        };
        let Some(server) = server.and_then(|text| text.parse::<SocketAddr>().ok()) else {
            return Err(self.fail(invalid, &"the server is no address with a port"));
        };
        let way = match way {
            0 => Way::Direct,
            1 => Way::Tunnel,
            _ => return Err(self.fail(invalid, &"the way is not known")),
        };
        self.kernel
            .hand_off(client, read, server, way)
            .map_err(|error| {
                let errno = match &error {
                    NotMoved::Stays(_, Why::Kernel(error)) => negative(error),
                    NotMoved::Stays(_, Why::Host(_)) => -Errno::REMOTEIO.raw_os_error(),
                    NotMoved::Unknown(_) => 1,
                };
                self.fail(errno, &error)
            })
    }

    fn receive(&mut self, connection: Option<&str>) -> Result<c_int, c_int> {
        let invalid = -Errno::INVAL.raw_os_error();
        let Some(connection) = connection else {
            return Err(self.fail(invalid, &"the connection is no text"));
        };
        match self.kernel.receive(connection) {
            Ok(stream) => Ok(stream.into_raw_fd()),
            Err(error) => {
                let errno = match &error {
                    NotReceived::Text(_) => invalid,
                    NotReceived::Refused(error) => negative(error),
                    NotReceived::Lost(_) => 1,
                };
                Err(self.fail(errno, &error))
            }
        }
    }
}

fn borrow<'a>(fd: c_int) -> Option<BorrowedFd<'a>> {
    // SAFETY: The caller of a function that takes a descriptor keeps it open until that returns, and it is borrowed no longer; one that is
    // not open does no harm: the kernel refuses it. -1 is no value of the type.
    (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Gives a number to C, and 0.
///
/// # Safety
///
/// `out` is null, or may be written.
unsafe fn give(result: Result<u64, c_int>, out: *mut u64) -> c_int {
    match result {
        Ok(_) if out.is_null() => 0,
        Ok(id) => {
            // SAFETY: By the function's own contract.
            unsafe { out.write(id) };
            0
        }
        Err(errno) => errno,
    }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_open(kernel: *mut *mut TcpSplice) -> c_int {
    match Kernel::open() {
        Ok(opened) => {
            let opened = Box::new(TcpSplice {
                kernel: opened,
                error: CString::default(),
            });
            // SAFETY: By the function's own contract.
            unsafe { kernel.write(Box::into_raw(opened)) };
            0
        }
        Err(error) => negative(&error),
    }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` is null, or of [`tcp_splice_open`] and not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_close(kernel: *mut TcpSplice) {
    if !kernel.is_null() {
        // SAFETY: It was made by `Box::into_raw` in `tcp_splice_open`, and is given back once.
        drop(unsafe { Box::from_raw(kernel) });
    }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` is of [`tcp_splice_open`] and not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_error(kernel: *const TcpSplice) -> *const c_char {
    // SAFETY: By the function's own contract.
    unsafe { &*kernel }.error.as_ptr()
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` is of [`tcp_splice_open`], not closed yet, and used by this thread alone; `id` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_join(
    kernel: *mut TcpSplice,
    client: c_int,
    server: c_int,
    id: *mut u64,
) -> c_int {
    // SAFETY: By the function's own contract.
    let this = unsafe { &mut *kernel };
    let joined = this.splice(client, server);
    // SAFETY: By the function's own contract.
    unsafe { give(joined, id) }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` is of [`tcp_splice_open`], not closed yet, and used by this thread alone; `path` is a string that ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_set_control(
    kernel: *mut TcpSplice,
    path: *const c_char,
) -> c_int {
    // SAFETY: By the function's own contract.
    let this = unsafe { &mut *kernel };
    // SAFETY: By the function's own contract.
    match unsafe { text(path) } {
        Some(path) => {
            this.kernel.set_control(path);
            0
        }
        None => this.fail(-Errno::INVAL.raw_os_error(), &"the path is no text"),
    }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` is of [`tcp_splice_open`], not closed yet, and used by this thread alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_set_patience(kernel: *mut TcpSplice, ms: u32) {
    // SAFETY: By the function's own contract.
    let this = unsafe { &mut *kernel };
    this.kernel.set_patience(Duration::from_millis(ms.into()));
}

/// A string of C.
///
/// # Safety
///
/// `text` is null, or a string that ends with a zero and lives as long as what is returned.
unsafe fn text<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: By the function's own contract.
    unsafe { CStr::from_ptr(text) }.to_str().ok()
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` is of [`tcp_splice_open`], not closed yet, and used by this thread alone; `length` bytes at `read` may be read, if there are any; `server`
/// is a string that ends with a zero; `id` is null or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_hand_off(
    kernel: *mut TcpSplice,
    client: c_int,
    read: *const c_void,
    length: usize,
    server: *const c_char,
    way: c_int,
    id: *mut u64,
) -> c_int {
    // SAFETY: By the function's own contract.
    let this = unsafe { &mut *kernel };
    let read = match length {
        0 => &[],
        // SAFETY: By the function's own contract.
        _ => unsafe { std::slice::from_raw_parts(read.cast::<u8>(), length) },
    };
    // SAFETY: By the function's own contract.
    let server = unsafe { text(server) };
    let moved = this.hand_off(client, read, server, way);
    // SAFETY: By the function's own contract.
    unsafe { give(moved, id) }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `kernel` is of [`tcp_splice_open`], not closed yet, and used by this thread alone; `connection` is a string that ends with a zero; `fd` may be
/// written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_receive(
    kernel: *mut TcpSplice,
    connection: *const c_char,
    fd: *mut c_int,
) -> c_int {
    // SAFETY: By the function's own contract.
    let this = unsafe { &mut *kernel };
    // SAFETY: By the function's own contract.
    let connection = unsafe { text(connection) };
    match this.receive(connection) {
        Ok(socket) => {
            // SAFETY: By the function's own contract.
            unsafe { fd.write(socket) };
            0
        }
        Err(errno) => errno,
    }
}
