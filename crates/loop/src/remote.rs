//! How does another thread reach the loop? By a [`Remote`]: a queue under a lock, and a wake-up only
//! for a loop that sleeps.
//!
//! The loop announces that it is about to sleep (`asleep`) and then looks at the queue once more; a
//! thread queues its item (`pending`) and then looks whether the loop sleeps. Both are sequentially consistent, so at
//! least one of the two sees the other: no item waits behind a sleeping loop. Whoever takes `asleep` back makes
//! the one wake-up call, so a loop that runs, or was woken already, costs no system call.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrun_selector::Wake;

use crate::ready::Entry;
use crate::{LoopClosed, here};

/// A loop as other threads know it: `Send`, `Sync`, cheap to clone, harmless when the loop is gone.
#[derive(Clone)]
pub struct Remote(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// Something was queued since the loop last looked.
    pending: AtomicBool,
    /// The loop waits in `select`, or is about to, and nobody has woken it yet.
    asleep: AtomicBool,
}

struct Queue {
    items: Vec<Item>,
    /// `None` once the loop is closed: it has a descriptor, which goes back then.
    waker: Option<Arc<dyn Wake>>,
}

/// What other threads can ask for.
pub(crate) enum Item {
    Call(Box<dyn FnOnce() + Send>),
    Task { index: u32, generation: u32 },
}

impl Remote {
    pub(crate) fn new(waker: Arc<dyn Wake>) -> Remote {
        Remote(Arc::new(Shared {
            queue: Mutex::new(Queue { items: Vec::new(), waker: Some(waker) }),
            pending: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
        }))
    }

    /// Queues a callback from any thread and ends the loop's wait. Callbacks of one thread keep their order
    /// (L-064); from the loop's own thread it is as `call_soon` (L-061).
    ///
    /// # Errors
    /// [`LoopClosed`] when the loop is closed or gone. The callback is dropped.
    pub fn call_soon_threadsafe(
        &self,
        callback: impl FnOnce() + Send + 'static,
    ) -> Result<(), LoopClosed> {
        let callback = Box::new(callback);
        match here::find(&self.0) {
            Some(core) => core.push_remote(callback),
            None => self.0.push(Item::Call(callback)),
        }
    }

    /// The loop is closed or gone. It may be so the moment after this said no.
    pub fn is_closed(&self) -> bool {
        self.0.lock().waker.is_none()
    }
}

impl Shared {
    /// Queues a task's wake-up from any thread. A closed loop has no tasks: nothing happens.
    pub(crate) fn wake_task(self: &Arc<Self>, index: u32, generation: u32) {
        match here::find(self) {
            Some(core) => core.push_task(index, generation),
            None => drop(self.push(Item::Task { index, generation })),
        }
    }

    fn push(&self, item: Item) -> Result<(), LoopClosed> {
        let mut queue = self.lock();
        let Some(waker) = queue.waker.clone() else {
            drop(queue); // `item` is dropped after the lock: its drop is a stranger's code
            return Err(LoopClosed);
        };
        queue.items.push(item);
        drop(queue);
        self.pending.store(true, SeqCst);
        if self.asleep.swap(false, SeqCst) {
            waker.wake();
        }
        Ok(())
    }

    /// For the loop: something is queued.
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(SeqCst)
    }

    /// For the loop: announces a wait. If something is queued already, says so: don't wait then.
    pub(crate) fn fall_asleep(&self) -> Result<(), Pending> {
        self.asleep.store(true, SeqCst);
        if self.is_pending() { Err(Pending) } else { Ok(()) }
    }

    /// For the loop: the wait is over.
    pub(crate) fn awake(&self) {
        self.asleep.store(false, SeqCst);
    }

    /// For the loop: takes what is queued, in exchange for an empty vector.
    pub(crate) fn take(&self, into: &mut Vec<Item>) {
        if self.pending.swap(false, SeqCst) {
            std::mem::swap(&mut self.lock().items, into);
        }
    }

    /// For the loop: takes nothing more, and gives what is left, to be dropped.
    pub(crate) fn close(&self) -> Vec<Item> {
        let mut queue = self.lock();
        let waker = queue.waker.take();
        let items = std::mem::take(&mut queue.items);
        drop(queue);
        drop(waker);
        items
    }

    /// Nothing panics while it is held, so a poisoned lock holds what it held.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something is queued: the loop must not wait.
pub(crate) struct Pending;

impl From<Item> for Entry {
    fn from(item: Item) -> Entry {
        match item {
            Item::Call(callback) => Entry::Remote(callback),
            Item::Task { index, generation } => Entry::Task { index, generation },
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
