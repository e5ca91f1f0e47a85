// SPDX-License-Identifier: GPL-2.0

//! The attribute of KUnit suites: on the host they are ordinary tests.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Makes a module of tests one of the host's.
#[proc_macro_attribute]
pub fn kunit_tests(_suite: TokenStream, module: TokenStream) -> TokenStream {
    let mut out: TokenStream = "#[cfg(test)]".parse().expect("an attribute");
    out.extend(module);
    out
}

/// Takes the `#[pin]` off the fields of a structure.
#[proc_macro_attribute]
pub fn pin_data(_args: TokenStream, item: TokenStream) -> TokenStream {
    item.into_iter()
        .map(|tree| match tree {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                TokenTree::Group(Group::new(Delimiter::Brace, without_pin(group.stream())))
            }
            other => other,
        })
        .collect()
}

fn without_pin(fields: TokenStream) -> TokenStream {
    let mut out: Vec<TokenTree> = Vec::new();
    for tree in fields {
        match &tree {
            TokenTree::Group(group)
                if group.delimiter() == Delimiter::Bracket
                    && group.stream().to_string() == "pin" =>
            {
                // And the hash before it.
                out.pop();
            }
            _ => out.push(tree),
        }
    }
    out.into_iter().collect()
}
