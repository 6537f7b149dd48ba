//! The other end, as scenarios have it: [`FarEnd`], a peer that works in each turn of the loop, and ends and closes once.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::{Rc, Weak};

use super::peer::{Peer, TransportPeer};
use super::world::Far;
use crate::Invariant;
use crate::report::{OrViolation, Step};

/// A peer, while there is one.
pub(crate) struct FarEnd(Rc<RefCell<Inner>>);

struct Inner {
    peer: Box<dyn Peer>,
    has_ended: bool,
    /// It is asked for nothing any more, but to work.
    is_closed: bool,
}

/// Lets a peer work for as long as somebody has it.
pub(crate) struct Working(Weak<RefCell<Inner>>);

impl FarEnd {
    pub(crate) fn of(far: Far) -> Step<FarEnd> {
        let peer: Box<dyn Peer> = match far {
            Far::Peer(peer) => peer,
            Far::Transport(attach) => {
                let peer = TransportPeer::new(attach);
                Box::new(peer.or_violation(Invariant::WorldIsMade, "a far transport")?)
            }
        };
        Ok(FarEnd(Rc::new(RefCell::new(Inner { peer, has_ended: false, is_closed: false }))))
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut inner = self.0.borrow_mut();
        if inner.has_ended {
            return Err(ErrorKind::BrokenPipe.into());
        }
        inner.peer.send(bytes)
    }

    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut inner = self.0.borrow_mut();
        if inner.is_closed { Ok(0) } else { inner.peer.receive(buffer) }
    }

    pub(crate) fn end(&self) {
        let mut inner = self.0.borrow_mut();
        if !inner.has_ended {
            inner.has_ended = true;
            inner.peer.end();
        }
    }

    pub(crate) fn close(&self) {
        let mut inner = self.0.borrow_mut();
        if !inner.is_closed {
            (inner.has_ended, inner.is_closed) = (true, true);
            inner.peer.close();
        }
    }

    pub(crate) fn reset(&self) -> bool {
        let mut inner = self.0.borrow_mut();
        let was_reset = inner.peer.reset();
        inner.has_ended |= was_reset;
        inner.is_closed |= was_reset;
        was_reset
    }

    pub(crate) fn working(&self) -> Working {
        Working(Rc::downgrade(&self.0))
    }
}

impl Working {
    /// False when nobody has it any more.
    pub(crate) fn work(&self) -> bool {
        let inner = self.0.upgrade();
        if let Some(inner) = &inner {
            inner.borrow_mut().peer.work();
        }
        inner.is_some()
    }
}
