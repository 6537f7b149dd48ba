//! From callbacks to a reader and a writer: [`StreamReaderProtocol`].

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use millrun_loop::{Block, BlockSize, LoopHandle, SMALL_BLOCK};
use millrun_transport::{Landing, Protocol, Transport};

use crate::inbox::{Chunk, InvalidLimit};
use crate::marks::Mark;
use crate::state::StreamState;
use crate::{Ending, ReadEnd, WriteEnd};

/// What a server does with each connection: it gets it inside `connection_made`. Clones are the same; one
/// pointer wide, since each connection has one.
#[derive(Clone)]
pub struct Connected(Rc<Box<dyn Fn(Connection)>>);

/// The protocol under a reader and a writer: lets bytes land in a bounded inbox, and passes flow control
/// and the end on. Hand it to any transport, one of your own too.
///
/// A transport must drop its protocol after `connection_lost`, as all of them do.
pub struct StreamReaderProtocol {
    /// `None` after `connection_lost`: the state owns the transport, which owns this.
    state: Option<Rc<StreamState>>,
    /// Lent to the transport between `landing` and `landed`.
    lent: Chunk,
    connected: Option<Connected>,
}

/// A connection that was made and not yet split into its ends. Dropping it closes it.
#[derive(Debug)]
#[must_use = "dropping it closes the connection"]
pub struct Connection(Rc<StreamState>);

/// The way from a connection, or what became of it, to its transport. One pointer wide.
#[derive(Clone, Debug)]
pub struct Link(Rc<StreamState>);

/// Waits for `connection_made`. Dropping it closes the connection when that comes.
#[derive(Debug)]
#[must_use = "dropping it closes the connection"]
pub struct Connecting(Option<Connection>);

impl StreamReaderProtocol {
    /// A protocol for one transport, and what becomes its ends. `limit` is in bytes (see
    /// [`Intake`](crate::inbox::Intake)); blocks to land in come from `handle`'s loop.
    ///
    /// # Errors
    /// A limit of 0 (ST-001).
    pub fn new(
        handle: &LoopHandle,
        limit: usize,
    ) -> Result<(StreamReaderProtocol, Connecting), InvalidLimit> {
        let state = StreamState::new(handle, limit)?;
        let connecting = Connecting(Some(Connection(Rc::clone(&state))));
        Ok((StreamReaderProtocol::over(state, None), connecting))
    }

    /// As [`new`](StreamReaderProtocol::new), for a server: the connection goes to `connected` from
    /// inside `connection_made` (SV-025).
    ///
    /// # Errors
    /// A limit of 0 (ST-001).
    #[doc(alias = "client_connected_cb")]
    pub fn with_callback(
        handle: &LoopHandle,
        limit: usize,
        connected: Connected,
    ) -> Result<StreamReaderProtocol, InvalidLimit> {
        Ok(StreamReaderProtocol::over(StreamState::new(handle, limit)?, Some(connected)))
    }

    fn over(state: Rc<StreamState>, connected: Option<Connected>) -> StreamReaderProtocol {
        StreamReaderProtocol { state: Some(state), lent: Chunk::default(), connected }
    }

    /// A chunk that the transport did not answer for.
    #[inline]
    fn take_back(&mut self) {
        if !self.lent.is_none() {
            self.take_back_lent();
        }
    }

    /// For the landing that most are.
    #[inline(always)]
    fn block_to_fill(&self) -> Option<Block> {
        let state = self.state.as_ref()?;
        if !self.lent.is_none() || state.is(Mark::NO_READER) {
            return None;
        }
        // Each with a call of its own, in which the size is a constant.
        match state.intake.block_to_fill()? {
            BlockSize::Small => state.blocks().take_kept(BlockSize::Small),
            BlockSize::Large => state.blocks().take_kept(BlockSize::Large),
        }
    }

    #[inline(never)]
    fn landing_rarely(&mut self) -> Landing<'_> {
        self.take_back();
        let Some(state) = &self.state else { return Landing::Shared(usize::MAX) };
        if state.is(Mark::NO_READER) {
            return Landing::Shared(usize::MAX);
        }
        match state.intake.landing(state.blocks()) {
            Some((chunk, most)) => {
                self.lent = chunk;
                Landing::Own(&mut self.lent.tail()[..most])
            }
            None if state.transport().is_some_and(|t| t.can_pause_reading()) => {
                state.set(Mark::PAUSED);
                Landing::Shared(0)
            }
            None => Landing::Shared(usize::MAX),
        }
    }

    #[inline(never)]
    fn landed_rarely(&self, chunk: Chunk, n: usize) -> io::Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        state.intake.landed(chunk, n, state.blocks());
        arrived(state, n)
    }

    #[cold]
    fn take_back_lent(&mut self) {
        let chunk = std::mem::take(&mut self.lent);
        if let Some(state) = &self.state {
            state.intake.landed(chunk, 0, state.blocks());
        }
    }
}

