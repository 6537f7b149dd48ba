//! What must hold before a change lands, in the order in which it is cheap to learn.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::commands::{cargo, each, scratch, succeed, succeed_within};
use crate::metadata::{Package, packages};
use crate::steps::Steps;
use crate::{bench, gate, layers, loom, peers, sim, test, tidy, torture};

/// The examples end by themselves, the slowest in a few seconds.
const LONGEST_EXAMPLE: Duration = Duration::from_secs(60);
/// The tour's small file: some times what both sides may buffer, so that it pauses and resumes.
const TOUR_BYTES: usize = 3 << 20;
const TOUR: &str = "tour";

pub(crate) fn run() -> Result<(), String> {
    let packages = packages()?;
    let alone: Vec<String> =
        packages.iter().filter(|package| package.published).flat_map(test::alone).collect();
    let examples: Vec<&Package> = packages.iter().filter(|p| !p.examples.is_empty()).collect();
    let mut steps = Steps::new("ci", "steps", 16);
    steps.step("format", || succeed(&mut cargo("fmt --all --check")));
    steps.step("layers", layers::run);
    steps.step("tidy", tidy::run);
    steps.step("deny: licences, bans, sources", || {
        // Advisories are left out: they need a network, and would fail an unchanged commit.
        succeed(&mut cargo("deny check licenses bans sources"))?;
        // What is measured beside us is not ours to keep lean: benches/deny.toml, which is nearer, has its rules.
        let rules = "check licenses bans sources";
        succeed(&mut cargo(&format!("deny --manifest-path benches/Cargo.toml {rules}")))
    });
    steps.step("clippy", || {
        let strict = "--workspace --all-targets --all-features --locked -- --deny warnings";
        succeed(&mut cargo(&format!("clippy {strict}")))
    });
    // Its tests too: cargo unifies features within a build, so the workspace never compiles a crate as its users do.
    steps.step("clippy, each crate alone, with its default and with no features", || {
        each(&alone, |which| {
            succeed(&mut cargo(&format!("clippy {which} --all-targets -- --deny warnings")))
        })
    });
    steps.step("documentation", || {
        let mut command = cargo("doc --workspace --no-deps --all-features");
        succeed(command.env("RUSTDOCFLAGS", "--deny warnings"))
    });
    steps.step("tests", || test::run(&[]));
    steps.step("simulation: a short sweep", sim::short_sweep);
    steps.step("loom", loom::run);
    steps.step("torture: each call fails, and some pairs", torture::short);
    steps.step("examples", || each(&examples, |package| run_examples(package)));
    steps.step("other programs as peers", || peers::run(&[]));
    steps.step("gate", || gate::run(&[]));
    steps.step("bench: a short run", bench::short_run);
    steps.step("package", package);
    steps.finish()
}

/// Runs each example of a package; the tour in release, on a small file.
fn run_examples(package: &Package) -> Result<(), String> {
    let of = format!("--package {}", package.name);
    succeed(&mut cargo(&format!("build {of} --examples")))?;
    // It has a step of its own.
    let examples = package.examples.iter().filter(|name| *name != torture::EXAMPLE);
    let (tour, small): (Vec<_>, Vec<_>) = examples.partition(|name| *name == TOUR);
    let small = each(small, |example| {
        let mut command = cargo(&format!("run --quiet {of} --example {example}"));
        succeed_within(&mut command, LONGEST_EXAMPLE)
    });
    each([small, each(tour, |_| run_tour(&of))], |result| result)
}

fn run_tour(of: &str) -> Result<(), String> {
    let file = scratch("tour-small-file")?;
    let bytes: Vec<u8> = (0..TOUR_BYTES).map(|index| (index * 31 % 251) as u8).collect();
    fs::write(&file, bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    succeed(&mut cargo(&format!("build --release {of} --example {TOUR}")))?;
    let mut command = cargo(&format!("run --release --quiet {of} --example {TOUR} --"));
    succeed_within(command.arg(&file), LONGEST_EXAMPLE)
}

/// Packs the published crates and builds each from what was packed.
fn package() -> Result<(), String> {
    // Cargo unpacks them to a place that it names after the target directory and the version, and trusts what it finds
    // there: in the usual directory a second run would build the crates of the first one.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    let directory = scratch(&format!("package-{}", now.as_nanos()))?;
    let mut command = cargo("publish --workspace --dry-run --locked --allow-dirty --target-dir");
    let result = succeed(command.arg(&directory));
    // What can't be removed is in the way of nobody.
    let _ = fs::remove_dir_all(&directory);
    result
}
