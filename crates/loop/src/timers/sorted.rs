//! How is the soonest of many found, when most are gone before they are due? By [`Sorted`], which puts in order only what is near.
//!
//! It sorts tickets and does not know what they are for. A ticket has a number and is live or dead, which the caller
//! tells by `is_live`: a dead one stays where it is until it is met, or until all dead ones are swept.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use millrun_selector::Time;

/// Dead entries that are let be, however few the live ones: a sweep has to be worth its call.
/// asyncio's figure (100) is of the same size (D-13).
const DEAD_ALLOWED: usize = 64;

/// So many fresh timers are looked through at each question and not moved: four cache lines, less work than a
/// heap's push and pop. A timeout armed for one turn of the loop never leaves `fresh`.
const FEW: usize = 8;

/// The horizon moves over at least this many timers: a page of entries is sorted in a moment.
const RUN_LEAST: usize = 64;

/// The horizon moves over one in so many of the timers beyond it. More of them would sort what
/// may be cancelled; fewer would read the rest more often.
const RUN_SHARE: usize = 8;

/// So many tickets are asked at once whether they are live: as many misses as a core has under way.
const AHEAD: usize = 16;

/// Room that is kept when the queue runs empty: 1024 timers are some tens of KiB, and a loop that
/// had so many will soon have them again.
pub(super) const ROOM_KEPT: usize = 1024;

/// Stands for a timer among others.
pub(super) trait Ticket {
    /// Stands for none: what an entry is before it is filled.
    const NONE: Self;

    /// The number of its arming: orders equal deadlines.
    fn seq(&self) -> u64;
}

/// Tickets by deadline, then by arming.
pub(super) struct Sorted<K> {
    live: usize,
    fresh: Vec<Entry<K>>,
    heap: BinaryHeap<Entry<K>>,
    run: Vec<Entry<K>>,
    far: Vec<Entry<K>>,
    /// So many entries at the end of `run` have been looked at.
    ahead: usize,
    /// Entries with greater keys are in `far` (or fresh), all others are not.
    horizon: (Time, u64),
}

struct Entry<K> {
    when: Time,
    ticket: K,
}

/// Where an entry is that can be taken out.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// At this index.
    Fresh(usize),
    /// At the top.
    Heap,
    /// At the end.
    Run,
}

impl<K: Ticket> Sorted<K> {
    /// Allocates nothing.
    pub(super) const fn new() -> Sorted<K> {
        Sorted {
            live: 0,
            fresh: Vec::new(),
            heap: BinaryHeap::new(),
            run: Vec::new(),
            far: Vec::new(),
            ahead: 0,
            horizon: (Time::ZERO, 0),
        }
    }

    /// Adds a live ticket, and gives its place, which the caller must fill at once, of a greater number than all before. So it is
    /// written where it stays: one that is moved is written by words and read by pairs of them, a stall of a fifth of arming
    /// and disarming.
    #[inline(always)]
    pub(super) fn push_place(&mut self, when: Time) -> &mut K {
        self.live += 1;
        self.fresh.push(Entry { when: Time::ZERO, ticket: K::NONE });
        let last = self.fresh.len() - 1;
        let entry = &mut self.fresh[last];
        entry.when = when;
        &mut entry.ticket
    }

    /// A live ticket, which `is_it` knows, is dead from now on.
    #[inline(always)]
    pub(super) fn died(&mut self, is_it: impl Fn(&K) -> bool, is_live: impl Fn(&K) -> bool + Copy) {
        self.live -= 1;
        if self.fresh.last().is_some_and(|last| is_it(&last.ticket)) {
            // In place: taken out, it would be read before it is written.
            self.fresh.truncate(self.fresh.len() - 1);
        } else if self.fresh.len() <= FEW {
            // It would be looked through at each question.
            self.fresh.retain(|entry| !is_it(&entry.ticket));
        }
        self.sweep_if_worth(is_live);
    }

