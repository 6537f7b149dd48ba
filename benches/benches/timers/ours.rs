//! Millrun's timers: calls, sleeps, and the queue below both.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use millrun_loop::timers::{TimerId, TimerQueue};
use millrun_loop::{EventLoop, LoopHandle, Sleep, TimerHandle, sleep_until};
use millrun_selector::Time;

use crate::Timers;
use crate::common::{Counter, Wakes};

/// A loop, and when it was made.
struct Clocked {
    /// `None` while it runs.
    event_loop: Option<EventLoop>,
    handle: LoopHandle,
    made: Time,
}

impl Clocked {
    fn new() -> Clocked {
        let event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        Clocked { made: handle.now(), event_loop: Some(event_loop), handle }
    }

    fn turn(&mut self) {
        self.event_loop.as_mut().unwrap().turn(Some(Duration::ZERO)).unwrap();
    }
}

/// `call_at`.
pub(crate) struct Calls {
    clocked: Clocked,
    fired: Counter,
}

impl Timers for Calls {
    type Timer = TimerHandle;

    fn new() -> Calls {
        Calls { clocked: Clocked::new(), fired: Counter::default() }
    }

    fn arm(&mut self, after: Duration) -> TimerHandle {
        let fired = self.fired.clone();
        self.clocked.handle.call_at(self.clocked.made + after, move || fired.add()).unwrap()
    }

    fn cancel(&mut self, timer: TimerHandle) {
        timer.cancel();
    }

    fn fire(&mut self) {
        self.clocked.turn();
    }

    fn within<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let mut event_loop = self.clocked.event_loop.take().unwrap();
        let output = event_loop.run_until_complete(async { work(self) }).unwrap();
        self.clocked.event_loop = Some(event_loop);
        output
    }

    fn fired(&self) -> u64 {
        self.fired.get()
    }
}

/// `sleep_until`.
pub(crate) struct Sleeps {
    clocked: Clocked,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl Timers for Sleeps {
    type Timer = Pin<Box<Sleep>>;

    fn new() -> Sleeps {
        let wakes = Arc::new(Wakes::default());
        Sleeps { clocked: Clocked::new(), waker: Waker::from(Arc::clone(&wakes)), wakes }
    }

    fn arm(&mut self, after: Duration) -> Pin<Box<Sleep>> {
        let mut sleep = Box::pin(sleep_until(self.clocked.made + after));
        if sleep.as_mut().poll(&mut Context::from_waker(&self.waker)).is_ready() {
            self.wakes.add();
        }
        sleep
    }

    fn cancel(&mut self, sleep: Pin<Box<Sleep>>) {
        drop(sleep);
    }

    fn fire(&mut self) {
        self.clocked.turn();
    }

    fn within<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        let mut event_loop = self.clocked.event_loop.take().unwrap();
        let output = event_loop.run_until_complete(async { work(self) }).unwrap();
        self.clocked.event_loop = Some(event_loop);
        output
    }

    fn fired(&self) -> u64 {
        self.wakes.get()
    }
}

/// The queue alone.
pub(crate) struct Bare {
    queue: TimerQueue<Box<dyn FnOnce()>>,
    made: Instant,
    fired: Counter,
}

impl Timers for Bare {
    type Timer = TimerId;

    fn new() -> Bare {
        Bare { queue: TimerQueue::new(), made: Instant::now(), fired: Counter::default() }
    }

    fn arm(&mut self, after: Duration) -> TimerId {
        let fired = self.fired.clone();
        self.queue.arm(Time::ZERO + after, Box::new(move || fired.add()))
    }

    fn cancel(&mut self, timer: TimerId) {
        assert!(self.queue.cancel(timer).is_some());
    }

    fn fire(&mut self) {
        let now = Time::ZERO + self.made.elapsed();
        while let Some((_, _, callback)) = self.queue.pop_due(now) {
            callback();
        }
    }

    fn fired(&self) -> u64 {
        self.fired.get()
    }
}
