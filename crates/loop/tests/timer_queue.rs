//! The timer queue does what a sorted list would do, and keeps no more than it must.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use millrun_loop::timers::{TimerId, TimerQueue};
use millrun_selector::Time;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Arm(u64),
    ArmMany(u64, u8),
    /// The n-th from the last of all ids ever given, dead ones too.
    Cancel(usize),
    CancelMany(usize, u8),
    Pop(u64),
    PopMany(u64),
    NextDeadline,
    Drain,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..50_u64).prop_map(Step::Arm),
        4 => (0..50_u64, any::<u8>()).prop_map(|(when, count)| Step::ArmMany(when, count)),
        6 => (0..40_usize).prop_map(Step::Cancel),
        4 => (0..600_usize, any::<u8>()).prop_map(|(from, count)| Step::CancelMany(from, count)),
        6 => (0..50_u64).prop_map(Step::Pop),
        2 => (0..50_u64).prop_map(Step::PopMany),
        6 => Just(Step::NextDeadline),
        1 => Just(Step::Drain),
    ]
}

/// The plain truth: a list in the order of arming, searched each time.
#[derive(Default)]
struct Model {
    armed: Vec<(Time, u32, TimerId)>,
}

impl Model {
    fn cancel(&mut self, id: TimerId) -> Option<u32> {
        let index = self.armed.iter().position(|timer| timer.2 == id)?;
        Some(self.armed.remove(index).1)
    }

    fn first(&self) -> Option<usize> {
        // `min_by_key` gives the first of equal ones: the one armed first.
        (0..self.armed.len()).min_by_key(|&index| self.armed[index].0)
    }

    fn pop_due(&mut self, now: Time) -> Option<(TimerId, Time, u32)> {
        let index = self.first().filter(|&index| self.armed[index].0 <= now)?;
        let (when, item, id) = self.armed.remove(index);
        Some((id, when, item))
    }
}

#[derive(Default)]
struct Both {
    queue: TimerQueue<u32>,
    model: Model,
    ids: Vec<TimerId>,
    next: u32,
}

impl Both {
    fn arm(&mut self, when: u64) {
        let when = Time::from_nanos(when);
        let id = self.queue.arm(when, self.next);
        assert!(!self.ids.contains(&id), "an id was given twice");
        self.model.armed.push((when, self.next, id));
        self.ids.push(id);
        self.next += 1;
    }

    fn cancel(&mut self, from_last: usize) {
        let Some(index) = self.ids.len().checked_sub(from_last + 1) else { return };
        let id = self.ids[index];
        let is_armed = self.queue.is_armed(id);
        let cancelled = self.queue.cancel(id);
        assert_eq!(is_armed, cancelled.is_some());
        assert_eq!(cancelled, self.model.cancel(id));
        assert!(!self.queue.is_armed(id));
    }

    fn pop(&mut self, now: u64) -> bool {
        let now = Time::from_nanos(now);
        let popped = self.queue.pop_due(now);
        assert_eq!(popped, self.model.pop_due(now));
        popped.is_some()
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Arm(when) => self.arm(when),
            // Deadlines that rise and fall, so that runs and heap both get some.
            Step::ArmMany(when, count) => {
                (0..u64::from(count) / 2).for_each(|i| self.arm((when * 7 + i * 13) % 50))
            }
            Step::Cancel(index) => self.cancel(index),
            Step::CancelMany(from, count) => {
                (from..from + usize::from(count)).for_each(|i| self.cancel(i))
            }
            Step::Pop(now) => drop(self.pop(now)),
            Step::PopMany(now) => while self.pop(now) {},
            Step::NextDeadline => {
                let expected = self.model.first().map(|index| self.model.armed[index].0);
                assert_eq!(self.queue.next_deadline(), expected);
            }
            Step::Drain => {
                let mut drained: Vec<u32> = self.queue.drain().collect();
                drained.sort_unstable();
                let expected: Vec<u32> = self.model.armed.drain(..).map(|timer| timer.1).collect();
                assert_eq!(drained, expected);
            }
        }
        assert_eq!(self.queue.len(), self.model.armed.len());
        assert_eq!(self.queue.is_empty(), self.model.armed.is_empty());
        let entries = self.queue.entries();
        assert!(entries <= 2 * self.queue.len() + 64, "{entries} entries of {:?}", self.queue);
        assert!(entries >= self.queue.len(), "{entries} entries of {:?}", self.queue);
    }
}

