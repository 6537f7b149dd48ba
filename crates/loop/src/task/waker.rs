//! What wakes a task: its name and the way to its loop, in an `Arc`.
//!
//! The future is not reached from here, so a waker may be cloned, woken and dropped on any thread and at any
//! time, also when the task is over or the loop is gone: then it finds nothing.

use std::sync::Arc;
use std::task::Wake;

use crate::remote::Shared;
use crate::sync::{AtomicBool, Ordering};

pub(crate) struct TaskWaker {
    index: u32,
    generation: u32,
    /// The task is in the ready queue, or on the way there; it need not be queued again.
    queued: AtomicBool,
    shared: Arc<Shared>,
}

impl TaskWaker {
    /// For a task that is about to be queued.
    pub(crate) fn new(index: u32, generation: u32, shared: &Arc<Shared>) -> TaskWaker {
        TaskWaker { index, generation, queued: AtomicBool::new(true), shared: Arc::clone(shared) }
    }

    /// For the next task at the same place, when no waker of the last one is left.
    pub(crate) fn reuse(&mut self, generation: u32) {
        self.generation = generation;
        self.queued = AtomicBool::new(true);
    }

    /// Its place in the table, and the generation.
    #[inline]
    pub(crate) const fn name(&self) -> (u32, u32) {
        (self.index, self.generation)
    }

    /// The task is over: nothing is queued for it any more.
    pub(crate) fn end(&self) {
        self.queued.store(true, Ordering::Release);
    }

    /// It is woken: true if it is to be queued for that.
    #[inline]
    pub(crate) fn wakes(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// From here on a wake-up queues the task again. Reading the flag and clearing it in one step makes
    /// what was done before an earlier wake-up visible to the poll that follows.
    pub(crate) fn begin_poll(&self) {
        self.queued.swap(false, Ordering::AcqRel);
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    #[inline]
    fn wake_by_ref(self: &Arc<Self>) {
        if self.wakes() {
            self.shared.wake_task(self.index, self.generation);
        }
    }
}
