//! A future in its one allocation: [`AnyTask`]; and how it gets there.

use std::any::Any;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use pin_project_lite::pin_project;

use super::ROOT;
use super::join::{JoinError, JoinHandle};
use crate::metrics::add;
use crate::ready::Entry;
use crate::state::Core;
use crate::{LoopHandle, Panic};

/// Runs a future as a task of the loop that runs on this thread: [`LoopHandle::spawn`] of
/// [`LoopHandle::current`].
///
/// # Panics
/// Outside of a running loop; `LoopHandle::current()?.spawn(future)` is the way that gives an error.
#[track_caller]
#[doc(alias = "create_task")]
pub fn spawn<F: Future + 'static>(future: F) -> JoinHandle<F::Output> {
    match LoopHandle::current() {
        Ok(event_loop) => event_loop.spawn(future),
        Err(error) => panic!("spawn: {error}"),
    }
}

impl LoopHandle {
    /// As [`spawn`](LoopHandle::spawn), for a task that nobody waits for: there is no handle to be dropped.
    ///
    /// On a closed loop the future is dropped.
    #[track_caller]
    pub fn spawn_detached(&self, future: impl Future<Output = ()> + 'static) {
        self.core().start_task(future, Location::caller(), true);
    }
}

/// A task without its type.
pub(crate) trait AnyTask {
    /// Polls the future; true when it is over. Its output is kept then, and it is dropped.
    fn poll(self: Pin<&mut Self>) -> bool;

    /// Drops the future and keeps the error in place of an output.
    fn fail(self: Pin<&mut Self>, error: JoinError);

    /// Moves the output into an `Option<Result<F::Output, JoinError>>`.
    fn take_output(self: Pin<&mut Self>, into: &mut dyn Any);

    /// Takes the panic, if the task ended by one.
    fn take_panic(self: Pin<&mut Self>) -> Option<Panic>;

    /// The future's type, and where it was spawned.
    fn describe(&self) -> (&'static str, &'static Location<'static>);
}

pin_project! {
    struct Task<F: Future> {
        waker: Waker,
        location: &'static Location<'static>,
        #[pin]
        stage: Stage<F>,
    }
}

pin_project! {
    #[project = Projected]
    enum Stage<F: Future> {
        Running { #[pin] future: F },
        Over { output: Option<Result<F::Output, JoinError>> },
    }
}

impl<F: Future + 'static> AnyTask for Task<F> {
    fn poll(self: Pin<&mut Self>) -> bool {
        let mut this = self.project();
        let Projected::Running { future } = this.stage.as_mut().project() else { return true };
        match future.poll(&mut Context::from_waker(this.waker)) {
            Poll::Pending => false,
            Poll::Ready(output) => {
                this.stage.set(Stage::Over { output: Some(Ok(output)) });
                true
            }
        }
    }

    fn fail(self: Pin<&mut Self>, error: JoinError) {
        self.project().stage.set(Stage::Over { output: Some(Err(error)) });
    }

    fn take_output(self: Pin<&mut Self>, into: &mut dyn Any) {
        if let Projected::Over { output } = self.project().stage.project() {
            if let Some(into) = into.downcast_mut::<Option<Result<F::Output, JoinError>>>() {
                *into = output.take();
            }
        }
    }

    fn take_panic(self: Pin<&mut Self>) -> Option<Panic> {
        let Projected::Over { output } = self.project().stage.project() else { return None };
        match output.take() {
            Some(Err(JoinError::Panicked(panic))) => Some(panic),
            other => {
                *output = other;
                None
            }
        }
    }

    fn describe(&self) -> (&'static str, &'static Location<'static>) {
        (std::any::type_name::<F>(), self.location)
    }
}

impl Core {
    pub(crate) fn spawn<F: Future + 'static>(
        &self,
        event_loop: &LoopHandle,
        future: F,
        location: &'static Location<'static>,
    ) -> JoinHandle<F::Output> {
        let (index, generation) = self.start_task(future, location, false).unwrap_or((ROOT, 0));
        JoinHandle::new(event_loop.clone(), index, generation)
    }

    /// Makes a task, and gives its name; none on a closed loop, where the future is dropped.
    fn start_task<F: Future + 'static>(
        &self,
        future: F,
        location: &'static Location<'static>,
        is_detached: bool,
    ) -> Option<(u32, u32)> {
        self.check_open().ok()?;
        add(&self.counts.spawned, 1);
        let (index, generation, waker) =
            self.tasks.borrow_mut().reserve(&self.remote.0, is_detached);
        self.polled.learn(&waker);
        let task = Box::pin(Task { waker, location, stage: Stage::Running { future } });
        self.tasks.borrow_mut().fill(index, task);
        self.ready.push(|| Entry::Task { index, generation });
        Some((index, generation))
    }
}
