//! What do the transports of one server have in common? [`TransportFamily`]: said once, not per connection.

use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use millrun_loop::LoopHandle;
use millrun_selector::{Address, Socket};

use super::SocketTransport;
use super::write::enough;
use crate::{InvalidLimits, Protocol, Transport, Watermarks, extra_info};

/// How long [`close`](crate::Transport::close) waits without progress: asyncio's time for a TLS
/// shutdown. asyncio itself waits for ever for a peer that stalled (D-20).
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a transport starts with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TransportOptions {
    /// The marks of the write buffer.
    pub watermarks: Watermarks,
    /// How long a close waits without progress; [`CLOSE_TIMEOUT`] unless told.
    pub close_timeout: Duration,
    /// Whether small writes of one unit leave together; see
    /// [`set_gathering`](crate::Transport::set_gathering). On unless told.
    pub gathering: bool,
    /// The peer's address where it is known (from accept, say); else the socket is asked (T-024).
    pub peer: Option<Address>,
}

impl Default for TransportOptions {
    fn default() -> TransportOptions {
        TransportOptions {
            watermarks: Watermarks::default(),
            close_timeout: CLOSE_TIMEOUT,
            gathering: true,
            peer: None,
        }
    }
}

/// Who counts the connections of a family.
pub trait ConnectionOwner {
    /// The connection of this number is over: `connection_lost` has returned and the socket is closed
    /// (T-020). Called once for each transport that was made.
    fn connection_over(&self, number: u32);

    /// A layer is over the connection of this number now, or over the layer that was: the owner closes it from above. Nobody needs to
    /// care who does not close what it counts.
    fn connection_covered(&self, number: u32, layer: &Rc<dyn Transport>) {
        let _ = (number, layer);
    }
}

/// Whose is this connection, and under which number? The answer of a live socket's transport to
/// [`extension`](Transport::extension), which layers pass on: so it is found under any number of them. Private to this crate.
pub(crate) struct Owned {
    owner: Weak<dyn ConnectionOwner>,
    number: u32,
}

impl Owned {
    /// Tells the owner of this connection, if it has one, that a layer is over it now.
    pub(crate) fn cover(below: &dyn Transport, layer: &Rc<dyn Transport>) {
        if let Some(owned) = extra_info::<Owned>(below) {
            if let Some(owner) = owned.owner.upgrade() {
                owner.connection_covered(owned.number, layer);
            }
        }
    }
}

/// Whence does a transport have its peer's address?
#[derive(Clone, Copy)]
pub(crate) enum PeerAddress<'a> {
    /// It is this one.
    Known(&'a Address),
    /// From the socket, at once: later it may have forgotten it.
    AskNow,
    /// From the socket, when somebody wants to know: it [remembers](millrun_selector::Listener::try_accept_bare).
    AskLater,
}

/// Why there is no transport. The socket is closed.
pub(crate) struct NotMade {
    pub(crate) error: io::Error,
    /// Who would have been at the other end.
    pub(crate) peer: Option<Address>,
}

/// Makes transports that share a loop, options and an owner: what a server needs for the connections
/// that it accepts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TransportFamily(pub(super) Rc<Common>);

/// The part of a transport that it shares.
pub(super) struct Common {
    pub(super) handle: LoopHandle,
    pub(super) watermarks: Watermarks,
    pub(super) close_timeout: Duration,
    pub(super) gathering: bool,
    /// Gathered bytes leave at this size: see [`enough`](super::write::enough).
    pub(super) enough: usize,
    /// Weak: the owner may hold the family.
    pub(super) owner: Option<Weak<dyn ConnectionOwner>>,
}

impl TransportFamily {
    /// A family on this loop, with the options that it shares: the peer's address is each member's own.
    ///
    /// # Errors
    /// Marks where low is above high (F-003).
    pub fn new(
        handle: &LoopHandle,
        options: &TransportOptions,
        owner: Option<Weak<dyn ConnectionOwner>>,
    ) -> Result<TransportFamily, InvalidLimits> {
        Ok(TransportFamily(Rc::new(Common {
            handle: handle.clone(),
            watermarks: options.watermarks.check()?,
            close_timeout: options.close_timeout,
            gathering: options.gathering,
            enough: enough(options.watermarks),
            owner,
        })))
    }

    /// Joins a socket and a protocol, as [`SocketTransport::new`] does. `number` is what the owner
    /// will be told when the connection is over.
    ///
    /// # Errors
    /// What the selector refuses, and a closed loop; the socket is closed then, and the owner is not told.
    pub fn transport(
        &self,
        socket: Box<dyn Socket>,
        protocol: Box<dyn Protocol>,
        peer: Option<Address>,
        number: u32,
    ) -> io::Result<Rc<SocketTransport>> {
        let peer = peer.as_ref().map_or(PeerAddress::AskNow, PeerAddress::Known);
        self.transport_to(socket, protocol, peer, number).map_err(|not_made| not_made.error)
    }

    /// As [`transport`](TransportFamily::transport); of most addresses a few bytes are kept.
    pub(crate) fn transport_to(
        &self,
        socket: Box<dyn Socket>,
        protocol: Box<dyn Protocol>,
        peer: PeerAddress<'_>,
        number: u32,
    ) -> Result<Rc<SocketTransport>, Box<NotMade>> {
        SocketTransport::make(self.0.clone(), socket, protocol, peer, number)
    }
}

impl Common {
    pub(super) fn owned(&self, number: u32) -> Option<Owned> {
        let owner = self.owner.clone()?;
        Some(Owned { owner, number })
    }

    pub(super) fn tell_over(&self, number: u32) {
        if let Some(owner) = self.owner.as_ref().and_then(Weak::upgrade) {
            owner.connection_over(number);
        }
    }
}

impl fmt::Debug for Common {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Common")
            .field("watermarks", &self.watermarks)
            .field("close_timeout", &self.close_timeout)
            .field("gathering", &self.gathering)
            .finish_non_exhaustive()
    }
}