proptest! {
    /// L-042, L-045 (D-13), L-050: soonest first, equal ones as armed; an id works once.
    #[test]
    fn l_042_the_queue_agrees_with_a_sorted_list(steps in prop::collection::vec(step(), 1..120)) {
        let mut both = Both::default();
        for step in steps {
            both.apply(step);
        }
        while both.pop(u64::MAX) {}
        assert!(both.queue.is_empty());
    }
}

#[test]
fn l_045_equal_deadlines_come_out_in_the_order_of_arming() {
    let mut queue = TimerQueue::new();
    for item in 0..1000 {
        queue.arm(Time::from_nanos(5), item);
        if item % 7 == 0 {
            queue.next_deadline(); // sorts, so that they sit in different places
        }
    }
    let order: Vec<_> = std::iter::from_fn(|| queue.pop_due(Time::MAX)).map(|due| due.2).collect();
    assert_eq!(order, (0..1000).collect::<Vec<_>>());
}

#[test]
fn l_043_a_deadline_in_the_past_comes_before_younger_ones() {
    let mut queue = TimerQueue::new();
    queue.arm(Time::from_nanos(10), "present");
    queue.next_deadline();
    queue.arm(Time::ZERO, "past");
    assert_eq!(queue.next_deadline(), Some(Time::ZERO));
    assert_eq!(queue.pop_due(Time::from_nanos(10)).unwrap().2, "past");
    assert_eq!(queue.pop_due(Time::from_nanos(10)).unwrap().2, "present");
}

#[test]
fn a_timer_fires_at_its_deadline_and_not_before() {
    let mut queue = TimerQueue::new();
    queue.arm(Time::from_nanos(10), ());
    assert!(queue.pop_due(Time::from_nanos(9)).is_none());
    assert!(queue.pop_due(Time::from_nanos(10)).is_some());
}

/// L-050 and L-049: cancelling what was cancelled, or has fired, finds nothing, though its slot was
/// taken by another timer.
#[test]
fn l_050_a_late_cancel_never_hits_another_timer() {
    let mut queue = TimerQueue::new();
    let first = queue.arm(Time::from_nanos(1), "first");
    assert_eq!(queue.cancel(first), Some("first"));
    let second = queue.arm(Time::from_nanos(1), "second");
    assert_eq!(queue.cancel(first), None);
    assert_eq!(queue.pop_due(Time::MAX).map(|due| due.2), Some("second"));
    queue.arm(Time::from_nanos(1), "third");
    assert_eq!(queue.cancel(second), None);
    assert_eq!(queue.len(), 1);
    assert_eq!(queue.drain().count(), 1);
    let fourth = queue.arm(Time::from_nanos(1), "fourth");
    assert_eq!(queue.cancel(second), None);
    assert_eq!(queue.cancel(fourth), Some("fourth"));
}

/// The same when the queue ran empty and gave its memory back.
#[test]
fn l_050_ids_stay_dead_when_the_queue_runs_empty() {
    let mut queue = TimerQueue::new();
    let old: Vec<_> = (0..5000).map(|item| queue.arm(Time::from_nanos(1), item)).collect();
    assert!(old.iter().all(|id| queue.cancel(*id).is_some()));
    for item in 0..5000 {
        queue.arm(Time::from_nanos(1), item);
    }
    assert!(old.iter().all(|id| !queue.is_armed(*id) && queue.cancel(*id).is_none()));
    assert_eq!(queue.len(), 5000);
}

#[test]
fn a_queue_shows_how_many_are_armed_and_kept() {
    let mut queue = TimerQueue::new();
    let ids: Vec<_> = (0..20).map(|item| queue.arm(Time::from_nanos(1), item)).collect();
    queue.cancel(ids[3]);
    assert_eq!(format!("{queue:?}"), "TimerQueue { armed: 19, entries: 20, .. }");
}

/// L-047: cancelled ones do not pile up, whether or not anybody asks for a deadline meanwhile.
#[test]
fn l_047_memory_follows_what_is_armed() {
    for ask in [false, true] {
        let mut queue = TimerQueue::new();
        for nanos in 0..10_000 {
            queue.arm(Time::from_nanos(1_000_000 + nanos), nanos);
        }
        for nanos in 0..100_000 {
            let id = queue.arm(Time::from_nanos(5_000_000 - nanos), nanos);
            if ask {
                queue.next_deadline();
            }
            assert_eq!(queue.cancel(id), Some(nanos));
            assert!(queue.entries() <= 20_064, "{queue:?}");
        }
        assert_eq!(queue.len(), 10_000);
        let order: Vec<_> =
            std::iter::from_fn(|| queue.pop_due(Time::MAX)).map(|due| due.2).collect();
        assert_eq!(order, (0..10_000).collect::<Vec<_>>());
    }
}
