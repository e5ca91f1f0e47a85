// SPDX-License-Identifier: GPL-2.0

//! The YAML specification as it is written: the part of the kernel's `genetlink.yaml` schema that
//! some output makes use of. A key that is not here is refused by its name, with its line.

use serde::Deserialize;

/// A whole specification file.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) protocol: Option<String>,
    #[serde(default)]
    pub(crate) definitions: Vec<Definition>,
    pub(crate) attribute_sets: Vec<AttributeSet>,
    pub(crate) operations: Operations,
    #[serde(default)]
    pub(crate) mcast_groups: McastGroups,
}

/// An enum or a set of flags.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Definition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) doc: String,
    pub(crate) value_start: Option<u32>,
    pub(crate) entries: Vec<Entry>,
}

/// One value of an enum, or one bit of a set of flags.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Entry {
    Name(String),
    Full(FullEntry),
}

/// The long form of an [`Entry`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct FullEntry {
    pub(crate) name: String,
    pub(crate) value: Option<u32>,
    #[serde(default)]
    pub(crate) doc: String,
}

/// A space of attributes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct AttributeSet {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) doc: String,
    pub(crate) attributes: Vec<Attribute>,
}

/// One attribute.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) doc: String,
    pub(crate) byte_order: Option<String>,
    pub(crate) nested_attributes: Option<String>,
    #[serde(rename = "enum")]
    pub(crate) enumeration: Option<String>,
    #[serde(default)]
    pub(crate) enum_as_flags: bool,
    pub(crate) display_hint: Option<String>,
    #[serde(default)]
    pub(crate) checks: Checks,
}

/// What the kernel checks of an attribute before a handler sees it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Checks {
    pub(crate) max: Option<u32>,
    pub(crate) min_len: Option<u16>,
    pub(crate) max_len: Option<u16>,
    pub(crate) exact_len: Option<u16>,
}

/// The list of operations.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Operations {
    pub(crate) enum_model: Option<String>,
    pub(crate) list: Vec<Operation>,
}

/// A command, with its request and its reply, or a notification.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Operation {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) value: Option<u8>,
    pub(crate) attribute_set: Option<String>,
    #[serde(default)]
    pub(crate) flags: Vec<String>,
    #[serde(rename = "do")]
    pub(crate) doit: Option<Exchange>,
    pub(crate) dump: Option<Exchange>,
    pub(crate) notify: Option<String>,
    pub(crate) mcgrp: Option<String>,
}

/// What goes to the kernel and what comes back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Exchange {
    pub(crate) request: Option<Names>,
    pub(crate) reply: Option<Names>,
}

/// Names of attributes of the operation's set.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Names {
    #[serde(default)]
    pub(crate) attributes: Vec<String>,
}

/// The multicast groups.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct McastGroups {
    pub(crate) list: Vec<McastGroup>,
}

/// A multicast group. Groups that only some may join are not supported.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct McastGroup {
    pub(crate) name: String,
}
