// SPDX-License-Identifier: GPL-2.0

//! An idle splice: both ends are asked whether they are still there (RFC 9293, section 3.8.4), and only an
//! end that does not answer ends it.

use super::{Phase, Reason, Splice};
use crate::{
    flow::{self, Direction},
    net::{netfilter::in_packet_context, time},
    stats::Stat,
    xlate::{
        build::build_segment,
        ip::header_len,
        options::{stamps, STAMPS_LEN},
        tcp::{Flags, HEADER_LEN},
    },
};
use core::ops::RangeInclusive;
use kernel::sync::atomic::Relaxed;

/// Probes that an end may leave unanswered.
const PROBES: u32 = 3;

/// Milliseconds between them, at least and at most. Hosts answer what is out of their window twice a second (Linux:
/// tcp_invalid_ratelimit).
const INTERVAL_MS: RangeInclusive<u64> = 1000..=5000;

impl Splice {
    /// Jiffies from one probe to the next.
    fn probe_interval(&self) -> usize {
        time::from_ms((self.idle_timeout() / 2).clamp(*INTERVAL_MS.start(), *INTERVAL_MS.end()))
    }

    /// Jiffies until an idle splice is to be looked after; `None` if it never is.
    pub(super) fn idle_look(&self) -> Option<usize> {
        if self.patience() == 0 {
            return None;
        }
        if self.probes.load(Relaxed) > 0 {
            return Some(self.probe_interval());
        }
        let left = self.patience().saturating_sub(self.idle());
        Some(time::from_ms(left).max(1))
    }

    /// Looks after a live splice that may be idle: probes it or cuts it. `true` if it was cut. May sleep.
    pub(super) fn look_if_idle(&self) -> bool {
        if self.patience() == 0 || self.phase() != Phase::Live {
            return false;
        }
        let probes = self.probes.load(Relaxed);
        if probes == 0 {
            if self.idle() < self.patience() {
                return false;
            }
            if self.wishes.cut_when_idle && !self.is_shared() {
                return self.cut(Reason::Idle);
            }
            self.probed_at.store(flow::now(), Relaxed);
            for (count, flow) in self
                .probed_after
                .iter()
                .zip([&self.to_server, &self.to_client])
            {
                count.store(flow.carried().packets, Relaxed);
            }
        } else {
            if self.is_heard(Direction::ToServer) && self.is_heard(Direction::ToClient) {
                // Both have answered, or have something to say.
                self.probes.store(0, Relaxed);
                self.note_answer();
                return false;
            }
            let since = flow::now().wrapping_sub(self.probed_at.load(Relaxed));
            if (since as usize) < self.probe_interval().saturating_mul(probes as usize) {
                return false;
            }
            if probes >= PROBES && self.has_moved() {
                // The host that has it knows best what becomes of it.
                self.end(Reason::Idle);
                return true;
            }
            if probes >= PROBES {
                // The answers may have gone another way.
                return !self.is_shared() && self.cut(Reason::Idle);
            }
        }
        self.probes.store(probes + 1, Relaxed);
        // One that has answered is left alone: what it says goes on to the other end, with a newer timestamp than the
        // probe of that one has, which is then too old for an answer if it comes later (RFC 7323, section 5.3).
        in_packet_context(|_| {
            for direction in [Direction::ToServer, Direction::ToClient] {
                if !self.is_heard(direction) {
                    self.probe(direction);
                }
            }
        });
        false
    }

    /// Whether the sender of a flow was heard of since it was probed first; here, or on another host.
    fn is_heard(&self, direction: Direction) -> bool {
        if !self.comes_by(direction) {
            // Not here.
            return true;
        }
        let flow = self.flow(direction);
        let [to_server, to_client] = &self.probed_after;
        let count = match direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        };
        let since = flow::now().wrapping_sub(self.probed_at.load(Relaxed));
        // An answer may come within the same jiffy.
        flow.carried().packets != count.load(Relaxed) || flow.idle() < since
    }

    /// Asks both ends. May sleep.
    pub(super) fn probe_both(&self) {
        in_packet_context(|_| {
            self.probe(Direction::ToServer);
            self.probe(Direction::ToClient);
        });
    }

    /// Asks the sender of a flow: a segment that is one number too old makes it say where it stands. In
    /// packet context.
    fn probe(&self, direction: Direction) {
        let Some((terms, back)) = self.terms(direction) else {
            return;
        };
        if !self.comes_by(direction) {
            return;
        }
        let (flow, reverse) = (self.flow(direction), self.flow(direction.reverse()));
        // As the far end has said it last: what it has acknowledged, and its window.
        let ack = flow::expected(terms, reverse, back);
        let edge = flow::reach(reverse, back);
        let room = if edge.after(ack) {
            edge.distance(ack)
        } else {
            0
        };
        let window = u16::try_from(room >> back.edit.wscale_out.min(14)).unwrap_or(u16::MAX);
        let stamps = stamps(
            reverse.tsval_last().wrapping_add(back.edit.tsval_delta),
            flow.tsval_last(),
        );
        let (options, options_len) = if back.edit.timestamps {
            (&stamps[..], STAMPS_LEN)
        } else {
            (&stamps[..0], 0)
        };
        let key = flow.key().reverse();
        let len = header_len(key.family) + HEADER_LEN + options_len;
        let seq = flow.ack_last().sub(1);
        if self.send(&key, len, |out| {
            build_segment(out, &key, seq, Some(ack), Flags::ACK, window, options)
        }) {
            self.ns.count(Stat::Probes);
        }
    }
}
