//! Level from edge: what is known about each registration, without a system call.
//!
//! # Facts
//!
//! mio is edge-triggered only. About such a kernel (epoll with EPOLLET, kqueue with EV_CLEAR) these
//! are known, and each has a test in `tests/`:
//!
//! 1. After a read that took only a part, no new event comes for what is left.
//! 2. After a read or a write that came up short, though no EAGAIN was seen, the next change does
//!    raise an edge.
//! 3. Data and FIN that arrive together raise one edge, and nothing follows the short read.
//! 4. A socket registered before its connect was issued reports a hang-up that never happened.
//! 5. A registration belongs to the open file, not to the number. It dies by the close of the number
//!    only if there is no duplicate; with one, its events go on, under the name that it was given.
//! 6. A read stops at TCP's urgent data: it comes up short though more waits, and what waits may have
//!    come with the same edge. epoll tells of urgent data (EPOLLPRI), kqueue does not.
//! 7. Changing a registration (EPOLL_CTL_MOD, EV_ADD again) reports what is ready now.
//!
//! # The choice
//!
//! An **owned** source shares a [`ReadyCell`] with this table and is in the kernel's registry once,
//! for both directions, until it is closed. An edge sets bits of the cell; the source's own reads and
//! writes clear them, at WouldBlock or at a short transfer (fact 2). What is due is `cell & interest`:
//! a partial read leaves its bit (fact 1), and a changed interest is a changed mask. The closed and
//! error bits are never cleared (fact 3). Once urgent data has come, WouldBlock alone ends a socket's
//! reads (fact 6; under kqueue the rest comes late, with the peer's next bytes or its FIN).
//!
//! A **foreign** source has no cell, since nobody here sees its reads. What an edge says of it is
//! reported once and forgotten, and before the next wait the selector arms it anew (fact 7). It is in
//! the kernel's registry only for what it wants: nobody would ever clear the other direction.
//!
//! Looking at every cell at each select would cost O(registered). So the table keeps a **hot list**
//! of the keys that may be due, and the invariant is: *whatever is due is in the list*. A registration
//! becomes due in three ways only: an edge, a changed interest, a registration with bits already
//! set; each of them puts it there. It leaves when a select finds it not due. A read that empties a
//! socket need not find the list, and an idle registration costs its entry and nothing else.
//!
//! A key is place and generation, and the kernel is given both. An event in flight for a registration
//! that is gone (fact 5) finds another generation at its place, or nothing, and is dropped.

use std::os::fd::RawFd;
use std::rc::Rc;

use slab::Slab;

use crate::{Event, Interest, Key, Readiness, ReadyCell};

/// How the kernel's registry stands to an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    /// Owned: in it, for both directions, until the descriptor is closed.
    Owned,
    /// Foreign: in it, and the next edge will be heard.
    Armed,
    /// Foreign: in it, was reported, to be armed anew before the next wait.
    Reported,
    /// Foreign: not in it, since nothing is wanted. Holds no claim on the descriptor's number.
    Parked,
    /// Foreign: its descriptor was closed behind our back. Never reported again.
    Lost,
}

/// One registration. There are ten thousand of these in an idle server: 24 bytes.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None` for a foreign source.
    cell: Option<Rc<ReadyCell>>,
    generation: u32,
    pub(super) fd: RawFd,
    pub(super) interest: Interest,
    /// What edges said of a foreign source, within one select: the report forgets it.
    heard: Readiness,
    pub(super) link: Link,
    /// Its key is in the hot list.
    listed: bool,
}

const _: () = assert!(size_of::<Entry>() <= 24, "an idle registration is to stay cheap");

impl Entry {
    /// What a select must report of it.
    fn due(&self) -> Readiness {
        match &self.cell {
            Some(cell) => cell.get().wanted(self.interest),
            None => self.heard,
        }
    }

    /// It is the registration of the source with this cell.
    pub(super) fn shares(&self, cell: &Rc<ReadyCell>) -> bool {
        self.cell.as_ref().is_some_and(|c| Rc::ptr_eq(c, cell))
    }
}

