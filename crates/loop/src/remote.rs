//! How does another thread reach the loop? By a [`Remote`]: a queue under a lock, and a wake-up only
//! for a loop that sleeps.
//!
//! The two meet in one word, the loop's [state](Shared::state). A thread queues its item and then says `PENDING`; if it
//! finds the loop `ASLEEP`, it wakes it. The loop falls asleep only from `AWAKE`, so not past something that is
//! pending; and it says `AWAKE` before it takes what is queued, so what comes later is told again. One thread alone
//! turns `ASLEEP` into `PENDING` and makes the one wake-up call: a loop that runs, or was woken already, costs no system
//! call, and a second item no write to the word.

use std::fmt;
use std::sync::{Arc, PoisonError};

use millrun_selector::Wake;

use crate::ready::Entry;
use crate::sync::{AtomicU8, Mutex, MutexGuard, Ordering::SeqCst};
use crate::task::TaskWaker;
use crate::{LoopClosed, here};

/// A loop as other threads know it: `Send`, `Sync`, cheap to clone, harmless when the loop is gone.
#[derive(Clone)]
pub struct Remote(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    queue: Mutex<Queue>,
    /// [`AWAKE`], [`ASLEEP`] or [`PENDING`].
    state: AtomicU8,
}

/// The loop runs, and nothing is queued that it was not told of.
const AWAKE: u8 = 0;
/// The loop waits in `select`, or is about to.
const ASLEEP: u8 = 1;
/// Something was queued since the loop last looked.
const PENDING: u8 = 2;

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
            state: AtomicU8::new(AWAKE),
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
    #[inline]
    pub(crate) fn wake_task(self: &Arc<Self>, task: &TaskWaker) {
        if !here::if_current(self, |core| core.wake_here(task)) {
            self.wake_task_elsewhere(task);
        }
    }

    #[inline(never)]
    fn wake_task_elsewhere(self: &Arc<Self>, task: &TaskWaker) {
        match here::find(self) {
            Some(core) => core.wake_here(task),
            None if task.wakes() => {
                let (index, generation) = task.name();
                let _ = self.push(Item::Task { index, generation });
            }
            None => {}
        }
    }

    fn push(&self, item: Item) -> Result<(), LoopClosed> {
        let mut queue = self.lock();
        if queue.waker.is_none() {
            drop(queue); // `item` is dropped after the lock: its drop is a stranger's code
            return Err(LoopClosed);
        }
        queue.items.push(item);
        drop(queue);
        // If the loop had taken its items since then, it would have said so before, under the lock: what is read
        // here is not older than that.
        if self.state.load(SeqCst) != PENDING && self.state.swap(PENDING, SeqCst) == ASLEEP {
            self.wake();
        }
        Ok(())
    }

    #[inline(never)]
    fn wake(&self) {
        let waker = self.lock().waker.clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// For the loop: something is queued.
    pub(crate) fn is_pending(&self) -> bool {
        self.state.load(SeqCst) == PENDING
    }

    /// For the loop: announces a wait. If something is queued already, says so: don't wait then.
    #[inline]
    pub(crate) fn fall_asleep(&self) -> Result<(), Pending> {
        self.go(AWAKE, ASLEEP)
    }

    /// For the loop: the wait is over. If something was queued meanwhile, says so.
    #[inline]
    pub(crate) fn awake(&self) -> Result<(), Pending> {
        self.go(ASLEEP, AWAKE)
    }

    #[inline]
    fn go(&self, from: u8, to: u8) -> Result<(), Pending> {
        self.state.compare_exchange(from, to, SeqCst, SeqCst).map(drop).map_err(|_| Pending)
    }

    /// For the loop: takes what is queued, in exchange for an empty vector as a rule.
    pub(crate) fn take(&self, into: &mut Vec<Item>) {
        // A swap, as all changes of the word: as cheap as a store that is sequentially consistent, and loom, which orders a
        // store and a swap of two threads too loosely, can prove it.
        self.state.swap(AWAKE, SeqCst);
        let mut queue = self.lock();
        if into.is_empty() {
            std::mem::swap(&mut queue.items, into);
        } else {
            into.append(&mut queue.items);
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

/// Something is queued: the loop must not wait, but take it.
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
