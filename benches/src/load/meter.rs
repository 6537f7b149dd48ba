//! A window's figures, exact: both ends are read while the server sleeps and nothing is in flight.

use std::time::Instant;

use super::arguments::Arguments;
use super::process::{self, Process};
use super::{Failure, Outcome};
use crate::report::Window;

/// The processes whose CPU time is read.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) server: Process,
    beside: Option<Process>,
}

/// What was so far when a window began.
#[derive(Debug)]
pub(super) struct Meter {
    server: u64,
    beside: u64,
    machine: u64,
    own: u64,
    start: Instant,
}

impl Watched {
    pub(super) fn new(arguments: &Arguments) -> Self {
        let process = |pid| Process::new(pid, arguments.patience);
        Self { server: process(arguments.pid), beside: arguments.beside.map(process) }
    }

    /// Waits until the server sleeps, and begins a window.
    pub(super) fn start(&mut self) -> Outcome<Meter> {
        Ok(Meter {
            server: self.server.rest()?,
            beside: self.beside_cpu_ns()?,
            machine: process::machine_cpu_ns()?,
            own: process::own_cpu_ns(),
            start: Instant::now(),
        })
    }

    /// The last reply has come: waits until the server sleeps, and ends the window.
    pub(super) fn end(&mut self, meter: &Meter, units: u64, bytes: u64) -> Outcome<Window> {
        let wall = meter.start.elapsed();
        let load_cpu_ns = process::own_cpu_ns() - meter.own;
        let server_cpu_ns = self.server.rest()? - meter.server;
        let beside = self.beside_cpu_ns()? - meter.beside;
        let machine = process::machine_cpu_ns()? - meter.machine;
        let ours = server_cpu_ns + beside + (process::own_cpu_ns() - meter.own);
        let wall_ns = u64::try_from(wall.as_nanos())
            .map_err(|_| Failure::new("a window of more than 500 years"))?;
        let foreign_cpu_ns = machine.saturating_sub(ours);
        Ok(Window { units, bytes, wall_ns, server_cpu_ns, load_cpu_ns, foreign_cpu_ns })
    }

    fn beside_cpu_ns(&mut self) -> Outcome<u64> {
        self.beside.as_mut().map_or(Ok(0), Process::cpu_ns)
    }
}
