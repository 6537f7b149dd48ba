//! What a connection's reader, writer and protocol share: one small allocation.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use millrun_loop::{BlockPool, LoopHandle, UnitEnd};
use millrun_transport::{CloseOutcome, Transport};

use crate::inbox::{Intake, InvalidLimit};
use crate::{Ending, FlowControl, Waiters};

/// Shared by [`StreamReaderProtocol`](crate::StreamReaderProtocol), [`ReadEnd`](crate::ReadEnd) and
/// [`WriteEnd`](crate::WriteEnd). Nothing is borrowed across a call to a transport or a waker.
pub(crate) struct StreamState {
    handle: LoopHandle,
    /// Borrowed by [`with_intake`](StreamState::with_intake) alone.
    intake: RefCell<Intake>,
    /// The task that reads. Kept when it was woken, so that the next wait needs no clone; the mark `WAITING`
    /// says whether it counts.
    reader: Cell<Option<Waker>>,
    transport: OnceCell<Rc<dyn Transport>>,
    pub(crate) flow: FlowControl,
    pub(crate) closed: Waiters,
}

/// One bit of what is true of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Mark(u8);

impl Mark {
    /// A read waits: the next event wakes it. Cleared by the waking and when the read is dropped.
    pub(crate) const WAITING: Mark = Mark(1);
    /// We stopped the transport's reading, for want of room. Cleared by resuming.
    pub(crate) const PAUSED: Mark = Mark(2);
    /// The peer's end of file has come. Never cleared; no bytes come after it.
    pub(crate) const EOF: Mark = Mark(4);
    /// The reader was dropped: what comes is discarded. Never cleared.
    pub(crate) const NO_READER: Mark = Mark(8);
    /// The writer was dropped. Never cleared.
    pub(crate) const NO_WRITER: Mark = Mark(16);
    /// Our side ended the write direction: a refused write is `Eof`. Never cleared.
    pub(crate) const WROTE_EOF: Mark = Mark(32);
    /// Our side began to close: a refused write is `Closed`. Never cleared.
    pub(crate) const CLOSING: Mark = Mark(64);
    /// Both ends were made. Never cleared.
    pub(crate) const SPLIT: Mark = Mark(128);
}

impl StreamState {
    pub(crate) fn new(handle: &LoopHandle, limit: usize) -> Result<Rc<StreamState>, InvalidLimit> {
        Ok(Rc::new(StreamState {
            handle: handle.clone(),
            intake: RefCell::new(Intake::new(limit)?),
            reader: Cell::new(None),
            transport: OnceCell::new(),
            flow: FlowControl::new(),
            closed: Waiters::new(),
        }))
    }

    /// Only for code that calls neither a transport nor a waker.
    #[inline]
    pub(crate) fn with_intake<R>(&self, f: impl FnOnce(&mut Intake, &BlockPool) -> R) -> R {
        f(&mut self.intake.borrow_mut(), self.handle.blocks())
    }

    /// The transport, once there is one: a second is a mistake of the first (ST-044) and is refused.
    pub(crate) fn set_transport(&self, transport: Rc<dyn Transport>) {
        let second = self.transport.set(transport).is_err();
        debug_assert!(!second, "expected one connection_made, got a second");
        self.wake_reader();
        self.end_if_forsaken();
    }

    #[inline]
    pub(crate) fn set(&self, mark: Mark) {
        self.flow.marks.set(self.flow.marks.get() | mark.0);
    }

    #[inline]
    pub(crate) fn clear(&self, mark: Mark) {
        self.flow.marks.set(self.flow.marks.get() & !mark.0);
    }

    /// The end, told to all that wait: the read, those that wait for the close, the drains (ST-062).
    pub(crate) fn end(&self, ending: Ending) {
        self.flow.end(ending);
        // The transport may be another protocol's now: from here on its reading is not ours to resume.
        self.clear(Mark::PAUSED);
        self.wake_reader();
        self.closed.wake_all();
    }

    /// How a connection ended whose `connection_lost` got this.
    pub(crate) fn ending(&self, error: Option<io::Error>) -> Ending {
        let Some(error) = error else {
            let outcome = self.transport().and_then(|t| t.close_outcome());
            let unsent = match outcome {
                Some(CloseOutcome::Unsent(unsent)) => unsent,
                Some(CloseOutcome::Flushed) | None => 0,
            };
            return Ending::Closed { unsent };
        };
        Ending::lost(error)
    }

