// SPDX-License-Identifier: GPL-2.0

//! The user's side: plain structs that serde knows, and how they become attributes and back.

use crate::kernel::put;
use crate::model::{Attr, Enum, Exchange, Family, Kind, Op, OpKind, Set};
use crate::text::{camel, comment, doc_or, snake, upper, wrap};
use std::fmt::Write;

/// The file, without its header.
pub(crate) fn write(family: &Family) -> String {
    let mut out = String::new();
    let f = &mut out;
    put!(
        f,
        "//! Types and messages of the `{}` generic netlink family.",
        family.name
    );
    put!(f, "");
    put!(
        f,
        "use crate::attr::{{Attrs, Field, Malformed, Set, Writer}};"
    );
    put!(f, "use crate::message::Request;");
    if family.enums.iter().any(|e| e.flags) {
        put!(f, "use serde::ser::SerializeSeq;");
    }
    put!(
        f,
        "use serde::{{Deserialize, Deserializer, Serialize, Serializer, de}};"
    );
    put!(f, "use std::fmt;");
    put!(f, "use std::net::IpAddr;");
    if family.enums.iter().any(|e| e.flags) {
        put!(f, "use std::ops::{{BitOr, BitOrAssign}};");
    }
    put!(f, "use std::str::FromStr;");
    put!(f, "");
    put!(
        f,
        "/// Name that the kernel resolves to the number of the family."
    );
    put!(f, "pub const FAMILY_NAME: &str = \"{}\";", family.name);
    for group in &family.mcgrps {
        put!(f, "/// Name of the multicast group `{group}`.");
        put!(
            f,
            "pub(crate) const MCGRP_{}: &str = \"{group}\";",
            upper(group)
        );
    }
    for op in &family.ops {
        if matches!(op.kind, OpKind::Notification { .. }) {
            f.push_str(&comment(0, "///", &op.doc));
            put!(
                f,
                "pub(crate) const CMD_{}: u8 = {};",
                upper(&op.name),
                op.id
            );
        }
    }
    for e in &family.enums {
        put!(f, "");
        if e.flags {
            write_flags(f, e)
        } else {
            write_enum(f, e)
        }
    }
    for set in family
        .sets
        .iter()
        .filter(|s| s.replied || s.nested_in_request)
    {
        write_struct(f, family, set);
        write_decode(f, family, set);
        if set.nested_in_request {
            write_encode(f, set);
        }
        if set.attrs.iter().all(|a| a.kind == Kind::Uint) {
            write_counters(f, set);
        }
    }
    for set in family.sets.iter().filter(|s| s.requested) {
        write_names(f, family, set);
    }
    for op in &family.ops {
        if let OpKind::Command {
            set, doit, dump, ..
        } = &op.kind
        {
            if let Some(doit) = doit {
                write_request(f, family, op, *set, doit, false);
            }
            if let Some(dump) = dump {
                write_request(f, family, op, *set, dump, true);
            }
        }
    }
    out
}

fn write_enum(f: &mut String, e: &Enum) {
    let name = camel(&e.name);
    f.push_str(&comment(
        0,
        "///",
        &doc_or(&e.doc, &format!("Values of `{}`.", e.name)),
    ));
    put!(f, "///");
    put!(
        f,
        "/// As a string it is the name in the specification, or the number if it has none."
    );
    put!(f, "#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]");
    put!(f, "pub enum {name} {{");
    for entry in &e.entries {
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&entry.doc, &format!("`{}`.", entry.name)),
        ));
        put!(f, "    {},", camel(&entry.name));
    }
    put!(f, "    /// A value that a newer kernel has.");
    put!(f, "    Unknown(u32),");
    put!(f, "}}");
    put!(f, "");
    put!(f, "impl {name} {{");
    put!(f, "    /// Every value that has a name.");
    put!(f, "    pub const ALL: [Self; {}] = [", e.entries.len());
    for entry in &e.entries {
        put!(f, "Self::{},", camel(&entry.name));
    }
    put!(f, "];");
    put!(f, "");
    put!(
        f,
        "    /// The name in the specification, if the value has one."
    );
    put!(f, "    pub const fn name(self) -> Option<&'static str> {{");
    put!(f, "        Some(match self {{");
    for entry in &e.entries {
        put!(
            f,
            "            Self::{} => \"{}\",",
            camel(&entry.name),
            entry.name
        );
    }
    put!(f, "            Self::Unknown(_) => return None,");
    put!(f, "        }})");
    put!(f, "    }}");
    put!(f, "");
    put!(f, "    /// The value with this number.");
    put!(f, "    pub const fn from_u32(value: u32) -> Self {{");
    put!(f, "        match value {{");
    for entry in &e.entries {
        put!(
            f,
            "            {} => Self::{},",
            entry.value,
            camel(&entry.name)
        );
    }
    put!(f, "            other => Self::Unknown(other),");
    put!(f, "        }}");
    put!(f, "    }}");
    put!(f, "");
    put!(f, "    /// The number of the value.");
    put!(f, "    pub const fn to_u32(self) -> u32 {{");
    put!(f, "        match self {{");
    for entry in &e.entries {
        put!(
            f,
            "            Self::{} => {},",
            camel(&entry.name),
            entry.value
        );
    }
    put!(f, "            Self::Unknown(value) => value,");
    put!(f, "        }}");
    put!(f, "    }}");
    put!(f, "}}");
    put!(
        f,
        r#"
impl fmt::Display for {name} {{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {{
        match self.name() {{
            Some(name) => f.pad(name),
            None => f.pad(&self.to_u32().to_string()),
        }}
    }}
}}

impl FromStr for {name} {{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {{
        Self::ALL
            .into_iter()
            .find(|value| value.name() == Some(text))
            .or_else(|| text.parse().ok().map(Self::from_u32))
            .ok_or_else(|| format!("{{text:?}} is no {spec_name}"))
    }}
}}

impl Serialize for {name} {{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{
        serializer.collect_str(self)
    }}
}}

