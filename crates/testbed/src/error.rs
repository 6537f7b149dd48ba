//! How did a world end? [`Report`], or [`WorldError`].

use std::fmt;

use millrun_loop::{EventLoop, RunError};
use millrun_selector::Time;

use crate::host::HostState;

/// What was left when a world had ended well.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The seed of the run.
    pub seed: u64,
    /// When the last main future had ended.
    pub ended_at: Time,
    /// What each host had at the end, in the order in which they were made.
    pub hosts: Vec<HostReport>,
}

/// What one host has.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HostReport {
    /// Its name.
    pub name: String,
    /// Whether it is in the background.
    pub is_background: bool,
    /// Whether its main future has ended.
    pub is_done: bool,
    /// Tasks that live, its main future's own among them while that is not done.
    pub tasks: usize,
    /// Timers that are armed.
    pub timers: usize,
    /// Sources that are registered.
    pub registrations: usize,
    /// Sockets and listeners that are open.
    pub sockets: usize,
    /// Who waits for what: a line for each task, registration and timer.
    pub waiting: Vec<String>,
}

impl HostReport {
    /// Nothing is there.
    pub const fn is_empty(&self) -> bool {
        self.tasks == 0 && self.timers == 0 && self.registrations == 0 && self.sockets == 0
    }

    pub(crate) fn of(host: &HostState, event_loop: Option<&EventLoop>) -> HostReport {
        let mut waiting = Vec::new();
        let mut report = HostReport {
            name: host.name.to_string(),
            is_background: host.background.get(),
            is_done: host.is_done(),
            tasks: 0,
            timers: 0,
            registrations: host.sim.registrations(),
            sockets: host.sim.open_sockets(),
            waiting: Vec::new(),
        };
        if let Some(event_loop) = event_loop {
            let handle = event_loop.handle();
            let metrics = handle.metrics();
            (report.tasks, report.timers) = (metrics.tasks, metrics.timers);
            for task in handle.tasks() {
                let over = if task.is_finished { ", over, waits to be joined" } else { "" };
                waiting.push(format!("task spawned at {}{over}: {}", task.spawned_at, task.name));
            }
            if let Some(next) = event_loop.next_deadline() {
                waiting.push(format!("timers: {}, the next at {next}", metrics.timers));
            }
        } else {
            waiting.push("it has no loop: its main future is gone".to_owned());
        }
        waiting.extend(host.sim.waiting());
        report.waiting = waiting;
        report
    }
}

impl fmt::Display for HostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match (self.is_done, self.is_background) {
            (true, _) => "is done",
            (false, true) => "runs, in the background",
            (false, false) => "waits",
        };
        let HostReport { name, tasks, timers, registrations, sockets, .. } = self;
        write!(f, "host {name} {state}: tasks {tasks}, timers {timers}, ")?;
        write!(f, "registrations {registrations}, sockets {sockets}")?;
        for line in &self.waiting {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// Why a world did not end well. Its text, and its `Debug` text too, has the seed and the last events of the log.
#[non_exhaustive]
pub struct WorldError {
    /// The seed of the run.
    pub seed: u64,
    /// When it was, on the virtual clock.
    pub at: Time,
    /// What happened.
    pub kind: WorldErrorKind,
    /// The state of each host.
    pub hosts: Vec<HostReport>,
    /// The last events before, a line each.
    pub events: String,
}

/// What can happen to a world.
#[derive(Debug)]
#[non_exhaustive]
pub enum WorldErrorKind {
    /// Nothing is on its way and no timer is armed, and a host is not done.
    Deadlock,
    /// The main future of a host gave an error.
    Failed {
        /// The host.
        host: String,
        /// The error's text, with what caused it.
        error: String,
    },
    /// Something on a host panicked: its main future, another task, or a callback.
    Panicked {
        /// The host.
        host: String,
        /// What the exception handler was told, or the panic's text.
        what: String,
    },
    /// The virtual clock has reached [`World::set_time_limit`](crate::World::set_time_limit).
    TimeLimit,
    /// The clock stood still for too long: some host always has something to do.
    Livelock {
        /// Who had, in the end.
        host: String,
    },
    /// A loop can't go on.
    Loop {
        /// The host.
        host: String,
        /// Why.
        error: RunError,
    },
    /// A host that is done, and is not in the background, left something behind; or, when all loops were
    /// closed, a socket or a registration was still there.
    Leaked {
        /// The host.
        host: String,
    },
}

impl fmt::Display for WorldErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WorldErrorKind::Deadlock => f.write_str("deadlock: nothing can happen any more"),
            WorldErrorKind::Failed { host, error } => write!(f, "host {host} failed: {error}"),
            WorldErrorKind::Panicked { host, what } => write!(f, "host {host} panicked: {what}"),
            WorldErrorKind::TimeLimit => f.write_str("the time limit is over"),
            WorldErrorKind::Livelock { host } => {
                write!(f, "livelock: the clock stands still, since host {host} is never idle")
            }
            WorldErrorKind::Loop { host, error } => {
                write!(f, "the loop of host {host} can't go on: {error}")
            }
            WorldErrorKind::Leaked { host } => write!(f, "host {host} left something behind"),
        }
    }
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}, at {}: {}", self.seed, self.at, self.kind)?;
        for host in &self.hosts {
            write!(f, "\n  {host}")?;
        }
        if !self.events.is_empty() {
            write!(f, "\nthe last events:\n{}", self.events.trim_end())?;
        }
        Ok(())
    }
}

/// As its text: `unwrap` shows it.
impl fmt::Debug for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for WorldError {}
