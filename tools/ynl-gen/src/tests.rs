// SPDX-License-Identifier: GPL-2.0

//! Small specifications in, expected text out; and what is refused, in which words.

use crate::model::Family;
use crate::{first_difference, kernel, reference, uapi, user};

/// A family with a bit of everything that is supported.
const SMALL: &str = "
name: a-b
doc: A family.
definitions:
  -
    type: enum
    name: mood
    entries: [ good, bad ]
  -
    type: flags
    name: marks
    doc: Marks.
    entries:
      -
        name: red
        doc: It is red.
      -
        name: far-bit
        value: 4
attribute-sets:
  -
    name: inner
    attributes:
      -
        name: addr
        type: binary
        display-hint: ipv4-or-v6
        checks: { min-len: 4, max-len: 16 }
      -
        name: port
        type: u16
        byte-order: big-endian
  -
    name: outer
    attributes:
      - { name: id, type: uint, doc: Who it is. }
      - { name: shift, type: u32, checks: { max: 14 } }
      - { name: mood, type: u32, enum: mood }
      - { name: marks, type: u32, enum: marks, enum-as-flags: true }
      - { name: in-it, type: nest, nested-attributes: inner }
operations:
  list:
    -
      name: thing-set
      doc: Set it.
      attribute-set: outer
      flags: [ uns-admin-perm ]
      do:
        request: { attributes: [ id, shift, mood, in-it ] }
        reply: { attributes: [ id ] }
    -
      name: thing-get
      doc: Get it.
      attribute-set: outer
      do:
        request: { attributes: [ id ] }
        reply: &reply { attributes: [ id, marks ] }
      dump:
        reply: *reply
    -
      name: thing-ntf
      doc: It was set.
      notify: thing-get
      mcgrp: news
mcast-groups:
  list:
    - { name: news }
";

fn small() -> Family {
    Family::parse(SMALL).expect("the specification is supported")
}

/// Asserts that the text has these lines, one after the other.
#[track_caller]
fn has(text: &str, lines: &str) {
    let lines = lines.trim_matches('\n');
    assert!(text.contains(lines), "expected:\n{lines}\n\nin:\n{text}");
}

/// What the parser says of `SMALL` with `old` replaced.
#[track_caller]
fn refusal(old: &str, new: &str) -> String {
    assert!(SMALL.contains(old), "{old:?} is not in the specification");
    Family::parse(&SMALL.replacen(old, new, 1))
        .expect_err("it is refused")
        .to_string()
}

