// SPDX-License-Identifier: GPL-2.0

//! Hearing of splices as they begin and end, and of nodes as they change.

use crate::attr::Malformed;
use crate::error::Error;
use crate::generated::{
    CMD_NODE_DEL_NTF, CMD_NODE_SET_NTF, CMD_SPLICE_CHANGE_NTF, CMD_SPLICE_END_NTF,
    CMD_SPLICE_NEW_NTF, MCGRP_EVENTS, Node, Splice,
};
use crate::message::{Message, Messages};
use crate::socket::{self, Exchange, Transport};
use netlink_sys::Socket;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Instant;

/// Something that happened to a splice or a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A splice was made.
    New(Splice),
    /// A splice of which other hosts carry packets, too, has drained, or a FIN was seen or acknowledged here.
    Change(Splice),
    /// A splice ended; its reason and its byte counts are final.
    End(Splice),
    /// A node was added to a service or changed.
    NodeSet(Node),
    /// A node is gone.
    NodeDel(Node),
    /// Events were lost because they came faster than they were read: list the splices again.
    Lost,
}

/// A subscription to the events of one network namespace.
///
/// Its descriptor becomes readable when there are events, so that it can stand in a poll loop (in
/// tokio: `AsyncFd::new(events)`, and [`Events::try_next`] until it returns `None`).
#[derive(Debug)]
pub struct Events {
    socket: Socket,
    family: u16,
    queue: VecDeque<Event>,
}

impl Events {
    /// Subscribes; what happens from now on is told.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoaded`] when the module is not there and the kernel could not load it.
    pub fn open() -> Result<Events, Error> {
        let mut exchange = Exchange::new(socket::open()?);
        let family = exchange.resolve()?;
        let socket = exchange.into_transport();
        let (_, group) = family
            .groups
            .iter()
            .find(|(name, _)| name == MCGRP_EVENTS)
            .ok_or(Malformed("the family has no group for events"))?;
        socket.add_membership(*group)?;
        socket.set_non_blocking(true)?;
        Ok(Events {
            socket,
            family: family.id,
            queue: VecDeque::new(),
        })
    }

    /// Waits for the next event.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not report an error and go on"
    )]
    pub fn next(&mut self) -> Result<Event, Error> {
        loop {
            if let Some(event) = self.wait(None)? {
                return Ok(event);
            }
        }
    }

    /// Waits for the next event, but not beyond a moment: `None` if there is none by then.
    pub fn next_until(&mut self, until: Instant) -> Result<Option<Event>, Error> {
        self.wait(Some(until))
    }

    fn wait(&mut self, until: Option<Instant>) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.try_next()? {
                return Ok(Some(event));
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(None);
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            match poll(&mut [PollFd::new(&*self, PollFlags::IN)], left.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(e) => return Err(Error::Io(e.into())),
            }
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            if let Some(event) = self.queue.pop_front() {
                return Ok(Some(event));
            }
            match Transport::recv(&mut self.socket) {
                Ok(datagram) => decode_datagram(&datagram, self.family, &mut self.queue)?,
                Err(e) => match Errno::from_io_error(&e) {
                    Some(Errno::AGAIN) => return Ok(None),
                    Some(Errno::NOBUFS) => return Ok(Some(Event::Lost)),
                    _ => return Err(e.into()),
                },
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Events {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn decode_datagram(
    datagram: &[u8],
    family: u16,
    queue: &mut VecDeque<Event>,
) -> Result<(), Malformed> {
    for message in Messages(datagram) {
        let message = message?;
        if message.kind == family {
            queue.extend(decode(&message)?);
        }
    }
    Ok(())
}

/// The event of a message, unless only a newer library knows it.
fn decode(message: &Message<'_>) -> Result<Option<Event>, Malformed> {
    Ok(match message.cmd()? {
        CMD_SPLICE_NEW_NTF => Some(Event::New(Splice::decode(message.attrs())?)),
        CMD_SPLICE_CHANGE_NTF => Some(Event::Change(Splice::decode(message.attrs())?)),
        CMD_SPLICE_END_NTF => Some(Event::End(Splice::decode(message.attrs())?)),
        CMD_NODE_SET_NTF => Some(Event::NodeSet(Node::decode(message.attrs())?)),
        CMD_NODE_DEL_NTF => Some(Event::NodeDel(Node::decode(message.attrs())?)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attr::Writer;
    use crate::generated::EndReason;
    use crate::message::tests::from_kernel;

    #[test]
    fn a_datagram_becomes_events_in_order() {
        let event = |cmd, reason| {
            let mut out = Writer::after(vec![cmd, 1, 0, 0]);
            out.uint(1, 5);
            out.u32(8, reason);
            from_kernel(0x1c, 0, 0, &out.into_bytes())
        };
        let mut datagram = event(CMD_SPLICE_NEW_NTF, 0);
        // From another family, and from a newer kernel.
        datagram.extend(from_kernel(0x1d, 0, 0, &[CMD_SPLICE_END_NTF, 1, 0, 0]));
        datagram.extend(event(77, 0));
        datagram.extend(event(CMD_SPLICE_END_NTF, 4));
        let mut queue = VecDeque::new();
        decode_datagram(&datagram, 0x1c, &mut queue).expect("it is well formed");
        let splice = |reason| Splice {
            id: Some(5),
            reason: Some(reason),
            ..Splice::default()
        };
        assert_eq!(
            queue,
            [
                Event::New(splice(EndReason::None)),
                Event::End(splice(EndReason::Deleted))
            ]
        );
    }
}