impl<'de> Deserialize<'de> for {name} {{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {{
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }}
}}"#,
        spec_name = e.name,
    );
}

fn write_flags(f: &mut String, e: &Enum) {
    let name = camel(&e.name);
    f.push_str(&comment(
        0,
        "///",
        &doc_or(&e.doc, &format!("Bits of `{}`.", e.name)),
    ));
    put!(f, "///");
    put!(
        f,
        "/// In text it is a list of names; a bit without a name is `bit-N`."
    );
    put!(
        f,
        "#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]"
    );
    put!(f, "pub struct {name}(pub u32);");
    put!(f, "");
    put!(f, "impl {name} {{");
    for entry in &e.entries {
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&entry.doc, &format!("`{}`.", entry.name)),
        ));
        put!(
            f,
            "    pub const {}: Self = Self(1 << {});",
            upper(&entry.name),
            entry.value
        );
    }
    put!(f, "");
    put!(f, "    /// Every bit that has a name, with its name.");
    put!(
        f,
        "    pub const ALL: [(Self, &'static str); {}] = [",
        e.entries.len()
    );
    for entry in &e.entries {
        put!(f, "(Self::{}, \"{}\"),", upper(&entry.name), entry.name);
    }
    put!(f, "];");
    put!(
        f,
        r#"
    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {{
        self.0 & other.0 == other.0
    }}

    /// The names of the bits that are set, lowest first.
    pub fn names(self) -> Vec<String> {{
        (0..u32::BITS)
            .map(|bit| (bit, Self(1 << bit)))
            .filter(|(_, flag)| self.contains(*flag))
            .map(|(bit, flag)| {{
                let known = Self::ALL.iter().find(|(known, _)| *known == flag);
                known.map_or_else(|| format!("bit-{{bit}}"), |(_, name)| (*name).to_string())
            }})
            .collect()
    }}
}}

impl BitOr for {name} {{
    type Output = Self;

    fn bitor(self, other: Self) -> Self {{
        Self(self.0 | other.0)
    }}
}}

impl BitOrAssign for {name} {{
    fn bitor_assign(&mut self, other: Self) {{
        self.0 |= other.0;
    }}
}}

impl FromStr for {name} {{
    type Err = String;

    /// Reads the name of one bit.
    fn from_str(text: &str) -> Result<Self, String> {{
        if let Some((flag, _)) = Self::ALL.iter().find(|(_, name)| *name == text) {{
            return Ok(*flag);
        }}
        text.strip_prefix("bit-")
            .and_then(|bit| bit.parse().ok())
            .and_then(|bit| 1u32.checked_shl(bit))
            .map(Self)
            .ok_or_else(|| format!("{{text:?}} is no {spec_name}"))
    }}
}}

impl Serialize for {name} {{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {{
        let names = self.names();
        let mut list = serializer.serialize_seq(Some(names.len()))?;
        for name in &names {{
            list.serialize_element(name)?;
        }}
        list.end()
    }}
}}

impl<'de> Deserialize<'de> for {name} {{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {{
        let mut flags = Self::default();
        for name in Vec::<String>::deserialize(deserializer)? {{
            flags |= name.parse().map_err(de::Error::custom)?;
        }}
        Ok(flags)
    }}
}}"#,
        spec_name = e.name,
    );
}

/// The attributes that a struct of a set has a field for: those that some reply has, and all of a
/// set that goes both ways.
fn fields(set: &Set) -> impl Iterator<Item = &Attr> {
    set.attrs
        .iter()
        .filter(|a| a.replied || set.nested_in_request)
}

