//! What a loop consists of: [`Core`], shared by the loop and its handles.
//!
//! One rule holds for every `RefCell` here: it is borrowed only in code of this crate that calls no
//! stranger. What must be dropped or called is taken out first.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::os::fd::RawFd;
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use millrun_selector::{Clock, Network, Resolver, Selector, Time};

use crate::callback::{Once, Scheduled};
use crate::errors::ExceptionHandler;
use crate::fds::FdWatch;
use crate::metrics::{Counts, add};
use crate::ready::{Entry, ReadyQueue};
use crate::remote::Remote;
use crate::task::{Polled, TaskTable, TaskWaker};
use crate::timers::{LoopTimers, TimerId};
use crate::unit::Units;
use crate::watch::WatchTable;
use crate::{
    BlockPool, ErrorContext, Executor, Handle, LoopClosed, LoopHandle, Panic, RunError, UnitEnd,
    catch,
};

/// A callback that takes this long is reported in debug mode: asyncio's `slow_callback_duration`.
pub(crate) const SLOW_CALLBACK: Duration = Duration::from_millis(100);

/// A loop's state.
pub(crate) struct Core {
    pub(crate) this: Weak<Core>,
    pub(crate) clock: Rc<dyn Clock>,
    pub(crate) network: Rc<dyn Network>,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) executor: Rc<dyn Executor>,
    /// `None` once the loop is closed: its descriptors are given back even while handles live.
    pub(crate) selector: RefCell<Option<Box<dyn Selector>>>,
    pub(crate) remote: Remote,
    pub(crate) ready: ReadyQueue,
    pub(crate) timers: RefCell<LoopTimers>,
    pub(crate) watches: RefCell<WatchTable>,
    #[cfg(feature = "os")]
    pub(crate) signals: crate::signals::Signals,
    pub(crate) fds: RefCell<HashMap<RawFd, Rc<FdWatch>>>,
    pub(crate) tasks: RefCell<TaskTable>,
    pub(crate) polled: Polled,
    pub(crate) units: Units,
    pub(crate) blocks: BlockPool,
    pub(crate) handler: ExceptionHandler,
    pub(crate) counts: Counts,
    pub(crate) phase: Cell<Phase>,
    pub(crate) running: Cell<bool>,
    pub(crate) flags: Flags,
    /// Which `run_until_complete` it is: a waker of an earlier one finds nothing.
    pub(crate) root_generation: Cell<u32>,
    /// The process that made the loop: a child of it shares the kernel's registry and must not touch it.
    /// (In a cell for a test, which can't fork.)
    pub(crate) pid: Cell<u32>,
    pub(crate) debug: Cell<bool>,
    /// Measured also without debug mode.
    pub(crate) measure: bool,
    pub(crate) slow: Cell<Duration>,
    pub(crate) spin: Cell<Duration>,
}

/// What a turn must mind, in one byte: mostly there is nothing, and it asks once for all.
#[derive(Default)]
pub(crate) struct Flags(Cell<u8>);

impl Flags {
    /// `stop` was called: the round that runs is the last one.
    pub(crate) const STOPPING: u8 = 1;
    /// The future of `run_until_complete` has its result: as `STOPPING`.
    pub(crate) const ROOT_DONE: u8 = 2;
    /// The clock is read before and after each callback and each look at the selector.
    pub(crate) const MEASURED: u8 = 4;
    /// Before it waits, the loop looks busily for a while.
    pub(crate) const SPINS: u8 = 8;
    /// There may be timers: set when one is armed, taken back by a turn that finds none.
    pub(crate) const TIMERS: u8 = 16;

    #[inline]
    pub(crate) fn set(&self, flags: u8, on: bool) {
        let others = self.0.get() & !flags;
        self.0.set(if on { others | flags } else { others });
    }

    /// Any of them is set.
    #[inline]
    pub(crate) fn any(&self, flags: u8) -> bool {
        self.0.get() & flags != 0
    }

    /// None is set.
    #[inline]
    pub(crate) fn are_clear(&self) -> bool {
        self.0.get() == 0
    }

    /// The round that runs is the last one.
    #[inline]
    pub(crate) fn is_ending(&self) -> bool {
        self.any(Flags::STOPPING | Flags::ROOT_DONE)
    }
}

/// How far a loop's life has come. It only goes forward.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Phase {
    /// Takes everything.
    Open,
    /// Connections are told of the end: callbacks are taken and run, nothing else.
    Closing,
    /// Takes nothing.
    Closed,
}

impl Core {
    pub(crate) fn handle(&self) -> Option<LoopHandle> {
        self.this.upgrade().map(LoopHandle::new)
    }

    /// # Errors
    /// The loop is closing or closed.
    pub(crate) fn check_open(&self) -> Result<(), LoopClosed> {
        if self.phase.get() == Phase::Open { Ok(()) } else { Err(LoopClosed) }
    }

