// SPDX-License-Identifier: GPL-2.0

//! What the fuzzer has found worth keeping, once more; without a fuzzer.

use std::path::Path;

#[test]
fn corpus() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let mut count = 0;
    for file in std::fs::read_dir(dir).expect("the corpus") {
        let path = file.expect("a file").path();
        let data = std::fs::read(&path).expect("its bytes");
        println!("{}", path.display());
        fuzz::packet(&data);
        // Cut short, and with a byte that is another.
        for at in 0..data.len() {
            fuzz::packet(&data[..at]);
            let mut other = data.clone();
            other[at] = other[at].wrapping_add(1);
            fuzz::packet(&other);
        }
        count += 1;
    }
    assert!(count >= 20, "the corpus is there");
}
