//! Real signals, sent to this process, become callbacks of the loop; what was found is restored.
#![cfg(all(feature = "os", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::fs;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use millrun_loop::{
    ErrorContext, EventLoop, InvalidSignal, LoopClosed, LoopHandle, Signal, SignalTaken, oneshot,
    timeout,
};
use rustix::process::{getpid, kill_process};
use static_assertions::assert_not_impl_any;

// L-112: handlers are set through a handle, and a handle stays on its loop's thread.
assert_not_impl_any!(LoopHandle: Send, Sync);

/// Longer than anything here takes; only a bug waits for it.
const LONG: Duration = Duration::from_secs(10);

/// Dispositions and descriptors belong to the process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// To this process; some thread of it has handled it soon after.
fn send(signal: Signal) {
    kill_process(getpid(), rustix::process::Signal::from_named_raw(signal.number()).unwrap())
        .unwrap();
}

/// A set of signals as the kernel tells it, one bit each.
fn mask(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(mask.trim(), 16).unwrap()
}

/// The signals that have a handler.
fn caught() -> u64 {
    mask("SigCgt:")
}

fn is_caught(signal: Signal) -> bool {
    caught() & (1 << (signal.number() - 1)) != 0
}

fn is_ignored(signal: Signal) -> bool {
    mask("SigIgn:") & (1 << (signal.number() - 1)) != 0
}

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

fn run<F: Future>(event_loop: &mut EventLoop, future: F) -> F::Output {
    event_loop.run_until_complete(async { timeout(LONG, future).await }).unwrap().expect("hangs")
}

/// Turns the loop until something is so.
fn turn_until(event_loop: &mut EventLoop, mut so: impl FnMut() -> bool) {
    let handle = event_loop.handle();
    let end = handle.now() + LONG;
    while !so() {
        assert!(handle.now() < end, "it never came to be");
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
    }
}

type Log = Rc<RefCell<Vec<String>>>;

/// A callback that notes `what`.
fn note(log: &Log, what: &str) -> impl FnMut() + 'static {
    let (log, what) = (Rc::clone(log), what.to_owned());
    move || log.borrow_mut().push(what.clone())
}

#[test]
fn l_105_the_callback_runs_on_the_loop_in_a_later_round() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    let thread = thread::current().id();
    let mut signal = note(&log, "signal");
    let noted = move || {
        assert_eq!(thread::current().id(), thread);
        signal();
    };
    handle.add_signal_handler(Signal::USR1, noted).unwrap();
    let (mut before, mut after) = (note(&log, "before"), note(&log, "after"));
    let callback = move || {
        before();
        send(Signal::USR1);
        after();
    };
    handle.call_soon(callback).unwrap();
    turn_until(&mut event_loop, || log.borrow().len() == 3);
    assert_eq!(*log.borrow(), ["before", "after", "signal"]);
}

/// The other thread sends when the kernel says that the loop's thread sleeps.
#[test]
fn l_106_a_signal_ends_a_blocked_select() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (came, comes) = oneshot::channel();
    let mut came = Some(came);
    let callback = move || came.take().unwrap().send(()).unwrap();
    handle.add_signal_handler(Signal::USR1, callback).unwrap();
    let stat = Path::new("/proc").join(fs::read_link("/proc/thread-self").unwrap()).join("stat");
    let sender = thread::spawn(move || {
        while !fs::read_to_string(&stat).unwrap().contains(") S ") {
            thread::yield_now();
        }
        send(Signal::USR1);
    });
    run(&mut event_loop, comes).unwrap();
    sender.join().unwrap();
    assert!(handle.metrics().waits > 0, "it never waited");
}

#[test]
fn l_107_the_callback_keeps_its_state_and_stays_until_removed() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let count = Rc::new(Cell::new(0));
    let (shown, mut own) = (Rc::clone(&count), 0);
    let counting = move || {
        own += 1;
        shown.set(own);
    };
    handle.add_signal_handler(Signal::USR1, counting).unwrap();
    for expected in 1..=5 {
        send(Signal::USR1);
        turn_until(&mut event_loop, || count.get() == expected);
    }
    assert_eq!(Rc::strong_count(&count), 2);
    assert!(handle.remove_signal_handler(Signal::USR1));
    assert_eq!(Rc::strong_count(&count), 1, "the callback outlived its removal");
}

#[test]
fn l_107_a_callback_that_panics_is_reported_and_stays() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    let sink = Rc::clone(&log);
    handle.set_exception_handler(Some(Rc::new(move |_: &LoopHandle, context: &ErrorContext| {
        sink.borrow_mut().push(context.to_string());
    })));
    handle.add_signal_handler(Signal::USR1, || panic!("no luck")).unwrap();
    for expected in 1..=2 {
        send(Signal::USR1);
        turn_until(&mut event_loop, || log.borrow().len() == expected);
    }
    assert!(log.borrow().iter().all(|text| text.ends_with("panic: no luck")), "{log:?}");
}

