//! A waker for those who wait on the loop's own thread: [`LocalWaker`].
//!
//! A task that waits for what its own loop brings (a read, for the protocol of the same connection) need not be woken by
//! way of a thread-local and an `Arc`: its place in the table is enough.

use std::cell::Cell;
use std::fmt;
use std::ptr;
use std::sync::Arc;
use std::task::{RawWakerVTable, Waker};

use super::{ROOT, TaskWaker};
use crate::LoopHandle;

/// Keeps the waker of one that waits, for as long as it may wait again: the next time, the same one need not be
/// cloned. A task of the loop is woken as by its [`Waker`], but for less; anybody else by the waker itself.
///
/// Sixteen bytes, in a cell: all methods take `&self`, and a stranger's waker may call them back.
#[derive(Default)]
pub struct LocalWaker(Cell<Kept>);

enum Kept {
    /// A task of the loop; at [`ROOT`], which has no place in the table, nobody.
    Task {
        index: u32,
        generation: u32,
    },
    Other(Waker),
}

impl LocalWaker {
    /// Keeps nobody.
    pub const fn new() -> LocalWaker {
        LocalWaker(Cell::new(Kept::Task { index: ROOT, generation: 0 }))
    }

    /// Keeps `waker` in place of what was kept. `event_loop` is the one that will be given to [`wake`](LocalWaker::wake).
    pub fn keep(&self, waker: &Waker, event_loop: &LoopHandle) {
        if !self.keep_task(waker, event_loop) {
            self.keep_other(waker, event_loop);
        }
    }

    /// What most calls of [`keep`](LocalWaker::keep) come to, inlined: it is the waker of the task that is polled, and no
    /// stranger's was kept. False: it is another call, and nothing was done.
    #[inline]
    pub fn keep_task(&self, waker: &Waker, event_loop: &LoopHandle) -> bool {
        let Some((index, generation)) = event_loop.core().polled.task_of(waker) else {
            return false;
        };
        let kept = self.0.take();
        let is_task = matches!(kept, Kept::Task { .. });
        let kept = if is_task { Kept::Task { index, generation } } else { kept };
        std::mem::forget(self.0.replace(kept)); // nobody
        is_task
    }

    #[inline(never)]
    fn keep_other(&self, waker: &Waker, event_loop: &LoopHandle) {
        let before = self.0.take();
        let kept = match event_loop.core().polled.task_of(waker) {
            Some((index, generation)) => Kept::Task { index, generation },
            None => match &before {
                Kept::Other(held) if held.will_wake(waker) => {
                    std::mem::forget(self.0.replace(before)); // nobody
                    return;
                }
                _ => Kept::Other(waker.clone()),
            },
        };
        // Both drops may be a stranger's code: when what is to be kept is in its place.
        let between = self.0.replace(kept);
        drop((before, between));
    }

    /// Wakes whom it keeps, and goes on keeping it.
    #[inline]
    pub fn wake(&self, event_loop: &LoopHandle) {
        match self.0.take() {
            Kept::Task { index, generation } => {
                let between = self.0.replace(Kept::Task { index, generation });
                std::mem::forget(between); // nobody
                event_loop.core().wake_task_here(index, generation);
            }
            Kept::Other(waker) => self.wake_other(waker),
        }
    }

    #[inline(never)]
    fn wake_other(&self, waker: Waker) {
        waker.wake_by_ref();
        // It may have polled at once: then who waits now is whom that left.
        let kept = match self.0.take() {
            Kept::Task { index: ROOT, .. } => Kept::Other(waker),
            newer => newer,
        };
        let between = self.0.replace(kept);
        drop(between);
    }
}

impl Default for Kept {
    fn default() -> Kept {
        Kept::Task { index: ROOT, generation: 0 }
    }
}

impl fmt::Debug for LocalWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalWaker").finish_non_exhaustive()
    }
}

/// The task that is polled now, or was last, while it lives; and how its waker is known.
pub(crate) struct Polled {
    /// What the waker's data points to: only compared, never followed.
    waker: Cell<*const TaskWaker>,
    /// That of any task's waker; null before the first task.
    vtable: Cell<*const RawWakerVTable>,
    index: Cell<u32>,
    generation: Cell<u32>,
}

impl Polled {
    pub(crate) const fn new() -> Polled {
        Polled {
            waker: Cell::new(ptr::null()),
            vtable: Cell::new(ptr::null()),
            index: Cell::new(ROOT),
            generation: Cell::new(0),
        }
    }

    /// A task has this waker, so that all have this vtable.
    pub(crate) fn learn(&self, waker: &Waker) {
        self.vtable.set(waker.vtable());
    }

    #[inline]
    pub(super) fn begin(&self, index: u32, generation: u32, waker: &Arc<TaskWaker>) {
        self.waker.set(Arc::as_ptr(waker));
        self.index.set(index);
        self.generation.set(generation);
    }

    /// The task is over: its waker's place may become another's.
    pub(super) fn end(&self) {
        self.waker.set(ptr::null());
    }

    /// The name of the polled task, if this is its waker.
    #[inline]
    fn task_of(&self, waker: &Waker) -> Option<(u32, u32)> {
        let is_its = ptr::eq(waker.data(), self.waker.get().cast())
            && ptr::eq(waker.vtable(), self.vtable.get());
        is_its.then(|| (self.index.get(), self.generation.get()))
    }
}
