//! What does a loop wait for? For callbacks and for wakers, in one order ([`LoopTimers`]).
//!
//! A callback is in an allocation that its handles share. So the queue shares it, too, and keeps nothing else but when it was armed: the allocation's [`Mark`]
//! says whether it is armed, and cancelling touches that and a count, no slot and no entry. A callback that was cancelled gives up
//! its memory (not what it captured, that is dropped at once) when its entry is met or swept.
//!
//! A waker has no allocation of its own: it is an item of a [`TimerQueue`].

use std::cell::Cell;
use std::rc::Rc;
use std::task::Waker;

use millrun_selector::Time;

use super::sorted::{Sorted, Ticket};
use super::{TimerId, TimerQueue};
use crate::callback::Scheduled;

/// The timers of a loop. Callbacks and wakers are numbered together, so equal deadlines keep their order.
#[derive(Default)]
pub(crate) struct LoopTimers {
    calls: Sorted<Call>,
    wakes: TimerQueue<Waker>,
    next_seq: u64,
}

/// What a timer does when it is due.
pub(crate) enum Timed {
    Call(Rc<dyn Scheduled>),
    Wake(Waker),
}

/// What is true of a callback.
pub(crate) struct Mark(Cell<u8>);

impl Mark {
    /// It waits in the timer queue.
    const ARMED: u8 = 1;
    /// It was cancelled, in the timer queue or not. Stays.
    const CANCELLED: u8 = 2;

    /// Neither.
    pub(crate) const fn new() -> Mark {
        Mark(Cell::new(0))
    }

    #[inline(always)]
    fn arm(&self) {
        self.0.set(self.0.get() | Mark::ARMED);
    }

    fn disarm(&self) {
        self.0.set(self.0.get() & !Mark::ARMED);
    }

    /// Gives whether it was armed. If so, tell [`LoopTimers::call_cancelled`].
    #[inline]
    pub(crate) fn cancel(&self) -> bool {
        let mark = self.0.get();
        self.0.set(mark & !Mark::ARMED | Mark::CANCELLED);
        mark & Mark::ARMED != 0
    }

    #[inline]
    fn is_armed(&self) -> bool {
        self.0.get() & Mark::ARMED != 0
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.get() & Mark::CANCELLED != 0
    }
}

/// The number of its arming is here, not in the callback: to compare equal deadlines, nothing is read that may be in no cache.
struct Call {
    seq: u64,
    /// `None` only while it is put there.
    callback: Option<Rc<dyn Scheduled>>,
}

impl Ticket for Call {
    const NONE: Call = Call { seq: 0, callback: None };

    #[inline(always)]
    fn seq(&self) -> u64 {
        self.seq
    }
}

impl LoopTimers {
    /// Adds a callback, of which `mark` is the mark; `share` gives the queue's share of it. It was never armed before.
    #[inline(always)]
    pub(crate) fn arm_call(
        &mut self,
        when: Time,
        mark: &Mark,
        share: impl FnOnce() -> Rc<dyn Scheduled>,
    ) {
        mark.arm();
        let seq = self.number();
        let call = self.calls.push_place(when);
        call.seq = seq;
        call.callback.get_or_insert_with(share);
    }

    #[inline]
    pub(crate) fn arm_wake(&mut self, when: Time, waker: Waker) -> TimerId {
        let seq = self.number();
        self.wakes.arm_as(seq, when, waker)
    }

    #[inline(always)]
    fn number(&mut self) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    /// An armed callback was cancelled: the one at this address. No stranger's code runs here: whoever cancels a callback has a share of
    /// it, and those that were cancelled earlier have nothing more to drop.
    #[inline]
    pub(crate) fn call_cancelled(&mut self, address: *const ()) {
        let is_it = |call: &Call| {
            call.callback.as_ref().is_some_and(|callback| Rc::as_ptr(callback).cast() == address)
        };
        self.calls.died(is_it, is_armed);
        self.give_room_back_if_empty();
    }

    pub(crate) fn cancel_wake(&mut self, id: TimerId) -> Option<Waker> {
        self.wakes.cancel(id)
    }

    pub(crate) fn is_wake_armed(&self, id: TimerId) -> bool {
        self.wakes.is_armed(id)
    }

    /// The soonest deadline. May sort some of what was armed since it was last asked.
    pub(crate) fn next_deadline(&mut self) -> Option<Time> {
        // Asked before each wait, mostly of an empty queue.
        if self.is_empty() {
            return None;
        }
        let call = self.calls.first(is_armed).map(|(when, _)| when);
        call.into_iter().chain(self.wakes.next_deadline()).min()
    }

    /// Takes out the soonest timer, if its deadline is `now` or before. Call it until it gives `None`.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<Timed> {
        let Some((when, place)) = self.calls.first(is_armed).filter(|call| call.0 <= now) else {
            return self.pop_wake(now);
        };
        if !self.wakes.is_empty() {
            let seq = self.calls.seq_at(place);
            if self.wakes.first_key().is_some_and(|wake| Some(wake) < seq.map(|seq| (when, seq))) {
                return self.pop_wake(now);
            }
        }
        let callback = self.calls.take(place, is_armed)?.callback?;
        callback.mark().disarm();
        self.calls.sweep_if_worth(is_armed);
        self.give_room_back_if_empty();
        Some(Timed::Call(callback))
    }

    fn pop_wake(&mut self, now: Time) -> Option<Timed> {
        self.wakes.pop_due(now).map(|(_, _, waker)| Timed::Wake(waker))
    }

    /// Empties the queue: all that was armed, in no particular order.
    pub(crate) fn drain(&mut self) -> Vec<Timed> {
        let calls = self.calls.drain().filter(is_armed).filter_map(|call| call.callback);
        let calls = calls.inspect(|callback| callback.mark().disarm()).map(Timed::Call);
        calls.chain(self.wakes.drain().map(Timed::Wake)).collect()
    }

    pub(crate) const fn len(&self) -> usize {
        self.calls.len() + self.wakes.len()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline(always)]
    fn give_room_back_if_empty(&mut self) {
        if self.calls.has_room_to_give_back() {
            self.give_room_back();
        }
    }

    #[cold]
    fn give_room_back(&mut self) {
        drop(self.calls.drain());
    }
}

#[inline(always)]
fn is_armed(call: &Call) -> bool {
    call.callback.as_ref().is_some_and(|callback| callback.mark().is_armed())
}
