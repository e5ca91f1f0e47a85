// SPDX-License-Identifier: GPL-2.0

//! The kernel's side: ids, policies, typed readers and writers, and the table of operations.

use crate::model::{Attr, Enum, Family, Kind, Op, OpKind, Set};
use crate::text::{camel, comment, doc_or, snake, upper};
use std::fmt::Write;

/// Appends a line, or several, to a text. Writing to a `String` cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {
        writeln!($out, $($arg)*).expect("a String grows")
    };
}
pub(crate) use put;

/// The file, without its header.
pub(crate) fn write(family: &Family) -> String {
    let mut out = String::new();
    let f = &mut out;
    put!(
        f,
        "//! Identifiers, policies and typed attributes of the `{}` generic netlink family.",
        family.name
    );
    put!(f, "//!");
    f.push_str(&comment(0, "//!", &family.doc));
    put!(f, "");
    let mut imports = vec!["Op"];
    let commands = || {
        family.ops.iter().filter_map(|op| match &op.kind {
            OpKind::Command { doit, dump, .. } => Some((doit, dump)),
            OpKind::Notification { .. } => None,
        })
    };
    if family.sets.iter().any(|s| s.requested) {
        imports.push("Attrs");
    }
    if family.sets.iter().any(|s| s.replied) {
        imports.push("Put");
    }
    if commands().any(|(doit, _)| doit.is_some()) {
        imports.extend(["Do", "Request"]);
    }
    if commands().any(|(_, dump)| dump.is_some()) {
        imports.extend(["Dump", "DumpOut"]);
    }
    imports.push("Policy");
    imports.sort_unstable();
    put!(f, "use crate::net::netlink::{{{}}};", imports.join(", "));
    put!(f, "use core::marker::PhantomData;");
    put!(f, "use kernel::prelude::*;");
    put!(f, "");
    put!(
        f,
        "/// Name that user space resolves to the number of the family."
    );
    put!(f, "pub const FAMILY_NAME: &CStr = c\"{}\";", family.name);
    put!(
        f,
        "/// Version of the family; the interface grows by attributes, never by this."
    );
    put!(f, "pub const FAMILY_VERSION: u8 = 1;");
    put!(f, "");
    for op in &family.ops {
        f.push_str(&comment(0, "///", &op.doc));
        put!(f, "pub const CMD_{}: u8 = {};", upper(&op.name), op.id);
    }
    put!(f, "");
    put!(f, "/// Names of the multicast groups, by index.");
    let groups: Vec<String> = family.mcgrps.iter().map(|g| format!("c\"{g}\"")).collect();
    put!(
        f,
        "pub const MCGRPS: [&CStr; {}] = [{}];",
        groups.len(),
        groups.join(", ")
    );
    for (index, group) in family.mcgrps.iter().enumerate() {
        put!(f, "/// Index of the multicast group `{group}`.");
        put!(f, "pub const MCGRP_{}: u32 = {index};", upper(group));
    }
    for e in &family.enums {
        put!(f, "");
        if e.flags {
            write_flags(f, e)
        } else {
            write_enum(f, e)
        }
    }
    for set in family.sets.iter().filter(|s| s.requested || s.replied) {
        write_ids(f, set);
    }
    for set in family.sets.iter().filter(|s| s.nested_in_request) {
        put!(f, "");
        put!(
            f,
            "/// What the kernel accepts in a nest of `{}` attributes.",
            set.name
        );
        let all: Vec<usize> = (0..set.attrs.len()).collect();
        write_policy(
            f,
            family,
            &format!("{}_POLICY", upper(&set.name)),
            set,
            &all,
        );
    }
    for op in &family.ops {
        if let OpKind::Command {
            set,
            doit: Some(doit),
            ..
        } = &op.kind
        {
            if !doit.request.is_empty() {
                put!(f, "");
                put!(f, "/// What the kernel accepts in a `{}` request.", op.name);
                let name = format!("{}_POLICY", upper(&op.name));
                write_policy(f, family, &name, &family.sets[*set], &doit.request);
            }
        }
    }
    for set in family.sets.iter().filter(|s| s.requested) {
        write_reader(f, family, set);
    }
    for set in family.sets.iter().filter(|s| s.replied) {
        write_writer(f, family, set);
    }
    write_handler(f, family);
    for op in &family.ops {
        write_adaptors(f, family, op);
    }
    write_ops(f, family);
    out
}

