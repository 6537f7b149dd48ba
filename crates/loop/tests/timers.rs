//! Callbacks with a deadline: section 3 of docs/behaviours.md. (The queue alone: `timer_queue.rs`.)
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Log, Script, note, run_ready};
use futures_core::Stream as _;
use millrun_loop::{
    Elapsed, LoopHandle, interval, sleep, sleep_until, timeout, timeout_at, yield_now,
};
use millrun_selector::Time;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Time {
    Time::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn l_040_call_later_is_call_at_from_now_and_when_stays_known() {
    let script = Script::new();
    script.advance(SECOND);
    let mut event_loop = script.build();
    let handle = event_loop.handle();
    let later = handle.call_later(SECOND, || ()).unwrap();
    let exact = handle.call_at(at(7), || ()).unwrap();
    assert_eq!((later.when(), exact.when()), (at(2), at(7)));
    event_loop.turn(None).unwrap();
    assert_eq!(handle.metrics().timers_fired, 1);
    assert_eq!(later.when(), at(2));
    assert_eq!(handle.call_later(Duration::MAX, || ()).unwrap().when(), Time::MAX);
}

/// With a clock of nanoseconds, "before now + resolution" is "not after now". L-053: never early.
#[test]
fn l_041_l_053_a_timer_fires_at_its_deadline_and_not_before() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    handle.call_at(Time::from_nanos(100), note(&log, "fired")).unwrap();
    script.advance(Duration::from_nanos(99));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert!(log.borrow().is_empty());
    script.advance(Duration::from_nanos(1));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(*log.borrow(), ["fired"]);
}

/// L-051: by deadline, not by the order of arming. D-13: equal ones by arming.
#[test]
fn l_042_l_045_l_051_timers_that_are_due_run_in_order_of_deadline() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    for (when, what) in [(3, "3"), (1, "1a"), (2, "2"), (1, "1b")] {
        handle.call_at(at(when), note(&log, what)).unwrap();
    }
    script.advance(9 * SECOND);
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["1a", "1b", "2", "3"]);
}

#[test]
fn l_043_a_deadline_in_the_past_is_for_the_next_turn_before_younger_ones() {
    let script = Script::new();
    script.advance(5 * SECOND);
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    handle.call_at(at(5), note(&log, "now")).unwrap();
    handle.call_at(at(1), note(&log, "past")).unwrap();
    assert!(log.borrow().is_empty());
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["past", "now"]);
    assert_eq!(script.take_timeouts(), [Some(Duration::ZERO)]);
}

#[test]
fn l_044_a_timer_without_delay_runs_after_what_is_queued() {
    let mut event_loop = Script::new().build();
    let (handle, log) = (event_loop.handle(), Log::default());
    handle.call_later(Duration::ZERO, note(&log, "timer")).unwrap();
    handle.call_soon(note(&log, "queued")).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["queued", "timer"]);
}

/// L-046 to L-048 and L-050 are about the heap's sweeping (D-13): seen from outside, a cancelled timer is gone at once.
#[test]
fn l_046_l_047_l_048_l_050_a_cancelled_timer_is_gone_and_drops_what_it_captured() {
    let script = Script::new();
    let mut event_loop = script.build();
    let handle = event_loop.handle();
    let captured = Rc::new(());
    let timers: Vec<_> = (1..=200)
        .map(|n| {
            let held = Rc::clone(&captured);
            handle.call_later(n * SECOND, move || drop(held)).unwrap()
        })
        .collect();
    for timer in &timers[..150] {
        timer.cancel();
        timer.cancel();
        assert!(timer.is_cancelled());
    }
    assert_eq!((handle.metrics().timers, Rc::strong_count(&captured)), (50, 51));
    assert_eq!(event_loop.next_deadline(), Some(at(151)), "L-046: the head is a live one");
    event_loop.turn(None).unwrap();
    assert_eq!(script.now(), at(151));
    assert_eq!((handle.metrics().timers, handle.metrics().timers_fired), (49, 1));
}

