//! The loop: wait, accept, hand each event to the shape.

use std::error::Error;
use std::io;
use std::net::TcpListener;

use millrun_benches::contract;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, SocketFlags, sockopt};

const LISTENER: u64 = u64::MAX;

/// Events of one wait. More would not be faster: the call is already shared by so many.
const EVENTS: usize = 1024;

/// What a server does with its connections.
pub(crate) trait Shape {
    /// A connection that was accepted; one that can't be taken is dropped.
    fn accepted(&mut self, poll: &Poll, socket: OwnedFd) -> io::Result<()>;

    /// What was registered under `key` is ready; it may be gone since.
    fn ready(&mut self, poll: &Poll, key: usize, flags: EventFlags);

    /// All events of a wait were handed out: keys that were given back meanwhile may be used again. Whether there were any.
    fn settle(&mut self) -> bool;
}

/// The epoll descriptor.
#[derive(Debug)]
pub(crate) struct Poll(OwnedFd);

impl Poll {
    pub(crate) fn add(&self, fd: impl AsFd, key: usize, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.0, fd, EventData::new_u64(key as u64), flags)?)
    }

    pub(crate) fn modify(&self, fd: impl AsFd, key: usize, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.0, fd, EventData::new_u64(key as u64), flags)?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.0, fd)?)
    }
}

/// Listens, and serves for ever.
pub(crate) fn serve(mut shape: impl Shape) -> Result<(), Box<dyn Error>> {
    let listener = listen()?;
    let poll = Poll(epoll::create(CreateFlags::CLOEXEC)?);
    poll.add(&listener, LISTENER as usize, EventFlags::IN)?;
    contract::announce(listener.local_addr()?.port())?;
    let mut events =
        vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
    // No descriptor was left for a connection: the others wait in the backlog until one is closed.
    let mut short = false;
    loop {
        let count = match epoll::wait(&poll.0, &mut events[..], None) {
            Ok(count) => count,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for event in &events[..count] {
            let (key, flags) = (event.data.u64(), event.flags);
            if key == LISTENER {
                if !accept(&poll, listener.as_fd(), &mut shape)? {
                    poll.modify(&listener, LISTENER as usize, EventFlags::empty())?;
                    short = true;
                }
            } else {
                shape.ready(&poll, key as usize, flags);
            }
        }
        if shape.settle() && short {
            poll.modify(&listener, LISTENER as usize, EventFlags::IN)?;
            short = false;
        }
    }
}

/// What is accepted has Nagle's algorithm off, as its listener has.
fn listen() -> io::Result<TcpListener> {
    let listener = contract::listen()?;
    listener.set_nonblocking(true)?;
    sockopt::set_tcp_nodelay(&listener, true)?;
    Ok(listener)
}

/// One connection for each event: epoll reports the listener again when there are more, together with what else is ready.
/// False when nothing can be accepted until a connection is closed.
fn accept<S: Shape>(
    poll: &Poll,
    listener: BorrowedFd<'_>,
    shape: &mut S,
) -> rustix::io::Result<bool> {
    match net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        // One that can't be registered is gone; the others are served.
        Ok(socket) => drop(shape.accepted(poll, socket)),
        // It was reset before it was taken, or none is there after all.
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED | Errno::PROTO) => {}
        Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}
