//! A connection over a socket: [`SocketTransport`].
//!
//! It joins a [`Socket`] with the four parts of this crate and adds no rule of its own about order
//! ([`lifecycle`](crate::lifecycle)), about whom to call ([`slot`](crate::slot)), about when to pause
//! ([`pressure`](crate::pressure)) or about what is unsent ([`buffer`](crate::buffer)). What is left is when the
//! kernel is asked for what:
//!
//! | file | question |
//! |---|---|
//! | `read.rs` | one receive per readable event: of how much, into what memory? |
//! | `write.rs`, `outgoing.rs` | when does a write leave, and with what else? |
//! | `settle.rs` | what is left for the end of the unit? |
//! | `close.rs` | who ends a connection, and by when? |
//! | `end.rs` | in which order does it end: `connection_lost`, the socket, the owner? |
//! | `error.rs` | which call of a socket failed, and with whom? |
//! | `call.rs` | how is user code called, and what if it fails? |
//! | `face.rs` | which of all this is [`Transport`]? |
//! | `family.rs`, `rare.rs`, `state.rs` | where is it kept, so that an idle connection is small? |

mod call;
mod close;
mod end;
mod error;
mod face;
mod family;
mod outgoing;
mod rare;
mod read;
mod settle;
mod state;
mod write;

use std::cell::Cell;
use std::fmt;
use std::io;
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::rc::{Rc, Weak};

use millrun_loop::{ErrorContext, LoopClosed, LoopHandle, Watch, catch};
use millrun_selector::{Address, Interest, Key, Readiness, Socket};

pub(crate) use error::peer_to_tell;
pub use error::{Operation, SocketError, os_error};
pub use family::{CLOSE_TIMEOUT, ConnectionOwner, TransportFamily, TransportOptions};
pub(crate) use family::{NotMade, Owned, PeerAddress};

use crate::Protocol;
use crate::buffer::WriteBuffer;
use crate::lifecycle::Lifecycle;
use crate::slot::ProtocolSlot;
use family::Common;
use rare::Rare;
use settle::Settling;
use state::{BLOCKED, GATHERS, LINGERS, State};

/// A transport over a stream socket.
///
/// The loop keeps it alive until `connection_lost` has returned, so nobody needs to hold it. Its
/// `Debug` text tells the state: `<SocketTransport fd=7 read=polling write=<idle, bufsize=0>>`.
pub struct SocketTransport {
    this: Weak<SocketTransport>,
    common: Rc<Common>,
    /// Taken out for each call of it; gone for good when the connection is over.
    socket: Cell<Option<Box<dyn Socket>>>,
    slot: ProtocolSlot,
    /// Taken out for each use of it: a send, which may be a stranger's, or leaf code, which calls nobody.
    buffer: Cell<WriteBuffer>,
    rare: Cell<Option<Box<Rare>>>,
    key: Cell<Key>,
    peer: Cell<Peer>,
    number: u32,
    state: State,
}

/// An address in 8 bytes where it fits: ten thousand connections are idle.
#[derive(Clone, Copy)]
enum Peer {
    /// Accepted without it: the socket tells it for as long as it lives.
    Unasked,
    Unknown,
    V4(SocketAddrV4),
    Unnamed,
    /// In the rare part.
    Other,
}

impl SocketTransport {
    /// Joins a connected socket and a protocol. Calls nothing: it queues `connection_made`, after which
    /// reading starts. What the caller queues next therefore runs when both have happened (T-001).
    ///
    /// # Errors
    /// What the selector refuses, and a closed loop: the socket is closed then. `InvalidInput` for marks
    /// where low is above high.
    #[doc(alias = "_make_socket_transport")]
    pub fn new(
        handle: &LoopHandle,
        socket: Box<dyn Socket>,
        protocol: Box<dyn Protocol>,
        options: TransportOptions,
    ) -> io::Result<Rc<SocketTransport>> {
        let family = TransportFamily::new(handle, &options, None)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        family.transport(socket, protocol, options.peer, 0)
    }

