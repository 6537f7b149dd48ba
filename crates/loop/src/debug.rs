//! What debug mode tells: callbacks that took long, futures that nobody awaited.

use std::fmt;
use std::time::Duration;

use crate::errors::warn;

/// Warns of a callback that held the loop up (L-104).
pub(crate) fn warn_slow(callback: &dyn fmt::Display, took: Duration) {
    // asyncio's words.
    warn(&format!("Executing {callback} took {:.3} seconds", took.as_secs_f64()));
}

/// Warns when it is dropped and [`polled`](MustAwait::polled) was never called, if debug mode is on: a member
/// of futures whose making does nothing yet.
///
/// Debug mode is asked once, when it is made: a drop may come when the loop is gone.
#[derive(Debug)]
pub struct MustAwait {
    name: &'static str,
    warns: bool,
}

impl MustAwait {
    /// For the future called `name`, as its user knows it (`StreamReader::read`).
    pub const fn new(name: &'static str, debug: bool) -> MustAwait {
        MustAwait { name, warns: debug }
    }

    /// The future was polled: there is nothing to warn of.
    pub fn polled(&mut self) {
        self.warns = false;
    }
}

impl Drop for MustAwait {
    fn drop(&mut self) {
        // A panic drops what was made for an expression that never came to its await.
        if self.warns && !std::thread::panicking() {
            warn(&format!("{} was never awaited, so it did nothing", self.name));
        }
    }
}
