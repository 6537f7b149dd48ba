//! The boundary that everything above sees of a connection: [`Transport`].

use std::any::{Any, TypeId};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use millrun_selector::{Address, SocketOption, SocketOptionName};

use crate::{InvalidLimits, Protocol, Watermarks};

/// A two-way stream of bytes with flow control, seen from the application.
///
/// Object-safe and used as `Rc<dyn Transport>`. All methods take `&self` and may be called from
/// inside any callback of any protocol. Nothing is called back from inside these calls: callbacks come
/// from the loop. Methods on a transport that is over are harmless no-ops (T-027). What a transport of
/// one's own must bring has no default here; the rest is for sockets and hints.
pub trait Transport: fmt::Debug {
    /// Takes bytes to send, copying what can't leave now. Small writes of one unit (a callback, one
    /// poll of a task) are gathered and leave together (D-12).
    fn write(&self, data: &[u8]) -> Flow;

    /// As [`write`](Transport::write), without a copy: what can't leave now is kept as it is.
    fn write_bytes(&self, data: Bytes) -> Flow {
        self.write(&data)
    }

    /// Takes several pieces as one write.
    fn writelines(&self, pieces: &[&[u8]]) -> Flow {
        let mut flow = self.write(b"");
        for piece in pieces {
            flow = self.write(piece);
        }
        flow
    }

    /// Ends the write direction after what is buffered. A second call, or one after close, is a no-op
    /// (T-060).
    fn write_eof(&self);

    /// [`write_eof`](Transport::write_eof) works here.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Sends what is gathered and buffered as far as the kernel takes it now, inside the call.
    fn flush(&self) {}

    /// Stops reading, sends what is buffered, then ends the connection with `connection_lost(None)`.
    /// After the close timeout without progress it ends with `TimedOut` and the number of unsent bytes
    /// ([`CloseTimedOut`]). Idempotent.
    fn close(&self);

    /// As [`close`](Transport::close), and over within `total`, progress or not. A transport whose
    /// close always ends at once need not tell them apart.
    fn close_within(&self, total: Duration) {
        let _ = total;
        self.close();
    }

    /// Sets how long [`close`](Transport::close) waits without progress; 30 s unless told.
    fn set_close_timeout(&self, without_progress: Duration) {
        let _ = without_progress;
    }

    /// Drops what is buffered and ends the connection: `connection_lost(None)` is queued.
    fn abort(&self);

    /// As [`abort`](Transport::abort), with an error for `connection_lost`. The first end wins.
    fn fail(&self, error: io::Error);

    /// Closing has begun, by whomever.
    fn is_closing(&self) -> bool;

    /// How the connection ended; `None` until `connection_lost` is queued.
    fn close_outcome(&self) -> Option<CloseOutcome>;

    /// Why the connection ends, if an error ends it: what `connection_lost` will be given, as soon as it is
    /// known. `None` again when that has been called.
    fn error(&self) -> Option<io::Error> {
        None
    }

    /// No `data_received` and no `eof_received` until resumed; what arrives stays in the kernel.
    /// Idempotent.
    fn pause_reading(&self);

    /// Reads again. Idempotent.
    fn resume_reading(&self);

    /// Neither paused nor closing.
    fn is_reading(&self) -> bool;

    /// Reading can be paused here. False (a completion ring, some custom transports) means that a
    /// protocol must take what comes.
    fn can_pause_reading(&self) -> bool {
        true
    }

    /// Replaces the protocol for the next event; the new one gets no `connection_made` (P-004). Legal
    /// from anywhere, inside the old one's callbacks too. Reading that was paused, by a call or for want of room,
    /// stays so. A transport that is over drops it.
    fn set_protocol(&self, protocol: Box<dyn Protocol>);

    /// Bytes accepted and not yet taken by the kernel.
    #[doc(alias = "get_write_buffer_size")]
    fn write_buffer_size(&self) -> usize;

    /// The present marks.
    #[doc(alias = "get_write_buffer_limits")]
    fn write_buffer_limits(&self) -> Watermarks;

    /// Changes the marks; both directions are checked again at once (D-11).
    ///
    /// # Errors
    /// When low is above high; the marks stay as they were.
    fn set_write_buffer_limits(&self, limits: Watermarks) -> Result<(), InvalidLimits>;

    /// Gathering on (the default) or off: off gives asyncio's way, each write its own send.
    /// A hint: what is sent stays the same.
    fn set_gathering(&self, on: bool) {
        let _ = on;
    }

    /// The address of this end, also after the connection is over.
    #[doc(alias = "sockname")]
    fn local_addr(&self) -> Option<Address> {
        None
    }

    /// The address of the other end, also after the connection is over.
    #[doc(alias = "peername")]
    fn peer_addr(&self) -> Option<Address> {
        None
    }

    /// Sets an option of the socket below.
    ///
    /// # Errors
    /// `NotConnected` when the socket is gone, `Unsupported` when there is none below.
    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        let _ = option;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// An option of the socket below.
    ///
    /// # Errors
    /// `NotConnected` when the socket is gone, `Unsupported` when there is none below.
    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        let _ = name;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Extra info of a type that this layer does not know (a peer's certificate, say). Use
    /// [`extra_info`].
    #[doc(alias = "get_extra_info")]
    fn extension(&self, which: TypeId) -> Option<Rc<dyn Any>> {
        let _ = which;
        None
    }
}

/// Extra info by its type: `extra_info::<PeerCertificate>(&*transport)`.
#[doc(alias = "get_extra_info")]
pub fn extra_info<T: Any>(transport: &dyn Transport) -> Option<Rc<T>> {
    transport.extension(TypeId::of::<T>())?.downcast().ok()
}

/// What became of a write, and what to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Flow {
    /// Taken; go on.
    Open,
    /// Taken; the buffer is above its high mark, so wait for `resume_writing`.
    Paused,
    /// Not taken: the connection is closing or over, or the write direction was ended.
    Closed,
}

/// How a connection ended, as to what was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseOutcome {
    /// The kernel took every byte that was accepted.
    Flushed,
    /// So many accepted bytes were dropped.
    Unsent(usize),
}

/// Inside the `TimedOut` error of `connection_lost` when a close made no progress for too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CloseTimedOut {
    /// Accepted bytes that were dropped.
    pub unsent: usize,
}

impl fmt::Display for CloseTimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "close timed out with {} bytes unsent", self.unsent)
    }
}

impl std::error::Error for CloseTimedOut {}
