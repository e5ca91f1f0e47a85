// SPDX-License-Identifier: GPL-2.0

//! Sockets that are given back: at limits, at a FIN, on request. The proxy copies what comes after, and
//! both streams are whole.

use proptest::prelude::*;
use splice::splice::Wishes;

use crate::streams::{ops, setting, NEVER_IDLE};

fn limit() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(0)),
        4 => (0u64..9000).prop_map(Some),
    ]
}

/// Limits of both directions, and whether a FIN ends it.
type Asked = (Option<u64>, Option<u64>, bool);

fn asked() -> impl Strategy<Value = Asked> {
    (limit(), limit(), any::<bool>())
}

fn wishes((limit_to_server, limit_to_client, return_on_fin): Asked) -> Wishes {
    Wishes {
        limit_to_server,
        limit_to_client,
        return_on_fin,
        ..NEVER_IDLE
    }
}

proptest! {
    #![proptest_config(crate::config(500))]

    #[test]
    fn all_bytes_arrive_by_way_of_splice_and_proxy(
        setting in setting(),
        asked in asked(),
        before in ops(50),
        meanwhile in [0usize..6, 0usize..6],
        after in ops(70),
        stop: bool,
        then in ops(50),
    ) {
        let mut world = setting.world();
        for op in &before {
            world.happen(op);
        }
        let wishes = wishes(asked);
        world.arm(wishes, meanwhile);
        for op in &after {
            world.happen(op);
        }
        if stop {
            // Too late, or too early, is no harm.
            let _ = world.splice().stop();
        }
        for op in &then {
            world.happen(op);
        }
        for side in 0..2 {
            world.ends[side].close(world.now);
        }
        world.settle();
        prop_assert!(world.returned || !wishes.is_to_return());
    }
}
