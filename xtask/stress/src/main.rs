//! A server in one process and its clients in others, on real sockets: thousands at once, hundreds of thousands one after
//! the other, killed, starved of descriptors, slow. What was sent must be what came, and in the end the server must be as it was.
//!
//! ```text
//! stress [--minutes M]            the director: starts the others, and says what became of it
//! stress serve                    prints `listening PORT`; ends with its standard input
//! stress client JOB PORT SEED …   prints `ready`, `at N`, `end FINISHED FAILED`; see `client.rs`
//! ```

mod client;
mod control;
mod crew;
mod director;
mod limits;
mod pattern;
mod process;
mod server;

use std::alloc::System;
use std::error::Error;
use std::process::ExitCode;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// The server tells how much it has: resident memory alone can't be told from what the allocator keeps.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["serve"] => server::run(),
        ["client", job @ ..] => client::run(job),
        options => director::run(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("stress {}: {error}", arguments.join(" "));
            ExitCode::FAILURE
        }
    }
}
