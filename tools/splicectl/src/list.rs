// SPDX-License-Identifier: GPL-2.0

//! `splicectl list`

use crate::fail::Fail;
use crate::format::{self, Signs};
use crate::output::Output;
use crate::table::{Cell, Style, Table, left, right};
use tcp_splice_netlink::{Client, Splice, SpliceFlags, SpliceKind, SpliceState};

pub(crate) fn run(out: &Output) -> Result<(), Fail> {
    let mut splices = Client::open()
        .and_then(|mut client| client.splices())
        .map_err(Fail::kernel("list"))?;
    splices.sort_by_key(|splice| splice.id);
    if out.json() {
        return out.value(&splices);
    }
    let table = fit(table(&splices, out.signs), out.width(), out.signs);
    out.text(&table.render(out.color()))
}

/// How a state looks.
pub(crate) fn style(state: SpliceState) -> Style {
    match state {
        SpliceState::Arming | SpliceState::Draining | SpliceState::Opening => Style::Yellow,
        SpliceState::Established => Style::Green,
        SpliceState::Closing | SpliceState::Returning => Style::Cyan,
        SpliceState::Tombstone => Style::Dim,
        SpliceState::Unknown(_) => Style::Plain,
    }
}

fn state(splice: &Splice) -> Cell {
    let is_split = splice
        .flags
        .is_some_and(|flags| flags.contains(SpliceFlags::SPLIT));
    let half = match splice.kind {
        _ if is_split => ", split",
        Some(SpliceKind::Nat) => ", nat",
        Some(SpliceKind::Rewrite) => ", rewrite",
        _ => "",
    };
    match splice.state {
        Some(state) => Cell::styled(format!("{state}{half}"), style(state)),
        None => "?".into(),
    }
}

fn table(splices: &[Splice], signs: Signs) -> Table {
    let mut table = Table::new(vec![
        right("ID"),
        left("STATE"),
        left("CLIENT"),
        left("VIP").after(signs.to),
        left("PROXY").after(signs.splice),
        left("BACKEND").after(signs.to),
        right("TO SERVER"),
        right("TO CLIENT"),
        right("AGE"),
    ]);
    for splice in splices {
        let id = splice.id.map_or("?".into(), |id| id.to_string());
        let [client, vip, proxy, backend] = format::endpoints(splice);
        table.row(vec![
            id.into(),
            state(splice),
            client.into(),
            vip.into(),
            proxy.into(),
            backend.into(),
            format::bytes(format::carried(splice.to_server.as_ref())).into(),
            format::bytes(format::carried(splice.to_client.as_ref())).into(),
            splice.age.map_or("?".into(), format::duration).into(),
        ]);
    }
    table
}

/// Leaves out what matters least until the table is as narrow as the terminal.
fn fit(table: Table, width: Option<usize>, signs: Signs) -> Table {
    let Some(width) = width else { return table };
    let mut table = table;
    for headers in [
        &[
            "ID",
            "STATE",
            "CLIENT",
            "BACKEND",
            "TO SERVER",
            "TO CLIENT",
            "AGE",
        ][..],
        &["ID", "STATE", "CLIENT", "BACKEND", "TO SERVER", "TO CLIENT"],
        &["ID", "STATE", "CLIENT", "BACKEND"],
        &["ID", "CLIENT", "BACKEND"],
    ] {
        if table.width() <= width {
            break;
        }
        table = table.only(headers).sign("BACKEND", signs.splice);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::UNICODE;
    use crate::format::tests::splice;

    fn rendered(width: Option<usize>) -> String {
        let mut ended = splice(12);
        ended.state = Some(SpliceState::Tombstone);
        ended.age = Some(7_500_000);
        let table = table(&[splice(3), ended], UNICODE);
        fit(table, width, UNICODE).render(false)
    }

    #[test]
    fn the_servers_half_is_named() {
        let mut half = splice(3);
        half.flags = Some(SpliceFlags::REPLICATED | SpliceFlags::SPLIT);
        let text = table(&[half], UNICODE).render(false);
        let line = text.lines().nth(1).expect("a line");
        assert!(
            line.starts_with(" 3  established, split  192.0.2.1:40000"),
            "{line}"
        );
    }

    #[test]
    fn connections_of_services_are_named() {
        let mut nat = splice(3);
        nat.kind = Some(SpliceKind::Nat);
        let mut opening = splice(4);
        opening.kind = Some(SpliceKind::Rewrite);
        opening.state = Some(SpliceState::Opening);
        let text = table(&[nat, opening], UNICODE).render(false);
        for (line, start) in text.lines().skip(1).zip([
            " 3  established, nat  192.0.2.1:40000",
            " 4  opening, rewrite  192.0.2.1:40000",
        ]) {
            assert!(line.starts_with(start), "{line}");
        }
    }

    #[test]
    fn the_whole_table() {
        let lines = [
            "ID  STATE        CLIENT            VIP               PROXY           BACKEND         TO SERVER  TO CLIENT    AGE",
            " 3  established  192.0.2.1:40000 → 198.51.100.1:80 ⇄ 10.0.0.1:5000 → 10.0.0.20:8080    2.0 KiB    300 MiB  3m12s",
            "12  tombstone    192.0.2.1:40000 → 198.51.100.1:80 ⇄ 10.0.0.1:5000 → 10.0.0.20:8080    2.0 KiB    300 MiB  2h05m",
        ];
        assert_eq!(rendered(None), lines.join("\n") + "\n");
        assert_eq!(rendered(Some(200)), rendered(None));
    }

    #[test]
    fn a_narrow_terminal_gets_the_ends() {
        let lines = [
            "ID  STATE        CLIENT            BACKEND         TO SERVER  TO CLIENT    AGE",
            " 3  established  192.0.2.1:40000 ⇄ 10.0.0.20:8080    2.0 KiB    300 MiB  3m12s",
        ];
        assert!(rendered(Some(80)).starts_with(&lines.join("\n")));
        assert!(rendered(Some(60)).starts_with("ID  STATE        CLIENT            BACKEND\n"));
        assert!(rendered(Some(20)).starts_with("ID  CLIENT            BACKEND\n"));
    }

    #[test]
    fn an_empty_list_has_its_header() {
        assert_eq!(table(&[], UNICODE).render(false).lines().count(), 1);
    }
}
