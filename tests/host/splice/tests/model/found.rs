// SPDX-License-Identifier: GPL-2.0

//! What the properties have found, as short as it can be told.

use splice::splice::{Reason, Wishes};

use crate::streams::{plain, Op, Op::*, Setting, NEVER_IDLE};
use crate::world::World;

/// Splices between what happens before and after, and lets both ends close.
fn run(before: &[Op], wishes: Wishes, after: &[Op]) -> World {
    run_in(&plain(), before, wishes, after)
}

/// The same between ends with these settings.
fn run_in(setting: &Setting, before: &[Op], wishes: Wishes, after: &[Op]) -> World {
    let mut world = splice_in(setting, before, wishes, after);
    for side in 0..2 {
        world.ends[side].close(world.now);
    }
    world.settle();
    world
}

/// The same, and both ends stay open.
fn splice_in(setting: &Setting, before: &[Op], wishes: Wishes, after: &[Op]) -> World {
    let mut world = setting.world();
    for op in before {
        world.happen(op);
    }
    world.arm(wishes, [0, 0]);
    for op in after {
        world.happen(op);
    }
    world
}

/// The server has not heard that its bytes were read, and repeats them; the client has not got the byte
/// that the proxy made of them, in whose place they would be taken.
#[test]
fn what_the_proxy_has_read_does_not_take_the_place_of_what_it_sent() {
    let before = [
        Write(1, 1),
        Write(1, 365),
        Tick(300),
        Deliver(1, 1),
        ProxyCopy(1, 1),
        Deliver(1, 1),
        ProxyRead(1, 1),
        Drop(2, 0),
    ];
    run(&before, NEVER_IDLE, &[Deliver(1, 2), Deliver(1, 1)]);
}

/// The same with a FIN, for which the client's socket has no room.
#[test]
fn a_fin_that_was_read_waits_for_that_of_the_proxy() {
    let before = [
        Write(0, 2000),
        Deliver(0, 4),
        Deliver(2, 4),
        Close(0),
        Deliver(0, 4),
    ];
    run(&before, NEVER_IDLE, &[Tick(299), Deliver(0, 3)]);
}

/// A byte stays unread in one socket while the other direction drains to it.
#[test]
fn a_socket_that_keeps_bytes_drains() {
    let wishes = Wishes {
        limit_to_server: Some(0),
        ..NEVER_IDLE
    };
    let before = [Write(1, 1), Deliver(1, 1), Write(0, 1), Deliver(0, 1)];
    assert!(run(&before, wishes, &[]).returned);
}

/// A FIN is lost before it comes here, and an acknowledgement after it is not.
#[test]
fn a_lost_fin_ends_what_is_to_return() {
    let wishes = Wishes {
        limit_to_server: Some(1043),
        limit_to_client: Some(1000),
        ..NEVER_IDLE
    };
    let after = [
        Write(1, 1),
        Write(0, 1),
        Deliver(1, 1),
        Close(0),
        Drop(0, 1),
        Deliver(2, 1),
        Deliver(0, 2),
    ];
    assert!(run(&[], wishes, &after).returned);
}

/// The last that the proxy heard of the client's window came with a number beyond bytes that were lost. What its
/// socket is told from then on has the number that it expects, which is lower, and opened no window.
#[test]
fn a_window_is_told_by_what_comes_after_arming() {
    let before = [
        KeepAlive(0),
        Write(0, 1),
        Deliver(0, 1),
        ProxyWrite(0, 2001),
        Write(0, 610),
        Drop(0, 0),
        Read(0, 1),
        Deliver(2, 4),
        Deliver(0, 1),
        Write(0, 1),
        Deliver(0, 4),
    ];
    let mut setting = plain();
    setting.sides[0].mss = [888, 609];
    run_in(&setting, &before, NEVER_IDLE, &[]);
}

/// The server has said all, which the proxy keeps to itself; the client waits for that and will never come to the
/// limit that it has.
#[test]
fn a_limit_that_is_never_reached_does_not_keep_a_fin_for_ever() {
    let wishes = Wishes {
        limit_to_server: Some(5000),
        ..NEVER_IDLE
    };
    let mut world = plain().world();
    world.arm(wishes, [0, 0]);
    for op in [Write(1, 100), Close(1), Write(0, 10)] {
        world.happen(&op);
    }
    world.quiesce();
    assert!(world.returned);
}

/// The proxy has a byte to send that a closed window keeps; the server's probes of that window come just before it, and their stamps
/// must not make the byte too old.
#[test]
fn probes_of_a_closed_window_do_not_make_the_proxys_bytes_old() {
    let before = [
        Write(1, 26),
        Write(0, 573),
        Deliver(1, 1),
        Tick(1),
        Deliver(0, 2),
        ProxyWrite(0, 1975),
    ];
    let after = [
        Drop(2, 2),
        Deliver(2, 4),
        Close(0),
        Drop(0, 2),
        Deliver(3, 2),
        Deliver(0, 1),
        Deliver(1, 1),
        Deliver(2, 1),
        Deliver(3, 2),
        Write(0, 1),
    ];
    let wishes = Wishes {
        limit_to_server: Some(1715),
        limit_to_client: Some(656),
        ..NEVER_IDLE
    };
    let mut setting = plain();
    setting.stamps = Some(false);
    setting.sides[0].mss = [989, 572];
    setting.sides[0].wscale = [1, 0];
    setting.sides[1].mss = [500, 655];
    let mut world = splice_in(&setting, &before, wishes, &after);
    world.ends[1].close(world.now);
    for _ in 0..100 {
        world.round();
    }
    assert_eq!(world.ends[0].input.len(), 26 + 1975);
}

