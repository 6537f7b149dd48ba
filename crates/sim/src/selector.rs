//! [`SimSelector`]: a selector that never sleeps.
//!
//! As under epoll an edge only marks a socket; what it is ready for is asked when `select` looks at the
//! marked ones, and set in their cells. Between two edges the cells are what is believed.

use std::fmt;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use millrun_selector::{Clock, Event, Interest, Key, Selector, Source, Time, Wake};

use crate::Call;
use crate::kernel::{Kernel, address_of};
use crate::machine::MachineId;
use crate::registry::{Registration, Registry};

/// The selector of a simulation.
pub(crate) struct SimSelector {
    kernel: Rc<Kernel>,
    /// Its place in the kernel's list.
    number: u32,
    waker: Arc<SimWaker>,
}

impl SimSelector {
    pub(crate) fn new(kernel: &Rc<Kernel>, machine: MachineId) -> SimSelector {
        let mut tables = kernel.tables.borrow_mut();
        tables.registries.push(Some(Registry::new(machine)));
        let number = u32::try_from(tables.registries.len() - 1).unwrap_or(u32::MAX);
        tables.machines.get_mut(machine).selectors.push(number);
        drop(tables);
        SimSelector { kernel: Rc::clone(kernel), number, waker: Arc::new(SimWaker::default()) }
    }

    fn registry<R>(&self, f: impl FnOnce(&mut Registry) -> io::Result<R>) -> io::Result<R> {
        self.kernel.tables.borrow_mut().registry(self.number, f)
    }

    /// Asks the marked sockets, then reports whoever is ready and wanted.
    fn collect(&self, out: &mut Vec<Event>) -> io::Result<()> {
        let mut tables = self.kernel.tables.borrow_mut();
        tables.look_at_marked(self.number);
        tables.registry(self.number, |registry| {
            registry.report(|event| out.push(event));
            Ok(())
        })
    }

    /// Moves the clock to the next thing that happens. False when the wait is over with it.
    fn pass_time(&self, deadline: Option<Time>) -> io::Result<bool> {
        let kernel = &self.kernel;
        match (kernel.next_event(), deadline) {
            (Some(event), Some(deadline)) if event > deadline => kernel.advance_to(deadline),
            (Some(event), _) => kernel.advance_to(event),
            (None, Some(deadline)) => kernel.advance_to(deadline),
            (None, None) if kernel.external_wakes.get() => {
                if !self.waker.wait(LONGEST_REAL_WAIT) {
                    return Err(self.deadlock());
                }
                return Ok(false);
            }
            (None, None) => return Err(self.deadlock()),
        }
        Ok(deadline.is_none_or(|deadline| kernel.clock.now() < deadline))
    }

    fn deadlock(&self) -> io::Error {
        let tables = self.kernel.tables.borrow();
        let waiting = tables.waiting_at(self.number);
        let deadlock = Deadlock { at: self.kernel.clock.now(), seed: self.kernel.seed, waiting };
        io::Error::new(ErrorKind::Deadlock, deadlock)
    }
}

impl Selector for SimSelector {
    fn register(&mut self, source: &dyn Source, interest: Interest) -> io::Result<Key> {
        let Some(cell) = source.readiness().filter(|_| source.fd().is_none()) else {
            return Err(io::Error::new(
                ErrorKind::Unsupported,
                ForeignSource(format!("{source:?}")),
            ));
        };
        let socket = self.kernel.tables.borrow().by_cell.get(&address_of(cell)).copied();
        let machine = self.registry(|registry| Ok(registry.machine))?;
        if let Some(failure) = self.kernel.ordered_failure(machine, Call::Register, socket) {
            return Err(failure.into());
        }
        let mut tables = self.kernel.tables.borrow_mut();
        let known = socket.is_some_and(|socket| tables.watches.contains_key(&socket));
        let cell = Rc::clone(cell);
        let key = tables.registry(self.number, |registry| {
            if known || (socket.is_none() && registry.holds(&cell)) {
                let what = format!("{source:?} is already registered");
                return Err(io::Error::new(ErrorKind::AlreadyExists, what));
            }
            Ok(registry.add(Registration::new(cell, socket, interest)))
        })?;
        if let Some(socket) = socket {
            // A new registration is looked at once, as epoll does.
            tables.watches.insert(socket, (self.number, key.index));
            tables.edge(socket);
        }
        tables.counters.registers += 1;
        Ok(key)
    }

