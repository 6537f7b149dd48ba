//! The loop itself: [`EventLoop`], which runs, and [`RunError`], why it would not.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use millrun_selector::Time;

use crate::state::{Core, Flags, Phase};
use crate::task::{ROOT, TaskWaker};
use crate::turn::Work;
use crate::{Builder, LoopHandle, Remote, catch, here};

/// A loop: owns its selector, clock, network, resolver and executor, and all that was queued, armed, watched
/// or spawned on it. Not `Send`.
///
/// Dropping it closes it.
pub struct EventLoop {
    core: Rc<Core>,
    pub(crate) work: Work,
}

/// Why a loop does not run, or stopped running.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// A loop runs on this thread already, this one or another (L-022).
    AlreadyRunning,
    /// The loop was made in another process, of which this one is a child: they would share
    /// the kernel's registry and the connections.
    Forked {
        /// The process that made it.
        owner: u32,
        /// This process.
        here: u32,
    },
    /// `stop` was called before the future completed (L-021).
    Stopped,
    /// The loop is closed (L-012).
    Closed,
    /// The selector can't go on.
    Select(io::Error),
}

impl EventLoop {
    /// A loop over the operating system.
    ///
    /// # Errors
    /// What the kernel refuses: it needs two descriptors.
    #[cfg(feature = "os")]
    #[doc(alias = "new_event_loop")]
    pub fn new() -> io::Result<EventLoop> {
        EventLoop::builder().build()
    }

    /// Chooses the loop's parts.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn from_core(core: Rc<Core>) -> EventLoop {
        EventLoop { core, work: Work::default() }
    }

    /// Runs until `future` is done and gives its output (L-020). The future is polled in place, it
    /// need not be `'static`; tasks that it spawned and that are not done stay, for the next run.
    ///
    /// # Panics
    /// With the future's own panic, when it panics. The loop is whole, and can be run again.
    ///
    /// # Errors
    /// [`RunError::Stopped`] when `stop` was called first, and the other [`RunError`]s. The future is dropped.
    pub fn run_until_complete<F: Future>(&mut self, future: F) -> Result<F::Output, RunError> {
        let _running = Running::begin(&self.core)?;
        let mut future = pin!(future); // dropped before `_running`: its drop finds the current loop
        let generation = self.core.root_generation.get().wrapping_add(1);
        self.core.root_generation.set(generation);
        let flag = Arc::new(TaskWaker::new(ROOT, generation, &self.core.remote.0));
        let waker = Waker::from(Arc::clone(&flag));
        self.core.push_task(ROOT, generation);
        let mut outcome = None;
        let mut poll_root = |wanted| {
            if wanted != generation || outcome.is_some() {
                return;
            }
            flag.begin_poll();
            let polled = catch(|| future.as_mut().poll(&mut Context::from_waker(&waker)));
            outcome = match polled {
                Ok(Poll::Pending) => return,
                Ok(Poll::Ready(output)) => Some(Ok(output)),
                Err(panic) => Some(Err(panic)),
            };
            self.core.flags.set(Flags::ROOT_DONE, true);
        };
        let ended = self.core.run(&mut self.work, &mut poll_root);
        match outcome {
            Some(Ok(output)) => Ok(output),
            Some(Err(panic)) => panic.resume(),
            None => Err(ended.err().unwrap_or(RunError::Stopped)),
        }
    }

    /// Runs until [`LoopHandle::stop`] is called (L-015).
    ///
    /// # Errors
    /// As [`RunError`] says, but for `Stopped`.
    pub fn run_forever(&mut self) -> Result<(), RunError> {
        let _running = Running::begin(&self.core)?;
        self.core.run(&mut self.work, &mut |_| {})
    }

    /// One turn: looks once at the selector, waiting at most `max_wait` when nothing is ready to run
    /// (`None`: as long as it takes), and runs what came, in rounds. Says whether anything ran.
    ///
    /// For drivers of several loops, and to embed a loop in another.
    ///
    /// # Errors
    /// As [`RunError`] says, but for `Stopped`.
    pub fn turn(&mut self, max_wait: Option<Duration>) -> Result<bool, RunError> {
        let _running = Running::begin(&self.core)?;
        self.core.turn(max_wait, &mut self.work, &mut |_| {})
    }

    /// Ends the loop, for good (D-19). Idempotent.
    ///
    /// What is queued is dropped. Then each watcher (each connection) is told and what it queues is run, in a
    /// limited number of rounds; then tasks, timers and the remote queue are dropped, and the
    /// selector with its descriptors. The executor is shut down and not waited for (L-027). Handles
    /// that live on give typed errors.
    ///
    /// In a child process that did not make the loop nothing is run or dropped: what the two processes
    /// share stays the parent's.
    pub fn close(&mut self) {
        self.core.close();
    }

    /// The loop as those who run on it see it.
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(Rc::clone(&self.core))
    }

    /// The loop as other threads see it.
    pub fn remote(&self) -> Remote {
        self.core.remote.clone()
    }

    /// The deadline of the next timer; `None` when there is none. For drivers.
    pub fn next_deadline(&self) -> Option<Time> {
        self.core.timers.borrow_mut().next_deadline()
    }

    /// Something waits to be run by the next turn, whatever the selector says. For drivers.
    pub fn has_ready(&self) -> bool {
        !self.core.ready.is_empty() || self.core.remote.0.is_pending()
    }
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.core.close();
    }
}

