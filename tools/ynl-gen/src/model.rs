// SPDX-License-Identifier: GPL-2.0

//! A specification with every name resolved and every value computed. What an output could not
//! express faithfully is refused here, once, so that the writers need no errors of their own.

use crate::spec;

/// Why a specification is refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{0}")]
    Yaml(String),
    #[error("{place}: {what} is not supported")]
    Unsupported { place: String, what: String },
    #[error("{place}: {what}")]
    Wrong { place: String, what: String },
}

type Result<T> = std::result::Result<T, Error>;

/// A generic netlink family.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) enums: Vec<Enum>,
    pub(crate) sets: Vec<Set>,
    pub(crate) ops: Vec<Op>,
    pub(crate) mcgrps: Vec<String>,
}

/// A list of named numbers.
#[derive(Debug)]
pub(crate) struct Enum {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// Whether a value is the number of a bit.
    pub(crate) flags: bool,
    pub(crate) entries: Vec<Entry>,
}

/// One of the numbers of an [`Enum`].
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) doc: String,
    /// The value, or the number of the bit.
    pub(crate) value: u32,
}

/// A space of attributes.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) attrs: Vec<Attr>,
    /// Whether a request has attributes of this set, itself or in a nest.
    pub(crate) requested: bool,
    /// Whether a reply has attributes of this set, itself or in a nest.
    pub(crate) replied: bool,
    /// Whether the set is in a nest of a request, and so needs a policy of its own.
    pub(crate) nested_in_request: bool,
}

/// One attribute; its id is its place in the set, from 1.
#[derive(Debug)]
pub(crate) struct Attr {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) id: u16,
    pub(crate) kind: Kind,
    /// Whether some request has it.
    pub(crate) requested: bool,
    /// Whether some reply has it.
    pub(crate) replied: bool,
}

/// What an attribute holds. Indices are into [`Family::enums`] and [`Family::sets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    U32 {
        max: Option<i16>,
    },
    Enum {
        index: usize,
    },
    Flags {
        index: usize,
    },
    Be16,
    Uint,
    Address {
        min: u16,
        max: u16,
    },
    /// Bytes of any meaning.
    Bytes {
        max: u16,
    },
    Nest {
        index: usize,
    },
}

/// A command or a notification.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) name: String,
    pub(crate) doc: String,
    pub(crate) id: u8,
    pub(crate) kind: OpKind,
}

/// What an [`Op`] is. Indices are into [`Family::sets`], [`Family::ops`] and [`Family::mcgrps`];
/// attributes are indices into the set.
#[derive(Debug)]
pub(crate) enum OpKind {
    Command {
        set: usize,
        admin: bool,
        doit: Option<Exchange>,
        dump: Option<Exchange>,
    },
    Notification {
        of: usize,
        mcgrp: usize,
    },
}

/// The attributes of a request and of its reply.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) request: Vec<usize>,
    pub(crate) reply: Vec<usize>,
}

/// Largest bound that fits the policy of the kernel without a separate range.
const POLICY_MAX: u32 = i16::MAX as u32;

fn unsupported<T>(place: impl Into<String>, what: impl Into<String>) -> Result<T> {
    Err(Error::Unsupported {
        place: place.into(),
        what: what.into(),
    })
}

fn wrong<T>(place: impl Into<String>, what: impl Into<String>) -> Result<T> {
    Err(Error::Wrong {
        place: place.into(),
        what: what.into(),
    })
}

fn find<T>(list: &[T], name: &str, name_of: impl Fn(&T) -> &str) -> Option<usize> {
    list.iter().position(|item| name_of(item) == name)
}

/// A name becomes an identifier in three languages and a string in a fourth.
fn check_name(place: &str, name: &str) -> Result<()> {
    let ok = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if ok {
        Ok(())
    } else {
        wrong(
            place,
            format!("the name {name:?} is not a letter followed by a-z, 0-9 and dashes"),
        )
    }
}

fn check_unique<'a>(place: &str, names: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen = Vec::new();
    for name in names {
        check_name(place, name)?;
        if seen.contains(&name) {
            return wrong(place, format!("the name {name:?} is there twice"));
        }
        seen.push(name);
    }
    Ok(())
}

impl Family {
    /// Reads a specification.
    pub(crate) fn parse(yaml: &str) -> Result<Family> {
        let spec: spec::Spec =
            serde_norway::from_str(yaml).map_err(|e| Error::Yaml(e.to_string()))?;
        Family::resolve(spec)
    }

