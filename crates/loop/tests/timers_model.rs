//! A loop's timers, callbacks and sleeps together, do what a sorted list would do. (The queue alone: `timer_queue.rs`.)
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::Script;
use millrun_loop::{EventLoop, Sleep, TimerHandle, sleep_until};
use millrun_selector::Time;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    /// A callback so long from now.
    Call(u64),
    CallMany(u64, u8),
    /// A sleep so long from now: its waker is called.
    Sleep(u64),
    SleepMany(u64, u8),
    /// The n-th from the last that was armed, be it gone or not.
    Cancel(usize),
    CancelMany(usize, u8),
    /// So much time passes, and the loop turns.
    Turn(u64),
    Deadline,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1..50_u64).prop_map(Step::Call),
        4 => (1..50_u64, any::<u8>()).prop_map(|(after, count)| Step::CallMany(after, count)),
        6 => (1..50_u64).prop_map(Step::Sleep),
        4 => (1..50_u64, any::<u8>()).prop_map(|(after, count)| Step::SleepMany(after, count)),
        6 => (0..40_usize).prop_map(Step::Cancel),
        4 => (0..600_usize, any::<u8>()).prop_map(|(from, count)| Step::CancelMany(from, count)),
        6 => (0..50_u64).prop_map(Step::Turn),
        6 => Just(Step::Deadline),
        1 => Just(Step::Close),
    ]
}

enum Timer {
    Call(TimerHandle),
    Sleep(Option<Pin<Box<Sleep>>>),
}

/// Says in a log that it was woken.
struct Note(usize, Arc<Mutex<Vec<usize>>>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

struct Both {
    script: Rc<Script>,
    event_loop: EventLoop,
    /// In the order of arming.
    timers: Vec<Timer>,
    /// When each is due, if it is armed.
    model: Vec<Option<Time>>,
    called: Rc<RefCell<Vec<usize>>>,
    woken: Arc<Mutex<Vec<usize>>>,
}

impl Both {
    fn new() -> Both {
        let script = Script::new();
        let event_loop = script.build();
        let (timers, model) = (Vec::new(), Vec::new());
        Both { script, event_loop, timers, model, called: Rc::default(), woken: Arc::default() }
    }

    fn call(&mut self, after: u64) {
        let when = self.script.now() + Duration::from_nanos(after);
        let (number, called) = (self.timers.len(), Rc::clone(&self.called));
        let call = move || called.borrow_mut().push(number);
        self.timers.push(Timer::Call(self.event_loop.handle().call_at(when, call).unwrap()));
        self.model.push(Some(when));
    }

    fn sleep(&mut self, after: u64) {
        let when = self.script.now() + Duration::from_nanos(after);
        let waker = Waker::from(Arc::new(Note(self.timers.len(), Arc::clone(&self.woken))));
        let mut sleep = None;
        let first_poll = async {
            let new = sleep.insert(Box::pin(sleep_until(when)));
            assert!(new.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        };
        self.event_loop.run_until_complete(first_poll).unwrap();
        self.timers.push(Timer::Sleep(sleep));
        self.model.push(Some(when));
    }

    fn cancel(&mut self, from_last: usize) {
        let Some(index) = self.timers.len().checked_sub(from_last + 1) else { return };
        match &mut self.timers[index] {
            Timer::Call(call) => call.cancel(),
            Timer::Sleep(sleep) => drop(sleep.take()),
        }
        self.model[index] = None;
    }

    fn first(&self) -> Option<Time> {
        self.model.iter().flatten().min().copied()
    }

    /// Wakers are called when they are queued and callbacks in the round after, so that each kind has an order of its own.
    fn turn(&mut self, pass: u64) {
        self.script.advance(Duration::from_nanos(pass));
        self.event_loop.turn(Some(Duration::ZERO)).unwrap();
        let now = self.script.now();
        let mut due: Vec<_> = (0..self.model.len())
            .filter(|&index| self.model[index].is_some_and(|when| when <= now))
            .collect();
        due.sort_by_key(|&index| self.model[index]); // stable
        due.iter().for_each(|&index| self.model[index] = None);
        let (calls, sleeps): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|&index| matches!(self.timers[index], Timer::Call(_)));
        assert_eq!(std::mem::take(&mut *self.called.borrow_mut()), calls);
        assert_eq!(std::mem::take(&mut *self.woken.lock().unwrap()), sleeps);
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Call(after) => self.call(after),
            Step::CallMany(after, count) => {
                (0..u64::from(count) / 2).for_each(|i| self.call(1 + (after * 7 + i * 13) % 50));
            }
            Step::Sleep(after) => self.sleep(after),
            Step::SleepMany(after, count) => {
                (0..u64::from(count) / 4).for_each(|i| self.sleep(1 + (after * 7 + i * 13) % 50));
            }
            Step::Cancel(index) => self.cancel(index),
            Step::CancelMany(from, count) => {
                (from..from + usize::from(count)).for_each(|i| self.cancel(i));
            }
            Step::Turn(pass) => self.turn(pass),
            Step::Deadline => assert_eq!(self.event_loop.next_deadline(), self.first()),
            Step::Close => self.close(),
        }
        let armed = self.model.iter().flatten().count();
        assert_eq!(self.event_loop.handle().metrics().timers, armed);
    }

    /// All is given up, and what was armed can be cancelled still.
    fn close(&mut self) {
        self.event_loop.close();
        assert_eq!(self.event_loop.handle().metrics().timers, 0);
        (0..self.timers.len()).for_each(|index| self.cancel(index));
        assert_eq!(Rc::strong_count(&self.called), 1, "a callback is kept");
        assert_eq!(Arc::strong_count(&self.woken), 1, "a waker is kept");
        *self = Both::new();
    }
}

