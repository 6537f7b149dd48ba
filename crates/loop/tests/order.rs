//! What runs when: section 2 of docs/behaviours.md.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use common::{Log, Script, log_reports, note};
use millrun_loop::{EventLoop, LoopClosed, LoopHandle, NoRunningLoop, RunError, Watch, yield_now};
use millrun_selector::{Interest, Readiness};
use millrun_sim::Sim;

struct Notes(Log, &'static str);

impl Watch for Notes {
    fn on_ready(self: Rc<Self>, readiness: Readiness) {
        self.0.borrow_mut().push(format!("{} {readiness:?}", self.1));
    }
}

#[test]
fn l_001_callbacks_run_in_the_order_queued_each_once() {
    let mut event_loop = Script::new().build();
    let (handle, log) = (event_loop.handle(), Log::default());
    for what in ["a", "b", "c"] {
        handle.call_soon(note(&log, what)).unwrap();
    }
    handle.call_soon(move || LoopHandle::current().unwrap().stop()).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(*log.borrow(), ["a", "b", "c"]);
    assert!(!event_loop.has_ready());
}

/// A round is what asyncio calls an iteration (D-16).
#[test]
fn l_002_what_a_callback_queues_runs_in_the_next_round() {
    let mut event_loop = Script::new().build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let (inner, later) = (handle.clone(), Rc::clone(&log));
    handle
        .call_soon(move || {
            later.borrow_mut().push("a".into());
            inner.call_soon(note(&later, "c")).unwrap();
        })
        .unwrap();
    handle.call_soon(note(&log, "b")).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["a", "b", "c"]);
    assert_eq!(handle.metrics().rounds, 2);
}

/// D-16: more rounds run before the next look at the selector, but not without end.
#[test]
fn l_002_rounds_of_one_turn_are_limited_in_number_and_in_time() {
    fn again(handle: &LoopHandle, script: &Rc<Script>, takes: Duration, ran: &Rc<Cell<usize>>) {
        let (h, s, r) = (handle.clone(), Rc::clone(script), Rc::clone(ran));
        let callback = move || {
            r.set(r.get() + 1);
            s.advance(takes);
            again(&h, &s, takes, &r);
        };
        handle.call_soon(callback).unwrap();
    }
    let per_turn = |takes| {
        let script = Script::new();
        let mut event_loop = script.build();
        let ran = Rc::default();
        again(&event_loop.handle(), &script, takes, &ran);
        event_loop.turn(None).unwrap();
        ran.get()
    };
    assert_eq!(per_turn(Duration::ZERO), 256);
    // It looks at the clock after every eighth callback; the first look is where the time begins.
    assert_eq!(per_turn(Duration::from_micros(100)), 24);
    assert_eq!(per_turn(Duration::from_millis(1)), 16);

    // The first round always runs whole, and is alone if it is too long.
    let mut event_loop = Script::new().build();
    let (handle, log) = (event_loop.handle(), Log::default());
    for _ in 0..1000 {
        handle.call_soon(note(&log, "x")).unwrap();
    }
    let inner = handle.clone();
    let late = Rc::clone(&log);
    handle.call_soon(move || drop(inner.call_soon(note(&late, "late")).unwrap())).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(log.borrow().len(), 1000);
    assert!(event_loop.has_ready());
}

#[test]
fn l_003_queued_callbacks_then_io_then_timers() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let (socket, _peer) = Sim::new(0).pair();
    let watch = Rc::new(Notes(Rc::clone(&log), "io"));
    let key = handle.watch(&*socket, Interest::READ, watch).unwrap();
    handle.call_later(Duration::ZERO, note(&log, "timer")).unwrap();
    script.report(&[(key, Readiness::READABLE | Readiness::WRITABLE)]);
    handle.call_soon(note(&log, "queued")).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["queued", "io READABLE", "timer"]);

    // Without a timer, too; and what a callback queues is behind all of them.
    log.borrow_mut().clear();
    script.report(&[(key, Readiness::READABLE)]);
    let (inner, more) = (handle.clone(), note(&log, "more"));
    handle.call_soon(move || drop(inner.call_soon(more).unwrap())).unwrap();
    handle.call_soon(note(&log, "queued")).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["queued", "io READABLE", "more"]);
}