#[test]
fn l_108_numbers_that_cannot_be_handled_are_typed_errors() {
    for number in [libc::SIGKILL, libc::SIGSTOP] {
        assert_eq!(Signal::new(number), Err(InvalidSignal::Uncatchable(number)));
    }
    for number in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE] {
        assert_eq!(Signal::try_from(number), Err(InvalidSignal::Fault(number)));
    }
    for number in [i32::MIN, -1, 0, 65, i32::MAX] {
        assert_eq!(Signal::new(number), Err(InvalidSignal::OutOfRange { number, most: 64 }));
    }
    let error = io::Error::from(Signal::new(9).unwrap_err());
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert_eq!(error.to_string(), "signal 9 cannot be caught");
    assert_eq!(Signal::new(libc::SIGRTMIN()).unwrap().number(), libc::SIGRTMIN());
}

/// 32 belongs to the C library, which refuses it.
#[cfg(target_env = "gnu")]
#[test]
fn l_109_a_failed_install_leaves_nothing() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let before = descriptors();
    let reserved = Signal::new(32).unwrap();
    let error = handle.add_signal_handler(reserved, || ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(!handle.remove_signal_handler(reserved));
    assert_eq!(descriptors(), before);
    event_loop.turn(Some(Duration::ZERO)).unwrap();
}

/// The default comes back, and so does what was set in its place: the Rust runtime ignores SIGPIPE.
#[test]
fn l_110_removing_is_true_then_false_and_brings_back_what_was_found() {
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    assert!(!is_caught(Signal::INT) && !is_ignored(Signal::INT));
    assert!(!is_caught(Signal::PIPE) && is_ignored(Signal::PIPE));
    let before = descriptors();
    for signal in [Signal::INT, Signal::PIPE] {
        handle.add_signal_handler(signal, || ()).unwrap();
        assert!(is_caught(signal), "{signal}");
    }
    assert!(descriptors() > before);
    for signal in [Signal::INT, Signal::PIPE] {
        assert!(handle.remove_signal_handler(signal), "{signal}");
        assert!(!handle.remove_signal_handler(signal), "{signal}");
        assert!(!is_caught(signal), "{signal}");
    }
    assert!(!is_ignored(Signal::INT) && is_ignored(Signal::PIPE));
    assert_eq!(descriptors(), before, "the last one removed gives the pipe back");
}

#[test]
fn l_111_installing_again_replaces_the_callback() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    let first = handle.add_signal_handler(Signal::USR1, note(&log, "first")).unwrap();
    let held = Rc::strong_count(&log);
    handle.add_signal_handler(Signal::USR1, note(&log, "second")).unwrap();
    assert_eq!(Rc::strong_count(&log), held, "the first callback is kept");
    assert!(first.is_cancelled());
    send(Signal::USR1);
    turn_until(&mut event_loop, || !log.borrow().is_empty());
    assert_eq!(*log.borrow(), ["second"]);
    // The old handle has no power over the new callback.
    first.cancel();
    assert!(handle.remove_signal_handler(Signal::USR1));
    assert!(!is_caught(Signal::USR1));
}

