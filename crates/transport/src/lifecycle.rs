//! In which order do a connection's events come? A pure state machine: no I/O, no clock, no callback.
//!
//! ```text
//!   made ── data* ── eof? ── lost        and nothing after
//! ```
//!
//! Whoever owns a [`Lifecycle`] tells it what happened (`handle_…`) and does what the answer says. The
//! answers, not the owner, make sure that `connection_lost` is called once, that nothing is
//! delivered outside the order, and that the write direction is shut down at most once. State is asked
//! again after every call into user code, never remembered.

use std::fmt;

/// Where a connection stands, and what may happen next.
///
/// ```
/// use millrun_transport::lifecycle::{Lifecycle, Next};
/// let mut life = Lifecycle::new();
/// assert!(life.handle_made());               // call connection_made
/// life.handle_start();
/// assert!(life.delivers());                  // data_received may be called
/// assert_eq!(life.handle_close(true), Next::Lose); // nothing is buffered: queue connection_lost
/// assert!(!life.delivers());
/// assert!(life.handle_lost());               // its turn has come: call it
/// assert!(!life.handle_lost());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifecycle(u16);

/// What the owner has to do after an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub enum Next {
    /// Nothing (yet).
    Wait,
    /// Shut the write direction down now. Said once.
    ShutDown,
    /// Deliver what the kernel still holds to read, then call [`Lifecycle::handle_end`] (D-21).
    Drain,
    /// Queue `connection_lost`. Said once; when its turn comes, ask [`Lifecycle::handle_lost`].
    Lose,
}

/// `connection_made` was called. Set once, before any other callback; while it is unset nothing is
/// delivered and `connection_lost` is not called.
const MADE: u16 = 1 << 0;
/// Reading may begin. Set after `connection_made` has returned, once.
const STARTED: u16 = 1 << 1;
/// The application asked for a pause, or had no room. Set and cleared any number of times, no more
/// once the connection is closing.
const PAUSED: u16 = 1 << 2;
/// The peer's end of file was seen. Set once; nothing is read from then on.
const EOF_IN: u16 = 1 << 3;
/// The write direction shall end after what is buffered. Set once; no write is taken from then on.
const EOF_OUT: u16 = 1 << 4;
/// The write direction was shut down: `EOF_OUT` is set and the buffer was empty. Set once.
const SHUT: u16 = 1 << 5;
/// Closing in order: what is buffered still leaves. Set once; nothing is delivered from then on, and
/// no write is taken.
const CLOSING: u16 = 1 << 6;
/// A write failed: nothing leaves any more, but what the kernel holds is still delivered. Set once,
/// never while `CLOSING` or `ENDING` is set.
const BROKEN: u16 = 1 << 7;
/// `connection_lost` is queued. Set once, by any end; nothing else happens until it is called.
const ENDING: u16 = 1 << 8;
/// `connection_lost` had its turn. Set once; final.
const LOST: u16 = 1 << 9;

impl Lifecycle {
    /// A connection of which the protocol has not heard.
    pub const fn new() -> Lifecycle {
        Lifecycle(0)
    }

    /// The turn of `connection_made` has come: true means call it now.
    pub fn handle_made(&mut self) -> bool {
        let first = !self.has(MADE | LOST);
        if first {
            self.0 |= MADE;
        }
        first
    }

    /// `connection_made` has returned: reading may begin.
    pub fn handle_start(&mut self) {
        self.0 |= STARTED;
    }

    /// Reading shall pause. True if that is a change; a closing connection does not change.
    pub fn handle_pause(&mut self) -> bool {
        let changes = !self.has(PAUSED | CLOSING | ENDING | LOST);
        if changes {
            self.0 |= PAUSED;
        }
        changes
    }

    /// Reading shall go on. True if that is a change; a closing connection does not change.
    pub fn handle_resume(&mut self) -> bool {
        let changes = self.has(PAUSED) && !self.has(CLOSING | ENDING | LOST);
        if changes {
            self.0 &= !PAUSED;
        }
        changes
    }

