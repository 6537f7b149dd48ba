//! What receives a connection's events: [`Protocol`], and where its bytes land: [`Landing`].

use std::fmt;
use std::io;
use std::rc::Rc;

use crate::Transport;

/// The receiving end of a transport's callbacks.
///
/// The order is fixed: `connection_made`, then `data_received` (or `landed`) any number of times, then
/// `eof_received` at most once, then `connection_lost` exactly once, and nothing after (P-001).
/// `pause_writing` and `resume_writing` strictly alternate, starting with pause (F-008).
///
/// Inside a callback any method of any transport may be called, of this one too. Nothing calls back
/// into a protocol that is on the stack: what a call causes comes when the callback has returned.
/// A callback that panics ends its connection with that panic as the error; a panic elsewhere
/// leaves this connection alone.
pub trait Protocol {
    /// The connection exists. An error (a panic) here ends it (D-18).
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        let _ = transport;
    }

    /// Where the next bytes shall land, and how many at most. Asked before each receive, until the answer is
    /// [`Landing::Anywhere`]; answered with [`landed`](Protocol::landed) for [`Landing::Own`], with
    /// [`data_received`](Protocol::data_received) for the others.
    ///
    /// No room (`Shared(0)`, or an empty `Own`) stops reading until
    /// [`Transport::resume_reading`] is called; no receive is done.
    fn landing(&mut self) -> Landing<'_> {
        Landing::Anywhere
    }

    /// `n` bytes lie at the start of the memory that [`landing`](Protocol::landing) lent. 0 means that
    /// nothing came and the memory is the protocol's again.
    ///
    /// # Errors
    /// As [`data_received`](Protocol::data_received).
    fn landed(&mut self, n: usize) -> io::Result<()> {
        let _ = n;
        Ok(())
    }

    /// Bytes have arrived; never empty. A transport that can't be told how much room there is (a
    /// completion ring) may bring more than the room: take it all.
    ///
    /// # Errors
    /// An error is fatal for the connection and is given to `connection_lost`, as raising is in asyncio
    /// (T-012).
    fn data_received(&mut self, data: &[u8]) -> io::Result<()>;

    /// The peer will send no more. True keeps the connection open for writing; false (the default)
    /// closes it, flushing first.
    fn eof_received(&mut self) -> bool {
        false
    }

    /// The connection is over; the last call. `None` after an end of file, a close or an abort of
    /// ours, else the error: the kernel's has a [`SocketError`](crate::SocketError) inside, which says what failed. Whether everything was sent is
    /// [`Transport::close_outcome`](crate::Transport::close_outcome).
    fn connection_lost(&mut self, error: Option<io::Error>) {
        let _ = error;
    }

    /// The write buffer is above its high mark: stop writing. Comes when the protocol is home, not
    /// inside `write` (D-17); [`Flow`](crate::Flow) tells the caller at once.
    fn pause_writing(&mut self) {}

    /// The write buffer is at or below its low mark: write on. Not called once the connection is closing.
    fn resume_writing(&mut self) {}

    /// A name for reports.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// Where received bytes land: the protocol's choice, made before each receive.
pub enum Landing<'a> {
    /// As `Shared(usize::MAX)`, and for good: a transport need not ask this protocol again. What answers for
    /// others, of whom it may have another one later, says `Shared(usize::MAX)` instead.
    Anywhere,
    /// In a block lent by the loop for the length of one call, at most so many bytes. 0 = no room.
    Shared(usize),
    /// In memory of the protocol's own; empty = no room.
    Own(&'a mut [u8]),
    /// The protocol can't go on: fatal for the connection (P-007).
    Failed(io::Error),
}

impl fmt::Debug for Landing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Landing::Anywhere => f.write_str("Anywhere"),
            Landing::Shared(most) => write!(f, "Shared({most})"),
            Landing::Own(memory) => write!(f, "Own({} bytes)", memory.len()),
            Landing::Failed(error) => write!(f, "Failed({error})"),
        }
    }
}
