// SPDX-License-Identifier: GPL-2.0

//! Text in columns.

use std::fmt::Write;

/// A column of a [`Table`].
#[derive(Clone, Debug)]
pub(crate) struct Column {
    header: &'static str,
    right: bool,
    /// What stands between this column and the one before.
    gap: String,
}

/// A column with text, on the left.
pub(crate) fn left(header: &'static str) -> Column {
    Column {
        header,
        right: false,
        gap: "  ".into(),
    }
}

/// A column with numbers, on the right.
pub(crate) fn right(header: &'static str) -> Column {
    Column {
        right: true,
        ..left(header)
    }
}

impl Column {
    /// With a sign between it and the column before.
    pub(crate) fn after(self, sign: &str) -> Column {
        Column {
            gap: format!(" {sign} "),
            ..self
        }
    }
}

/// How a text looks on a terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Style {
    #[default]
    Plain,
    Bold,
    Dim,
    Green,
    Yellow,
    Cyan,
}

impl Style {
    /// The text with what switches the style on and off around it.
    pub(crate) fn paint(self, text: &str) -> String {
        let code = match self {
            Style::Plain => return text.to_string(),
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Green => 32,
            Style::Yellow => 33,
            Style::Cyan => 36,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A text in a [`Table`].
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn styled(text: impl Into<String>, style: Style) -> Cell {
        Cell {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Cell {
        Cell::styled(text, Style::Plain)
    }
}

/// Rows under headers.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>) -> Table {
        Table {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row, with a cell for each column.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len());
        self.rows.push(cells);
    }

    fn column_width(&self, index: usize) -> usize {
        let header = self.columns[index].header.chars().count();
        self.rows
            .iter()
            .map(|row| row[index].text.chars().count())
            .fold(header, usize::max)
    }

    /// Columns of a terminal that the widest line may take.
    pub(crate) fn width(&self) -> usize {
        let gaps = self.columns.iter().skip(1).map(|c| c.gap.chars().count());
        let texts = (0..self.columns.len()).map(|index| self.column_width(index));
        gaps.chain(texts).sum()
    }

    /// The table with only the columns of these headers; the first of them loses its sign.
    pub(crate) fn only(mut self, headers: &[&str]) -> Table {
        let keep: Vec<usize> = (0..self.columns.len())
            .filter(|&i| headers.contains(&self.columns[i].header))
            .collect();
        for row in &mut self.rows {
            *row = keep.iter().map(|&i| row[i].clone()).collect();
        }
        self.columns = keep.iter().map(|&i| self.columns[i].clone()).collect();
        self
    }

    /// Puts a sign before the column with this header.
    pub(crate) fn sign(mut self, header: &str, sign: &str) -> Table {
        for column in &mut self.columns {
            if column.header == header {
                *column = column.clone().after(sign);
            }
        }
        self
    }

    /// The lines, each with its end.
    pub(crate) fn render(&self, color: bool) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|index| self.column_width(index))
            .collect();
        let mut out = String::new();
        let headers: Vec<Cell> = self
            .columns
            .iter()
            .map(|column| Cell::styled(column.header, Style::Bold))
            .collect();
        for (n, row) in std::iter::once(&headers).chain(&self.rows).enumerate() {
            let mut line = String::new();
            for (i, cell) in row.iter().enumerate() {
                let column = &self.columns[i];
                if i > 0 {
                    // The signs are for the rows alone.
                    let gap = if n == 0 {
                        " ".repeat(column.gap.chars().count())
                    } else {
                        column.gap.clone()
                    };
                    line.push_str(&gap);
                }
                let pad = " ".repeat(widths[i] - cell.text.chars().count());
                let text = if color {
                    cell.style.paint(&cell.text)
                } else {
                    cell.text.clone()
                };
                if column.right {
                    line.push_str(&pad);
                    line.push_str(&text);
                } else {
                    line.push_str(&text);
                    line.push_str(&pad);
                }
            }
            writeln!(out, "{}", line.trim_end()).expect("a String grows");
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(vec![
            right("ID"),
            left("FROM"),
            left("TO").after("→"),
            right("BYTES"),
        ]);
        table.row(vec!["1".into(), "a".into(), "bb".into(), "10 B".into()]);
        table.row(vec![
            "100".into(),
            Cell::styled("long", Style::Green),
            "c".into(),
            "9 B".into(),
        ]);
        table
    }

    #[test]
    fn columns_line_up() {
        let lines = [
            " ID  FROM   TO  BYTES",
            "  1  a    → bb   10 B",
            "100  long → c     9 B",
        ];
        assert_eq!(table().render(false), lines.join("\n") + "\n");
        assert_eq!(table().width(), 21);
    }

    #[test]
    fn colors_do_not_move_columns() {
        let colored = table().render(true);
        let mut plain = String::new();
        let mut rest = colored.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = after.split_once('m').expect("a sequence ends").1;
        }
        plain.push_str(rest);
        assert_eq!(plain, table().render(false));
        assert!(colored.contains("\x1b[32mlong\x1b[0m"));
    }

    #[test]
    fn columns_can_be_left_out() {
        let lines = ["FROM  BYTES", "a      10 B", "long    9 B"];
        let table = table().only(&["FROM", "BYTES"]);
        assert_eq!(table.render(false), lines.join("\n") + "\n");
    }
}
