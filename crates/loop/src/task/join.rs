//! What the spawner holds: [`JoinHandle`].

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll, Wake};

use super::table::Joined;
use super::{After, ROOT};
use crate::{LoopHandle, Panic};

/// The output of a task, as a future. Dropping it detaches: the task goes on, and a panic of it is reported.
///
/// Not `Send`. Cancel safe: a handle that was polled in vain can be awaited again.
pub struct JoinHandle<T> {
    event_loop: LoopHandle,
    index: u32,
    generation: u32,
    is_taken: bool,
    output: PhantomData<fn() -> T>,
}

/// Why a task has no output.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// [`JoinHandle::abort`] was called. asyncio's `CancelledError`.
    Aborted,
    /// The task panicked.
    Panicked(Panic),
    /// The loop closed before the task was over, or was closed when it was spawned.
    LoopClosed,
}

impl<T> JoinHandle<T> {
    pub(crate) const fn new(event_loop: LoopHandle, index: u32, generation: u32) -> JoinHandle<T> {
        JoinHandle { event_loop, index, generation, is_taken: false, output: PhantomData }
    }

    /// Ends the task: its future is dropped when its turn comes in the next round, not inside this call. A task
    /// that is over stays as it is.
    #[doc(alias = "cancel")]
    pub fn abort(&self) {
        let waker = self.event_loop.core().tasks.borrow_mut().abort(self.index, self.generation);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The task is over.
    #[doc(alias = "done")]
    pub fn is_finished(&self) -> bool {
        self.event_loop.core().tasks.borrow().is_finished(self.index, self.generation)
    }
}

impl<T: 'static> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    /// When polled after it gave the output, as futures may.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.is_taken, "a JoinHandle was polled after it gave its output");
        let core = self.event_loop.core();
        let (joined, old) =
            core.tasks.borrow_mut().join(self.index, self.generation, context.waker());
        drop(old); // a stranger's waker: outside the borrow
        let result = match joined {
            Joined::Running => return Poll::Pending,
            Joined::Gone => Err(JoinError::LoopClosed),
            Joined::Finished(mut task) => {
                let mut output = None::<Self::Output>;
                task.as_mut().take_output(&mut output);
                output.unwrap_or(Err(JoinError::LoopClosed))
            }
        };
        self.is_taken = true;
        self.index = ROOT;
        Poll::Ready(result)
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let core = self.event_loop.core();
        let After { over, joiner } = core.tasks.borrow_mut().detach(self.index, self.generation);
        drop(joiner); // nobody waits any more: not woken
        core.settle_task(After { over, joiner: None });
    }
}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("finished", &self.is_finished()).finish()
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Aborted => f.write_str("the task was aborted"),
            JoinError::Panicked(panic) => write!(f, "the task panicked: {panic}"),
            JoinError::LoopClosed => f.write_str("the loop was closed before the task was over"),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            JoinError::Panicked(panic) => Some(panic),
            JoinError::Aborted | JoinError::LoopClosed => None,
        }
    }
}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(error)
    }
}
