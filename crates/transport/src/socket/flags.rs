//! What a transport remembers beside its parts, as bits.

use std::cell::Cell;
use std::fmt;

/// Small writes of one unit leave together. Changes when the application says so.
pub(super) const GATHERS: u8 = 1 << 0;
/// The kernel took less than it was offered: nothing is sent before the socket is writable again, and
/// then something is buffered. Cleared by that event and when the buffer is dropped.
pub(super) const BLOCKED: u8 = 1 << 1;
/// Work is left for the end of the unit: it is not left twice.
pub(super) const LEFT: u8 = 1 << 2;
/// That work runs, or an event of our own, which ends with it: what either causes is done before it returns.
pub(super) const SETTLING: u8 = 1 << 3;
/// The last read filled a whole block: the next one gets a large one.
pub(super) const FILLED: u8 = 1 << 4;
/// The kernel took at least one byte. Never cleared.
pub(super) const SENT: u8 = 1 << 5;
/// `connection_lost` was called, and the socket waits for the peer to read what was sent. Set once.
pub(super) const LINGERS: u8 = 1 << 6;

/// Something is buffered. Kept by whoever puts the buffer back, so that the many who only ask need not
/// take it out.
pub(super) const UNSENT: u8 = 1 << 7;

/// A set of the bits above.
#[derive(Default)]
pub(super) struct Flags(Cell<u8>);

impl Flags {
    #[inline]
    pub(super) fn has(&self, bit: u8) -> bool {
        self.0.get() & bit != 0
    }

    /// Of `bits`, exactly these.
    #[inline]
    pub(super) fn has_just(&self, these: u8, bits: u8) -> bool {
        self.0.get() & bits == these
    }

    #[inline]
    pub(super) fn set(&self, bit: u8) {
        self.0.set(self.0.get() | bit);
    }

    #[inline]
    pub(super) fn clear(&self, bit: u8) {
        self.0.set(self.0.get() & !bit);
    }

    #[inline]
    pub(super) fn put(&self, bit: u8, on: bool) {
        if on { self.set(bit) } else { self.clear(bit) }
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Flags({:#b})", self.0.get())
    }
}
