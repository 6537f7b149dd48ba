//! Flow control: who waits, and what each is told.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use millrun_protocol::{
    ConnectionLost, DRAINS_WITHOUT_YIELD, DrainWait, Ending, FlowControl, Place, Waiters,
};
use millrun_transport::{CloseOutcome, Flow};
use proptest::prelude::*;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One task that drains.
struct Task {
    wakes: Arc<Wakes>,
    waker: Waker,
    drain: DrainWait,
}

impl Task {
    fn new() -> Task {
        let wakes = Arc::<Wakes>::default();
        Task { waker: Waker::from(Arc::clone(&wakes)), wakes, drain: DrainWait::default() }
    }

    fn poll(&mut self, flow: &FlowControl) -> Poll<io::Result<()>> {
        flow.poll_drain(&mut self.drain, false, &mut Context::from_waker(&self.waker))
    }

    fn is_done(&mut self, flow: &FlowControl) -> bool {
        matches!(self.poll(flow), Poll::Ready(Ok(())))
    }

    fn error(&mut self, flow: &FlowControl) -> io::Error {
        match self.poll(flow) {
            Poll::Ready(Err(error)) => error,
            other => panic!("expected an error, got {other:?}"),
        }
    }

    fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

/// ST-066, ST-067.
#[test]
fn st_067_a_drain_waits_from_pause_to_resume() {
    let flow = FlowControl::new();
    assert!(Task::new().is_done(&flow));
    flow.pause_writing();
    let mut task = Task::new();
    assert!(task.poll(&flow).is_pending());
    assert_eq!((task.wakes(), flow.waiting()), (0, 1));
    flow.resume_writing();
    assert_eq!(task.wakes(), 1);
    assert!(task.is_done(&flow));
    assert_eq!(flow.waiting(), 0);
}

/// ST-068, ST-073.
#[test]
fn st_068_many_drains_wait_and_each_can_give_up() {
    let flow = FlowControl::new();
    flow.pause_writing();
    let mut tasks: Vec<Task> = (0..5).map(|_| Task::new()).collect();
    for task in &mut tasks {
        assert!(task.poll(&flow).is_pending());
    }
    let mut gone = tasks.remove(2);
    flow.forget(&mut gone.drain);
    assert_eq!(flow.waiting(), 4);
    flow.resume_writing();
    assert_eq!(gone.wakes(), 0);
    assert!(tasks.iter_mut().all(|task| task.wakes() == 1 && task.is_done(&flow)));
}

/// ST-072: each gets the error.
#[test]
fn st_072_an_error_fails_every_waiting_drain() {
    let flow = FlowControl::new();
    flow.pause_writing();
    let mut tasks = [Task::new(), Task::new()];
    assert!(tasks.iter_mut().all(|task| task.poll(&flow).is_pending()));
    flow.end(Ending::lost(io::Error::from_raw_os_error(104)));
    for task in &mut tasks {
        assert_eq!(task.wakes(), 1);
        assert_eq!(task.error(&flow).raw_os_error(), Some(104));
    }
    assert_eq!(Task::new().error(&flow).raw_os_error(), Some(104));
}

/// D-02.
#[test]
fn d_02_a_drain_whose_bytes_were_dropped_fails() {
    let flow = FlowControl::new();
    flow.pause_writing();
    let mut waiting = Task::new();
    assert!(waiting.poll(&flow).is_pending());
    flow.end(Ending::Closed { unsent: 70_000 });
    let error = waiting.error(&flow);
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    let lost = error.get_ref().unwrap().downcast_ref::<ConnectionLost>();
    assert_eq!(lost, Some(&ConnectionLost { unsent: 70_000 }));
}

#[test]
fn a_drain_whose_bytes_were_sent_by_the_close_is_done() {
    let flow = FlowControl::new();
    flow.pause_writing();
    let mut waiting = Task::new();
    assert!(waiting.poll(&flow).is_pending());
    flow.end(Ending::Closed { unsent: 0 });
    assert!(waiting.is_done(&flow));
}

/// ST-070.
#[test]
fn st_070_a_drain_on_a_closing_transport_gives_up_one_turn() {
    let flow = FlowControl::new();
    let mut task = Task::new();
    let waker = task.waker.clone();
    let mut cx = Context::from_waker(&waker);
    assert!(flow.poll_drain(&mut task.drain, true, &mut cx).is_pending());
    assert_eq!(task.wakes(), 1, "it wakes itself");
    flow.end(Ending::Closed { unsent: 0 });
    let error = task.error(&flow);
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert_eq!(error.to_string(), "connection lost");

    let flow = FlowControl::new();
    let mut drain = DrainWait::default();
    assert!(flow.poll_drain(&mut drain, true, &mut cx).is_pending());
    assert!(matches!(flow.poll_drain(&mut drain, true, &mut cx), Poll::Ready(Ok(()))));
}

/// D-09: one turn in so many, and none while the task lets the loop run by itself.
#[test]
fn d_09_drains_in_a_row_yield_after_a_budget() {
    let flow = FlowControl::new();
    let budget = usize::from(DRAINS_WITHOUT_YIELD);
    for round in 0..3 {
        for i in 0..budget {
            assert!(Task::new().is_done(&flow), "drain {i} of round {round}");
        }
        let mut task = Task::new();
        assert!(task.poll(&flow).is_pending());
        assert_eq!(task.wakes(), 1);
        assert!(task.is_done(&flow));
    }
    for _ in 0..10 * budget {
        flow.rested();
        assert!(Task::new().is_done(&flow));
    }
}

/// A write that answered `Paused` is believed for one turn: then the protocol has been told, or need not be.
#[test]
fn d_17_a_drain_after_a_paused_write_waits_to_be_told() {
    let flow = FlowControl::new();
    flow.written(Flow::Open);
    assert!(Task::new().is_done(&flow));
    flow.written(Flow::Paused);
    assert!(Task::new().poll(&flow).is_pending(), "and is given up");
    let mut task = Task::new();
    assert!(task.poll(&flow).is_pending());
    assert_eq!(task.wakes(), 1);
    assert!(task.is_done(&flow), "nobody paused it: it was sent meanwhile");
    assert!(Task::new().is_done(&flow));
}

#[test]
fn the_first_ending_counts() {
    let flow = FlowControl::new();
    flow.end(Ending::Closed { unsent: 3 });
    flow.end(Ending::lost(io::Error::other("late")));
    assert_eq!(flow.ending().unwrap().for_close().unwrap(), CloseOutcome::Unsent(3));
    assert!(Ending::Replaced.for_close().is_err());
    assert!(Ending::Replaced.for_read().is_some());
    assert!(Ending::Closed { unsent: 3 }.for_read().is_none());
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "expected resume_writing, got pause_writing again")]
fn st_080_pausing_twice_is_a_mistake() {
    let flow = FlowControl::new();
    flow.pause_writing();
    flow.pause_writing();
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "expected pause_writing, got resume_writing")]
fn st_080_resuming_without_a_pause_is_a_mistake() {
    FlowControl::new().resume_writing();
}