#[test]
fn l_050_a_late_cancel_never_hits_the_timer_that_took_its_place() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let cancelled = handle.call_at(at(1), note(&log, "cancelled")).unwrap();
    cancelled.cancel();
    let second = handle.call_at(at(2), note(&log, "second")).unwrap();
    cancelled.cancel();
    script.advance(2 * SECOND);
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    handle.call_at(at(3), note(&log, "third")).unwrap();
    second.cancel();
    assert!(second.is_cancelled());
    script.advance(SECOND);
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(*log.borrow(), ["second", "third"]);
}

#[test]
fn l_049_a_timer_cancelled_by_an_earlier_callback_of_its_round_does_not_run() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let victim = handle.call_at(at(2), note(&log, "victim")).unwrap();
    handle.call_at(at(1), move || victim.cancel()).unwrap();
    script.advance(2 * SECOND);
    event_loop.turn(None).unwrap();
    assert_eq!(handle.metrics().timers_fired, 2);
    assert!(log.borrow().is_empty());
}

/// Virtual time: each sleep costs one wait and one turn, whatever its length.
#[test]
fn l_052_short_sleeps_do_not_spin() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            for nanos in [10_000_000, 100_000, 1_000, 10, 1] {
                sleep(Duration::from_nanos(nanos)).await;
            }
        })
        .unwrap();
    assert_eq!(handle.now().as_nanos(), 10_101_011);
    assert_eq!((handle.metrics().turns, handle.metrics().waits), (6, 5));
}

#[test]
fn sleep_runs_from_its_making_and_leaves_no_timer() {
    let script = Script::new();
    let mut event_loop = script.build();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            let slept = sleep(2 * SECOND);
            assert_eq!(slept.deadline(), Some(at(2)));
            script.advance(SECOND);
            slept.await;
            assert_eq!(handle.now(), at(2));
            // Polled, then dropped.
            assert!(timeout(SECOND, sleep(5 * SECOND)).await.is_err());
            assert_eq!((handle.now(), handle.metrics().timers), (at(3), 0));
            sleep_until(at(9)).await;
            assert_eq!(handle.now(), at(9));
        })
        .unwrap();
    // Made outside of a loop: from the first poll on.
    let slept = sleep(SECOND);
    assert_eq!(slept.deadline(), None);
    event_loop.run_until_complete(slept).unwrap();
    assert_eq!(handle.now(), at(10));
}

#[test]
fn a_sleep_that_is_reset_waits_for_its_new_deadline() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(async {
            let mut slept = std::pin::pin!(sleep(SECOND));
            assert!(timeout(SECOND / 2, slept.as_mut()).await.is_err());
            slept.reset(at(4));
            assert_eq!(handle.metrics().timers, 0);
            slept.as_mut().await;
            assert_eq!(handle.now(), at(4));
            slept.reset(at(6));
            slept.await;
            assert_eq!(handle.now(), at(6));
        })
        .unwrap();
}