    fn set_interest(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        let (machine, socket) =
            self.registry(|registry| Ok((registry.machine, registry.tenant(key)?.socket)))?;
        if let Some(failure) = self.kernel.ordered_failure(machine, Call::SetInterest, socket) {
            // What is refused is deregistered, as the trait has it.
            self.registry(|registry| registry.remove(key))?;
            if let Some(socket) = socket {
                self.kernel.tables.borrow_mut().watches.remove(&socket);
            }
            return Err(failure.into());
        }
        self.registry(|registry| registry.set_interest(key, interest))
    }

    fn deregister(&mut self, key: Key, source: &dyn Source) -> io::Result<()> {
        let mut tables = self.kernel.tables.borrow_mut();
        let removed = tables.registry(self.number, |registry| {
            let tenant = registry.tenant(key)?;
            if !source.readiness().is_some_and(|cell| Rc::ptr_eq(cell, &tenant.cell)) {
                let what = format!("{key:?} belongs to another source than {source:?}");
                return Err(io::Error::new(ErrorKind::InvalidInput, what));
            }
            registry.remove(key)
        })?;
        if let Some(socket) = removed.socket {
            tables.watches.remove(&socket);
        }
        tables.counters.deregisters += 1;
        Ok(())
    }

    fn select(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        self.kernel.tables.borrow_mut().counters.selects += 1;
        self.kernel.settle();
        let cost = self.kernel.select_cost.get();
        if !cost.is_zero() {
            self.kernel.advance_to(self.kernel.clock.now() + cost);
        }
        let deadline = timeout.map(|timeout| self.kernel.clock.now() + timeout);
        let before = out.len();
        loop {
            self.collect(out)?;
            let woken = self.waker.take();
            let looks_only = timeout == Some(Duration::ZERO) || self.kernel.driven.get();
            if out.len() > before || woken || looks_only {
                return Ok(());
            }
            if !self.pass_time(deadline)? {
                return self.collect(out);
            }
        }
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.waker) as Arc<dyn Wake>
    }
}

impl fmt::Debug for SimSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tables = self.kernel.tables.borrow();
        let registry = tables.registries.get(self.number as usize).and_then(Option::as_ref);
        f.debug_struct("SimSelector")
            .field("seed", &self.kernel.seed)
            .field("registrations", &registry.map_or(0, Registry::len))
            .finish_non_exhaustive()
    }
}

impl Drop for SimSelector {
    fn drop(&mut self) {
        let mut tables = self.kernel.tables.borrow_mut();
        let number = self.number;
        tables.watches.retain(|_, (registry, _)| *registry != number);
        if let Some(registry) = tables.registries.get_mut(number as usize).and_then(Option::take) {
            let machine = tables.machines.get_mut(registry.machine);
            machine.selectors.retain(|other| *other != number);
        }
    }
}

/// Ends a select from any thread.
#[derive(Debug, Default)]
pub(crate) struct SimWaker {
    woken: Mutex<bool>,
    bell: Condvar,
}

impl SimWaker {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Was it woken since the last time?
    fn take(&self) -> bool {
        std::mem::take(&mut *self.lock())
    }

    /// Waits in real time. False when nobody woke it.
    fn wait(&self, longest: Duration) -> bool {
        let asleep = self.bell.wait_timeout_while(self.lock(), longest, |woken| !*woken);
        let (mut woken, _) = asleep.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *woken)
    }
}

impl Wake for SimWaker {
    fn wake(&self) {
        *self.lock() = true;
        self.bell.notify_all();
    }
}

/// Nothing will ever happen: no byte is on its way, no deadline is set, nobody woke the selector. Inside
/// the `io::Error` (of kind [`Deadlock`](ErrorKind::Deadlock)) of [`Selector::select`].
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Deadlock {
    /// When, on the virtual clock.
    pub at: Time,
    /// The seed of the run.
    pub seed: u64,
    /// Who waits for what: a line for each registration.
    pub waiting: Vec<String>,
}

impl fmt::Display for Deadlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, seed, count) = (self.at, self.seed, self.waiting.len());
        write!(
            f,
            "deadlock at {at} (seed {seed}): nothing is on its way, no deadline is set and "
        )?;
        write!(f, "nobody woke the selector; registrations that wait: {count}")?;
        for line in &self.waiting {
            write!(f, "\n  {line}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Deadlock {}

/// A source that this kernel does not know: one with a descriptor, or without a readiness cell. Inside the
/// `io::Error` (of kind `Unsupported`) of [`Selector::register`]. Holds the source's debug text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ForeignSource(pub String);

impl fmt::Display for ForeignSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the simulated selector takes simulated sockets only, not {}", self.0)
    }
}

impl std::error::Error for ForeignSource {}

/// How long a select with external wakes allowed waits before it calls it a deadlock: longer than any
/// honest test's thread needs, shorter than a test runner's patience.
const LONGEST_REAL_WAIT: Duration = Duration::from_secs(10);
