//! The two ends of a connection, polled: [`ReadEnd`] and [`WriteEnd`].

use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use millrun_loop::LoopHandle;
use millrun_transport::{CloseOutcome, Flow, Transport};

use crate::inbox::{AtEnd, Attempt, Inbox, IncompleteRead, Need};
use crate::marks::Mark;
use crate::state::StreamState;
use crate::{DrainWait, Place, ReadError, WriteError};

/// The reading end: owns what it lends.
///
/// Dropping it discards what was not read and what still comes; errors still end the connection, and
/// the writing end goes on. When both ends are dropped the transport is closed.
pub struct ReadEnd {
    state: Rc<StreamState>,
    inbox: Inbox,
}

impl ReadEnd {
    pub(crate) fn new(state: Rc<StreamState>) -> ReadEnd {
        ReadEnd { state, inbox: Inbox::default() }
    }

    /// Whether the need is met. When it is, the result are the [`lent`](ReadEnd::lent) `n` bytes (for
    /// [`Peek`](crate::inbox::Peek): the [`unread`](ReadEnd::unread) ones). Bytes leave the buffer only then.
    ///
    /// While it is pending it may be given up at any time ([`forget`](ReadEnd::forget)); nothing is lost.
    ///
    /// # Errors
    /// [`ReadError`]. The connection's error comes after all bytes that came before it (D-04): a need that
    /// those bytes can't meet fails with it, and they stay readable.
    #[inline]
    pub fn poll_read(
        &mut self,
        need: &mut impl Need,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadError>> {
        match self.glance(need) {
            Some(n) => Poll::Ready(Ok(n)),
            None if self.waits(need, cx) => Poll::Pending,
            None => self.poll_further(need, cx),
        }
    }

    /// The read that most are: the need is met by what lies there in one piece. `None`: it is another one; nothing was
    /// taken. Then ask whether it [`waits`](ReadEnd::waits).
    #[inline(always)]
    pub fn glance(&mut self, need: &mut impl Need) -> Option<usize> {
        let n = self.inbox.glance(need, &self.state.intake, self.state.blocks())?;
        self.done();
        Some(n)
    }

    /// The wait that most are: for anything at all, of the task that waited before. False: it is another read, to be asked of
    /// [`poll_further`](ReadEnd::poll_further); nothing was done.
    // It calls nothing, so it is cheap to be in.
    #[inline(never)]
    pub fn waits(&mut self, need: &mut impl Need, cx: &mut Context<'_>) -> bool {
        let state = &*self.state;
        let waits = !state.is(Mark::WAITS_RARELY)
            && state.keeps_task(cx)
            && self.inbox.waits_empty(need, &state.intake);
        if waits {
            state.waits_freely();
        }
        waits
    }

    fn wait(&self, cx: &Context<'_>) -> Poll<Result<usize, ReadError>> {
        self.state.wait_to_read(cx);
        // Whatever is needed has room now, so the transport reads on (ST-042).
        self.state.resume();
        Poll::Pending
    }

    /// Goes on with a read that began with a [`glance`](ReadEnd::glance) and not with one of those that
    /// [`wait`](ReadEnd::waits): together they are [`poll_read`](ReadEnd::poll_read).
    ///
    /// # Errors
    /// As `poll_read`.
    #[inline(never)]
    pub fn poll_further(
        &mut self,
        need: &mut impl Need,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, ReadError>> {
        let state = &*self.state;
        let result = match self.inbox.attempt(need, &state.intake, state.blocks()) {
            Attempt::Wait(_) if !self.is_ended() => return self.wait(cx),
            Attempt::Wait(_) => self.finish(need),
            Attempt::Taken(n) => Ok(n),
            Attempt::Shown => Ok(0),
            Attempt::Over(overrun) => Err(ReadError::LimitOverrun(overrun)),
        };
        self.done();
        Poll::Ready(result)
    }

    /// A read is over.
    #[inline]
    fn done(&self) {
        if self.state.is(Mark::AFTER_READ) {
            self.done_rarely();
        }
    }

    #[inline(never)]
    fn done_rarely(&self) {
        self.state.clear(Mark::WAITING);
        self.state.resume_if_low(self.inbox.unread().len());
    }

    /// The pending read was given up: the room is the limit's again.
    pub fn forget(&mut self) {
        self.state.clear(Mark::WAITING);
        self.state.intake.forget();
    }

    /// The result of the last read, which gave `n`; until the next one.
    #[inline]
    pub fn lent(&self, n: usize) -> &[u8] {
        self.inbox.lent(n)
    }

    /// What a peek shows.
    pub fn unread(&self) -> &[u8] {
        self.inbox.unread()
    }

    /// How many bytes have arrived and were not read.
    pub fn buffered(&self) -> usize {
        self.inbox.unread().len() + self.state.intake.len()
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> usize {
        self.state.intake.limit()
    }

    /// How much memory this connection owns for receiving, in bytes: 0 when all is read and the next read waits.
    pub fn memory(&self) -> usize {
        self.inbox.capacity() + self.state.intake.capacity()
    }

    /// The end of file has come and every byte before it was read (ST-011).
    pub fn at_eof(&self) -> bool {
        self.is_ended() && self.error().is_none() && self.buffered() == 0
    }

    /// The error behind the last byte, if the connection ended with one (ST-015).
    #[doc(alias = "exception")]
    pub fn error(&self) -> Option<io::Error> {
        match self.state.flow.ending() {
            Some(ending) if !self.state.is(Mark::EOF) => ending.for_read(),
            _ => None,
        }
    }

    /// The transport.
    #[inline]
    pub fn transport(&self) -> &Rc<dyn Transport> {
        self.state.connected()
    }

    /// No more bytes will come.
    #[inline]
    fn is_ended(&self) -> bool {
        self.state.is(Mark::NO_MORE)
    }

    /// The need was not met, and no more bytes will come.
    #[inline(never)]
    fn finish(&mut self, need: &impl Need) -> Result<usize, ReadError> {
        if let Some(error) = self.error() {
            self.forget();
            return Err(ReadError::Io(error));
        }
        let (state, inbox) = (&*self.state, &mut self.inbox);
        let at_end = need.at_end(state.intake.len());
        let most = if let AtEnd::Take(n) = at_end { n } else { usize::MAX };
        let n = inbox.take_up_to(most, &state.intake, state.blocks());
        match at_end {
            AtEnd::Take(_) => Ok(n),
            AtEnd::Incomplete(expected) => {
                let partial = inbox.lent(n).to_vec();
                Err(ReadError::Incomplete(IncompleteRead { partial, expected }))
            }
        }
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        let (state, inbox) = (&*self.state, &mut self.inbox);
        state.set(Mark::NO_READER);
        state.clear(Mark::WAITING);
        inbox.clear(&state.intake, state.blocks());
        state.resume();
        state.end_if_forsaken();
    }
}

/// What is buffered, without the bytes (ST-048).
impl fmt::Debug for ReadEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("ReadEnd");
        out.field("bytes", &self.buffered()).field("limit", &self.limit());
        out.field("eof", &self.state.is(Mark::EOF)).field("waiting", &self.state.is(Mark::WAITING));
        out.field("paused", &self.state.is(Mark::PAUSED)).field("error", &self.error());
        out.field("transport", &self.transport()).finish()
    }
}

/// The writing end.
///
/// Dropping it sends what is buffered and then ends the write direction; the reading end goes on. When
/// both ends are dropped the transport is closed, which flushes and has its deadline.
pub struct WriteEnd {
    state: Rc<StreamState>,
}

impl WriteEnd {
    pub(crate) fn new(state: Rc<StreamState>) -> WriteEnd {
        WriteEnd { state }
    }

