//! What a transport remembers beside its buffers: one word of bits, so that what most calls ask (is there anything
//! unusual?) is one look.

use std::cell::Cell;

use crate::lifecycle::Lifecycle;
use crate::pressure::Pressure;

/// The bits of [`Lifecycle`], and above them those of [`Pressure`].
const LIFE: u32 = 0xffff;
const PRESSURE: u32 = 0b11 << PRESSURE_AT;
const PRESSURE_AT: u32 = 16;

/// Small writes of one unit leave together. Changes when the application says so.
pub(super) const GATHERS: u32 = 1 << 18;
/// The kernel took less than it was offered: nothing is sent before the socket is writable again, and
/// then something is buffered. Cleared by that event and when the buffer is dropped.
pub(super) const BLOCKED: u32 = 1 << 19;
/// Work is left for the end of the unit: it is not left twice.
pub(super) const LEFT: u32 = 1 << 20;
/// That work runs, or an event of our own, which ends with it: what either causes is done before it returns.
pub(super) const SETTLING: u32 = 1 << 21;
/// The last read filled a whole block: the next one gets a large one.
pub(super) const FILLED: u32 = 1 << 22;
/// The kernel took all of what was buffered, at least once. Never cleared.
pub(super) const SENT: u32 = 1 << 23;
/// `connection_lost` was called, and the socket waits for the peer to read what was sent. Set once.
pub(super) const LINGERS: u32 = 1 << 24;
/// Something is buffered. Kept by whoever takes it out or puts it back, so that the many who only ask need not
/// look.
pub(super) const UNSENT: u32 = 1 << 25;
/// What was buffered is on the stack, being sent: it may come back.
pub(super) const SENDING: u32 = 1 << 27;
/// It gathers, and what is smaller than a large write is so in any case: no mark is below that. Changes with
/// either.
pub(super) const PLAIN: u32 = 1 << 26;
/// The protocol's bytes may land anywhere: it is not asked. Set when it says so, cleared for the next protocol.
pub(super) const ANYWHERE: u32 = 1 << 28;

/// The bits.
pub(super) struct State(Cell<u32>);

impl State {
    pub(super) fn new(bits: u32) -> State {
        State(Cell::new(bits | life_bits(Lifecycle::new())))
    }

    #[inline]
    pub(super) fn life(&self) -> Lifecycle {
        Lifecycle::from_bits((self.0.get() & LIFE) as u16)
    }

    #[inline]
    pub(super) fn set_life(&self, life: Lifecycle) {
        self.0.set(self.0.get() & !LIFE | life_bits(life));
    }

    #[inline]
    pub(super) fn pressure(&self) -> Pressure {
        Pressure::from_bits((self.0.get() >> PRESSURE_AT) as u8)
    }

    #[inline]
    pub(super) fn set_pressure(&self, pressure: Pressure) {
        let bits = (pressure.bits() as u32) << PRESSURE_AT;
        self.0.set(self.0.get() & !PRESSURE | bits);
    }

    /// Any of these.
    #[inline]
    pub(super) fn has(&self, bits: u32) -> bool {
        self.0.get() & bits != 0
    }

    #[inline]
    pub(super) fn set(&self, bits: u32) {
        self.0.set(self.0.get() | bits);
    }

    #[inline]
    pub(super) fn clear(&self, bits: u32) {
        self.0.set(self.0.get() & !bits);
    }

    /// Sets one and clears the other.
    #[inline]
    pub(super) fn set_for(&self, new: u32, old: u32) {
        self.0.set(self.0.get() & !old | new);
    }

    #[inline]
    pub(super) fn put(&self, bit: u32, on: bool) {
        if on { self.set(bit) } else { self.clear(bit) }
    }
}

/// What is asked for each message.
impl State {
    /// Readiness to read is of interest.
    #[inline]
    pub(super) fn wants_reads(&self) -> bool {
        self.has_of(Lifecycle::READS as u32, Lifecycle::READS_NOTHING as u32)
    }

    /// A small write is gathered, and that is all.
    #[inline]
    pub(super) fn writes_plainly(&self) -> bool {
        self.has_of(PLAIN, Lifecycle::TAKES_NO_WRITES as u32 | PRESSURE | BLOCKED)
    }

    /// The same, and it is the first in the buffer, which is empty.
    #[inline]
    pub(super) fn writes_first(&self) -> bool {
        self.has_of(PLAIN, Lifecycle::TAKES_NO_WRITES as u32 | PRESSURE | BLOCKED | UNSENT)
    }

    /// The same, and something is in the buffer already.
    #[inline]
    pub(super) fn writes_next(&self) -> bool {
        self.has_of(PLAIN | UNSENT, Lifecycle::TAKES_NO_WRITES as u32 | PRESSURE | BLOCKED)
    }

    /// Something is buffered, and the kernel may take it.
    #[inline]
    pub(super) fn is_sendable(&self) -> bool {
        self.has_of(UNSENT, Lifecycle::SENDS_NOTHING as u32 | BLOCKED)
    }

    /// Nothing is buffered, and the protocol was told of no other state.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        !self.has(UNSENT | PRESSURE)
    }

    /// The same, and nobody waits for the last byte to leave.
    #[inline]
    pub(super) fn is_plainly_at_rest(&self) -> bool {
        !self.has(UNSENT | PRESSURE | Lifecycle::AWAITS_FLUSH as u32)
    }

    /// All of `these`, and none of `others`.
    #[inline]
    fn has_of(&self, these: u32, others: u32) -> bool {
        self.0.get() & (these | others) == these
    }
}

const fn life_bits(life: Lifecycle) -> u32 {
    life.bits() as u32
}
