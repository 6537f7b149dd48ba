//! Commands in, answers out.

use std::io::{self, BufRead as _, Write as _};

use super::arguments::Arguments;
use super::churn::Churn;
use super::echoes::Echoes;
use super::fanout::Fanout;
use super::handshakes::Handshakes;
use super::idle::Idle;
use super::transfer::{Direction, Transfer};
use super::{Failure, Outcome};
use crate::contract;
use crate::report::{Latency, Memory, Window};
use crate::scenario::Kind;
use crate::talk::{Answer, Command};

/// Descriptors that are not connections: standard ones, epoll's, those of files being read, and the readers that stall.
const OTHER_DESCRIPTORS: usize = 64;

/// Why a window at a rate can't be had of a scenario whose units follow from each other.
pub(super) const NO_RATE: &str = "expected measure without a rate: this scenario has no schedule";

/// What a scenario does with the commands.
pub(super) trait Drive {
    /// How many connections stay open.
    fn connections(&self) -> usize;

    /// The server's memory, where it is asked for.
    fn memory(&self) -> Option<Memory> {
        None
    }

    /// [`Command::Measure`].
    fn measure(&mut self, _nanos: u64, _rate: Option<u64>) -> Outcome<Measured> {
        Err(Failure::new("expected a transfer, got measure: this scenario has no windows"))
    }

    /// [`Command::Transfer`].
    fn transfer(&mut self, _bytes: u64) -> Outcome<Measured> {
        Err(Failure::new("expected measure, got a transfer: this scenario has no amount"))
    }
}

/// A window's result.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) window: Window,
    pub(super) latency: Option<Latency>,
    /// The 99th percentile of its middle slice.
    pub(super) tail: Option<u64>,
}

/// Connects, says that it is ready, and does as it is told until it is told to end.
pub(super) fn run(arguments: &Arguments) -> Outcome {
    let mut driver = prepare(arguments)?;
    let (connections, asked) = (driver.connections(), arguments.scenario.connections);
    if connections < asked {
        eprintln!("load: {connections} connections of {asked}: there are no more descriptors");
    }
    say(&Answer::Ready { connections, memory: driver.memory() })?;
    for line in io::stdin().lock().lines() {
        let line = line.map_err(Failure::io("standard input"))?;
        let command = serde_json::from_str(&line)
            .map_err(|error| Failure::new(format!("expected a command, got {line:?}: {error}")))?;
        let Measured { window, latency, tail } = match command {
            Command::Measure { millis, rate } => {
                driver.measure(millis.saturating_mul(1_000_000), rate)?
            }
            Command::Transfer { bytes } => driver.transfer(bytes)?,
            Command::End => break,
        };
        say(&Answer::Window { window, latency, tail })?;
    }
    Ok(())
}

/// The last answer of a load that can't go on.
pub(super) fn say_failed(failure: &Failure) {
    eprintln!("load: {failure}");
    // Nobody listens any more: the exit code says it too.
    let _ = say(&Answer::Failed { why: failure.to_string() });
}

fn prepare(arguments: &Arguments) -> Outcome<Box<dyn Drive>> {
    let descriptors = usize::try_from(contract::raise_descriptors()).unwrap_or(usize::MAX);
    let most = descriptors.saturating_sub(OTHER_DESCRIPTORS + stalled(arguments.scenario.kind));
    Ok(match arguments.scenario.kind {
        Kind::Echo | Kind::Lines | Kind::Relay | Kind::Mixed { .. } => {
            Box::new(Echoes::new(arguments, most)?)
        }
        Kind::Upload => Box::new(Transfer::new(arguments, Direction::Upload)?),
        Kind::Download => Box::new(Transfer::new(arguments, Direction::Download)?),
        Kind::Churn => Box::new(Churn::new(arguments)?),
        Kind::Handshakes { resumes } => Box::new(Handshakes::new(arguments, resumes)?),
        Kind::Fanout => Box::new(Fanout::new(arguments, most)?),
        Kind::Idle => Box::new(Idle::new(arguments, most)?),
    })
}

fn stalled(kind: Kind) -> usize {
    if let Kind::Mixed { stalled } = kind { stalled } else { 0 }
}

fn say(answer: &Answer) -> Outcome {
    let write = || {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", serde_json::to_string(answer)?)?;
        out.flush()
    };
    write().map_err(Failure::io("standard output"))
}