    /// Passes bytes to the transport. Never waits.
    ///
    /// # Errors
    /// The bytes were not taken, and why (D-03).
    #[inline]
    pub fn write(&self, data: &[u8]) -> Result<(), WriteError> {
        self.pass(|transport| transport.write(data))
    }

    /// As [`write`](WriteEnd::write), without a copy.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_bytes(&self, data: Bytes) -> Result<(), WriteError> {
        self.pass(|transport| transport.write_bytes(data))
    }

    /// Several pieces as one write.
    ///
    /// # Errors
    /// As `write`.
    pub fn writelines(&self, pieces: &[&[u8]]) -> Result<(), WriteError> {
        self.pass(|transport| transport.writelines(pieces))
    }

    /// Ends the write direction, after what is buffered.
    pub fn write_eof(&self) {
        self.with(Mark::WROTE_EOF, |transport| transport.write_eof());
    }

    /// Begins to close; flushes first.
    pub fn close(&self) {
        self.with(Mark::CLOSING, |transport| transport.close());
    }

    /// Ends the connection now; what is buffered is dropped.
    pub fn abort(&self) {
        self.with(Mark::CLOSING, |transport| transport.abort());
    }

    /// Whether writing may go on; see [`FlowControl`](crate::FlowControl).
    ///
    /// # Errors
    /// The connection's error, or a reset error after its end.
    #[inline]
    pub fn poll_drain(&self, drain: &mut DrainWait, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.flow.passes(drain, || self.transport().is_closing()) {
            return Poll::Ready(Ok(()));
        }
        self.state.flow.poll_drain_rarely(drain, cx)
    }

