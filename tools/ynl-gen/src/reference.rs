// SPDX-License-Identifier: GPL-2.0

//! The reference page: every operation, attribute and value, for people.

use crate::kernel::put;
use crate::model::{Attr, Enum, Exchange, Family, Kind, OpKind, Set};
use crate::text::{upper, wrap};
use std::fmt::Write;

/// Columns of the text.
const WIDTH: usize = 100;

/// The file, without its header.
pub(crate) fn write(family: &Family) -> String {
    let mut out = String::new();
    let f = &mut out;
    put!(f, "# The {} generic netlink family", family.name);
    put!(f, "");
    prose(f, &family.doc);
    write_conventions(f, family);
    put!(f, "");
    put!(f, "## Operations");
    put!(f, "");
    put!(f, "| id | operation | do | dump | multicast group |");
    put!(f, "| ---: | --- | --- | --- | --- |");
    for op in &family.ops {
        let yes = |there: bool| if there { "yes" } else { "" };
        let (doit, dump, group) = match &op.kind {
            OpKind::Command { doit, dump, .. } => (doit.is_some(), dump.is_some(), ""),
            OpKind::Notification { mcgrp, .. } => (false, false, family.mcgrps[*mcgrp].as_str()),
        };
        let name = &op.name;
        put!(
            f,
            "| {} | [{name}](#{name}) | {} | {} | {group} |",
            op.id,
            yes(doit),
            yes(dump)
        );
    }
    for op in &family.ops {
        put!(f, "");
        put!(f, "### {}", op.name);
        put!(f, "");
        prose(f, &op.doc);
        match &op.kind {
            OpKind::Command {
                set,
                admin,
                doit,
                dump,
            } => {
                if *admin {
                    put!(f, "");
                    prose(
                        f,
                        "Needs `CAP_NET_ADMIN` in the user namespace that owns the network namespace.",
                    );
                }
                let set = &family.sets[*set];
                let exchanges = [("Do", doit), ("Dump", dump)];
                let exchanges = exchanges
                    .iter()
                    .filter_map(|(what, exchange)| Some((what, exchange.as_ref()?)));
                let mut before: Option<&Exchange> = None;
                for (what, exchange) in exchanges {
                    let request = format!("{what} request");
                    write_attrs(f, family, set, &request, &exchange.request);
                    if before.is_some_and(|before| before.reply == exchange.reply) {
                        put!(f, "");
                        put!(f, "{what} replies: one for each, as the reply above.");
                    } else {
                        let reply = format!("{what} reply");
                        write_attrs(f, family, set, &reply, &exchange.reply);
                    }
                    before = Some(exchange);
                }
            }
            OpKind::Notification { of, mcgrp } => {
                let of = &family.ops[*of].name;
                put!(f, "");
                prose(
                    f,
                    &format!(
                        "Sent to the multicast group `{}`, with the attributes of a reply to [{of}](#{of}).",
                        family.mcgrps[*mcgrp]
                    ),
                );
            }
        }
    }
    put!(f, "");
    put!(f, "## Attributes");
    for set in &family.sets {
        put!(f, "");
        put!(f, "### {} attributes", set.name);
        if !set.doc.is_empty() {
            put!(f, "");
            prose(f, &set.doc);
        }
        put!(f, "");
        put!(f, "| id | attribute | type | accepted | meaning |");
        put!(f, "| ---: | --- | --- | --- | --- |");
        for attr in &set.attrs {
            put!(
                f,
                "| {} | {} | {} | {} | {} |",
                attr.id,
                attr.name,
                type_of(family, attr),
                accepted(family, attr),
                cell(&attr.doc)
            );
        }
    }
    put!(f, "");
    put!(f, "## Values");
    for e in &family.enums {
        write_enum(f, e);
    }
    out
}

fn prose(f: &mut String, text: &str) {
    for line in wrap(text, WIDTH) {
        put!(f, "{line}");
    }
}

/// A text in a table.
fn cell(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").replace('|', "\\|")
}