#[test]
fn kernel_ids() {
    let text = kernel::write(&small());
    has(&text, "pub const FAMILY_NAME: &CStr = c\"a-b\";");
    has(
        &text,
        "
/// Set it.
pub const CMD_THING_SET: u8 = 1;
/// Get it.
pub const CMD_THING_GET: u8 = 2;
/// It was set.
pub const CMD_THING_NTF: u8 = 3;
",
    );
    has(
        &text,
        "
pub const MCGRPS: [&CStr; 1] = [c\"news\"];
/// Index of the multicast group `news`.
pub const MCGRP_NEWS: u32 = 0;
",
    );
    has(
        &text,
        "
pub mod outer_attr {
    /// Who it is.
    pub const ID: u16 = 1;
    /// `shift`.
    pub const SHIFT: u16 = 2;
",
    );
}

#[test]
fn kernel_values() {
    let text = kernel::write(&small());
    has(
        &text,
        "
pub enum Mood {
    /// `good`.
    Good = 0,
    /// `bad`.
    Bad = 1,
}
",
    );
    has(
        &text,
        "
pub mod marks {
    /// It is red.
    pub const RED: u32 = 1 << 0;
    /// `far-bit`.
    pub const FAR_BIT: u32 = 1 << 4;
}
",
    );
}

#[test]
fn kernel_policy_has_only_what_the_request_may_have() {
    let text = kernel::write(&small());
    has(
        &text,
        "
static THING_SET_POLICY: [Policy; 6] = {
    let mut policy = [Policy::UNSET; 6];
    policy[outer_attr::ID as usize] = Policy::uint();
    policy[outer_attr::SHIFT as usize] = Policy::u32_max(14);
    policy[outer_attr::MOOD as usize] = Policy::u32_max(1);
    policy[outer_attr::IN_IT as usize] = Policy::nested(&INNER_POLICY);
    policy
};
",
    );
    has(
        &text,
        "
static THING_GET_POLICY: [Policy; 2] = {
    let mut policy = [Policy::UNSET; 2];
    policy[outer_attr::ID as usize] = Policy::uint();
    policy
};
",
    );
    has(
        &text,
        "
    policy[inner_attr::ADDR as usize] = Policy::binary(4, 16);
    policy[inner_attr::PORT as usize] = Policy::be16();
",
    );
}

#[test]
fn kernel_flags_in_a_request_are_masked() {
    let family = Family::parse(&SMALL.replace("id, shift, mood", "id, marks"))
        .expect("the specification is supported");
    has(
        &kernel::write(&family),
        "policy[outer_attr::MARKS as usize] = Policy::u32_mask(0x11);",
    );
}

#[test]
fn kernel_readers_and_writers_have_only_what_goes_their_way() {
    let text = kernel::write(&small());
    has(
        &text,
        "
    pub fn mood(&self) -> Option<Mood> {
        self.0.u32(outer_attr::MOOD).and_then(Mood::from_u32)
    }
",
    );
    has(
        &text,
        "
    pub fn in_it(&self) -> Option<InnerAttrs<'a>> {
        self.0.nested(outer_attr::IN_IT).map(InnerAttrs)
    }
",
    );
    has(
        &text,
        "
    pub fn marks(&mut self, value: u32) -> Result {
        self.0.u32(outer_attr::MARKS, value)
    }
",
    );
    assert!(!text.contains("pub fn marks(&self)"), "no request has it");
    assert!(!text.contains("pub fn shift(&mut self"), "no reply has it");
    assert!(!text.contains("InnerPut"), "no reply has it");
}

#[test]
fn kernel_operations() {
    let text = kernel::write(&small());
    has(
        &text,
        "
pub trait Handler {
    /// Set it.
    fn thing_set(req: &Request<'_>, attrs: OuterAttrs<'_>) -> Result;

    /// Get it.
    fn thing_get(req: &Request<'_>, attrs: OuterAttrs<'_>) -> Result;

    /// `thing-get` asked for all: Get it.
    fn thing_get_dump(out: &mut DumpOut<'_>) -> Result;
}
",
    );
    has(
        &text,
        "
impl<H: Handler> Do for ThingSetDo<H> {
    const CMD: u8 = CMD_THING_SET;
    const ADMIN: bool = true;
    const POLICY: &'static [Policy] = &THING_SET_POLICY;

    fn call(req: &Request<'_>) -> Result {
        H::thing_set(req, OuterAttrs(req.attrs()))
    }
}
",
    );
    has(
        &text,
        "
pub const fn ops<H: Handler>() -> [Op; 3] {
    [
        Op::doit::<ThingSetDo<H>>(),
        Op::doit::<ThingGetDo<H>>(),
        Op::dumpit::<ThingGetDump<H>>(),
    ]
}
",
    );
    has(&text, "const ADMIN: bool = false;");
}

#[test]
fn user_types() {
    let text = user::write(&small());
    has(
        &text,
        "
pub struct Inner {
    /// `addr`.
    #[serde(skip_serializing_if = \"Option::is_none\")]
    pub addr: Option<IpAddr>,
",
    );
    has(
        &text,
        "
                1 => this.id = Some(attr.uint()?),
                4 => this.marks = Some(Marks(attr.u32()?)),
",
    );
    assert!(!text.contains("pub shift: "), "no reply has it");
}

#[test]
fn user_requests() {
    let text = user::write(&small());
    has(
        &text,
        "
pub(crate) struct ThingSetRequest<'a> {
    /// Who it is.
    pub(crate) id: Option<u64>,
    /// `shift`.
    pub(crate) shift: Option<u32>,
    /// `mood`.
    pub(crate) mood: Option<Mood>,
    /// `in-it`.
    pub(crate) in_it: Option<&'a Inner>,
}
",
    );
    has(
        &text,
        "
        if let Some(value) = self.mood {
            out.u32(3, value.to_u32());
        }
        if let Some(value) = self.in_it {
            out.nested(5, |out| value.encode(out));
        }
",
    );
    has(&text, "pub(crate) struct ThingGetDumpRequest;");
    has(&text, "Field { name: \"in-it\", nest: Some(&INNER) },");
}

#[test]
fn user_counters() {
    let port = "type: u16\n        byte-order: big-endian";
    let address = "type: binary\n        display-hint: ipv4-or-v6\n        \
                   checks: { min-len: 4, max-len: 16 }";
    let spec = SMALL
        .replace(port, "type: uint\n        doc: The \"port\".")
        .replace(address, "type: uint");
    let text = user::write(&Family::parse(&spec).expect("the specification is supported"));
    has(
        &text,
        r#"
            (
                "addr",
                "addr",
                self.addr,
            ),
            (
                "port",
                "The \"port\".",
                self.port,
            ),
"#,
    );
}

#[test]
fn c_header() {
    let text = uapi::write(&small());
    has(
        &text,
        "
#define A_B_FAMILY_NAME\t\t\"a-b\"
#define A_B_FAMILY_VERSION\t1

enum a_b_mood {
\tA_B_MOOD_GOOD,
\tA_B_MOOD_BAD,
};

/**
 * enum a_b_marks - Marks.
 * @A_B_MARKS_RED: It is red.
 */
enum a_b_marks {
\tA_B_MARKS_RED = 1,
\tA_B_MARKS_FAR_BIT = 16,
};

enum {
\tA_B_A_INNER_ADDR = 1,
\tA_B_A_INNER_PORT,

\t__A_B_A_INNER_MAX,
\tA_B_A_INNER_MAX = (__A_B_A_INNER_MAX - 1)
};
",
    );
    has(
        &text,
        "
\t__A_B_CMD_MAX,
\tA_B_CMD_MAX = (__A_B_CMD_MAX - 1)
};

#define A_B_MCGRP_NEWS\t\"news\"

#endif /* _UAPI_LINUX_A_B_H */
",
    );
}

#[test]
fn reference_page() {
    let text = reference::write(&small());
    has(&text, "| 3 | [thing-ntf](#thing-ntf) |  |  | news |");
    has(
        &text,
        "
| 1 | id | uint | any | Who it is. |
| 2 | shift | u32 | 0 to 14 |  |
| 3 | mood | u32, [mood](#mood) | 0 to 1 |  |
| 4 | marks | u32, [marks](#marks) | replies only |  |
| 5 | in-it | nest of [inner](#inner-attributes) | any |  |
",
    );
    has(&text, "Dump replies: one for each, as the reply above.");
}

#[test]
fn command_values_go_on_from_the_one_before() {
    let text = SMALL.replace("doc: Get it.", "doc: Get it.\n      value: 7");
    let family = Family::parse(&text).expect("the specification is supported");
    let ids: Vec<u8> = family.ops.iter().map(|op| op.id).collect();
    assert_eq!(ids, [1, 7, 8]);
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for (old, new, key) in [
        (
            "doc: A family.",
            "doc: A family.\nuapi-header: x.h",
            "uapi-header",
        ),
        ("type: uint,", "type: uint, multi-attr: true,", "multi-attr"),
        ("max: 14", "max: 14, min: 2", "min"),
        (
            "doc: Set it.",
            "doc: Set it.\n      dont-validate: [ strict ]",
            "dont-validate",
        ),
        (
            "doc: Set it.",
            "doc: Set it.\n      config-cond: X",
            "config-cond",
        ),
        ("name: news", "name: news, flags: [ admin-perm ]", "flags"),
        (
            "notify: thing-get",
            "event: { attributes: [ id ] }",
            "event",
        ),
    ] {
        let text = refusal(old, new);
        assert!(
            text.contains(&format!("unknown field `{key}`")) && text.contains("line"),
            "{key}: {text}"
        );
    }
}

#[test]
fn what_no_output_can_say_is_refused_with_its_place() {
    for (old, new, expected) in [
        (
            "type: uint",
            "type: s32",
            "attribute outer.id: type s32 is not supported",
        ),
        (
            "type: uint",
            "type: string",
            "attribute outer.id: type string is not supported",
        ),
        (
            "byte-order: big-endian",
            "byte-order: little-endian",
            "attribute inner.port: type u16 in little-endian order is not supported",
        ),
        (
            "max: 14",
            "max: 40000",
            "attribute outer.shift: a max above 32767 is not supported",
        ),
        (
            "type: uint,",
            "type: uint, checks: { max: 3 },",
            "attribute outer.id: checks: max with type uint is not supported",
        ),
        (
            "display-hint: ipv4-or-v6",
            "display-hint: mac",
            "attribute inner.addr: binary with another display-hint than ipv4-or-v6 is not supported",
        ),
        (
            "min-len: 4, ",
            "",
            "attribute inner.addr: binary without exact-len or min-len and max-len is not supported",
        ),
        (
            "enum: mood",
            "enum: mood, enum-as-flags: true",
            "attribute outer.mood: an enum used as flags is not supported",
        ),
        (
            "[ good, bad ]",
            "[ good, { name: bad, value: 2 } ]",
            "attribute outer.mood: an enum with gaps in a request is not supported",
        ),
        (
            "type: enum",
            "type: const",
            "definition mood: type const is not supported",
        ),
        (
            "flags: [ uns-admin-perm ]",
            "flags: [ admin-perm ]",
            "operation thing-set: flag admin-perm is not supported",
        ),
        (
            "dump:\n        reply",
            "dump:\n        request: { attributes: [ id ] }\n        reply",
            "operation thing-get: a dump with attributes in its request is not supported",
        ),
        (
            "name: a-b",
            "name: a-b\nprotocol: genetlink-legacy",
            "protocol: genetlink-legacy is not supported",
        ),
        (
            "operations:\n",
            "operations:\n  enum-model: directional\n",
            "operations: enum-model: directional is not supported",
        ),
    ] {
        assert_eq!(refusal(old, new), expected);
    }
}

#[test]
fn mistakes_are_named() {
    for (old, new, expected) in [
        (
            "enum: mood",
            "enum: moods",
            "attribute outer.mood: there is no definition moods",
        ),
        (
            "nested-attributes: inner",
            "nested-attributes: inmost",
            "attribute outer.in-it: there is no attribute set inmost",
        ),
        (
            "attribute-set: outer",
            "attribute-set: out",
            "operation thing-set: there is no attribute set out",
        ),
        (
            "[ id, shift,",
            "[ id, shaft,",
            "operation thing-set: there is no attribute shaft in outer",
        ),
        (
            "notify: thing-get",
            "notify: it",
            "operation thing-ntf: notify: there is no operation it",
        ),
        (
            "mcgrp: news",
            "mcgrp: olds",
            "operation thing-ntf: there is no multicast group olds",
        ),
        (
            "doc: Get it.",
            "doc: Get it.\n      value: 1",
            "operation thing-get: its value is not above the one before",
        ),
        (
            "name: port",
            "name: addr",
            "attribute set inner: the name \"addr\" is there twice",
        ),
        (
            "name: a-b",
            "name: a_b",
            "name: the name \"a_b\" is not a letter followed by a-z, 0-9 and dashes",
        ),
    ] {
        assert_eq!(refusal(old, new), expected);
    }
}

#[test]
fn recursion_ends() {
    let text = refusal(
        "type: binary\n        display-hint: ipv4-or-v6\n        checks: { min-len: 4, max-len: 16 }",
        "type: nest\n        nested-attributes: inner",
    );
    assert_eq!(
        text,
        "attribute set inner: nesting deeper than 4 is not supported"
    );
}

#[test]
fn the_first_line_that_differs() {
    assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
    assert_eq!(first_difference("a\nb\n", "a\nc\n"), Some(2));
    assert_eq!(first_difference("a\n", "a\nb\n"), Some(2));
    assert_eq!(first_difference("a\nb", "a\nb\n"), Some(2));
    assert_eq!(first_difference("", "a\n"), Some(1));
}
