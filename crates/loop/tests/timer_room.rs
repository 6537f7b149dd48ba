//! What memory a timer queue keeps: room for what will soon be armed again, and what was needed once goes back.

use std::alloc::System;
use std::sync::{Mutex, PoisonError};

use millrun_loop::timers::{TimerId, TimerQueue};
use millrun_selector::Time;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The counts are of the whole process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What is sorted of a timer.
const ENTRY: isize = 24;

/// The same of a loop's callback.
#[cfg(feature = "os")]
const CALL: isize = 32;

/// Where an item of no size stays, and which arming has it.
const PLACE: usize = 16;

/// More than the harness of the tests may take meanwhile, and less than anything that is looked for.
const NOISE: isize = 4096;

/// By how many bytes more is held after it.
fn held_after(run: impl FnOnce()) -> isize {
    let region = Region::new(GLOBAL);
    run();
    let change = region.change();
    change.bytes_allocated as isize - change.bytes_deallocated as isize
}

fn arm(queue: &mut TimerQueue<()>, first: u64, count: usize) -> Vec<TimerId> {
    (first..).take(count).map(|nanos| queue.arm(Time::from_nanos(nanos), ())).collect()
}

fn cancel(queue: &mut TimerQueue<()>, ids: &[TimerId]) {
    assert!(ids.iter().all(|id| queue.cancel(*id).is_some()));
}

#[test]
fn room_for_1024_timers_is_kept_and_no_more() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut queue = TimerQueue::new();
    let ids = arm(&mut queue, 0, 1024);
    cancel(&mut queue, &ids);
    let held = held_after(|| drop(arm(&mut queue, 0, 1024)));
    assert!(held <= NOISE, "{held} bytes of room were given back");

    let mut queue = TimerQueue::new();
    let held = held_after(|| {
        let ids = arm(&mut queue, 0, 1025);
        cancel(&mut queue, &ids);
    });
    assert!(held <= NOISE, "{held} bytes are kept");
}

/// Dead entries go, and their room stays: as long as it is little, or no more than four times what is needed.
#[test]
fn room_that_is_soon_used_again_is_kept() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (armed, left) in [(500, 1), (1024, 1), (4096, 1900)] {
        let mut queue = TimerQueue::new();
        let ids = arm(&mut queue, 0, armed);
        cancel(&mut queue, &ids[left..]);
        let entries = queue.entries();
        assert!(entries <= 2 * left + 64, "swept");
        let held = held_after(|| drop(arm(&mut queue, 0, armed - entries)));
        assert!(held <= NOISE, "{held} bytes of room for {armed} were given back");
    }
}

/// The same of those that came after others had been put in order, and are sooner.
#[test]
fn room_for_those_that_are_sooner_is_kept() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut queue = TimerQueue::new();
    let late = arm(&mut queue, 1_000_000, 9000);
    queue.next_deadline();
    let soon = arm(&mut queue, 0, 1000);
    queue.next_deadline();
    cancel(&mut queue, &soon);
    // Of those in order some have to stay: as many may be sooner and not be put in order anew.
    cancel(&mut queue, &late[500..]);
    assert!(queue.entries() <= 2 * 500 + 64, "swept");
    arm(&mut queue, 0, 500);
    let held = held_after(|| assert_eq!(queue.next_deadline(), Some(Time::ZERO)));
    assert!(held <= NOISE, "{held} bytes of room were given back");
}

/// L-047: in each of the places where an entry may wait. The items' own places stay, as long as one is in use.
#[test]
fn l_047_room_for_many_goes_back_when_a_few_are_left() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for ask in [false, true] {
        let mut queue = TimerQueue::new();
        let held = held_after(|| {
            let late = arm(&mut queue, 1_000_000, 20_000);
            if ask {
                queue.next_deadline();
            }
            let soon = arm(&mut queue, 0, 2000);
            if ask {
                queue.next_deadline();
            }
            cancel(&mut queue, &soon);
            cancel(&mut queue, &late[5..]);
        });
        let places = (22_000_usize.next_power_of_two() * PLACE) as isize;
        let entries = held - places;
        assert!(entries <= 1024 * ENTRY, "{entries} bytes, asked: {ask}, {queue:?}");
        assert_eq!(queue.next_deadline(), Some(Time::from_nanos(1_000_000)));
    }
}

/// L-047: of a loop's callbacks, too, with the memory of the callbacks themselves.
#[cfg(feature = "os")]
#[test]
fn l_047_a_loop_gives_its_room_back_when_no_callback_is_left() -> std::io::Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let event_loop = millrun_loop::EventLoop::new()?;
    let handle = event_loop.handle();
    let mut timers = Vec::with_capacity(5000);
    let held = held_after(|| {
        timers.extend((1..=5000).map(|n| handle.call_at(Time::from_nanos(n << 40), || ())));
        // The last first: no dead entry is left, so none is swept.
        timers.drain(..).rev().flatten().for_each(|timer| timer.cancel());
    });
    assert!(held <= NOISE, "{held} bytes are kept");
    Ok(())
}

/// L-047: what a cancelled callback leaves is its own memory, of no more of them than there are live ones, and 64.
#[cfg(feature = "os")]
#[test]
fn l_047_a_loop_keeps_the_memory_of_few_cancelled_callbacks() -> std::io::Result<()> {
    const CAPTURED: usize = 1000;
    const LEFT: usize = 5;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let event_loop = millrun_loop::EventLoop::new()?;
    let handle = event_loop.handle();
    let mut timers = Vec::with_capacity(5000);
    let held = held_after(|| {
        timers.extend((1..=5000).map(|n| {
            let captured = [0_u8; CAPTURED];
            handle.call_at(Time::from_nanos(n << 40), move || assert_eq!(captured.len(), CAPTURED))
        }));
        timers.drain(LEFT..).flatten().for_each(|timer| timer.cancel());
    });
    let callbacks = (2 * LEFT + 64) * (CAPTURED + 64);
    let most = callbacks as isize + 1024 * CALL + NOISE;
    assert!(held <= most, "{held} bytes are kept, not {most}");
    Ok(())
}
