//! When is the next timer due? A queue ordered by (deadline, arming), with O(1) cancel.
//!
//! Most timers are timeouts, and most timeouts are cancelled long before they are due: arming and
//! cancelling must cost next to nothing, firing may cost a little. So a timer is put in order only when its
//! time is near, and waits in one of four places:
//!
//! - `fresh`: armed of late, in no order. A few are simply looked through; when they are more, they move on.
//! - `far`: beyond the `horizon`, in no order. What is cancelled there was never sorted.
//! - `run`: up to the horizon, sorted, the soonest last, so that firing is a `pop`.
//! - `heap`: up to the horizon, and armed since `run` was made.
//!
//! When `run` and `heap` are used up, the horizon moves: the soonest eighth of `far` is selected and
//! sorted. To fire n timers reads them about eight times, in order of memory, and sorts small
//! pieces, where one large heap misses the cache at every level.
//!
//! Items themselves stay in `slots`. Each arming has a number of its own (`seq`), which orders equal
//! deadlines and tells an entry whose timer is gone from one whose slot was taken by another timer.
//! Cancelling takes the item out of its slot and leaves the entry; when dead entries outnumber the
//! live ones they are all swept, so they are never more than about half.

mod slots;

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;

use millrun_selector::Time;

use self::slots::Slots;

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

/// So many slots are read at once: as many misses as a core has under way.
const AHEAD: usize = 16;

/// Room that is kept when the queue runs empty: 1024 timers are some tens of KiB, and a loop that
/// had so many will soon have them again.
const ROOM_KEPT: usize = 1024;

/// A queue of items by deadline: armed, then either cancelled or popped when due.
///
/// Pure: it reads no clock. Items with equal deadlines come out in the order of arming (D-13).
///
/// ```
/// use millrun_loop::timers::TimerQueue;
/// use millrun_selector::Time;
///
/// let mut queue = TimerQueue::new();
/// let late = queue.arm(Time::from_nanos(20), "late");
/// queue.arm(Time::from_nanos(10), "soon");
/// assert_eq!(queue.next_deadline(), Some(Time::from_nanos(10)));
/// assert_eq!(queue.cancel(late), Some("late"));
/// let (_, when, item) = queue.pop_due(Time::from_nanos(15)).unwrap();
/// assert_eq!((when, item), (Time::from_nanos(10), "soon"));
/// assert!(queue.is_empty());
/// ```
pub struct TimerQueue<T> {
    slots: Slots<T>,
    live: usize,
    next_seq: u64,
    fresh: Vec<Entry>,
    heap: BinaryHeap<Entry>,
    run: Vec<Entry>,
    far: Vec<Entry>,
    /// So many entries at the end of `run` have been looked at.
    ahead: usize,
    /// Entries with greater keys are in `far` (or fresh), all others are not.
    horizon: (Time, u64),
}

/// Names one arming: index and generation. A late use finds nothing, never another timer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId {
    slot: u32,
    seq: u64,
}

/// What is sorted: three words, and the item stays where it is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Entry {
    when: Time,
    seq: u64,
    slot: u32,
}

/// Where an entry is that can be taken out.
enum Place {
    /// At this index.
    Fresh(usize),
    /// At the top.
    Heap,
    /// At the end.
    Run,
}

impl<T> TimerQueue<T> {
    /// An empty queue. Allocates nothing.
    pub const fn new() -> TimerQueue<T> {
        TimerQueue {
            slots: Slots::new(),
            live: 0,
            next_seq: 0,
            fresh: Vec::new(),
            heap: BinaryHeap::new(),
            run: Vec::new(),
            far: Vec::new(),
            ahead: 0,
            horizon: (Time::ZERO, 0),
        }
    }

    /// Adds a timer. O(1), amortised.
    ///
    /// # Panics
    /// With 2^32 - 1 timers armed at once: 100 GiB before that.
    #[inline]
    pub fn arm(&mut self, when: Time, item: T) -> TimerId {
        let (id, place) = self.arm_place(when);
        *place = Some(item);
        id
    }

