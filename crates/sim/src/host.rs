//! [`SimHost`]: one machine of many.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::rc::Rc;
use std::sync::Arc;

use millrun_selector::{Clock, Network, Resolver, Selector};

use crate::endpoint::Buffers;
use crate::machine::{Host, Machine, MachineId};
use crate::network::SimNetwork;
use crate::registry::Registry;
use crate::selector::SimSelector;
use crate::{Call, Failure, Faults, Sim};

/// A machine with a name and addresses of its own: `sim.host("server")`. Clones are the same one.
///
/// It has its own ports, Unix paths and budget of descriptors; `localhost` stays inside. Other hosts find it by its
/// name or its addresses. An address that no host has is the machine's without a name ([`Sim::network`]).
#[derive(Clone)]
pub struct SimHost {
    sim: Sim,
    pub(crate) id: MachineId,
}

/// The parts that an event loop is built from.
impl SimHost {
    pub(crate) fn new(sim: &Sim, id: MachineId) -> SimHost {
        SimHost { sim: sim.clone(), id }
    }

    /// A new selector for sockets of this host, as [`Sim::selector`] is one.
    pub fn selector(&self) -> Box<dyn Selector> {
        Box::new(SimSelector::new(&self.sim.kernel, self.id))
    }

    /// The virtual clock, which all machines share.
    pub fn clock(&self) -> Rc<dyn Clock> {
        self.sim.clock()
    }

    /// The network as this host sees it. Binding to another's address fails with EADDRNOTAVAIL.
    pub fn network(&self) -> Rc<dyn Network> {
        Rc::new(SimNetwork { kernel: Rc::clone(&self.sim.kernel), machine: self.id })
    }

    /// The resolver, which knows all hosts by name: the IPv4 address first, then the IPv6 one.
    pub fn resolver(&self) -> Arc<dyn Resolver> {
        self.sim.resolver()
    }
}

/// Who it is.
impl SimHost {
    /// Its name.
    pub fn name(&self) -> Rc<str> {
        self.machine(Machine::name)
    }

    /// Its IPv4 address: 10.0.0.1 of the first host, and so on.
    pub fn ipv4(&self) -> Ipv4Addr {
        self.identity().map_or(Ipv4Addr::UNSPECIFIED, |host| host.v4)
    }

    /// Its IPv6 address: fd00::1 of the first host, and so on.
    pub fn ipv6(&self) -> Ipv6Addr {
        self.identity().map_or(Ipv6Addr::UNSPECIFIED, |host| host.v6)
    }

    /// Both.
    pub fn addresses(&self) -> [IpAddr; 2] {
        [self.ipv4().into(), self.ipv6().into()]
    }
}

/// What goes wrong here, and how much fits.
impl SimHost {
    /// Sets how often this host's kernel misbehaves, in place of what [`Sim::faults`] says.
    pub fn faults(&self, faults: Faults) {
        self.machine_mut(|machine| machine.faults = Some(faults.clamped()));
    }

    /// The next call of this kind on this host fails with this; as [`Sim::fail_next`].
    pub fn fail_next(&self, call: Call, failure: impl Into<Failure>) {
        let order = (Some(self.id), call, failure.into());
        self.sim.kernel.tables.borrow_mut().fail_next.push(order);
    }

    /// How many descriptors its programs may have, as [`Sim::set_fd_limit`] says.
    pub fn set_fd_limit(&self, descriptors: usize) {
        self.machine_mut(|machine| machine.fd_limit = descriptors);
    }

    /// The size of the send and receive buffers of sockets made here from now on, as [`Sim::set_buffers`] says.
    pub fn set_buffers(&self, send: usize, receive: usize) {
        let buffers = Buffers { send: send.max(1), receive: receive.max(1) };
        self.machine_mut(|machine| machine.buffers = Some(buffers));
    }
}

/// Its power.
impl SimHost {
    /// Cuts it off: its sockets are gone, and nobody is told. Its programs hold dead objects, whose calls fail with EINVAL:
    /// drop them. Who sends to it waits until it is [back](SimHost::restart), and is reset then, or gives up after
    /// the [user timeout](Sim::set_user_timeout). A host that is away already stays so.
    pub fn crash(&self) {
        if self.is_up() {
            self.sim.kernel.tables.borrow_mut().crash(self.id);
        }
    }

    /// Makes it reachable again, with no socket.
    pub fn restart(&self) {
        let mut tables = self.sim.kernel.tables.borrow_mut();
        tables.restart(self.id);
        tables.release();
        drop(tables);
        self.sim.kernel.settle();
    }

    /// It has not crashed, or is there again.
    pub fn is_up(&self) -> bool {
        self.machine(|machine| machine.is_up)
    }
}

/// What is there.
impl SimHost {
    /// How many sockets and listeners its programs hold: zero when nothing leaked.
    pub fn open_sockets(&self) -> usize {
        self.sim.kernel.tables.borrow().descriptors(Some(self.id))
    }

    /// How many registrations its selectors hold: zero when nothing leaked.
    pub fn registrations(&self) -> usize {
        let tables = self.sim.kernel.tables.borrow();
        let here = tables.registries.iter().flatten().filter(|r| r.machine == self.id);
        here.map(Registry::len).sum()
    }

    /// Who waits for what: a line for each registration.
    pub fn waiting(&self) -> Vec<String> {
        self.sim.kernel.tables.borrow().waiting_on(self.id)
    }

    /// A select here would report something now. For drivers.
    pub fn is_ready(&self) -> bool {
        self.sim.kernel.settle();
        self.sim.kernel.tables.borrow_mut().has_reports(self.id)
    }

    fn identity(&self) -> Option<Host> {
        self.machine(|machine| machine.host.clone())
    }

    fn machine<R>(&self, f: impl FnOnce(&Machine) -> R) -> R {
        f(self.sim.kernel.tables.borrow().machines.get(self.id))
    }

    fn machine_mut(&self, f: impl FnOnce(&mut Machine)) {
        f(self.sim.kernel.tables.borrow_mut().machines.get_mut(self.id));
    }
}

impl fmt::Debug for SimHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimHost")
            .field("name", &self.name())
            .field("seed", &self.sim.seed())
            .field("open_sockets", &self.open_sockets())
            .field("registrations", &self.registrations())
            .finish_non_exhaustive()
    }
}
