//! What does a timer cost?
//!
//! - *arm and cancel*: an iteration arms [`MANY`] timers, then cancels them all, in the order of arming: timeouts that none of
//!   them is needed for.
//! - *arm and disarm*: among [`STANDING`] timers an iteration arms one and cancels it, [`PAIRS`] times: a request with a timeout.
//! - *arm and fire*: an iteration arms [`MANY`] timers, and when all are due lets them fire. The wait between is not counted.
//!
//! Deadlines are in no order. Where the subject is a program's (not a bare collection), an arming is what such a program does:
//!
//! | subject | to arm | to cancel | to fire |
//! |---|---|---|---|
//! | millrun | `call_at` of a closure | `TimerHandle::cancel` | the closure is called |
//! | millrun sleep | `sleep_until`, boxed and polled once | drop | its waker is called |
//! | tokio | `sleep_until`, boxed and polled once | drop | its waker is called |
//! | tokio best | the same, while a sooner timer stands, and tokio's driver knows it | drop | its waker is called |
//! | smol | `Timer::at`, boxed and polled once | drop | its waker is called |
//! | calloop | `insert_source(Timer)` with a closure | `remove` | the closure is called |
//! | TimerQueue | `arm` of a boxed closure | `cancel` | the closure is called |
//! | BinaryHeap | a push of a shared closure | the closure is taken out, the entry stays | the closure is called |
//! | BTreeMap | an insertion of a boxed closure | a removal | the closure is called |
//!
//! An arming wakes tokio's driver, by a system call, unless the driver knows a sooner timer: so it is for a program that has not
//! waited yet since it armed the sooner ones, or has none. Where timers stand and the loop has turned, *tokio best* is what one
//! gets. calloop looks through all its sources to add one and through all its timers to cancel one, so it is asked only among
//! [`STANDING`]: a million would take it hours.
//!
//! What is counted is the CPU time of the process: a wait costs nothing, and smol has a thread that fires timers beside us.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use criterion::Criterion;

mod bare;
#[path = "../common/mod.rs"]
mod common;
mod ours;
#[cfg(any(feature = "tokio", feature = "smol", feature = "calloop"))]
mod peers;

/// Timers in an iteration of *arm and cancel* and of *arm and fire*.
const MANY: u64 = 1_000_000;

/// Timers that stand while others are armed and disarmed.
const STANDING: u64 = 10_000;

/// Pairs of arming and disarming in an iteration.
const PAIRS: u64 = 10_000;

/// Somebody who has timers.
trait Timers {
    /// What cancels one.
    type Timer;

    /// It can have a million of them in bearable time.
    const HAS_MANY: bool = true;

    fn new() -> Self;
    /// Arms a timer that counts when it fires, so long after the moment when this was made.
    fn arm(&mut self, after: Duration) -> Self::Timer;
    fn cancel(&mut self, timer: Self::Timer);
    /// Lets fire what is due, or some of it.
    fn fire(&mut self);
    /// How many have fired.
    fn fired(&self) -> u64;
    /// Does `work` where timers can be armed: inside the loop.
    fn within<R>(&mut self, work: impl FnOnce(&mut Self) -> R) -> R {
        work(self)
    }
}

fn main() {
    common::main(|criterion| {
        bench::<ours::Calls>(criterion, "millrun");
        bench::<ours::Sleeps>(criterion, "millrun sleep");
        bench::<ours::Bare>(criterion, "TimerQueue");
        #[cfg(feature = "tokio")]
        bench::<peers::Tokio<false>>(criterion, "tokio");
        #[cfg(feature = "tokio")]
        bench::<peers::Tokio<true>>(criterion, "tokio best");
        #[cfg(feature = "smol")]
        bench::<peers::Smol>(criterion, "smol");
        #[cfg(feature = "calloop")]
        bench::<peers::Calloop>(criterion, "calloop");
        bench::<bare::Heap>(criterion, "BinaryHeap");
        bench::<bare::Tree>(criterion, "BTreeMap");
    });
}

