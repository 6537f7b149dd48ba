//! The loop as those who run on it see it: [`LoopHandle`].

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::Location;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millrun_selector::{Clock, Interest, Key, Network, Query, Resolver, Source, Time};

use crate::callback::{Repeating, Scheduled};
use crate::fds::Side;
use crate::ready::Entry;
use crate::state::{Core, Flags, Phase};
use crate::task::{JoinHandle, TaskInfo};
use crate::{
    BlockPool, ErrorContext, Handle, Job, JobError, LoopClosed, Metrics, NoRunningLoop, Remote,
    TimerHandle, UnitEnd, Watch, here,
};

/// A loop as those who run on it see it. Cheap to clone, not `Send`: other threads have a [`Remote`].
///
/// All methods may be called from inside any callback. After the loop has closed they
/// give typed errors.
#[derive(Clone)]
pub struct LoopHandle(Rc<Core>);

/// Finding a loop, queueing, timers.
impl LoopHandle {
    pub(crate) const fn new(core: Rc<Core>) -> LoopHandle {
        LoopHandle(core)
    }

    pub(crate) fn core(&self) -> &Core {
        &self.0
    }

    /// The loop that runs on this thread.
    ///
    /// # Errors
    /// [`NoRunningLoop`] outside of one.
    #[doc(alias = "get_running_loop")]
    pub fn current() -> Result<LoopHandle, NoRunningLoop> {
        here::current().map(LoopHandle).ok_or(NoRunningLoop)
    }

    /// The present moment, by the loop's clock. asyncio's `loop.time()`.
    #[doc(alias = "time")]
    pub fn now(&self) -> Time {
        self.0.clock.now()
    }

    /// Where the loop takes its time from.
    pub fn clock(&self) -> Rc<dyn Clock> {
        Rc::clone(&self.0.clock)
    }

    /// Queues a callback for the next round. First in, first out (L-001).
    ///
    /// # Errors
    /// [`LoopClosed`]; the callback is dropped.
    #[track_caller]
    pub fn call_soon(&self, callback: impl FnOnce() + 'static) -> Result<Handle, LoopClosed> {
        self.0.call_soon(callback, Location::caller())
    }

    /// Queues a callback for when `delay` has passed, never earlier (L-040, L-053). A zero delay waits for the
    /// next turn (L-044); one too long to be told is never.
    ///
    /// # Errors
    /// [`LoopClosed`]; the callback is dropped.
    #[track_caller]
    pub fn call_later(
        &self,
        delay: Duration,
        callback: impl FnOnce() + 'static,
    ) -> Result<TimerHandle, LoopClosed> {
        self.call_at(self.now() + delay, callback)
    }

    /// Queues a callback for a moment; if it has passed, for the next turn. Equal ones keep the order of setting (D-13).
    ///
    /// # Errors
    /// [`LoopClosed`]; the callback is dropped.
    #[track_caller]
    #[inline] // so that the handle is written where it stays
    pub fn call_at(
        &self,
        when: Time,
        callback: impl FnOnce() + 'static,
    ) -> Result<TimerHandle, LoopClosed> {
        let callback = self.0.call_at(when, callback, Location::caller())?;
        Ok(TimerHandle { event_loop: self.clone(), when, callback })
    }

    /// Queues work for the next round that runs even if the loop is closed before: what somebody is
    /// owed, such as `connection_lost`. Costs no allocation.
    ///
    /// # Errors
    /// [`LoopClosed`] when it is closed already.
    pub fn call_soon_owed(&self, work: Rc<dyn UnitEnd>) -> Result<(), LoopClosed> {
        if self.0.phase.get() == Phase::Closed {
            return Err(LoopClosed);
        }
        self.0.ready.push(|| Entry::UnitEnd { work, owed: true });
        Ok(())
    }

    /// Ends `run_forever` when the present round is over, callbacks of that round included (L-016). Before a run:
    /// that run has one turn (L-017).
    pub fn stop(&self) {
        self.0.flags.set(Flags::STOPPING, true);
    }

    /// The loop runs: on this thread, further up the stack.
    pub fn is_running(&self) -> bool {
        self.0.running.get()
    }

    /// The loop is closed.
    pub fn is_closed(&self) -> bool {
        self.0.phase.get() == Phase::Closed
    }

    /// The loop is closed, or closes: connections are told, and nothing else can be queued.
    pub fn is_closing(&self) -> bool {
        self.0.phase.get() != Phase::Open
    }

    /// The loop as other threads see it.
    pub fn remote(&self) -> Remote {
        self.0.remote.clone()
    }
}

