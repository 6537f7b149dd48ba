//! Who is registered, and whose readiness is to be looked at? The registrations of one selector.
//!
//! As under epoll an edge only marks a socket. A select asks the marked ones, and reports of the hot ones: so its
//! cost grows with what is ready, not with what is registered.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use millrun_selector::{Event, Interest, Key, Readiness, ReadyCell};

use crate::Failure;
use crate::endpoint::Id;
use crate::kernel::Tables;
use crate::machine::MachineId;

/// The registrations of one selector.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) machine: MachineId,
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// The places where an edge came.
    marked: VecDeque<u32>,
    /// The places that may have something to report: all that do, and some that did. So a select need not look at
    /// the others.
    hot: Vec<u32>,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    tenant: Option<Registration>,
}

#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) cell: Rc<ReadyCell>,
    /// `None`: a source of the test's own, which sets its cell itself. It stays hot.
    pub(crate) socket: Option<Id>,
    interest: Interest,
    marked: bool,
    hot: bool,
}

impl Registration {
    pub(crate) fn new(cell: Rc<ReadyCell>, socket: Option<Id>, interest: Interest) -> Registration {
        Registration { cell, socket, interest, marked: false, hot: false }
    }

    fn report(&self) -> Readiness {
        self.cell.get().wanted(self.interest)
    }
}

impl Registry {
    pub(crate) fn new(machine: MachineId) -> Registry {
        let (slots, free) = (Vec::new(), Vec::new());
        Registry { machine, slots, free, marked: VecDeque::new(), hot: Vec::new() }
    }

    /// A socket at this place has changed.
    pub(crate) fn edge(&mut self, index: u32) {
        let tenant = self.slots.get_mut(index as usize).and_then(|slot| slot.tenant.as_mut());
        if let Some(tenant) = tenant.filter(|t| !t.marked) {
            tenant.marked = true;
            self.marked.push_back(index);
        }
    }

    /// What this place would report has changed.
    fn heat(&mut self, index: u32) {
        let tenant = self.slots.get_mut(index as usize).and_then(|slot| slot.tenant.as_mut());
        if let Some(tenant) = tenant.filter(|t| !t.hot) {
            tenant.hot = true;
            self.hot.push(index);
        }
    }

    /// Gives each report, by place, and forgets the places that have none.
    pub(crate) fn report(&mut self, mut out: impl FnMut(Event)) {
        let mut hot = std::mem::take(&mut self.hot);
        // A place that was left and taken again is in it twice.
        hot.sort_unstable();
        hot.dedup();
        hot.retain(|index| {
            let Some(slot) = self.slots.get_mut(*index as usize) else { return false };
            let Some(tenant) = slot.tenant.as_mut().filter(|tenant| tenant.hot) else {
                return false;
            };
            let readiness = tenant.report();
            if !readiness.is_none() {
                out(Event { key: Key { index: *index, generation: slot.generation }, readiness });
            }
            tenant.hot = tenant.socket.is_none() || !readiness.is_none();
            tenant.hot
        });
        self.hot = hot;
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn add(&mut self, registration: Registration) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            // 2^32 registrations need more memory than there is.
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let slot = &mut self.slots[index as usize];
        slot.tenant = Some(registration);
        let key = Key { index, generation: slot.generation };
        self.heat(index);
        key
    }

    pub(crate) fn tenant(&mut self, key: Key) -> io::Result<&mut Registration> {
        self.slots
            .get_mut(key.index as usize)
            .filter(|slot| slot.generation == key.generation)
            .and_then(|slot| slot.tenant.as_mut())
            .ok_or_else(|| unknown(key))
    }

    pub(crate) fn set_interest(&mut self, key: Key, interest: Interest) -> io::Result<()> {
        self.tenant(key)?.interest = interest;
        self.heat(key.index);
        Ok(())
    }

