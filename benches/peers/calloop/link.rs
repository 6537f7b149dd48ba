//! One connection: what is unsent, and what the loop watches.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;

use calloop::generic::Generic;
use calloop::{
    EventSource, Interest, Mode, Poll, PostAction, Readiness, RegistrationToken, Token,
    TokenFactory,
};

use crate::{Handle, Shared, failed};

/// With so many bytes unsent nothing is read that would add to them.
const FULL: usize = 64 * 1024;

/// Room that a connection keeps when everything is sent, in bytes: more goes back to the allocator.
const SPARE: usize = 4 * 1024;

/// A connection, for its callback and for those of others.
pub(crate) struct Link {
    stream: Rc<TcpStream>,
    /// What the kernel did not take; its first `gone` bytes were sent since.
    unsent: Vec<u8>,
    gone: usize,
    ended: bool,
    handle: Handle,
    watched: Rc<Watched>,
}

/// What a connection has in common with its source.
struct Watched {
    /// Readable, writable.
    wanted: Cell<(bool, bool)>,
    token: Cell<Option<RegistrationToken>>,
}

impl Watched {
    fn interest(&self) -> Interest {
        let (readable, writable) = self.wanted.get();
        Interest { readable, writable }
    }
}

impl Link {
    /// The connection, and the source that is to be [inserted](Socket::insert).
    pub(crate) fn new(handle: &Handle, stream: TcpStream) -> io::Result<(Self, Socket)> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let (stream, handle) = (Rc::new(stream), handle.clone());
        let watched = Rc::new(Watched { wanted: Cell::new((true, false)), token: Cell::new(None) });
        let generic = Generic::new(stream.clone(), Interest::READ, Mode::Level);
        let socket = Socket { generic, watched: watched.clone() };
        Ok((Self { stream, unsent: Vec::new(), gone: 0, ended: false, handle, watched }, socket))
    }

    /// So many bytes came: 0 when there are none now, or none any more ([`has_ended`](Link::has_ended)).
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match (&*self.stream).read(buffer) {
            Ok(0) => {
                self.ended = true;
                Ok(0)
            }
            Err(error) if is_later(&error) => Ok(0),
            other => other,
        }
    }

    /// Sends, and keeps what the kernel does not take.
    pub(crate) fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let taken = if self.has_unsent() { 0 } else { self.offer(data)? };
        if taken < data.len() {
            self.keep(&data[taken..]);
        }
        Ok(())
    }

    /// Keeps it to be [flushed](Link::flush) with what else there is.
    pub(crate) fn keep(&mut self, data: &[u8]) {
        self.unsent.drain(..std::mem::take(&mut self.gone));
        self.unsent.extend_from_slice(data);
    }

    /// Sends what was kept, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.has_unsent() {
            self.gone += self.offer(&self.unsent[self.gone..])?;
        }
        if !self.has_unsent() {
            self.gone = 0;
            self.unsent.clear();
            self.unsent.shrink_to(SPARE);
        }
        Ok(())
    }

    /// Sends as much as the kernel takes, and keeps nothing; says how much that was.
    pub(crate) fn offer(&self, data: &[u8]) -> io::Result<usize> {
        match (&*self.stream).write(data) {
            Err(error) if is_later(&error) => Ok(0),
            other => other,
        }
    }

    /// Sends no more.
    pub(crate) fn end(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// The outcome of connecting.
    pub(crate) fn connected(&self) -> io::Result<()> {
        self.stream.take_error()?.map_or(Ok(()), Err)
    }

    /// Has the loop watch for this from now on. From inside the own callback too, if that goes on.
    pub(crate) fn watch(&self, readable: bool, writable: bool) -> io::Result<()> {
        let wanted = (readable, writable);
        let before = self.watched.wanted.replace(wanted);
        let Some(token) = self.watched.token.get() else { return Ok(()) };
        match (before, wanted) {
            _ if before == wanted => Ok(()),
            // Not watched at all: a hang-up would be told over and over.
            (_, (false, false)) => self.handle.disable(&token),
            ((false, false), _) => self.handle.enable(&token),
            _ => self.handle.update(&token),
        }
        .map_err(failed)
    }

    /// Takes the connection out of the loop: from another one's callback.
    pub(crate) fn remove(&self) {
        if let Some(token) = self.watched.token.take() {
            self.handle.remove(token);
        }
    }

    /// The peer sends no more.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.gone < self.unsent.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.unsent.len() - self.gone >= FULL
    }
}

/// What the loop holds of a connection.
pub(crate) struct Socket {
    generic: Generic<Rc<TcpStream>>,
    watched: Rc<Watched>,
}

impl Socket {
    /// Into the loop. The callback says whether it goes on; without, and with an error, the connection ends.
    pub(crate) fn insert(
        self,
        handle: &Handle,
        mut ready: impl FnMut(Readiness, &mut Shared) -> io::Result<bool> + 'static,
    ) -> io::Result<()> {
        let watched = self.watched.clone();
        let callback =
            move |readiness, (): &mut (), shared: &mut Shared| match ready(readiness, shared) {
                Ok(true) => PostAction::Continue,
                Ok(false) | Err(_) => PostAction::Remove,
            };
        let token = handle.insert_source(self, callback).map_err(failed)?;
        watched.token.set(Some(token));
        Ok(())
    }
}

/// A [`Generic`], registered for what is wanted at the time.
impl EventSource for Socket {
    type Event = Readiness;
    type Metadata = ();
    type Ret = PostAction;
    type Error = io::Error;

    fn process_events<F>(
        &mut self,
        readiness: Readiness,
        token: Token,
        mut callback: F,
    ) -> io::Result<PostAction>
    where
        F: FnMut(Readiness, &mut ()) -> PostAction,
    {
        self.generic
            .process_events(readiness, token, |readiness, _| Ok(callback(readiness, &mut ())))
    }

    fn register(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.generic.interest = self.watched.interest();
        self.generic.register(poll, tokens)
    }

    fn reregister(&mut self, poll: &mut Poll, tokens: &mut TokenFactory) -> calloop::Result<()> {
        self.generic.interest = self.watched.interest();
        self.generic.reregister(poll, tokens)
    }

    fn unregister(&mut self, poll: &mut Poll) -> calloop::Result<()> {
        self.generic.unregister(poll)
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
