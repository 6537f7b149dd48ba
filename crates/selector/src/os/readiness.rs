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
//! reported once and not kept, and before the next wait the selector arms it anew (fact 7). It is in
//! the kernel's registry only for what it wants: nobody would ever clear the other direction.
//!
//! Looking at every cell at each select would cost O(registered). So the table keeps a **hot list**
//! of the keys that may be due, and the invariant is: *whatever is due is in the list, or among the edges of
//! the last select*. A registration becomes due in three ways only: an edge, a changed interest, a
//! registration with bits already set. The last two put it into the list. An edge is reported as it comes from
//! the kernel, and the next select looks at it once more: mostly its socket was read empty by then, and the
//! list never hears of it. A key leaves the list when a select finds it not due. A read that empties a socket
//! need not find the list, and an idle registration costs its entry and nothing else.
//!
//! A listener clears its bit at each accept, since on epoll it is told again (`kernel.rs`): no edge is waited for, so
//! there is nothing to lose. If its interest goes, it is told in vain; then it is registered for edges, as the others are.
//!
//! Only if an edge comes for what this select has reported already (a hot key; kqueue, which tells of each
//! direction alone) are its reports gone through again. epoll tells of a registration once in each wait, so there
//! an edge leaves no mark.
//!
//! A key is place and generation, and the kernel is given both. An event in flight for a registration
//! that is gone (fact 5) finds another generation at its place, or nothing, and is dropped.

use std::os::fd::RawFd;
use std::rc::Rc;

use crate::{Event, Interest, Key, Readiness, ReadyCell};

/// How the kernel's registry stands to an entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    /// Owned: in it, for both directions, until the descriptor is closed.
    Owned,
    /// Owned, and the kernel tells again at each wait that it can be read (`kernel.rs`). Taken out when it is deregistered, since
    /// it would be told for ever.
    Level,
    /// Foreign: in it, and the next edge will be heard.
    Armed,
    /// Foreign: in it, was reported, to be armed anew before the next wait.
    Reported,
    /// Foreign: not in it, since nothing is wanted. Holds no claim on the descriptor's number.
    Parked,
    /// Foreign: its descriptor was closed behind our back. Never reported again.
    Lost,
    /// Nobody's: the place is free.
    Vacant,
}

/// Where the next select finds an entry that may be due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Listed {
    /// Nowhere: it isn't due, or its edge was among those of the last select.
    No,
    /// Its edge was among those of the last select, in which there might have been a second one.
    Edge,
    /// Its key is in the hot list.
    Hot,
}

/// One registration. There are ten thousand of these in an idle server: 24 bytes.
#[derive(Debug)]
pub(super) struct Entry {
    /// `None` for a foreign source.
    cell: Option<Rc<ReadyCell>>,
    name: Name,
    pub(super) fd: RawFd,
    pub(super) interest: Interest,
    pub(super) link: Link,
    pub(super) listed: Listed,
}

const _: () = assert!(size_of::<Entry>() <= 24, "an idle registration is to stay cheap");

impl Entry {
    const fn vacant() -> Entry {
        Entry {
            cell: None,
            name: Name::NOBODY,
            fd: -1,
            interest: Interest::NONE,
            link: Link::Vacant,
            listed: Listed::No,
        }
    }

    /// What a select must report of it, whatever the kernel says. Of a foreign source that is nothing.
    fn due(&self) -> Readiness {
        match &self.cell {
            Some(cell) => cell.get().wanted(self.interest),
            None => Readiness::NONE,
        }
    }

    /// It has a cell.
    pub(super) const fn is_owned(&self) -> bool {
        matches!(self.link, Link::Owned | Link::Level)
    }

    /// The kernel tells again and again what nobody wants to hear.
    pub(super) fn is_told_in_vain(&self) -> bool {
        self.link == Link::Level && !self.interest.reads()
    }

    /// From now on the kernel tells of edges alone.
    pub(super) fn is_told_of_edges(&mut self) {
        self.link = Link::Owned;
        if let Some(cell) = &self.cell {
            cell.set_told_again(false);
        }
    }

    /// It is the registration of the source with this cell.
    pub(super) fn shares(&self, cell: &Rc<ReadyCell>) -> bool {
        self.cell.as_ref().is_some_and(|c| Rc::ptr_eq(c, cell))
    }
}

