//! One value from here to there, on one thread: a future that someone else completes.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// A channel for one value, in one allocation. Neither end is `Send`.
///
/// ```
/// # use std::task::{Context, Poll, Waker};
/// # use std::{future::Future, pin::pin};
/// let (sender, receiver) = millrun_loop::oneshot::channel();
/// sender.send(7).unwrap();
/// let mut context = Context::from_waker(Waker::noop());
/// assert_eq!(pin!(receiver).poll(&mut context), Poll::Ready(Ok(7)));
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Rc::new(Shared {
        value: Cell::new(None),
        waker: Cell::new(None),
        ends: Cell::new(Ends { sender: true, receiver: true }),
    });
    (Sender(Rc::clone(&shared)), Receiver(shared))
}

/// The end that gives. Dropping it without a value gives [`Dropped`] to the other end.
pub struct Sender<T>(Rc<Shared<T>>);

/// The end that waits: a future of the value. It may be polled again after a cancel: the value stays until it is
/// taken.
#[must_use = "a receiver does nothing unless it is awaited"]
pub struct Receiver<T>(Rc<Shared<T>>);

/// The sender is gone and gave nothing (or the value was taken already).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dropped;

struct Shared<T> {
    value: Cell<Option<T>>,
    waker: Cell<Option<Waker>>,
    ends: Cell<Ends>,
}

/// Which ends are there.
#[derive(Clone, Copy)]
struct Ends {
    sender: bool,
    receiver: bool,
}

impl<T> Sender<T> {
    /// Gives the value and wakes the receiver.
    ///
    /// # Errors
    /// The value itself, when the receiver is gone or closed.
    pub fn send(self, value: T) -> Result<(), T> {
        if self.is_closed() {
            return Err(value);
        }
        self.0.value.set(Some(value));
        Ok(()) // dropping the sender wakes
    }

    /// Whether nobody waits any more.
    pub fn is_closed(&self) -> bool {
        !self.0.ends.get().receiver
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let ends = self.0.ends.get();
        self.0.ends.set(Ends { sender: false, ..ends });
        if let Some(waker) = self.0.waker.take() {
            waker.wake();
        }
    }
}

impl<T> Receiver<T> {
    /// Takes the value if it has been sent: `None` when it may still come.
    pub fn try_recv(&mut self) -> Option<Result<T, Dropped>> {
        match self.0.value.take() {
            Some(value) => Some(Ok(value)),
            None if self.0.ends.get().sender => None,
            None => Some(Err(Dropped)),
        }
    }

    /// Refuses a value that has not been sent yet. One that has can still be taken.
    pub fn close(&mut self) {
        let ends = self.0.ends.get();
        self.0.ends.set(Ends { receiver: false, ..ends });
    }
}

impl<T> Future for Receiver<T> {
    type Output = Result<T, Dropped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(result) = self.try_recv() {
            return Poll::Ready(result);
        }
        match self.0.waker.take() {
            Some(waker) if waker.will_wake(context.waker()) => self.0.waker.set(Some(waker)),
            old => {
                self.0.waker.set(Some(context.waker().clone()));
                drop(old); // a stranger's, which may send: it finds the new one
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.close();
        drop(self.0.waker.take());
        drop(self.0.value.take());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("closed", &self.is_closed()).finish()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("sender", &self.0.ends.get().sender).finish()
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sender was dropped without sending a value")
    }
}

impl std::error::Error for Dropped {}
