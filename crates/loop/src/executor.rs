//! Where does blocking work run? On an [`Executor`], and its result comes back as a [`Job`].

mod pool;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

pub use pool::ThreadPool;

use crate::{Panic, catch};

/// A piece of blocking work. It catches its own panics if it was made by [`Job::run`].
pub type Work = Box<dyn FnOnce() + Send>;

/// Runs blocking work somewhere else (or, for a simulation, right here).
///
/// It is asked on the loop's thread. Work that it takes and never runs may simply be dropped: the job then
/// ends with [`JobError::Cancelled`].
pub trait Executor: fmt::Debug {
    /// Takes work, to be run as soon as there is someone to run it. Does not block.
    ///
    /// # Errors
    /// [`JobError::Shutdown`] after [`shutdown`](Executor::shutdown) (L-069), [`JobError::NoThread`]
    /// if there is no thread and none can be started. The work is dropped.
    fn execute(&self, work: Work) -> Result<(), JobError>;

    /// From now on refuses work. What it has taken is still run; the job ends when that is done, at once if
    /// there is nothing to wait for (L-071). Dropping it is not to wait (L-027).
    fn shutdown(&self) -> Job<()>;
}

/// The result of work on an executor, as a future.
///
/// Cancel safe; dropping it does not stop work that runs, whose late result is dropped in silence (L-067).
/// Whoever awaits it goes on at home: finishing only wakes.
#[must_use = "the result of a job is lost unless it is awaited"]
pub struct Job<T>(Arc<Mutex<State<T>>>);

/// The other end of a [`Job`]: for executors. Dropped without a result, the job is cancelled.
pub struct Completion<T>(Arc<Mutex<State<T>>>);

/// Why a job has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError {
    /// The executor was shut down before (L-069).
    Shutdown,
    /// The executor took it and dropped it without running it.
    Cancelled,
    /// It panicked.
    Panicked(Panic),
    /// There is no thread to run it, and none could be started.
    NoThread(io::Error),
    /// The loop that was asked is closed.
    LoopClosed,
}

enum State<T> {
    Running(Option<Waker>),
    Done(Result<T, JobError>),
    /// The result was taken, or nobody waits.
    Over,
}

impl<T> Job<T> {
    /// A job and the means to complete it.
    pub fn pending() -> (Job<T>, Completion<T>) {
        let state = Arc::new(Mutex::new(State::Running(None)));
        (Job(Arc::clone(&state)), Completion(state))
    }

    /// A job that has its result.
    pub fn ready(result: Result<T, JobError>) -> Job<T> {
        Job(Arc::new(Mutex::new(State::Done(result))))
    }

    /// Runs `f` on `executor`. A refusal and a panic become the job's error (L-065).
    pub fn run(executor: &dyn Executor, f: impl FnOnce() -> T + Send + 'static) -> Job<T>
    where
        T: Send + 'static,
    {
        let (job, completion) = Job::pending();
        let work = Box::new(move || completion.complete(catch(f).map_err(JobError::Panicked)));
        match executor.execute(work) {
            Ok(()) => job,
            Err(refused) => Job::ready(Err(refused)),
        }
    }

    /// Whether the result is there.
    pub fn is_finished(&self) -> bool {
        !matches!(*lock(&self.0), State::Running(_))
    }
}

impl<T> Future for Job<T> {
    type Output = Result<T, JobError>;

    /// # Panics
    /// When polled after it gave its result, as futures may.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = lock(&self.0);
        if let State::Running(waker) = &mut *state {
            let old = match waker {
                Some(waker) if waker.will_wake(context.waker()) => None,
                _ => waker.replace(context.waker().clone()),
            };
            drop(state);
            drop(old);
            return Poll::Pending;
        }
        let over = std::mem::replace(&mut *state, State::Over);
        drop(state);
        match over {
            State::Done(result) => Poll::Ready(result),
            State::Running(_) | State::Over => panic!("a Job was polled after it gave its result"),
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        let old = std::mem::replace(&mut *lock(&self.0), State::Over);
        drop(old);
    }
}

impl<T> Completion<T> {
    /// Ends the job and wakes whoever awaits it; if nobody does any more, the result is dropped here.
    pub fn complete(self, result: Result<T, JobError>) {
        self.set(result);
    }

    fn set(&self, result: Result<T, JobError>) {
        let mut state = lock(&self.0);
        if !matches!(*state, State::Running(_)) {
            drop(state);
            // A value of the user's: its drop may panic, and a thread of the pool must live on.
            drop(catch(move || drop(result)));
            return;
        }
        let before = std::mem::replace(&mut *state, State::Done(result));
        drop(state);
        if let State::Running(Some(waker)) = before {
            drop(catch(move || waker.wake()));
        }
    }
}

impl<T> Drop for Completion<T> {
    fn drop(&mut self) {
        if matches!(*lock(&self.0), State::Running(_)) {
            self.set(Err(JobError::Cancelled));
        }
    }
}

impl<T> fmt::Debug for Job<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("finished", &self.is_finished()).finish()
    }
}

impl<T> fmt::Debug for Completion<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Completion").finish_non_exhaustive()
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Shutdown => f.write_str("the executor was shut down: it takes no more jobs"),
            JobError::Cancelled => f.write_str("the executor dropped the job without running it"),
            JobError::Panicked(panic) => write!(f, "the job panicked: {panic}"),
            JobError::NoThread(error) => write!(f, "no thread could be started: {error}"),
            JobError::LoopClosed => f.write_str("the loop is closed"),
        }
    }
}

impl std::error::Error for JobError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JobError::Panicked(panic) => Some(panic),
            JobError::NoThread(error) => Some(error),
            JobError::Shutdown | JobError::Cancelled | JobError::LoopClosed => None,
        }
    }
}

/// For what awaits a job and has only I/O errors to give: `NoThread` keeps its kind.
impl From<JobError> for io::Error {
    fn from(error: JobError) -> io::Error {
        match error {
            JobError::NoThread(error) => error,
            other => io::Error::other(other),
        }
    }
}

/// An executor that runs work inside `execute`: no threads, the same order each time. For
/// simulations, and where nothing blocks for long.
#[derive(Debug, Default)]
pub struct Inline {
    shut: Cell<bool>,
}

impl Inline {
    /// An executor that takes work.
    pub fn new() -> Inline {
        Inline::default()
    }
}

impl Executor for Inline {
    fn execute(&self, work: Work) -> Result<(), JobError> {
        if self.shut.get() {
            return Err(JobError::Shutdown);
        }
        work();
        Ok(())
    }

    fn shutdown(&self) -> Job<()> {
        self.shut.set(true);
        Job::ready(Ok(()))
    }
}

/// Nothing panics while it is held, so a poisoned lock holds what it held.
fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