/// A key in one word: it is compared at each event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Name(u64);

/// How many bits of the kernel's token (a `usize`) name the place; the others carry the generation, or as
/// much of it as fits.
const INDEX_BITS: u32 = if usize::BITS >= 64 { 32 } else { 20 };

/// The last place that a token has bits for is never given away.
pub(super) const MAX_INDEX: usize = (1 << INDEX_BITS) - 1;

impl Name {
    /// Of a place that is free.
    const NOBODY: Name = Name(u64::MAX);

    pub(super) const fn of(key: Key) -> Name {
        Name((key.generation as u64) << 32 | key.index as u64)
    }

    const fn key(self) -> Key {
        Key { index: self.0 as u32, generation: (self.0 >> 32) as u32 }
    }

    /// As the kernel keeps it. On 32 bits a part of the generation is cut off; whoever holds a [`Key`] is compared
    /// whole.
    pub(super) const fn token(self) -> usize {
        ((self.0 >> 32) << INDEX_BITS) as usize | self.0 as u32 as usize
    }
}

/// What an edge came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Edge {
    /// It is reported, or is not wanted, or means nobody.
    Done,
    /// It was for an owned source that this select has reported before: that report is out of date.
    Again,
    /// It is for a foreign source: [`foreign_edge`](Table::foreign_edge) is the place.
    Foreign(Key),
    /// It is [told in vain](Entry::is_told_in_vain), and would be without end.
    InVain(Key),
}

/// All registrations, and which of them may be due. `APART`: the kernel may tell of one registration more than once in
/// a select.
#[derive(Debug, Default)]
pub(super) struct Table<const APART: bool> {
    entries: Vec<Entry>,
    /// The places that are vacant.
    free: Vec<u32>,
    /// Each key whose entry is listed as `Hot`, once; and keys that are gone.
    hot: Vec<Key>,
    /// Counts registrations. One place sees the same generation again only after 2^32 of them.
    next_generation: u32,
}

