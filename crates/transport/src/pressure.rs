//! When does writing pause and resume? The marks, and what is true against what was told.
//!
//! Flow control is a level, not an edge. [`Pressure`] keeps what is *true* (the buffer went above the high
//! mark and is not yet back at the low one) apart from what this protocol was *told*. Whoever owns
//! it changes the truth whenever the size changes, inside any call, and tells the protocol when it
//! can be called: [`Pressure::settle`] says what, if anything. So `pause_writing` and
//! `resume_writing` strictly alternate, however wildly the size went in between.

use std::fmt;

/// The marks of a write buffer, in bytes: above `high` writing pauses, at or below `low` it resumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watermarks {
    /// Resume at or below this.
    pub low: usize,
    /// Pause above this. 0 pauses on any buffered byte (F-010).
    pub high: usize,
}

impl Watermarks {
    /// Both marks, in bytes.
    ///
    /// # Errors
    /// When `low` is above `high` (F-003).
    pub const fn new(low: usize, high: usize) -> Result<Watermarks, InvalidLimits> {
        Watermarks { low, high }.check()
    }

    /// The high mark alone, in bytes: low is a quarter of it, rounded down (F-002).
    pub const fn from_high(high: usize) -> Watermarks {
        Watermarks { low: high / 4, high }
    }

    /// The low mark alone, in bytes: high is four times that (F-002).
    pub const fn from_low(low: usize) -> Watermarks {
        Watermarks { low, high: low.saturating_mul(4) }
    }

    /// These marks, if they are in order.
    ///
    /// # Errors
    /// When `low` is above `high` (F-003).
    pub const fn check(self) -> Result<Watermarks, InvalidLimits> {
        if self.low <= self.high { Ok(self) } else { Err(InvalidLimits(self)) }
    }
}

impl Default for Watermarks {
    /// 16 KiB and 64 KiB, as asyncio (F-001).
    fn default() -> Watermarks {
        Watermarks::from_high(64 * 1024)
    }
}

/// Marks where low is above high.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidLimits(pub Watermarks);

impl fmt::Display for InvalidLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Watermarks { low, high } = self.0;
        write!(f, "expected low <= high, got low = {low} and high = {high}")
    }
}

impl std::error::Error for InvalidLimits {}

/// What a protocol has to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Call `pause_writing`.
    Pause,
    /// Call `resume_writing`.
    Resume,
}

/// Told against true, for one write buffer and its present protocol. One byte: the marks are its owner's.
///
/// ```
/// use millrun_transport::pressure::{Pressure, Signal, Watermarks};
/// let marks = Watermarks::from_high(100);
/// let mut pressure = Pressure::new();
/// assert!(pressure.update(101, marks)); // the protocol has to be told
/// assert!(pressure.is_paused());
/// assert_eq!(pressure.settle(), Some(Signal::Pause));
/// pressure.update(26, marks); // low is 25
/// assert_eq!(pressure.settle(), None);
/// pressure.update(25, marks);
/// assert_eq!(pressure.settle(), Some(Signal::Resume));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Pressure(u8);

/// True from `size > high` until `size <= low`.
const PAUSED: u8 = 1 << 0;
/// The last signal that this protocol got was a pause.
const TOLD: u8 = 1 << 1;

impl Pressure {
    /// Not paused, and nothing told.
    pub const fn new() -> Pressure {
        Pressure(0)
    }

    /// The buffer's size, or one of its marks, changed. True if the protocol has to be told something:
    /// call [`settle`](Pressure::settle) when it is home.
    pub fn update(&mut self, size: usize, marks: Watermarks) -> bool {
        if size > marks.high {
            self.0 |= PAUSED;
        } else if size <= marks.low {
            self.0 &= !PAUSED;
        }
        self.is_unsettled()
    }

    /// What the protocol has to be told now, if anything; it counts as told from here on.
    pub fn settle(&mut self) -> Option<Signal> {
        if !self.is_unsettled() {
            return None;
        }
        self.0 ^= TOLD;
        Some(if self.is_paused() { Signal::Pause } else { Signal::Resume })
    }

    /// Another protocol took the place: it was told nothing yet.
    pub fn handle_new_protocol(&mut self) {
        self.0 &= !TOLD;
    }

    /// Writers should wait, told or not.
    pub const fn is_paused(self) -> bool {
        self.0 & PAUSED != 0
    }

    /// For an owner that keeps other bits beside these two.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// What [`bits`](Pressure::bits) gave.
    pub(crate) const fn from_bits(bits: u8) -> Pressure {
        Pressure(bits & (PAUSED | TOLD))
    }

    /// What is true differs from what was told.
    pub const fn is_unsettled(self) -> bool {
        self.is_paused() != (self.0 & TOLD != 0)
    }
}

impl fmt::Debug for Pressure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = if self.is_unsettled() { ", not told" } else { "" };
        write!(f, "Pressure({}{told})", if self.is_paused() { "paused" } else { "open" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_another_owner_are_not_ours() {
        for bits in [0, PAUSED, TOLD, PAUSED | TOLD] {
            assert_eq!(Pressure(bits).bits(), bits);
            assert_eq!(Pressure::from_bits(bits | !(PAUSED | TOLD)), Pressure(bits));
        }
    }
}
