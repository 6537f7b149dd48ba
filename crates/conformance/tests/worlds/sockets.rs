//! Their sockets and selectors.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use millrun_conformance::{ForeignEnd, SocketAbilities, SocketWorld};
use millrun_selector::{
    Clock, ConnectOptions, Event, Interest, ListenOptions, MioSelector, Monotonic, Network,
    OsNetwork, ReadyCell, Selector, Socket, Source,
};
use millrun_sim::Sim;

/// Which family.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Tcp,
    Unix,
}

/// The operating system's.
pub struct Os(pub Kind);

impl SocketWorld for Os {
    fn selector(&mut self) -> io::Result<Box<dyn Selector>> {
        Ok(Box::new(MioSelector::new()?))
    }

    fn clock(&self) -> Rc<dyn Clock> {
        Rc::new(Monotonic::new())
    }

    fn pair(&mut self) -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
        match self.0 {
            Kind::Tcp => tcp_pair(),
            Kind::Unix => OsNetwork::pair(),
        }
    }

    fn foreign(&mut self) -> Option<ForeignEnd> {
        let (ours, theirs) = UnixStream::pair().ok()?;
        ours.set_nonblocking(true).ok()?;
        let source = Box::new(Adopted(ours.try_clone().ok()?));
        let fill = Box::new(move || (&theirs).write_all(b"abc"));
        let empty = Box::new(move || (&ours).read_exact(&mut [0; 3]));
        Some(ForeignEnd { source, fill, empty })
    }
}

/// Two ends of a connection over loopback.
pub fn tcp_pair() -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into();
    let listener = OsNetwork.listen(&at, &ListenOptions::default())?;
    let near = OsNetwork.connect(&listener.local_addr()?, &ConnectOptions::default())?;
    let mut selector = MioSelector::new()?;
    let key = selector.register(&listener, Interest::READ)?;
    let mut events: Vec<Event> = Vec::new();
    while events.is_empty() {
        selector.select(None, &mut events)?;
    }
    selector.deregister(key, &listener)?;
    Ok((near, listener.try_accept()?.0))
}

/// A descriptor whose reads the selector does not see.
#[derive(Debug)]
struct Adopted(UnixStream);

impl Source for Adopted {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        None
    }

    fn is_exclusive(&self) -> bool {
        false
    }
}

/// Simulated ones.
pub struct Simulated {
    pub sim: Sim,
    pub kind: Kind,
}

impl Simulated {
    pub fn new(kind: Kind) -> Simulated {
        Simulated { sim: Sim::new(1), kind }
    }
}

impl SocketWorld for Simulated {
    fn selector(&mut self) -> io::Result<Box<dyn Selector>> {
        Ok(self.sim.selector())
    }

    fn clock(&self) -> Rc<dyn Clock> {
        self.sim.clock()
    }

    fn pair(&mut self) -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
        Ok(match self.kind {
            Kind::Tcp => self.sim.tcp_pair(),
            Kind::Unix => self.sim.pair(),
        })
    }

    fn abilities(&self) -> SocketAbilities {
        SocketAbilities::default().without_real_time()
    }
}
