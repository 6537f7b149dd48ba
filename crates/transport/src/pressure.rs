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

/// Told against true, for one write buffer and its present protocol.
///
/// ```
/// use millrun_transport::pressure::{Pressure, Signal, Watermarks};
/// let mut pressure = Pressure::new(Watermarks::from_high(100));
/// pressure.update(101);
/// assert!(pressure.is_paused());
/// assert_eq!(pressure.settle(), Some(Signal::Pause));
/// pressure.update(26); // low is 25
/// assert_eq!(pressure.settle(), None);
/// pressure.update(25);
/// assert_eq!(pressure.settle(), Some(Signal::Resume));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pressure {
    limits: Watermarks,
    /// True from `size > high` until `size <= low`.
    paused: bool,
    /// The last signal that this protocol got was a pause.
    told: bool,
}

impl Pressure {
    /// Not paused, and nothing told. The marks should be in order ([`Watermarks::check`]).
    pub const fn new(limits: Watermarks) -> Pressure {
        Pressure { limits, paused: false, told: false }
    }

    /// The buffer's size is now this. True if the protocol has to be told something: call
    /// [`settle`](Pressure::settle) when it is home.
    pub fn update(&mut self, size: usize) -> bool {
        if size > self.limits.high {
            self.paused = true;
        } else if size <= self.limits.low {
            self.paused = false;
        }
        self.is_unsettled()
    }

    /// What the protocol has to be told now, if anything; it counts as told from here on.
    pub fn settle(&mut self) -> Option<Signal> {
        if !self.is_unsettled() {
            return None;
        }
        self.told = self.paused;
        Some(if self.told { Signal::Pause } else { Signal::Resume })
    }

    /// Another protocol took the place: it was told nothing yet.
    pub fn handle_new_protocol(&mut self) {
        self.told = false;
    }

    /// Changes the marks and checks both directions against the present size (D-11). True as in
    /// [`update`](Pressure::update).
    ///
    /// # Errors
    /// When low is above high; nothing changes then (F-003).
    pub fn set_limits(&mut self, limits: Watermarks, size: usize) -> Result<bool, InvalidLimits> {
        self.limits = limits.check()?;
        Ok(self.update(size))
    }

    /// The present marks.
    pub const fn limits(&self) -> Watermarks {
        self.limits
    }

    /// Writers should wait, told or not.
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// What is true differs from what was told.
    pub const fn is_unsettled(&self) -> bool {
        self.paused != self.told
    }
}