    /// The soonest live ticket: its deadline, and where it is. May sort some of what was pushed since it was last asked.
    pub(super) fn first(&mut self, is_live: impl Fn(&K) -> bool + Copy) -> Option<(Time, Place)> {
        if self.fresh.len() > FEW {
            self.move_fresh(is_live);
        }
        let near = self.first_near(is_live);
        let fresh = self.fresh.iter().enumerate().filter(|(_, entry)| is_live(&entry.ticket));
        let fresh = fresh.map(|(at, entry)| (entry, Place::Fresh(at)));
        let near = near.and_then(|place| Some((self.at(place)?, place)));
        let (entry, place) = near.into_iter().chain(fresh).min_by(|a, b| a.0.sooner(b.0))?;
        Some((entry.when, place))
    }

    /// Takes out what [`first`](Self::first) found.
    pub(super) fn take(&mut self, place: Place, is_live: impl Fn(&K) -> bool + Copy) -> Option<K> {
        let entry = match place {
            Place::Fresh(at) => Some(self.fresh.swap_remove(at)),
            Place::Heap => self.heap.pop(),
            Place::Run => {
                let entry = self.run.pop();
                self.look_ahead(is_live);
                entry
            }
        };
        let ticket = entry?.ticket;
        self.live -= 1;
        Some(ticket)
    }

    /// Asks the next tickets of the run all at once, each [`AHEAD`] entries: what they stand for is in no cache if there are many, and
    /// asked one by one each would be waited for.
    fn look_ahead(&mut self, is_live: impl Fn(&K) -> bool) {
        if self.ahead > 0 {
            self.ahead -= 1;
            return;
        }
        self.ahead = AHEAD - 1;
        let soonest = &self.run[self.run.len().saturating_sub(AHEAD)..];
        std::hint::black_box(soonest.iter().filter(|entry| is_live(&entry.ticket)).count());
    }

