//! What is true of a connection, a bit each: [`Marks`]. One word, so that what most calls ask (is there anything unusual?)
//! is one look.

use std::cell::Cell;
use std::fmt;

/// A bit of [`Marks`], or several.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(u16);

/// Those that are set.
#[derive(Default)]
pub(crate) struct Marks(Cell<u16>);

/// Of [`FlowControl`](crate::FlowControl).
impl Mark {
    /// The last signal was `pause_writing`: drains wait.
    pub(crate) const WRITING_PAUSED: Mark = Mark(1);
    /// A write answered `Paused`, and nothing was told yet. Cleared by a drain that waits, or that has let a turn
    /// go by; not by one that was given up before that.
    pub(crate) const MAYBE_PAUSED: Mark = Mark(2);
    /// There is an [`Ending`](crate::Ending). Never cleared.
    pub(crate) const ENDED: Mark = Mark(4);
    /// A drain has something to look at.
    pub(crate) const NOT_FREE: Mark =
        Mark(Mark::WRITING_PAUSED.0 | Mark::MAYBE_PAUSED.0 | Mark::ENDED.0);
}

/// Of a stream's state.
impl Mark {
    /// A read waits: the next event wakes it. Cleared by the waking and when the read is dropped.
    pub(crate) const WAITING: Mark = Mark(8);
    /// We stopped the transport's reading, for want of room. Cleared by resuming.
    pub(crate) const PAUSED: Mark = Mark(16);
    /// The peer's end of file has come. Never cleared; no bytes come after it.
    pub(crate) const EOF: Mark = Mark(32);
    /// The reader was dropped: what comes is discarded. Never cleared.
    pub(crate) const NO_READER: Mark = Mark(64);
    /// The writer was dropped. Never cleared.
    pub(crate) const NO_WRITER: Mark = Mark(128);
    /// Our side ended the write direction: a refused write is `Eof`. Never cleared.
    pub(crate) const WROTE_EOF: Mark = Mark(256);
    /// Our side began to close: a refused write is `Closed`. Never cleared.
    pub(crate) const CLOSING: Mark = Mark(512);
    /// Both ends were made. Never cleared.
    pub(crate) const SPLIT: Mark = Mark(1024);

    /// No more bytes will come.
    pub(crate) const NO_MORE: Mark = Mark(Mark::EOF.0 | Mark::ENDED.0);
    /// A wait has something to look at.
    pub(crate) const WAITS_RARELY: Mark = Mark(Mark::NO_MORE.0 | Mark::PAUSED.0 | Mark::NOT_FREE.0);
    /// After a read there is something to do.
    pub(crate) const AFTER_READ: Mark = Mark(Mark::WAITING.0 | Mark::PAUSED.0);
}

impl Marks {
    pub(crate) const fn new() -> Marks {
        Marks(Cell::new(0))
    }

    #[inline]
    pub(crate) fn set(&self, mark: Mark) {
        self.0.set(self.0.get() | mark.0);
    }

    #[inline]
    pub(crate) fn clear(&self, mark: Mark) {
        self.0.set(self.0.get() & !mark.0);
    }

    /// Any of these.
    #[inline]
    pub(crate) fn has(&self, mark: Mark) -> bool {
        self.0.get() & mark.0 != 0
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#b}", self.0.get())
    }
}