    /// The read, if one waits, is to look again.
    #[inline]
    pub(crate) fn wake_reader(&self) {
        if self.is(Mark::WAITING) {
            self.clear(Mark::WAITING);
            if let Some(waker) = self.reader.take() {
                waker.wake_by_ref();
                // A stranger's waker may have polled the read at once: then what waits now is what that left.
                let newer = self.reader.take();
                let between = self.reader.replace(newer.or(Some(waker)));
                drop(between);
            }
        }
    }

    #[inline]
    pub(crate) fn wait_to_read(&self, cx: &Context<'_>) {
        match self.reader.take() {
            // There is none in its place to be dropped.
            Some(held) if held.will_wake(cx.waker()) => {
                std::mem::forget(self.reader.replace(Some(held)));
            }
            held => self.change_reader(held, cx),
        }
        self.set(Mark::WAITING);
        self.flow.rested();
    }

    #[inline(never)]
    fn change_reader(&self, held: Option<Waker>, cx: &Context<'_>) {
        let between = self.reader.replace(Some(cx.waker().clone()));
        drop((held, between));
    }

    /// The room is used up: no more, if the transport can be told so (ST-043).
    pub(crate) fn pause(&self) {
        if self.is(Mark::PAUSED) {
            return;
        }
        if let Some(transport) = self.transport().filter(|t| t.can_pause_reading()) {
            self.set(Mark::PAUSED);
            transport.pause_reading();
        }
    }

    #[inline]
    pub(crate) fn resume(&self) {
        if self.is(Mark::PAUSED) {
            self.resume_now();
        }
    }

    #[inline(never)]
    fn resume_now(&self) {
        self.clear(Mark::PAUSED);
        if let Some(transport) = self.transport() {
            transport.resume_reading();
        }
    }

    /// The resume rule after a read (ST-041): at most `limit` bytes are unread, `held` of them by the reader.
    #[inline]
    pub(crate) fn resume_if_low(&self, held: impl FnOnce() -> usize) {
        if self.is(Mark::PAUSED) {
            let held = held();
            let low = self.with_intake(|intake, _| {
                held + intake.len() <= intake.limit() && intake.has_space()
            });
            if low {
                self.resume();
            }
        }
    }

    /// Nobody reads and nobody writes: close, which flushes and has its deadline. Not after the end, when the
    /// transport may be another protocol's.
    pub(crate) fn end_if_forsaken(&self) {
        let forsaken = self.is(Mark::NO_READER) && self.is(Mark::NO_WRITER);
        if forsaken && self.flow.ending().is_none() {
            if let Some(transport) = self.transport() {
                transport.close();
            }
        }
    }

    /// The writer was dropped, and the reader was not: the write direction ends after what is buffered.
    pub(crate) fn end_writing(&self) {
        if self.is(Mark::NO_READER) || self.flow.ending().is_some() {
            return;
        }
        match self.transport() {
            Some(transport) if transport.can_write_eof() => transport.write_eof(),
            Some(transport) => transport.flush(),
            None => {}
        }
    }

    pub(crate) fn poll_connected(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.transport.get().is_some() {
            return Poll::Ready(Ok(()));
        }
        if let Some(ending) = self.flow.ending() {
            return Poll::Ready(Err(ending.for_write()));
        }
        self.wait_to_read(cx);
        Poll::Pending
    }

    #[inline]
    pub(crate) fn is(&self, mark: Mark) -> bool {
        self.flow.marks.get() & mark.0 != 0
    }

    #[inline]
    pub(crate) fn transport(&self) -> Option<&Rc<dyn Transport>> {
        self.transport.get()
    }

    /// The transport, asked for by what exists only after `connection_made`.
    #[expect(
        clippy::expect_used,
        reason = "made by Connecting once there is a transport, which stays"
    )]
    #[inline]
    pub(crate) fn connected(&self) -> &Rc<dyn Transport> {
        self.transport.get().expect("a connection has a transport")
    }

    pub(crate) fn loop_handle(&self) -> &LoopHandle {
        &self.handle
    }
}

/// Left by the writer's drop.
impl UnitEnd for StreamState {
    fn unit_end(self: Rc<Self>) {
        self.end_writing();
    }

    fn name(&self) -> &'static str {
        "StreamWriter"
    }
}

impl Drop for StreamState {
    fn drop(&mut self) {
        self.intake.get_mut().clear(self.handle.blocks());
    }
}

impl fmt::Debug for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("StreamState");
        let (landed, limit) = self.with_intake(|intake, _| (intake.len(), intake.limit()));
        out.field("landed", &landed).field("limit", &limit);
        out.field("flow", &self.flow).field("marks", &format_args!("{:#b}", self.flow.marks.get()));
        out.finish_non_exhaustive()
    }
}