    /// The peer's end of file was read: true means call `eof_received` now. If it answers false (or
    /// fails), that is [`handle_close`](Lifecycle::handle_close) (or
    /// [`handle_end`](Lifecycle::handle_end)) next.
    pub fn handle_eof(&mut self) -> bool {
        let delivers = self.delivers();
        if delivers {
            self.0 |= EOF_IN;
        }
        delivers && !self.has(BROKEN)
    }

    /// The application ends the write direction; `empty` says whether nothing is buffered. The
    /// second time, and once closing, it is no change (T-060).
    pub fn handle_write_eof(&mut self, empty: bool) -> Next {
        if self.has(EOF_OUT) || self.is_closing() {
            return Next::Wait;
        }
        self.0 |= EOF_OUT;
        if empty { self.handle_flushed() } else { Next::Wait }
    }

    /// The connection shall close; `empty` says whether nothing is buffered. If something is,
    /// `connection_lost` waits for [`handle_flushed`](Lifecycle::handle_flushed).
    pub fn handle_close(&mut self, empty: bool) -> Next {
        if self.has(CLOSING | ENDING | LOST) {
            return Next::Wait;
        }
        self.0 |= CLOSING;
        if empty || self.has(BROKEN) { self.handle_end() } else { Next::Wait }
    }

    /// The last buffered byte has left.
    pub fn handle_flushed(&mut self) -> Next {
        if self.has(BROKEN | ENDING | LOST) {
            return Next::Wait;
        }
        if self.has(CLOSING) {
            return self.handle_end();
        }
        if self.has(EOF_OUT) && !self.has(SHUT) {
            self.0 |= SHUT;
            return Next::ShutDown;
        }
        Next::Wait
    }

    /// A write failed. If the application could still be given what the kernel holds, the answer is
    /// [`Next::Drain`], else [`Next::Lose`].
    pub fn handle_write_error(&mut self) -> Next {
        if self.has(BROKEN | ENDING | LOST) {
            return Next::Wait;
        }
        // Before reading began the kernel's bytes still have a taker: the drain comes after the start.
        let taker = !self.has(PAUSED | EOF_IN | CLOSING);
        if !taker {
            return self.handle_end();
        }
        self.0 |= BROKEN;
        Next::Drain
    }

    /// The connection ends here: an abort, an error, a deadline, or the drain is over. The first end
    /// wins: later ones get [`Next::Wait`] (T-019).
    pub fn handle_end(&mut self) -> Next {
        if self.has(ENDING | LOST) {
            return Next::Wait;
        }
        self.0 |= ENDING;
        Next::Lose
    }

    /// The turn of `connection_lost` has come: true means call it now. False the second time, and if
    /// `connection_made` was never called.
    pub fn handle_lost(&mut self) -> bool {
        let first = !self.has(LOST);
        self.0 |= ENDING | LOST;
        first && self.has(MADE)
    }

    /// `connection_made` was called.
    #[inline]
    pub const fn is_made(self) -> bool {
        self.has(MADE)
    }

    /// Received bytes may be given to the protocol.
    #[inline]
    pub const fn delivers(self) -> bool {
        self.0 & (MADE | STARTED) == MADE | STARTED
            && !self.has(PAUSED | EOF_IN | CLOSING | ENDING | LOST)
    }

    /// Readiness to read is of interest. Not while a drain reads without being asked.
    #[inline]
    pub const fn wants_reads(self) -> bool {
        self.delivers() && !self.has(BROKEN)
    }

    /// The same, or it will be as soon as reading may begin.
    pub(crate) const fn will_want_reads(self) -> bool {
        !self.has(Lifecycle::READS_NOTHING)
    }

    /// Writes are taken.
    #[inline]
    pub const fn takes_writes(self) -> bool {
        !self.has(EOF_OUT | CLOSING | BROKEN | ENDING | LOST)
    }

    /// Buffered bytes may leave.
    #[inline]
    pub const fn sends(self) -> bool {
        !self.has(BROKEN | ENDING | LOST)
    }

    /// `pause_writing` and `resume_writing` may be called: no more once closing.
    #[inline]
    pub const fn tells_pressure(self) -> bool {
        self.has(MADE) && !self.is_closing()
    }

