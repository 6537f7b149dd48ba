//! Accepting by hand, on a watch.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::rc::Rc;

use millrun_loop::{EventLoop, LoopHandle, Watch};
use millrun_selector::{
    Address, Interest, ListenOptions, Listener, Network as _, OsNetwork, Readiness, Socket,
};

/// Counts the connections that ended, and stops the loop after the last.
#[derive(Clone)]
pub(crate) struct Ended(Rc<(LoopHandle, Cell<usize>)>);

impl Ended {
    pub(crate) fn new(handle: &LoopHandle, left: usize) -> Self {
        Self(Rc::new((handle.clone(), Cell::new(left))))
    }

    pub(crate) fn one(&self) {
        let (handle, left) = &*self.0;
        left.set(left.get() - 1);
        if left.get() == 0 {
            handle.stop();
        }
    }
}

/// Gives each connection to what `prepare` makes for the loop, until so many have ended.
pub(crate) fn serve<F>(
    ended: usize,
    prepare: impl FnOnce(&LoopHandle) -> crate::Outcome<F>,
) -> crate::Outcome
where
    F: Fn(Box<dyn Socket>, Ended) -> io::Result<()> + 'static,
{
    let mut event_loop = EventLoop::new()?;
    let handle = event_loop.handle();
    let at = Address::Inet((Ipv4Addr::LOCALHOST, 0).into());
    let listener = OsNetwork.listen(&at, &ListenOptions::default())?;
    crate::announce(listener.local_addr()?.as_inet().ok_or("not an internet address")?)?;
    let ended = Ended::new(&handle, ended);
    let acceptor = Rc::new(Acceptor { listener, ended, connected: prepare(&handle)? });
    handle.watch(&*acceptor.listener, Interest::READ, acceptor.clone())?;
    Ok(event_loop.run_forever()?)
}

struct Acceptor<F> {
    listener: Box<dyn Listener>,
    ended: Ended,
    connected: F,
}

impl<F> Watch for Acceptor<F>
where
    F: Fn(Box<dyn Socket>, Ended) -> io::Result<()> + 'static,
{
    fn on_ready(self: Rc<Self>, _: Readiness) {
        let accepted = self
            .listener
            .try_accept()
            .and_then(|(socket, _)| (self.connected)(socket, self.ended.clone()));
        match accepted {
            Err(error) if error.kind() != ErrorKind::WouldBlock => give_up(&error),
            _ => {}
        }
    }
}

/// A server that is measured and fails has nothing to go on for.
pub(crate) fn give_up(error: &io::Error) -> ! {
    eprintln!("gate: {error}");
    std::process::exit(1)
}