/// Two tasks poll it in turn: the last one to poll is woken.
#[test]
fn a_sleep_wakes_who_polled_it_last() {
    let mut event_loop = Script::new().build();
    event_loop
        .run_until_complete(async {
            let mut slept = Box::pin(sleep(SECOND));
            poll_fn(|context| {
                assert!(slept.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
            millrun_loop::spawn(slept).await.unwrap();
        })
        .unwrap();
}

#[test]
fn timeout_gives_the_output_or_elapsed_and_prefers_the_output() {
    let script = Script::new();
    let mut event_loop = script.build();
    event_loop
        .run_until_complete(async {
            assert_eq!(timeout(SECOND, async { 1 }).await, Ok(1));
            assert_eq!(timeout(SECOND, sleep(2 * SECOND)).await, Err(Elapsed));
            assert_eq!(script.now(), at(1));
            assert_eq!(timeout_at(at(5), sleep_until(at(3))).await, Ok(()));
            // Both are due in one turn.
            assert_eq!(timeout(SECOND, sleep(SECOND)).await, Ok(()));
            // Without time, the future is polled twice and no timer is armed.
            let mut yields = 0;
            let two = async {
                yield_now().await;
                yields += 1;
                yield_now().await;
                yields += 1;
            };
            assert_eq!(timeout(Duration::ZERO, two).await, Err(Elapsed));
            assert_eq!(yields, 1);
            let error = std::io::Error::from(Elapsed);
            assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
            let mut moved = std::pin::pin!(timeout(SECOND, sleep(20 * SECOND)));
            moved.as_mut().reset(script.now() + 9 * SECOND);
            let before = script.now();
            assert_eq!(moved.await, Err(Elapsed));
            assert_eq!(script.now().since(before), 9 * SECOND);
        })
        .unwrap();
}

#[test]
fn interval_ticks_on_its_grid_and_skips_what_was_missed() {
    let script = Script::new();
    let mut event_loop = script.build();
    event_loop
        .run_until_complete(async {
            let mut ticks = interval(SECOND);
            assert_eq!(ticks.tick().await, at(1));
            assert_eq!(ticks.tick().await, at(2));
            script.advance(Duration::from_millis(3500));
            assert_eq!(ticks.tick().await, at(3), "late, and told when it was to be");
            assert_eq!(ticks.tick().await, at(6));
            let mut ticks = std::pin::pin!(ticks);
            let tick = poll_fn(|context| ticks.as_mut().poll_next(context)).await;
            assert_eq!(tick, Some(at(7)));
            let mut every_round = interval(Duration::ZERO);
            assert_eq!((every_round.tick().await, every_round.tick().await), (at(7), at(7)));
        })
        .unwrap();
}

/// Timers of tasks and callbacks share one queue.
#[test]
fn sleeping_tasks_and_timers_keep_the_order_of_their_deadlines() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    for (when, what) in [(2, "task 2"), (4, "task 4")] {
        let note = note(&log, what);
        handle.spawn(async move {
            sleep_until(at(when)).await;
            note();
        });
    }
    handle.call_at(at(3), note(&log, "timer 3")).unwrap();
    handle.call_at(at(1), note(&log, "timer 1")).unwrap();
    run_ready(&mut event_loop);
    script.advance(9 * SECOND);
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["timer 1", "task 2", "timer 3", "task 4"]);
}

/// A clock that stands still and counts how often it is looked at.
#[derive(Debug)]
struct Counting(Rc<Cell<u32>>);

impl millrun_selector::Clock for Counting {
    fn now(&self) -> Time {
        self.0.set(self.0.get() + 1);
        Time::ZERO
    }
}

/// What has a timeout may be polled often.
#[test]
fn a_sleep_that_waits_is_polled_without_a_look_at_the_clock() {
    let reads = Rc::new(Cell::new(0));
    let clock = Rc::new(Counting(Rc::clone(&reads)));
    let mut event_loop = Script::new().builder().clock(clock).build().unwrap();
    let polls = poll_fn(|context| {
        let mut slept = std::pin::pin!(sleep(SECOND));
        assert!(slept.as_mut().poll(context).is_pending());
        let before = reads.get();
        (0..10).for_each(|_| assert!(slept.as_mut().poll(context).is_pending()));
        Poll::Ready(reads.get() - before)
    });
    assert_eq!(event_loop.run_until_complete(polls).unwrap(), 0);
}

/// Its time is over, its timer has not fired yet, and somebody else polls it.
#[test]
fn a_sleep_that_changes_hands_when_it_is_due_is_done_and_leaves_no_timer() {
    let script = Script::new();
    let mut event_loop = script.build();
    let handle = event_loop.handle();
    event_loop
        .run_until_complete(poll_fn(|context| {
            let mut slept = std::pin::pin!(sleep(SECOND));
            assert!(slept.as_mut().poll(context).is_pending());
            script.advance(SECOND);
            let mut other = Context::from_waker(Waker::noop());
            assert!(slept.as_mut().poll(&mut other).is_ready());
            assert_eq!(handle.metrics().timers, 0);
            Poll::Ready(())
        }))
        .unwrap();
}

/// The clock is not looked at for nothing.
#[test]
fn without_timers_a_turn_does_not_read_the_clock() {
    let reads = Rc::new(Cell::new(0));
    let clock = Rc::new(Counting(Rc::clone(&reads)));
    let mut event_loop = Script::new().builder().clock(clock).build().unwrap();
    let handle: LoopHandle = event_loop.handle();
    handle.call_soon(|| ()).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(reads.get(), 0);
}
