//! A one-way flag that a future waits for: [`Flag`].

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use millrun_loop::Watch;
use millrun_selector::Readiness;

/// Raised once, waited for by one future. As a watcher it is raised by the first report.
#[derive(Default)]
pub(crate) struct Flag {
    raised: Cell<bool>,
    waiting: Cell<Option<Waker>>,
}

impl Flag {
    pub(crate) fn raise(&self) {
        self.raised.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Ready once it is raised; the last waker that asked is woken.
    pub(crate) fn poll_raised(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.raised.get() {
            return Poll::Ready(());
        }
        self.waiting.set(Some(cx.waker().clone()));
        Poll::Pending
    }
}

impl Watch for Flag {
    fn on_ready(self: Rc<Self>, _readiness: Readiness) {
        self.raise();
    }
}
