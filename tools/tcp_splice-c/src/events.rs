// SPDX-License-Identifier: GPL-2.0

//! `struct tcp_splice_events`

use std::ffi::c_int;
use std::os::fd::AsRawFd;

use tcp_splice::{EndReason, Event, Events, Splice};

use crate::negative;

/// `struct tcp_splice_events`
pub struct TcpSpliceEvents(Events);

/// `struct tcp_splice_event`
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSpliceEvent {
    kind: u32,
    reason: u32,
    id: u64,
    bytes_to_server: u64,
    bytes_to_client: u64,
}

const NEW: u32 = 1;
const END: u32 = 2;
const LOST: u32 = 3;

/// The event as C knows it; it does not know all.
fn translate(event: &Event) -> Option<TcpSpliceEvent> {
    let of = |kind, splice: &Splice| {
        let [bytes_to_server, bytes_to_client] = splice.bytes();
        TcpSpliceEvent {
            kind,
            reason: splice.reason.map_or(0, EndReason::to_u32),
            id: splice.id.unwrap_or_default(),
            bytes_to_server,
            bytes_to_client,
        }
    };
    match event {
        Event::New(splice) => Some(of(NEW, splice)),
        Event::End(splice) => Some(of(END, splice)),
        Event::Lost => Some(TcpSpliceEvent {
            kind: LOST,
            ..TcpSpliceEvent::default()
        }),
        _ => None,
    }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `events` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_events_open(events: *mut *mut TcpSpliceEvents) -> c_int {
    match Events::open() {
        Ok(opened) => {
            // SAFETY: By the function's own contract.
            unsafe { events.write(Box::into_raw(Box::new(TcpSpliceEvents(opened)))) };
            0
        }
        Err(error) => negative(&error),
    }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `events` is null, or of [`tcp_splice_events_open`] and not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_events_close(events: *mut TcpSpliceEvents) {
    if !events.is_null() {
        // SAFETY: It was made by `Box::into_raw` in `tcp_splice_events_open`, and is given back once.
        drop(unsafe { Box::from_raw(events) });
    }
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `events` is of [`tcp_splice_events_open`] and not closed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_events_fd(events: *const TcpSpliceEvents) -> c_int {
    // SAFETY: By the function's own contract.
    unsafe { &*events }.0.as_raw_fd()
}

/// See `tcp_splice.h`.
///
/// # Safety
///
/// `events` is of [`tcp_splice_events_open`], not closed yet, and used by this thread alone; `event` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tcp_splice_events_next(
    events: *mut TcpSpliceEvents,
    event: *mut TcpSpliceEvent,
) -> c_int {
    // SAFETY: By the function's own contract.
    let this = unsafe { &mut *events };
    loop {
        match this.0.try_next() {
            Ok(None) => return 0,
            Ok(Some(next)) => {
                let Some(next) = translate(&next) else {
                    continue;
                };
                // SAFETY: By the function's own contract.
                unsafe { event.write(next) };
                return 1;
            }
            Err(error) => return negative(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_c_is_told() {
        let splice = Splice {
            id: Some(7),
            reason: Some(EndReason::Fin),
            moved_to_client: Some(5),
            ..Splice::default()
        };
        let end = translate(&Event::End(splice.clone())).expect("it is known");
        assert_eq!(
            (end.kind, end.id, end.reason),
            (END, 7, EndReason::Fin.to_u32())
        );
        assert_eq!((end.bytes_to_server, end.bytes_to_client), (0, 5));
        assert_eq!(translate(&Event::Change(splice)), None);
        assert_eq!(translate(&Event::Lost).map(|lost| lost.kind), Some(LOST));
    }
}
