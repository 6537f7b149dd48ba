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
    /// The task is in the ready queue: woken on its loop's own thread, which alone looks at this, so it is plain loads and
    /// stores.
    queued_here: AtomicBool,
    /// The task is on the way there from another thread; it need not be queued again.
    queued: AtomicBool,
    shared: Arc<Shared>,
}

impl TaskWaker {
    /// For a task that is about to be queued.
    pub(crate) fn new(index: u32, generation: u32, shared: &Arc<Shared>) -> TaskWaker {
        let (queued_here, queued) = (AtomicBool::new(true), AtomicBool::new(false));
        TaskWaker { index, generation, queued_here, queued, shared: Arc::clone(shared) }
    }

    /// For the next task at the same place, when no waker of the last one is left.
    pub(crate) fn reuse(&mut self, generation: u32) {
        self.generation = generation;
        self.queued_here = AtomicBool::new(true);
        self.queued = AtomicBool::new(false);
    }

    /// Its place in the table, and the generation.
    #[inline]
    pub(crate) const fn name(&self) -> (u32, u32) {
        (self.index, self.generation)
    }

    /// The task is over: nothing is queued for it any more.
    pub(crate) fn end(&self) {
        self.queued_here.store(true, Ordering::Relaxed);
        self.queued.store(true, Ordering::Release);
    }

    /// It is woken on another thread: true if it is to be queued for that.
    #[inline]
    pub(crate) fn wakes(&self) -> bool {
        !self.queued.swap(true, Ordering::AcqRel)
    }

    /// It is woken on its loop's own thread: true if it is to be queued for that.
    #[inline]
    pub(crate) fn wakes_here(&self) -> bool {
        // If another thread has queued it, its poll is still to come, too.
        let wakes =
            !self.queued_here.load(Ordering::Relaxed) && !self.queued.load(Ordering::Relaxed);
        if wakes {
            self.queued_here.store(true, Ordering::Relaxed);
        }
        wakes
    }

    /// From here on a wake-up queues the task again. For the loop's own thread.
    ///
    /// Reading the other threads' flag and clearing it in one step makes what was done before their wake-ups visible to the
    /// poll that follows. If it does not seem to be set, there was none of which this poll has to know: whoever set it queues the
    /// task for another poll, which comes by way of the remote queue's lock and so finds it set.
    #[inline]
    pub(crate) fn begin_poll(&self) {
        self.queued_here.store(false, Ordering::Relaxed);
        if self.queued.load(Ordering::Relaxed) {
            self.queued.swap(false, Ordering::AcqRel);
        }
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    #[inline]
    fn wake_by_ref(self: &Arc<Self>) {
        self.shared.wake_task(self);
    }
}
