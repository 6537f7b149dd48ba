//! What comes goes back.

use std::io;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

use crate::link::{BUFFER, Link};
use crate::poll::{Poll, Shape};
use crate::table::Table;

#[derive(Debug)]
pub(crate) struct Echo {
    links: Table<Link>,
    buffer: Box<[u8]>,
}

impl Default for Echo {
    fn default() -> Self {
        Self { links: Table::default(), buffer: vec![0; BUFFER].into() }
    }
}

impl Shape for Echo {
    fn accepted(&mut self, poll: &Poll, socket: OwnedFd) -> io::Result<()> {
        let link = Link::new(poll, self.links.next_key(), socket)?;
        self.links.insert(link);
        Ok(())
    }

    fn ready(&mut self, poll: &Poll, key: usize, flags: EventFlags) {
        let Some(link) = self.links.get_mut(key) else { return };
        // Done, or reset: either way it is closed, and the others go on.
        if !echo(poll, key, link, flags, &mut self.buffer).unwrap_or(false) {
            self.links.remove(key);
        }
    }

    fn settle(&mut self) -> bool {
        self.links.settle()
    }
}

/// False when the connection is done.
pub(crate) fn echo(
    poll: &Poll,
    key: usize,
    link: &mut Link,
    flags: EventFlags,
    buffer: &mut [u8],
) -> io::Result<bool> {
    if flags != EventFlags::IN {
        link.flush()?;
    }
    if !link.has_ended() && !link.is_full() {
        let length = link.receive(buffer)?;
        if length > 0 {
            link.send(&buffer[..length])?;
        }
    }
    keep(poll, key, link)
}

/// Watches what an echo needs now; false when the peer ended and has everything.
pub(crate) fn keep(poll: &Poll, key: usize, link: &mut Link) -> io::Result<bool> {
    let wanted = match (link.has_unsent(), link.has_ended() || link.is_full()) {
        (false, true) => return Ok(false),
        (false, false) => EventFlags::IN,
        (true, false) => EventFlags::IN | EventFlags::OUT,
        (true, true) => EventFlags::OUT,
    };
    link.watch(poll, key, wanted)?;
    Ok(true)
}