proptest! {
    /// L-042, L-045 (D-13), L-049, L-050.
    #[test]
    fn l_042_timers_of_a_loop_agree_with_a_sorted_list(steps in prop::collection::vec(step(), 1..80)) {
        let mut both = Both::new();
        for step in steps {
            both.apply(step);
        }
        both.turn(1000);
        both.apply(Step::Deadline);
        both.close();
    }
}

/// Equal deadlines of both kinds, told by the order in which what they woke runs.
#[test]
fn l_045_calls_and_sleeps_of_one_deadline_keep_the_order_of_arming() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Rc::new(RefCell::new(Vec::new())));
    let when = Time::from_nanos(100);
    for number in 0..100 {
        let log = Rc::clone(&log);
        if number % 3 == 0 {
            handle.call_at(when, move || log.borrow_mut().push(number)).unwrap();
        } else {
            handle.spawn(async move {
                sleep_until(when).await;
                log.borrow_mut().push(number);
            });
            // It is armed when it is polled.
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    }
    script.advance(Duration::from_nanos(100));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    common::run_ready(&mut event_loop);
    assert_eq!(*log.borrow(), (0..100).collect::<Vec<_>>());
}

/// A callback that was cancelled is out of the queue whatever becomes of what it captured.
#[test]
fn a_timer_whose_capture_panics_when_it_is_dropped_is_gone() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let script = Script::new();
    let event_loop = script.build();
    let handle = event_loop.handle();
    let bomb = Bomb;
    let timer = handle.call_later(Duration::from_secs(1), move || drop(bomb)).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| timer.cancel())).is_err());
    assert!(timer.is_cancelled());
    assert_eq!(handle.metrics().timers, 0);
    timer.cancel();
}

/// Whatever a callback does to timers while others are due with it: each is run once, in order, or not at all.
#[test]
fn a_callback_arms_and_cancels_timers_of_its_own_deadline() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Rc::new(RefCell::new(Vec::new())));
    let when = Time::from_nanos(100);
    let timers = Rc::new(RefCell::new(Vec::<TimerHandle>::new()));
    for number in 0..300_usize {
        let (log, others, again) = (Rc::clone(&log), Rc::clone(&timers), handle.clone());
        let call = move || {
            log.borrow_mut().push(number);
            // Itself, the one before it, which has run, and the one behind it, which has not.
            for index in number.saturating_sub(1)..=number + 1 {
                others.borrow().get(index).into_iter().for_each(TimerHandle::cancel);
            }
            let log = Rc::clone(&log);
            again.call_at(when, move || log.borrow_mut().push(1000 + number)).unwrap();
        };
        let timer = handle.call_at(when, call).unwrap();
        timers.borrow_mut().push(timer);
    }
    script.advance(Duration::from_nanos(100));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    let ran: Vec<_> = (0..300).step_by(2).collect();
    assert_eq!(*log.borrow(), ran);
    assert_eq!(handle.metrics().timers, 150);
    log.borrow_mut().clear();
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(*log.borrow(), ran.iter().map(|number| 1000 + number).collect::<Vec<_>>());
    assert_eq!((handle.metrics().timers, event_loop.next_deadline()), (0, None));
    timers.borrow_mut().clear();
}