fn write_enum(f: &mut String, e: &Enum) {
    let name = camel(&e.name);
    f.push_str(&comment(
        0,
        "///",
        &doc_or(&e.doc, &format!("Values of `{}`.", e.name)),
    ));
    put!(f, "#[derive(Clone, Copy, Debug, PartialEq, Eq)]");
    put!(f, "#[repr(u32)]");
    put!(f, "pub enum {name} {{");
    for entry in &e.entries {
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&entry.doc, &format!("`{}`.", entry.name)),
        ));
        put!(f, "    {} = {},", camel(&entry.name), entry.value);
    }
    put!(f, "}}");
    put!(f, "");
    put!(f, "impl {name} {{");
    put!(f, "    /// The value with this number, if there is one.");
    put!(
        f,
        "    pub const fn from_u32(value: u32) -> Option<Self> {{"
    );
    put!(f, "        match value {{");
    for entry in &e.entries {
        put!(
            f,
            "            {} => Some(Self::{}),",
            entry.value,
            camel(&entry.name)
        );
    }
    put!(f, "            _ => None,");
    put!(f, "        }}");
    put!(f, "    }}");
    put!(f, "}}");
}

fn write_flags(f: &mut String, e: &Enum) {
    f.push_str(&comment(
        0,
        "///",
        &doc_or(&e.doc, &format!("Bits of `{}`.", e.name)),
    ));
    put!(f, "pub mod {} {{", snake(&e.name));
    for entry in &e.entries {
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&entry.doc, &format!("`{}`.", entry.name)),
        ));
        put!(
            f,
            "    pub const {}: u32 = 1 << {};",
            upper(&entry.name),
            entry.value
        );
    }
    put!(f, "}}");
}

fn write_ids(f: &mut String, set: &Set) {
    put!(f, "");
    put!(f, "/// Attribute ids of `{}`.", set.name);
    put!(f, "pub mod {}_attr {{", snake(&set.name));
    for attr in &set.attrs {
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&attr.doc, &format!("`{}`.", attr.name)),
        ));
        put!(f, "    pub const {}: u16 = {};", upper(&attr.name), attr.id);
    }
    put!(f, "}}");
}

/// A table as long as the highest attribute allowed, so that the kernel refuses those above; those
/// between are refused by being unset.
fn write_policy(f: &mut String, family: &Family, name: &str, set: &Set, allowed: &[usize]) {
    let len = allowed.iter().map(|&i| i + 2).max().unwrap_or(0);
    put!(f, "static {name}: [Policy; {len}] = {{");
    put!(f, "    let mut policy = [Policy::UNSET; {len}];");
    let mut allowed = allowed.to_vec();
    allowed.sort_unstable();
    for i in allowed {
        let attr = &set.attrs[i];
        let value = match attr.kind {
            Kind::U32 { max: None } => "u32()".to_string(),
            Kind::U32 { max: Some(max) } => format!("u32_max({max})"),
            Kind::Enum { index } => format!("u32_max({})", family.enums[index].entries.len() - 1),
            Kind::Flags { index } => format!("u32_mask({:#x})", family.mask(index)),
            Kind::Be16 => "be16()".to_string(),
            Kind::Uint => "uint()".to_string(),
            Kind::Address { min, max } => format!("binary({min}, {max})"),
            Kind::Bytes { max } => format!("binary(0, {max})"),
            Kind::Nest { index } => {
                format!("nested(&{}_POLICY)", upper(&family.sets[index].name))
            }
        };
        put!(
            f,
            "    policy[{} as usize] = Policy::{value};",
            id_path(set, attr)
        );
    }
    put!(f, "    policy");
    put!(f, "}};");
}

fn id_path(set: &Set, attr: &Attr) -> String {
    format!("{}_attr::{}", snake(&set.name), upper(&attr.name))
}