    /// The drain was given up.
    #[inline]
    pub fn forget_drain(&self, drain: &mut DrainWait) {
        self.state.flow.forget(drain);
    }

    /// Whether the connection is over, and how it ended. Any number may wait, independent of each
    /// other (D-15).
    ///
    /// # Errors
    /// The connection's error.
    pub fn poll_closed(
        &self,
        place: &mut Option<Place>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<CloseOutcome>> {
        match self.state.flow.ending() {
            Some(ending) => {
                self.state.closed.leave(place);
                Poll::Ready(ending.for_close())
            }
            None => {
                self.state.closed.wait(place, cx.waker());
                Poll::Pending
            }
        }
    }

    /// The waiting for the close was given up.
    pub fn forget_closed(&self, place: &mut Option<Place>) {
        self.state.closed.leave(place);
    }

    /// Closing has begun, by whomever, or the connection is over.
    pub fn is_closing(&self) -> bool {
        self.state.flow.ending().is_some() || self.transport().is_closing()
    }

    /// Drains wait now.
    pub fn is_paused(&self) -> bool {
        self.state.flow.is_paused()
    }

    /// The transport.
    #[inline]
    pub fn transport(&self) -> &Rc<dyn Transport> {
        self.state.connected()
    }

    /// The loop.
    pub fn loop_handle(&self) -> &LoopHandle {
        self.state.loop_handle()
    }

    fn with(&self, mark: Mark, f: impl FnOnce(&dyn Transport)) {
        self.state.set(mark);
        f(&**self.transport());
    }

    #[inline]
    fn pass(&self, f: impl FnOnce(&dyn Transport) -> Flow) -> Result<(), WriteError> {
        let flow = f(&**self.transport());
        match flow {
            Flow::Open => Ok(()),
            Flow::Paused => {
                self.state.flow.written(flow);
                Ok(())
            }
            Flow::Closed => Err(self.refusal()),
        }
    }

    #[cold]
    fn refusal(&self) -> WriteError {
        match self.state.flow.ending() {
            _ if self.state.is(Mark::CLOSING) => WriteError::Closed,
            Some(ending) => WriteError::Lost(ending.for_write()),
            None if self.state.is(Mark::WROTE_EOF) => WriteError::Eof,
            // An error ended it, and `connection_lost` is on its way.
            None => WriteError::lost(self.transport().error()),
        }
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        let state = &self.state;
        state.set(Mark::NO_WRITER);
        if state.flow.ending().is_some() {
            return;
        }
        if state.is(Mark::NO_READER) {
            state.end_if_forsaken();
        } else if state.loop_handle().in_unit() {
            // Mostly the reader is dropped next, and the connection closed: then the end needs no call of its own.
            state.loop_handle().at_unit_end(state.clone());
        } else {
            state.end_writing();
        }
    }
}

impl fmt::Debug for WriteEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("WriteEnd");
        out.field("flow", &self.state.flow).field("closing", &self.is_closing());
        out.field("transport", &self.transport()).finish()
    }
}
