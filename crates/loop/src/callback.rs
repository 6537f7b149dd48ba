//! What a caller holds of a queued callback: [`Handle`] and [`TimerHandle`].

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use millrun_selector::Time;

use crate::state::Core;
use crate::timers::Mark;
use crate::{LoopHandle, catch};

/// A callback that was queued: it can be cancelled until it runs.
///
/// Dropping a handle does not cancel. Clones name the same callback.
#[derive(Clone)]
pub struct Handle(pub(crate) Rc<dyn Scheduled>);

/// A callback with a deadline: it can be cancelled until it runs.
///
/// Dropping a handle does not cancel. Clones name the same timer.
#[derive(Clone)]
pub struct TimerHandle {
    pub(crate) event_loop: LoopHandle,
    pub(crate) when: Time,
    pub(crate) callback: Rc<dyn Scheduled>,
}

/// A callback in the one allocation that the queue and its handles share.
pub(crate) trait Scheduled {
    /// Calls it, unless it is cancelled (or is being called, or can be called only once and was).
    fn run(&self);
    /// As [`run`](Self::run), for the queue, which gives its share; a panic is reported to `core`.
    ///
    /// All in one, since here the callback's type is known: to drop the share is no call through a table.
    fn run_queued(self: Rc<Self>, core: &Core);
    /// Drops the callback and what it captured, now (L-008). Of a timer: `core` is its loop's, whose queue hears of it.
    fn cancel(&self, core: Option<&Core>);
    /// Drops the callback and what it captured, now, but does not cancel it: it is its loop that is over.
    fn give_up(&self);
    fn is_cancelled(&self) -> bool;
    /// What the timer queue must know of it, if it is a timer.
    fn mark(&self) -> &Mark;
    /// The callback's type: for a closure, the function that it stands in.
    fn name(&self) -> &'static str;
    /// Where it was queued.
    fn location(&self) -> &'static Location<'static>;
}

impl Handle {
    /// Drops the callback, now, with all that it captured. Idempotent; harmless after it ran (L-008).
    pub fn cancel(&self) {
        self.0.cancel(None);
    }

    /// [`cancel`](Handle::cancel) was called. asyncio's `Handle.cancelled`.
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

impl TimerHandle {
    /// Drops the callback, now, and takes the timer out of the queue. Idempotent; harmless after it
    /// ran (L-049, L-050).
    pub fn cancel(&self) {
        self.callback.cancel(Some(self.event_loop.core()));
    }

    /// [`cancel`](TimerHandle::cancel) was called. asyncio's `Handle.cancelled`.
    #[doc(alias = "cancelled")]
    pub fn is_cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }

    /// The deadline, also after it passed (L-040).
    pub const fn when(&self) -> Time {
        self.when
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f.debug_struct("Handle"), &*self.0).finish()
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut s = f.debug_struct("TimerHandle");
        s.field("when", &self.when);
        describe(s, &*self.callback).finish()
    }
}

fn describe<'a, 'b>(
    mut s: fmt::DebugStruct<'a, 'b>,
    callback: &dyn Scheduled,
) -> fmt::DebugStruct<'a, 'b> {
    s.field("callback", &callback.name());
    s.field("at", &format_args!("{}", callback.location()));
    if callback.is_cancelled() {
        s.field("cancelled", &true);
    }
    s
}

/// A callback for one call.
pub(crate) struct Once<F> {
    callback: Cell<Option<F>>,
    location: Cell<&'static Location<'static>>,
    mark: Mark,
}

/// A place to begin with, for [`Once::new`].
const UNSET: &Location<'static> = Location::caller();

impl<F: FnOnce() + 'static> Once<F> {
    /// It is made of constants, and filled where it stays: what is given to `Rc::new` is built elsewhere and moved, and words
    /// that were just written are read again by pairs of them, a stall of a sixth of `call_soon` and its run.
    #[inline(always)]
    pub(crate) fn new(callback: F, location: &'static Location<'static>) -> Rc<Once<F>> {
        let once = Rc::new(Once {
            callback: Cell::new(None),
            location: Cell::new(UNSET),
            mark: Mark::new(),
        });
        once.callback.set(Some(callback));
        once.location.set(location);
        once
    }
}

impl<F: FnOnce() + 'static> Scheduled for Once<F> {
    fn run(&self) {
        if let Some(callback) = self.callback.take() {
            callback();
        }
    }

    /// Its memory goes back before the call, which may queue something that takes it.
    fn run_queued(self: Rc<Self>, core: &Core) {
        let location = self.location.get();
        let callback = match Rc::try_unwrap(self) {
            Ok(once) => once.callback.into_inner(),
            Err(shared) => shared.callback.take(),
        };
        let Some(callback) = callback else { return };
        if let Err(panic) = catch(callback) {
            core.callback_panicked(std::any::type_name::<F>(), location, panic);
        }
    }

    fn cancel(&self, core: Option<&Core>) {
        if self.mark.cancel() {
            // Before the callback is dropped: that is a stranger's code, and may panic.
            if let Some(core) = core {
                core.timers.borrow_mut().call_cancelled(std::ptr::from_ref(self).cast());
            }
        }
        drop(self.callback.take());
    }

    fn give_up(&self) {
        drop(self.callback.take());
    }

    fn is_cancelled(&self) -> bool {
        self.mark.is_cancelled()
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn name(&self) -> &'static str {
        std::any::type_name::<F>()
    }

    fn location(&self) -> &'static Location<'static> {
        self.location.get()
    }
}

/// A callback for any number of calls: of a reader, a writer, a signal.
pub(crate) struct Repeating<F> {
    callback: Cell<Option<F>>,
    mark: Mark,
    location: &'static Location<'static>,
}

impl<F: FnMut() + 'static> Repeating<F> {
    pub(crate) fn new(callback: F, location: &'static Location<'static>) -> Rc<Repeating<F>> {
        let callback = Cell::new(Some(callback));
        Rc::new(Repeating { callback, mark: Mark::new(), location })
    }
}

impl<F: FnMut() + 'static> Scheduled for Repeating<F> {
    /// The callback is taken out while it runs, so it may cancel or replace itself; it comes back also when
    /// it panics, since in asyncio a reader that fails stays.
    fn run(&self) {
        struct PutBack<'a, F>(&'a Repeating<F>, Option<F>);
        impl<F> Drop for PutBack<'_, F> {
            fn drop(&mut self) {
                if !self.0.mark.is_cancelled() {
                    self.0.callback.set(self.1.take());
                }
            }
        }
        let mut taken = PutBack(self, self.callback.take());
        if let Some(callback) = &mut taken.1 {
            callback();
        }
    }

    fn run_queued(self: Rc<Self>, core: &Core) {
        if let Err(panic) = catch(|| self.run()) {
            core.callback_panicked(self.name(), self.location, panic);
        }
    }

    fn cancel(&self, _: Option<&Core>) {
        self.mark.cancel();
        drop(self.callback.take());
    }

    fn give_up(&self) {
        drop(self.callback.take());
    }

    fn is_cancelled(&self) -> bool {
        self.mark.is_cancelled()
    }

    fn mark(&self) -> &Mark {
        &self.mark
    }

    fn name(&self) -> &'static str {
        std::any::type_name::<F>()
    }

    fn location(&self) -> &'static Location<'static> {
        self.location
    }
}
