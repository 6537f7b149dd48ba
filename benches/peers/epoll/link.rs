//! One socket: what it was not able to send yet, and what epoll watches of it.

use std::io;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags, Shutdown};

use crate::poll::Poll;

/// Length of the buffer that all connections read into.
pub(crate) const BUFFER: usize = 64 * 1024;

/// With more unsent bytes than this nothing is read that would add to them.
pub(crate) const KEPT: usize = 64 * 1024;

/// A socket with its unsent bytes.
#[derive(Debug)]
pub(crate) struct Link {
    socket: OwnedFd,
    /// What the kernel didn't take; its first `gone` bytes were sent since.
    unsent: Vec<u8>,
    gone: usize,
    watched: EventFlags,
    ended: bool,
}

impl Link {
    /// Watched for `wanted` under that key.
    pub(crate) fn new(
        poll: &Poll,
        key: usize,
        socket: OwnedFd,
        wanted: EventFlags,
    ) -> io::Result<Self> {
        poll.add(&socket, key, wanted)?;
        Ok(Self { socket, unsent: Vec::new(), gone: 0, watched: wanted, ended: false })
    }

    /// So many bytes came; 0 when there are none now, or none any more ([`has_ended`](Self::has_ended)).
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match net::recv(&self.socket, buffer, RecvFlags::empty()) {
            Ok((0, _)) => {
                self.ended = true;
                Ok(0)
            }
            Ok((length, _)) => Ok(length),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Sends, and keeps what the kernel doesn't take.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.has_unsent() { 0 } else { self.offer(bytes)? };
        if taken < bytes.len() {
            self.unsent.drain(..self.gone);
            self.gone = 0;
            self.unsent.extend_from_slice(&bytes[taken..]);
        }
        Ok(())
    }

    /// Sends what was kept, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if self.has_unsent() {
            self.gone += self.offer(&self.unsent[self.gone..])?;
            if !self.has_unsent() {
                // Back to the allocator: of many connections few are slow, and none for long.
                self.unsent = Vec::new();
                self.gone = 0;
            }
        }
        Ok(())
    }

    /// Sends the end of file.
    pub(crate) fn shut_down(&self) -> io::Result<()> {
        Ok(net::shutdown(&self.socket, Shutdown::Write)?)
    }

    /// Has epoll watch for the end of file, and while there is something unsent for space.
    pub(crate) fn keep(&mut self, poll: &Poll, key: usize) -> io::Result<()> {
        let space = if self.has_unsent() { EventFlags::OUT } else { EventFlags::empty() };
        self.watch(poll, key, EventFlags::IN | space)
    }

    /// Has epoll watch `wanted` from now on. For nothing it is taken out: it would be reported for ever when both ends are closed.
    pub(crate) fn watch(&mut self, poll: &Poll, key: usize, wanted: EventFlags) -> io::Result<()> {
        if wanted != self.watched {
            match (self.watched.is_empty(), wanted.is_empty()) {
                (true, _) => poll.add(&self.socket, key, wanted)?,
                (_, true) => poll.remove(&self.socket)?,
                _ => poll.modify(&self.socket, key, wanted)?,
            }
            self.watched = wanted;
        }
        Ok(())
    }

    /// What a connection that answers needs watched; nothing when the peer ended and has everything.
    pub(crate) fn wanted(&self) -> Option<EventFlags> {
        match (self.has_unsent(), self.may_receive()) {
            (false, true) => Some(EventFlags::IN),
            (true, true) => Some(EventFlags::IN | EventFlags::OUT),
            (true, false) => Some(EventFlags::OUT),
            (false, false) => None,
        }
    }

    /// There may be more to come, and there is room for what is to be sent back.
    pub(crate) fn may_receive(&self) -> bool {
        !self.ended && !self.is_full()
    }

    /// The peer's end of file came.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn has_unsent(&self) -> bool {
        self.gone < self.unsent.len()
    }

    /// More is unsent than may be.
    pub(crate) fn is_full(&self) -> bool {
        self.unsent.len() - self.gone > KEPT
    }

    /// So many bytes were taken, 0 when there is no space now.
    pub(crate) fn offer(&self, bytes: &[u8]) -> io::Result<usize> {
        match net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(taken) => Ok(taken),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