#[test]
fn l_004_l_005_l_006_how_long_the_selector_may_wait() {
    const DAY: Duration = Duration::from_secs(86400);
    let script = Script::new();
    let mut event_loop = script.build();
    let handle = event_loop.handle();
    script.report(&[]);
    event_loop.turn(None).unwrap();
    assert_eq!(script.take_timeouts(), [None], "L-006: nothing to do");

    let late = handle.call_later(2 * DAY, || ()).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(script.take_timeouts(), [Some(DAY)], "L-005: a day at most");
    late.cancel();

    handle.call_later(Duration::from_secs(3), || ()).unwrap();
    script.report(&[]);
    event_loop.turn(None).unwrap();
    assert_eq!(script.take_timeouts(), [Some(Duration::from_secs(3))], "L-005");
    event_loop.turn(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(script.take_timeouts(), [Some(Duration::from_secs(1))], "the driver's limit");
    script.advance(Duration::from_secs(9));
    event_loop.turn(None).unwrap();
    assert_eq!(script.take_timeouts(), [Some(Duration::ZERO)], "L-005: overdue");

    handle.call_soon(|| ()).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(script.take_timeouts(), [Some(Duration::ZERO)], "L-004: something is queued");
    handle.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(script.take_timeouts(), [Some(Duration::ZERO)], "L-004: stopping");
}

/// L-009 is the same seen from inside: the entry of a cancelled handle does nothing.
/// A selector of somebody's own may let EINTR through: a signal is no end. Any other error is.
#[test]
fn a_select_that_a_signal_ended_is_no_failure() {
    let script = Script::new();
    let mut event_loop = script.build();
    let log = Log::default();
    let handle = event_loop.handle();
    handle.call_later(Duration::from_secs(1), note(&log, "timer")).unwrap();
    script.fail_select(ErrorKind::Interrupted);
    assert!(!event_loop.turn(None).unwrap());
    script.fail_select(ErrorKind::OutOfMemory);
    let error = event_loop.turn(None).unwrap_err();
    assert_eq!(error.to_string(), "the selector failed: out of memory");
    assert!(event_loop.turn(None).unwrap() && *log.borrow() == ["timer"]);
}

#[test]
fn l_007_l_008_a_cancelled_callback_is_dropped_at_once_and_does_not_run() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let captured = Rc::new(());
    let held = Rc::clone(&captured);
    let callback = handle.call_soon(move || panic!("{held:?} ran")).unwrap();
    assert!(!callback.is_cancelled());
    assert_eq!(Rc::strong_count(&captured), 2);
    callback.cancel();
    callback.cancel();
    assert!(callback.is_cancelled());
    assert_eq!(Rc::strong_count(&captured), 1);
    event_loop.turn(None).unwrap();
    assert_eq!(handle.metrics().reports, 0);

    let done = handle.call_soon(|| ()).unwrap();
    event_loop.turn(None).unwrap();
    assert!(!done.is_cancelled());
    done.cancel();
    assert!(done.is_cancelled());
}

#[test]
fn a_dropped_handle_does_not_cancel_and_debug_names_the_callback() {
    let mut event_loop = Script::new().build();
    let log = Log::default();
    let callback = event_loop.handle().call_soon(note(&log, "ran")).unwrap();
    let text = format!("{callback:?}");
    assert!(text.contains("common::note") && text.contains("tests/order.rs:"), "{text}");
    drop(callback);
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["ran"]);
}

#[test]
fn l_010_a_failing_callback_is_reported_and_the_next_one_runs() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let (reports, log) = (log_reports(&handle), Log::default());
    handle.call_soon(|| panic!("first")).unwrap();
    handle.call_soon(note(&log, "second")).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["second"]);
    let report = reports.borrow()[0].clone();
    assert!(report.starts_with("exception in callback order::l_010"), "{report}");
    assert!(report.ends_with("|first"), "{report}");
}

/// L-011: nothing is fatal to a loop in Rust but the future that it runs for.
#[test]
fn l_011_a_panic_of_the_root_future_leaves_the_run_and_the_loop_runs_again() {
    let mut event_loop = Script::new().build();
    let log = Log::default();
    event_loop.handle().call_soon(note(&log, "same round")).unwrap();
    let panic =
        millrun_loop::catch(|| event_loop.run_until_complete(async { panic!("root") }).unwrap());
    assert_eq!(panic.unwrap_err().text(), "root");
    assert_eq!(*log.borrow(), ["same round"]);
    assert!(!event_loop.handle().is_running());
    assert_eq!(event_loop.handle().metrics().reports, 0);
    assert_eq!(event_loop.run_until_complete(async { 1 }).unwrap(), 1);
}

