//! The tests under AddressSanitizer, with its checker of leaks: is memory used that is not there, and is any never freed?
//!
//! Needs a nightly compiler, and is skipped with a message where there is none. The standard library is instrumented too
//! where its source is installed.

use std::path::Path;
use std::process::Command;

use crate::commands::{output_of, root, succeed, target};
use crate::metadata::packages;
use crate::nightly;
use crate::steps::Steps;
use crate::test;

/// `cargo xtask asan`: every published crate's tests, or those of these crates.
pub(crate) fn run(names: &[String]) -> Result<(), String> {
    if !nightly::is_there() {
        println!("asan: skipped: {}", nightly::INSTALL);
        return Ok(());
    }
    let packages = packages()?;
    let chosen = test::chosen(&packages, names)?;
    let machine = Machine::find()?;
    let mut steps = Steps::new("asan", "crates", chosen.len());
    for package in chosen {
        steps.step(&package.name, || succeed(&mut machine.command(&package.name)));
    }
    steps.finish()
}

/// What the nightly toolchain is for, and has.
struct Machine {
    /// The target must be named: build scripts and macros must not be instrumented.
    host: String,
    std_source: bool,
}

impl Machine {
    fn find() -> Result<Machine, String> {
        let rustc = |arguments: &[&str]| {
            output_of(Command::new("rustup").args(["run", "nightly", "rustc"]).args(arguments))
        };
        let host = host(&rustc(&["-vV"])?)?;
        let sysroot = rustc(&["--print", "sysroot"])?;
        let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/std");
        Ok(Machine { host, std_source: source.exists() })
    }

    fn command(&self, package: &str) -> Command {
        let mut command = nightly::cargo(&["test", "--no-fail-fast", "--lib", "--tests"]);
        command.args(["--package", package, "--target", &self.host]).current_dir(root());
        if self.std_source {
            command.arg("-Zbuild-std");
        }
        let leaks = root().join("xtask/asan/leaks.txt");
        command
            .env("RUSTFLAGS", "-Zsanitizer=address")
            .env("CARGO_TARGET_DIR", target().join("asan"))
            .env("ASAN_OPTIONS", "detect_leaks=1:detect_stack_use_after_return=1")
            .env("LSAN_OPTIONS", format!("suppressions={}:print_suppressions=0", leaks.display()));
        command
    }
}

/// The line `host: …` of `rustc -vV`.
fn host(version: &str) -> Result<String, String> {
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| format!("no host in:\n{version}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(command: &Command) -> String {
        let words: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn the_host_is_what_the_compiler_says() {
        let version = "rustc 1.97.0-nightly\nbinary: rustc\nhost: a-b-c\nrelease: 1\n";
        assert_eq!(host(version), Ok("a-b-c".to_owned()));
        assert!(host("rustc 1.97.0").is_err());
    }

    #[test]
    fn the_target_is_named_and_std_is_built_where_its_source_is() {
        let machine = |std_source| Machine { host: "a-b-c".to_owned(), std_source };
        let with = words(&machine(true).command("millrun-loop"));
        assert!(with.contains("--package millrun-loop --target a-b-c -Zbuild-std"), "{with}");
        assert!(!words(&machine(false).command("millrun-loop")).contains("build-std"));
    }

    /// The checker takes a file that is not there for one without a line.
    #[test]
    fn what_may_leak_is_where_the_checker_looks_and_says_why() {
        let text = std::fs::read_to_string(root().join("xtask/asan/leaks.txt")).unwrap();
        let mut before = "";
        for line in text.lines() {
            assert!(
                !line.starts_with("leak:") || before.starts_with('#'),
                "without a reason: {line}"
            );
            before = line;
        }
        assert!(text.contains("leak:"));
    }
}
