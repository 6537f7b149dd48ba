//! Waking on the loop's own thread: a task by its flag and name, anybody else by their waker.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

use common::{Script, run_ready};
use millrun_loop::{EventLoop, LocalWaker, LoopHandle, spawn};

/// What tasks wait for, and how often they were polled.
#[derive(Clone, Default)]
struct Gate {
    waker: Rc<LocalWaker>,
    polls: Rc<Cell<usize>>,
}

impl Gate {
    /// Never done.
    fn wait(&self, handle: &LoopHandle) -> impl Future<Output = ()> + use<> {
        let (gate, handle) = (self.clone(), handle.clone());
        poll_fn(move |cx| {
            gate.polls.set(gate.polls.get() + 1);
            gate.waker.keep(cx.waker(), &handle);
            Poll::Pending
        })
    }
}

/// A stranger's waker.
#[derive(Default)]
struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn ready_loop() -> (EventLoop, LoopHandle) {
    let event_loop = Script::new().build();
    let handle = event_loop.handle();
    (event_loop, handle)
}

#[test]
fn nobody_is_woken_by_one_that_keeps_nobody() {
    let (mut event_loop, handle) = ready_loop();
    LocalWaker::new().wake(&handle);
    LocalWaker::default().wake(&handle);
    assert!(!event_loop.has_ready());
    run_ready(&mut event_loop);
}

#[test]
fn a_task_is_polled_once_for_all_wakings_before_and_stays_kept() {
    let (mut event_loop, handle) = ready_loop();
    let gate = Gate::default();
    drop(handle.spawn(gate.wait(&handle)));
    run_ready(&mut event_loop);
    assert_eq!(gate.polls.get(), 1);
    for polls in 2..5 {
        gate.waker.wake(&handle);
        gate.waker.wake(&handle);
        assert_eq!(gate.polls.get(), polls - 1, "waking runs nothing");
        run_ready(&mut event_loop);
        assert_eq!(gate.polls.get(), polls);
    }
}

/// The same flag says that a task is queued, whichever way it was woken.
#[test]
fn a_task_that_its_waker_has_woken_is_not_queued_again() {
    let (mut event_loop, handle) = ready_loop();
    let gate = Gate::default();
    let waker = Rc::new(RefCell::new(None::<Waker>));
    let (kept, waiting) = (Rc::clone(&waker), gate.wait(&handle));
    drop(handle.spawn(async move {
        let mut waiting = pin!(waiting);
        poll_fn(|cx| {
            *kept.borrow_mut() = Some(cx.waker().clone());
            waiting.as_mut().poll(cx)
        })
        .await;
    }));
    run_ready(&mut event_loop);
    waker.borrow().as_ref().unwrap().wake_by_ref();
    gate.waker.wake(&handle);
    run_ready(&mut event_loop);
    assert_eq!(gate.polls.get(), 2);
}

#[test]
fn a_task_that_is_over_is_not_woken_nor_is_the_next_one_in_its_place() {
    let (mut event_loop, handle) = ready_loop();
    let gate = Gate::default();
    let first = handle.spawn(gate.wait(&handle));
    run_ready(&mut event_loop);
    first.abort();
    drop(first);
    run_ready(&mut event_loop);
    gate.waker.wake(&handle);
    assert!(!event_loop.has_ready());
    let next = Gate::default();
    drop(handle.spawn(next.wait(&handle)));
    run_ready(&mut event_loop);
    gate.waker.wake(&handle);
    run_ready(&mut event_loop);
    assert_eq!((gate.polls.get(), next.polls.get()), (1, 1));
}

#[test]
fn for_a_task_that_is_done_nothing_is_queued() {
    let (mut event_loop, handle) = ready_loop();
    let (waker, inner) = (Rc::new(LocalWaker::new()), handle.clone());
    let kept = Rc::clone(&waker);
    drop(handle.spawn(poll_fn(move |cx| {
        kept.keep(cx.waker(), &inner);
        Poll::Ready(())
    })));
    run_ready(&mut event_loop);
    waker.wake(&handle);
    assert!(!event_loop.has_ready());
}

#[test]
fn who_waited_last_is_woken_alone() {
    let (mut event_loop, handle) = ready_loop();
    let gate = Gate::default();
    let counted = Arc::new(Counted::default());
    let stranger = Waker::from(Arc::clone(&counted));
    drop(handle.spawn(gate.wait(&handle)));
    run_ready(&mut event_loop);
    for round in 1..3 {
        gate.waker.keep(&stranger, &handle);
        gate.waker.wake(&handle);
        assert!(!event_loop.has_ready(), "the task is not woken");
        assert_eq!(counted.0.load(SeqCst), round);
        // Another task waits in place of both.
        drop(handle.spawn(gate.wait(&handle)));
        run_ready(&mut event_loop);
        assert_eq!(Arc::strong_count(&counted), 2, "let go");
        let polls = gate.polls.get();
        gate.waker.wake(&handle);
        run_ready(&mut event_loop);
        assert_eq!((gate.polls.get(), counted.0.load(SeqCst)), (polls + 1, round));
    }
}

#[test]
fn strangers_are_woken_by_their_own_wakers() {
    let (mut event_loop, handle) = ready_loop();
    let gate = Gate::default();
    let counted = Arc::new(Counted::default());
    // Also inside the poll of a task: it is not that one that waits.
    let (stranger, waiting) = (Waker::from(Arc::clone(&counted)), gate.wait(&handle));
    drop(handle.spawn(async move {
        let mut waiting = pin!(waiting);
        for _ in 0..2 {
            assert!(waiting.as_mut().poll(&mut Context::from_waker(&stranger)).is_pending());
        }
    }));
    run_ready(&mut event_loop);
    assert_eq!(Arc::strong_count(&counted), 2, "kept once, however often it waits");
    gate.waker.wake(&handle);
    gate.waker.wake(&handle);
    assert_eq!(counted.0.load(SeqCst), 2);
    assert_eq!(gate.polls.get(), 2, "the task is not polled for it");
    drop(gate);
    assert_eq!(Arc::strong_count(&counted), 1);
}

#[test]
fn the_future_of_a_run_is_woken_too() {
    let (mut event_loop, handle) = ready_loop();
    let waker = Rc::new(LocalWaker::new());
    let mut polls = 0;
    let woken = event_loop.run_until_complete(poll_fn(|cx| {
        polls += 1;
        waker.keep(cx.waker(), &handle);
        let (waker, handle) = (Rc::clone(&waker), handle.clone());
        drop(spawn(async move { waker.wake(&handle) }));
        if polls == 3 { Poll::Ready(polls) } else { Poll::Pending }
    }));
    assert_eq!(woken.unwrap(), 3);
}

#[test]
fn a_task_of_another_loop_on_this_thread_is_woken_there() {
    let (mut here, handle) = ready_loop();
    let (mut there, other) = ready_loop();
    let gate = Gate::default();
    drop(other.spawn(gate.wait(&handle)));
    drop(handle.spawn(async {}));
    run_ready(&mut here);
    run_ready(&mut there);
    gate.waker.wake(&handle);
    assert!(there.has_ready() && !here.has_ready());
    run_ready(&mut there);
    assert_eq!(gate.polls.get(), 2);
}