fn write_reader(f: &mut String, family: &Family, set: &Set) {
    let name = format!("{}Attrs", camel(&set.name));
    put!(f, "");
    put!(f, "/// Reads the `{}` attributes of a request.", set.name);
    put!(f, "///");
    put!(
        f,
        "/// The kernel has checked each value against the policy; `None` is an attribute that is not there."
    );
    put!(f, "#[derive(Clone, Copy)]");
    put!(f, "pub struct {name}<'a>(Attrs<'a>);");
    put!(f, "");
    put!(f, "impl<'a> {name}<'a> {{");
    let mut first = true;
    for attr in set.attrs.iter().filter(|a| a.requested) {
        if !std::mem::take(&mut first) {
            put!(f, "");
        }
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&attr.doc, &format!("`{}`.", attr.name)),
        ));
        let id = id_path(set, attr);
        let (result, body) = match attr.kind {
            Kind::U32 { .. } | Kind::Flags { .. } => ("u32".into(), format!("self.0.u32({id})")),
            Kind::Enum { index } => {
                let result = camel(&family.enums[index].name);
                let body = format!("self.0.u32({id}).and_then({result}::from_u32)");
                (result, body)
            }
            Kind::Be16 => ("u16".into(), format!("self.0.be16({id})")),
            Kind::Uint => ("u64".into(), format!("self.0.uint({id})")),
            Kind::Address { .. } | Kind::Bytes { .. } => {
                ("&'a [u8]".into(), format!("self.0.binary({id})"))
            }
            Kind::Nest { index } => {
                let result = format!("{}Attrs", camel(&family.sets[index].name));
                let body = format!("self.0.nested({id}).map({result})");
                (format!("{result}<'a>"), body)
            }
        };
        put!(
            f,
            "    pub fn {}(&self) -> Option<{result}> {{",
            snake(&attr.name)
        );
        put!(f, "        {body}");
        put!(f, "    }}");
    }
    put!(f, "}}");
}

fn write_writer(f: &mut String, family: &Family, set: &Set) {
    let name = format!("{}Put", camel(&set.name));
    put!(f, "");
    put!(f, "/// Writes `{}` attributes into a message.", set.name);
    put!(f, "///");
    put!(
        f,
        "/// Each fails with `EMSGSIZE` when the message has no room left."
    );
    put!(f, "pub struct {name}<'a, 'b>(&'a mut Put<'b>);");
    put!(f, "");
    put!(f, "impl<'a, 'b> {name}<'a, 'b> {{");
    put!(f, "    /// Writes into `put`.");
    put!(f, "    pub fn new(put: &'a mut Put<'b>) -> Self {{");
    put!(f, "        Self(put)");
    put!(f, "    }}");
    for attr in set.attrs.iter().filter(|a| a.replied) {
        put!(f, "");
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&attr.doc, &format!("`{}`.", attr.name)),
        ));
        let id = id_path(set, attr);
        let method = snake(&attr.name);
        let (kind, body) = match attr.kind {
            Kind::U32 { .. } | Kind::Flags { .. } => ("u32".into(), format!("u32({id}, value)")),
            Kind::Enum { index } => (
                camel(&family.enums[index].name),
                format!("u32({id}, value as u32)"),
            ),
            Kind::Be16 => ("u16".into(), format!("be16({id}, value)")),
            Kind::Uint => ("u64".into(), format!("uint({id}, value)")),
            Kind::Address { .. } | Kind::Bytes { .. } => {
                ("&[u8]".into(), format!("binary({id}, value)"))
            }
            Kind::Nest { index } => {
                let inner = format!("{}Put", camel(&family.sets[index].name));
                put!(
                    f,
                    "    pub fn {method}(&mut self, f: impl FnOnce(&mut {inner}<'_, '_>) -> Result) -> Result {{"
                );
                put!(
                    f,
                    "        self.0.nested({id}, |put| f(&mut {inner}::new(put)))"
                );
                put!(f, "    }}");
                continue;
            }
        };
        put!(
            f,
            "    pub fn {method}(&mut self, value: {kind}) -> Result {{"
        );
        put!(f, "        self.0.{body}");
        put!(f, "    }}");
    }
    put!(f, "}}");
}

