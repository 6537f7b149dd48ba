//! The stress of `xtask/stress`, built for release: crowds of clients against a server, on real sockets.

use std::time::Duration;

use crate::commands::{cargo, succeed, succeed_within, target};

/// What is asked for in minutes ends within some more; a day is no stress, but a hang.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `cargo xtask stress`: the options are the program's own.
pub(crate) fn run(options: &[String]) -> Result<(), String> {
    succeed(&mut cargo("build --release --quiet --package millrun-stress"))?;
    let mut command = std::process::Command::new(target().join("release/stress"));
    succeed_within(command.args(options), LONGEST)
}
