//! What has the loop done so far? [`Metrics`].

use std::cell::Cell;
use std::time::Duration;

use crate::state::Core;

/// Counts of a loop since it was made, and its present size.
///
/// Times are measured only in debug mode or after [`Builder::measure`](crate::Builder::measure): reading the clock
/// costs about as much as running a callback.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Metrics {
    /// Turns: one look at the selector each.
    pub turns: u64,
    /// Turns that were ready to wait (for ever or until a timer), rather than only to look.
    pub waits: u64,
    /// Rounds of callbacks; asyncio's iterations (D-16).
    pub rounds: u64,
    /// What ran in those rounds: callbacks, events, polls of tasks.
    pub callbacks: u64,
    /// Readiness events of watched sources.
    pub io_events: u64,
    /// Polls of tasks.
    pub polls: u64,
    /// Timers that fired.
    pub timers_fired: u64,
    /// Callbacks and wake-ups from other threads.
    pub remote_items: u64,
    /// Tasks spawned.
    pub spawned: u64,
    /// Failures given to the exception handler.
    pub reports: u64,
    /// Tasks that live now.
    pub tasks: usize,
    /// Timers that are armed now.
    pub timers: usize,
    /// Sources that are watched now.
    pub watches: usize,
    /// Entries that wait for the next round.
    pub ready: usize,
    /// Time spent in the selector; zero unless measured.
    pub select_time: Duration,
    /// The longest that one callback, event or poll took; zero unless measured.
    pub longest_callback: Duration,
}

/// The running counts behind [`Metrics`].
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) turns: Cell<u64>,
    pub(crate) rounds: Cell<u64>,
    pub(crate) waits: Cell<u64>,
    /// Of the ready queue.
    pub(crate) entries: Cell<u64>,
    /// Those that were events, since they stood before a timer.
    pub(crate) queued_events: Cell<u64>,
    /// Events that were run where they are.
    pub(crate) events: Cell<u64>,
    pub(crate) polls: Cell<u64>,
    pub(crate) timers_fired: Cell<u64>,
    pub(crate) remote_items: Cell<u64>,
    pub(crate) spawned: Cell<u64>,
    pub(crate) reports: Cell<u64>,
    pub(crate) select_time: Cell<Duration>,
    pub(crate) longest_callback: Cell<Duration>,
}

impl Core {
    pub(crate) fn metrics(&self) -> Metrics {
        let c = &self.counts;
        Metrics {
            turns: c.turns.get(),
            waits: c.waits.get(),
            rounds: c.rounds.get(),
            callbacks: c.entries.get().wrapping_add(c.events.get()),
            io_events: c.queued_events.get().wrapping_add(c.events.get()),
            polls: c.polls.get(),
            timers_fired: c.timers_fired.get(),
            remote_items: c.remote_items.get(),
            spawned: c.spawned.get(),
            reports: c.reports.get(),
            tasks: self.tasks.borrow().live(),
            timers: self.timers.borrow().len(),
            watches: self.watches.borrow().len(),
            ready: self.ready.len(),
            select_time: c.select_time.get(),
            longest_callback: c.longest_callback.get(),
        }
    }
}

/// Adds to a count.
pub(crate) fn add(count: &Cell<u64>, n: usize) {
    count.set(count.get().wrapping_add(n as u64));
}
