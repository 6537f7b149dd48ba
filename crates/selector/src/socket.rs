//! Non-blocking sockets as the layers above see them: [`Socket`] and [`Listener`].

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::time::Duration;

use crate::{Address, Source};

/// A connected (or connecting) stream socket that never blocks and never raises SIGPIPE.
///
/// Calls take `&self`: the kernel is the shared state. Dropping it closes the descriptor, once;
/// deregister it first.
pub trait Socket: Source {
    /// Takes up to `buffer.len()` bytes that have arrived; 0 is the end of file (unless the buffer
    /// is empty).
    ///
    /// # Errors
    /// `WouldBlock` when nothing waits; `ConnectionReset` and its like end the stream. Never
    /// `Interrupted`: the call is repeated.
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Hands bytes to the kernel and says how many it took.
    ///
    /// # Errors
    /// `WouldBlock` when it takes none now; `BrokenPipe`, `ConnectionReset` and their like.
    fn try_write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// As [`try_write`](Socket::try_write), for several pieces in one call. At most
    /// [`MAX_SLICES`] of them are looked at.
    ///
    /// # Errors
    /// As `try_write`.
    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ends one direction or both.
    ///
    /// # Errors
    /// `NotConnected` and what else the kernel says.
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;

    /// The address of this end.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr(&self) -> io::Result<Address>;

    /// The address of the other end.
    ///
    /// # Errors
    /// `NotConnected` while or after there is none: of what [`Listener::try_accept_bare`] gave without an address there always is one.
    fn peer_addr(&self) -> io::Result<Address>;

    /// Takes the pending error: what a finished non-blocking connect is asked for.
    ///
    /// # Errors
    /// Only if the question itself fails.
    fn take_error(&self) -> io::Result<Option<io::Error>>;

    /// Sets an option.
    ///
    /// # Errors
    /// `Unsupported` where this kind of socket has no such option.
    fn set_option(&self, option: SocketOption) -> io::Result<()>;

    /// Asks for an option's value.
    ///
    /// # Errors
    /// `Unsupported` where this kind of socket has no such option.
    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption>;
}

/// A socket that accepts connections.
pub trait Listener: Source {
    /// Takes one waiting connection, with the peer's address as accept told it.
    ///
    /// # Errors
    /// `WouldBlock` when none waits; the kernel's refusal (EMFILE, ENFILE, ECONNABORTED, …) as it is.
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)>;

    /// As [`try_accept`](Listener::try_accept), for who can ask for the peer's address later: `None` where accept would have to do
    /// more to tell it, and then [`Socket::peer_addr`] tells it for as long as the socket lives, a reset by the peer or not (Linux,
    /// TCP). Servers accept so: most connections are never asked for their peer.
    ///
    /// # Errors
    /// As `try_accept`.
    fn try_accept_bare(&self) -> io::Result<(Box<dyn Socket>, Option<Address>)> {
        let (socket, peer) = self.try_accept()?;
        Ok((socket, Some(peer)))
    }

    /// The address that it listens on: with port 0 asked for, the real one.
    ///
    /// # Errors
    /// What the kernel says.
    fn local_addr(&self) -> io::Result<Address>;
}

/// The most pieces a vectored write hands to the kernel: IOV_MAX on Linux, macOS and the BSDs.
pub const MAX_SLICES: usize = 1024;

/// A socket option and its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SocketOption {
    /// TCP_NODELAY: don't wait to fill a segment.
    NoDelay(bool),
    /// SO_KEEPALIVE: ask a silent peer whether it lives.
    KeepAlive(bool),
    /// SO_SNDBUF in bytes (Linux keeps twice what it is given, and tells that).
    SendBuffer(usize),
    /// SO_RCVBUF in bytes (Linux keeps twice what it is given, and tells that).
    ReceiveBuffer(usize),
    /// SO_LINGER: how long close may wait for unsent bytes; zero makes it a reset.
    Linger(Option<Duration>),
}

/// The name of a [`SocketOption`], to ask for its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SocketOptionName {
    /// TCP_NODELAY.
    NoDelay,
    /// SO_KEEPALIVE.
    KeepAlive,
    /// SO_SNDBUF.
    SendBuffer,
    /// SO_RCVBUF.
    ReceiveBuffer,
    /// SO_LINGER.
    Linger,
}
