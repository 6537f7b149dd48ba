//! What runs next? The ready queue: first in, first out, a round at a time.

use std::cell::RefCell;
use std::rc::Rc;

use millrun_selector::{Key, Readiness};

use crate::UnitEnd;
use crate::callback::Scheduled;

/// Room that an empty queue keeps, 96 KiB. A burst needs more for a moment; an idle loop should not
/// hold it for ever.
pub(crate) const ROOM_KEPT: usize = 4096;

/// One thing to run. None of them but `Remote` costs an allocation to queue: the others exist already.
pub(crate) enum Entry {
    /// A callback that someone holds a handle of.
    Handle(Rc<dyn Scheduled>),
    /// A watched source is ready. Looked up when it runs: the watch may be gone by then.
    Io(Key, Readiness),
    /// A task was woken; [`ROOT`](crate::task::ROOT) is the future of `run_until_complete`.
    Task { index: u32, generation: u32 },
    /// Work for the end of a unit that was left outside any, or work that is owed.
    UnitEnd { work: Rc<dyn UnitEnd>, owed: bool },
    /// A callback from `call_soon_threadsafe`.
    Remote(Box<dyn FnOnce() + Send>),
}

/// Entries in the order in which they were queued. A round takes all that are there when it begins, so what
/// they queue runs in the next one (L-002).
#[derive(Default)]
pub(crate) struct ReadyQueue(RefCell<Vec<Entry>>);

impl ReadyQueue {
    /// Queues one more.
    ///
    /// Inlined, and by `extend`, which makes room first, so that the entry is built where it stays: `push`
    /// writes its words one by one elsewhere and moves them by two, a stall that is a quarter of `call_soon`.
    #[inline(always)]
    pub(crate) fn push(&self, entry: impl FnOnce() -> Entry) {
        let mut queue = self.0.borrow_mut();
        if queue.len() < queue.capacity() {
            queue.extend(std::iter::once(entry).map(|entry| entry()));
        } else {
            drop(queue);
            self.push_growing(entry());
        }
    }

    /// Queues a task: as [`push`](Self::push), and makes no entry but where it stays.
    #[inline(always)]
    pub(crate) fn push_task(&self, index: u32, generation: u32) {
        let mut queue = self.0.borrow_mut();
        if queue.len() < queue.capacity() {
            queue.extend(std::iter::once_with(|| Entry::Task { index, generation }));
        } else {
            drop(queue);
            self.push_task_growing(index, generation);
        }
    }

    #[inline(never)]
    fn push_task_growing(&self, index: u32, generation: u32) {
        self.push_growing(Entry::Task { index, generation });
    }

    #[inline(never)]
    fn push_growing(&self, entry: Entry) {
        self.0.borrow_mut().push(entry);
    }

    /// How many are queued.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.borrow_mut().len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow_mut().is_empty()
    }

    /// Takes the newest entry out: for a queue of one.
    #[inline(always)]
    pub(crate) fn pop(&self) -> Option<Entry> {
        self.0.borrow_mut().pop()
    }

    /// Takes all that are queued, in exchange for an empty vector.
    #[inline]
    pub(crate) fn take(&self, into: &mut Vec<Entry>) {
        std::mem::swap(&mut *self.0.borrow_mut(), into);
    }

    /// Takes out all but what is owed (which must run even when the loop closes).
    pub(crate) fn take_unowed(&self) -> Vec<Entry> {
        let (owed, unowed) = self.0.take().into_iter().partition(Entry::is_owed);
        self.0.replace(owed);
        unowed
    }
}

impl Entry {
    const fn is_owed(&self) -> bool {
        matches!(self, Entry::UnitEnd { owed: true, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::Entry;

    /// The queue is moved through at each turn.
    #[test]
    fn an_entry_is_three_words() {
        assert!(size_of::<Entry>() <= 24, "{}", size_of::<Entry>());
    }
}