/// Readiness.
impl LoopHandle {
    /// Watches a source. The loop keeps `watcher` until [`unwatch`](LoopHandle::unwatch), or its close.
    ///
    /// # Errors
    /// What the selector says; [`LoopClosed`] inside, when the loop is closed.
    pub fn watch(
        &self,
        source: &dyn Source,
        interest: Interest,
        watcher: Rc<dyn Watch>,
    ) -> io::Result<Key> {
        self.0.watch(source, interest, watcher)
    }

    /// Changes what a watch wants to hear. No system call for a socket of ours. An event that is queued
    /// already is not delivered if it isn't wanted any more.
    ///
    /// # Errors
    /// `NotFound` for what is not watched; what the kernel refuses for a foreign descriptor, whose watch is over then.
    pub fn set_interest(&self, key: Key, interest: Interest) -> io::Result<()> {
        self.0.set_interest(key, interest)
    }

    /// Ends a watch: an event that is queued already is not delivered. Before the source is dropped.
    ///
    /// # Errors
    /// `NotFound` for what is not watched.
    pub fn unwatch(&self, key: Key, source: &dyn Source) -> io::Result<()> {
        self.0.unwatch(key, source)
    }

    /// Calls back for as long as `fd` is readable (L-088); replaces a reader that it has (L-081). For
    /// descriptors that nobody else here watches. Call [`remove_reader`](LoopHandle::remove_reader) before it is closed.
    ///
    /// # Errors
    /// [`DescriptorInUse`](crate::DescriptorInUse) inside, for a descriptor that a transport owns (L-087); what the kernel
    /// refuses; [`LoopClosed`] inside.
    #[track_caller]
    pub fn add_reader(
        &self,
        fd: &impl AsFd,
        callback: impl FnMut() + 'static,
    ) -> io::Result<Handle> {
        let callback: Rc<dyn Scheduled> = Repeating::new(callback, Location::caller());
        self.0.add_side(fd.as_fd(), Side::Reader, Rc::clone(&callback))?;
        Ok(Handle(callback))
    }

    /// Calls back for as long as `fd` is writable; otherwise as [`add_reader`](LoopHandle::add_reader) (L-083).
    ///
    /// # Errors
    /// As `add_reader`.
    #[track_caller]
    pub fn add_writer(
        &self,
        fd: &impl AsFd,
        callback: impl FnMut() + 'static,
    ) -> io::Result<Handle> {
        let callback: Rc<dyn Scheduled> = Repeating::new(callback, Location::caller());
        self.0.add_side(fd.as_fd(), Side::Writer, Rc::clone(&callback))?;
        Ok(Handle(callback))
    }

    /// Removes and cancels the reader of `fd`; false if there is none (L-082), and on a closed loop
    /// (L-086). What a transport watches is not touched.
    pub fn remove_reader(&self, fd: &impl AsFd) -> bool {
        self.0.remove_side(fd.as_fd().as_raw_fd(), Side::Reader)
    }

    /// Removes and cancels the writer of `fd`; otherwise as [`remove_reader`](LoopHandle::remove_reader).
    pub fn remove_writer(&self, fd: &impl AsFd) -> bool {
        self.0.remove_side(fd.as_fd().as_raw_fd(), Side::Writer)
    }
}

/// Signals.
#[cfg(feature = "os")]
impl LoopHandle {
    /// Calls back on the loop each time that the signal comes, as a callback of its own, not inside
    /// the signal (L-105). Replaces the callback that it has (L-111). Any thread's loop may take a signal, but one at
    /// a time (L-112).
    ///
    /// # Errors
    /// [`SignalTaken`](crate::SignalTaken) inside, when another loop has it; what the kernel refuses; [`LoopClosed`] inside.
    #[track_caller]
    pub fn add_signal_handler(
        &self,
        signal: crate::Signal,
        callback: impl FnMut() + 'static,
    ) -> io::Result<Handle> {
        let callback: Rc<dyn Scheduled> = Repeating::new(callback, Location::caller());
        self.0.add_signal(signal, Rc::clone(&callback))?;
        Ok(Handle(callback))
    }

    /// Gives the signal back: what the process did before with it, it does again. False if it had no handler
    /// (L-110).
    pub fn remove_signal_handler(&self, signal: crate::Signal) -> bool {
        self.0.remove_signal(signal)
    }
}

/// Units.
impl LoopHandle {
    /// Leaves work for the end of the running unit: the outermost callback, event or poll. Outside any, it is
    /// queued for the next round. No allocation in steady state. A closed loop drops it.
    #[inline]
    pub fn at_unit_end(&self, work: Rc<dyn UnitEnd>) {
        self.0.at_unit_end(work);
    }

    /// Runs `f` as a unit of its own, or as part of the running one.
    pub fn unit<R>(&self, f: impl FnOnce() -> R) -> R {
        let _unit = self.0.enter_unit();
        f()
    }