/// All registrations, and which of them may be due.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: Slab<Entry>,
    /// Each key whose entry is `listed`, once; and keys that are gone.
    hot: Vec<Key>,
    /// Counts registrations. One place sees the same generation again only after 2^32 of them.
    next_generation: u32,
}

impl Table {
    /// The name that the next [`insert`](Table::insert) will give.
    ///
    /// `None` when no `u32` can name the place.
    pub(super) fn next_key(&self) -> Option<Key> {
        let index = u32::try_from(self.entries.vacant_key()).ok()?;
        Some(Key { index, generation: self.next_generation })
    }

    /// Adds an entry under the name that [`next_key`](Table::next_key) told.
    pub(super) fn insert(
        &mut self,
        key: Key,
        cell: Option<Rc<ReadyCell>>,
        fd: RawFd,
        interest: Interest,
        link: Link,
    ) {
        self.next_generation = key.generation.wrapping_add(1);
        let index = self.entries.insert(Entry {
            cell,
            generation: key.generation,
            fd,
            interest,
            heard: Readiness::NONE,
            link,
            listed: false,
        });
        debug_assert_eq!(index, key.index as usize, "next_key told another place");
        self.list_if_due(key);
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        self.get(key)?;
        self.entries.try_remove(key.index as usize)
    }

    /// The name of the entry at a place.
    pub(super) fn key_at(&self, index: usize) -> Option<Key> {
        let generation = self.entries.get(index)?.generation;
        Some(Key { index: u32::try_from(index).ok()?, generation })
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(key.index as usize).filter(|e| e.generation == key.generation)
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(key.index as usize).filter(|e| e.generation == key.generation)
    }

    /// Some entry is so. O(registered): for what is rare.
    pub(super) fn any(&self, mut is: impl FnMut(&Entry) -> bool) -> bool {
        self.entries.iter().any(|(_, e)| is(e))
    }

    /// Changes the mask of an owned source. True if there is such an entry.
    pub(super) fn set_interest(&mut self, key: Key, interest: Interest) -> bool {
        let Some(entry) = self.get_mut(key) else { return false };
        entry.interest = interest;
        self.list_if_due(key);
        true
    }

    /// The kernel said something of a key, perhaps one that is gone.
    pub(super) fn edge(&mut self, key: Key, bits: Readiness) {
        let Some(entry) = self.get_mut(key) else { return };
        match (&entry.cell, entry.link) {
            (Some(cell), _) => cell.set(bits),
            (None, Link::Armed | Link::Reported) => entry.heard |= bits.wanted(entry.interest),
            // Left in the kernel by a duplicate of a descriptor that was closed (fact 5).
            (None, _) => return,
        }
        self.list_if_due(key);
    }

    /// Something would be reported now. Takes out of the hot list what would not.
    pub(super) fn is_any_due(&mut self) -> bool {
        let entries = &mut self.entries;
        self.hot.retain(|key| {
            let entry = entries.get_mut(key.index as usize);
            let Some(entry) = entry.filter(|e| e.generation == key.generation) else {
                return false;
            };
            entry.listed = !entry.due().is_none();
            entry.listed
        });
        !self.hot.is_empty()
    }

    /// Appends all that is due, once a key. Foreign ones are forgotten by it, and named in `reported`.
    pub(super) fn report(&mut self, out: &mut Vec<Event>, reported: &mut Vec<Key>) {
        let entries = &mut self.entries;
        self.hot.retain(|&key| {
            let entry = entries.get_mut(key.index as usize);
            let Some(entry) = entry.filter(|e| e.generation == key.generation) else {
                return false;
            };
            let readiness = entry.due();
            if !readiness.is_none() {
                out.push(Event { key, readiness });
                if entry.cell.is_none() {
                    entry.link = Link::Reported;
                    reported.push(key);
                }
            }
            entry.heard = Readiness::NONE;
            entry.listed = entry.cell.is_some() && !readiness.is_none();
            entry.listed
        });
    }

    fn list_if_due(&mut self, key: Key) {
        let Some(entry) = self.get_mut(key) else { return };
        if !entry.listed && !entry.due().is_none() {
            entry.listed = true;
            self.hot.push(key);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod model;
