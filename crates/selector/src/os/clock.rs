//! The machine's own clock: the one place that asks the operating system for the time.

use std::time::Instant;

use crate::{Clock, Time};

/// A clock that counts from the moment it was made, monotonic as the kernel's is.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    epoch: Instant,
}

impl Monotonic {
    /// A clock whose epoch is now.
    pub fn new() -> Monotonic {
        Monotonic { epoch: present() }
    }
}

impl Default for Monotonic {
    fn default() -> Monotonic {
        Monotonic::new()
    }
}

impl Clock for Monotonic {
    fn now(&self) -> Time {
        Time::ZERO + present().saturating_duration_since(self.epoch)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the clock that all others are to ask")]
fn present() -> Instant {
    Instant::now()
}
