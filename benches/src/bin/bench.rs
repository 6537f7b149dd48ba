//! The runner: `cargo xtask bench` builds and starts it.

use std::process::ExitCode;

fn main() -> ExitCode {
    millrun_benches::runner::main()
}