/// No time passes, and the client reads what the server has sent as it comes.
fn client_reads(world: &mut World) {
    for _ in 0..100 {
        for op in [Deliver(1, 5), Deliver(2, 5), Read(0, 700), Deliver(0, 5)] {
            world.happen(&op);
        }
    }
}

/// The proxy's socket has promised the server more room than the client has. What is on its way waits in the proxy: all of it
/// arrives without anybody sending anything twice.
#[test]
fn what_the_client_has_no_room_for_waits() {
    let mut setting = plain();
    setting.sides[1].buffer = [60_000, 60_000];
    let mut world = setting.world();
    for op in [Write(1, 1), Deliver(1, 1), Deliver(3, 1), Write(1, 20_000)] {
        world.happen(&op);
    }
    let sent = world.links[1].len();
    assert!(sent > 2, "{sent} segments");
    world.arm(NEVER_IDLE, [0, 2]);
    client_reads(&mut world);
    assert_eq!(
        (world.ends[0].input.len(), world.ends[1].repeats),
        (20_001, 0)
    );
    world.check_streams();
    for side in 0..2 {
        world.ends[side].close(world.now);
    }
    world.settle();
}

/// Armed, with bytes of the proxy's own on their way to the client, and after these more of the server's than the client has
/// room for; both sides stamp.
fn with_more_than_fits() -> World {
    let mut setting = plain();
    setting.stamps = Some(false);
    setting.sides[1].buffer = [60_000, 60_000];
    let mut world = setting.world();
    for op in [Write(1, 500), Deliver(1, 1), Deliver(3, 1), Write(1, 8_000)] {
        world.happen(&op);
    }
    world.arm(NEVER_IDLE, [0, 0]);
    world
}

/// The same, and meanwhile the server acknowledges a byte of the client's, at the edge of the closed window: what has waited
/// must not be too old after that.
#[test]
fn what_has_waited_is_not_too_old() {
    let mut world = with_more_than_fits();
    for op in [Deliver(1, 20), Deliver(2, 20), Tick(100), Write(0, 1)] {
        world.happen(&op);
    }
    for op in [
        Deliver(0, 20),
        Deliver(3, 20),
        Deliver(1, 20),
        Deliver(2, 20),
    ] {
        world.happen(&op);
    }
    client_reads(&mut world);
    assert_eq!(
        (world.ends[0].input.len(), world.ends[1].repeats),
        (8_500, 0)
    );
}

/// The same, and meanwhile the proxy's socket repeats its own bytes, by its own clock, which is by then ahead of the stamps of
/// what waits: that must not be too old after it.
#[test]
fn what_has_waited_is_not_older_than_the_proxys_own() {
    let mut world = with_more_than_fits();
    for op in [Drop(2, 0), Deliver(1, 20), Deliver(2, 20), Tick(1000)] {
        world.happen(&op);
    }
    // Of what was repeated only the socket's last is not lost.
    world.links[1].clear();
    let last = world.links[2].len().saturating_sub(1);
    world.links[2].drain(..last);
    let repeats = world.ends[1].repeats;
    client_reads(&mut world);
    assert_eq!(
        (world.ends[0].input.len(), world.ends[1].repeats),
        (8_500, repeats)
    );
}

/// The same, all delivered, and the client has closed its window.
fn with_a_closed_window() -> World {
    let mut world = with_more_than_fits();
    for op in [
        Deliver(1, 20),
        Deliver(2, 20),
        Deliver(3, 20),
        Deliver(0, 20),
    ] {
        world.happen(&op);
    }
    world
}

/// A RST from beyond what the client has room for is not given the number that it expects.
#[test]
fn a_rst_from_beyond_a_closed_window_ends_nothing() {
    let mut world = with_a_closed_window();
    let at = world.ends[1].write_seq() + 10;
    world.ends[1].forge_rst(at);
    for op in [Deliver(1, 1), Deliver(2, 1)] {
        world.happen(&op);
    }
    assert!(!world.ends[0].reset);
    client_reads(&mut world);
    assert_eq!(world.ends[0].input.len(), 8_500);
    assert_eq!(world.splice().reason(), Reason::None);
}

/// That of a server that has given up, while something of it waits, does end it.
#[test]
fn who_gives_up_while_something_waits_is_asked() {
    let mut world = with_a_closed_window();
    let now = world.now;
    world.ends[1].abort(now);
    world.quiesce();
    assert_eq!(world.splice().reason(), Reason::ResetByServer);
    assert!(world.ends[0].reset);
}

/// What the proxy had sent to the server is lost, and meanwhile the server sends more than any window is wide: what the proxy's socket
/// repeats must not acknowledge what is too old.
#[test]
fn what_a_socket_repeats_is_not_too_old() {
    let mut world = plain().world();
    world.happen(&ProxyWrite(1, 300));
    world.arm(NEVER_IDLE, [0, 0]);
    assert!(!world.links[3].is_empty());
    world.links[3].clear();
    world.happen(&Write(1, 10_000));
    for _ in 0..100 {
        for op in [Deliver(1, 5), Deliver(2, 5), Read(0, 700), Deliver(0, 5)] {
            world.happen(&op);
        }
        // Acknowledgements of the client arrive.
        world.links[3].retain(|frame| frame.bytes.len() < 300);
        world.happen(&Deliver(3, 5));
    }
    assert_eq!(world.ends[0].input.len(), 10_000);
    assert_eq!(world.ends[1].input.len(), 0);
    for op in [Tick(1000), Deliver(3, 5)] {
        world.happen(&op);
    }
    assert_eq!(world.ends[1].input.len(), 300);
    world.check_streams();
    for side in 0..2 {
        world.ends[side].close(world.now);
    }
    world.settle();
}
