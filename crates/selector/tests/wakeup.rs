//! How a wait ends: by its timeout, by another thread.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{look, registered_pair, wait};
use millrun_selector::{Clock, Interest, MioSelector, Monotonic, Selector};

/// SEL-012: a positive timeout is waited out whole, also below what the kernel can tell apart.
/// SEL-014: with nothing registered.
#[test]
fn sel_012_sel_014_a_timeout_is_at_least_as_long_as_asked() {
    let mut selector = MioSelector::new().unwrap();
    let clock = Monotonic::new();
    for micros in [1, 300, 999, 1_000, 1_001, 1_500, 2_700, 5_001] {
        let asked = Duration::from_micros(micros);
        let before = clock.now();
        let mut events = Vec::new();
        selector.select(Some(asked), &mut events).unwrap();
        let waited = clock.now() - before;
        assert!(waited >= asked, "asked for {asked:?}, waited {waited:?}");
        assert!(events.is_empty());
    }
}

/// SEL-012: zero only looks; a timeout beyond what the kernel can count is no error.
#[test]
fn sel_012_zero_looks_and_the_longest_waits() {
    let (mut selector, _ours, _key, theirs) = registered_pair(Interest::READ);
    assert!(look(&mut selector).is_empty());
    theirs.try_write(b"x").unwrap();
    let mut events = Vec::new();
    selector.select(Some(Duration::MAX), &mut events).unwrap();
    assert_eq!(events.len(), 1);
}

/// SEL-012: no timeout waits until another thread wakes it.
#[test]
fn sel_012_a_wait_without_end_is_ended_by_a_waker() {
    let mut selector = MioSelector::new().unwrap();
    let waker = selector.waker();
    let thread = thread::spawn(move || waker.wake());
    assert!(wait(&mut selector).is_empty(), "a wake-up is no event");
    thread.join().unwrap();
}

/// A wake-up before the wait is not lost; many are one.
#[test]
fn a_wake_up_before_the_wait_counts_and_is_used_up() {
    let mut selector = MioSelector::new().unwrap();
    let waker = selector.waker();
    for _ in 0..1000 {
        waker.wake();
    }
    assert!(wait(&mut selector).is_empty());
    let clock = Monotonic::new();
    let before = clock.now();
    let asked = Duration::from_millis(3);
    let mut events = Vec::new();
    selector.select(Some(asked), &mut events).unwrap();
    assert!(clock.now() - before >= asked, "all thousand were used up by one wait");
    assert!(events.is_empty());
}

/// Each of many wake-ups from many threads ends a wait, or comes before one that ends at once.
#[test]
fn wakers_of_many_threads_lose_nothing() {
    let mut selector = MioSelector::new().unwrap();
    let (done, finished) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (waker, done) = (selector.waker(), done.clone());
            thread::spawn(move || {
                for _ in 0..500 {
                    done.send(()).unwrap();
                    waker.wake();
                }
            })
        })
        .collect();
    let mut seen = 0;
    while seen < 2000 {
        assert!(wait(&mut selector).is_empty());
        seen += finished.try_iter().count();
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
}

/// A waker outlives its selector, and is used while it goes.
#[test]
fn a_waker_is_harmless_when_the_selector_is_gone() {
    for _ in 0..50 {
        let selector = MioSelector::new().unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let waker = selector.waker();
                thread::spawn(move || (0..100).for_each(|_| waker.wake()))
            })
            .collect();
        let kept = selector.waker();
        drop(selector);
        threads.into_iter().for_each(|t| t.join().unwrap());
        kept.wake();
    }
    // A descriptor that got the number of the old one must not be written to.
    let (mut selector, _ours, _key, _theirs) = registered_pair(Interest::READ);
    assert!(look(&mut selector).is_empty());
}