fn bench<T: Timers>(criterion: &mut Criterion, subject: &str) {
    let mut group = common::group(criterion, "timers: arm and disarm", PAIRS);
    group.bench_function(subject, |bencher| {
        let mut timers = T::new();
        let standing: Vec<_> =
            timers.within(|timers| far(STANDING).map(|after| timers.arm(after)).collect());
        bencher
            .iter_custom(|iterations| (0..iterations).map(|_| arm_and_disarm(&mut timers)).sum());
        timers.fire();
        assert_eq!(timers.fired(), 0, "nothing is due");
        standing.into_iter().for_each(|timer| timers.cancel(timer));
    });
    group.finish();
    if !T::HAS_MANY {
        return;
    }
    let mut group = common::group(criterion, "timers: arm and cancel", MANY);
    group.sample_size(10).bench_function(subject, |bencher| {
        bencher.iter_custom(|iterations| (0..iterations).map(|_| arm_and_cancel::<T>()).sum());
    });
    group.finish();
    let mut group = common::group(criterion, "timers: arm and fire", MANY);
    group.sample_size(10).bench_function(subject, |bencher| {
        let mut lead = Duration::from_millis(300);
        bencher
            .iter_custom(|iterations| (0..iterations).map(|_| arm_and_fire::<T>(&mut lead)).sum());
    });
    group.finish();
}

fn arm_and_cancel<T: Timers>() -> Duration {
    let mut timers = T::new();
    let mut armed = Vec::with_capacity(MANY as usize);
    let began = cpu_time();
    timers.within(|timers| {
        armed.extend(far(MANY).map(|after| timers.arm(after)));
        armed.into_iter().for_each(|timer| timers.cancel(timer));
    });
    let spent = cpu_time() - began;
    timers.fire();
    assert_eq!(timers.fired(), 0, "a cancelled timer fired");
    spent
}

fn arm_and_disarm<T: Timers>(timers: &mut T) -> Duration {
    timers.within(|timers| {
        let began = cpu_time();
        for after in far(PAIRS) {
            let timer = timers.arm(after);
            timers.cancel(timer);
        }
        cpu_time() - began
    })
}

/// `lead` is how long arming may take; it grows with the machine's load.
fn arm_and_fire<T: Timers>(lead: &mut Duration) -> Duration {
    loop {
        let start = Instant::now();
        let mut timers = T::new();
        let mut armed = Vec::with_capacity(MANY as usize);
        let began = cpu_time();
        timers.within(|timers| armed.extend(near(MANY).map(|after| timers.arm(*lead + after))));
        let (arming, took) = (cpu_time() - began, start.elapsed());
        // Some milliseconds more than the last one: tokio's clock counts in whole ones.
        thread::sleep((*lead + SPAN + Duration::from_millis(5)).saturating_sub(took));
        let began = cpu_time();
        while timers.fired() < MANY {
            timers.fire();
        }
        let firing = cpu_time() - began;
        assert_eq!(timers.fired(), MANY, "a timer fired twice");
        drop(armed);
        if took < *lead {
            return arming + firing;
        }
        *lead = took * 2; // the first were due before the last was armed
    }
}

/// No timer of *arm and cancel* or *arm and disarm* is due before so long.
const NEVER: Duration = Duration::from_secs(3600);

/// Deadlines of *arm and fire* lie within this.
const SPAN: Duration = Duration::from_millis(100);

/// Offsets within an hour after [`NEVER`], in no order.
fn far(count: u64) -> impl Iterator<Item = Duration> {
    offsets(count, Duration::from_secs(3600)).map(|after| NEVER + after)
}

/// Offsets within [`SPAN`], in no order.
fn near(count: u64) -> impl Iterator<Item = Duration> {
    offsets(count, SPAN)
}

/// The high bits of a multiple of an odd number: spread evenly, and the same in each run.
fn offsets(count: u64, within: Duration) -> impl Iterator<Item = Duration> {
    let nanos = within.as_nanos() as u64;
    (1..=count).map(move |n| {
        let spread = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        Duration::from_nanos((spread * nanos) >> 32)
    })
}

/// CPU time of all threads of this process.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
