//! Who is at the other end? [`Peer`]: a socket, another transport, or what an author has.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read as _};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::{Socket, SocketOption};
use millrun_transport::{Flow, Landing, Protocol, Transport};

/// The other end of a connection: does what it is told when it is told, and nothing by itself but its [`work`](Peer::work). It need
/// not wait: it is asked again after a turn of the loop.
pub trait Peer: fmt::Debug {
    /// What has to be done at this end without being told, such as a handshake, or sending the rest of what was taken. Asked after
    /// each turn of the loop, until the peer is dropped. It takes nothing that [`receive`](Peer::receive) would give.
    fn work(&mut self) {}

    /// Sends, and says how many bytes were taken.
    ///
    /// # Errors
    /// `WouldBlock` when none are taken now; any other is the end.
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Takes what has come; 0 is the end of file. What the buffer has no room for it leaves unread below, if it can.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come; any other is the end.
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Sends no more, and still receives. Where that can't be it is as [`close`](Peer::close).
    fn end(&mut self);

    /// Closes, flushing what was taken by [`send`](Peer::send). It is not asked for anything after, but to [`work`](Peer::work).
    fn close(&mut self);

    /// Ends without a farewell, as if it had died. False where that can't be: nothing was done then.
    fn reset(&mut self) -> bool {
        false
    }
}

/// A socket as a peer.
#[derive(Debug)]
pub struct SocketPeer(Option<Box<dyn Socket>>);

impl SocketPeer {
    /// Of a connected socket, which is registered nowhere.
    pub fn new(socket: Box<dyn Socket>) -> SocketPeer {
        SocketPeer(Some(socket))
    }

    fn socket(&self) -> io::Result<&dyn Socket> {
        self.0.as_deref().ok_or_else(|| ErrorKind::NotConnected.into())
    }
}

impl Peer for SocketPeer {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket()?.try_write(bytes)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket()?.try_read(buffer)
    }

    fn end(&mut self) {
        // A peer that is gone already makes it fail.
        let _ = self.socket().and_then(|socket| socket.shutdown(Shutdown::Write));
    }

    fn close(&mut self) {
        self.0 = None;
    }

    fn reset(&mut self) -> bool {
        let lingers = SocketOption::Linger(Some(Duration::ZERO));
        let can = self.socket().and_then(|socket| socket.set_option(lingers)).is_ok();
        if can {
            self.0 = None;
        }
        can
    }
}

/// Another transport as a peer. It reads only when it is asked to, as far as it can help it.
pub(crate) struct TransportPeer {
    transport: Rc<dyn Transport>,
    inbox: Rc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    bytes: RefCell<VecDeque<u8>>,
    /// How many bytes it takes in before it pauses: as many as were asked for last.
    wanted: Cell<usize>,
    is_made: Cell<bool>,
    /// What it shall do when it is made: before that it is not known what it can, and a close may drop what was written (in a
    /// handshake).
    then: Cell<Option<Then>>,
    saw_eof: Cell<bool>,
    /// By which error, if by one.
    lost: Cell<Option<Option<ErrorKind>>>,
}

type Then = fn(&dyn Transport);

impl TransportPeer {
    /// Attaches it.
    pub(crate) fn new(attach: super::Attach) -> io::Result<TransportPeer> {
        let inbox = Rc::new(Inbox::default());
        let protocol = Receiver { inbox: inbox.clone(), transport: None };
        Ok(TransportPeer { transport: attach(Box::new(protocol))?, inbox })
    }

    fn when_made(&self, then: Then) {
        if self.inbox.is_made.get() {
            then(&*self.transport);
        } else {
            self.inbox.then.set(Some(then));
        }
    }
}

impl Peer for TransportPeer {
    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.transport.write_buffer_size() > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        match self.transport.write(bytes) {
            Flow::Closed => Err(ErrorKind::BrokenPipe.into()),
            Flow::Open | Flow::Paused => Ok(bytes.len()),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inbox.bytes.borrow_mut().read(buffer)?;
        if n > 0 {
            return Ok(n);
        }
        // An end of file came before the error, if both came.
        match (self.inbox.saw_eof.get(), self.inbox.lost.get()) {
            (true, _) | (_, Some(None)) => return Ok(0),
            (false, Some(Some(kind))) => return Err(kind.into()),
            (false, None) => {}
        }
        self.inbox.wanted.set(buffer.len());
        self.transport.resume_reading();
        Err(ErrorKind::WouldBlock.into())
    }

    fn end(&mut self) {
        self.when_made(end);
    }

    fn close(&mut self) {
        self.when_made(|transport| transport.close());
    }
}

impl fmt::Debug for TransportPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TransportPeer").field(&self.transport).finish()
    }
}

fn end(transport: &dyn Transport) {
    if transport.can_write_eof() { transport.write_eof() } else { transport.close() }
}

struct Receiver {
    inbox: Rc<Inbox>,
    transport: Option<Rc<dyn Transport>>,
}

impl Receiver {
    fn room(&self) -> usize {
        self.inbox.wanted.get().saturating_sub(self.inbox.bytes.borrow().len())
    }

    fn pause_if_full(&self) {
        if self.room() > 0 {
            return;
        }
        if let Some(transport) = &self.transport {
            transport.pause_reading();
        }
    }
}

impl Protocol for Receiver {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.inbox.is_made.set(true);
        if let Some(then) = self.inbox.then.take() {
            then(&*transport);
        }
        self.transport = Some(transport);
        self.pause_if_full();
    }

    fn landing(&mut self) -> Landing<'_> {
        Landing::Shared(self.room())
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.inbox.bytes.borrow_mut().extend(data);
        self.pause_if_full();
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        self.inbox.saw_eof.set(true);
        true
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.inbox.lost.set(Some(error.map(|e| e.kind())));
        self.transport = None;
    }
}
