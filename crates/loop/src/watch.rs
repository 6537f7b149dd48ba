//! Who is told that a source is ready? Its [`Watch`].

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;

use millrun_selector::{Interest, Key, Readiness, Source};

use crate::state::Core;
use crate::{ErrorContext, LoopClosed, Panic, catch};

/// What is called when a watched source is ready. The loop keeps an `Rc` of it until `unwatch`.
pub trait Watch {
    /// The source is ready for what is wanted of it: a unit of its own. Called again in the next turn if it still is.
    ///
    /// A panic is reported and changes nothing else: whoever can't go on after one catches it himself.
    fn on_ready(self: Rc<Self>, readiness: Readiness);

    /// The loop is closing: end now. Callbacks queued from here still run, in bounded rounds, and so does
    /// what is left for the end of the unit; nothing that waits (a timer, a task) does.
    fn on_loop_close(self: Rc<Self>) {}

    /// A name for reports, asked when there is one to make.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// The watched sources, at the places that the selector gave them. 32 bytes each.
#[derive(Default)]
pub(crate) struct WatchTable {
    slots: Vec<Slot>,
    len: usize,
}

struct Slot {
    watcher: Option<Rc<dyn Watch>>,
    generation: u32,
    /// [`NO_FD`] for a simulated source.
    fd: RawFd,
    interest: Interest,
}

/// No descriptor has this number.
const NO_FD: RawFd = -1;

impl WatchTable {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Gives back who was there before (only if a selector gives a place away twice).
    fn insert(
        &mut self,
        key: Key,
        watcher: Rc<dyn Watch>,
        fd: RawFd,
        interest: Interest,
    ) -> Option<Rc<dyn Watch>> {
        let index = key.index as usize;
        if self.slots.len() <= index {
            self.grow(index);
        }
        // Filled where it stays: what is built elsewhere is moved by more than was written at once, a stall.
        let slot = &mut self.slots[index];
        slot.generation = key.generation;
        slot.fd = fd;
        slot.interest = interest;
        let before = slot.watcher.replace(watcher);
        if before.is_none() {
            self.len += 1;
        }
        before
    }

    #[inline(never)]
    fn grow(&mut self, index: usize) {
        while self.slots.len() <= index {
            self.slots.push(Slot {
                watcher: None,
                generation: 0,
                fd: NO_FD,
                interest: Interest::NONE,
            });
        }
    }

    fn remove(&mut self, key: Key) -> Option<Rc<dyn Watch>> {
        let watcher = self.slot_mut(key)?.watcher.take();
        self.len -= 1;
        watcher
    }

    fn slot(&self, key: Key) -> Option<&Slot> {
        let slot = self.slots.get(key.index as usize)?;
        (slot.generation == key.generation && slot.watcher.is_some()).then_some(slot)
    }

    fn slot_mut(&mut self, key: Key) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key.index as usize)?;
        (slot.generation == key.generation && slot.watcher.is_some()).then_some(slot)
    }

    /// Whom an event concerns, if it still does, and what of it is still wanted.
    #[inline]
    pub(crate) fn wanted(
        &self,
        key: Key,
        readiness: Readiness,
    ) -> Option<(Rc<dyn Watch>, Readiness)> {
        let slot = self.slot(key)?;
        let wanted = readiness.wanted(slot.interest);
        if wanted.is_none() {
            return None;
        }
        slot.watcher.clone().map(|watcher| (watcher, wanted))
    }

    pub(crate) fn watcher(&self, key: Key) -> Option<Rc<dyn Watch>> {
        self.slot(key)?.watcher.clone()
    }

    /// A registration other than `own` has this descriptor. A walk over all: only `add_reader` and
    /// `add_writer` ask.
    pub(crate) fn is_used(&self, fd: RawFd, own: Option<Key>) -> bool {
        let own = own.map(|key| key.index as usize);
        let mut slots = self.slots.iter().enumerate();
        slots.any(|(i, slot)| slot.fd == fd && slot.watcher.is_some() && Some(i) != own)
    }

    /// All that watch.
    pub(crate) fn watchers(&self) -> Vec<Rc<dyn Watch>> {
        self.slots.iter().filter_map(|slot| slot.watcher.clone()).collect()
    }

    /// Empties the table.
    pub(crate) fn take(&mut self) -> Vec<Rc<dyn Watch>> {
        self.len = 0;
        std::mem::take(&mut self.slots).into_iter().filter_map(|slot| slot.watcher).collect()
    }
}

