//! Futures as tasks: spawning, joining, aborting, failing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use common::{Log, Script, log_reports, note, run_ready};
use millrun_loop::{JoinError, LoopHandle, catch, oneshot, sleep, spawn, yield_now};

/// Counts its drops, and does something then.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn a_task_gives_its_output_to_whoever_joins_it() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let output = event_loop.run_until_complete(async {
        let task = spawn(async {
            sleep(Duration::from_secs(1)).await;
            "output"
        });
        assert!(!task.is_finished());
        let finished = spawn(async { 1 });
        yield_now().await;
        assert!(finished.is_finished());
        (task.await.unwrap(), finished.await.unwrap())
    });
    assert_eq!(output.unwrap(), ("output", 1));
    assert_eq!((handle.metrics().spawned, handle.metrics().tasks), (2, 0));
}

#[test]
fn a_dropped_join_handle_detaches_and_the_task_goes_on() {
    let mut event_loop = Script::new().build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let done = note(&log, "done");
    drop(handle.spawn(async move {
        yield_now().await;
        done();
    }));
    assert_eq!(handle.metrics().tasks, 1);
    run_ready(&mut event_loop);
    assert_eq!(*log.borrow(), ["done"]);
    assert_eq!(handle.metrics().tasks, 0);
}

#[test]
fn a_task_spawned_detached_runs_and_leaves_nothing() {
    let mut event_loop = Script::new().build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let reports = log_reports(&handle);
    let (done, kept) = (note(&log, "done"), Rc::new(()));
    let held = Rc::clone(&kept);
    handle.spawn_detached(async move {
        yield_now().await;
        done();
        drop(held);
    });
    handle.spawn_detached(async { panic!("detached") });
    assert_eq!((handle.metrics().spawned, handle.metrics().tasks), (2, 2));
    run_ready(&mut event_loop);
    assert_eq!(*log.borrow(), ["done"]);
    assert_eq!(*reports.borrow(), ["exception in a task that nobody waits for|detached"]);
    assert_eq!(handle.metrics().tasks, 0);
    event_loop.close();
    let held = Rc::clone(&kept);
    handle.spawn_detached(async move { drop(held) });
    assert_eq!((Rc::strong_count(&kept), handle.metrics().tasks), (1, 0));
}

#[test]
fn an_aborted_task_is_dropped_in_its_turn_and_says_so() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let dropped = Rc::new(Cell::new(false));
    event_loop
        .run_until_complete(async {
            let flag = Rc::clone(&dropped);
            let task = spawn(async move {
                let _drop = OnDrop(|| flag.set(LoopHandle::current().is_ok()));
                pending::<()>().await;
            });
            yield_now().await;
            task.abort();
            assert!(!dropped.get(), "not inside the call");
            assert!(matches!(task.await, Err(JoinError::Aborted)));
            assert!(dropped.get());

            let finished = spawn(async { 5 });
            yield_now().await;
            finished.abort();
            assert_eq!(finished.await.unwrap(), 5, "it was over");
        })
        .unwrap();
    assert_eq!(handle.metrics().tasks, 0);
}

/// It goes on to its next await, no further.
#[test]
fn a_task_that_aborts_itself_ends() {
    let mut event_loop = Script::new().build();
    let log = Log::default();
    let ended = event_loop.run_until_complete(async {
        let (sender, receiver) = oneshot::channel();
        let into = Rc::clone(&log);
        let task = spawn(async move {
            let own: Rc<millrun_loop::JoinHandle<()>> = receiver.await.unwrap();
            own.abort();
            into.borrow_mut().push("after abort".to_owned());
            yield_now().await;
            into.borrow_mut().push("after await".to_owned());
        });
        let task = Rc::new(task);
        let watching = Rc::clone(&task);
        sender.send(task).unwrap();
        for _ in 0..5 {
            yield_now().await;
        }
        watching.is_finished()
    });
    assert!(ended.unwrap());
    assert_eq!(*log.borrow(), ["after abort"]);
}

#[test]
fn a_panic_goes_to_whoever_joins_and_is_not_reported_then() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let reports = log_reports(&handle);
    event_loop
        .run_until_complete(async {
            let error = spawn(async { panic!("early") }).await.unwrap_err();
            assert_eq!(error.to_string(), "the task panicked: early");
            let task = spawn(async {
                yield_now().await;
                panic!("late");
            });
            let other = spawn(async { 7 });
            assert!(
                matches!(task.await, Err::<(), _>(JoinError::Panicked(p)) if p.text() == "late")
            );
            assert_eq!(other.await.unwrap(), 7, "the others go on");
        })
        .unwrap();
    assert!(reports.borrow().is_empty());
}

#[test]
fn a_panic_that_nobody_joins_is_reported() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let reports = log_reports(&handle);
    drop(handle.spawn(async { panic!("detached") }));
    let kept = handle.spawn(async { panic!("kept") });
    event_loop.turn(None).unwrap();
    let message = "exception in a task that nobody waits for";
    assert_eq!(*reports.borrow(), [format!("{message}|detached")]);
    drop(kept);
    assert_eq!(reports.borrow()[1..], [format!("{message}|kept")]);
    assert_eq!(handle.metrics().tasks, 0);
}

#[test]
fn a_future_whose_drop_panics_ends_alone() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let reports = log_reports(&handle);
    let task = handle.spawn(async {
        let _drop = OnDrop(|| panic!("drop"));
        pending::<()>().await;
    });
    event_loop.turn(None).unwrap();
    task.abort();
    event_loop.turn(None).unwrap();
    assert_eq!(*reports.borrow(), ["exception while a task was dropped|drop"]);
    assert!(task.is_finished());
    let joined = event_loop.run_until_complete(task).unwrap();
    assert!(matches!(joined, Err(JoinError::Aborted)));
}

