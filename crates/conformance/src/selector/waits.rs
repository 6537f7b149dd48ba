//! How does a wait end?

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use millrun_selector::{Interest, Readiness};

use crate::Invariant;
use crate::desk::{Desk, PASSED, Scenario, needs};
use crate::report::{OrViolation, Played, Step, ensure};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("timeouts with nothing to report", timeouts),
    ("bytes that are there before the wait", ready),
    ("a wake-up before the wait", woken_before),
    ("wake-ups of other threads, one after the other", woken_by_threads),
    ("a waker that outlives its selector", waker_outlives),
];

fn timeouts(desk: &mut Desk<'_>) -> Played {
    // One that is silent, one that is not wanted.
    let ends = desk.ends()?;
    desk.want(ends.near.key, Interest::READ)?;
    desk.select(Duration::ZERO)?;
    for micros in [1, 300, 1_000, 1_500, 2_700, 5_001] {
        let asked = Duration::from_micros(micros);
        waits_out(desk, asked, Invariant::TimeoutIsWaitedOut)?;
    }
    PASSED
}

/// A wait may end early with nothing (by a signal), but not each time.
fn waits_out(desk: &mut Desk<'_>, asked: Duration, invariant: Invariant) -> Step {
    let mut waits = Vec::new();
    for _ in 0..3 {
        let before = desk.clock.now();
        let events = desk.select(asked)?;
        let waited = desk.clock.now() - before;
        waits.push((waited, events.len()));
        if waited >= asked {
            break;
        }
    }
    let is_whole = waits.last().is_some_and(|(waited, _)| *waited >= asked);
    let is_silent = waits.iter().all(|(_, events)| *events == 0);
    let expected = format!("no event, and {asked:?} or more");
    ensure(is_whole && is_silent, invariant, expected, format_args!("{waits:?}"))
}

fn ready(desk: &mut Desk<'_>) -> Played {
    let ends = desk.ends()?;
    desk.send(&ends.far, b"x")?;
    let key = ends.near.key;
    desk.want(key, Interest::READ)?;
    desk.wait(key, Readiness::is_readable, Invariant::NewBytesAreReported, "READABLE")?;
    let patience = desk.world.abilities().patience;
    let before = desk.clock.now();
    let events = desk.select(patience)?;
    let waited = desk.clock.now() - before;
    let is_at_once = waited < patience && events.iter().any(|e| e.key == key);
    let got = format!("{events:?} after {waited:?}");
    ensure(is_at_once, Invariant::ReadyEndsTheWait, "the event, at once", got)?;
    PASSED
}

fn woken_before(desk: &mut Desk<'_>) -> Played {
    let _ends = desk.ends()?;
    let patience = desk.world.abilities().patience;
    let waker = desk.selector.waker();
    let ends_the_wait = |desk: &mut Desk<'_>| {
        let before = desk.clock.now();
        let events = desk.select(patience)?;
        let waited = desk.clock.now() - before;
        let got = format!("{events:?} after {waited:?}");
        let is_so = waited < patience && events.is_empty();
        ensure(is_so, Invariant::WakeEndsTheWait, "no event, at once", got)
    };
    waker.wake();
    ends_the_wait(desk)?;
    // Another one of its wakers, on another thread.
    let other = desk.selector.waker();
    let thread = thread::spawn(move || (0..100).for_each(|_| other.wake()));
    let _ = thread.join();
    ends_the_wait(desk)?;
    waits_out(desk, Duration::from_millis(3), Invariant::WakeIsUsedUp)?;
    PASSED
}

/// Each of them comes during a wait or before one.
fn woken_by_threads(desk: &mut Desk<'_>) -> Played {
    needs!(desk, real_time);
    let (tell, told) = mpsc::channel();
    let waker = desk.selector.waker();
    let thread = thread::spawn(move || {
        for _ in 0..200 {
            if tell.send(()).is_err() {
                return;
            }
            waker.wake();
        }
    });
    let patience = desk.world.abilities().patience;
    let mut seen = 0;
    while seen < 200 {
        let before = desk.clock.now();
        desk.select(patience)?;
        let waited = desk.clock.now() - before;
        let got = format!("{waited:?} after {seen} wake-ups");
        ensure(waited < patience, Invariant::WakeEndsTheWait, "the end of the wait", got)?;
        seen += told.try_iter().count();
    }
    let _ = thread.join();
    PASSED
}

fn waker_outlives(desk: &mut Desk<'_>) -> Played {
    let waker = desk.selector.waker();
    let other = desk.world.selector();
    desk.selector = other.or_violation(Invariant::WorldIsMade, "another selector")?;
    waker.wake();
    waits_out(desk, Duration::from_millis(3), Invariant::TimeoutIsWaitedOut)?;
    PASSED
}