#[test]
fn l_012_a_closed_loop_refuses_with_a_typed_error() {
    let mut event_loop = Script::new().build();
    let (handle, remote) = (event_loop.handle(), event_loop.remote());
    event_loop.close();
    assert!(handle.is_closed() && remote.is_closed());
    assert_eq!(handle.call_soon(|| ()).unwrap_err(), LoopClosed);
    assert_eq!(handle.call_later(Duration::ZERO, || ()).unwrap_err(), LoopClosed);
    assert_eq!(handle.call_at(handle.now(), || ()).unwrap_err(), LoopClosed);
    assert_eq!(remote.call_soon_threadsafe(|| ()).unwrap_err(), LoopClosed);
    let on_thread = std::thread::spawn(move || remote.call_soon_threadsafe(|| ()));
    assert_eq!(on_thread.join().unwrap().unwrap_err(), LoopClosed);
    assert!(matches!(event_loop.run_forever(), Err(RunError::Closed)));
    assert!(matches!(event_loop.turn(None), Err(RunError::Closed)));
    let ran = event_loop.run_until_complete(async { panic!("polled") });
    assert!(matches!(ran, Err::<(), _>(RunError::Closed)));

    let (socket, _peer) = Sim::new(0).pair();
    let watch = Rc::new(Notes(Log::default(), "x"));
    let error = handle.watch(&*socket, Interest::READ, watch).unwrap_err();
    assert!(error.get_ref().unwrap().is::<LoopClosed>());
    assert!(handle.add_reader(&std::io::stdin(), || ()).is_err());
    assert!(handle.run_in_executor(|| ()).is_finished());
    assert_eq!(LoopClosed.to_string(), "the loop is closed");
}

#[test]
fn l_015_is_running_only_between_run_and_stop() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    assert!(!handle.is_running());
    assert_eq!(LoopHandle::current().unwrap_err(), NoRunningLoop);
    let inner = handle.clone();
    handle
        .call_soon(move || {
            assert!(inner.is_running());
            assert_eq!(LoopHandle::current().unwrap(), inner);
            inner.stop();
        })
        .unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(handle.metrics().reports, 0);
    assert!(!handle.is_running() && LoopHandle::current().is_err());
}

#[test]
fn l_016_stop_lets_the_round_finish_and_no_more() {
    let mut event_loop = Script::new().build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let (inner, later) = (handle.clone(), Rc::clone(&log));
    handle
        .call_soon(move || {
            inner.stop();
            inner.call_soon(note(&later, "next round")).unwrap();
        })
        .unwrap();
    handle.call_soon(note(&log, "same round")).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(*log.borrow(), ["same round"]);
}

#[test]
fn l_017_l_018_stop_before_a_run_gives_it_one_turn_and_is_forgotten_then() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    handle.stop();
    handle.call_soon(note(&log, "a")).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(*log.borrow(), ["a"]);
    assert_eq!(script.take_timeouts(), [Some(Duration::ZERO)]);
    // Not cut short: this takes two turns.
    let inner = handle.clone();
    handle.call_later(Duration::from_secs(1), move || inner.stop()).unwrap();
    event_loop.run_forever().unwrap();
    assert_eq!(script.now().as_nanos(), 1_000_000_000);
}

#[test]
fn l_019_an_event_of_the_last_round_is_delivered_once() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let (socket, _peer) = Sim::new(0).pair();
    let watch = Rc::new(Notes(Rc::clone(&log), "io"));
    let key = handle.watch(&*socket, Interest::READ, watch).unwrap();
    script.report(&[(key, Readiness::READABLE)]);
    handle.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(*log.borrow(), ["io READABLE"]);
    handle.stop();
    event_loop.run_forever().unwrap();
    assert_eq!(*log.borrow(), ["io READABLE"]);
}

#[test]
fn l_020_run_until_complete_gives_the_output_of_a_borrowing_future() {
    let mut event_loop = Script::new().build();
    let mut local = 1;
    let output = event_loop.run_until_complete(async {
        yield_now().await;
        local += 1;
        Err::<(), _>("its error")
    });
    assert_eq!(output.unwrap(), Err("its error"));
    assert_eq!(local, 2);
}