fn write_conventions(f: &mut String, family: &Family) {
    let groups: Vec<String> = family.mcgrps.iter().map(|g| format!("`{g}`")).collect();
    put!(f, "");
    let groups = if groups.is_empty() {
        "none".to_string()
    } else {
        groups.join(", ")
    };
    prose(
        f,
        &format!(
            "Family name `{}`, version 1; multicast groups: {groups}. The same names in C, with the \
             prefix `{}_`, are in the header beside this page.",
            family.name,
            upper(&family.name)
        ),
    );
    put!(f, "");
    put!(f, "## Conventions");
    put!(f, "");
    for point in [
        "Integers are in host byte order unless the type says otherwise. A `uint` takes 4 bytes or 8, \
         as the sender likes; the kernel sends 4 when the value fits.",
        "An address is 4 bytes for IPv4 or 16 for IPv6, in network byte order.",
        "Validation is strict. An attribute that is not listed for a request is refused, and so are a \
         wrong length, a value out of range, trailing bytes, and flags that are not defined.",
        "A dump in which the list changed carries `NLM_F_DUMP_INTR`: it may lack entries or have them \
         twice, so dump again.",
        "Everything concerns the network namespace of the socket that asks.",
        "A later kernel may add attributes to replies, values to enums and bits to flags; pass over \
         what you do not know. Probe what a kernel accepts with `CTRL_CMD_GETPOLICY`.",
    ] {
        for (i, line) in wrap(point, WIDTH - 2).iter().enumerate() {
            put!(f, "{} {line}", if i == 0 { "-" } else { " " });
        }
    }
    put!(f, "");
    put!(f, "## Errors");
    put!(f, "");
    prose(
        f,
        "Set `NETLINK_EXT_ACK`: an error then comes with a message in plain words and, where one \
         attribute is to blame, with its offset in the request or the id of the one that is missing. \
         A success may come with a message too; it is a warning. What is checked before the \
         operation itself is looked at:",
    );
    put!(f, "");
    put!(f, "| errno | when |");
    put!(f, "| --- | --- |");
    for (errno, when) in [
        (
            "ENOENT",
            "the family has no such name: the module is not loaded",
        ),
        (
            "EPERM",
            "the caller lacks the capability that the operation needs",
        ),
        (
            "EOPNOTSUPP",
            "the family has no such operation, or no dump of it",
        ),
        (
            "EINVAL",
            "an attribute is not accepted in this request, is malformed, or has undefined flags",
        ),
        (
            "ERANGE",
            "a number is above its maximum, or bytes are shorter or longer than accepted",
        ),
        ("EMSGSIZE", "the answer did not fit into one message"),
        ("ENOMEM", "there was no memory for the answer"),
    ] {
        put!(f, "| {errno} | {when} |");
    }
}

fn write_attrs(f: &mut String, family: &Family, set: &Set, what: &str, attrs: &[usize]) {
    put!(f, "");
    if attrs.is_empty() {
        put!(f, "{what}: no attributes.");
        return;
    }
    put!(f, "{what}, `{}` attributes:", set.name);
    put!(f, "");
    put!(f, "| attribute | type | meaning |");
    put!(f, "| --- | --- | --- |");
    for &i in attrs {
        let attr = &set.attrs[i];
        put!(
            f,
            "| {} | {} | {} |",
            attr.name,
            type_of(family, attr),
            cell(&attr.doc)
        );
    }
}

/// The type, with a link to the values or to the attributes in it.
fn type_of(family: &Family, attr: &Attr) -> String {
    match attr.kind {
        Kind::U32 { .. } => "u32".into(),
        Kind::Enum { index } | Kind::Flags { index } => {
            let e = &family.enums[index].name;
            format!("u32, [{e}](#{e})")
        }
        Kind::Be16 => "u16, big-endian".into(),
        Kind::Uint => "uint".into(),
        Kind::Address { .. } => "address".into(),
        Kind::Bytes { .. } => "bytes".into(),
        Kind::Nest { index } => {
            let set = &family.sets[index].name;
            format!("nest of [{set}](#{set}-attributes)")
        }
    }
}

/// What the kernel accepts of the attribute in a request.
fn accepted(family: &Family, attr: &Attr) -> String {
    if !attr.requested {
        return "replies only".into();
    }
    match attr.kind {
        Kind::U32 { max: Some(max) } => format!("0 to {max}"),
        Kind::Enum { index } => format!("0 to {}", family.enums[index].entries.len() - 1),
        Kind::Flags { index } => format!("bits of {:#x}", family.mask(index)),
        Kind::Address { min, max } if min == max => format!("{min} bytes"),
        Kind::Address { min, max } => format!("{min} to {max} bytes"),
        Kind::Bytes { max } => format!("up to {max} bytes"),
        Kind::U32 { max: None } | Kind::Be16 | Kind::Uint | Kind::Nest { .. } => "any".into(),
    }
}

fn write_enum(f: &mut String, e: &Enum) {
    put!(f, "");
    put!(f, "### {}", e.name);
    if !e.doc.is_empty() {
        put!(f, "");
        prose(f, &e.doc);
    }
    put!(f, "");
    put!(
        f,
        "| {} | name | meaning |",
        if e.flags { "bit" } else { "value" }
    );
    put!(f, "| ---: | --- | --- |");
    for entry in &e.entries {
        put!(
            f,
            "| {} | {} | {} |",
            entry.value,
            entry.name,
            cell(&entry.doc)
        );
    }
}
