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
//! That is `sorted`, for tickets of any kind. Each arming has a number of its own (`seq`), which orders equal
//! deadlines. Cancelling leaves a dead entry; when dead ones outnumber the live ones they are all swept, so they are never more than
//! about half.
//!
//! There are two kinds of tickets. Those of a [`TimerQueue`] name a place in `slots`, where the item stays; the arming's number
//! tells an entry whose timer is gone from one whose slot was taken by another timer. Those of a loop's callbacks
//! (`loop_timers`) are the callbacks, each with its number: there the queue adds four words to a timer, and nothing is looked up.

mod loop_timers;
mod slots;
mod sorted;

use std::fmt;

use millrun_selector::Time;

pub(crate) use self::loop_timers::{LoopTimers, Mark, Timed};
use self::slots::Slots;
use self::sorted::{ROOM_KEPT, Sorted, Ticket};

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
    sorted: Sorted<TimerId>,
    next_seq: u64,
}

/// Names one arming: index and generation. A late use finds nothing, never another timer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TimerId {
    slot: u32,
    seq: u64,
}

impl<T> TimerQueue<T> {
    /// An empty queue. Allocates nothing.
    pub const fn new() -> TimerQueue<T> {
        TimerQueue { slots: Slots::new(), sorted: Sorted::new(), next_seq: 0 }
    }

    /// Adds a timer. O(1), amortised.
    ///
    /// # Panics
    /// With 2^32 - 1 timers armed at once: 100 GiB before that.
    #[inline]
    pub fn arm(&mut self, when: Time, item: T) -> TimerId {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.arm_as(seq, when, item)
    }

    /// As [`arm`](Self::arm), with a number that the caller gives: greater than all before.
    #[inline(always)]
    fn arm_as(&mut self, seq: u64, when: Time, item: T) -> TimerId {
        let (slot, place) = self.slots.fill(seq);
        *place = Some(item);
        let id = TimerId { slot, seq };
        *self.sorted.push_place(when) = id;
        id
    }

    /// Takes a timer out, if it has neither fired nor been cancelled. O(1), amortised.
    #[inline]
    pub fn cancel(&mut self, id: TimerId) -> Option<T> {
        let item = self.slots.empty(id.slot, id.seq)?;
        let slots = &self.slots;
        self.sorted.died(|other| other.seq == id.seq, |id| slots.has(id.slot, id.seq));
        self.give_room_back_if_empty();
        Some(item)
    }

    /// The timer has neither fired nor been cancelled.
    pub fn is_armed(&self, id: TimerId) -> bool {
        self.slots.has(id.slot, id.seq)
    }

    /// The soonest deadline. May sort some of what was armed since it was last asked.
    pub fn next_deadline(&mut self) -> Option<Time> {
        let slots = &self.slots;
        if self.sorted.len() == 0 {
            return None;
        }
        self.sorted.first(|id| slots.has(id.slot, id.seq)).map(|(when, _)| when)
    }

    /// What the soonest timer is sorted by.
    fn first_key(&mut self) -> Option<(Time, u64)> {
        let slots = &self.slots;
        let (when, place) = self.sorted.first(|id| slots.has(id.slot, id.seq))?;
        Some((when, self.sorted.seq_at(place)?))
    }

    /// Takes out the soonest timer, if its deadline is `now` or before. Call it until it gives `None`.
    pub fn pop_due(&mut self, now: Time) -> Option<(TimerId, Time, T)> {
        let slots = &self.slots;
        let (when, place) = self.sorted.first(|id| slots.has(id.slot, id.seq))?;
        if when > now {
            return None;
        }
        let id = self.sorted.take(place, |id| slots.has(id.slot, id.seq))?;
        let item = self.slots.empty(id.slot, id.seq)?;
        let slots = &self.slots;
        self.sorted.sweep_if_worth(|id| slots.has(id.slot, id.seq));
        self.give_room_back_if_empty();
        Some((id, when, item))
    }

    /// Empties the queue: all items, in no particular order. Ids given before stay dead.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        drop(self.sorted.drain());
        std::mem::replace(&mut self.slots, Slots::new()).into_items()
    }

    /// How many timers are armed.
    pub const fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether no timer is armed.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many entries are kept, those of cancelled timers too: what memory is proportional to. At
    /// most twice [`len`](Self::len) and a few.
    pub fn entries(&self) -> usize {
        self.sorted.entries()
    }

    #[inline]
    fn give_room_back_if_empty(&mut self) {
        if self.is_empty() && self.slots.len() > ROOM_KEPT {
            self.give_room_back();
        }
    }

    #[cold]
    fn give_room_back(&mut self) {
        drop(self.drain());
    }
}

impl Ticket for TimerId {
    const NONE: TimerId = TimerId { slot: 0, seq: 0 };

    #[inline(always)]
    fn seq(&self) -> u64 {
        self.seq
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
            .field("armed", &self.len())
            .field("entries", &self.entries())
            .finish_non_exhaustive()
    }
}