    pub(crate) fn remove(&mut self, key: Key) -> io::Result<Registration> {
        self.tenant(key)?;
        let slot = &mut self.slots[key.index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        slot.tenant.take().ok_or_else(|| unknown(key))
    }

    pub(crate) fn holds(&self, cell: &Rc<ReadyCell>) -> bool {
        self.tenants().any(|(_, tenant)| Rc::ptr_eq(&tenant.cell, cell))
    }

    fn tenants(&self) -> impl Iterator<Item = (Key, &Registration)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            let key = Key { index, generation: slot.generation };
            slot.tenant.as_ref().map(|tenant| (key, tenant))
        })
    }
}

fn unknown(key: Key) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{key:?} is not registered"))
}

impl Registry {
    fn next_marked(&mut self) -> Option<(u32, Rc<ReadyCell>, Option<Id>)> {
        while let Some(index) = self.marked.pop_front() {
            let slot = self.slots.get_mut(index as usize);
            if let Some(tenant) = slot.and_then(|slot| slot.tenant.as_mut()).filter(|t| t.marked) {
                tenant.marked = false;
                return Some((index, Rc::clone(&tenant.cell), tenant.socket));
            }
        }
        None
    }
}

impl Tables {
    pub(crate) fn registry<R>(
        &mut self,
        number: u32,
        f: impl FnOnce(&mut Registry) -> io::Result<R>,
    ) -> io::Result<R> {
        let registry = self.registries.get_mut(number as usize).and_then(Option::as_mut);
        // The entry lives as long as the selector.
        f(registry.ok_or(Failure::EINVAL)?)
    }

    /// Sets the cells of the sockets where an edge came.
    pub(crate) fn look_at_marked(&mut self, number: u32) {
        let next = |tables: &mut Tables| {
            tables.registries.get_mut(number as usize)?.as_mut()?.next_marked()
        };
        while let Some((index, cell, socket)) = next(self) {
            if let Some(socket) = socket {
                cell.set(self.poll(socket));
            }
            if let Some(Some(registry)) = self.registries.get_mut(number as usize) {
                registry.heat(index);
            }
        }
    }

    /// A select on this machine would report something.
    pub(crate) fn has_reports(&mut self, machine: MachineId) -> bool {
        let mut any = false;
        for place in 0..self.machines.get(machine).selectors.len() {
            let number = self.machines.get(machine).selectors[place];
            self.look_at_marked(number);
            if let Some(Some(registry)) = self.registries.get_mut(number as usize) {
                registry.report(|_| any = true);
            }
        }
        any
    }

    /// Who waits for what at a selector: a line for each registration.
    pub(crate) fn waiting_at(&self, number: u32) -> Vec<String> {
        let registry = self.registries.get(number as usize).and_then(Option::as_ref);
        let tenants = registry.into_iter().flat_map(Registry::tenants);
        tenants.map(|(key, tenant)| self.describe(key, tenant)).collect()
    }

    /// As [`waiting_at`](Tables::waiting_at) all selectors of a machine.
    pub(crate) fn waiting_on(&self, machine: MachineId) -> Vec<String> {
        let numbers = self.machines.get(machine).selectors.iter();
        numbers.flat_map(|number| self.waiting_at(*number)).collect()
    }

    /// One line of a deadlock's report.
    fn describe(&self, key: Key, tenant: &Registration) -> String {
        let Key { index, generation } = key;
        let wants = tenant.interest;
        let place = format!("registration {index}.{generation}, interest {wants:?}:");
        let Some(id) = tenant.socket else { return format!("{place} a source of its own") };
        if let Some(end) = self.endpoints.get(&id) {
            let (local, remote, state) = (&end.local, &end.remote, end.state);
            return format!("{place} socket {id}, {local} to {remote}, {state:?}");
        }
        match self.listeners.get(&id) {
            Some(l) => format!("{place} listener {id} at {}", l.address),
            None => format!("{place} socket {id}, which was closed while registered"),
        }
    }
}
