//! A failure that nobody waits for reaches the exception handler, and the loop goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod recorder;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{ErrorContext, EventLoop, Failure, LoopHandle, Watch, yield_now};
use millrun_selector::{Interest, Key, Readiness, Socket};
use millrun_sim::Sim;
use recorder::{record, record_broken};

fn sim_loop() -> EventLoop {
    sim_loop_of(&Sim::new(1))
}

fn sim_loop_of(sim: &Sim) -> EventLoop {
    EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(millrun_loop::Inline::new()))
        .build()
        .unwrap()
}

/// Runs what is queued, and what that queues.
fn settle(event_loop: &mut EventLoop) {
    while event_loop.turn(Some(Duration::ZERO)).unwrap() {}
}

type Seen = Rc<RefCell<Vec<String>>>;

/// Sets a handler that notes message and failure.
fn note(handle: &LoopHandle) -> Seen {
    let seen = Seen::default();
    let sink = Rc::clone(&seen);
    handle.set_exception_handler(Some(Rc::new(move |_: &LoopHandle, context: &ErrorContext| {
        let failure = context.error.as_ref().map(Failure::to_string);
        sink.borrow_mut().push(format!("{}, {}", context.message, failure.unwrap_or_default()));
    })));
    seen
}

/// Its name is asked when there is a report to make, of a watch that is still there.
#[test]
fn a_panic_of_a_watch_is_reported_with_its_name() {
    struct Watcher {
        handle: LoopHandle,
        key: Cell<Option<Key>>,
        socket: Box<dyn Socket>,
        name: Option<&'static str>,
        unwatches: bool,
    }
    impl Watch for Watcher {
        fn on_ready(self: Rc<Self>, _: Readiness) {
            if self.unwatches {
                self.handle.unwatch(self.key.get().unwrap(), &self.socket).unwrap();
            }
            panic!("no luck");
        }
        fn name(&self) -> &'static str {
            self.name.unwrap()
        }
    }
    let told_of = |name, unwatches| {
        let sim = Sim::new(1);
        let mut event_loop = sim_loop_of(&sim);
        let handle = event_loop.handle();
        let (socket, peer) = sim.pair();
        peer.try_write(b"x").unwrap();
        let key = Cell::new(None);
        let watcher = Rc::new(Watcher { handle, key, socket, name, unwatches });
        let watching = Rc::clone(&watcher);
        let key = watcher.handle.watch(&watcher.socket, Interest::READ, watching).unwrap();
        watcher.key.set(Some(key));
        record(|| event_loop.turn(Some(Duration::ZERO)).unwrap()).1
    };
    let told = |name| [format!("ERROR exception in a watch\nwatch: {name}\npanic: no luck")];
    assert_eq!(told_of(Some("echo"), false), told("echo"));
    assert_eq!(told_of(Some("echo"), true), told("a watch that is over"));
    assert_eq!(told_of(None, false), told("a watch that has no name"));
}

#[test]
fn l_100_a_panic_of_a_callback_is_logged_with_its_place_and_the_loop_goes_on() {
    let mut event_loop = sim_loop();
    let handle = event_loop.handle();
    let ran = Rc::new(RefCell::new(0));
    let count = Rc::clone(&ran);
    handle.call_soon(|| panic!("no luck")).unwrap();
    handle.call_soon(move || *count.borrow_mut() += 1).unwrap();
    let ((), told) = record(|| settle(&mut event_loop));
    assert_eq!(*ran.borrow(), 1);
    assert_eq!(told.len(), 1, "{told:?}");
    let lines: Vec<_> = told[0].lines().collect();
    assert!(lines[0].starts_with("ERROR exception in callback "), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("exception_handler.rs")), "{lines:?}");
    assert_eq!(lines.last(), Some(&"panic: no luck"));
}

#[test]
fn l_100_the_default_handler_logs_message_sorted_details_and_error() {
    let handle = sim_loop().handle();
    let ((), told) = record(|| {
        let context = ErrorContext::new("a read failed")
            .detail("transport", "T")
            .detail("protocol", "P")
            .error(std::io::Error::other("no route"));
        handle.report(context);
        handle.report(ErrorContext::new(""));
    });
    assert_eq!(
        told,
        [
            "ERROR a read failed\nprotocol: P\ntransport: T\nerror: no route",
            "ERROR unhandled exception in event loop",
        ]
    );
}

#[test]
fn l_101_a_custom_handler_gets_loop_and_context_until_none_restores_the_default() {
    let mut event_loop = sim_loop();
    let handle = event_loop.handle();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    let of = handle.clone();
    handle.set_exception_handler(Some(Rc::new(move |event_loop, context| {
        assert!(*event_loop == of, "another loop's handle");
        sink.borrow_mut().push((context.message.to_string(), context.details.clone()));
    })));
    let ((), told) = record(|| {
        handle.report(ErrorContext::new("mine").detail("peer", "P"));
        handle.set_exception_handler(None);
        handle.report(ErrorContext::new("default"));
    });
    assert_eq!(*seen.borrow(), [("mine".to_owned(), vec![("peer", "P".to_owned())])]);
    assert_eq!(told, ["ERROR default"]);
    event_loop.close();
}

