//! The sweep of `xtask/sweep`, built for release: the whole stack under thousands of seeds.

use std::time::Duration;

use crate::commands::{cargo, succeed, succeed_within, target};

/// What the sweep of a CI run may take: it needs a few seconds.
const LONGEST_SHORT_SWEEP: Duration = Duration::from_secs(120);

/// A sweep that is asked for may take what it takes.
const LONGEST_SWEEP: Duration = Duration::from_secs(24 * 3600);

/// `cargo xtask sim`: the options are the sweep's own.
pub(crate) fn run(options: &[String]) -> Result<(), String> {
    sweep(options, LONGEST_SWEEP)
}

/// Some seeds of each scenario, always the same.
pub(crate) fn short_sweep() -> Result<(), String> {
    let chosen = ["--scenario", "idle", "--seeds", "2"].map(str::to_owned);
    sweep(&chosen, LONGEST_SHORT_SWEEP)?;
    let lively = ["mixed", "relay", "chat", "shutdown", "partition"];
    let mut options: Vec<String> =
        lively.iter().flat_map(|name| ["--scenario".to_owned(), (*name).to_owned()]).collect();
    options.extend(["--seeds", "400"].map(str::to_owned));
    sweep(&options, LONGEST_SHORT_SWEEP)
}

fn sweep(options: &[String], longest: Duration) -> Result<(), String> {
    succeed(&mut cargo("build --release --quiet --package millrun-sweep"))?;
    let mut command = std::process::Command::new(target().join("release/sweep"));
    succeed_within(command.args(options), longest)
}