/// Whether a request borrows it.
fn is_borrowed(kind: Kind) -> bool {
    matches!(kind, Kind::Nest { .. } | Kind::Bytes { .. })
}

fn rust_type(family: &Family, kind: Kind) -> String {
    match kind {
        Kind::U32 { .. } => "u32".into(),
        Kind::Enum { index } | Kind::Flags { index } => camel(&family.enums[index].name),
        Kind::Be16 => "u16".into(),
        Kind::Uint => "u64".into(),
        Kind::Address { .. } => "IpAddr".into(),
        Kind::Bytes { .. } => "crate::Bytes".into(),
        Kind::Nest { index } => camel(&family.sets[index].name),
    }
}

fn write_struct(f: &mut String, family: &Family, set: &Set) {
    put!(f, "");
    f.push_str(&comment(
        0,
        "///",
        &doc_or(&set.doc, &format!("Attributes of `{}`.", set.name)),
    ));
    put!(f, "///");
    put!(f, "/// `None` is an attribute that is not there.");
    put!(
        f,
        "#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]"
    );
    put!(
        f,
        "#[serde(rename_all = \"kebab-case\", default, deny_unknown_fields)]"
    );
    put!(f, "pub struct {} {{", camel(&set.name));
    for attr in fields(set) {
        f.push_str(&comment(
            4,
            "///",
            &doc_or(&attr.doc, &format!("`{}`.", attr.name)),
        ));
        put!(f, "    #[serde(skip_serializing_if = \"Option::is_none\")]");
        put!(
            f,
            "    pub {}: Option<{}>,",
            snake(&attr.name),
            rust_type(family, attr.kind)
        );
    }
    put!(f, "}}");
}

fn write_decode(f: &mut String, family: &Family, set: &Set) {
    let name = camel(&set.name);
    put!(f, "");
    put!(f, "impl {name} {{");
    put!(
        f,
        "    /// Reads the attributes; those that a newer kernel has are passed over."
    );
    put!(
        f,
        "    pub(crate) fn decode(attrs: Attrs<'_>) -> Result<Self, Malformed> {{"
    );
    put!(f, "        let mut this = Self::default();");
    put!(f, "        for attr in attrs {{");
    put!(f, "            let attr = attr?;");
    put!(f, "            match attr.id() {{");
    for attr in fields(set) {
        let value = match attr.kind {
            Kind::U32 { .. } => "attr.u32()?".into(),
            Kind::Enum { index } => {
                format!(
                    "{}::from_u32(attr.u32()?)",
                    camel(&family.enums[index].name)
                )
            }
            Kind::Flags { index } => {
                format!("{}(attr.u32()?)", camel(&family.enums[index].name))
            }
            Kind::Be16 => "attr.be16()?".into(),
            Kind::Uint => "attr.uint()?".into(),
            Kind::Address { .. } => "attr.address()?".into(),
            Kind::Bytes { .. } => "crate::Bytes(attr.octets())".into(),
            Kind::Nest { index } => {
                format!(
                    "{}::decode(attr.nested())?",
                    camel(&family.sets[index].name)
                )
            }
        };
        put!(
            f,
            "                {} => this.{} = Some({value}),",
            attr.id,
            snake(&attr.name)
        );
    }
    put!(f, "                _ => {{}}");
    put!(f, "            }}");
    put!(f, "        }}");
    put!(f, "        Ok(this)");
    put!(f, "    }}");
    put!(f, "}}");
}

/// One field as attributes; `value` is by reference for a nest and by value otherwise.
fn encode_field(f: &mut String, attr: &Attr, by_ref: bool) {
    let field = snake(&attr.name);
    let id = attr.id;
    let call = match attr.kind {
        Kind::U32 { .. } => format!("out.u32({id}, value)"),
        Kind::Enum { .. } => format!("out.u32({id}, value.to_u32())"),
        Kind::Flags { .. } => format!("out.u32({id}, value.0)"),
        Kind::Be16 => format!("out.be16({id}, value)"),
        Kind::Uint => format!("out.uint({id}, value)"),
        Kind::Address { .. } => format!("out.address({id}, value)"),
        Kind::Bytes { .. } => format!("out.bytes({id}, &value.0)"),
        Kind::Nest { .. } => format!("out.nested({id}, |out| value.encode(out))"),
    };
    let by_ref = if by_ref && is_borrowed(attr.kind) {
        "&"
    } else {
        ""
    };
    put!(f, "        if let Some(value) = {by_ref}self.{field} {{");
    put!(f, "            {call};");
    put!(f, "        }}");
}

