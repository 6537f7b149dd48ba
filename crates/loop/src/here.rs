//! Which loops live on this thread, and which one runs?
//!
//! A waker that is woken on its loop's own thread queues without a lock; any other goes through the remote
//! queue. All lookups are `try_with`: wakers are dropped, and woken, in destructors of thread-locals too.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use crate::remote::Shared;
use crate::state::Core;
use crate::sync::thread_local;

thread_local! {
    static CURRENT: RefCell<Option<Rc<Core>>> = const { RefCell::new(None) };
    static ALIVE: RefCell<Vec<(*const Shared, Weak<Core>)>> = const { RefCell::new(Vec::new()) };
}

/// The loop that runs on this thread, or is closing on it.
pub(crate) fn current() -> Option<Rc<Core>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// The loop behind `shared`, if it lives on this thread: the running one as a rule.
pub(crate) fn find(shared: &Arc<Shared>) -> Option<Rc<Core>> {
    if let Some(core) = current() {
        if Arc::ptr_eq(&core.remote.0, shared) {
            return Some(core);
        }
    }
    let pointer = Arc::as_ptr(shared);
    let find = |alive: &RefCell<Vec<(*const Shared, Weak<Core>)>>| {
        let alive = alive.borrow();
        alive.iter().find(|(p, _)| *p == pointer).and_then(|(_, core)| core.upgrade())
    };
    ALIVE.try_with(find).ok().flatten()
}

/// Calls `f` with the loop behind `shared`, if that is the one that runs on this thread. It must call no stranger.
#[inline]
pub(crate) fn if_current(shared: &Arc<Shared>, f: impl FnOnce(&Core)) -> bool {
    let call = |current: &RefCell<Option<Rc<Core>>>| match current.try_borrow_mut().as_deref() {
        Ok(Some(core)) if Arc::ptr_eq(&core.remote.0, shared) => {
            f(core);
            true
        }
        _ => false,
    };
    CURRENT.try_with(call).unwrap_or(false)
}

/// Makes a loop known to its thread.
pub(crate) fn add(core: &Rc<Core>) {
    let entry = (Arc::as_ptr(&core.remote.0), Rc::downgrade(core));
    // No thread-locals any more: its wakers take the remote queue.
    let _ = ALIVE.try_with(|alive| alive.borrow_mut().push(entry));
}

/// Forgets a loop that was closed.
pub(crate) fn remove(core: &Core) {
    let pointer = Arc::as_ptr(&core.remote.0);
    let _ = ALIVE.try_with(|alive| alive.borrow_mut().retain(|(p, _)| *p != pointer));
}

/// Makes a loop the current one until the guard is dropped; then the one before is it again.
pub(crate) fn enter(core: &Rc<Core>) -> Entered {
    let core = Some(Rc::clone(core));
    Entered { before: CURRENT.try_with(|current| current.replace(core)).ok().flatten() }
}

pub(crate) struct Entered {
    before: Option<Rc<Core>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.before.take();
        let was = CURRENT.try_with(|current| current.replace(before));
        drop(was); // outside the borrow
    }
}
