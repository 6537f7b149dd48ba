//! May I write on? [`FlowControl`]: a level that goes up and down, and those who wait for it.

use std::cell::{Cell, OnceCell};
use std::io;
use std::task::{Context, Poll};

use millrun_transport::Flow;

use crate::marks::{Mark, Marks};
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
    /// So many drains may still pass without a look at anything else: the budget, or none while there is
    /// something to be looked at ([`Mark::NOT_FREE`]).
    quick: Cell<u8>,
    /// Most of them are not used here: a stream's state has its own beside ours.
    pub(crate) marks: Marks,
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
    stage: Stage,
}

/// How far a drain has come; one byte, asked by each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// Not polled yet, or done at once.
    #[default]
    New,
    /// It has given the loop a turn.
    Yielded,
    /// It found writing paused. From here on its place may be set.
    Waited,
}

impl FlowControl {
    /// The way is free.
    pub const fn new() -> FlowControl {
        FlowControl {
            waiters: Waiters::new(),
            ending: OnceCell::new(),
            quick: Cell::new(DRAINS_WITHOUT_YIELD),
            marks: Marks::new(),
        }
    }

    /// From now on drains wait. Twice in a row is a mistake of the transport (ST-080).
    pub fn pause_writing(&self) {
        debug_assert!(!self.is_paused(), "expected resume_writing, got pause_writing again");
        self.marks.set(Mark::WRITING_PAUSED);
        self.quick.set(0);
    }

    /// Drains go on, all of them. Without a pause before, it is a mistake of the transport (ST-080).
    pub fn resume_writing(&self) {
        debug_assert!(self.is_paused(), "expected pause_writing, got resume_writing");
        self.marks.clear(Mark::WRITING_PAUSED);
        self.rested();
        self.waiters.wake_all();
    }

    /// What a write answered. `Paused` is known here before the transport may call
    /// [`pause_writing`](FlowControl::pause_writing), so the next drain waits for what that will say.
    pub fn written(&self, flow: Flow) {
        if flow == Flow::Paused {
            self.marks.set(Mark::MAYBE_PAUSED);
            self.quick.set(0);
        }
    }

    /// The task has let the loop run: the budget of quick drains begins anew.
    #[inline]
    pub fn rested(&self) {
        self.quick.set(if self.marks.has(Mark::NOT_FREE) { 0 } else { DRAINS_WITHOUT_YIELD });
    }

    /// The same, when nothing is [not free](Mark::NOT_FREE).
    #[inline]
    pub(crate) fn rested_freely(&self) {
        self.quick.set(DRAINS_WITHOUT_YIELD);
    }

    /// The end; the first one counts. Every waiting drain gets what it says.
    pub fn end(&self, ending: Ending) {
        let _ = self.ending.set(ending);
        self.marks.set(Mark::ENDED);
        self.quick.set(0);
        self.waiters.wake_all();
    }

    /// How it ended, if it did.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.get()
    }

    /// Drains wait now.
    pub fn is_paused(&self) -> bool {
        self.marks.has(Mark::WRITING_PAUSED)
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
        if self.passes(drain, || closing) {
            return Poll::Ready(Ok(()));
        }
        self.poll_drain_rarely(drain, cx)
    }

    /// The drain that most are: it has nothing to look at. Then it is done; otherwise nothing was.
    #[inline(always)]
    pub(crate) fn passes(&self, drain: &mut DrainWait, closing: impl FnOnce() -> bool) -> bool {
        // Last what is dearest to be asked. (It calls a stranger, who changes no drain.)
        let passes = drain.stage == Stage::New && self.quick.get() > 0 && !closing();
        if passes {
            self.quick.set(self.quick.get().saturating_sub(1));
            // So it is already. Told again, the drop that follows need not ask.
            drain.stage = Stage::New;
        }
        passes
    }

    #[inline(never)]
    pub(crate) fn poll_drain_rarely(
        &self,
        drain: &mut DrainWait,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ending) = self.ending.get() {
            return Poll::Ready(match drain.stage {
                Stage::Waited => ending.for_waiting_drain(),
                Stage::New | Stage::Yielded => Err(ending.for_write()),
            });
        }
        if self.is_paused() {
            self.marks.clear(Mark::MAYBE_PAUSED);
            drain.stage = Stage::Waited;
            self.waiters.wait(&mut drain.place, cx.waker());
            return Poll::Pending;
        }
        // The way is free but for this: the loop is to have a turn before.
        if drain.stage == Stage::New {
            self.rested();
            drain.stage = Stage::Yielded;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        // A turn after the write that said so, nobody was told.
        self.marks.clear(Mark::MAYBE_PAUSED);
        self.rested();
        self.waiters.leave(&mut drain.place);
        Poll::Ready(Ok(()))
    }

    /// The drain was given up.
    #[inline]
    pub fn forget(&self, drain: &mut DrainWait) {
        if drain.stage == Stage::Waited {
            self.waiters.leave(&mut drain.place);
        }
    }
}
