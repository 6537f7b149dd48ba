//! What is wanted, what is true, and by which name: [`Interest`], [`Readiness`], [`Key`].

use std::cell::Cell;
use std::fmt;
use std::ops::{BitOr, BitOrAssign};

/// Which directions a registration wants to hear about.
///
/// [`Interest::NONE`] is legal: the registration stays and is silent (a paused transport).
// The bits are those of the `Readiness` that it hears about: cutting that down to what is wanted is one `and`, at
// each event.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Interest(u8);

impl Interest {
    /// Registered, and silent.
    pub const NONE: Interest = Interest(0);
    /// Report when a read would not block.
    pub const READ: Interest = Interest(Readiness::FOR_READ);
    /// Report when a write would not block.
    pub const WRITE: Interest = Interest(Readiness::FOR_WRITE);
    /// Both.
    pub const BOTH: Interest = Interest(Readiness::FOR_READ | Readiness::FOR_WRITE);

    /// Wants reads.
    pub const fn reads(self) -> bool {
        self.0 & Readiness::READABLE.0 != 0
    }

    /// Wants writes.
    pub const fn writes(self) -> bool {
        self.0 & Readiness::WRITABLE.0 != 0
    }

    /// Wants nothing.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// This interest with the directions of `other` taken away.
    #[must_use]
    pub const fn without(self, other: Interest) -> Interest {
        match (self.reads() && !other.reads(), self.writes() && !other.writes()) {
            (true, true) => Interest::BOTH,
            (true, false) => Interest::READ,
            (false, true) => Interest::WRITE,
            (false, false) => Interest::NONE,
        }
    }
}

impl BitOr for Interest {
    type Output = Interest;
    fn bitor(self, o: Interest) -> Interest {
        Interest(self.0 | o.0)
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.reads(), self.writes()) {
            (false, false) => "NONE",
            (true, false) => "READ",
            (false, true) => "WRITE",
            (true, true) => "READ|WRITE",
        })
    }
}

/// What is true of a descriptor, as bits.
///
/// | bit | set when | cleared when |
/// |---|---|---|
/// | `READABLE` | bytes or a connection may wait | a read would block, or came up short |
/// | `WRITABLE` | the kernel may take bytes | a write would block, or came up short |
/// | `READ_CLOSED` | the peer will send no more | never |
/// | `WRITE_CLOSED` | nothing can be sent any more | never |
/// | `ERROR` | an error waits to be taken | never on a stream; when taken on a datagram socket |
/// | `URGENT` | urgent (out-of-band) data has come | never; it is not reported |
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Readiness(u8);

impl Readiness {
    /// Nothing is ready.
    pub const NONE: Readiness = Readiness(0);
    /// A read may give something.
    pub const READABLE: Readiness = Readiness(1);
    /// A write may take something.
    pub const WRITABLE: Readiness = Readiness(2);
    /// The peer's end of file has arrived (perhaps behind unread bytes).
    pub const READ_CLOSED: Readiness = Readiness(4);
    /// Writes will fail.
    pub const WRITE_CLOSED: Readiness = Readiness(8);
    /// An error is pending on the descriptor.
    pub const ERROR: Readiness = Readiness(16);

    /// Urgent data has come at least once. Reads stop at it, so a short one does not prove that
    /// nothing waits behind.
    pub const URGENT: Readiness = Readiness(32);

    /// See [`ReadyCell::is_told_again`]; it is not reported, and not told by its name.
    const TOLD_AGAIN: Readiness = Readiness(64);

    const FOR_READ: u8 = Self::READABLE.0 | Self::READ_CLOSED.0 | Self::ERROR.0;
    const FOR_WRITE: u8 = Self::WRITABLE.0 | Self::WRITE_CLOSED.0 | Self::ERROR.0;

    /// A read would not block: bytes, end of file or an error wait (SEL-011).
    pub const fn is_readable(self) -> bool {
        self.0 & Self::FOR_READ != 0
    }

    /// A write would not block: it would take bytes or fail (SEL-011).
    pub const fn is_writable(self) -> bool {
        self.0 & Self::FOR_WRITE != 0
    }

    /// The peer will send nothing after what is unread.
    pub const fn is_read_closed(self) -> bool {
        self.0 & Self::READ_CLOSED.0 != 0
    }

    /// Nothing can be sent any more.
    pub const fn is_write_closed(self) -> bool {
        self.0 & Self::WRITE_CLOSED.0 != 0
    }