    fn make(
        common: Rc<Common>,
        socket: Box<dyn Socket>,
        protocol: Box<dyn Protocol>,
        peer: PeerAddress<'_>,
        number: u32,
    ) -> Result<Rc<SocketTransport>, Box<NotMade>> {
        let (peer, rare) = match peer {
            PeerAddress::AskLater => (Peer::Unasked, None),
            PeerAddress::Known(peer) => Peer::new(peer),
            PeerAddress::AskNow => Peer::of(&*socket),
        };
        let state = State::new(if common.gathering { GATHERS } else { 0 });
        let transport = Rc::new_cyclic(|this| SocketTransport {
            this: Weak::clone(this),
            common,
            socket: Cell::new(None),
            slot: ProtocolSlot::new(protocol),
            buffer: Cell::new(WriteBuffer::new()),
            rare: Cell::new(rare),
            key: Cell::new(Key { index: 0, generation: 0 }),
            peer: Cell::new(peer),
            number,
            state,
        });
        transport.update_plain();
        // Registered from the start, so that a loop that closes finds it; and for what it will want as soon as it is made. What
        // is reported before finds nothing to do.
        let watched = transport.handle().watch(&socket, Interest::READ, transport.clone());
        transport.socket.set(Some(socket));
        transport.key.set(watched.map_err(|error| transport.unmade(error))?);
        match transport.handle().call_soon_owed(transport.clone()) {
            Ok(()) => Ok(transport),
            Err(closed) => Err(transport.made_in_vain(closed)),
        }
    }

    /// The loop closed before it heard of it.
    #[cold]
    fn made_in_vain(&self, closed: LoopClosed) -> Box<NotMade> {
        if let Some(socket) = self.socket.take() {
            let _ = self.handle().unwatch(self.key.get(), &socket);
            self.socket.set(Some(socket));
        }
        self.unmade(closed.into())
    }

    /// It can't be made, for this reason: the protocol goes, and its drop is a stranger's code.
    #[cold]
    #[inline(never)]
    fn unmade(&self, error: io::Error) -> Box<NotMade> {
        let peer = self.peer_to_tell();
        let protocol = self.slot.take();
        if let Err(panic) = catch(move || drop(protocol)) {
            self.report(ErrorContext::new("dropping a protocol failed").panic(panic));
        }
        drop(self.socket.take());
        Box::new(NotMade { error, peer })
    }

    /// The turn of `connection_made` has come.
    #[inline(never)]
    fn start(self: &Rc<Self>) {
        if !self.step(Lifecycle::handle_made) {
            return;
        }
        let this = Rc::clone(self);
        self.call("connection_made", |p| p.connection_made(this));
        // A no-op if the transport is paused or closing by now (T-002, T-022).
        self.step(Lifecycle::handle_start);
        // Writes may have been made before: they leave now, and what is true was not told then.
        self.send_buffered();
        self.update_pressure();
    }

    /// The peer's address is asked for, if it was not yet; `None` while the socket is on the stack.
    #[cold]
    fn ask_peer(&self) -> Option<Address> {
        let peer = self.socket(|socket| socket.peer_addr().ok())?;
        self.keep_peer(peer.as_ref());
        peer
    }

    fn keep_peer(&self, peer: Option<&Address>) {
        let (kept, rare) = peer.map_or((Peer::Unknown, None), Peer::new);
        self.peer.set(kept);
        if let Some(rare) = rare {
            self.rare(|here| here.peer = rare.peer);
        }
    }

    /// The loop that it lives on.
    pub fn handle(&self) -> &LoopHandle {
        &self.common.handle
    }

    fn step<R>(&self, f: impl FnOnce(&mut Lifecycle) -> R) -> R {
        let mut life = self.state.life();
        let next = f(&mut life);
        self.state.set_life(life);
        next
    }

    /// Calls the socket. `None` when it is gone, or on the stack (a socket of a stranger's that called
    /// back): then the kernel can't be asked now.
    fn socket<R>(&self, f: impl FnOnce(&dyn Socket) -> R) -> Option<R> {
        self.lend_socket().get().map(f)
    }

