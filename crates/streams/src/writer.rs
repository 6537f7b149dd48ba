//! The writing half of a connection: [`StreamWriter`].

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use millrun_protocol::{DrainWait, Place, WriteEnd, WriteError};
use millrun_selector::Address;
use millrun_transport::{CloseOutcome, Transport, extra_info};

/// Writes bytes. Writing never waits; [`drain`](StreamWriter::drain) does, when there is too much. All
/// methods take `&self`, so that several tasks can write and drain through an `Rc` of it.
///
/// The idiom is `writer.write(data)?; writer.drain().await?`. Writes of one poll of a task are gathered and
/// leave in one send (D-12), also with drains between them.
///
/// # Drop
/// What is buffered is sent, then the write direction is ended; the reader goes on. When the reader was
/// dropped too, the connection is closed: flushed, with the deadline of any close, never aborted.
#[doc(alias = "asyncio.StreamWriter")]
pub struct StreamWriter(WriteEnd);

impl StreamWriter {
    pub(crate) fn new(end: WriteEnd) -> StreamWriter {
        StreamWriter(end)
    }

    /// Takes bytes to send, copying what can't leave now. Never waits.
    ///
    /// # Errors
    /// The bytes were not taken, and why (D-03).
    #[inline]
    pub fn write(&self, data: &[u8]) -> Result<(), WriteError> {
        self.0.write(data)
    }

    /// As [`write`](StreamWriter::write), without a copy.
    ///
    /// # Errors
    /// As `write`.
    pub fn write_bytes(&self, data: Bytes) -> Result<(), WriteError> {
        self.0.write_bytes(data)
    }

    /// Takes several pieces as one write.
    ///
    /// # Errors
    /// As [`write`](StreamWriter::write).
    pub fn writelines(&self, pieces: &[&[u8]]) -> Result<(), WriteError> {
        self.0.writelines(pieces)
    }

    /// Waits while the transport's buffer was above its high mark, until it is at its low mark. Else it
    /// is done at once, without giving up the loop (ST-066), but for one turn after
    /// [`DRAINS_WITHOUT_YIELD`](millrun_protocol::DRAINS_WITHOUT_YIELD) of them in a row (D-09). It does
    /// not send: see [`flush`](StreamWriter::flush).
    ///
    /// Any number may wait at the same time.
    ///
    /// # Errors
    /// The connection's error; `ConnectionReset` after its end; `ConnectionAborted` when bytes were dropped
    /// while it waited (D-02). Inside the latter two is
    /// [`ConnectionLost`](millrun_protocol::ConnectionLost).
    ///
    /// # Cancel safety
    /// Safe: it changes nothing.
    #[inline]
    pub fn drain(&self) -> Drain<'_> {
        Drain { end: &self.0, wait: DrainWait::default() }
    }

    /// Sends what was gathered and buffered, as far as the kernel takes it now. Does not wait.
    pub fn flush(&self) {
        self.0.transport().flush();
    }

    /// Ends the write direction, after what is buffered. The reader goes on. A second time, or after a close,
    /// nothing happens.
    pub fn write_eof(&self) {
        self.0.write_eof();
    }

    /// [`write_eof`](StreamWriter::write_eof) works here.
    pub fn can_write_eof(&self) -> bool {
        self.0.transport().can_write_eof()
    }

    /// Begins to close now, flushing first; the future says how it ended, and need not be awaited.
    ///
    /// Closing always ends: after the close timeout without progress it fails with `TimedOut`
    /// ([`Transport::set_close_timeout`]).
    ///
    /// # Errors
    /// Of the future: the connection's error.
    ///
    /// # Cancel safety
    /// Safe: the closing goes on.
    pub fn close(&self) -> Closed<'_> {
        self.0.close();
        self.wait_closed()
    }

    /// Waits until the connection is over, by whomever. Any number may wait, also again; one that is
    /// dropped does not disturb the others (D-15).
    ///
    /// # Errors
    /// Of the future: the connection's error.
    ///
    /// # Cancel safety
    /// Safe: it changes nothing.
    pub fn wait_closed(&self) -> Closed<'_> {
        Closed { end: &self.0, place: None }
    }

    /// Ends the connection now. What is buffered is dropped: the close's outcome tells how much.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Closing has begun, by whomever, or the connection is over.
    pub fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    /// The address of this end.
    #[doc(alias = "sockname")]
    pub fn local_addr(&self) -> Option<Address> {
        self.0.transport().local_addr()
    }

    /// The address of the other end.
    #[doc(alias = "peername")]
    pub fn peer_addr(&self) -> Option<Address> {
        self.0.transport().peer_addr()
    }

    /// Extra info of the transport, by its type.
    #[doc(alias = "get_extra_info")]
    pub fn extra_info<T: Any>(&self) -> Option<Rc<T>> {
        extra_info(&**self.0.transport())
    }

    pub(crate) fn loop_handle(&self) -> &millrun_loop::LoopHandle {
        self.0.loop_handle()
    }

    /// The transport below: buffer sizes, marks, options.
    pub fn transport(&self) -> &Rc<dyn Transport> {
        self.0.transport()
    }
}

impl fmt::Debug for StreamWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StreamWriter").field(&self.0).finish()
    }
}

/// The future of [`StreamWriter::drain`].
#[derive(Debug)]
#[must_use = "a drain waits only when it is awaited"]
pub struct Drain<'a> {
    end: &'a WriteEnd,
    wait: DrainWait,
}

impl Future for Drain<'_> {
    type Output = io::Result<()>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.end.poll_drain(&mut this.wait, cx)
    }
}

impl Drop for Drain<'_> {
    #[inline]
    fn drop(&mut self) {
        self.end.forget_drain(&mut self.wait);
    }
}

/// The future of [`StreamWriter::close`] and [`StreamWriter::wait_closed`].
#[derive(Debug)]
pub struct Closed<'a> {
    end: &'a WriteEnd,
    place: Option<Place>,
}

impl Future for Closed<'_> {
    type Output = io::Result<CloseOutcome>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.end.poll_closed(&mut this.place, cx)
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.end.forget_closed(&mut self.place);
    }
}