impl Core {
    pub(crate) fn watch(
        &self,
        source: &dyn Source,
        interest: Interest,
        watcher: Rc<dyn Watch>,
    ) -> io::Result<Key> {
        self.check_open()?;
        if !self.running.get() {
            // A run has checked it at its begin: an accepted connection need not ask the kernel again.
            self.check_here()?;
        }
        let key = self.selector(|s| s.register(source, interest))?;
        let fd = source.fd().map_or(NO_FD, |fd| fd.as_raw_fd());
        let before = self.watches.borrow_mut().insert(key, watcher, fd, interest);
        drop(before); // outside the borrow
        Ok(key)
    }

    #[cold]
    fn check_here(&self) -> io::Result<()> {
        self.check_process().map_err(io::Error::other)
    }

    pub(crate) fn set_interest(&self, key: Key, interest: Interest) -> io::Result<()> {
        match self.watches.borrow_mut().slot_mut(key) {
            None => return Err(unknown(key)),
            Some(slot) if slot.interest == interest => return Ok(()),
            Some(_) => {}
        }
        self.confirm_interest(key, interest)
    }

    /// As [`set_interest`](Self::set_interest), and asks the selector even when nothing changes: a foreign
    /// descriptor may have been closed, and its number given away, since it was registered.
    pub(crate) fn confirm_interest(&self, key: Key, interest: Interest) -> io::Result<()> {
        match self.watches.borrow_mut().slot_mut(key) {
            None => return Err(unknown(key)),
            Some(slot) => slot.interest = interest,
        }
        let result = self.selector(|s| s.set_interest(key, interest));
        if result.is_err() {
            // The selector has forgotten it (SEL-008).
            let watcher = self.watches.borrow_mut().remove(key);
            drop(watcher);
        }
        result
    }

    pub(crate) fn unwatch(&self, key: Key, source: &dyn Source) -> io::Result<()> {
        let watcher = self.watches.borrow_mut().remove(key);
        if watcher.is_none() {
            return Err(unknown(key));
        }
        let result = self.selector(|s| s.deregister(key, source));
        drop(watcher); // a stranger's, who may panic: when it is out of the selector
        result
    }

    fn selector<R>(
        &self,
        f: impl FnOnce(&mut dyn millrun_selector::Selector) -> io::Result<R>,
    ) -> io::Result<R> {
        match &mut *self.selector.borrow_mut() {
            Some(selector) => f(&mut **selector),
            None => Err(LoopClosed.into()),
        }
    }

    /// Tells a watcher that its source is ready, if it still watches and wants to know.
    #[inline(always)]
    pub(crate) fn run_event(&self, key: Key, readiness: Readiness) {
        let wanted = self.watches.borrow_mut().wanted(key, readiness);
        let Some((watcher, readiness)) = wanted else { return };
        if let Err(panic) = catch(|| watcher.on_ready(readiness)) {
            self.watch_panicked(key, panic);
        }
    }

    #[cold]
    fn watch_panicked(&self, key: Key, panic: Panic) {
        let watcher = self.watches.borrow().watcher(key);
        let name = match watcher {
            Some(watcher) => catch(|| watcher.name()).unwrap_or("a watch that has no name"),
            None => "a watch that is over",
        };
        self.report(ErrorContext::new("exception in a watch").panic(panic).detail("watch", name));
    }
}

fn unknown(key: Key) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{key:?} is not watched"))
}

impl fmt::Debug for WatchTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchTable").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::Slot;

    /// A million idle connections pay this each.
    #[test]
    fn a_watched_source_costs_32_bytes() {
        assert!(size_of::<Slot>() <= 32, "{}", size_of::<Slot>());
    }
}
