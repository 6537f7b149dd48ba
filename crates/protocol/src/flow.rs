//! May I write on? [`FlowControl`]: a level that goes up and down, and those who wait for it.

use std::cell::{Cell, OnceCell};
use std::io;
use std::task::{Context, Poll};

use millrun_transport::Flow;

use crate::{Ending, Place, Waiters};

/// So many drains in a row may find the way free without the loop getting a turn (D-09). At about a
/// microsecond for a write and a drain that is a tenth of a millisecond: well within the loop's own
/// budget for a round, and rare enough to cost nothing.
pub const DRAINS_WITHOUT_YIELD: u8 = 128;

/// The flow-control half of a protocol: told by the transport's callbacks, asked by drains.
///
/// Any number of drains may wait together (ST-068); each can give up alone (ST-073).
///
/// ```
/// use std::task::{Context, Poll, Waker};
/// use millrun_protocol::{DrainWait, FlowControl};
///
/// let flow = FlowControl::new();
/// let (mut drain, mut cx) = (DrainWait::default(), Context::from_waker(Waker::noop()));
/// flow.pause_writing();
/// assert!(flow.poll_drain(&mut drain, false, &mut cx).is_pending());
/// flow.resume_writing();
/// assert!(matches!(flow.poll_drain(&mut drain, false, &mut cx), Poll::Ready(Ok(()))));
/// ```
#[doc(alias = "FlowControlMixin")]
#[derive(Debug)]
pub struct FlowControl {
    waiters: Waiters,
    ending: OnceCell<Ending>,
    paused: Cell<bool>,
    /// A write answered `Paused`, and nothing was told yet. Cleared by a drain that waits, or that has let a turn
    /// go by; not by one that was given up before that.
    maybe_paused: Cell<bool>,
    /// So many drains may still pass without a look at anything else: the budget, or none while there is
    /// something to be looked at (a pause, or a write that answered `Paused`, or the end).
    quick: Cell<u8>,
    /// Not used here: the marks of a stream's state, which would need eight bytes of their own elsewhere.
    pub(crate) marks: Cell<u8>,
}

impl Default for FlowControl {
    fn default() -> FlowControl {
        FlowControl::new()
    }
}

/// One drain that is under way. Give it up with [`FlowControl::forget`] when it is dropped.
#[derive(Debug, Default)]
pub struct DrainWait {
    place: Option<Place>,
    waited: bool,
    yielded: bool,
}

impl FlowControl {
    /// The way is free.
    pub const fn new() -> FlowControl {
        FlowControl {
            waiters: Waiters::new(),
            ending: OnceCell::new(),
            paused: Cell::new(false),
            maybe_paused: Cell::new(false),
            quick: Cell::new(DRAINS_WITHOUT_YIELD),
            marks: Cell::new(0),
        }
    }

    /// From now on drains wait. Twice in a row is a mistake of the transport (ST-080).
    pub fn pause_writing(&self) {
        debug_assert!(!self.paused.get(), "expected resume_writing, got pause_writing again");
        self.paused.set(true);
        self.quick.set(0);
    }

    /// Drains go on, all of them. Without a pause before, it is a mistake of the transport (ST-080).
    pub fn resume_writing(&self) {
        debug_assert!(self.paused.get(), "expected pause_writing, got resume_writing");
        self.paused.set(false);
        self.rested();
        self.waiters.wake_all();
    }

    /// What a write answered. `Paused` is known here before the transport may call
    /// [`pause_writing`](FlowControl::pause_writing), so the next drain waits for what that will say.
    pub fn written(&self, flow: Flow) {
        if flow == Flow::Paused {
            self.maybe_paused.set(true);
            self.quick.set(0);
        }
    }

    /// The task has let the loop run: the budget of quick drains begins anew.
    #[inline]
    pub fn rested(&self) {
        let is_free = !self.paused.get() && !self.maybe_paused.get() && self.ending.get().is_none();
        self.quick.set(if is_free { DRAINS_WITHOUT_YIELD } else { 0 });
    }

    /// The end; the first one counts. Every waiting drain gets what it says.
    pub fn end(&self, ending: Ending) {
        let _ = self.ending.set(ending);
        self.quick.set(0);
        self.waiters.wake_all();
    }

    /// How it ended, if it did.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.get()
    }

    /// Drains wait now.
    pub fn is_paused(&self) -> bool {
        self.paused.get()
    }

    /// How many drains wait.
    pub fn waiting(&self) -> usize {
        self.waiters.len()
    }

    /// Whether the drain is done. `closing`: the transport is, so the end may be queued already; the
    /// loop gets a turn to bring it (ST-070).
    ///
    /// # Errors
    /// What [`Ending`] says of a drain.
    #[inline]
    pub fn poll_drain(
        &self,
        drain: &mut DrainWait,
        closing: bool,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let quick = self.quick.get();
        if quick > 0 && !closing && !drain.waited && !drain.yielded {
            self.quick.set(quick - 1);
            return Poll::Ready(Ok(()));
        }
        self.poll_drain_rarely(drain, cx)
    }

    #[inline(never)]
    fn poll_drain_rarely(
        &self,
        drain: &mut DrainWait,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ending) = self.ending.get() {
            let done =
                if drain.waited { ending.for_waiting_drain() } else { Err(ending.for_write()) };
            return Poll::Ready(done);
        }
        if self.paused.get() {
            self.maybe_paused.set(false);
            drain.waited = true;
            self.waiters.wait(&mut drain.place, cx.waker());
            return Poll::Pending;
        }
        // The way is free but for this: the loop is to have a turn before.
        if !drain.waited && !drain.yielded {
            self.rested();
            drain.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A turn after the write that said so, nobody was told.
        self.maybe_paused.set(false);
        self.rested();
        self.waiters.leave(&mut drain.place);
        Poll::Ready(Ok(()))
    }

    /// The drain was given up.
    #[inline]
    pub fn forget(&self, drain: &mut DrainWait) {
        self.waiters.leave(&mut drain.place);
    }
}
