// SPDX-License-Identifier: GPL-2.0

//! The C header, laid out as the kernel's own generator does it.

use crate::kernel::put;
use crate::model::{Enum, Family};
use crate::text::{snake, upper, wrap};
use std::fmt::Write;

const TAB: usize = 8;
/// Columns of a comment.
const WIDTH: usize = 79;

/// The file, without its header.
pub(crate) fn write(family: &Family) -> String {
    let mut out = String::new();
    let f = &mut out;
    let prefix = upper(&family.name);
    let guard = format!("_UAPI_LINUX_{prefix}_H");
    put!(f, "#ifndef {guard}");
    put!(f, "#define {guard}");
    put!(f, "");
    defines(
        f,
        &[
            (
                format!("{prefix}_FAMILY_NAME"),
                format!("\"{}\"", family.name),
            ),
            (format!("{prefix}_FAMILY_VERSION"), "1".to_string()),
        ],
    );
    for e in &family.enums {
        put!(f, "");
        write_enum(f, &family.name, e);
    }
    for set in &family.sets {
        let names: Vec<(String, u32)> = set
            .attrs
            .iter()
            .map(|a| (upper(&a.name), u32::from(a.id)))
            .collect();
        put!(f, "");
        write_ids(f, &format!("{prefix}_A_{}", upper(&set.name)), &names);
    }
    let names: Vec<(String, u32)> = family
        .ops
        .iter()
        .map(|op| (upper(&op.name), u32::from(op.id)))
        .collect();
    put!(f, "");
    write_ids(f, &format!("{prefix}_CMD"), &names);
    put!(f, "");
    if !family.mcgrps.is_empty() {
        let groups: Vec<_> = family
            .mcgrps
            .iter()
            .map(|group| {
                (
                    format!("{prefix}_MCGRP_{}", upper(group)),
                    format!("\"{group}\""),
                )
            })
            .collect();
        defines(f, &groups);
        put!(f, "");
    }
    put!(f, "#endif /* {guard} */");
    out
}

/// Definitions with their values in one column.
fn defines(f: &mut String, list: &[(String, String)]) {
    let width = |name: &str| "#define ".len() + name.len();
    let longest = list.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let column = longest / TAB + 1;
    for (name, value) in list {
        let tabs = "\t".repeat(column - width(name) / TAB);
        put!(f, "#define {name}{tabs}{value}");
    }
}

/// Text in a kernel-doc comment; lines after the first are indented.
fn doc_line(f: &mut String, text: &str) {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    let room = WIDTH - " * ".len();
    let first = wrap(&text, room).into_iter().next().unwrap_or_default();
    put!(f, " * {first}");
    for line in wrap(&text[first.len()..], room - 2) {
        put!(f, " *   {line}");
    }
}

fn write_enum(f: &mut String, family: &str, e: &Enum) {
    let name = format!("{}_{}", snake(family), snake(&e.name));
    if e.entries.iter().any(|entry| !entry.doc.is_empty()) {
        put!(f, "/**");
        let doc = if e.doc.is_empty() {
            String::new()
        } else {
            format!(" - {}", e.doc)
        };
        doc_line(f, &format!("enum {name}{doc}"));
        for entry in e.entries.iter().filter(|entry| !entry.doc.is_empty()) {
            let entry_name = format!("{}_{}", upper(&name), upper(&entry.name));
            doc_line(f, &format!("@{entry_name}: {}", entry.doc));
        }
        put!(f, " */");
    } else if !e.doc.is_empty() {
        put!(f, "/*");
        doc_line(f, &e.doc);
        put!(f, " */");
    }
    put!(f, "enum {name} {{");
    let mut next = 0;
    for entry in &e.entries {
        let entry_name = format!("{}_{}", upper(&name), upper(&entry.name));
        if e.flags {
            put!(f, "\t{entry_name} = {},", 1u64 << entry.value);
        } else if entry.value != next {
            put!(f, "\t{entry_name} = {},", entry.value);
        } else {
            put!(f, "\t{entry_name},");
        }
        next = entry.value.wrapping_add(1);
    }
    put!(f, "}};");
}

fn write_ids(f: &mut String, prefix: &str, names: &[(String, u32)]) {
    put!(f, "enum {{");
    let mut next = 0;
    for (name, id) in names {
        if *id == next {
            put!(f, "\t{prefix}_{name},");
        } else {
            put!(f, "\t{prefix}_{name} = {id},");
        }
        next = id + 1;
    }
    put!(f, "");
    put!(f, "\t__{prefix}_MAX,");
    put!(f, "\t{prefix}_MAX = (__{prefix}_MAX - 1)");
    put!(f, "}};");
}