    /// As [`arm`](Self::arm), and gives the empty place that the caller must put the item in, at once. So an item is written
    /// where it stays: one of a few words that is moved is written by words and read by pairs of them, a
    /// stall that takes as long as all else that is done here.
    #[inline(always)]
    pub(crate) fn arm_place(&mut self, when: Time) -> (TimerId, &mut Option<T>) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.live += 1;
        let (slot, place) = self.slots.fill(seq);
        self.fresh.push(Entry { when, seq, slot });
        (TimerId { slot, seq }, place)
    }

    /// Takes a timer out, if it has neither fired nor been cancelled. O(1), amortised.
    #[inline]
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        self.cancel_with(id.slot, |seq, _| seq == id.seq, Option::take)?
    }

    /// Cancels the timer that has a slot now, if `is_it` says so of its arming and its item; `empty` empties the item's place.
    #[inline(always)]
    pub(crate) fn cancel_with<R>(
        &mut self,
        slot: u32,
        is_it: impl FnOnce(u64, &Option<T>) -> bool,
        empty: impl FnOnce(&mut Option<T>) -> R,
    ) -> Option<R> {
        let (seq, emptied) = self.slots.empty(slot, is_it, empty)?;
        self.live -= 1;
        if self.fresh.last().is_some_and(|last| last.seq == seq) {
            self.fresh.pop();
        } else if self.fresh.len() <= FEW {
            // It would be looked through at each question.
            self.fresh.retain(|entry| entry.seq != seq);
        }
        self.sweep_if_worth();
        Some(emptied)
    }

    /// The timer has neither fired nor been cancelled.
    pub fn is_armed(&self, id: TimerId) -> bool {
        self.slots.has(id.slot, id.seq)
    }

    /// The soonest deadline. May sort some of what was armed since it was last asked.
    pub fn next_deadline(&mut self) -> Option<Time> {
        // Asked before each wait, mostly of an empty queue.
        if self.is_empty() { None } else { self.first().map(|(entry, _)| entry.when) }
    }

    /// Takes out the soonest timer, if its deadline is `now` or before. Call it until it gives `None`.
    pub fn pop_due(&mut self, now: Time) -> Option<(TimerId, Time, T)> {
        let (entry, place) = self.first()?;
        if entry.when > now {
            return None;
        }
        match place {
            Place::Fresh(at) => drop(self.fresh.swap_remove(at)),
            Place::Heap => drop(self.heap.pop()),
            Place::Run => {
                self.run.pop();
                self.look_ahead();
            }
        }
        let (_, item) = self.slots.empty(entry.slot, |seq, _| seq == entry.seq, Option::take)?;
        let item = item?;
        self.live -= 1;
        self.sweep_if_worth();
        Some((TimerId { slot: entry.slot, seq: entry.seq }, entry.when, item))
    }

    /// Reads the slots of the next entries of the run all at once, each [`AHEAD`] entries: of a large queue they are in no cache, and
    /// read one by one each would be waited for.
    fn look_ahead(&mut self) {
        if self.ahead > 0 {
            self.ahead -= 1;
            return;
        }
        self.ahead = AHEAD - 1;
        let soonest = &self.run[self.run.len().saturating_sub(AHEAD)..];
        let live = soonest.iter().filter(|entry| is_live(&self.slots, entry));
        std::hint::black_box(live.count());
    }

    /// Empties the queue: all items, in no particular order. Ids given before stay dead.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let slots = std::mem::replace(&mut self.slots, Slots::new());
        let next_seq = self.next_seq;
        *self = TimerQueue { next_seq, ..TimerQueue::new() };
        slots.into_items()
    }

    /// How many timers are armed.
    pub const fn len(&self) -> usize {
        self.live
    }

    /// Whether no timer is armed.
    pub const fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many entries are kept, those of cancelled timers too: what memory is proportional to. At
    /// most twice [`len`](Self::len) and a few.
    pub fn entries(&self) -> usize {
        self.fresh.len() + self.heap.len() + self.run.len() + self.far.len()
    }

    /// The soonest live entry, and where it is.
    fn first(&mut self) -> Option<(Entry, Place)> {
        if self.fresh.len() > FEW {
            self.move_fresh();
        }
        let near = self.first_near();
        let fresh = self.fresh.iter().enumerate().filter(|(_, entry)| is_live(&self.slots, entry));
        let fresh = fresh
            .min_by_key(|(_, entry)| entry.key())
            .map(|(at, entry)| (*entry, Place::Fresh(at)));
        [near, fresh].into_iter().flatten().min_by_key(|(entry, _)| entry.key())
    }

    /// The soonest live entry of those that are not fresh.
    fn first_near(&mut self) -> Option<(Entry, Place)> {
        loop {
            while self.run.last().is_some_and(|entry| !is_live(&self.slots, entry)) {
                self.run.pop();
            }
            while self.heap.peek().is_some_and(|entry| !is_live(&self.slots, entry)) {
                self.heap.pop();
            }
            return match (self.run.last(), self.heap.peek()) {
                (Some(run), Some(heap)) if heap.key() < run.key() => Some((*heap, Place::Heap)),
                (Some(run), _) => Some((*run, Place::Run)),
                (None, Some(heap)) => Some((*heap, Place::Heap)),
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
    fn move_fresh(&mut self) {
        let most = self.run.len().max(RUN_LEAST);
        let mut too_many = false;
        for entry in self.fresh.drain(..) {
            if !is_live(&self.slots, &entry) {
                continue;
            }
            if entry.key() > self.horizon || self.heap.len() == most {
                too_many |= entry.key() <= self.horizon;
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
            self.far.select_nth_unstable_by_key(rest, |entry| std::cmp::Reverse(entry.key()));
            self.run.extend(self.far.drain(rest..));
        } else {
            self.run.append(&mut self.far);
        }
        self.run.sort_unstable_by_key(|entry| std::cmp::Reverse(entry.key()));
        self.horizon = self.run.first().map_or(self.horizon, Entry::key);
    }

    /// Drops the dead entries if they outnumber the live ones; gives memory back when the queue
    /// is far smaller than it was.
    #[inline]
    fn sweep_if_worth(&mut self) {
        if self.entries() > 2 * self.live + DEAD_ALLOWED {
            self.sweep();
        }
        if self.live == 0 && self.slots.len() > ROOM_KEPT {
            self.give_room_back();
        }
    }

    #[cold]
    fn give_room_back(&mut self) {
        let next_seq = self.next_seq;
        *self = TimerQueue { next_seq, ..TimerQueue::new() };
    }

    #[cold]
    fn sweep(&mut self) {
        let slots = &self.slots;
        for entries in [&mut self.fresh, &mut self.run, &mut self.far] {
            entries.retain(|entry| is_live(slots, entry));
            if entries.capacity() > ROOM_KEPT && entries.capacity() / 4 > entries.len() {
                entries.shrink_to(entries.len() * 2);
            }
        }
        self.heap.retain(|entry| is_live(slots, entry));
        if self.heap.capacity() > ROOM_KEPT && self.heap.capacity() / 4 > self.heap.len() {
            self.heap.shrink_to(self.heap.len() * 2);
        }
    }
}

impl TimerId {
    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }
}

impl<T> Default for TimerQueue<T> {
    fn default() -> TimerQueue<T> {
        TimerQueue::new()
    }
}

impl<T> fmt::Debug for TimerQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerQueue")
            .field("armed", &self.live)
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}

impl Entry {
    fn key(&self) -> (Time, u64) {
        (self.when, self.seq)
    }
}

/// The soonest is the greatest: `BinaryHeap` is a max-heap.
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn is_live<T>(slots: &Slots<T>, entry: &Entry) -> bool {
    slots.has(entry.slot, entry.seq)
}
