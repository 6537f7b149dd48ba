//! After an accept, is another one tried in the same event? [`Again`].
//!
//! An accept that finds nobody is dear: Linux makes the new socket and its file first, and throws them away, which is a tenth of
//! what a short connection costs in all. A listener that is told again ([`ReadyCell::is_told_again`]) need not be emptied: one
//! accept for each event, and the next look at the selector, which is shared with all other events, tells whether there is more.
//!
//! But a loop with much to do looks seldom, and one with a flood of connections would look for each of them alone. So once in
//! [`EVENTS`] of the loop's events a try that may fail is risked, and after one that found [`MANY`] so is the next: in a flood
//! or under load an event takes all that wait, but at most [`MOST`].
//!
//! [`ReadyCell::is_told_again`]: millrun_selector::ReadyCell::is_told_again

use std::cell::Cell;

/// A failed accept is shared by so many events of the loop: less than 1 % of what they cost.
const EVENTS: u64 = 256;

/// A failed accept is shared by so many that did not fail.
const MANY: u32 = 8;

/// The loop's count is asked for at each so many events of the listener: it takes a call of some length.
const ASK: u32 = 8;

/// One event accepts at most so many, whatever the backlog: more would make the failed accept no cheaper, and what is queued for
/// them leaves room behind.
pub(super) const MOST: u32 = 128;

/// Remembers when a try was risked last.
#[derive(Default)]
pub(super) struct Again {
    /// At this count of the loop's events the next one is.
    due: Cell<u64>,
    /// So many events of the listener before the loop's are asked for.
    unasked: Cell<u32>,
}

impl Again {
    /// An event of the listener. If tries may go on until one finds nobody: at which count of the loop's events.
    pub(super) fn due(&self, events: impl FnOnce() -> u64) -> Option<u64> {
        if let Some(less) = self.unasked.get().checked_sub(1) {
            self.unasked.set(less);
            return None;
        }
        self.unasked.set(ASK - 1);
        Some(events()).filter(|events| self.due.get() <= *events)
    }

    /// They did, and so many connections were accepted.
    pub(super) fn found(&self, accepted: u32, events: u64) {
        if accepted < MANY {
            self.due.set(events + EVENTS);
        } else {
            self.unasked.set(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_try_in_so_many_events_may_find_nobody() {
        let (again, mut tried) = (Again::default(), 0);
        for events in 1..=10 * EVENTS {
            if let Some(events) = again.due(|| events) {
                again.found(1, events);
                tried += 1;
            }
        }
        assert_eq!(tried, 10);
    }

    #[test]
    fn in_a_flood_and_under_load_each_event_takes_all() {
        let again = Again::default();
        for events in 1..100 {
            assert_eq!(again.due(|| events), Some(events));
            again.found(MANY, events);
        }
        again.found(MANY - 1, 100);
        assert_eq!((0..ASK).find_map(|_| again.due(|| 101)), None);
        for events in (1_000..100_000).step_by(EVENTS as usize) {
            let due = (0..ASK).find_map(|_| again.due(|| events));
            assert_eq!(due, Some(events), "so many events between two looks");
            again.found(1, events);
        }
    }
}
