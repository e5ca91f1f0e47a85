// SPDX-License-Identifier: GPL-2.0

//! The program: files, words and exit statuses.

use serde_json::Value;
use std::fs;
use std::process::{Command, Output};

fn splicesim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_splicesim"))
        .args(args)
        .output()
        .unwrap()
}

fn stdout(args: &[&str]) -> String {
    let output = splicesim(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&stdout(args)).unwrap()
}

/// The exit status, and the line on standard error.
fn refused(args: &[&str]) -> (Option<i32>, String) {
    let output = splicesim(args);
    assert_eq!(output.stdout, b"", "{output:?}");
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

#[test]
fn curves_are_files_and_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a/b");
    let out = out.to_str().unwrap();
    let less = [
        "--megabytes",
        "1",
        "--max-proxies",
        "2",
        "--from-mbps",
        "100",
        "--to-mbps",
        "300",
        "--step-mbps",
        "100",
    ];
    let with = |more: &[&str]| stdout(&[&["curves", "--out", out], &less[..], more].concat());
    let table = with(&[]);
    // A head, and two numbers of proxies for each of four figures.
    assert_eq!(table.lines().count(), 1 + 2 * 4);
    let mut names: Vec<_> = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let all = ["colocated", "separate", "split-25us", "split-2us"];
    assert_eq!(
        names,
        all.iter()
            .flat_map(|name| [format!("{name}.csv"), format!("{name}.svg")])
            .collect::<Vec<_>>()
    );
    let read = |name: &str| fs::read_to_string(format!("{out}/{name}")).unwrap();
    let csv = read("separate.csv");
    assert_eq!(csv.lines().count(), 1 + 2 * 3);
    assert!(csv.starts_with("proxies,offered_mbps,throughput_mbps,bound_mbps,"));
    assert!(
        csv.lines().nth(1).unwrap().starts_with("1,100,")
            && csv.lines().nth(6).unwrap().starts_with("2,300,")
    );
    let svg = read("separate.svg");
    assert!(svg.contains("2 proxies") && svg.contains("offered load, Mbit/s"));
    // The same again; and with other costs one figure less, of other names.
    with(&[]);
    assert_eq!((read("separate.csv"), read("separate.svg")), (csv, svg));
    let table = with(&["--cost-us", "5"]);
    assert_eq!(table.lines().count(), 1 + 2 * 3);
    assert!(read("split.svg").contains("5 us a packet"));
}

#[test]
fn a_run_takes_measured_costs() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "data_us = 50\nack_us = 0\n").unwrap();
    let file = file.path().to_str().unwrap();
    let args = [
        "run",
        "--offered-mbps",
        "900",
        "--megabytes",
        "5",
        "--costs",
        file,
    ];
    let run = json(&[&args[..], &["-j"]].concat());
    let throughput = run["outcome"]["throughput"].as_f64().unwrap();
    assert!(
        throughput <= 233.6e6 && throughput > 233.6e6 * 0.99,
        "{throughput}"
    );
    assert_eq!(run["scene"]["costs"]["setup_us"], 500.0);
    // An option goes before the file.
    let run = json(&[&args[..], &["-j", "--cost-us", "25"]].concat());
    assert_eq!(run["scene"]["costs"]["data_us"], 25.0);
    assert!(stdout(&args).contains("throughput         233."));
}

#[test]
fn a_size_is_found_and_simulated() {
    let args = [
        "size",
        "--connections",
        "2000",
        "--each-mbps",
        "5",
        "--cost-us",
        "5",
        "--kill",
        "1@10s",
        "--mtbf",
        "10d",
    ];
    let size = json(&[&args[..], &["-j"]].concat());
    // 10 Gbit/s on links of 1, 70 %: 15. Packets and setup are less.
    assert_eq!(
        (size["needed"].as_u64(), size["advised"].as_u64()),
        (Some(15), Some(16))
    );
    assert_eq!(size["farm"]["proxies"], 16);
    assert_eq!(
        (
            size["outcome"]["deaths"].as_u64(),
            size["outcome"]["lost_committed"].as_u64()
        ),
        (Some(1), Some(0))
    );
    assert!(size["availability"]["deaths"].as_u64().unwrap() > 400);
    let text = stdout(&args);
    assert!(
        text.contains("15 no busier than 70 %, 16 with 1 spare"),
        "{text}"
    );
    assert_eq!(text, stdout(&args));
}

#[test]
fn what_makes_no_sense_is_refused_in_a_line() {
    let line = |args: &[&str], status, words: &str| {
        let (code, text) = refused(args);
        assert_eq!(code, Some(status), "{text}");
        assert!(text.contains(words), "{text}");
    };
    line(
        &["run", "--proxies", "0"],
        2,
        "splicesim: the number of proxies has to be from 1 to 10000\n",
    );
    line(
        &["run", "--fail", "3@1s"],
        2,
        "splicesim: proxy 3 fails, and there are 1, counted from 0\n",
    );
    line(&["run", "--fail", "3"], 2, "expected PROXY@TIME");
    line(
        &["run", "--costs", "/nowhere/x.toml"],
        1,
        "splicesim: /nowhere/x.toml: No such file",
    );
    line(
        &["curves", "--out", "x", "--step-mbps", "0"],
        2,
        "--step-mbps",
    );
    line(
        &["curves", "--out", "x", "--max-proxies", "0"],
        2,
        "--max-proxies",
    );
    line(&["size"], 2, "--connections");
    line(
        &["size", "--connections", "5", "--kill", "1"],
        2,
        "expected COUNT@TIME",
    );
    line(
        &[
            "size",
            "--connections",
            "5",
            "--proxies",
            "2",
            "--replicas",
            "2",
        ],
        2,
        "more than 2 proxies",
    );
    line(
        &[
            "size",
            "--connections",
            "5",
            "--dispatch",
            "rr",
            "--replicas",
            "2",
        ],
        2,
        "--replicas is for --dispatch hash",
    );
    line(
        &[
            "size",
            "--connections",
            "1000000",
            "--dispatch",
            "rr",
            "--megabytes",
            "0.1",
        ],
        1,
        "no number of proxies is enough",
    );
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "data_ms = 1\n").unwrap();
    line(
        &["run", "--costs", file.path().to_str().unwrap()],
        1,
        "unknown field `data_ms`",
    );
}

#[test]
fn pages_and_completions() {
    assert!(stdout(&["man"]).contains(".TH splicesim 1"));
    assert!(stdout(&["completions", "bash"]).contains("complete -F _splicesim"));
    let folder = tempfile::tempdir().unwrap();
    stdout(&["man", folder.path().to_str().unwrap()]);
    assert!(folder.path().join("splicesim-size.1").is_file());
}