impl fmt::Debug for EventLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLoop").field("core", &*self.core).finish()
    }
}

/// The loop runs on this thread until this is dropped.
struct Running<'a> {
    core: &'a Core,
    _here: here::Entered,
}

impl<'a> Running<'a> {
    fn begin(core: &'a Rc<Core>) -> Result<Running<'a>, RunError> {
        if core.phase.get() != Phase::Open {
            return Err(RunError::Closed);
        }
        core.check_process()?;
        if here::current().is_some() {
            return Err(RunError::AlreadyRunning);
        }
        core.running.set(true);
        Ok(Running { core, _here: here::enter(core) })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.core.running.set(false);
        self.core.flags.set(Flags::STOPPING | Flags::ROOT_DONE, false); // L-018
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::AlreadyRunning => f.write_str("a loop is already running on this thread"),
            RunError::Forked { owner, here } => write!(
                f,
                "the loop was made in process {owner} and can't run in its child {here}: make a new one"
            ),
            RunError::Stopped => f.write_str("the loop was stopped before the future completed"),
            RunError::Closed => f.write_str("the loop is closed"),
            RunError::Select(error) => write!(f, "the selector failed: {error}"),
        }
    }
}

impl std::error::Error for RunError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RunError::Select(error) => Some(error),
            _ => None,
        }
    }
}

impl From<RunError> for io::Error {
    fn from(error: RunError) -> io::Error {
        match error {
            RunError::Select(error) => error,
            other => io::Error::other(other),
        }
    }
}

#[cfg(all(test, feature = "os"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::cell::Cell;
    use std::future::pending;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;
    use std::time::Duration;

    use millrun_selector::{Foreign, Interest, Readiness};

    use super::{EventLoop, RunError};
    use crate::Watch;

    struct Counting(Rc<Cell<u32>>);

    impl Watch for Counting {
        fn on_ready(self: Rc<Self>, _: Readiness) {}

        fn on_loop_close(self: Rc<Self>) {
            self.0.set(self.0.get() + 1);
        }
    }

    impl Drop for Counting {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 100);
        }
    }

    /// As if this process were a child of the one that made the loop: nothing runs, and closing
    /// tells and drops nothing that is shared with the parent.
    #[test]
    fn a_child_process_can_neither_run_the_loop_nor_hurt_its_parent() {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let (socket, peer) = UnixStream::pair().unwrap();
        let calls = Rc::new(Cell::new(0));
        let watch = Rc::new(Counting(Rc::clone(&calls)));
        handle.watch(&Foreign::new(&socket), Interest::READ, watch).unwrap();
        let held = Counting(Rc::clone(&calls));
        drop(handle.spawn(async move {
            let _held = held;
            pending::<()>().await;
        }));
        let here = std::process::id();
        event_loop.core.pid.set(here ^ 1);

        let error = event_loop.turn(Some(Duration::ZERO)).unwrap_err();
        assert!(
            matches!(error, RunError::Forked { owner, here: h } if (owner, h) == (here ^ 1, here))
        );
        assert!(error.to_string().contains(&here.to_string()), "{error}");
        assert!(matches!(event_loop.run_forever(), Err(RunError::Forked { .. })));
        assert!(matches!(event_loop.run_until_complete(async {}), Err(RunError::Forked { .. })));
        let watch = Rc::new(Counting(Rc::default()));
        assert!(handle.watch(&Foreign::new(&peer), Interest::READ, watch).is_err());
        drop(event_loop);
        assert!(handle.is_closed());
        assert_eq!(calls.get(), 0);
        assert!(handle.call_soon(|| ()).is_err());
    }
}