    /// A unit is running.
    pub fn in_unit(&self) -> bool {
        self.0.units.is_inside()
    }
}

/// Tasks and blocking work.
impl LoopHandle {
    /// Runs a future as a task. It is first polled in the next round (L-029).
    ///
    /// On a closed loop the future is dropped, and the handle gives [`JoinError::LoopClosed`](crate::JoinError::LoopClosed).
    #[track_caller]
    #[doc(alias = "create_task")]
    pub fn spawn<F: Future + 'static>(&self, future: F) -> JoinHandle<F::Output> {
        self.0.spawn(self, future, Location::caller())
    }

    /// Runs blocking work on the executor (L-065).
    #[doc(alias = "to_thread")]
    pub fn run_in_executor<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Job<T> {
        match self.0.check_open() {
            Ok(()) => Job::run(&*self.0.executor, work),
            Err(LoopClosed) => Job::ready(Err(JobError::LoopClosed)),
        }
    }

    /// Asks the resolver, on the executor, since it may block (L-072). asyncio's `getaddrinfo`.
    #[doc(alias = "getaddrinfo")]
    pub fn resolve(&self, query: Query) -> Job<io::Result<Vec<SocketAddr>>> {
        let resolver = Arc::clone(&self.0.resolver);
        self.run_in_executor(move || resolver.resolve(&query))
    }

    /// Shuts the executor down, from this call on (L-069), and waits for its running jobs; with a
    /// timeout, no longer than that, and warns then (L-070).
    pub fn shutdown_default_executor(
        &self,
        timeout: Option<Duration>,
    ) -> impl Future<Output = ()> + use<> {
        let ended = self.0.executor.shutdown();
        async move {
            match timeout {
                None => drop(ended.await),
                Some(timeout) => {
                    if crate::timeout(timeout, ended).await.is_err() {
                        crate::errors::warn(&format!(
                            "the executor did not finish its jobs within {timeout:?}; they go on unwatched"
                        ));
                    }
                }
            }
        }
    }

    /// What makes sockets.
    pub fn network(&self) -> Rc<dyn Network> {
        Rc::clone(&self.0.network)
    }

    /// What knows names. It may block; [`resolve`](LoopHandle::resolve) asks it on the executor.
    pub fn resolver(&self) -> Arc<dyn Resolver> {
        Arc::clone(&self.0.resolver)
    }

    /// The blocks that received bytes land in.
    pub fn blocks(&self) -> &BlockPool {
        &self.0.blocks
    }
}

/// Failures, debugging, measuring.
impl LoopHandle {
    /// Gives a failure that nobody waits for to the exception handler. Never fails.
    #[doc(alias = "call_exception_handler")]
    pub fn report(&self, context: ErrorContext) {
        self.0.report(context);
    }

    /// Sets what [`report`](LoopHandle::report) calls; `None` restores the default one, which logs (L-101). A closed
    /// loop drops it, and has the default one: it may hold a handle of the loop, and nobody would break that circle.
    #[expect(clippy::type_complexity, reason = "a name would hide what a caller writes")]
    pub fn set_exception_handler(&self, handler: Option<Rc<dyn Fn(&LoopHandle, &ErrorContext)>>) {
        if self.is_closed() {
            self.0.drop_reported("an exception handler of a closed loop", handler);
        } else {
            self.0.handler.set(handler);
        }
    }

    /// Debug mode: slow callbacks and futures that were never awaited are logged as warnings. Costs two looks at
    /// the clock for each callback.
    pub fn set_debug(&self, on: bool) {
        self.0.set_debug(on);
    }

    /// Debug mode is on.
    #[doc(alias = "get_debug")]
    pub fn is_debug(&self) -> bool {
        self.0.debug.get()
    }

    /// From when on a callback is slow; 0.1 s unless told (L-104).
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.0.slow.set(duration);
    }

    /// Before the loop waits, it looks again and again for this long: less delay for a busy core. Zero unless told.
    pub fn set_spin(&self, duration: Duration) {
        self.0.set_spin(duration);
    }

    /// The tasks that live now: for a report of who still waits. The one that runs is not among them.
    #[doc(alias = "all_tasks")]
    pub fn tasks(&self) -> Vec<TaskInfo> {
        self.0.tasks.borrow().infos()
    }

    /// What the loop did so far.
    pub fn metrics(&self) -> Metrics {
        self.0.metrics()
    }
}

/// Two handles of one loop are equal.
impl PartialEq for LoopHandle {
    fn eq(&self, other: &LoopHandle) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoopHandle {}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle")
            .field("running", &self.is_running())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
