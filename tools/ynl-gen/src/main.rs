// SPDX-License-Identifier: GPL-2.0

//! Writes what both sides of a generic netlink family need, from its YAML specification.
//!
//! Run from the top of the tree. Without `--check` the outputs are written; with it they are
//! compared with what is there. Exits with 1 when they differ, or when the specification is refused.

mod kernel;
mod model;
mod reference;
mod spec;
#[cfg(test)]
mod tests;
mod text;
mod uapi;
mod user;

use clap::Parser;
use model::Family;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// How to make the outputs again, as their headers say it.
const REGENERATE: &str = "cargo run --manifest-path tools/Cargo.toml -p ynl-gen";

/// Generates the kernel side, the user side, the C header and the reference page of a family.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    /// Compare instead of writing; exit with 1 and name the first line that differs.
    #[arg(long)]
    check: bool,
    /// The specification.
    #[arg(long, default_value = "Documentation/netlink/specs/tcp_splice.yaml")]
    spec: PathBuf,
    /// Kernel side, in Rust.
    #[arg(long, default_value = "rust/netlink_gen.rs")]
    kernel: PathBuf,
    /// User side, in Rust.
    #[arg(long, default_value = "tools/tcp_splice-netlink/src/gen.rs")]
    user: PathBuf,
    /// C header.
    #[arg(long, default_value = "Documentation/netlink/tcp_splice.h")]
    uapi: PathBuf,
    /// Reference page, in Markdown.
    #[arg(long, default_value = "Documentation/netlink/tcp_splice.md")]
    reference: PathBuf,
}

/// One output.
struct Output<'a> {
    path: &'a Path,
    text: String,
}

const GPL: &str = "GPL-2.0";
/// Of a header that any program may include, as the kernel's own are.
const UAPI: &str = "GPL-2.0 WITH Linux-syscall-note";

/// What stands at the head of each output, by how its language writes comments.
fn header(spec: &Path, license: &str, line: impl Fn(&str) -> String) -> String {
    let lines = [
        &format!("SPDX-License-Identifier: {license}"),
        "Do not edit directly, auto-generated from:",
        &format!("\t{}", spec.display()),
        &format!("To regenerate run, from the top of the tree: {REGENERATE}"),
    ];
    lines
        .iter()
        .map(|text| line(text) + "\n")
        .collect::<String>()
        + "\n"
}

fn rust_comment(text: &str) -> String {
    match text.strip_prefix('\t') {
        Some(path) => format!("//\t{path}"),
        None => format!("// {text}"),
    }
}

fn c_comment(text: &str) -> String {
    match text.strip_prefix('\t') {
        Some(path) => format!("/*\t{path} */"),
        None => format!("/* {text} */"),
    }
}

fn markdown_comment(text: &str) -> String {
    format!("<!-- {} -->", text.trim())
}

/// The text as rustfmt leaves it.
fn rustfmt(edition: &str, text: &str) -> io::Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", edition, "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| io::Error::new(e.kind(), format!("rustfmt: {e}")))?;
    // rustfmt reads all of its input before it writes, so this cannot block.
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(io::Error::other("rustfmt refused the generated source"));
    }
    String::from_utf8(output.stdout).map_err(io::Error::other)
}

/// The number of the first line in which the texts differ.
fn first_difference(old: &str, new: &str) -> Option<usize> {
    if old == new {
        return None;
    }
    let mut old_lines = old.split_inclusive('\n');
    let mut new_lines = new.split_inclusive('\n');
    let mut line = 1;
    while old_lines.next() == new_lines.next() {
        line += 1;
    }
    Some(line)
}

fn outputs(args: &Args) -> Result<Vec<Output<'_>>, String> {
    let yaml =
        std::fs::read_to_string(&args.spec).map_err(|e| format!("{}: {e}", args.spec.display()))?;
    let family = Family::parse(&yaml).map_err(|e| format!("{}: {e}", args.spec.display()))?;
    let rust = |edition, body: String| {
        let text = header(&args.spec, GPL, rust_comment) + &body;
        rustfmt(edition, &text).map_err(|e| e.to_string())
    };
    Ok(vec![
        Output {
            path: &args.kernel,
            text: rust("2021", kernel::write(&family))?,
        },
        Output {
            path: &args.user,
            text: rust("2024", user::write(&family))?,
        },
        Output {
            path: &args.uapi,
            text: header(&args.spec, UAPI, c_comment) + &uapi::write(&family),
        },
        Output {
            path: &args.reference,
            text: header(&args.spec, GPL, markdown_comment) + &reference::write(&family),
        },
    ])
}

fn run(args: &Args) -> Result<bool, String> {
    let mut same = true;
    for Output { path, text } in outputs(args)? {
        if args.check {
            let old = std::fs::read_to_string(path).unwrap_or_default();
            if let Some(line) = first_difference(&old, &text) {
                eprintln!(
                    "{}:{line}: differs from what {} says; run: {REGENERATE}",
                    path.display(),
                    args.spec.display()
                );
                same = false;
            }
        } else {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)
                    .map_err(|e| format!("{}: {e}", folder.display()))?;
            }
            std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
    }
    Ok(same)
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("ynl-gen: {e}");
            ExitCode::FAILURE
        }
    }
}
