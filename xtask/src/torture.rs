//! The torture of `crates/testbed`, built for release: each call of the operating system fails, in each way.

use std::process::Command;
use std::time::Duration;

use crate::commands::{cargo, succeed, succeed_within, target};

/// The program is an example of its crate, since its scenarios need the layers above.
pub(crate) const EXAMPLE: &str = "torture";

/// What the part in a CI run may take: it needs some seconds.
const LONGEST_SHORT: Duration = Duration::from_secs(60);

/// Millions of pairs take what they take.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `cargo xtask torture`: the options are the program's own.
pub(crate) fn run(options: &[String]) -> Result<(), String> {
    build()?;
    succeed_within(program().args(options), LONGEST)
}

/// Every single fault; pairs of them, always the same; and calls that fail more than once.
pub(crate) fn short() -> Result<(), String> {
    build()?;
    for options in ["", "--pairs 2000", "--times 3"] {
        succeed_within(program().args(options.split_whitespace()), LONGEST_SHORT)?;
    }
    Ok(())
}

fn build() -> Result<(), String> {
    let which = format!("--package millrun-testbed --example {EXAMPLE}");
    succeed(&mut cargo(&format!("build --release --quiet {which}")))
}

fn program() -> Command {
    Command::new(target().join("release/examples").join(EXAMPLE))
}
