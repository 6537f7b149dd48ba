//! Waiting for a moment: [`sleep`].

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use millrun_selector::Time;

use crate::timers::TimerId;
use crate::{LoopHandle, MustAwait};

/// Waits for `duration`, by the clock of the loop that runs. Zero gives up one round (L-030).
///
/// # Panics
/// The future panics when it is polled and no loop runs, nor did one when it was made.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new("sleep", Deadline::After(duration))
}

/// Waits until `when`, by the clock of the loop that runs. A moment that has passed gives up one round.
///
/// # Panics
/// As [`sleep`].
#[doc(alias = "sleep")]
pub fn sleep_until(when: Time) -> Sleep {
    Sleep::new("sleep_until", Deadline::At(when))
}

/// The future of [`sleep`]. The time runs from its making if a loop runs then, else from its first
/// poll. Cancel safe; dropping it takes its timer out of the queue.
#[must_use = "futures do nothing unless they are awaited"]
#[derive(Debug)]
pub struct Sleep {
    event_loop: Option<LoopHandle>,
    deadline: Deadline,
    state: State,
    must_await: MustAwait,
}

#[derive(Clone, Copy, Debug)]
enum Deadline {
    /// Of a time that does not run yet; or zero, which needs no look at the clock.
    After(Duration),
    At(Time),
}

#[derive(Debug)]
enum State {
    New,
    /// It was due when it was first polled, and one round was given up.
    Yielded,
    Armed {
        id: TimerId,
        waker: Waker,
    },
}

impl Sleep {
    fn new(name: &'static str, deadline: Deadline) -> Sleep {
        let event_loop = LoopHandle::current().ok();
        let is_debug = event_loop.as_ref().is_some_and(LoopHandle::is_debug);
        let must_await = MustAwait::new(name, is_debug);
        let mut sleep = Sleep { event_loop: None, deadline, state: State::New, must_await };
        if let Some(event_loop) = event_loop {
            sleep.start(event_loop);
        }
        sleep
    }

    /// As part of a future called `name`, for a warning.
    pub(super) fn named(name: &'static str, duration: Duration) -> Sleep {
        Sleep::new(name, Deadline::After(duration))
    }

    /// As part of a future that is polled: this one may never be.
    pub(super) fn is_awaited(&mut self) {
        self.must_await.polled();
    }

    /// Moves the deadline, and waits anew if it was over.
    pub fn reset(&mut self, when: Time) {
        self.disarm();
        self.deadline = Deadline::At(when);
    }

    /// The deadline; `None` while it is not known.
    pub const fn deadline(&self) -> Option<Time> {
        match self.deadline {
            Deadline::At(when) => Some(when),
            Deadline::After(_) => None,
        }
    }

    /// From now on the time runs.
    fn start(&mut self, event_loop: LoopHandle) {
        if let Deadline::After(duration) = self.deadline {
            if !duration.is_zero() {
                self.deadline = Deadline::At(event_loop.now() + duration);
            }
        }
        self.event_loop = Some(event_loop);
    }

    /// Takes the timer out of the queue, if there is one.
    fn disarm(&mut self) {
        let state = std::mem::replace(&mut self.state, State::New);
        if let (State::Armed { id, .. }, Some(event_loop)) = (state, &self.event_loop) {
            event_loop.core().cancel_wake(id);
        }
    }

    fn arm(&mut self, event_loop: &LoopHandle, when: Time, waker: Waker) {
        self.disarm();
        // On a closed loop nothing will be polled again.
        if let Ok(id) = event_loop.core().wake_at(when, &waker) {
            self.state = State::Armed { id, waker };
        }
    }

    fn is_due(&self, event_loop: &LoopHandle) -> bool {
        self.deadline().is_none_or(|when| event_loop.now() >= when)
    }

    /// # Panics
    /// Without a loop.
    fn event_loop(&mut self) -> LoopHandle {
        if let Some(event_loop) = &self.event_loop {
            return event_loop.clone();
        }
        match LoopHandle::current() {
            Ok(event_loop) => {
                self.start(event_loop.clone());
                event_loop
            }
            Err(error) => panic!("sleep: {error}"),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.must_await.polled();
        if matches!(self.state, State::Yielded) {
            return Poll::Ready(());
        }
        let event_loop = self.event_loop();
        if let State::Armed { id, waker } = &self.state {
            // No look at the clock: what has a timeout is polled often, and the loop sees to it that the timer fires.
            let is_armed = event_loop.core().is_wake_armed(*id);
            if is_armed && waker.will_wake(context.waker()) {
                return Poll::Pending;
            }
            if (!is_armed && !event_loop.is_closed()) || self.is_due(&event_loop) {
                self.disarm();
                self.state = State::Yielded;
                return Poll::Ready(());
            }
        }
        match self.deadline {
            Deadline::At(when) if !self.is_due(&event_loop) => {
                self.arm(&event_loop, when, context.waker().clone());
            }
            _ => {
                self.state = State::Yielded;
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}
