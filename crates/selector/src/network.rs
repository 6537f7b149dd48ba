//! What makes sockets and knows names: [`Network`] and [`Resolver`].

use std::fmt;
use std::io;
use std::net::SocketAddr;

use crate::{Address, Listener, Socket};

/// Makes sockets: the operating system's, or a simulated one's.
pub trait Network: fmt::Debug {
    /// Begins to connect to `to` and returns at once. The socket is connected when it is reported
    /// writable and [`Socket::take_error`] gives none; an error there is the connect's.
    /// TCP sockets get TCP_NODELAY (C-016).
    ///
    /// # Errors
    /// What is known at once: no descriptor left, a bind that failed (as [`BindError`] inside the
    /// `io::Error`, whose kind and number are kept), a refusal.
    fn connect(&self, to: &Address, options: &ConnectOptions) -> io::Result<Box<dyn Socket>>;

    /// Binds and listens.
    ///
    /// # Errors
    /// What the kernel refuses.
    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn Listener>>;

    /// Listening on [`Address::Unix`] makes a file of this machine's file system, which stays when the
    /// listener is closed: whoever listens has to clean it up. False for a network that has none of
    /// this machine's files, so that a simulation never removes one.
    fn has_files(&self) -> bool {
        false
    }
}

/// How to connect.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ConnectOptions {
    /// Bind to this address before connecting.
    pub local: Option<Address>,
}

/// How to listen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListenOptions {
    /// How many connections may wait to be accepted; 100 as in asyncio.
    pub backlog: u32,
    /// SO_REUSEADDR; on by default, as asyncio does on Unix (SV-007).
    pub reuse_address: bool,
    /// SO_REUSEPORT; off by default.
    pub reuse_port: bool,
    /// SO_KEEPALIVE on accepted sockets; off by default.
    pub keep_alive: bool,
}

impl Default for ListenOptions {
    fn default() -> ListenOptions {
        ListenOptions { backlog: 100, reuse_address: true, reuse_port: false, keep_alive: false }
    }
}

/// A bind that failed, inside the `io::Error` of [`Network::connect`]: lets a caller tell it from a
/// connect that failed (asyncio-style connecting tries the next local address).
#[derive(Debug)]
pub struct BindError {
    /// The address that was asked for.
    pub address: Address,
    /// What the kernel said.
    pub source: io::Error,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error while attempting to bind on address {}: {}", self.address, self.source)
    }
}

impl std::error::Error for BindError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A question to a [`Resolver`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// A host name or a literal address (perhaps with an IPv6 zone); `None` asks for the addresses of
    /// this machine: the wildcard ones when `passive`, else loopback.
    pub host: Option<String>,
    /// A port number as text, or a service name.
    pub service: String,
    /// Which family to ask for.
    pub family: Family,
    /// The addresses are for binding a server.
    pub passive: bool,
}

/// An address family to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Family {
    /// Both.
    #[default]
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

/// Turns names into addresses. It may block: the loop asks it on its executor.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// All stream-socket addresses of a name, in the order of preference.
    ///
    /// # Errors
    /// What the system's resolver says.
    fn resolve(&self, query: &Query) -> io::Result<Vec<SocketAddr>>;
}
