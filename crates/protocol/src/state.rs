//! What a connection's reader, writer and protocol share: one small allocation.

use std::cell::OnceCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use millrun_loop::{BlockPool, LocalWaker, LoopHandle, UnitEnd};
use millrun_transport::{CloseOutcome, Transport};

use crate::inbox::{Intake, InvalidLimit};
use crate::marks::Mark;
use crate::{Ending, FlowControl, Waiters};

/// Shared by [`StreamReaderProtocol`](crate::StreamReaderProtocol), [`ReadEnd`](crate::ReadEnd) and
/// [`WriteEnd`](crate::WriteEnd). All of it is in cells, of which none is empty across a call to a transport or a waker.
pub(crate) struct StreamState {
    handle: LoopHandle,
    pub(crate) intake: Intake,
    /// The task that reads, or did. The mark `WAITING` says whether it counts.
    reader: LocalWaker,
    transport: OnceCell<Rc<dyn Transport>>,
    pub(crate) flow: FlowControl,
    pub(crate) closed: Waiters,
}

impl StreamState {
    pub(crate) fn new(handle: &LoopHandle, limit: usize) -> Result<Rc<StreamState>, InvalidLimit> {
        Ok(Rc::new(StreamState {
            handle: handle.clone(),
            intake: Intake::new(limit)?,
            reader: LocalWaker::new(),
            transport: OnceCell::new(),
            flow: FlowControl::new(),
            closed: Waiters::new(),
        }))
    }

    #[inline]
    pub(crate) fn blocks(&self) -> &BlockPool {
        self.handle.blocks()
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
        self.flow.marks.set(mark);
    }

    #[inline]
    pub(crate) fn clear(&self, mark: Mark) {
        self.flow.marks.clear(mark);
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
            self.reader.wake(&self.handle);
        }
    }

    pub(crate) fn wait_to_read(&self, cx: &Context<'_>) {
        self.reader.keep(cx.waker(), &self.handle);
        self.waits();
    }

    /// It is the task of the loop that waited before: it will be woken, if it [`waits`](StreamState::waits_freely).
    #[inline]
    pub(crate) fn keeps_task(&self, cx: &Context<'_>) -> bool {
        self.reader.keeps_task(cx.waker(), &self.handle)
    }

    /// A read waits, of whoever is kept.
    #[inline]
    pub(crate) fn waits(&self) {
        self.set(Mark::WAITING);
        self.flow.rested();
    }

    /// The same, when no drain has anything to look at.
    #[inline]
    pub(crate) fn waits_freely(&self) {
        self.set(Mark::WAITING);
        self.flow.rested_freely();
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
    pub(crate) fn resume_if_low(&self, held: usize) {
        if self.is(Mark::PAUSED) {
            let intake = &self.intake;
            if held + intake.len() <= intake.limit() && intake.has_space() {
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
        self.flow.marks.has(mark)
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
        self.intake.clear(self.handle.blocks());
    }
}

impl fmt::Debug for StreamState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("StreamState");
        out.field("landed", &self.intake.len()).field("limit", &self.intake.limit());
        out.field("flow", &self.flow);
        out.finish_non_exhaustive()
    }
}
