// SPDX-License-Identifier: GPL-2.0

//! One connection as an observer beside one of its ends sees it, and what may not happen in it.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;

use crate::packet::{ACK, FIN, Quote, RST, SYN, Segment, Sum};

/// What to insist on.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rules {
    /// Every TCP packet is between two of these; empty: anything goes.
    pub(crate) allowed: Vec<IpAddr>,
    /// Checksums must be whole; offloads are off.
    pub(crate) full_checksums: bool,
    /// Every byte comes by here in the end.
    pub(crate) lossless: bool,
    /// A RST is no fault.
    pub(crate) rst: bool,
    /// A RST is no fault once both ends have acknowledged each other's FIN: an end that has forgotten the connection answers so.
    pub(crate) late_rst: bool,
    /// Every connection starts with SYNs and ends with two acknowledged FINs.
    pub(crate) complete: bool,
    /// SACK edges must be edges of segments that were seen.
    pub(crate) sack_edges: bool,
    /// No data beyond the right edge of the window.
    pub(crate) window: bool,
}

/// One direction of a connection. Numbers are offsets from the first sequence number seen.
#[derive(Debug, Default)]
pub(crate) struct Direction {
    base: Option<u32>,
    /// After the highest byte or FIN sent.
    end: i64,
    /// Highest acknowledgement sent, in the other direction's numbers.
    acked: Option<i64>,
    /// Right edge of the window this side announced, in the other direction's numbers.
    edge: Option<i64>,
    /// Everything before this came by.
    whole: Option<i64>,
    /// What came by beyond that, start and end.
    ahead: BTreeMap<i64, i64>,
    fin: Option<i64>,
    syn: bool,
    scale: Option<u8>,
    sack_permitted: bool,
    timestamps: bool,
    first_tsval: Option<u32>,
    tsval: Option<u32>,
    /// The TSval that the other side remembers.
    remembered: Option<u32>,
    tsvals: HashSet<u32>,
    edges: HashSet<i64>,
    pub(crate) counts: Counts,
}

/// What was counted in one direction.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    pub(crate) packets: u64,
    /// Payload bytes of the stream, each counted once.
    pub(crate) bytes: i64,
    /// Segments of which something came by before.
    pub(crate) retransmits: u64,
    /// Segments that left a gap, which somebody else may fill.
    pub(crate) gaps: u64,
    pub(crate) fins: u64,
    pub(crate) rsts: u64,
    pub(crate) sacks: u64,
    pub(crate) zero_windows: u64,
    pub(crate) shrinks: u64,
    pub(crate) largest: u32,
    pub(crate) acks_back: u64,
    pub(crate) keepalives: u64,
    pub(crate) echoes_between: u64,
}

impl Direction {
    /// Whether any of `start..end` came by before.
    fn has(&self, start: i64, end: i64) -> bool {
        let whole = self.whole.unwrap_or(start);
        start < end && start < whole || self.ahead.iter().any(|(&s, &e)| s < end && start < e)
    }

    /// Notes that `start..end` came by.
    fn cover(&mut self, start: i64, end: i64) {
        if start > self.whole.unwrap_or(start) {
            let e = self.ahead.entry(start).or_insert(end);
            *e = (*e).max(end);
            return;
        }
        let mut whole = self.whole.unwrap_or(start).max(end);
        while let Some((&s, &e)) = self.ahead.first_key_value() {
            if s > whole {
                break;
            }
            whole = whole.max(e);
            self.ahead.pop_first();
        }
        self.whole = Some(whole);
    }

    /// The sequence number at an offset.
    fn number(&self, offset: i64) -> u32 {
        self.base.unwrap_or(0).wrapping_add(offset as u32)
    }

    /// The 64-bit offset of `n`, the one nearest to what was seen last.
    fn offset(&mut self, n: u32) -> i64 {
        let base = *self.base.get_or_insert(n);
        let near = base.wrapping_add(self.end as u32);
        self.end + i64::from(n.wrapping_sub(near) as i32)
    }
}

