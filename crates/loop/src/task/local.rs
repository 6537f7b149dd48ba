//! A waker for those who wait on the loop's own thread: [`LocalWaker`].
//!
//! A task that waits for what its own loop brings (a read, for the protocol of the same connection) need not be woken by
//! way of a thread-local: its flag and its name are enough.

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
/// Sixteen bytes, in cells: all methods take `&self`, and a stranger's waker may call them back.
#[derive(Default)]
pub struct LocalWaker {
    /// A task of the loop.
    task: Cell<Option<Arc<TaskWaker>>>,
    /// Anybody else. Set only while no task is. Boxed, since it hardly ever is.
    other: Cell<Option<Box<Waker>>>,
}

impl LocalWaker {
    /// Keeps nobody.
    pub const fn new() -> LocalWaker {
        LocalWaker { task: Cell::new(None), other: Cell::new(None) }
    }

    /// Keeps `waker` in place of what was kept. `event_loop` is the one that will be given to [`wake`](LocalWaker::wake).
    pub fn keep(&self, waker: &Waker, event_loop: &LoopHandle) {
        if !self.keeps_task(waker, event_loop) {
            self.keep_another(waker, event_loop);
        }
    }

    /// It is the waker of the task that is kept already: what most calls of [`keep`](LocalWaker::keep) come to, inlined.
    #[inline]
    pub fn keeps_task(&self, waker: &Waker, event_loop: &LoopHandle) -> bool {
        let task = self.task.take();
        let polled = &event_loop.core().polled;
        let keeps = task.as_ref().is_some_and(|task| polled.is_waker_of(waker, task));
        self.put_task(task);
        keeps
    }

    /// Puts back what was there, or nothing: the cell is empty.
    #[inline]
    fn put_task(&self, task: Option<Arc<TaskWaker>>) {
        std::mem::forget(self.task.replace(task));
    }

    #[inline(never)]
    fn keep_another(&self, waker: &Waker, event_loop: &LoopHandle) {
        let core = event_loop.core();
        let task = core.tasks.borrow().waker_at(core.polled.index.get());
        if let Some(task) = task.filter(|task| core.polled.is_waker_of(waker, task)) {
            self.task.set(Some(task));
            // A stranger's drop: when what is to be kept is in its place.
            let before = self.other.take();
            drop(before);
            return;
        }
        let before = self.other.take();
        if before.as_ref().is_some_and(|held| held.will_wake(waker)) {
            self.other.set(before);
            return;
        }
        // All of this may be a stranger's code, which may call back.
        let kept = waker.clone();
        let between = self.other.replace(Some(Box::new(kept)));
        self.task.take();
        drop((before, between));
    }

    /// Wakes whom it keeps, and goes on keeping it.
    #[inline]
    pub fn wake(&self, event_loop: &LoopHandle) {
        let Some(task) = self.task.take() else { return self.wake_other() };
        event_loop.core().wake_here(&task);
        self.put_task(Some(task));
    }

    #[inline(never)]
    fn wake_other(&self) {
        let Some(waker) = self.other.take() else { return };
        waker.wake_by_ref();
        // It may have polled at once: then who waits now is whom that left.
        let task = self.task.take();
        let kept = match self.other.take() {
            None if task.is_none() => Some(waker),
            newer => newer,
        };
        self.put_task(task);
        let between = self.other.replace(kept);
        drop(between);
    }
}

impl fmt::Debug for LocalWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalWaker").finish_non_exhaustive()
    }
}

/// The task that is polled now, or was last; and how a waker of a task is known.
pub(crate) struct Polled {
    /// That of any task's waker; null before the first task.
    vtable: Cell<*const RawWakerVTable>,
    /// Its place in the table.
    index: Cell<u32>,
}

impl Polled {
    pub(crate) const fn new() -> Polled {
        Polled { vtable: Cell::new(ptr::null()), index: Cell::new(ROOT) }
    }

    /// A task has this waker, so that all have this vtable.
    pub(crate) fn learn(&self, waker: &Waker) {
        self.vtable.set(waker.vtable());
    }

    #[inline]
    pub(super) fn begin(&self, index: u32) {
        self.index.set(index);
    }

    /// The waker is this task's: its data is only compared, never followed.
    #[inline]
    fn is_waker_of(&self, waker: &Waker, task: &Arc<TaskWaker>) -> bool {
        ptr::eq(waker.data(), Arc::as_ptr(task).cast())
            && ptr::eq(waker.vtable(), self.vtable.get())
    }
}