/// The future is dropped inside the run: its destructors find the loop.
#[test]
fn l_021_stopped_early_is_an_error() {
    struct Probe(Rc<Cell<bool>>);
    impl Drop for Probe {
        fn drop(&mut self) {
            self.0.set(LoopHandle::current().is_ok());
        }
    }
    let mut event_loop = Script::new().build();
    let found = Rc::new(Cell::new(false));
    let probe = Probe(Rc::clone(&found));
    let error = event_loop
        .run_until_complete(async move {
            let _probe = probe;
            LoopHandle::current().unwrap().stop();
            pending::<()>().await;
        })
        .unwrap_err();
    assert_eq!(error.to_string(), "the loop was stopped before the future completed");
    assert!(found.get());
}

#[test]
fn l_022_a_second_loop_on_the_thread_does_not_run_and_the_first_goes_on() {
    let mut outer = Script::new().build();
    let result = outer.run_until_complete(async {
        let mut inner = Script::new().build();
        assert!(matches!(inner.run_forever(), Err(RunError::AlreadyRunning)));
        assert!(matches!(inner.turn(None), Err(RunError::AlreadyRunning)));
        let never = inner.run_until_complete(async { panic!("polled") });
        assert!(matches!(never, Err::<(), _>(RunError::AlreadyRunning)));
        drop(inner);
        yield_now().await;
        LoopHandle::current().unwrap()
    });
    assert_eq!(result.unwrap(), outer.handle());
}

/// A waker of an earlier run, or of another loop's, polls nothing.
#[test]
fn l_023_a_stale_wake_of_the_root_future_polls_nothing() {
    let mut event_loop = Script::new().build();
    let waker = event_loop
        .run_until_complete(std::future::poll_fn(|context| {
            std::task::Poll::Ready(context.waker().clone())
        }))
        .unwrap();
    let polls = Cell::new(0);
    waker.wake_by_ref();
    let output = event_loop.run_until_complete(async {
        polls.set(polls.get() + 1);
        waker.wake_by_ref();
        let mut yields = 0;
        std::future::poll_fn(|context| {
            polls.set(polls.get() + 1);
            yields += 1;
            if yields == 3 {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    });
    output.unwrap();
    assert_eq!(polls.get(), 4);
}

#[test]
fn l_029_a_task_is_first_polled_in_the_next_round() {
    let mut event_loop = Script::new().build();
    let log = Log::default();
    event_loop
        .run_until_complete(async {
            let handle = LoopHandle::current().unwrap();
            handle.call_soon(note(&log, "queued before")).unwrap();
            let into = Rc::clone(&log);
            let task = handle.spawn(async move { into.borrow_mut().push("task".into()) });
            handle.call_soon(note(&log, "queued after")).unwrap();
            log.borrow_mut().push("spawned".into());
            task.await.unwrap();
        })
        .unwrap();
    assert_eq!(*log.borrow(), ["spawned", "queued before", "task", "queued after"]);
}

#[test]
fn l_030_yielding_and_sleeping_for_zero_give_up_exactly_one_round() {
    let mut event_loop = Script::new().build();
    let handle = event_loop.handle();
    let rounds = event_loop.run_until_complete(async {
        let mut rounds = vec![handle.metrics().rounds];
        yield_now().await;
        rounds.push(handle.metrics().rounds);
        millrun_loop::sleep(Duration::ZERO).await;
        rounds.push(handle.metrics().rounds);
        millrun_loop::sleep_until(handle.now()).await;
        rounds.push(handle.metrics().rounds);
        rounds
    });
    assert_eq!(rounds.unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_selector_that_fails_ends_the_run_and_is_told() {
    let mut event_loop = Script::new().build();
    let error = event_loop.run_until_complete(pending::<()>()).unwrap_err();
    assert!(error.to_string().contains("the script is over"), "{error}");
    assert_eq!(event_loop.run_until_complete(async { 3 }).unwrap(), 3);
}

#[test]
fn a_loop_without_an_operating_system_names_the_part_that_is_missing() {
    let built = EventLoop::builder().build();
    if cfg!(feature = "os") {
        assert!(built.is_ok());
    } else {
        assert!(built.unwrap_err().to_string().contains("needs a selector"));
    }
}
