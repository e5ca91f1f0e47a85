// SPDX-License-Identifier: GPL-2.0

//! The JSON of the generated types, which files and scripts depend on.

use tcp_splice_netlink::{EndReason, Flow, FlowFlags, Splice, SpliceNew, SpliceState};

fn splice() -> Splice {
    Splice {
        id: Some(u64::MAX),
        to_server: Some(Flow {
            saddr: Some([192, 0, 2, 1].into()),
            new_daddr: Some("2001:db8::1".parse().expect("an address")),
            sport: Some(65535),
            seq_delta: Some(u32::MAX),
            flags: Some(FlowFlags::SACK | FlowFlags::FIN_SEEN | FlowFlags(1 << 30)),
            ..Flow::default()
        }),
        state: Some(SpliceState::Tombstone),
        reason: Some(EndReason::ResetByClient),
        ..Splice::default()
    }
}

const TEXT: &str = r#"{"id":18446744073709551615,"to-server":{"saddr":"192.0.2.1","sport":65535,"new-daddr":"2001:db8::1","seq-delta":4294967295,"flags":["sack","fin-seen","bit-30"]},"state":"tombstone","reason":"reset-by-client"}"#;

#[test]
fn it_reads_as_expected_and_comes_back() {
    let text = serde_json::to_string(&splice()).expect("it can be written");
    assert_eq!(text, TEXT);
    let back: Splice = serde_json::from_str(TEXT).expect("it can be read");
    assert_eq!(back, splice());
}

#[test]
fn values_of_a_newer_kernel_survive() {
    let state = SpliceState::from_u32(77);
    assert_eq!(state, SpliceState::Unknown(77));
    let text = serde_json::to_string(&state).expect("it can be written");
    assert_eq!(text, r#""77""#);
    let back: SpliceState = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(back, state);
    for state in SpliceState::ALL {
        assert_eq!(SpliceState::from_u32(state.to_u32()), state);
        assert_eq!(state.to_string().parse(), Ok(state));
    }
}

#[test]
fn mistakes_are_named() {
    for (text, expected) in [
        (r#"{"to-sever":{}}"#, "unknown field `to-sever`"),
        (r#"{"state":"runing"}"#, "\"runing\" is no splice-state"),
        (
            r#"{"to-server":{"flags":["sac"]}}"#,
            "\"sac\" is no flow-flags",
        ),
        (
            r#"{"to-server":{"flags":["bit-32"]}}"#,
            "\"bit-32\" is no flow-flags",
        ),
        (
            r#"{"to-server":{"saddr":"1.2.3"}}"#,
            "invalid IP address syntax",
        ),
    ] {
        let error = serde_json::from_str::<Splice>(text).expect_err(text);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_new_splice_takes_the_numbers_alone() {
    let new = SpliceNew::from(splice());
    assert_eq!(new.to_server, splice().to_server);
    assert_eq!((new.client_fd, new.server_fd), (None, None));
}
