//! The load: drives one server through one scenario, checks every byte that comes back, and counts what it cost.
//!
//! One thread on mio, which sleeps when there is nothing to do. It is made to be cheap, so that the server is what saturates: one
//! `recv` and one `send` for a batch of messages, nothing allocated while a window is measured, replies compared with bytes that
//! were made before. What is said on its standard input and output is [`crate::talk`]'s.
//!
//! ```text
//! load SCENARIO --port PORT --pid PID [--connections N] [--stalled N] [--size BYTES] [--depth N] [--beside PID] [--patience MILLISECONDS]
//!     [--certificate DIRECTORY]
//! ```
//!
//! `--connections`, `--stalled`, `--size` and `--depth` take the place of the scenario's own figures; `--beside` is a process whose
//! CPU time is not foreign either (a relay's backend); `--patience` is how long nothing may come before it gives up;
//! `--certificate` is where the certificate is that a server of TLS has to show ([`crate::tls`]).

mod arguments;
mod block;
mod churn;
mod crowd;
mod echoes;
mod fanout;
mod handshakes;
mod idle;
mod latency;
mod link;
mod meter;
mod process;
pub mod schedule;
mod secure;
mod session;
mod transfer;
mod wire;

use std::fmt;
use std::io;
use std::process::ExitCode;

pub use arguments::Arguments;

/// What was expected and what came: the load can't go on.
#[derive(Debug)]
struct Failure(String);

impl Failure {
    fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }

    /// An error of the operating system, and what it came from.
    fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Outcome<T = ()> = Result<T, Failure>;

/// The program's `main`.
#[must_use]
pub fn main() -> ExitCode {
    // Where it can't be asked for, the end of standard input is what ends it.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    match session::run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            session::say_failed(&failure);
            ExitCode::FAILURE
        }
    }
}
