//! Who waits? A list of wakers of which each can leave on its own: [`Waiters`].

use std::cell::Cell;
use std::fmt;
use std::task::Waker;

/// Any number of futures that wait for the same thing, independent of each other.
///
/// Eight bytes while nobody has ever waited. No foreign code (a waker's clone, wake or drop) runs
/// while the list is changed.
#[derive(Default)]
pub struct Waiters(Cell<Option<Box<List>>>);

/// A waiting future's place in the list: `None` in the future until it waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    round: u32,
    index: u32,
}

#[derive(Default)]
struct List {
    /// Grows with each waking, so that a place of an earlier round is known to be gone.
    round: u32,
    wakers: Vec<Option<Waker>>,
}

impl Waiters {
    /// An empty list.
    pub const fn new() -> Waiters {
        Waiters(Cell::new(None))
    }

    /// Waits: the next [`wake_all`](Waiters::wake_all) wakes `waker`. Call it at each poll that has
    /// to wait, with the same `place`.
    pub fn wait(&self, place: &mut Option<Place>, waker: &Waker) {
        let known = self.with(|list| list.waker(*place).is_some_and(|held| held.will_wake(waker)));
        if known {
            return;
        }
        let fresh = waker.clone();
        let old = self.with(|list| list.put(place, fresh));
        drop(old);
    }

    /// Waits no more. Harmless when it does not wait.
    #[inline]
    pub fn leave(&self, place: &mut Option<Place>) {
        if let Some(place) = place.take() {
            self.leave_place(place);
        }
    }

    #[inline(never)]
    fn leave_place(&self, place: Place) {
        drop(self.with(|list| list.remove(place)));
    }

    /// Wakes all that wait, in the order of their places, and forgets them.
    pub fn wake_all(&self) {
        let Some(mut list) = self.0.take() else { return };
        list.round = list.round.wrapping_add(1);
        let mut wakers = std::mem::take(&mut list.wakers);
        self.0.set(Some(list));
        for waker in wakers.drain(..).flatten() {
            waker.wake();
        }
        // The memory is kept for the next time, unless somebody waits again already.
        self.with(|list| {
            if list.wakers.is_empty() {
                std::mem::swap(&mut list.wakers, &mut wakers);
            }
        });
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        let list = self.0.take();
        let len = list.as_ref().map_or(0, |list| list.wakers.iter().flatten().count());
        self.0.set(list);
        len
    }

    /// Nobody waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Only for code of this file that calls no stranger.
    fn with<R>(&self, f: impl FnOnce(&mut List) -> R) -> R {
        let mut list = self.0.take().unwrap_or_default();
        let result = f(&mut list);
        self.0.set(Some(list));
        result
    }
}

impl List {
    fn waker(&self, place: Option<Place>) -> Option<&Waker> {
        let place = place.filter(|place| place.round == self.round)?;
        self.wakers.get(place.index as usize)?.as_ref()
    }

    fn put(&mut self, place: &mut Option<Place>, waker: Waker) -> Option<Waker> {
        if let Some(held) = place.filter(|place| place.round == self.round) {
            if let Some(slot) = self.wakers.get_mut(held.index as usize) {
                return slot.replace(waker);
            }
        }
        let free = self.wakers.iter().position(Option::is_none);
        let index = free.unwrap_or(self.wakers.len());
        match self.wakers.get_mut(index) {
            Some(slot) => *slot = Some(waker),
            None => self.wakers.push(Some(waker)),
        }
        // No loop has 2^32 tasks; a place that is cut off would only not be found again.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        *place = Some(Place { round: self.round, index });
        None
    }

    fn remove(&mut self, place: Place) -> Option<Waker> {
        if place.round != self.round {
            return None;
        }
        let waker = self.wakers.get_mut(place.index as usize)?.take();
        while self.wakers.last().is_some_and(Option::is_none) {
            self.wakers.pop();
        }
        waker
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Waiters({})", self.len())
    }
}
