//! What publishers send goes to all subscribers: the first byte of a connection says which it is.

use std::io;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;

use crate::link::{BUFFER, Link};
use crate::poll::{Poll, Shape};
use crate::table::Table;

#[derive(Debug)]
pub(crate) struct Fanout {
    members: Table<Member>,
    buffer: Box<[u8]>,
    /// A subscriber has more unsent than it may: publishers are not read.
    stopped: bool,
    /// Subscribers that a message could not be sent to.
    lost: Vec<usize>,
}

#[derive(Debug)]
struct Member {
    link: Link,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Unknown,
    Publisher,
    Subscriber,
}

impl Default for Fanout {
    fn default() -> Self {
        let buffer = vec![0; BUFFER].into();
        Self { members: Table::default(), buffer, stopped: false, lost: Vec::new() }
    }
}

impl Shape for Fanout {
    fn accepted(&mut self, poll: &Poll, socket: OwnedFd) -> io::Result<()> {
        let link = Link::new(poll, self.members.next_key(), socket, EventFlags::IN)?;
        self.members.insert(Member { link, role: Role::Unknown });
        Ok(())
    }

    fn ready(&mut self, poll: &Poll, key: usize, flags: EventFlags) {
        let Some(member) = self.members.get_mut(key) else { return };
        let goes_on = match member.role {
            Role::Unknown => member.introduce(),
            Role::Publisher => self.publish(poll, key),
            Role::Subscriber => member.subscriber(poll, key, flags),
        };
        if !goes_on.unwrap_or(false) {
            self.members.remove(key);
        }
        if self.stopped && !self.is_full() {
            self.watch_publishers(poll, EventFlags::IN);
        }
    }

    fn settle(&mut self) -> bool {
        self.members.settle()
    }
}

impl Fanout {
    /// False at the publisher's end of file.
    fn publish(&mut self, poll: &Poll, key: usize) -> io::Result<bool> {
        let Self { members, buffer, lost, stopped } = self;
        let Some(publisher) = members.get_mut(key) else { return Ok(false) };
        if *stopped {
            // Of the same wait, or new.
            publisher.link.watch(poll, key, EventFlags::empty())?;
            return Ok(true);
        }
        let length = publisher.link.receive(buffer)?;
        if length == 0 {
            return Ok(!publisher.link.has_ended());
        }
        let mut full = false;
        for (key, Member { link, role }) in members.iter_mut() {
            if *role == Role::Subscriber {
                match link.send(&buffer[..length]).and_then(|()| link.keep(poll, key)) {
                    Ok(()) => full |= link.is_full(),
                    Err(_) => lost.push(key),
                }
            }
        }
        for key in self.lost.drain(..) {
            self.members.remove(key);
        }
        if full {
            self.watch_publishers(poll, EventFlags::empty());
        }
        Ok(true)
    }

    /// Nothing is read from publishers, or it is again.
    fn watch_publishers(&mut self, poll: &Poll, wanted: EventFlags) {
        self.stopped = wanted.is_empty();
        for (key, member) in self.members.iter_mut() {
            if member.role == Role::Publisher && member.link.watch(poll, key, wanted).is_err() {
                self.lost.push(key);
            }
        }
        for key in self.lost.drain(..) {
            self.members.remove(key);
        }
    }

    fn is_full(&mut self) -> bool {
        self.members.iter_mut().any(|(_, member)| member.link.is_full())
    }
}

impl Member {
    fn introduce(&mut self) -> io::Result<bool> {
        let mut first = [0];
        if self.link.receive(&mut first)? > 0 {
            // What follows is still to be read, and reported again.
            self.role = match first[0] {
                b'P' => Role::Publisher,
                b'S' => Role::Subscriber,
                other => return Err(io::Error::other(format!("a role {other:?}"))),
            };
        }
        Ok(!self.link.has_ended())
    }

    /// What a subscriber says is not heard, but for its end.
    fn subscriber(&mut self, poll: &Poll, key: usize, flags: EventFlags) -> io::Result<bool> {
        if flags != EventFlags::IN {
            self.link.flush()?;
        }
        if flags != EventFlags::OUT {
            self.link.receive(&mut [0; 512])?;
        }
        self.link.keep(poll, key)?;
        Ok(!self.link.has_ended())
    }
}
