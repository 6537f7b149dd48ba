//! Shapes whose connections have nothing to do with each other.

use std::io;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

use crate::link::{BUFFER, Link};
use crate::poll::{Poll, Shape};
use crate::table::Table;

/// What one connection does.
pub(crate) trait Connection: From<Link> {
    fn link(&mut self) -> &mut Link;

    /// Works on what is ready and says what to watch for; nothing when the connection is done. On an error it is closed too: a
    /// connection that was reset is no matter for the others.
    fn ready(&mut self, flags: EventFlags, buffer: &mut [u8]) -> io::Result<Option<EventFlags>>;
}

/// All connections of a server, and the buffer that they share.
#[derive(Debug)]
pub(crate) struct Each<C> {
    connections: Table<C>,
    buffer: Box<[u8]>,
}

impl<C> Default for Each<C> {
    fn default() -> Self {
        Self { connections: Table::default(), buffer: vec![0; BUFFER].into() }
    }
}

impl<C: Connection> Shape for Each<C> {
    fn accepted(&mut self, poll: &Poll, socket: OwnedFd) -> io::Result<()> {
        let link = Link::new(poll, self.connections.next_key(), socket, EventFlags::IN)?;
        self.connections.insert(C::from(link));
        Ok(())
    }

    fn ready(&mut self, poll: &Poll, key: usize, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let watched = match connection.ready(flags, &mut self.buffer) {
            Ok(Some(wanted)) => connection.link().watch(poll, key, wanted).is_ok(),
            Ok(None) | Err(_) => false,
        };
        if !watched {
            self.connections.remove(key);
        }
    }

    fn settle(&mut self) -> bool {
        self.connections.settle()
    }
}
