//! A selector whose calls can fail, within its contract.

use std::collections::HashMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millrun_selector::{Event, Interest, Key, ReadyCell, Selector, Source, Wake};

use super::{Call, Fault, Torture};

#[derive(Debug)]
pub(super) struct Watched {
    inner: Box<dyn Selector>,
    torture: Torture,
    /// The registered simulated sources: a change of interest that fails deregisters, and has no source at hand.
    cells: HashMap<Key, Cell>,
}

impl Watched {
    pub(super) fn new(inner: Box<dyn Selector>, torture: Torture) -> Watched {
        Watched { inner, torture, cells: HashMap::new() }
    }
}

impl Selector for Watched {
    fn register(&mut self, source: &dyn Source, interest: Interest) -> io::Result<Key> {
        self.torture.check(Call::Register)?;
        let key = self.inner.register(source, interest)?;
        if let Some(cell) = source.readiness().filter(|_| source.fd().is_none()) {
            self.cells.insert(key, Cell(Rc::clone(cell)));
        }
        Ok(key)
    }

    fn set_interest(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        // What is refused is deregistered: only what can be is refused.
        let fault = self.torture.passes(Call::SetInterest);
        match (fault, self.cells.get(&key)) {
            (Some(Fault::Error(_, failure)), Some(cell)) => {
                self.inner.deregister(key, cell)?;
                self.cells.remove(&key);
                Err(failure.into())
            }
            _ => self.inner.set_interest(key, interest),
        }
    }

    fn deregister(&mut self, key: Key, source: &dyn Source) -> io::Result<()> {
        let fault = self.torture.passes(Call::Deregister);
        self.cells.remove(&key);
        self.inner.deregister(key, source)?;
        match fault {
            Some(Fault::Error(_, failure)) => Err(failure.into()),
            _ => Ok(()),
        }
    }

    fn select(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        let fault = self.torture.passes(Call::Select);
        if self.torture.is_exhausted() {
            let why = "far more calls than without a fault: it goes round and round";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        match fault {
            Some(Fault::Error(_, failure)) => Err(failure.into()),
            Some(Fault::Nothing) => Ok(()),
            _ => self.inner.select(timeout, out),
        }
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.inner.waker()
    }
}

/// A simulated source, known by its cell.
#[derive(Debug)]
struct Cell(Rc<ReadyCell>);

impl Source for Cell {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        Some(&self.0)
    }
}
