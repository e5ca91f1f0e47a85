// SPDX-License-Identifier: GPL-2.0

//! RSTs: of an end that gives up, and of somebody who guesses.

use proptest::prelude::*;
use splice::splice::Reason;

use crate::streams::{ops, setting, Op, NEVER_IDLE};

/// How far beside the number that the receiver expects.
fn beside() -> impl Strategy<Value = i64> {
    prop_oneof![
        2 => Just(0i64),
        3 => -3i64..=3,
        2 => -70_000i64..70_000,
        1 => any::<i32>().prop_map(i64::from),
    ]
}

proptest! {
    #![proptest_config(crate::config(300))]

    /// The other end learns of it, whatever was lost before.
    #[test]
    fn an_end_that_gives_up_takes_the_other_along(
        setting in setting(),
        before in ops(40),
        after in ops(60),
        side in 0usize..2,
    ) {
        let mut world = setting.world();
        for op in before.iter().filter(|op| !matches!(op, Op::Close(_))) {
            world.happen(op);
        }
        world.arm(NEVER_IDLE, [0, 0]);
        for op in after.iter().filter(|op| !matches!(op, Op::Close(_))) {
            world.happen(op);
        }
        let now = world.now;
        world.ends[side].abort(now);
        world.flush();
        // If it has nothing to say, it would not ask.
        world.ends[1 - side].write(b"?", now);
        world.quiesce();
        prop_assert!(world.ends[1 - side].reset);
    }

    /// On networks where nothing is on its way, a RST ends the splice if and only if its receiver takes it.
    #[test]
    fn a_rst_counts_if_its_receiver_takes_it(
        setting in setting(),
        before in ops(40),
        after in ops(40),
        side in 0usize..2,
        beside in beside(),
    ) {
        let mut world = setting.world();
        for op in before.iter().filter(|op| !matches!(op, Op::Close(_))) {
            world.happen(op);
        }
        world.arm(NEVER_IDLE, [0, 0]);
        for op in after.iter().filter(|op| !matches!(op, Op::Close(_))) {
            world.happen(op);
        }
        world.quiesce();
        prop_assume!(world.is_quiet());
        let expected = world.expected(side);
        world.ends[side].forge_rst(expected + beside);
        world.flush();
        world.quiesce();
        let ended = world.splice().reason() != Reason::None;
        prop_assert_eq!(ended, beside == 0);
        prop_assert_eq!(world.ends[1 - side].reset, beside == 0);
        prop_assert!(!world.ends[side].reset);
    }
}
