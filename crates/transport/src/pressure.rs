//! When writing pauses and resumes: the marks, and what is true against what was told.

use std::fmt;

/// The marks of a write buffer, in bytes: above `high` writing pauses, at or below `low` it resumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Watermarks {
    /// Resume at or below this.
    pub low: usize,
    /// Pause above this. 0 pauses on any buffered byte (F-010).
    pub high: usize,
}

impl Default for Watermarks {
    /// 16 KiB and 64 KiB, as asyncio (F-001).
    fn default() -> Watermarks {
        Watermarks { low: 16 * 1024, high: 64 * 1024 }
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
