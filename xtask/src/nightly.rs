//! The nightly compiler, which some checks need: is it there, with what they need beside it? Nothing is installed.

use std::process::Command;

use crate::commands::{answers, output_of};

/// What a check needs beside a nightly compiler.
#[derive(Clone, Copy)]
pub(crate) struct Tool {
    /// cargo's subcommand, which must answer to `--version`.
    subcommand: &'static str,
    install: &'static str,
}

pub(crate) const CARGO_FUZZ: Tool =
    Tool { subcommand: "fuzz", install: "cargo install --locked cargo-fuzz" };

/// Why a check that needs a nightly compiler is not made, and how it would be.
pub(crate) const INSTALL: &str = "there is no nightly compiler, install it with: rustup toolchain install nightly --profile minimal";

/// A cargo of the nightly toolchain, whichever runs us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]).args(arguments);
    // They would make it use the compiler that runs us.
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("RUSTC").env_remove("CARGO");
    command
}

/// There is a nightly toolchain.
pub(crate) fn is_there() -> bool {
    // No rustup is none either.
    output_of(Command::new("rustup").args(["toolchain", "list"])).is_ok_and(|list| is_in(&list))
}

/// An error that says what to install, unless all is there.
pub(crate) fn require(tools: &[Tool]) -> Result<(), String> {
    let nightly = is_there();
    let lacks = |tool: &&Tool| !answers(&mut cargo(&[tool.subcommand, "--version"]));
    let missing: Vec<&Tool> = tools.iter().filter(lacks).collect();
    advice(nightly, if nightly { &missing } else { &[] })
}

fn is_in(list: &str) -> bool {
    list.lines().any(|line| line.starts_with("nightly-") || line.starts_with("nightly "))
}

fn advice(nightly: bool, missing: &[&Tool]) -> Result<(), String> {
    let mut lines = Vec::new();
    if !nightly {
        lines.push(INSTALL.to_owned());
    }
    lines.extend(missing.iter().map(|tool| {
        format!("there is no cargo {}, install it with: {}", tool.subcommand, tool.install)
    }));
    if lines.is_empty() { Ok(()) } else { Err(lines.join("\n")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nightly_toolchain_is_found_by_its_name() {
        assert!(is_in(
            "stable-x86_64-unknown-linux-gnu (active)\nnightly-x86_64-unknown-linux-gnu\n"
        ));
        assert!(!is_in("stable-x86_64-unknown-linux-gnu (active)\nmy-nightly\n"));
        assert!(!is_in("no installed toolchains\n"));
    }

    #[test]
    fn what_is_missing_is_named_with_how_to_install_it() {
        assert_eq!(advice(true, &[]), Ok(()));
        let error = advice(false, &[]).unwrap_err();
        assert!(error.contains("rustup toolchain install nightly"), "{error}");
        let error = advice(true, &[&CARGO_FUZZ]).unwrap_err();
        assert!(error.contains("cargo install --locked cargo-fuzz"), "{error}");
    }
}
