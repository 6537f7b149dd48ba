//! The load generator: see [`millrun_benches::load`].

use std::process::ExitCode;

fn main() -> ExitCode {
    millrun_benches::load::main()
}