    fn resolve(spec: spec::Spec) -> Result<Family> {
        check_name("name", &spec.name)?;
        if let Some(protocol) = spec.protocol.filter(|p| p != "genetlink") {
            return unsupported("protocol", protocol);
        }
        if let Some(model) = spec.operations.enum_model.filter(|m| m != "unified") {
            return unsupported("operations: enum-model", model);
        }

        check_unique(
            "definitions",
            spec.definitions.iter().map(|d| d.name.as_str()),
        )?;
        let enums = spec
            .definitions
            .into_iter()
            .map(resolve_enum)
            .collect::<Result<Vec<_>>>()?;

        check_unique(
            "attribute-sets",
            spec.attribute_sets.iter().map(|s| s.name.as_str()),
        )?;
        let set_names: Vec<String> = spec.attribute_sets.iter().map(|s| s.name.clone()).collect();
        let sets = spec
            .attribute_sets
            .into_iter()
            .map(|set| resolve_set(set, &enums, &set_names))
            .collect::<Result<Vec<_>>>()?;

        let mcgrps: Vec<String> = spec.mcast_groups.list.into_iter().map(|g| g.name).collect();
        check_unique("mcast-groups", mcgrps.iter().map(String::as_str))?;

        check_unique(
            "operations",
            spec.operations.list.iter().map(|o| o.name.as_str()),
        )?;
        let op_names: Vec<String> = spec
            .operations
            .list
            .iter()
            .map(|o| o.name.clone())
            .collect();
        let mut ops = Vec::<Op>::new();
        for op in spec.operations.list {
            // A command without a value follows the one before it; YNL starts at 1.
            let next = ops
                .last()
                .map_or(Some(1), |previous| previous.id.checked_add(1));
            let Some(id) = op.value.or(next) else {
                return wrong(format!("operation {}", op.name), "its value exceeds 255");
            };
            if ops.last().is_some_and(|previous| id <= previous.id) {
                return wrong(
                    format!("operation {}", op.name),
                    "its value is not above the one before",
                );
            }
            ops.push(resolve_op(op, id, &sets, &op_names, &mcgrps)?);
        }
        for op in &ops {
            if let OpKind::Notification { of, .. } = op.kind {
                if !matches!(ops[of].kind, OpKind::Command { doit: Some(_), .. }) {
                    return wrong(
                        format!("operation {}", op.name),
                        format!("notify: {} has no do", ops[of].name),
                    );
                }
            }
        }

        let mut family = Family {
            name: spec.name,
            doc: spec.doc,
            enums,
            sets,
            ops,
            mcgrps,
        };
        family.mark_used()?;
        Ok(family)
    }

    /// Works out which sets and attributes go which way.
    fn mark_used(&mut self) -> Result<()> {
        for op in &self.ops {
            let OpKind::Command {
                set, doit, dump, ..
            } = &op.kind
            else {
                continue;
            };
            for exchange in doit.iter().chain(dump) {
                for &attr in &exchange.request {
                    mark(&mut self.sets, *set, attr, false, 0)?;
                }
                for &attr in &exchange.reply {
                    mark(&mut self.sets, *set, attr, true, 0)?;
                }
            }
        }
        // A maximum stands for the whole range only if nothing is missing below it.
        for set in &self.sets {
            for attr in set.attrs.iter().filter(|a| a.requested) {
                if let Kind::Enum { index } = attr.kind {
                    let place = format!("attribute {}.{}", set.name, attr.name);
                    let entries = &self.enums[index].entries;
                    if entries.iter().zip(0..).any(|(entry, i)| entry.value != i) {
                        return unsupported(place, "an enum with gaps in a request");
                    }
                }
            }
        }
        Ok(())
    }

    /// The bits of a set of flags that have a name.
    pub(crate) fn mask(&self, index: usize) -> u32 {
        self.enums[index]
            .entries
            .iter()
            .fold(0, |mask, entry| mask | (1 << entry.value))
    }
}

fn mark(sets: &mut [Set], set: usize, attr: usize, reply: bool, depth: u8) -> Result<()> {
    if depth > 4 {
        return unsupported(
            format!("attribute set {}", sets[set].name),
            "nesting deeper than 4",
        );
    }
    if reply {
        sets[set].replied = true;
        sets[set].attrs[attr].replied = true;
    } else {
        sets[set].requested = true;
        sets[set].attrs[attr].requested = true;
    }
    if let Kind::Nest { index } = sets[set].attrs[attr].kind {
        if !reply {
            sets[index].nested_in_request = true;
        }
        for inner in 0..sets[index].attrs.len() {
            mark(sets, index, inner, reply, depth + 1)?;
        }
    }
    Ok(())
}

