//! As those write it who measure.

pub(crate) mod echo;
pub(crate) mod fanout;
pub(crate) mod lines;
pub(crate) mod relay;
pub(crate) mod transfer;

/// What one read or write moves at most, in bytes.
pub(crate) const BLOCK: usize = 64 * 1024;
