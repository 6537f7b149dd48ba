//! Does the stack hold under thousands of seeds? Each is a world of hosts: who talks to whom, what goes wrong and when,
//! is drawn from the seed. A seed that fails is printed with the command that runs it again.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a check of a scenario fails by panicking"
)]

mod arguments;
mod callbacks;
mod chat;
mod idle;
mod ledger;
mod mixed;
mod partition;
mod pattern;
mod relay;
mod scenario;
mod shutdown;
mod streams;
mod sweep;

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|word| word == "--help" || word == "-h") {
        println!("{}", arguments::HELP);
        return ExitCode::SUCCESS;
    }
    match arguments::parse(&arguments).and_then(sweep::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}