fn resolve_enum(definition: spec::Definition) -> Result<Enum> {
    let place = format!("definition {}", definition.name);
    let flags = match definition.kind.as_str() {
        "enum" => false,
        "flags" => true,
        other => return unsupported(place, format!("type {other}")),
    };
    let mut next = definition.value_start.unwrap_or(0);
    let mut entries = Vec::<Entry>::new();
    for entry in definition.entries {
        let (name, value, doc) = match entry {
            spec::Entry::Name(name) => (name, None, String::new()),
            spec::Entry::Full(full) => (full.name, full.value, full.doc),
        };
        let value = value.unwrap_or(next);
        if flags && value > 31 {
            return wrong(place, format!("{name}: bit {value} is not in 32 bits"));
        }
        if entries
            .last()
            .is_some_and(|previous| value <= previous.value)
        {
            return wrong(
                place,
                format!("{name}: its value is not above the one before"),
            );
        }
        let Some(after) = value.checked_add(1) else {
            return wrong(place, format!("{name}: its value is not in 32 bits"));
        };
        next = after;
        entries.push(Entry { name, doc, value });
    }
    if entries.is_empty() {
        return wrong(place, "it has no entries");
    }
    check_unique(&place, entries.iter().map(|e| e.name.as_str()))?;
    Ok(Enum {
        name: definition.name,
        doc: definition.doc,
        flags,
        entries,
    })
}

fn resolve_set(set: spec::AttributeSet, enums: &[Enum], set_names: &[String]) -> Result<Set> {
    let place = format!("attribute set {}", set.name);
    check_unique(&place, set.attributes.iter().map(|a| a.name.as_str()))?;
    let mut attrs = Vec::new();
    for (attr, id) in set.attributes.into_iter().zip(1..) {
        let place = format!("attribute {}.{}", set.name, attr.name);
        let kind = resolve_kind(&place, &attr, enums, set_names)?;
        attrs.push(Attr {
            name: attr.name,
            doc: attr.doc,
            id,
            kind,
            requested: false,
            replied: false,
        });
    }
    if attrs.is_empty() {
        return wrong(place, "it has no attributes");
    }
    Ok(Set {
        name: set.name,
        doc: set.doc,
        attrs,
        requested: false,
        replied: false,
        nested_in_request: false,
    })
}

fn resolve_kind(
    place: &str,
    attr: &spec::Attribute,
    enums: &[Enum],
    set_names: &[String],
) -> Result<Kind> {
    let checks = &attr.checks;
    let kind = match (attr.kind.as_str(), attr.byte_order.as_deref()) {
        ("u32", None) => match &attr.enumeration {
            None => Kind::U32 {
                max: match checks.max {
                    Some(max) if max > POLICY_MAX => {
                        return unsupported(place, format!("a max above {POLICY_MAX}"));
                    }
                    max => max.and_then(|max| i16::try_from(max).ok()),
                },
            },
            Some(name) => {
                let Some(index) = find(enums, name, |e| &e.name) else {
                    return wrong(place, format!("there is no definition {name}"));
                };
                match (enums[index].flags, attr.enum_as_flags) {
                    (true, true) => Kind::Flags { index },
                    (false, false) => Kind::Enum { index },
                    (true, false) => {
                        return unsupported(place, "flags without enum-as-flags");
                    }
                    (false, true) => return unsupported(place, "an enum used as flags"),
                }
            }
        },
        ("u16", Some("big-endian")) => Kind::Be16,
        ("uint", None) => Kind::Uint,
        ("binary", None) => {
            let is_address = match attr.display_hint.as_deref() {
                None => false,
                Some("ipv4-or-v6") => true,
                Some(_) => {
                    return unsupported(place, "binary with another display-hint than ipv4-or-v6");
                }
            };
            match (checks.exact_len, checks.min_len, checks.max_len) {
                (None, None, Some(max)) if !is_address => Kind::Bytes { max },
                _ if !is_address => {
                    return unsupported(place, "binary that is no address without max-len alone");
                }
                (Some(len), None, None) => Kind::Address { min: len, max: len },
                (None, Some(min), Some(max)) if min <= max => Kind::Address { min, max },
                _ => {
                    return unsupported(place, "binary without exact-len or min-len and max-len");
                }
            }
        }
        ("nest", None) => {
            let Some(name) = &attr.nested_attributes else {
                return wrong(place, "a nest without nested-attributes");
            };
            let Some(index) = set_names.iter().position(|set| set == name) else {
                return wrong(place, format!("there is no attribute set {name}"));
            };
            Kind::Nest { index }
        }
        (kind, None) => return unsupported(place, format!("type {kind}")),
        (kind, Some(order)) => return unsupported(place, format!("type {kind} in {order} order")),
    };

    // Whatever the kind above did not look at would be lost.
    let leftover = [
        (
            "enum",
            attr.enumeration.is_some() && !matches!(kind, Kind::Enum { .. } | Kind::Flags { .. }),
        ),
        (
            "enum-as-flags",
            attr.enum_as_flags && !matches!(kind, Kind::Flags { .. }),
        ),
        (
            "nested-attributes",
            attr.nested_attributes.is_some() && !matches!(kind, Kind::Nest { .. }),
        ),
        (
            "display-hint",
            attr.display_hint.is_some() && !matches!(kind, Kind::Address { .. }),
        ),
        (
            "checks: max",
            checks.max.is_some() && !matches!(kind, Kind::U32 { .. }),
        ),
        (
            "checks of a length",
            (checks.min_len.is_some() || checks.max_len.is_some() || checks.exact_len.is_some())
                && !matches!(kind, Kind::Address { .. } | Kind::Bytes { .. }),
        ),
    ];
    for (what, is_left) in leftover {
        if is_left {
            return unsupported(place, format!("{what} with type {}", attr.kind));
        }
    }
    Ok(kind)
}

