//! The loop: wait, accept, hand each event to the shape.

use std::error::Error;
use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use millrun_benches::contract;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{self, SocketFlags, sockopt};
use rustix::time::Timespec;

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

/// The epoll descriptor, and how long it is asked before the thread sleeps.
#[derive(Debug)]
pub(crate) struct Poll {
    epoll: OwnedFd,
    spin: Duration,
}

impl Poll {
    /// With nothing in it.
    pub(crate) fn new(spin: Duration) -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, spin })
    }

    pub(crate) fn add(&self, fd: impl AsFd, key: usize, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, fd, EventData::new_u64(key as u64), flags)?)
    }

    pub(crate) fn modify(&self, fd: impl AsFd, key: usize, flags: EventFlags) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, fd, EventData::new_u64(key as u64), flags)?)
    }

    pub(crate) fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, fd)?)
    }

    /// How many events there are, once there are any.
    fn wait(&self, events: &mut [Event]) -> rustix::io::Result<usize> {
        if !self.spin.is_zero() {
            let count = self.look(events)?;
            if count > 0 {
                return Ok(count);
            }
        }
        epoll::wait(&self.epoll, events, None)
    }

    /// Asks again and again for as long as it is to: how many events there were at last.
    fn look(&self, events: &mut [Event]) -> rustix::io::Result<usize> {
        let began = Instant::now();
        loop {
            let count = epoll::wait(&self.epoll, &mut *events, Some(&Timespec::default()))?;
            if count > 0 || began.elapsed() >= self.spin {
                return Ok(count);
            }
        }
    }
}

/// Listens, and serves for ever; looks for events for as long as `spin` before it sleeps.
pub(crate) fn serve(mut shape: impl Shape, spin: Duration) -> Result<(), Box<dyn Error>> {
    let listener = listen()?;
    let poll = Poll::new(spin)?;
    poll.add(&listener, LISTENER as usize, EventFlags::IN)?;
    contract::announce(listener.local_addr()?.port())?;
    let mut events =
        vec![Event { flags: EventFlags::empty(), data: EventData::new_u64(0) }; EVENTS];
    // No descriptor was left for a connection: the others wait in the backlog until one is closed.
    let mut short = false;
    loop {
        let count = match poll.wait(&mut events[..]) {
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
