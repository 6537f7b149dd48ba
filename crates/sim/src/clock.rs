//! The virtual clock.

use std::cell::Cell;
use std::fmt;

use millrun_selector::{Clock, Time};

/// Stands still until the simulation moves it.
#[derive(Default)]
pub(crate) struct SimClock(Cell<Time>);

impl SimClock {
    pub(crate) fn now_here(&self) -> Time {
        self.0.get()
    }

    /// Moves forward to `moment`; never back.
    pub(crate) fn advance_to(&self, moment: Time) {
        self.0.set(self.0.get().max(moment));
    }
}

impl Clock for SimClock {
    fn now(&self) -> Time {
        self.0.get()
    }
}

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimClock({:?})", self.0.get())
    }
}
