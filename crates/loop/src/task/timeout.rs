//! No longer than so: [`timeout`].

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use millrun_selector::Time;
use pin_project_lite::pin_project;

use super::sleep::{Sleep, sleep_until};

/// Awaits `future`, no longer than `duration` from now. asyncio's `wait_for`.
///
/// # Panics
/// As [`sleep`](crate::sleep).
#[doc(alias = "wait_for")]
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, sleep: Sleep::named("timeout", duration) }
}

/// Awaits `future`, no longer than until `when`.
///
/// # Panics
/// As [`sleep`](crate::sleep).
pub fn timeout_at<F: Future>(when: Time, future: F) -> Timeout<F> {
    Timeout { future, sleep: sleep_until(when) }
}

pin_project! {
    /// The future of [`timeout`]. If both are due, the output wins. As cancel safe as what it awaits.
    #[must_use = "futures do nothing unless they are awaited"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        sleep: Sleep,
    }
}

/// The time was over first. The future was not done, and is dropped with its [`Timeout`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed;

impl<F> Timeout<F> {
    /// Moves the deadline. asyncio's `Timeout.reschedule`.
    #[doc(alias = "reschedule")]
    pub fn reset(self: Pin<&mut Self>, when: Time) {
        self.project().sleep.reset(when);
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        this.sleep.is_awaited();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Ok(output));
        }
        Pin::new(this.sleep).poll(context).map(|()| Err(Elapsed))
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was over before the future was done")
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(error: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}
