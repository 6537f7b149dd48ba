//! One poll of a task, and what comes of it.

use super::After;
use super::join::JoinError;
use super::table::BoxedTask;
use crate::metrics::add;
use crate::state::Core;
use crate::{ErrorContext, catch};

impl Core {
    /// Polls a task that was woken, if it still runs; false if it does not. Its panic ends it alone.
    #[inline(always)]
    pub(crate) fn run_task(&self, index: u32, generation: u32) -> bool {
        let taken = self.tasks.borrow_mut().begin_poll(index, generation, &self.polled);
        let Some(mut task) = taken else { return false };
        add(&self.counts.polls, 1);
        match catch(|| task.as_mut().poll()) {
            Ok(false) => self.tasks.borrow_mut().put_back(index, task),
            Ok(true) => self.end_task_well(index, task),
            Err(panic) => self.end_task_by(index, task, JoinError::Panicked(panic)),
        }
        true
    }

    /// A task that is not to be polled was woken: it was aborted, or is over.
    pub(crate) fn drop_aborted(&self, index: u32, generation: u32) {
        let taken = self.tasks.borrow_mut().take_aborted(index, generation);
        if let Some(task) = taken {
            self.end_task_by(index, task, JoinError::Aborted);
        }
    }

    #[cold]
    fn end_task_by(&self, index: u32, mut task: BoxedTask, error: JoinError) {
        self.fail_task(&mut task, error);
        self.end_task(index, task);
    }

    /// It came to its end by itself: if nobody waits for that, it has nothing to tell.
    #[inline(never)]
    fn end_task_well(&self, index: u32, task: BoxedTask) {
        let is_detached = self.tasks.borrow_mut().end_detached(index);
        if is_detached {
            self.drop_reported("a task", task);
        } else {
            self.end_task(index, task);
        }
    }

    #[inline(never)]
    fn end_task(&self, index: u32, task: BoxedTask) {
        let after = self.tasks.borrow_mut().end(index, task);
        self.settle_task(after);
    }

    /// Drops the future of a task; its drop may panic, too.
    fn fail_task(&self, task: &mut BoxedTask, error: JoinError) {
        if let Err(panic) = catch(|| task.as_mut().fail(error)) {
            self.report(
                ErrorContext::new("exception while a task was dropped")
                    .panic(panic)
                    .detail("task", task.describe().0),
            );
        }
    }

    /// Does what the table left to be done: wakes who waits, drops what is over. A panic that nobody has
    /// heard of is reported.
    #[inline]
    pub(crate) fn settle_task(&self, after: After) {
        if after.joiner.is_some() || after.over.is_some() {
            self.settle_task_now(after);
        }
    }

    #[inline(never)]
    fn settle_task_now(&self, after: After) {
        if let Some(joiner) = after.joiner {
            if let Err(panic) = catch(|| joiner.wake()) {
                self.report(ErrorContext::new("exception in a waker").panic(panic));
            }
        }
        if let Some(mut task) = after.over {
            if let Some(panic) = task.as_mut().take_panic() {
                let (name, location) = task.describe();
                self.report(
                    ErrorContext::new("exception in a task that nobody waits for")
                        .panic(panic)
                        .detail("task", name)
                        .detail("spawned at", location),
                );
            }
            self.drop_reported("a task", task);
        }
    }

    /// Drops the future of every task; each `JoinHandle` gives `LoopClosed`.
    pub(crate) fn close_tasks(&self) {
        let tasks = self.tasks.borrow_mut().take_running();
        for (index, mut task) in tasks {
            self.fail_task(&mut task, JoinError::LoopClosed);
            self.end_task(index, task);
        }
    }
}
