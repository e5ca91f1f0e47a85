// SPDX-License-Identifier: GPL-2.0

//! `splicectl save`

use crate::fail::{Fail, tell};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tcp_splice_netlink::{Client, Splice, SpliceState};

pub(crate) fn run(file: Option<&Path>) -> Result<(), Fail> {
    let splices = Client::open()
        .and_then(|mut client| client.splices())
        .map_err(Fail::kernel("save"))?;
    let text = text(splices)?;
    match file {
        None => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.flush()?;
            Ok(())
        }
        Some(file) => {
            replace(file, &text).map_err(Fail::other(format!("save: {}", file.display())))
        }
    }
}

/// What is saved: those that carry data, lowest identity first.
fn text(mut splices: Vec<Splice>) -> Result<String, Fail> {
    splices.retain(is_live);
    let all = splices.len();
    splices.retain(|splice| !splice.gives_back());
    if splices.len() < all {
        tell(&format!(
            "save: left out {} that will be given back to their process, which only this host can",
            all - splices.len()
        ));
    }
    splices.sort_by_key(|splice| splice.id);
    let text = serde_json::to_string_pretty(&splices).map_err(Fail::other("save"))?;
    Ok(text + "\n")
}

/// Whether there is a point in making the splice again.
pub(crate) fn is_live(splice: &Splice) -> bool {
    !matches!(
        splice.state,
        Some(SpliceState::Tombstone | SpliceState::Opening)
    )
}

/// Writes a file beside the one meant and puts it in its place, so that there is always a whole one.
fn replace(file: &Path, text: &str) -> io::Result<()> {
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(name);
    let written = File::create(&beside).and_then(|mut out| {
        out.write_all(text.as_bytes())?;
        out.sync_all()
    });
    let result = written.and_then(|()| fs::rename(&beside, file));
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    result
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::format::tests::splice;
    use tcp_splice_netlink::SpliceFlags;

    /// What `save` writes of these.
    pub(crate) fn saved(splices: Vec<Splice>) -> String {
        text(splices).expect("it can be written")
    }

    #[test]
    fn what_ended_is_left_out() {
        let mut ended = splice(2);
        ended.state = Some(SpliceState::Tombstone);
        let mut limited = splice(4);
        limited.limit_to_server = Some(0);
        let mut returning = splice(5);
        returning.state = Some(SpliceState::Returning);
        let mut on_fin = splice(6);
        on_fin.flags = Some(SpliceFlags::RETURN_ON_FIN);
        let mut opening = splice(7);
        opening.state = Some(SpliceState::Opening);
        let text = saved(vec![
            splice(3),
            ended,
            opening,
            limited,
            splice(1),
            returning,
            on_fin,
        ]);
        let back: Vec<Splice> = serde_json::from_str(&text).expect("it can be read");
        assert_eq!(back, [splice(1), splice(3)]);
        assert_eq!(saved(vec![]), "[]\n");
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("splicectl-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the folder can be made");
        let file = folder.join("splices.json");
        replace(&file, "one").expect("it can be written");
        replace(&file, "two").expect("it can be written");
        assert_eq!(fs::read_to_string(&file).ok().as_deref(), Some("two"));
        assert!(replace(&folder, "x").is_err(), "a folder is not replaced");
        let names = fs::read_dir(&folder).expect("it is there").count();
        assert_eq!(names, 1, "nothing is left beside it");
        fs::remove_dir_all(&folder).expect("it can be removed");
    }
}
