//! Between each connection and one to the backend: bytes both ways, the end of file both ways.

use std::io;
use std::net::SocketAddr;

use rustix::event::epoll::EventFlags;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};

use crate::link::{BUFFER, Link};
use crate::poll::{Poll, Shape};
use crate::table::Table;

#[derive(Debug)]
pub(crate) struct Relay {
    backend: SocketAddr,
    pairs: Table<Pair>,
    buffer: Box<[u8]>,
}

/// The peer's side and the backend's: its keys are twice the pair's, and one more.
#[derive(Debug)]
struct Pair([Side; 2]);

#[derive(Debug)]
struct Side {
    link: Link,
    /// It can be shut down: known of the backend's side when it is writable first.
    connected: bool,
    /// The other side's end of file was passed on.
    shut: bool,
}

impl Relay {
    pub(crate) fn new(backend: SocketAddr) -> Self {
        Self { backend, pairs: Table::default(), buffer: vec![0; BUFFER].into() }
    }
}

impl Shape for Relay {
    fn accepted(&mut self, poll: &Poll, socket: OwnedFd) -> io::Result<()> {
        let key = 2 * self.pairs.next_key();
        let peer = Link::new(poll, key, socket, EventFlags::IN)?;
        let both = EventFlags::IN | EventFlags::OUT;
        let backend = Link::new(poll, key + 1, connect(self.backend)?, both)?;
        self.pairs.insert(Pair([Side::new(peer, true), Side::new(backend, false)]));
        Ok(())
    }

    fn ready(&mut self, poll: &Poll, key: usize, flags: EventFlags) {
        let Some(pair) = self.pairs.get_mut(key / 2) else { return };
        let goes_on = pair.ready(key % 2, flags, &mut self.buffer).and_then(|goes_on| {
            if goes_on {
                pair.watch(poll, key / 2)?;
            }
            Ok(goes_on)
        });
        if !goes_on.unwrap_or(false) {
            self.pairs.remove(key / 2);
        }
    }

    fn settle(&mut self) -> bool {
        self.pairs.settle()
    }
}

impl Pair {
    /// False when both sides are done, or one is lost.
    fn ready(&mut self, side: usize, flags: EventFlags, buffer: &mut [u8]) -> io::Result<bool> {
        let (from, to) = self.sides(side);
        from.connected |= flags.contains(EventFlags::OUT);
        if flags.contains(EventFlags::ERR) {
            return Ok(false);
        }
        if flags != EventFlags::IN {
            from.link.flush()?;
        }
        if flags != EventFlags::OUT && !from.link.has_ended() && !to.link.is_full() {
            let length = from.link.receive(buffer)?;
            if length > 0 {
                to.link.send(&buffer[..length])?;
            }
        }
        from.pass_end(to)?;
        to.pass_end(from)?;
        Ok(!(from.is_done() && to.is_done()))
    }

    fn watch(&mut self, poll: &Poll, pair: usize) -> io::Result<()> {
        for side in 0..2 {
            let (from, to) = self.sides(side);
            let reads = !from.link.has_ended() && !to.link.is_full();
            let writes = from.link.has_unsent() || !from.connected;
            let mut wanted = EventFlags::empty();
            wanted.set(EventFlags::IN, reads);
            wanted.set(EventFlags::OUT, writes);
            from.link.watch(poll, 2 * pair + side, wanted)?;
        }
        Ok(())
    }

    /// That side, and the other.
    fn sides(&mut self, side: usize) -> (&mut Side, &mut Side) {
        let [peer, backend] = &mut self.0;
        if side == 0 { (peer, backend) } else { (backend, peer) }
    }
}

impl Side {
    fn new(link: Link, connected: bool) -> Self {
        Self { link, connected, shut: false }
    }

    /// After this side's last bytes have gone to the other, its end of file goes there too.
    fn pass_end(&self, to: &mut Self) -> io::Result<()> {
        if self.link.has_ended() && !to.link.has_unsent() && to.connected && !to.shut {
            to.link.shut_down()?;
            to.shut = true;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        self.link.has_ended() && self.shut
    }
}

/// On its way: it is connected when it is writable.
fn connect(backend: SocketAddr) -> io::Result<OwnedFd> {
    let family = if backend.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match net::connect(&socket, &backend) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}
