// SPDX-License-Identifier: GPL-2.0

//! `splicectl stats`

use crate::fail::Fail;
use crate::output::Output;
use crate::table::{Cell, Style, Table, left, right};
use tcp_splice_netlink::{Client, Stats};

pub(crate) fn run(out: &Output) -> Result<(), Fail> {
    let stats = Client::open()
        .and_then(|mut client| client.stats())
        .map_err(Fail::kernel("stats"))?;
    if out.json() {
        return out.value(&stats);
    }
    let mut table = table(&stats);
    if out.width().is_some_and(|width| table.width() > width) {
        table = table.only(&["COUNTER", "VALUE"]);
    }
    out.text(&table.render(out.color()))
}

fn table(stats: &Stats) -> Table {
    let mut table = Table::new(vec![left("COUNTER"), right("VALUE"), left("MEANING")]);
    for (name, meaning, value) in stats.counters() {
        table.row(vec![
            name.into(),
            value.to_string().into(),
            Cell::styled(meaning.trim_end_matches('.'), Style::Dim),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact_and_on_the_right() {
        let stats = Stats {
            splices: Some(7),
            translated: Some(12_345_678_901),
            ..Stats::default()
        };
        let text = table(&stats).only(&["COUNTER", "VALUE"]).render(false);
        let lines = [
            "COUNTER           VALUE",
            "splices               7",
            "translated  12345678901",
        ];
        assert_eq!(text, lines.join("\n") + "\n");
    }
}
