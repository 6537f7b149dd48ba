//! The knife: [`Cut`] counts the awaits of a call, and gives the call up at one of them.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use millrun_loop::sleep;

/// How a call is given up at one of its awaits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Way {
    /// Its future is dropped, there and then; the code around it goes on.
    Call,
    /// The task around it is aborted, by its [`JoinHandle`](millrun_loop::JoinHandle).
    Task,
    /// The future around it, which is no task but part of another one, is dropped while that goes on.
    Owner,
    /// The loop is stopped and closed.
    Loop,
    /// As `Call`, at each await, a hundred times at most and a millisecond apart: what a busy `select` does. One run.
    Each,
}

impl Way {
    /// Those that give up at one await.
    pub(crate) const AT_ONE: [Way; 4] = [Way::Call, Way::Task, Way::Owner, Way::Loop];
}

/// Marks the call under test in a scenario. Clones are the same one.
#[derive(Clone)]
pub struct Cut(Rc<Inner>);

struct Inner {
    /// At which await, from 1; 0 is never.
    at: usize,
    way: Way,
    awaits: Cell<usize>,
    cuts: Cell<usize>,
    /// Ends what is around the call.
    end: Cell<Option<Box<dyn FnOnce()>>>,
}

impl Cut {
    /// Cuts at the `at`-th await. `end` is called then, unless it is the call's own future that is to be dropped.
    pub(crate) fn new(at: usize, way: Way) -> Cut {
        let (awaits, cuts, end) = (Cell::new(0), Cell::new(0), Cell::new(None));
        Cut(Rc::new(Inner { at, way, awaits, cuts, end }))
    }

    /// What ends the task, its owner or the loop.
    pub(crate) fn on_cut(&self, end: impl FnOnce() + 'static) {
        self.0.end.set(Some(Box::new(end)));
    }

    /// Awaits the call under test; `None` when it was given up.
    ///
    /// Several calls of one run are counted on.
    pub async fn once<F: Future>(&self, call: F) -> Option<F::Output> {
        let mut call = pin!(call);
        poll_fn(|context| match call.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.waits() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
        // `call` is dropped here: its awaits are over when the caller goes on.
    }

    /// Awaits the call under test, and makes it again when it was given up.
    pub async fn again<T>(&self, mut call: impl AsyncFnMut() -> T) -> T {
        loop {
            match self.once(call()).await {
                Some(output) => return output,
                None if self.0.way == Way::Each => sleep(APART).await,
                None => {}
            }
        }
    }

    /// The call waits. True when it is to be dropped now.
    fn waits(&self) -> bool {
        let Inner { at, way, awaits, cuts, end } = &*self.0;
        awaits.set(awaits.get() + 1);
        let now = if *way == Way::Each { cuts.get() < MOST_CUTS } else { awaits.get() == *at };
        if !now {
            return false;
        }
        cuts.set(cuts.get() + 1);
        if let Some(end) = end.take() {
            end();
        }
        matches!(way, Way::Call | Way::Each)
    }

    pub(crate) fn way(&self) -> Way {
        self.0.way
    }

    /// How often the call waited.
    pub(crate) fn awaits(&self) -> usize {
        self.0.awaits.get()
    }

    /// It was cut.
    pub(crate) fn is_done(&self) -> bool {
        self.0.cuts.get() > 0
    }
}

/// What waits longer is let through: connecting anew each time would never be done.
const MOST_CUTS: usize = 100;

/// Some of what is waited for comes meanwhile.
const APART: Duration = Duration::from_millis(1);

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cut")
            .field("at", &self.0.at)
            .field("way", &self.0.way)
            .finish_non_exhaustive()
    }
}
