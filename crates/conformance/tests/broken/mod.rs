//! Implementations that break one rule each.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

#[cfg(feature = "transport")]
pub mod protocol;
pub mod selector;
pub mod socket;
#[cfg(feature = "transport")]
pub mod transport;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_conformance::{ForeignEnd, Invariant, SocketAbilities, SocketWorld};
use millrun_selector::{Clock, Selector, Socket};
use millrun_sim::Sim;

use crate::worlds::sockets::{Kind, Os, Simulated};
use selector::BrokenSelector;
use socket::BrokenSocket;

/// A rule to break, and how it is broken. One way each.
pub type Bug = Invariant;

/// What the parts of one broken world know of each other.
#[derive(Debug, Default)]
pub struct Seen {
    pub short_read: Cell<bool>,
    pub full: Cell<bool>,
    pub ended: Cell<bool>,
}

/// A world in which exactly one rule is broken; none with no bug.
pub struct Broken {
    inner: Box<dyn SocketWorld>,
    sim: Option<Sim>,
    bug: Option<Bug>,
    seen: Rc<Seen>,
}

impl Broken {
    pub fn new(bug: Option<Bug>) -> io::Result<Broken> {
        if bug == Some(Invariant::WorldIsMade) {
            return Err(io::Error::other("no world today"));
        }
        let needs_the_os = matches!(
            bug,
            Some(Invariant::ForeignIsLevelTriggered | Invariant::ForeignTwiceIsRefused)
        );
        let simulated = Simulated::new(Kind::Tcp);
        let sim = (!needs_the_os).then(|| simulated.sim.clone());
        let inner: Box<dyn SocketWorld> =
            if needs_the_os { Box::new(Os(Kind::Unix)) } else { Box::new(simulated) };
        Ok(Broken { inner, sim, bug, seen: Rc::default() })
    }
}

impl SocketWorld for Broken {
    fn selector(&mut self) -> io::Result<Box<dyn Selector>> {
        let (inner, seen) = (self.inner.selector()?, self.seen.clone());
        Ok(Box::new(BrokenSelector::new(inner, self.bug, seen, self.sim.clone())))
    }

    fn clock(&self) -> Rc<dyn Clock> {
        self.inner.clock()
    }

    fn pair(&mut self) -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
        let (near, far) = self.inner.pair()?;
        let wrap = |socket| BrokenSocket::wrap(socket, self.bug, self.seen.clone());
        Ok((wrap(near), wrap(far)))
    }

    fn foreign(&mut self) -> Option<ForeignEnd> {
        self.inner.foreign()
    }

    fn abilities(&self) -> SocketAbilities {
        // What is broken need not be waited for.
        self.inner.abilities().with_patience(Duration::from_millis(300))
    }
}
