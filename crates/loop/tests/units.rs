//! Work for the end of a unit: what gathering and flow control hang on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{Log, Script, log_reports, note};
use millrun_loop::{EventLoop, LoopHandle, UnitEnd, catch, yield_now};

/// Logs, and leaves itself again a number of times.
struct End {
    handle: LoopHandle,
    log: Log,
    what: &'static str,
    again: Cell<usize>,
}

impl UnitEnd for End {
    fn unit_end(self: Rc<Self>) {
        assert!(self.handle.in_unit());
        self.log.borrow_mut().push(self.what.to_owned());
        if let Some(again) = self.again.get().checked_sub(1) {
            self.again.set(again);
            self.handle.clone().at_unit_end(self);
        }
    }
}

fn bench() -> (EventLoop, LoopHandle, Log) {
    let event_loop = Script::new().build();
    let handle = event_loop.handle();
    (event_loop, handle, Log::default())
}

fn end(handle: &LoopHandle, log: &Log, what: &'static str, again: usize) -> Rc<End> {
    let (handle, log) = (handle.clone(), Rc::clone(log));
    Rc::new(End { handle, log, what, again: Cell::new(again) })
}

#[test]
fn work_runs_when_the_callback_is_over_and_before_the_next_one() {
    let (mut event_loop, handle, log) = bench();
    let (inner, into) = (handle.clone(), Rc::clone(&log));
    handle
        .call_soon(move || {
            inner.at_unit_end(end(&inner, &into, "end 1", 0));
            inner.at_unit_end(end(&inner, &into, "end 2", 0));
            into.borrow_mut().push("callback".into());
        })
        .unwrap();
    handle.call_soon(note(&log, "next")).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["callback", "end 1", "end 2", "next"]);
    assert!(!handle.in_unit());
}

#[test]
fn work_that_leaves_work_is_run_until_there_is_none() {
    let (mut event_loop, handle, log) = bench();
    let (inner, into) = (handle.clone(), Rc::clone(&log));
    handle
        .call_soon(move || {
            inner.at_unit_end(end(&inner, &into, "a", 2));
            inner.at_unit_end(end(&inner, &into, "b", 0));
        })
        .unwrap();
    handle.call_soon(note(&log, "next")).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["a", "b", "a", "a", "next"]);
}

#[test]
fn the_outermost_unit_drains() {
    let (_event_loop, handle, log) = bench();
    handle.unit(|| {
        let inner = handle.unit(|| {
            handle.at_unit_end(end(&handle, &log, "end", 0));
            5
        });
        assert_eq!(inner, 5);
        log.borrow_mut().push("inner over".into());
    });
    assert_eq!(*log.borrow(), ["inner over", "end"]);
}

/// A task's poll is a unit; the future of `run_until_complete`, too.
#[test]
fn each_poll_is_a_unit() {
    let (mut event_loop, handle, log) = bench();
    let root = async {
        handle.at_unit_end(end(&handle, &log, "root", 0));
        let (inner, into) = (handle.clone(), Rc::clone(&log));
        let task = handle.spawn(async move {
            inner.at_unit_end(end(&inner, &into, "task", 0));
            into.borrow_mut().push("polled".into());
            yield_now().await;
            into.borrow_mut().push("polled again".into());
        });
        task.await.unwrap();
    };
    event_loop.run_until_complete(root).unwrap();
    assert_eq!(*log.borrow(), ["root", "polled", "task", "polled again"]);
}

#[test]
fn outside_of_a_unit_work_is_queued() {
    let (mut event_loop, handle, log) = bench();
    handle.at_unit_end(end(&handle, &log, "end", 0));
    assert!(log.borrow().is_empty());
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["end"]);
}