    /// Empties it: all tickets, dead ones too, in no particular order.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = K> + use<K> {
        let Sorted { fresh, heap, run, far, .. } = std::mem::take(self);
        let entries = fresh.into_iter().chain(heap).chain(run).chain(far);
        entries.map(|entry| entry.ticket)
    }

    /// How many are live.
    pub(super) const fn len(&self) -> usize {
        self.live
    }

    /// How many are kept, dead ones too: at most twice [`len`](Self::len) and a few.
    pub(super) fn entries(&self) -> usize {
        self.fresh.len() + self.heap.len() + self.run.len() + self.far.len()
    }

    /// None is live, and there is room for more than is kept for later.
    #[inline(always)]
    pub(super) fn has_room_to_give_back(&self) -> bool {
        let room = self.fresh.capacity().max(self.run.capacity()).max(self.far.capacity());
        self.live == 0 && room.max(self.heap.capacity()) > ROOM_KEPT
    }

    /// The number of what [`first`](Self::first) found.
    pub(super) fn seq_at(&self, place: Place) -> Option<u64> {
        self.at(place).map(|entry| entry.ticket.seq())
    }

    fn at(&self, place: Place) -> Option<&Entry<K>> {
        match place {
            Place::Fresh(at) => self.fresh.get(at),
            Place::Heap => self.heap.peek(),
            Place::Run => self.run.last(),
        }
    }

    /// Where the soonest live entry is of those that are not fresh.
    fn first_near(&mut self, is_live: impl Fn(&K) -> bool) -> Option<Place> {
        loop {
            while self.run.last().is_some_and(|entry| !is_live(&entry.ticket)) {
                self.run.pop();
            }
            while self.heap.peek().is_some_and(|entry| !is_live(&entry.ticket)) {
                self.heap.pop();
            }
            return match (self.run.last(), self.heap.peek()) {
                (Some(run), Some(heap)) if heap.sooner(run).is_lt() => Some(Place::Heap),
                (Some(_), _) => Some(Place::Run),
                (None, Some(_)) => Some(Place::Heap),
                (None, None) if self.far.is_empty() => None,
                (None, None) => {
                    self.move_horizon();
                    continue;
                }
            };
        }
    }

    /// Empties `fresh` into `far` and `heap`. When the heap would outgrow the run (the horizon is too far), the
    /// horizon is set anew.
    fn move_fresh(&mut self, is_live: impl Fn(&K) -> bool) {
        let most = self.run.len().max(RUN_LEAST);
        let mut too_many = false;
        for entry in self.fresh.drain(..) {
            if !is_live(&entry.ticket) {
                continue;
            }
            let is_far = entry.is_beyond(self.horizon);
            if is_far || self.heap.len() == most {
                too_many |= !is_far;
                self.far.push(entry);
            } else {
                self.heap.push(entry);
            }
        }
        if too_many {
            self.far.append(&mut self.run);
            self.far.extend(self.heap.drain());
            self.move_horizon();
        }
    }

    /// Makes a run of the soonest of `far`, which holds at least one entry. `run` and `heap` are empty.
    fn move_horizon(&mut self) {
        let count = (self.far.len() / RUN_SHARE).max(RUN_LEAST);
        if count < self.far.len() {
            // The latest to the front, so that the soonest are the tail.
            let rest = self.far.len() - count;
            self.far.select_nth_unstable_by(rest, |a, b| b.sooner(a));
            self.run.extend(self.far.drain(rest..));
        } else {
            self.run.append(&mut self.far);
        }
        self.run.sort_unstable_by(|a, b| b.sooner(a));
        self.horizon = self.run.first().map_or(self.horizon, |last| (last.when, last.ticket.seq()));
    }

    /// Drops the dead entries if they outnumber the live ones.
    #[inline(always)]
    pub(super) fn sweep_if_worth(&mut self, is_live: impl Fn(&K) -> bool + Copy) {
        if self.entries() > 2 * self.live + DEAD_ALLOWED {
            self.sweep(is_live);
        }
    }

    /// Gives memory back, too, when there are far fewer than there were.
    #[cold]
    fn sweep(&mut self, is_live: impl Fn(&K) -> bool + Copy) {
        for entries in [&mut self.fresh, &mut self.run, &mut self.far] {
            entries.retain(|entry| is_live(&entry.ticket));
            if entries.capacity() > ROOM_KEPT && entries.capacity() / 4 > entries.len() {
                entries.shrink_to(entries.len() * 2);
            }
        }
        self.heap.retain(|entry| is_live(&entry.ticket));
        if self.heap.capacity() > ROOM_KEPT && self.heap.capacity() / 4 > self.heap.len() {
            self.heap.shrink_to(self.heap.len() * 2);
        }
    }
}

impl<K: Ticket> Default for Sorted<K> {
    fn default() -> Sorted<K> {
        Sorted::new()
    }
}

impl<K: Ticket> Entry<K> {
    /// `Less` if it is to come out before `other`.
    #[inline(always)]
    fn sooner(&self, other: &Entry<K>) -> Ordering {
        self.when.cmp(&other.when).then_with(|| self.ticket.seq().cmp(&other.ticket.seq()))
    }

    fn is_beyond(&self, (when, seq): (Time, u64)) -> bool {
        self.when > when || (self.when == when && self.ticket.seq() > seq)
    }
}

/// The soonest is the greatest: `BinaryHeap` is a max-heap.
impl<K: Ticket> Ord for Entry<K> {
    fn cmp(&self, other: &Entry<K>) -> Ordering {
        other.sooner(self)
    }
}

impl<K: Ticket> PartialOrd for Entry<K> {
    fn partial_cmp(&self, other: &Entry<K>) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ticket> PartialEq for Entry<K> {
    fn eq(&self, other: &Entry<K>) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<K: Ticket> Eq for Entry<K> {}