fn write_handler(f: &mut String, family: &Family) {
    put!(f, "");
    put!(f, "/// What the module does for each request.");
    put!(f, "///");
    put!(
        f,
        "/// Types and ranges are checked before a method is called; that an attribute is there is not."
    );
    put!(f, "pub trait Handler {{");
    let mut first = true;
    for op in &family.ops {
        let OpKind::Command {
            set, doit, dump, ..
        } = &op.kind
        else {
            continue;
        };
        if let Some(doit) = doit {
            if !std::mem::take(&mut first) {
                put!(f, "");
            }
            f.push_str(&comment(4, "///", &op.doc));
            if doit.request.is_empty() {
                put!(
                    f,
                    "    fn {}(req: &Request<'_>) -> Result;",
                    snake(&op.name)
                );
            } else {
                let set = camel(&family.sets[*set].name);
                put!(
                    f,
                    "    fn {}(req: &Request<'_>, attrs: {set}Attrs<'_>) -> Result;",
                    snake(&op.name)
                );
            }
        }
        if dump.is_some() {
            if !std::mem::take(&mut first) {
                put!(f, "");
            }
            f.push_str(&comment(
                4,
                "///",
                &format!("`{}` asked for all: {}", op.name, op.doc),
            ));
            put!(
                f,
                "    fn {}_dump(out: &mut DumpOut<'_>) -> Result;",
                snake(&op.name)
            );
        }
    }
    put!(f, "}}");
}

fn write_adaptors(f: &mut String, family: &Family, op: &Op) {
    let OpKind::Command {
        set,
        admin,
        doit,
        dump,
    } = &op.kind
    else {
        return;
    };
    let method = snake(&op.name);
    if let Some(doit) = doit {
        let name = format!("{}Do", camel(&op.name));
        let (policy, call) = if doit.request.is_empty() {
            // The kernel core rejects every attribute of an operation that has no policy.
            ("&[]".to_string(), format!("H::{method}(req)"))
        } else {
            let set = camel(&family.sets[*set].name);
            (
                format!("&{}_POLICY", upper(&op.name)),
                format!("H::{method}(req, {set}Attrs(req.attrs()))"),
            )
        };
        put!(f, "");
        put!(f, "struct {name}<H>(PhantomData<H>);");
        put!(f, "");
        put!(f, "impl<H: Handler> Do for {name}<H> {{");
        put!(f, "    const CMD: u8 = CMD_{};", upper(&op.name));
        put!(f, "    const ADMIN: bool = {admin};");
        put!(f, "    const POLICY: &'static [Policy] = {policy};");
        put!(f, "");
        put!(f, "    fn call(req: &Request<'_>) -> Result {{");
        put!(f, "        {call}");
        put!(f, "    }}");
        put!(f, "}}");
    }
    if dump.is_some() {
        let name = format!("{}Dump", camel(&op.name));
        put!(f, "");
        put!(f, "struct {name}<H>(PhantomData<H>);");
        put!(f, "");
        put!(f, "impl<H: Handler> Dump for {name}<H> {{");
        put!(f, "    const CMD: u8 = CMD_{};", upper(&op.name));
        put!(f, "    const ADMIN: bool = {admin};");
        put!(f, "    const POLICY: &'static [Policy] = &[];");
        put!(f, "");
        put!(f, "    fn call(out: &mut DumpOut<'_>) -> Result {{");
        put!(f, "        H::{method}_dump(out)");
        put!(f, "    }}");
        put!(f, "}}");
    }
}

fn write_ops(f: &mut String, family: &Family) {
    let mut ops = Vec::new();
    for op in &family.ops {
        if let OpKind::Command { doit, dump, .. } = &op.kind {
            let name = camel(&op.name);
            if doit.is_some() {
                ops.push(format!("Op::doit::<{name}Do<H>>()"));
            }
            if dump.is_some() {
                ops.push(format!("Op::dumpit::<{name}Dump<H>>()"));
            }
        }
    }
    put!(f, "");
    put!(
        f,
        "/// The operations, in the order of their ids, answered by `H`."
    );
    put!(
        f,
        "pub const fn ops<H: Handler>() -> [Op; {}] {{",
        ops.len()
    );
    put!(f, "    [");
    for op in &ops {
        put!(f, "        {op},");
    }
    put!(f, "    ]");
    put!(f, "}}");
}
