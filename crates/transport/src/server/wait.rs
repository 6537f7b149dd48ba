//! Several futures that wait for the same thing, each for itself: [`Waiters`].

use std::cell::{Cell, RefCell};
use std::task::{Context, Waker};

/// The wakers of those who wait. One that goes away takes nothing from the others (D-15).
#[derive(Default)]
pub(super) struct Waiters {
    wakers: RefCell<Vec<(u64, Waker)>>,
    next: Cell<u64>,
}

impl Waiters {
    /// A number for one waiter.
    pub(super) fn enter(&self) -> u64 {
        self.next.replace(self.next.get() + 1)
    }

    /// Wakes this waiter by the context's waker from now on.
    pub(super) fn wait(&self, number: u64, cx: &Context<'_>) {
        let waker = cx.waker().clone();
        let old = {
            let mut wakers = self.wakers.borrow_mut();
            match wakers.iter_mut().find(|(other, _)| *other == number) {
                Some((_, old)) => Some(std::mem::replace(old, waker)),
                None => {
                    wakers.push((number, waker));
                    None
                }
            }
        };
        // A waker's drop is a stranger's code.
        drop(old);
    }

    /// This waiter waits no more.
    pub(super) fn leave(&self, number: u64) {
        let mut wakers = self.wakers.borrow_mut();
        let place = wakers.iter().position(|(other, _)| *other == number);
        let left = place.map(|place| wakers.swap_remove(place));
        drop(wakers);
        drop(left);
    }

    /// Wakes all; who still has to wait comes again.
    pub(super) fn wake(&self) {
        let wakers = self.wakers.take();
        for (_, waker) in wakers {
            waker.wake();
        }
    }
}