    /// # Errors
    /// This process is not the one that made the loop.
    pub(crate) fn check_process(&self) -> Result<(), RunError> {
        let here = std::process::id();
        let owner = self.pid.get();
        if here == owner { Ok(()) } else { Err(RunError::Forked { owner, here }) }
    }

    pub(crate) fn call_soon<F: FnOnce() + 'static>(
        &self,
        callback: F,
        location: &'static Location<'static>,
    ) -> Result<Handle, LoopClosed> {
        if self.phase.get() == Phase::Closed {
            return Err(LoopClosed);
        }
        let node: Rc<dyn Scheduled> = Once::new(callback, location);
        let queued = Rc::clone(&node);
        self.ready.push(|| Entry::Handle(queued));
        Ok(Handle(node))
    }

    /// Gives no handle but what it is made of, in one register: a handle of four words that is returned is moved by its caller.
    #[inline(never)]
    pub(crate) fn call_at<F: FnOnce() + 'static>(
        &self,
        when: Time,
        callback: F,
        location: &'static Location<'static>,
    ) -> Result<Rc<Once<F>>, LoopClosed> {
        self.check_open()?;
        let once = Once::new(callback, location);
        self.flags.set(Flags::TIMERS, true);
        let mut timers = self.timers.borrow_mut();
        timers.arm_call(when, once.mark(), || Rc::clone(&once) as Rc<dyn Scheduled>);
        drop(timers);
        Ok(once)
    }

    /// Wakes `waker` when it is time.
    pub(crate) fn wake_at(&self, when: Time, waker: &Waker) -> Result<TimerId, LoopClosed> {
        self.check_open()?;
        let waker = waker.clone(); // a stranger's code, before the borrow
        self.flags.set(Flags::TIMERS, true);
        Ok(self.timers.borrow_mut().arm_wake(when, waker))
    }

    /// The timer has neither fired nor been cancelled.
    pub(crate) fn is_wake_armed(&self, id: TimerId) -> bool {
        self.timers.borrow().is_wake_armed(id)
    }

    pub(crate) fn cancel_wake(&self, id: TimerId) {
        let waker = self.timers.borrow_mut().cancel_wake(id);
        drop(waker); // outside the borrow
    }

    /// Leaves work for the end of the running unit; outside any, for the next round.
    #[inline]
    pub(crate) fn at_unit_end(&self, work: Rc<dyn UnitEnd>) {
        if self.units.is_inside() {
            self.units.leave_work(work);
        } else {
            self.queue_unit_end(work);
        }
    }

    #[inline(never)]
    fn queue_unit_end(&self, work: Rc<dyn UnitEnd>) {
        if self.phase.get() != Phase::Closed {
            self.ready.push(|| Entry::UnitEnd { work, owed: false });
        }
    }

    /// A task was woken on this thread.
    #[inline]
    pub(crate) fn push_task(&self, index: u32, generation: u32) {
        if self.phase.get() == Phase::Open {
            self.ready.push_task(index, generation);
        }
    }

    /// A task's waker was, on this thread.
    #[inline]
    pub(crate) fn wake_here(&self, task: &TaskWaker) {
        if task.wakes_here() {
            let (index, generation) = task.name();
            self.push_task(index, generation);
        }
    }

    /// `call_soon_threadsafe` was called on this thread.
    pub(crate) fn push_remote(&self, callback: Box<dyn FnOnce() + Send>) -> Result<(), LoopClosed> {
        if self.phase.get() == Phase::Closed {
            return Err(LoopClosed);
        }
        self.ready.push(|| Entry::Remote(callback));
        Ok(())
    }

    /// Tells the exception handler. Never fails; holds no borrow.
    pub(crate) fn report(&self, context: ErrorContext) {
        add(&self.counts.reports, 1);
        match self.handle() {
            Some(event_loop) => self.handler.report(&event_loop, context),
            None => crate::errors::report_default(&context),
        }
    }

    #[cold]
    pub(crate) fn report_panic(&self, message: impl Into<Cow<'static, str>>, panic: Panic) {
        self.report(ErrorContext::new(message).panic(panic));
    }

    pub(crate) fn set_debug(&self, on: bool) {
        self.debug.set(on);
        self.flags.set(Flags::MEASURED, on || self.measure);
    }

    pub(crate) fn set_spin(&self, duration: Duration) {
        self.spin.set(duration);
        self.flags.set(Flags::SPINS, !duration.is_zero());
    }

    /// Drops something of a stranger's; a panic of that is reported.
    pub(crate) fn drop_reported<T>(&self, what: &'static str, value: T) {
        if let Err(panic) = catch(move || drop(value)) {
            self.report(
                ErrorContext::new("exception in a destructor").panic(panic).detail("of", what),
            );
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loop")
            .field("phase", &self.phase.get())
            .field("running", &self.running.get())
            .field("clock", &self.clock)
            .field("metrics", &self.metrics())
            .finish_non_exhaustive()
    }
}