/// A connection, its ends in the order of their addresses.
pub(crate) type Ends = ((IpAddr, u16), (IpAddr, u16));

/// Everything seen in one capture.
#[derive(Default)]
pub(crate) struct Capture {
    pub(crate) rules: Rules,
    pub(crate) connections: BTreeMap<Ends, [Direction; 2]>,
    pub(crate) faults: Vec<String>,
    pub(crate) segments: u64,
    /// ICMP errors about segments.
    pub(crate) errors: u64,
}

impl Capture {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            ..Self::default()
        }
    }

    /// Judges an ICMP error: it is about a segment that came by. `at` names it in messages.
    pub(crate) fn see_error(&mut self, at: &str, quote: &Quote) {
        self.errors += 1;
        let (key, me) = if quote.src <= quote.dst {
            ((quote.src, quote.dst), 0)
        } else {
            ((quote.dst, quote.src), 1)
        };
        let sent = self.connections.get_mut(&key).is_some_and(|pair| {
            let from = &mut pair[me];
            from.base.is_some() && (0..from.end).contains(&from.offset(quote.seq))
        });
        if !sent {
            self.faults.push(format!(
                "{at} {}:{} > {}:{}: an ICMP error quotes seq {}, which was never sent",
                quote.src.0, quote.src.1, quote.dst.0, quote.dst.1, quote.seq
            ));
        }
    }

    /// Judges one segment. `at` names it in messages.
    pub(crate) fn see(&mut self, at: &str, seg: &Segment) {
        self.segments += 1;
        let rules = &self.rules;
        let faults = &mut self.faults;
        let mut fault = |text: String| {
            faults.push(format!(
                "{at} {}:{} > {}:{}: {text}",
                seg.src.0, seg.src.1, seg.dst.0, seg.dst.1
            ));
        };

        if !rules.allowed.is_empty() {
            for a in [seg.src.0, seg.dst.0] {
                if !rules.allowed.contains(&a) {
                    fault(format!("address {a} has no business on this network"));
                }
            }
        }
        match seg.checksum {
            Sum::Wrong => fault("TCP checksum is wrong".into()),
            Sum::Partial if rules.full_checksums => fault("TCP checksum is not filled in".into()),
            _ => {}
        }

        let (key, me) = if seg.src <= seg.dst {
            ((seg.src, seg.dst), 0)
        } else {
            ((seg.dst, seg.src), 1)
        };
        let pair = self.connections.entry(key).or_default();
        // The same ports again: a new connection.
        if seg.has(SYN) && !seg.has(ACK) && pair[me].base.is_some_and(|b| b != seg.seq) {
            *pair = Default::default();
        }
        let [a, b] = pair;
        let (from, to) = if me == 0 { (a, b) } else { (b, a) };
        from.counts.packets += 1;
        from.counts.largest = from.counts.largest.max(seg.len);

        if seg.has(RST) {
            from.counts.rsts += 1;
            let over = |this: &Direction, other: &Direction| {
                this.fin.is_some_and(|fin| other.acked > Some(fin))
            };
            let late = rules.late_rst && over(from, to) && over(to, from);
            if !rules.rst && !late {
                fault("RST".into());
            }
            return;
        }

        // Sequence.
        let start = from.offset(seg.seq);
        let end = start + i64::from(seg.span());
        if seg.has(SYN) {
            from.syn = true;
            from.scale = seg.wscale;
            from.sack_permitted = seg.sack_permitted;
            from.timestamps = seg.timestamps.is_some();
        }
        if seg.has(FIN) {
            // It takes a number, which can be acknowledged by itself.
            from.edges.insert(end - 1);
            from.edges.insert(end);
        }
        if seg.len > 0 {
            from.edges.insert(start + i64::from(seg.has(SYN)));
            from.edges.insert(end - i64::from(seg.has(FIN)));
            if to
                .edge
                .is_some_and(|e| end > e && !(seg.len == 1 && start >= e))
                && rules.window
            {
                fault(format!(
                    "{} bytes beyond the window",
                    end - to.edge.unwrap_or(0)
                ));
            }
        }
        let first = from.end == 0 && from.counts.packets == 1;
        if start > from.end && !first {
            from.counts.gaps += 1;
        } else if start < from.end && seg.len <= 1 && start == from.end - 1 && !seg.has(FIN) {
            from.counts.keepalives += 1;
        } else if from.has(start, end) {
            from.counts.retransmits += 1;
        }
        if let Some(fin) = from.fin {
            if end > fin + 1 {
                fault("data after the FIN".into());
            }
        }
        if seg.has(FIN) {
            from.counts.fins += 1;
            let at = end - 1;
            match from.fin {
                Some(f) if f != at => fault(format!("a FIN at {at} after one at {f}")),
                _ => from.fin = Some(at),
            }
        }
        from.end = from.end.max(end);
        from.cover(start, end);
        from.counts.bytes =
            from.end - i64::from(from.syn) - i64::from(from.fin.is_some_and(|f| f < from.end));

        // Timestamps.
        let both = from.timestamps && to.timestamps;
        match seg.timestamps {
            None if both => fault("timestamps were agreed on, and are not here".into()),
            Some(_) if !both && from.syn && to.syn && !seg.has(SYN) => {
                fault("timestamps were not agreed on, and are here".into());
            }
            Some((val, ecr)) => {
                // PAWS (RFC 7323, 5): what the receiver remembers comes from segments at or below its
                // acknowledgement, and nothing older is accepted; a pure ACK or a copy of what was
                // acknowledged does no harm.
                let back = from
                    .remembered
                    .map_or(0, |r| i64::from(r.wrapping_sub(val) as i32));
                let advances = seg.has(ACK)
                    && from
                        .acked
                        .is_some_and(|a| i64::from(seg.ack.wrapping_sub(to.number(a)) as i32) > 0);
                let fresh = seg.span() > 0 && to.acked.is_none_or(|a| end > a);
                if back > 0 && (fresh || advances) {
                    fault(format!("TSval goes back by {back}: dropped by PAWS"));
                }
                // A copy of what was acknowledged is not acceptable, and nothing of it is remembered.
                let acceptable = to
                    .acked
                    .is_none_or(|a| start <= a && (end > a || (seg.span() == 0 && start == a)));
                if back <= 0 && acceptable {
                    from.remembered = Some(val);
                }
                from.first_tsval.get_or_insert(val);
                if from.tsval != Some(val) {
                    from.tsvals.insert(val);
                    from.tsval = Some(val);
                }
                // An echo is of what was really sent. Only while a proxy's socket still drains, echoes
                // of its own segments pass; they lie in the time of this connection, and are counted.
                if seg.has(ACK) && ecr != 0 && to.syn {
                    let sent = to.tsvals.contains(&ecr);
                    let plausible = to
                        .first_tsval
                        .is_some_and(|f| ecr.wrapping_sub(f) as i32 >= 0)
                        && to.tsval.is_some_and(|l| l.wrapping_sub(ecr) as i32 > -1000);
                    if !sent && !plausible {
                        fault(format!(
                            "TSecr {ecr} echoes what was never sent (last is {:?})",
                            to.tsval
                        ));
                    }
                    if !sent {
                        from.counts.echoes_between += 1;
                    }
                }
            }
            None => {}
        }

        if !seg.has(ACK) {
            return;
        }
        // Acknowledgement.
        let ack = to.offset(seg.ack);
        if to.syn && ack > to.end {
            fault(format!(
                "acknowledges {} bytes that were never sent",
                ack - to.end
            ));
        }
        let scale = if seg.has(SYN) || !(from.syn && to.syn) || to.scale.is_none() {
            0
        } else {
            from.scale.unwrap_or(0)
        };
        let edge = ack + (i64::from(seg.window) << scale);
        match from.acked {
            Some(last) if ack < last => from.counts.acks_back += 1,
            _ => {
                from.acked = Some(ack);
                if from.edge.is_some_and(|e| edge < e) {
                    from.counts.shrinks += 1;
                }
            }
        }
        from.edge = from.edge.max(Some(edge));
        if seg.window == 0 {
            from.counts.zero_windows += 1;
        }

        // Selective acknowledgement.
        if !seg.sack.is_empty() {
            from.counts.sacks += 1;
            if to.syn && from.syn && !(to.sack_permitted && from.sack_permitted) {
                fault("SACK was not agreed on, and is here".into());
            }
        }
        for (i, &(left, right)) in seg.sack.iter().enumerate() {
            let (left, right) = (to.offset(left), to.offset(right));
            if left >= right || left < 0 || right > to.end {
                fault(format!(
                    "SACK block {left}..{right} is not part of what was sent (0..{})",
                    to.end
                ));
            } else if left < ack && i > 0 {
                fault(format!(
                    "SACK block {left}..{right} below the acknowledgement {ack}"
                ));
            } else if rules.sack_edges && !(to.edges.contains(&left) && to.edges.contains(&right)) {
                fault(format!(
                    "SACK block {left}..{right} is not on the edges of segments"
                ));
            }
        }
    }

    /// Judges what is missing at the end.
    pub(crate) fn finish(&mut self) {
        for ((a, b), [from, to]) in &self.connections {
            let name = format!("{}:{} - {}:{}", a.0, a.1, b.0, b.1);
            for (this, other, side) in [(from, to, "first"), (to, from, "second")] {
                if self.rules.lossless && this.whole.is_some_and(|w| w < this.end) {
                    let missing =
                        this.ahead.keys().next().unwrap_or(&this.end) - this.whole.unwrap_or(0);
                    self.faults.push(format!(
                        "{name}: {missing} bytes from the {side} end are missing at {}",
                        this.whole.unwrap_or(0)
                    ));
                }
                if !self.rules.complete {
                    continue;
                }
                if !this.syn {
                    self.faults
                        .push(format!("{name}: no SYN from the {side} end"));
                }
                match this.fin {
                    None => self
                        .faults
                        .push(format!("{name}: no FIN from the {side} end")),
                    Some(f) if other.acked.is_none_or(|a| a <= f) => {
                        self.faults.push(format!(
                            "{name}: the FIN of the {side} end was not acknowledged"
                        ));
                    }
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::build;

    /// A connection that both ends opened; the first end's numbers start at 1000, the other's just
    /// below the wrap.
    struct Talk {
        capture: Capture,
        numbers: [u32; 2],
    }

    impl Talk {
        fn new(rules: Rules) -> Self {
            let mut t = Self {
                capture: Capture::new(rules),
                numbers: [1000, u32::MAX - 10],
            };
            t.say(0, 0, 0, SYN, 0, |s| {
                s.timestamps = Some((50, 0));
                s.sack_permitted = true;
                s.wscale = Some(2);
            });
            t.say(1, 0, 1, SYN | ACK, 0, |s| {
                s.timestamps = Some((90, 50));
                s.sack_permitted = true;
                s.wscale = Some(2);
            });
            t.say(0, 1, 1, ACK, 0, |s| s.timestamps = Some((51, 90)));
            t
        }

        fn say(
            &mut self,
            who: usize,
            seq: u32,
            ack: u32,
            flags: u8,
            len: u32,
            change: impl FnOnce(&mut Segment),
        ) {
            let mut s = build::segment(
                self.numbers[who].wrapping_add(seq),
                self.numbers[1 - who].wrapping_add(ack),
                flags,
                len,
            );
            if who == 1 {
                (s.src, s.dst) = (s.dst, s.src);
            }
            s.timestamps = Some(if who == 0 { (51, 90) } else { (91, 51) });
            change(&mut s);
            for b in &mut s.sack {
                *b = (
                    b.0.wrapping_add(self.numbers[1 - who]),
                    b.1.wrapping_add(self.numbers[1 - who]),
                );
            }
            self.capture.see("test", &s);
        }

        fn faults(mut self) -> Vec<String> {
            self.capture.finish();
            self.capture.faults
        }
    }

    fn strict() -> Rules {
        Rules {
            lossless: true,
            complete: true,
            window: true,
            sack_edges: true,
            ..Rules::default()
        }
    }

    #[test]
    fn an_icmp_error_is_about_what_was_sent() {
        let mut t = Talk::new(Rules::default());
        t.say(0, 1, 1, ACK, 100, |_| ());
        let seg = build::segment(1000, 0, ACK, 0);
        let mut about = |src, dst, seq| {
            let before = t.capture.faults.len();
            t.capture.see_error("test", &Quote { src, dst, seq });
            t.capture.faults.len() - before
        };
        assert_eq!(about(seg.src, seg.dst, 1000), 0);
        assert_eq!(about(seg.src, seg.dst, 1100), 0);
        assert_eq!(about(seg.src, seg.dst, 1101), 1);
        assert_eq!(about(seg.src, seg.dst, 999), 1);
        // The other end has other numbers, and another host none.
        assert_eq!(about(seg.dst, seg.src, 1000), 1);
        assert_eq!(about(seg.src, (seg.dst.0, 9), 1000), 1);
        assert_eq!(t.capture.errors, 6);
    }

    #[test]
    fn a_good_connection() {
        let mut t = Talk::new(strict());
        t.say(1, 1, 1, ACK, 100, |_| {});
        t.say(0, 1, 101, ACK, 0, |_| {});
        t.say(1, 101, 1, ACK | FIN, 100, |_| {});
        t.say(0, 1, 202, ACK | FIN, 0, |_| {});
        t.say(1, 202, 2, ACK, 0, |_| {});
        let second = &t.capture.connections.values().next().unwrap()[1];
        assert_eq!(second.counts.bytes, 200);
        assert_eq!(t.faults(), Vec::<String>::new());
    }

    #[test]
    fn what_fills_a_gap_is_no_retransmission() {
        let mut t = Talk::new(Rules::default());
        let counts = |t: &Talk| {
            let counts = &t.capture.connections.values().next().unwrap()[1].counts;
            (counts.gaps, counts.retransmits)
        };
        t.say(1, 1, 1, ACK, 100, |_| {});
        t.say(1, 201, 1, ACK, 100, |_| {});
        t.say(1, 101, 1, ACK, 100, |_| {});
        assert_eq!(counts(&t), (1, 0));
        // Of these some bytes came before: in order, or ahead of a gap.
        t.say(1, 251, 1, ACK, 100, |_| {});
        assert_eq!(counts(&t), (1, 1));
        t.say(1, 401, 1, ACK, 100, |_| {});
        t.say(1, 451, 1, ACK, 100, |_| {});
        t.say(1, 351, 1, ACK, 100, |_| {});
        assert_eq!(counts(&t), (2, 3));
    }

    #[test]
    fn each_fault_is_seen() {
        type Deed = fn(&mut Talk);
        let deeds: [(&str, Deed); 14] = [
            ("never sent", |t| t.say(0, 1, 5, ACK, 0, |_| {})),
            ("missing", |t| t.say(1, 3, 1, ACK, 10, |_| {})),
            ("goes back", |t| {
                t.say(1, 1, 1, ACK, 5, |s| s.timestamps = Some((89, 51)))
            }),
            ("echoes", |t| {
                t.say(1, 1, 1, ACK, 0, |s| s.timestamps = Some((91, 5200)))
            }),
            ("are not here", |t| {
                t.say(1, 1, 1, ACK, 0, |s| s.timestamps = None)
            }),
            ("beyond the window", |t| t.say(1, 1, 1, ACK, 4001, |_| {})),
            ("SACK block", |t| {
                t.say(0, 1, 1, ACK, 0, |s| s.sack = vec![(3, 9)])
            }),
            ("not on the edges", |t| {
                t.say(1, 1, 1, ACK, 10, |_| {});
                t.say(0, 1, 1, ACK, 0, |s| s.sack = vec![(2, 11)]);
            }),
            ("below the ack", |t| {
                t.say(1, 1, 1, ACK, 10, |_| {});
                t.say(0, 1, 11, ACK, 0, |s| s.sack = vec![(1, 11), (1, 11)]);
            }),
            ("RST", |t| t.say(1, 1, 1, RST | ACK, 0, |_| {})),
            ("data after", |t| {
                t.say(1, 1, 1, ACK | FIN, 0, |_| {});
                t.say(1, 2, 1, ACK, 1, |_| {});
            }),
            ("a FIN at", |t| {
                t.say(1, 1, 1, ACK | FIN, 10, |_| {});
                t.say(1, 5, 1, ACK | FIN, 0, |_| {});
            }),
            ("checksum", |t| {
                t.say(1, 1, 1, ACK, 0, |s| s.checksum = Sum::Wrong)
            }),
            ("no business", |t| {
                t.capture.rules.allowed = vec!["10.0.0.1".parse().unwrap()];
                t.say(1, 1, 1, ACK, 0, |_| {});
            }),
        ];
        for (word, deed) in deeds {
            let mut t = Talk::new(Rules {
                complete: false,
                ..strict()
            });
            deed(&mut t);
            let faults = t.faults();
            assert!(
                faults.iter().any(|f| f.contains(word)),
                "{word}: {faults:?}"
            );
        }
    }

    #[test]
    fn a_fin_is_acknowledged_selectively() {
        let mut t = Talk::new(Rules {
            lossless: false,
            complete: false,
            ..strict()
        });
        t.say(1, 1, 1, ACK, 10, |_| {});
        t.say(1, 11, 1, ACK | FIN, 0, |_| {});
        t.say(0, 1, 1, ACK, 0, |s| s.sack = vec![(11, 12)]);
        assert_eq!(t.faults(), Vec::<String>::new());
    }

    #[test]
    fn a_copy_of_what_was_acknowledged_is_not_remembered() {
        let mut t = Talk::new(Rules {
            lossless: false,
            complete: false,
            ..strict()
        });
        t.say(1, 1, 1, ACK, 10, |s| s.timestamps = Some((100, 51)));
        t.say(0, 1, 11, ACK, 0, |s| s.timestamps = Some((52, 100)));
        // Sent again, and then something older that was late.
        t.say(1, 1, 1, ACK, 10, |s| s.timestamps = Some((500, 51)));
        t.say(1, 11, 1, ACK, 10, |s| s.timestamps = Some((110, 51)));
        assert_eq!(t.faults(), Vec::<String>::new());
    }

    #[test]
    fn an_end_without_fin() {
        let faults = Talk::new(strict()).faults();
        assert_eq!(
            faults.iter().filter(|f| f.contains("no FIN")).count(),
            2,
            "{faults:?}"
        );
    }

    #[test]
    fn a_good_sack_and_dsack() {
        let mut t = Talk::new(Rules {
            lossless: false,
            complete: false,
            ..strict()
        });
        t.say(1, 1, 1, ACK, 10, |_| {});
        t.say(1, 21, 1, ACK, 10, |_| {});
        t.say(0, 1, 11, ACK, 0, |s| s.sack = vec![(21, 31)]);
        t.say(1, 11, 1, ACK, 10, |_| {});
        t.say(1, 11, 1, ACK, 10, |_| {});
        t.say(0, 1, 31, ACK, 0, |s| s.sack = vec![(11, 21)]);
        assert_eq!(t.faults(), Vec::<String>::new());
    }

    #[test]
    fn a_late_rst_is_one_after_both_fins() {
        for (late_rst, closed, wanted) in [(true, true, 0), (true, false, 1), (false, true, 1)] {
            let mut t = Talk::new(Rules {
                late_rst,
                ..Rules::default()
            });
            t.say(0, 1, 1, ACK | FIN, 0, |_| {});
            t.say(1, 1, 2, ACK | FIN, 0, |_| {});
            if closed {
                t.say(0, 2, 2, ACK, 0, |_| {});
            }
            t.say(0, 2, 0, RST, 0, |_| {});
            assert_eq!(t.faults().len(), wanted);
        }
    }
}