#[test]
fn a_panic_in_the_work_is_reported_and_one_in_the_unit_does_not_lose_it() {
    struct Panics;
    impl UnitEnd for Panics {
        fn unit_end(self: Rc<Self>) {
            panic!("end");
        }
    }
    let (mut event_loop, handle, log) = bench();
    let reports = log_reports(&handle);
    let (inner, into) = (handle.clone(), Rc::clone(&log));
    handle
        .call_soon(move || {
            inner.at_unit_end(Rc::new(Panics));
            inner.at_unit_end(end(&inner, &into, "after", 0));
            panic!("callback");
        })
        .unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["after"]);
    assert_eq!(reports.borrow().len(), 2);
    assert!(reports.borrow()[0].ends_with("|callback"));
    assert_eq!(reports.borrow()[1], "exception at the end of a unit|end");

    let panic = catch(|| {
        handle.unit(|| {
            handle.at_unit_end(end(&handle, &log, "unwound", 0));
            panic!("unit");
        })
    });
    assert_eq!(panic.unwrap_err().text(), "unit");
    assert_eq!(*log.borrow(), ["after", "unwound"]);
    assert!(!handle.in_unit());
}

#[test]
fn a_closed_loop_drops_the_work() {
    let (mut event_loop, handle, log) = bench();
    event_loop.close();
    let work = end(&handle, &log, "end", 0);
    handle.at_unit_end(Rc::clone(&work) as Rc<dyn UnitEnd>);
    assert_eq!(Rc::strong_count(&work), 1);
    assert!(log.borrow().is_empty());
}

#[test]
fn metrics_count_and_measure_what_ran() {
    let script = Script::new();
    let mut event_loop = script.builder().measure(true).build().unwrap();
    let handle = event_loop.handle();
    let slow = Rc::clone(&script);
    handle.call_soon(move || slow.advance(Duration::from_millis(7))).unwrap();
    handle.call_later(Duration::from_secs(1), || ()).unwrap();
    event_loop.turn(None).unwrap();
    event_loop.turn(None).unwrap();
    let metrics = handle.metrics();
    assert_eq!((metrics.turns, metrics.waits, metrics.rounds), (2, 1, 2));
    assert_eq!((metrics.callbacks, metrics.timers_fired, metrics.timers), (2, 1, 0));
    assert_eq!(metrics.longest_callback, Duration::from_millis(7));
    assert_eq!(metrics.select_time, Duration::from_millis(993));
}

/// It looks again until the time is over, then waits; and a clock that stands still ends it at once.
#[test]
fn spinning_looks_before_it_waits() {
    #[derive(Debug)]
    struct Ticking(Cell<u64>);
    impl millrun_selector::Clock for Ticking {
        fn now(&self) -> millrun_selector::Time {
            self.0.set(self.0.get() + 1000);
            millrun_selector::Time::from_nanos(self.0.get())
        }
    }
    let script = Script::new();
    let clock = Rc::new(Ticking(Cell::new(0)));
    let mut event_loop = script.builder().clock(clock).build().unwrap();
    event_loop.handle().set_spin(Duration::from_micros(3));
    event_loop.turn(Some(Duration::from_secs(1))).unwrap();
    let zero = Some(Duration::ZERO);
    assert_eq!(script.take_timeouts(), [zero, zero, zero, Some(Duration::from_nanos(999_997_000))]);

    let script = Script::new();
    let mut event_loop = script.build();
    event_loop.handle().set_spin(Duration::from_secs(9));
    event_loop.turn(Some(Duration::from_secs(1))).unwrap();
    assert_eq!(script.take_timeouts(), [zero, Some(Duration::from_secs(1))]);
}

/// A unit's end that can't even say what it is.
struct Nameless;

impl UnitEnd for Nameless {
    fn unit_end(self: Rc<Self>) {
        panic!("work")
    }

    fn name(&self) -> &'static str {
        panic!("no name")
    }
}

/// Its name is asked for the warning of a slow callback at most: the work runs, and its own panic is what is told.
#[test]
fn a_name_that_panics_is_no_failure_of_the_work() {
    for measured in [false, true] {
        let script = Script::new();
        let mut event_loop = script.builder().measure(measured).build().unwrap();
        let handle = event_loop.handle();
        let (log, reports) = (Log::default(), log_reports(&handle));
        handle.at_unit_end(Rc::new(Nameless));
        let inner = handle.clone();
        handle.call_soon(move || inner.at_unit_end(Rc::new(Nameless))).unwrap();
        handle.call_soon(note(&log, "next")).unwrap();
        event_loop.turn(None).unwrap();
        assert_eq!(*log.borrow(), ["next"]);
        assert!(!handle.in_unit());
        let told = ["exception in a callback|work", "exception at the end of a unit|work"];
        assert_eq!(*reports.borrow(), told);
    }
}