#[test]
fn an_output_whose_drop_panics_is_reported() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let reports = log_reports(&handle);
    drop(handle.spawn(async { OnDrop(|| panic!("output")) }));
    event_loop.turn(None).unwrap();
    assert_eq!(*reports.borrow(), ["exception in a destructor|output"]);
}

/// A wake-up that comes while the task is polled queues it once more.
#[test]
fn waking_itself_many_times_polls_once_more() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    drop(handle.spawn(poll_fn(move |context| {
        count.set(count.get() + 1);
        for _ in 0..3 {
            context.waker().wake_by_ref();
        }
        if count.get() == 4 { Poll::Ready(()) } else { Poll::Pending }
    })));
    run_ready(&mut event_loop);
    assert_eq!((polls.get(), handle.metrics().polls), (4, 4));
}

/// A waker of a task that is over must not wake the one that has its place.
#[test]
fn a_late_wake_up_does_not_reach_the_next_task() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let kept = Rc::new(RefCell::new(None::<Waker>));
    let into = Rc::clone(&kept);
    drop(handle.spawn(poll_fn(move |context| {
        *into.borrow_mut() = Some(context.waker().clone());
        Poll::Ready(())
    })));
    event_loop.turn(None).unwrap();
    let polls = Rc::new(Cell::new(0));
    let count = Rc::clone(&polls);
    drop(handle.spawn(poll_fn(move |_| {
        count.set(count.get() + 1);
        Poll::<()>::Pending
    })));
    event_loop.turn(None).unwrap();
    kept.take().unwrap().wake();
    run_ready(&mut event_loop);
    assert_eq!(polls.get(), 1);
}

#[test]
fn a_join_handle_wakes_who_polled_it_last_and_can_be_awaited_again() {
    let mut event_loop = Script::new().build();
    event_loop
        .run_until_complete(async {
            let mut task = pin!(spawn(sleep(Duration::from_secs(1))));
            let mut noop = Context::from_waker(Waker::noop());
            assert!(task.as_mut().poll(&mut noop).is_pending());
            task.await.unwrap();
        })
        .unwrap();
}

#[test]
fn closed_loops_take_no_task_and_end_those_they_have() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let (log, kept) = (Log::default(), Rc::new(()));
    let (dropped, held) = (Rc::clone(&log), Rc::clone(&kept));
    let inner = handle.clone();
    let task = handle.spawn(async move {
        let _drop = OnDrop(|| {
            // Typed errors in a destructor, and nothing panics.
            assert!(inner.call_soon(|| ()).is_err());
            assert!(inner.call_later(Duration::ZERO, || ()).is_err());
            assert!(LoopHandle::current().is_ok());
            assert!(inner.spawn(async {}).is_finished());
            dropped.borrow_mut().push("dropped".to_owned());
        });
        let _held = held;
        pending::<()>().await;
    });
    let done = handle.spawn(async { 9 });
    event_loop.turn(None).unwrap();
    event_loop.close();
    assert_eq!(*log.borrow(), ["dropped"]);
    assert_eq!(Rc::strong_count(&kept), 1);
    assert_eq!(handle.metrics().reports, 0);
    let mut noop = Context::from_waker(Waker::noop());
    let poll =
        |task: Pin<&mut millrun_loop::JoinHandle<()>>, noop: &mut Context<'_>| task.poll(noop);
    assert!(matches!(poll(pin!(task), &mut noop), Poll::Ready(Err(JoinError::LoopClosed))));
    let late = handle.spawn(async {});
    assert!(matches!(poll(pin!(late), &mut noop), Poll::Ready(Err(JoinError::LoopClosed))));
    // What was over before keeps its output.
    assert!(matches!(pin!(done).poll(&mut noop), Poll::Ready(Ok(9))));
    assert_eq!(handle.metrics().tasks, 0);
}

#[test]
fn spawn_outside_of_a_loop_says_what_is_missing() {
    let panic = catch(|| drop(spawn(async {}))).unwrap_err();
    assert_eq!(panic.text(), "spawn: no loop is running on this thread");
}

/// Combinators bring wakers of their own.
#[test]
fn a_task_can_await_many_tasks() {
    let mut event_loop = Script::new().build();
    let sum = event_loop.run_until_complete(async {
        let tasks: Vec<_> = (0..100_u64)
            .map(|n| {
                spawn(async move {
                    sleep(Duration::from_millis(100 - n)).await;
                    n
                })
            })
            .collect();
        let mut sum = 0;
        for task in tasks {
            sum += task.await.unwrap();
        }
        sum
    });
    assert_eq!(sum.unwrap(), 4950);
    assert_eq!(event_loop.handle().now().as_nanos(), 100_000_000);
}

/// A driver's report of who still waits.
#[test]
fn the_tasks_that_live_are_listed_with_where_they_were_spawned() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let line = line!() + 1;
    let task = handle.spawn(pending::<()>());
    let done = handle.spawn(async {});
    run_ready(&mut event_loop);
    let tasks = handle.tasks();
    assert_eq!(tasks.iter().map(|task| task.is_finished).collect::<Vec<_>>(), [false, true]);
    assert!(tasks[0].name.contains("Pending"), "{tasks:?}");
    assert_eq!(tasks[0].spawned_at.line(), line);
    assert!(tasks[0].spawned_at.file().ends_with("tasks.rs"));
    task.abort();
    run_ready(&mut event_loop);
    drop((task, done));
    assert_eq!(handle.tasks(), []);
}