fn resolve_op(
    op: spec::Operation,
    id: u8,
    sets: &[Set],
    op_names: &[String],
    mcgrps: &[String],
) -> Result<Op> {
    let place = format!("operation {}", op.name);
    let kind = if let Some(of) = &op.notify {
        if op.doit.is_some() || op.dump.is_some() || !op.flags.is_empty() {
            return wrong(place, "a notification has no do, dump or flags");
        }
        let Some(of) = op_names.iter().position(|name| name == of) else {
            return wrong(place, format!("notify: there is no operation {of}"));
        };
        let Some(mcgrp) = &op.mcgrp else {
            return unsupported(place, "a notification without mcgrp");
        };
        let Some(mcgrp) = mcgrps.iter().position(|name| name == mcgrp) else {
            return wrong(place, format!("there is no multicast group {mcgrp}"));
        };
        OpKind::Notification { of, mcgrp }
    } else {
        if op.mcgrp.is_some() {
            return wrong(place, "mcgrp without notify");
        }
        let Some(name) = &op.attribute_set else {
            return wrong(place, "it has no attribute-set");
        };
        let Some(set) = find(sets, name, |s| &s.name) else {
            return wrong(place, format!("there is no attribute set {name}"));
        };
        let mut admin = false;
        for flag in &op.flags {
            match flag.as_str() {
                "uns-admin-perm" => admin = true,
                other => return unsupported(place, format!("flag {other}")),
            }
        }
        let doit = op
            .doit
            .map(|exchange| resolve_exchange(&place, exchange, &sets[set]))
            .transpose()?;
        let dump = op
            .dump
            .map(|exchange| resolve_exchange(&place, exchange, &sets[set]))
            .transpose()?;
        if doit.is_none() && dump.is_none() {
            return wrong(place, "it has neither do nor dump nor notify");
        }
        if dump.as_ref().is_some_and(|dump| !dump.request.is_empty()) {
            return unsupported(place, "a dump with attributes in its request");
        }
        OpKind::Command {
            set,
            admin,
            doit,
            dump,
        }
    };
    Ok(Op {
        name: op.name,
        doc: op.doc,
        id,
        kind,
    })
}

fn resolve_exchange(place: &str, exchange: spec::Exchange, set: &Set) -> Result<Exchange> {
    let indices = |names: Option<spec::Names>| {
        names
            .map_or(Vec::new(), |names| names.attributes)
            .iter()
            .map(|name| match find(&set.attrs, name, |a| &a.name) {
                Some(index) => Ok(index),
                None => wrong(
                    place,
                    format!("there is no attribute {name} in {}", set.name),
                ),
            })
            .collect::<Result<Vec<_>>>()
    };
    Ok(Exchange {
        request: indices(exchange.request)?,
        reply: indices(exchange.reply)?,
    })
}