/// Any thread's loop may have a signal, one loop at a time: who comes second is told so.
#[test]
fn l_112_one_loop_has_a_signal_whichever_thread_it_is_on() {
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    handle.add_signal_handler(Signal::USR2, || panic!("the other loop's signal")).unwrap();
    let (ask, asked) = channel();
    let (go, gone) = channel();
    let other = thread::spawn(move || {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        let before = descriptors();
        let error = handle.add_signal_handler(Signal::USR2, || ()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        let taken = error.get_ref().and_then(|inner| inner.downcast_ref::<SignalTaken>());
        assert_eq!(taken, Some(&SignalTaken { signal: Signal::USR2 }));
        assert!(!handle.remove_signal_handler(Signal::USR2));
        assert_eq!(descriptors(), before);
        ask.send(()).unwrap();
        gone.recv_timeout(LONG).unwrap();

        let log = Log::default();
        handle.add_signal_handler(Signal::USR2, note(&log, "mine")).unwrap();
        send(Signal::USR2);
        turn_until(&mut event_loop, || !log.borrow().is_empty());
    });
    asked.recv_timeout(LONG).unwrap();
    assert!(is_caught(Signal::USR2), "a refused install took the signal away");
    assert!(handle.remove_signal_handler(Signal::USR2));
    go.send(()).unwrap();
    other.join().unwrap();
    assert!(!is_caught(Signal::USR2), "a dropped loop kept its signal");
}

#[test]
fn l_113_a_closed_loop_has_given_all_back() {
    let _alone = alone();
    let before = descriptors();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    let signals = [Signal::HUP, Signal::INT, Signal::TERM, Signal::USR1, Signal::CHLD];
    for signal in signals {
        handle.add_signal_handler(signal, note(&log, "signal")).unwrap();
        assert!(is_caught(signal), "{signal}");
    }
    event_loop.close();
    for signal in signals {
        assert!(!is_caught(signal), "{signal}");
        assert!(!handle.remove_signal_handler(signal), "{signal}");
    }
    assert_eq!(Rc::strong_count(&log), 1, "a callback outlived the loop");
    let error = handle.add_signal_handler(Signal::INT, || ()).unwrap_err();
    assert!(error.get_ref().is_some_and(|inner| inner.is::<LoopClosed>()), "{error:?}");
    assert!(!is_caught(Signal::INT));
    drop((handle, event_loop));
    assert_eq!(descriptors(), before);
}

/// Removed after it was caught and before the loop looked. (The default of both signals is nothing.)
#[test]
fn l_113_a_callback_that_has_its_own_handle_is_dropped_by_close() {
    let _alone = alone();
    let event_loop = EventLoop::new().unwrap();
    let own = Rc::new(RefCell::new(None));
    let left = Rc::downgrade(&own);
    let held = Rc::clone(&own);
    let handle = event_loop.handle().add_signal_handler(Signal::USR1, move || {
        drop(Rc::clone(&held));
    });
    *own.borrow_mut() = Some(handle.unwrap());
    drop((own, event_loop));
    assert_eq!(left.strong_count(), 0);
}

#[test]
fn l_114_a_signal_without_a_handler_is_ignored() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    for _ in 0..20 {
        handle.add_signal_handler(Signal::WINCH, note(&log, "removed")).unwrap();
        handle.add_signal_handler(Signal::CONT, note(&log, "kept")).unwrap();
        send(Signal::WINCH);
        send(Signal::CONT);
        assert!(handle.remove_signal_handler(Signal::WINCH));
        turn_until(&mut event_loop, || !log.borrow().is_empty());
        assert_eq!(log.take(), ["kept"]);
    }
}

/// Removed when its callback is queued already: it does not run, as a removed reader's does not (L-089).
#[test]
fn l_110_a_callback_that_is_queued_does_not_run_after_its_removal() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    // Both are queued in one turn, in the order of installing.
    let (remover, mut noted) = (handle.clone(), note(&log, "first"));
    let first = move || {
        noted();
        remover.remove_signal_handler(Signal::WINCH);
    };
    handle.add_signal_handler(Signal::CONT, first).unwrap();
    handle.add_signal_handler(Signal::WINCH, note(&log, "second")).unwrap();
    send(Signal::WINCH);
    send(Signal::CONT);
    turn_until(&mut event_loop, || log.borrow().contains(&"first".to_owned()));
    for _ in 0..3 {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    // The kernel may have delivered WINCH a turn earlier, never after.
    assert_eq!(log.borrow().last().unwrap(), "first");
}

#[test]
fn l_115_a_signal_whose_handle_was_cancelled_is_given_back() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    let before = descriptors();
    let callback = handle.add_signal_handler(Signal::WINCH, note(&log, "called")).unwrap();
    callback.cancel();
    assert_eq!(Rc::strong_count(&log), 1);
    assert!(is_caught(Signal::WINCH), "only the signal itself gives it back");
    send(Signal::WINCH);
    turn_until(&mut event_loop, || !is_caught(Signal::WINCH));
    assert!(!handle.remove_signal_handler(Signal::WINCH));
    assert!(log.borrow().is_empty());
    assert_eq!(descriptors(), before);
}

/// SIGCHLD is nobody's unless a user asks for it: children are waited for as ever.
#[test]
fn a_loop_alone_takes_no_signal() {
    let _alone = alone();
    let before = caught();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    run(&mut event_loop, handle.run_in_executor(|| ())).unwrap();
    assert_eq!(caught(), before);
    assert!(std::process::Command::new("true").status().unwrap().success());
    // No thread is left that a later test's signal might meet.
    run(&mut event_loop, handle.shutdown_default_executor(None));
}

#[test]
fn many_rounds_leak_no_descriptor() {
    let _alone = alone();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Log::default();
    let before = descriptors();
    for round in 1..=200 {
        handle.add_signal_handler(Signal::WINCH, note(&log, "signal")).unwrap();
        send(Signal::WINCH);
        turn_until(&mut event_loop, || log.borrow().len() == round);
        assert!(handle.remove_signal_handler(Signal::WINCH));
    }
    assert_eq!(descriptors(), before);
}