fn write_encode(f: &mut String, set: &Set) {
    put!(f, "");
    put!(f, "impl {} {{", camel(&set.name));
    put!(f, "    /// Writes the attributes that are there.");
    put!(f, "    pub(crate) fn encode(&self, out: &mut Writer) {{");
    for attr in &set.attrs {
        encode_field(f, attr, true);
    }
    put!(f, "    }}");
    put!(f, "}}");
}

/// A set of numbers alone can be gone through without knowing them one by one.
fn write_counters(f: &mut String, set: &Set) {
    put!(f, "");
    put!(f, "impl {} {{", camel(&set.name));
    put!(
        f,
        "    /// Every number that is there: its name, its meaning and its value."
    );
    put!(
        f,
        "    pub fn counters(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {{"
    );
    put!(f, "        [");
    for attr in fields(set) {
        let doc = format!("{:?}", doc_or(&attr.doc, &attr.name));
        // rustfmt leaves a whole list alone when a text in it is too long.
        let doc = wrap(&doc, 76).join(" \\\n                 ");
        let field = snake(&attr.name);
        put!(f, "            (");
        put!(f, "                \"{}\",", attr.name);
        put!(f, "                {doc},");
        put!(f, "                self.{field},");
        put!(f, "            ),");
    }
    put!(f, "        ]");
    put!(f, "        .into_iter()");
    put!(
        f,
        "        .filter_map(|(name, doc, value)| Some((name, doc, value?)))"
    );
    put!(f, "    }}");
    put!(f, "}}");
}

fn write_names(f: &mut String, family: &Family, set: &Set) {
    put!(f, "");
    put!(f, "/// Names of the `{}` attributes, from id 1.", set.name);
    put!(f, "pub(crate) static {}: Set = Set(&[", upper(&set.name));
    for attr in &set.attrs {
        let nest = match attr.kind {
            Kind::Nest { index } => format!("Some(&{})", upper(&family.sets[index].name)),
            _ => "None".into(),
        };
        put!(f, "Field {{ name: \"{}\", nest: {nest} }},", attr.name);
    }
    put!(f, "]);");
}

fn write_request(
    f: &mut String,
    family: &Family,
    op: &Op,
    set: usize,
    exchange: &Exchange,
    dump: bool,
) {
    let set = &family.sets[set];
    let name = format!(
        "{}{}",
        camel(&op.name),
        if dump { "DumpRequest" } else { "Request" }
    );
    let attrs = || exchange.request.iter().map(|&i| &set.attrs[i]);
    let borrows = attrs().any(|a| is_borrowed(a.kind));
    let (declared, elided) = if borrows { ("<'a>", "<'_>") } else { ("", "") };
    put!(f, "");
    f.push_str(&comment(0, "///", &op.doc));
    put!(f, "#[derive(Debug, Default)]");
    if exchange.request.is_empty() {
        put!(f, "pub(crate) struct {name};");
    } else {
        put!(f, "pub(crate) struct {name}{declared} {{");
        for attr in attrs() {
            f.push_str(&comment(
                4,
                "///",
                &doc_or(&attr.doc, &format!("`{}`.", attr.name)),
            ));
            let by_ref = if is_borrowed(attr.kind) { "&'a " } else { "" };
            let kind = rust_type(family, attr.kind);
            put!(
                f,
                "    pub(crate) {}: Option<{by_ref}{kind}>,",
                snake(&attr.name)
            );
        }
        put!(f, "}}");
    }
    let reply = if exchange.reply.is_empty() {
        "()".to_string()
    } else {
        camel(&set.name)
    };
    let names = if set.requested {
        format!("&{}", upper(&set.name))
    } else {
        "&Set(&[])".to_string()
    };
    put!(f, "");
    put!(f, "impl Request for {name}{elided} {{");
    put!(f, "    const CMD: u8 = {};", op.id);
    put!(f, "    const ATTRS: &'static Set = {names};");
    put!(f, "    type Reply = {reply};");
    put!(f, "");
    if exchange.request.is_empty() {
        put!(f, "    fn encode(&self, _out: &mut Writer) {{}}");
    } else {
        put!(f, "    fn encode(&self, out: &mut Writer) {{");
        for attr in attrs() {
            encode_field(f, attr, false);
        }
        put!(f, "    }}");
    }
    put!(f, "");
    if exchange.reply.is_empty() {
        put!(
            f,
            "    fn decode(_attrs: Attrs<'_>) -> Result<(), Malformed> {{"
        );
        put!(f, "        Ok(())");
    } else {
        put!(
            f,
            "    fn decode(attrs: Attrs<'_>) -> Result<{reply}, Malformed> {{"
        );
        put!(f, "        {reply}::decode(attrs)");
    }
    put!(f, "    }}");
    put!(f, "}}");
}