#[test]
fn l_102_l_103_handlers_that_fail_hurt_nobody() {
    let mut event_loop = sim_loop();
    let handle = event_loop.handle();
    handle
        .set_exception_handler(Some(Rc::new(|_: &LoopHandle, _: &ErrorContext| panic!("broken"))));
    let reporter = handle.clone();
    handle.call_soon(move || reporter.report(ErrorContext::new("original"))).unwrap();
    let ((), told) = record(|| settle(&mut event_loop));
    let broken = "ERROR unhandled error in exception handler\ncontext: original\npanic: broken";
    assert_eq!(told, [broken]);
    assert_eq!(event_loop.run_until_complete(async { 5 }).unwrap(), 5);
}

#[derive(Debug)]
struct PanicsInDisplay;

impl std::fmt::Display for PanicsInDisplay {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic!("no text")
    }
}

impl std::error::Error for PanicsInDisplay {}

#[test]
fn l_103_a_default_handler_that_fails_is_logged_and_swallowed() {
    let handle = sim_loop().handle();
    let ((), told) =
        record(|| handle.report(ErrorContext::new("a read failed").error(PanicsInDisplay)));
    let text =
        "ERROR exception in default exception handler: no text; while handling: a read failed";
    assert_eq!(told, [text]);
}

/// A subscriber that panics once, then always (it goes to stderr): the report still returns.
#[test]
fn l_103_a_broken_subscriber_is_survived() {
    let handle = sim_loop().handle();
    let report = || handle.report(ErrorContext::new("a read failed"));
    let ((), once) = record_broken(1, report);
    let text = "ERROR exception in default exception handler: the subscriber is broken; \
                while handling: a read failed";
    assert_eq!(once, [text]);
    let ((), always) = record_broken(u32::MAX, report);
    assert_eq!(always, [""; 0]);
}

struct BadDrop;

impl Drop for BadDrop {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_handler_whose_drop_panics_hurts_nobody() {
    let event_loop = sim_loop();
    let handle = event_loop.handle();
    let bad = BadDrop;
    handle.set_exception_handler(Some(Rc::new(
        move |event_loop: &LoopHandle, _: &ErrorContext| {
            let _keeps = &bad;
            event_loop.set_exception_handler(None); // this one is dropped when it returns
        },
    )));
    let ((), told) = record(|| {
        handle.report(ErrorContext::new("one"));
        handle.report(ErrorContext::new("two"));
    });
    assert_eq!(told, ["ERROR two"]);

    let bad = BadDrop;
    handle.set_exception_handler(Some(Rc::new(move |_: &LoopHandle, _: &ErrorContext| {
        let _keeps = &bad;
    })));
    let ((), told) = record(|| handle.set_exception_handler(None));
    assert_eq!(told, ["ERROR dropping an exception handler failed\npanic: dropped"]);
}

#[test]
fn a_handler_may_use_the_loop_and_even_set_another_handler() {
    let mut event_loop = sim_loop();
    let handle = event_loop.handle();
    let seen = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&seen);
    handle.set_exception_handler(Some(Rc::new(move |event_loop, _| {
        let slot = Rc::clone(&slot);
        event_loop.report(ErrorContext::new("nested"));
        *slot.borrow_mut() = Some(note(event_loop));
        event_loop.call_soon(|| panic!("second")).unwrap();
    })));
    handle.call_soon(|| panic!("first")).unwrap();
    let ((), told) = record(|| settle(&mut event_loop));
    assert_eq!(told, ["ERROR nested"], "what a handler reports goes to the default one");
    let seen = seen.borrow().clone().unwrap();
    assert_eq!(seen.borrow().len(), 1);
    assert!(seen.borrow()[0].ends_with("panic: second"), "{seen:?}");
}

#[test]
fn a_task_that_panics_unobserved_is_reported_and_others_run_on() {
    let mut event_loop = sim_loop();
    let handle = event_loop.handle();
    let seen = note(&handle);
    drop(handle.spawn(async { panic!("in a task") }));
    let other = handle.spawn(async {
        yield_now().await;
        7
    });
    assert_eq!(event_loop.run_until_complete(other).unwrap().unwrap(), 7);
    assert_eq!(seen.borrow().len(), 1, "{seen:?}");
    assert!(seen.borrow()[0].ends_with("panic: in a task"), "{seen:?}");
}

/// A handler that holds a handle of its loop is a circle: the close opens it.
#[test]
fn a_closed_loop_drops_its_handler_and_still_reports() {
    let mut event_loop = sim_loop();
    let handle = event_loop.handle();
    let kept = Rc::new(());
    let (circle, inner) = (handle.clone(), Rc::clone(&kept));
    handle.set_exception_handler(Some(Rc::new(move |_: &LoopHandle, _: &ErrorContext| {
        let _keeps = (&circle, &inner);
    })));
    assert_eq!(Rc::strong_count(&kept), 2);
    event_loop.close();
    assert_eq!(Rc::strong_count(&kept), 1);
    let ((), told) = record(|| handle.report(ErrorContext::new("late")));
    assert_eq!(told, ["ERROR late"]);
}

/// A handler may hold a handle of its loop; on a closed loop nobody would break that circle.
#[test]
fn l_101_a_closed_loop_keeps_no_handler() {
    let mut event_loop = sim_loop();
    let (handle, kept) = (event_loop.handle(), Rc::new(()));
    event_loop.close();
    let held = (handle.clone(), Rc::clone(&kept));
    handle.set_exception_handler(Some(Rc::new(move |_, _| panic!("called with {held:?}"))));
    assert_eq!(Rc::strong_count(&kept), 1);
}
