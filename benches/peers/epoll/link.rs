//! One socket: what it was not able to send yet, and what epoll watches of it.

use std::io;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};

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
    /// Watched for reading under that key.
    pub(crate) fn new(poll: &Poll, key: usize, socket: OwnedFd) -> io::Result<Self> {
        poll.add(&socket, key, EventFlags::IN)?;
        Ok(Self { socket, unsent: Vec::new(), gone: 0, watched: EventFlags::IN, ended: false })
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

    /// Has epoll watch `wanted` from now on.
    pub(crate) fn watch(&mut self, poll: &Poll, key: usize, wanted: EventFlags) -> io::Result<()> {
        if wanted != self.watched {
            poll.modify(&self.socket, key, wanted)?;
            self.watched = wanted;
        }
        Ok(())
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

    /// So many bytes were taken.
    fn offer(&self, bytes: &[u8]) -> io::Result<usize> {
        match net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(taken) => Ok(taken),
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}
