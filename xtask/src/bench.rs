//! Measuring beside the peers: builds the runner, which does the rest, so that xtask itself stays quick to compile.

use std::process::Command;

use crate::commands::{cargo, succeed, target};

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    // As the servers are built: what they share is compiled once.
    succeed(&mut cargo("build --quiet --package millrun-benches --bin bench --profile gate"))?;
    // Where the user is, since that is where the paths among the arguments start; and with no limit of time: a whole run
    // takes what it takes, and bounds its own waits.
    let mut runner = Command::new(target().join("gate").join("bench"));
    let status = runner.args(arguments).status().map_err(|error| format!("bench: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("bench: {status}")) }
}