impl Protocol for StreamReaderProtocol {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        let Some(state) = &self.state else { return };
        state.set_transport(transport);
        if let Some(connected) = self.connected.take() {
            (connected.0)(Connection(Rc::clone(state)));
        }
    }

    fn landing(&mut self) -> Landing<'_> {
        if let Some(block) = self.block_to_fill() {
            // It was taken back: there is none to be dropped.
            std::mem::forget(std::mem::replace(&mut self.lent, Chunk::new(block)));
            return match self.lent.own_bytes() {
                Some(memory) => Landing::Own(memory),
                None => landing_elsewhere(),
            };
        }
        self.landing_rarely()
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut self.lent);
        if let Some(state) = &self.state {
            if !state.is(Mark::EOF) {
                match state.intake.fill(chunk, n) {
                    Ok(()) => {
                        state.wake_reader();
                        return Ok(());
                    }
                    Err(back) => chunk = back,
                }
            }
        }
        self.landed_rarely(chunk, n)
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.take_back();
        let Some(state) = &self.state else { return Ok(()) };
        if state.is(Mark::NO_READER) {
            return Ok(());
        }
        state.intake.feed(data, state.blocks());
        arrived(state, data.len())
    }

    fn eof_received(&mut self) -> bool {
        if let Some(state) = &self.state {
            state.set(Mark::EOF);
            state.wake_reader();
        }
        true
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.take_back();
        self.connected = None;
        if let Some(state) = self.state.take() {
            let ending = state.ending(error);
            state.end(ending);
        }
    }

    fn pause_writing(&mut self) {
        if let Some(state) = &self.state {
            state.flow.pause_writing();
        }
    }

    fn resume_writing(&mut self) {
        if let Some(state) = &self.state {
            state.flow.resume_writing();
        }
    }
}

/// Of a block that somebody else holds, which none is that was just taken.
#[cold]
#[inline(never)]
const fn landing_elsewhere() -> Landing<'static> {
    Landing::Shared(SMALL_BLOCK)
}

/// Bytes are there: wake the read, then flow control (ST-003). None after the end of file (ST-004).
fn arrived(state: &StreamState, n: usize) -> io::Result<()> {
    if n == 0 {
        return Ok(());
    }
    if state.is(Mark::EOF) {
        return Err(after_the_end(n));
    }
    let is_full = state.intake.is_full();
    state.wake_reader();
    if is_full {
        state.pause();
    }
    Ok(())
}

#[cold]
fn after_the_end(n: usize) -> io::Error {
    let text = format!("expected nothing after the end of file, got {n} bytes");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// Another protocol took the place, or the transport is gone without a word: what waits is told.
impl Drop for StreamReaderProtocol {
    fn drop(&mut self) {
        self.take_back();
        if let Some(state) = self.state.take() {
            state.end(Ending::Replaced);
        }
    }
}

impl fmt::Debug for StreamReaderProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamReaderProtocol").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Connected {
    /// Calls `callback` with each connection.
    pub fn new(callback: impl Fn(Connection) + 'static) -> Connected {
        Connected(Rc::new(Box::new(callback)))
    }
}

impl fmt::Debug for Connected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connected")
    }
}

impl Link {
    /// The transport.
    pub fn transport(&self) -> &Rc<dyn Transport> {
        self.0.connected()
    }
}

impl Connection {
    /// Both ends.
    pub fn split(self) -> (ReadEnd, WriteEnd) {
        self.0.set(Mark::SPLIT);
        (ReadEnd::new(Rc::clone(&self.0)), WriteEnd::new(Rc::clone(&self.0)))
    }

    /// The loop whose blocks it uses.
    pub fn loop_handle(&self) -> &LoopHandle {
        self.0.loop_handle()
    }

    /// The transport.
    pub fn transport(&self) -> &Rc<dyn Transport> {
        self.0.connected()
    }

    /// The way to the transport, to be kept beside the ends. Does not keep the connection from being closed.
    pub fn link(&self) -> Link {
        Link(Rc::clone(&self.0))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if !self.0.is(Mark::SPLIT) {
            self.0.set(Mark::NO_READER);
            self.0.set(Mark::NO_WRITER);
            self.0.end_if_forsaken();
        }
    }
}

impl Connecting {
    /// The connection, if it is made already.
    ///
    /// # Errors
    /// Gives itself back when it is not.
    pub fn now(mut self) -> Result<Connection, Connecting> {
        self.0.take_if(|connection| connection.0.transport().is_some()).ok_or(self)
    }
}

/// Fails when the protocol was dropped, or its connection lost, before it was made.
impl Future for Connecting {
    type Output = io::Result<Connection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(connection) = &self.0 else { return Poll::Pending };
        ready!(connection.0.poll_connected(cx))?;
        match self.0.take() {
            Some(connection) => Poll::Ready(Ok(connection)),
            None => Poll::Pending,
        }
    }
}