    /// The end has begun, by whomever.
    #[inline]
    pub const fn is_closing(self) -> bool {
        self.has(CLOSING | BROKEN | ENDING | LOST)
    }

    /// Neither paused nor closing (T-013).
    pub const fn is_reading(self) -> bool {
        !self.has(PAUSED) && !self.is_closing()
    }

    /// A write failed and what can be read is still being delivered.
    #[inline]
    pub const fn is_draining(self) -> bool {
        self.has(BROKEN) && !self.has(ENDING | LOST)
    }

    /// Closing in order, and bytes are still to leave.
    #[inline]
    pub const fn is_flushing(self) -> bool {
        self.has(CLOSING) && !self.has(ENDING | LOST)
    }

    /// It was closed in order, by either side's wish: not by an abort or an error alone.
    pub const fn was_closed(self) -> bool {
        self.has(CLOSING)
    }

    /// The peer's end of file was seen.
    #[inline]
    pub const fn saw_eof(self) -> bool {
        self.has(EOF_IN)
    }

    /// The write direction was ended by the application.
    pub const fn ended_writing(self) -> bool {
        self.has(EOF_OUT)
    }

    /// `connection_lost` is queued or was called.
    #[inline]
    pub const fn is_ending(self) -> bool {
        self.has(ENDING)
    }

    /// `connection_lost` had its turn.
    #[inline]
    pub const fn is_lost(self) -> bool {
        self.has(LOST)
    }

    /// For an owner that keeps other bits beside these.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }

    /// What [`bits`](Lifecycle::bits) gave.
    pub(crate) const fn from_bits(bits: u16) -> Lifecycle {
        Lifecycle(bits)
    }

    /// With any of these bits [`takes_writes`](Lifecycle::takes_writes) is false.
    pub(crate) const TAKES_NO_WRITES: u16 = EOF_OUT | CLOSING | BROKEN | ENDING | LOST;
    /// With any of these bits [`sends`](Lifecycle::sends) is false.
    pub(crate) const SENDS_NOTHING: u16 = BROKEN | ENDING | LOST;
    /// With any of these bits it matters when the last byte has left.
    pub(crate) const AWAITS_FLUSH: u16 = CLOSING | EOF_OUT;
    /// [`wants_reads`](Lifecycle::wants_reads) with these bits…
    pub(crate) const READS: u16 = MADE | STARTED;
    /// …and none of these.
    pub(crate) const READS_NOTHING: u16 = PAUSED | EOF_IN | CLOSING | BROKEN | ENDING | LOST;

    /// Any of `bits` is set.
    const fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
}

/// The bits that are set, by name: `MADE|STARTED|PAUSED`.
impl fmt::Debug for Lifecycle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 10] = [
            "MADE", "STARTED", "PAUSED", "EOF_IN", "EOF_OUT", "SHUT", "CLOSING", "BROKEN",
            "ENDING", "LOST",
        ];
        let mut separator = "";
        for (bit, name) in NAMES.iter().enumerate() {
            if self.0 & (1 << bit) != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        if separator.is_empty() { f.write_str("NEW") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever keeps the bits beside others asks them by these words.
    #[test]
    fn the_words_for_owners_say_what_the_questions_say() {
        for bits in 0..LOST << 1 {
            let life = Lifecycle::from_bits(bits);
            let (any, all) = (|word| bits & word != 0, |word| bits & word == word);
            assert_eq!(life.bits(), bits);
            assert_eq!(!any(Lifecycle::TAKES_NO_WRITES), life.takes_writes(), "{life:?}");
            assert_eq!(!any(Lifecycle::SENDS_NOTHING), life.sends(), "{life:?}");
            let awaits = life.was_closed() || life.ended_writing();
            assert_eq!(any(Lifecycle::AWAITS_FLUSH), awaits, "{life:?}");
            let reads = all(Lifecycle::READS) && !any(Lifecycle::READS_NOTHING);
            assert_eq!(reads, life.wants_reads(), "{life:?}");
        }
    }
}