    /// An error is pending.
    pub const fn is_error(self) -> bool {
        self.0 & Self::ERROR.0 != 0
    }

    /// No bit is set.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// All bits of `other` are set here.
    pub const fn contains(self, other: Readiness) -> bool {
        self.0 & other.0 == other.0
    }

    /// The bits that a registration with this interest hears about. An error is heard whichever
    /// direction is wanted.
    #[must_use]
    pub const fn wanted(self, interest: Interest) -> Readiness {
        Readiness(self.0 & interest.0)
    }
}

impl BitOr for Readiness {
    type Output = Readiness;
    fn bitor(self, o: Readiness) -> Readiness {
        Readiness(self.0 | o.0)
    }
}

impl BitOrAssign for Readiness {
    fn bitor_assign(&mut self, o: Readiness) {
        self.0 |= o.0;
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 6] =
            ["READABLE", "WRITABLE", "READ_CLOSED", "WRITE_CLOSED", "ERROR", "URGENT"];
        let bits = NAMES.iter().enumerate().filter(|(bit, _)| self.0 & (1 << bit) != 0);
        let mut names = bits.map(|(_, name)| *name);
        f.write_str(names.next().unwrap_or("NONE"))?;
        names.try_for_each(|name| write!(f, "|{name}"))
    }
}

/// What the kernel last said of one owned socket, shared by the socket and its selector.
///
/// The selector sets bits when an edge comes; the socket clears `READABLE` or `WRITABLE` when it
/// meets `WouldBlock` or a short transfer. The closed and error bits can't be cleared here, but for
/// [`ReadyCell::clear_error`], which only datagram sockets may use.
#[derive(Default)]
pub struct ReadyCell(Cell<Readiness>);

impl ReadyCell {
    /// A cell that says nothing is ready.
    pub const fn new() -> ReadyCell {
        ReadyCell(Cell::new(Readiness::NONE))
    }

    /// The bits as they stand.
    pub fn get(&self) -> Readiness {
        self.0.get()
    }

    /// As new: nothing is ready.
    #[cfg(feature = "os")]
    pub(crate) fn reset(&self) {
        self.0.set(Readiness::NONE);
    }

    /// Adds bits: an edge came. Gives what they are now.
    pub fn set(&self, bits: Readiness) -> Readiness {
        let all = self.0.get() | bits;
        self.0.set(all);
        all
    }

    /// Reads are exhausted: the next edge will say when there is more.
    pub fn clear_readable(&self) {
        self.0.set(Readiness(self.0.get().0 & !Readiness::READABLE.0));
    }

    /// A read came up short: reads are exhausted, unless it was urgent data that stopped it.
    pub fn clear_readable_after_short_read(&self) {
        if !self.0.get().contains(Readiness::URGENT) {
            self.clear_readable();
        }
    }

    /// The kernel tells again at each look for as long as reads are not exhausted, so the bit may be cleared though
    /// there is more. Only of a source that [asked for it](crate::Source::prefers_level).
    pub fn is_told_again(&self) -> bool {
        self.0.get().contains(Readiness::TOLD_AGAIN)
    }

    /// For selectors: from now on that is so, or no more.
    pub fn set_told_again(&self, on: bool) {
        let others = self.0.get().0 & !Readiness::TOLD_AGAIN.0;
        self.0.set(Readiness(others | if on { Readiness::TOLD_AGAIN.0 } else { 0 }));
    }

    /// Writes are exhausted: the next edge will say when there is room.
    pub fn clear_writable(&self) {
        self.0.set(Readiness(self.0.get().0 & !Readiness::WRITABLE.0));
    }

    /// The error was taken. For datagram sockets only: a stream's error is its end.
    pub fn clear_error(&self) {
        self.0.set(Readiness(self.0.get().0 & !Readiness::ERROR.0));
    }
}

impl fmt::Debug for ReadyCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadyCell({:?})", self.get())
    }
}

/// The name of one registration: a place in the table, and which of its tenants is meant.
///
/// An event in flight for a closed descriptor carries the old generation, so it can never reach
/// the descriptor that took its number or its place.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key {
    /// The place: small, dense, reused.
    pub index: u32,
    /// The tenant: changes each time the place is reused.
    pub generation: u32,
}

/// One report of `select`: the wanted bits of a registration that are true now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// The registration.
    pub key: Key,
    /// Both directions in one report (SEL-015), cut down to the interest.
    pub readiness: Readiness,
}