impl<const APART: bool> Table<APART> {
    /// The name that the next [`insert`](Table::insert) will give.
    ///
    /// `None` when no `u32` can name the place.
    pub(super) fn next_key(&self) -> Option<Key> {
        let index = self.free.last().copied().or_else(|| u32::try_from(self.entries.len()).ok())?;
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
        debug_assert_eq!(self.next_key(), Some(key), "next_key told another name");
        self.next_generation = key.generation.wrapping_add(1);
        if self.free.pop().is_none() {
            self.entries.push(Entry::vacant());
        }
        // Filled where it stays: what is built elsewhere is moved by more than was written at once, a stall.
        let entry = &mut self.entries[key.index as usize];
        entry.cell = cell;
        entry.name = Name::of(key);
        entry.fd = fd;
        entry.interest = interest;
        entry.link = link;
        entry.listed = Listed::No;
        if !entry.due().is_none() {
            entry.listed = Listed::Hot;
            self.hot.push(key);
        }
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry> {
        let entry = std::mem::replace(self.get_mut(key)?, Entry::vacant());
        self.free.push(key.index);
        Some(entry)
    }

    /// As [`remove`](Table::remove), if the kernel has it as [`Link::Owned`]: mostly that is all. False if not.
    #[inline]
    pub(super) fn remove_owned(&mut self, key: Key) -> bool {
        let Some(entry) = self.get_mut(key).filter(|entry| entry.link == Link::Owned) else {
            return false;
        };
        *entry = Entry::vacant();
        self.free.push(key.index);
        true
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(key.index as usize).filter(|e| e.name == Name::of(key))
    }

    pub(super) fn get_mut(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(key.index as usize).filter(|e| e.name == Name::of(key))
    }

    /// Some entry is so. O(registered): for what is rare.
    pub(super) fn any(&self, is: impl FnMut(&Entry) -> bool) -> bool {
        self.entries.iter().any(is)
    }

    /// Changes the mask of an owned source. True if there is such an entry.
    pub(super) fn set_interest(&mut self, key: Key, interest: Interest) -> bool {
        let Some(entry) = self.get_mut(key) else { return false };
        entry.interest = interest;
        self.list_if_due(key);
        true
    }

    /// Begins a select, with the tokens of the edges of the last one: of those, what is still due is hot.
    #[inline]
    pub(super) fn settle(&mut self, edges: impl Iterator<Item = usize> + Clone) {
        let entries = &self.entries[..];
        let is_due = |token: usize| {
            entries.get(token & MAX_INDEX).is_some_and(|entry| !entry.due().is_none())
        };
        // Mostly all of them were read empty: then this calls nothing and changes nothing.
        if APART || edges.clone().any(is_due) {
            self.heat(edges);
        }
    }

    #[inline(never)]
    fn heat(&mut self, edges: impl Iterator<Item = usize>) {
        for token in edges {
            let Some(entry) = self.entries.get_mut(token & MAX_INDEX) else { continue };
            if entry.listed == Listed::Edge {
                entry.listed = Listed::No;
            }
            let key = entry.name.key();
            self.list_if_due(key);
        }
    }

    /// Then: reports what is due already and gives its number; what is not leaves the hot list.
    #[inline]
    pub(super) fn report_standing(&mut self, out: &mut Vec<Event>) -> usize {
        if self.hot.is_empty() { 0 } else { self.sweep(out) }
    }

    #[inline(never)]
    fn sweep(&mut self, out: &mut Vec<Event>) -> usize {
        let mut kept = 0;
        for i in 0..self.hot.len() {
            let key = self.hot[i];
            let Some(entry) = self.get_mut(key) else { continue };
            let readiness = entry.due();
            if readiness.is_none() {
                entry.listed = Listed::No;
            } else {
                out.push(Event { key, readiness });
                self.hot[kept] = key;
                kept += 1;
            }
        }
        self.hot.truncate(kept);
        kept
    }

    /// Within a select: the kernel said something of the registration that it knows by this token, if that
    /// still is there.
    #[inline]
    pub(super) fn edge(&mut self, token: usize, bits: Readiness, out: &mut Vec<Event>) -> Edge {
        let Some(entry) = self.entries.get_mut(token & MAX_INDEX) else { return Edge::Done };
        if entry.name.token() != token {
            return Edge::Done;
        }
        let Some(cell) = &entry.cell else { return Edge::Foreign(entry.name.key()) };
        let readiness = cell.set(bits).wanted(entry.interest);
        if entry.listed != Listed::No {
            return Edge::Again;
        }
        if !readiness.is_none() {
            if APART {
                entry.listed = Listed::Edge;
            }
            out.push(Event { key: entry.name.key(), readiness });
        } else if entry.link == Link::Level {
            return Edge::InVain(entry.name.key());
        }
        Edge::Done
    }

    /// As [`edge`](Table::edge), of a foreign source. One that is reported is named in `reported`: it must be
    /// armed anew.
    #[inline(never)]
    pub(super) fn foreign_edge(
        &mut self,
        key: Key,
        bits: Readiness,
        out: &mut Vec<Event>,
        reported: &mut Vec<Key>,
    ) {
        let Some(entry) = self.get_mut(key) else { return };
        let readiness = bits.wanted(entry.interest);
        match entry.link {
            Link::Armed if !readiness.is_none() => {
                entry.link = Link::Reported;
                out.push(Event { key, readiness });
                reported.push(key);
            }
            // kqueue tells of each direction alone.
            Link::Reported => {
                if let Some(event) = out.iter_mut().rfind(|event| event.key == key) {
                    event.readiness |= readiness;
                }
            }
            // Left in the kernel by a duplicate of a descriptor that was closed (fact 5).
            _ => {}
        }
    }

    /// Ends a select in which something came [`Again`](Edge::Again): brings its reports up to date.
    #[cold]
    pub(super) fn refresh(&self, reports: &mut [Event]) {
        for event in reports {
            match self.get(event.key) {
                Some(entry) if entry.cell.is_some() => event.readiness = entry.due(),
                _ => {}
            }
        }
    }

    fn list_if_due(&mut self, key: Key) {
        let Some(entry) = self.get_mut(key) else { return };
        if entry.listed == Listed::No && !entry.due().is_none() {
            entry.listed = Listed::Hot;
            self.hot.push(key);
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod model;