#[derive(Clone, Debug)]
enum Step {
    Wait(usize),
    Leave(usize),
    WakeAll,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Waiters against a set: who waits is woken once, who left is not, whatever the order (D-15).
    #[test]
    fn d_15_waiters_are_independent(steps in prop::collection::vec(prop_oneof![
        4 => (0usize..6).prop_map(Step::Wait),
        3 => (0usize..6).prop_map(Step::Leave),
        1 => Just(Step::WakeAll),
    ], 1..80)) {
        let waiters = Waiters::new();
        let wakes: Vec<Arc<Wakes>> = (0..6).map(|_| Arc::default()).collect();
        let mut places: [Option<Place>; 6] = [None; 6];
        let (mut waiting, mut expected) = ([false; 6], [0usize; 6]);
        for step in steps {
            match step {
                Step::Wait(i) => {
                    waiters.wait(&mut places[i], &Waker::from(Arc::clone(&wakes[i])));
                    waiting[i] = true;
                }
                Step::Leave(i) => {
                    waiters.leave(&mut places[i]);
                    waiting[i] = false;
                }
                Step::WakeAll => {
                    waiters.wake_all();
                    for i in 0..6 {
                        expected[i] += usize::from(std::mem::take(&mut waiting[i]));
                    }
                }
            }
            prop_assert_eq!(waiters.len(), waiting.iter().filter(|w| **w).count());
            let woken: Vec<usize> = wakes.iter().map(|w| w.0.load(Ordering::Relaxed)).collect();
            prop_assert_eq!(&woken, &expected);
        }
    }
}
