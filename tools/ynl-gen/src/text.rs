// SPDX-License-Identifier: GPL-2.0

//! Names and comments, as each language likes them.

/// Columns of the generated sources.
const WIDTH: usize = 100;

/// `to-server` as `ToServer`.
pub(crate) fn camel(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map(|c| c.to_ascii_uppercase())
                .into_iter()
                .chain(chars)
                .collect::<String>()
        })
        .collect()
}

/// `to-server` as `to_server`.
pub(crate) fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// `to-server` as `TO_SERVER`.
pub(crate) fn upper(name: &str) -> String {
    snake(name).to_ascii_uppercase()
}

/// A text as lines of at most `width` columns; paragraphs stay apart by an empty line.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split("\n\n") {
        let mut line = String::new();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.len() + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

/// A text as comment lines, each with `indent` and `mark` (`///`) before it.
pub(crate) fn comment(indent: usize, mark: &str, text: &str) -> String {
    let width = WIDTH - indent - mark.len() - 1;
    let mut out = String::new();
    for line in wrap(text, width) {
        let line = format!("{:indent$}{mark} {line}", "");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// What is said of something that the specification leaves undocumented, too.
pub(crate) fn doc_or(doc: &str, otherwise: &str) -> String {
    if doc.trim().is_empty() {
        otherwise.to_string()
    } else {
        doc.trim().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(camel("to-server2-x"), "ToServer2X");
        assert_eq!(snake("to-server"), "to_server");
        assert_eq!(upper("to-server"), "TO_SERVER");
    }

    #[test]
    fn wrapping_keeps_paragraphs_and_long_words() {
        assert_eq!(wrap("a bb\nccc", 4), ["a bb", "ccc"]);
        assert_eq!(
            wrap("one\n\ntwo toooolong\n", 5),
            ["one", "", "two", "toooolong"]
        );
        assert_eq!(
            comment(4, "///", "x\n\ny"),
            "    /// x\n    ///\n    /// y\n"
        );
    }
}
