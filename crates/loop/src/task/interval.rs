//! Again and again: [`interval`].

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use millrun_selector::Time;

use super::sleep::Sleep;
use crate::LoopHandle;

/// Ticks every `period`, the first time one period from now. A period of zero ticks every round.
///
/// # Panics
/// As [`sleep`](crate::sleep).
pub fn interval(period: Duration) -> Interval {
    Interval { period, sleep: Sleep::named("interval", period) }
}

/// Ticks at equal distances: also a [`Stream`]. Ticks that were missed are skipped, so a slow consumer
/// gets no burst, and those that follow stay where they were to be.
#[must_use = "an interval does nothing unless its ticks are awaited"]
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    sleep: Sleep,
}

impl Interval {
    /// Waits for the next tick and gives the moment for which it was set. Cancel safe.
    pub async fn tick(&mut self) -> Time {
        poll_fn(|context| self.poll_tick(context)).await
    }

    /// As [`tick`](Interval::tick), for futures written by hand.
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<Time> {
        match Pin::new(&mut self.sleep).poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                let now = LoopHandle::current().map_or(Time::ZERO, |event_loop| event_loop.now());
                let tick = self.sleep.deadline().unwrap_or(now);
                self.sleep.reset(next_tick(tick, now, self.period));
                Poll::Ready(tick)
            }
        }
    }
}

/// The first tick after `now`, on the grid of `tick`.
fn next_tick(tick: Time, now: Time, period: Duration) -> Time {
    let nanos = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
    if nanos == 0 {
        return now;
    }
    let missed = now.as_nanos().saturating_sub(tick.as_nanos()) / nanos;
    let steps = nanos.saturating_mul(missed.saturating_add(1));
    Time::from_nanos(tick.as_nanos().saturating_add(steps))
}

impl Stream for Interval {
    type Item = Time;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Time>> {
        self.poll_tick(context).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use millrun_selector::Time;

    use super::next_tick;

    #[test]
    fn missed_ticks_are_skipped_and_the_grid_stays() {
        let next = |tick, now, period| {
            let (tick, now) = (Time::from_nanos(tick), Time::from_nanos(now));
            next_tick(tick, now, Duration::from_nanos(period)).as_nanos()
        };
        assert_eq!(next(100, 100, 10), 110);
        assert_eq!(next(100, 109, 10), 110);
        assert_eq!(next(100, 110, 10), 120);
        assert_eq!(next(100, 155, 10), 160);
        assert_eq!(next(u64::MAX - 5, u64::MAX - 1, 10), u64::MAX);
        assert_eq!(next(7, 9, 0), 9);
    }
}
