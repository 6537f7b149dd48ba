//! Which call of a socket failed, and with whom? [`SocketError`], inside the `io::Error` that ends a connection.

use std::error::Error;
use std::fmt;
use std::io;

use millrun_loop::{ErrorContext, catch};
use millrun_selector::Address;

use super::SocketTransport;
use super::call::copy_of;
use crate::Transport;

/// A call of a connection's socket failed. Inside the `io::Error` of the same kind that `connection_lost` gets: "Broken
/// pipe" alone tells neither what was done nor with whom.
///
/// An error that carries something of its own (a panic, an error of somebody's own kind of socket) is passed on as
/// it is. The system's number is in [`source`](SocketError::source); [`os_error`] finds it from outside.
#[derive(Debug)]
#[non_exhaustive]
pub struct SocketError {
    /// What was done.
    pub operation: Operation,
    /// The other end, if it has an address.
    pub peer: Option<Address>,
    /// What the kernel said.
    pub source: io::Error,
}

/// What is done with the socket of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// A receive.
    Receive,
    /// A send.
    Send,
    /// The end of the write direction.
    Shutdown,
    /// Telling the selector what is of interest.
    Watch,
}

impl SocketError {
    pub(super) fn copy(&self) -> SocketError {
        let SocketError { operation, peer, source } = self;
        SocketError { operation: *operation, peer: peer.clone(), source: copy_of(source) }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, whom) = match self.operation {
            Operation::Receive => ("receiving", "from"),
            Operation::Send => ("sending", "to"),
            Operation::Shutdown => ("shutdown of the connection", "to"),
            Operation::Watch => ("watching the connection", "to"),
        };
        f.write_str(what)?;
        match &self.peer {
            None | Some(Address::UnixUnnamed) => {}
            Some(peer) => write!(f, " {whom} {peer}")?,
        }
        write!(f, " failed: {}", self.source)
    }
}

impl Error for SocketError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.source)
    }
}

/// The operating system's number of an error, also of one that carries it further inside: in a [`SocketError`], a
/// [`ConnectError`](crate::ConnectError), a [`ServeError`](crate::ServeError).
///
/// ```
/// use std::io;
/// let bare = io::Error::from_raw_os_error(32);
/// assert_eq!(millrun_transport::os_error(&bare), Some(32));
/// let wrapped = io::Error::new(bare.kind(), bare);
/// assert_eq!(wrapped.raw_os_error(), None);
/// assert_eq!(millrun_transport::os_error(&wrapped), Some(32));
/// ```
pub fn os_error(error: &io::Error) -> Option<i32> {
    if let Some(number) = error.raw_os_error() {
        return Some(number);
    }
    let mut cause = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(inner) = cause {
        if let Some(number) = inner.downcast_ref().and_then(io::Error::raw_os_error) {
            return Some(number);
        }
        cause = inner.source();
    }
    None
}

impl SocketTransport {
    /// An error that says nothing but what the kernel said is told what failed.
    #[cold]
    pub(super) fn named(&self, operation: Operation, error: io::Error) -> io::Error {
        if error.get_ref().is_some() {
            return error;
        }
        let peer = self.peer_to_tell();
        io::Error::new(error.kind(), SocketError { operation, peer, source: error })
    }

    /// The peer's address, for an error or a report.
    #[cold]
    pub(super) fn peer_to_tell(&self) -> Option<Address> {
        peer_to_tell(|| self.peer_addr(), |context| self.report(context))
    }
}

/// Whose connection it was, for what is told of its end. That may be a question to a stranger's socket: one that panics must not keep
/// the end from coming, nor from being told.
#[cold]
pub(crate) fn peer_to_tell(
    ask: impl FnOnce() -> Option<Address>,
    report: impl FnOnce(ErrorContext),
) -> Option<Address> {
    catch(ask).unwrap_or_else(|panic| {
        report(ErrorContext::new("asking for the peer's address failed").panic(panic));
        None
    })
}
