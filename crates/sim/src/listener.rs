//! Listening sockets: the queue inside the kernel and the object that a program holds.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use millrun_selector::{Address, Listener, Readiness, ReadyCell, Socket, Source};

use crate::endpoint::{Id, Kind, Owner};
use crate::kernel::{Kernel, Tables};
use crate::machine::MachineId;
use crate::stream::SimSocket;
use crate::trace::What;
use crate::wire::Payload;
use crate::{Call, Failure, Fault, Injected};

/// A listening socket inside the kernel.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) machine: MachineId,
    pub(crate) address: Address,
    pub(crate) backlog: usize,
    pub(crate) queue: VecDeque<Id>,
    pub(crate) reuse_port: bool,
    pub(crate) keep_alive: bool,
}

impl Listening {
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }

    pub(crate) fn poll(&self) -> Readiness {
        if self.queue.is_empty() { Readiness::NONE } else { Readiness::READABLE }
    }

    /// Somebody who connects to `to` comes here.
    fn serves(&self, to: &Address) -> bool {
        match (&self.address, to) {
            (Address::Inet(at), Address::Inet(to)) => {
                let any = at.ip().is_unspecified() && at.is_ipv4() == to.is_ipv4();
                at.port() == to.port() && (any || at.ip() == to.ip())
            }
            (at, to) => at == to,
        }
    }

    /// A second listener at `address` would get in this one's way.
    fn collides(&self, address: &Address) -> bool {
        let back = match (&self.address, address) {
            (Address::Inet(at), Address::Inet(to)) => {
                at.port() == to.port() && to.ip().is_unspecified() && at.is_ipv4() == to.is_ipv4()
            }
            _ => false,
        };
        back || self.serves(address)
    }
}

impl Tables {
    /// Who listens at an address of a machine: the exact one before a wildcard; of several with SO_REUSEPORT the
    /// one with the shortest queue, then the eldest.
    pub(crate) fn listener_at(&self, machine: MachineId, to: &Address) -> Option<Id> {
        self.listeners
            .iter()
            .filter(|(_, l)| l.machine == machine && l.serves(to))
            .min_by_key(|(id, l)| (l.address != *to, l.queue.len(), **id))
            .map(|(id, _)| *id)
    }

    /// A listener at this address is in the way of another.
    pub(crate) fn is_taken(&self, machine: MachineId, address: &Address, reuse_port: bool) -> bool {
        let mut here = self.listeners.values().filter(|l| l.machine == machine);
        here.any(|l| l.collides(address) && !(reuse_port && l.reuse_port))
    }
}

/// A listening socket of a simulation.
#[derive(Debug)]
pub(crate) struct SimListener {
    kernel: Rc<Kernel>,
    machine: MachineId,
    id: Id,
    cell: Rc<ReadyCell>,
}

impl SimListener {
    pub(crate) fn new(
        kernel: &Rc<Kernel>,
        machine: MachineId,
        id: Id,
        cell: &Rc<ReadyCell>,
    ) -> SimListener {
        SimListener { kernel: Rc::clone(kernel), machine, id, cell: Rc::clone(cell) }
    }

    fn accept_counted(&self) -> io::Result<(SimSocket, Address)> {
        let accepted = self.accept();
        let outcome = match &accepted {
            Ok(_) => Ok(0),
            Err(e) => Err(e.kind().into()),
        };
        self.kernel.tables.borrow_mut().counters.count(Call::Accept, &outcome);
        if outcome.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock) {
            self.cell.clear_readable();
        }
        let (id, cell, kind, remote) = accepted?;
        Ok((SimSocket::new(&self.kernel, self.machine, id, &cell, kind), remote))
    }

    /// The order of the checks is Linux's: a descriptor is needed before the queue is looked at.
    fn accept(&self) -> io::Result<(Id, Rc<ReadyCell>, Kind, Address)> {
        if let Some(failure) =
            self.kernel.ordered_failure(self.machine, Call::Accept, Some(self.id))
        {
            if failure.kind() == ErrorKind::WouldBlock {
                // The kernel owes an edge for what it denied.
                self.kernel.tables.borrow_mut().edge(self.id);
            }
            return Err(failure.into());
        }
        let would_block = self.kernel.faults_on(self.machine).would_block;
        let mut tables = self.kernel.tables.borrow_mut();
        tables.check_descriptors(self.machine)?;
        let waits = tables.listeners.get(&self.id).is_some_and(|l| !l.queue.is_empty());
        if !waits {
            return Err(Failure::EAGAIN.into());
        }
        if self.kernel.dice(|rng| rng.chance(would_block)) {
            // The kernel owes an edge for what it denied.
            tables.edge(self.id);
            let (socket, fault) = (Some(self.id), Fault::Error(Failure::EAGAIN));
            let at = self.kernel.clock.now_here();
            tables.injected.push(Injected { at, call: Call::Accept, socket, fault });
            tables.tell(self.machine, || What::Meets { socket, fault });
            return Err(Failure::EAGAIN.into());
        }
        let next = tables.listeners.get_mut(&self.id).and_then(|l| l.queue.pop_front());
        match next.and_then(|id| tables.endpoints.get_mut(&id).map(|end| (id, end))) {
            Some((id, end)) => {
                end.owner = Owner::Descriptor;
                let accepted = (id, Rc::clone(&end.cell), end.kind, end.remote.clone());
                let from = end.remote.clone();
                tables.tell(self.machine, || What::Accepts { socket: id, from });
                Ok(accepted)
            }
            None => Err(Failure::EAGAIN.into()),
        }
    }
}

impl Source for SimListener {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        Some(&self.cell)
    }
}

impl Listener for SimListener {
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        let (socket, peer) = self.accept_counted()?;
        Ok((Box::new(socket), peer))
    }

    fn try_accept_bare(&self) -> io::Result<(Box<dyn Socket>, Option<Address>)> {
        let (socket, peer) = self.accept_counted()?;
        Ok(match peer {
            Address::Inet(_) => (Box::new(socket.accepted_bare()), None),
            other => (Box::new(socket), Some(other)),
        })
    }

    fn local_addr(&self) -> io::Result<Address> {
        let tables = self.kernel.tables.borrow();
        let listening = tables.listeners.get(&self.id).ok_or(Failure::EINVAL)?;
        Ok(listening.address.clone())
    }
}

/// Who waits in the queue is reset.
impl Drop for SimListener {
    fn drop(&mut self) {
        {
            let mut tables = self.kernel.tables.borrow_mut();
            tables.forget(self.id, &self.cell);
            if let Some(listening) = tables.listeners.remove(&self.id) {
                if let Some(port) = listening.address.port() {
                    tables.machines.get_mut(self.machine).release_port(port);
                }
                for id in listening.queue {
                    tables.send(id, Payload::Reset(Failure::ECONNRESET));
                    if let Some(end) = tables.endpoints.remove(&id) {
                        tables.forget(id, &end.cell);
                    }
                }
            }
        }
        self.kernel.settle();
    }
}