    /// The socket, or nothing, until it is dropped.
    #[inline(always)]
    fn lend_socket(&self) -> Lent<'_> {
        Lent { socket: self.socket.take(), home: &self.socket }
    }

    /// The end of an event of a connection that waits for the kernel's room, or lingers.
    #[inline(never)]
    fn finish_rarely(self: &Rc<Self>, readiness: Readiness, settling: &Settling<'_>) {
        if self.state.has(LINGERS) {
            self.linger();
        } else if readiness.is_writable() {
            self.write_ready();
        }
        self.finish(settling);
    }

    /// It was told that it can be read, and does not want to hear that (any more): mostly since the peer's end has come.
    #[cold]
    fn not_wanted(&self) {
        self.update_interest();
    }

    /// Says what of the socket's readiness matters now.
    fn update_interest(&self) {
        let life = self.state.life();
        if life.is_ending() && !self.state.has(LINGERS) {
            // Its registration goes next. What is reported of it until then finds nothing to do.
            return;
        }
        let mut interest = Interest::NONE;
        if life.will_want_reads() || self.state.has(LINGERS) {
            interest = interest | Interest::READ;
        }
        if self.state.has(BLOCKED) && life.sends() {
            interest = interest | Interest::WRITE;
        }
        if let Err(error) = self.handle().set_interest(self.key.get(), interest) {
            // The registration is gone: without it nothing would ever happen again. Once ending, that is
            // as it should be.
            let error = self.named(Operation::Watch, error);
            self.end(Some(error));
        }
    }
}

impl Watch for SocketTransport {
    fn on_ready(self: Rc<Self>, readiness: Readiness) {
        let settling = self.begin_settling();
        if readiness.is_readable() {
            if self.state.wants_reads() {
                self.read_ready();
            } else {
                self.not_wanted();
            }
        }
        // Asked again after user code has run.
        if self.state.is_sendable() {
            self.finish_by_sending(&settling);
        } else if self.state.has(BLOCKED | LINGERS) {
            self.finish_rarely(readiness, &settling);
        } else {
            self.finish_without_sending(&settling);
        }
    }

    fn on_loop_close(self: Rc<Self>) {
        self.loop_closes();
    }

    fn name(&self) -> &'static str {
        "SocketTransport"
    }
}

/// The socket, for the length of a call of it.
struct Lent<'a> {
    socket: Option<Box<dyn Socket>>,
    home: &'a Cell<Option<Box<dyn Socket>>>,
}

impl Lent<'_> {
    #[inline(always)]
    fn get(&self) -> Option<&dyn Socket> {
        self.socket.as_deref()
    }
}

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        // Whoever took it out puts it back, so there is nothing to drop there.
        std::mem::forget(self.home.replace(self.socket.take()));
    }
}

impl Peer {
    fn new(address: &Address) -> (Peer, Option<Box<Rare>>) {
        match address {
            Address::Inet(SocketAddr::V4(v4)) => (Peer::V4(*v4), None),
            Address::UnixUnnamed => (Peer::Unnamed, None),
            other => (Peer::Other, Some(Peer::kept(other))),
        }
    }

    #[cold]
    fn of(socket: &dyn Socket) -> (Peer, Option<Box<Rare>>) {
        socket.peer_addr().map_or((Peer::Unknown, None), |peer| Peer::new(&peer))
    }

    #[inline(never)]
    fn kept(address: &Address) -> Box<Rare> {
        Box::new(Rare { peer: Some(address.clone()), ..Rare::default() })
    }
}

/// The text form of asyncio's transports (T-030).
impl fmt::Debug for SocketTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<SocketTransport")?;
        let life = self.state.life();
        if life.is_closing() {
            f.write_str(if life.is_lost() { " closed" } else { " closing" })?;
        }
        if let Some(Some(fd)) = self.socket(|s| s.fd().map(|fd| fd.as_raw_fd())) {
            write!(f, " fd={fd}")?;
        }
        if !life.is_lost() {
            let read = if life.wants_reads() { "polling" } else { "idle" };
            let write = if self.state.has(BLOCKED) { "polling" } else { "idle" };
            write!(f, " read={read} write=<{write}, bufsize={}>", self.buffered())?;
        }
        f.write_str(">")
    }
}

impl Drop for SocketTransport {
    /// The loop holds it until it is over: this is left only of a loop that failed to close it (T-028).
    fn drop(&mut self) {
        if self.socket.take().is_some() {
            tracing::debug!("a transport was dropped unclosed");
        }
    }
}
