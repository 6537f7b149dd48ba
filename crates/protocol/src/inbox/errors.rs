//! What a read could not do.

use std::fmt;

/// The end of file came before the read was complete. Owns what had arrived; the buffer is empty.
#[doc(alias = "IncompleteReadError")]
#[derive(Clone, PartialEq, Eq)]
pub struct IncompleteRead {
    /// What had arrived.
    pub partial: Vec<u8>,
    /// How many bytes were asked for; `None` when it was a separator.
    pub expected: Option<usize>,
}

impl fmt::Display for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let got = self.partial.len();
        match self.expected {
            Some(expected) => write!(f, "expected {expected} bytes, got {got} and the end of file"),
            None => write!(f, "expected a separator, got {got} bytes and the end of file"),
        }
    }
}

/// The number of bytes alone: they are another's data, and may be many.
impl fmt::Debug for IncompleteRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IncompleteRead")
            .field("partial", &format_args!("{} bytes", self.partial.len()))
            .field("expected", &self.expected)
            .finish()
    }
}

impl std::error::Error for IncompleteRead {}

/// The bytes before the separator are more than the limit. They stay in the buffer (D-06): read
/// `consumed` of them (an exact read is not limited) to get past them.
#[doc(alias = "LimitOverrunError")]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitOverrun {
    /// The limit of the buffer, in bytes.
    pub limit: usize,
    /// So many bytes surely belong to what is too long.
    pub consumed: usize,
    /// The separator has been seen, and starts after `consumed` bytes; else it may be anywhere behind.
    pub found: bool,
}

impl fmt::Display for LimitOverrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitOverrun { limit, consumed, found } = self;
        write!(f, "expected a separator within the limit of {limit} bytes, got ")?;
        if *found {
            write!(f, "one after {consumed} bytes")
        } else {
            write!(f, "{consumed} bytes without one")
        }
    }
}

impl std::error::Error for LimitOverrun {}

/// No separator was given, or an empty one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmptySeparator;

impl fmt::Display for EmptySeparator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("expected one or more separators of at least one byte")
    }
}

impl std::error::Error for EmptySeparator {}

/// A limit that can't be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidLimit {
    /// What was given.
    pub limit: usize,
}

impl fmt::Display for InvalidLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected a limit of 1 to {} bytes, got {}", u32::MAX, self.limit)
    }
}

impl std::error::Error for InvalidLimit {}
