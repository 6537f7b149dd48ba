//! One writer, many readers: what a publisher sends goes to each subscriber. While one of them is full, no publisher is read.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpStream;

use calloop::Readiness;

use crate::link::Link;
use crate::{Handle, Shared};

/// Who is here. The connections are here and not in their callbacks, for they concern each other.
#[derive(Default)]
pub(crate) struct Room {
    publishers: BTreeMap<u64, Link>,
    subscribers: BTreeMap<u64, Link>,
    /// How many subscribers are full.
    full: usize,
    last: u64,
}

/// What a connection is.
enum Role {
    /// Its first byte has not come.
    New(Link),
    Publisher(u64),
    Subscriber(u64),
    Gone,
}

pub(crate) fn accepted(handle: &Handle, stream: TcpStream) -> io::Result<()> {
    let (link, socket) = Link::new(handle, stream)?;
    let mut role = Role::New(link);
    socket.insert(handle, move |readiness, shared| match role {
        Role::New(_) => {
            role = shared.begin(std::mem::replace(&mut role, Role::Gone))?;
            Ok(!matches!(role, Role::Gone))
        }
        Role::Publisher(id) => shared.published(id),
        Role::Subscriber(id) => shared.subscribed(id, readiness),
        Role::Gone => Ok(false),
    })
}

impl Shared {
    /// What the first byte makes of a connection, when it has come.
    fn begin(&mut self, role: Role) -> io::Result<Role> {
        let Role::New(mut link) = role else { return Ok(role) };
        let mut first = [0];
        if link.receive(&mut first)? == 0 {
            return Ok(if link.has_ended() { Role::Gone } else { Role::New(link) });
        }
        Ok(self.room.join(link, first[0]))
    }

    /// Bytes of a publisher's; false when it left.
    fn published(&mut self, id: u64) -> io::Result<bool> {
        let Some(publisher) = self.room.publishers.get_mut(&id) else { return Ok(false) };
        let outcome = publisher.receive(&mut self.buffer);
        if publisher.has_ended() || outcome.is_err() {
            self.room.publishers.remove(&id);
            return Ok(false);
        }
        self.room.say(&self.buffer[..outcome?])?;
        Ok(true)
    }

    /// A subscriber can be written to, or left.
    fn subscribed(&mut self, id: u64, readiness: Readiness) -> io::Result<bool> {
        let Some(subscriber) = self.room.subscribers.get_mut(&id) else { return Ok(false) };
        let was_full = subscriber.is_full();
        let outcome = subscribed(subscriber, readiness, &mut self.buffer);
        let goes_on = outcome.unwrap_or(false);
        if was_full && !(goes_on && subscriber.is_full()) {
            self.room.full -= 1;
        }
        if !goes_on {
            self.room.subscribers.remove(&id);
        }
        self.room.rule()?;
        Ok(goes_on)
    }
}

/// Sends on; what it has to say is nothing.
fn subscribed(link: &mut Link, readiness: Readiness, buffer: &mut [u8]) -> io::Result<bool> {
    if readiness.readable {
        link.receive(buffer)?;
    }
    if readiness.writable {
        link.flush()?;
    }
    link.watch(true, link.has_unsent())?;
    Ok(!link.has_ended())
}

impl Room {
    fn join(&mut self, link: Link, which: u8) -> Role {
        self.last += 1;
        let id = self.last;
        match which {
            b'P' => {
                self.publishers.insert(id, link);
                Role::Publisher(id)
            }
            b'S' => {
                self.subscribers.insert(id, link);
                Role::Subscriber(id)
            }
            _ => Role::Gone,
        }
    }

    fn say(&mut self, data: &[u8]) -> io::Result<()> {
        let full = &mut self.full;
        self.subscribers.retain(|_, subscriber| {
            let was_full = subscriber.is_full();
            let sent = subscriber
                .send(data)
                .and_then(|()| subscriber.watch(true, subscriber.has_unsent()));
            let is_full = sent.is_ok() && subscriber.is_full();
            *full = *full + usize::from(is_full) - usize::from(was_full);
            if sent.is_err() {
                subscriber.remove();
            }
            sent.is_ok()
        });
        self.rule()
    }

    /// Publishers are read while nobody is full.
    fn rule(&self) -> io::Result<()> {
        self.publishers.values().try_for_each(|publisher| publisher.watch(self.full == 0, false))
    }
}
