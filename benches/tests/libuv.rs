//! Does the libuv server keep the contract? Where there is no libuv, nobody can tell.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[macro_use]
mod common;

use std::path::Path;
use std::sync::LazyLock;

use millrun_benches::check::Program;
use millrun_benches::peer::{self, Made};
use millrun_benches::runner::native;

/// Compiled once for all tests.
static SERVER: LazyLock<Result<Program, String>> = LazyLock::new(|| {
    let Some(Made::C { source, libraries }) = peer::named("libuv").map(|peer| peer.made) else {
        return Err("it is not in the table of peers".to_owned());
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(source);
    let into = Path::new(env!("CARGO_TARGET_TMPDIR")).join("benches");
    native::build(&source, libraries, &into).map(|launch| Program::new(launch.program))
});

check_or_skip!(SERVER.clone());
