//! Other threads: L-060 to L-064 of docs/behaviours.md, and wakers that outlive their loop.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
#[cfg(feature = "os")]
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use common::{Log, Script, note};
use millrun_loop::{LoopClosed, LoopHandle, Remote, Watch};
use millrun_selector::{Interest, Readiness};
use millrun_sim::Sim;

/// What ends a wait that a lost wake-up would make endless: far longer than any machine needs.
#[cfg(feature = "os")]
const LONG: Duration = Duration::from_secs(60);

#[cfg(feature = "os")]
#[test]
fn l_060_a_call_from_another_thread_ends_the_wait() {
    let mut event_loop = millrun_loop::EventLoop::new().unwrap();
    let remote = event_loop.remote();
    let (sender, receiver) = mpsc::channel();
    let other = thread::spawn(move || {
        receiver.recv().unwrap();
        remote.call_soon_threadsafe(|| LoopHandle::current().unwrap().stop()).unwrap();
    });
    // The first turn is over when the other thread begins, and the next one waits.
    event_loop.handle().call_soon(move || sender.send(()).unwrap()).unwrap();
    event_loop.run_forever().unwrap();
    other.join().unwrap();
}

#[test]
fn l_060_a_loop_that_does_not_wait_is_not_woken() {
    let script = Script::new();
    let mut event_loop = script.build();
    let remote = event_loop.remote();
    let seen = Arc::new(AtomicUsize::new(0));
    let from_thread = |n: usize| {
        let (remote, seen) = (remote.clone(), Arc::clone(&seen));
        thread::spawn(move || {
            for _ in 0..n {
                let seen = Arc::clone(&seen);
                let count = move || {
                    seen.fetch_add(1, SeqCst);
                };
                remote.call_soon_threadsafe(count).unwrap();
            }
        })
        .join()
        .unwrap();
    };
    from_thread(10);
    assert!(event_loop.has_ready());
    assert_eq!(script.wakes(), 0);
    event_loop.turn(None).unwrap();
    assert_eq!(seen.load(SeqCst), 10);
    assert_eq!(script.take_timeouts(), [Some(Duration::ZERO)]);
    assert_eq!(event_loop.handle().metrics().remote_items, 10);
}

/// Before a run, too.
#[test]
fn l_061_from_the_own_thread_it_is_call_soon() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, remote) = (event_loop.handle(), event_loop.remote());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let queue = |what: &'static str| {
        let seen = Arc::clone(&seen);
        remote.call_soon_threadsafe(move || seen.lock().unwrap().push(what)).unwrap();
    };
    let local = |what: &'static str| {
        let seen = Arc::clone(&seen);
        handle.call_soon(move || seen.lock().unwrap().push(what)).unwrap();
    };
    queue("a");
    local("b");
    queue("c");
    let (inner, inner_seen) = (remote.clone(), Arc::clone(&seen));
    handle
        .call_soon(move || {
            let seen = Arc::clone(&inner_seen);
            inner.call_soon_threadsafe(move || seen.lock().unwrap().push("d")).unwrap();
            let handle = LoopHandle::current().unwrap();
            handle.call_soon(move || inner_seen.lock().unwrap().push("e")).unwrap();
        })
        .unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["a", "b", "c", "d", "e"]);
    assert_eq!((script.wakes(), handle.metrics().remote_items), (0, 0));
}

/// L-062, L-063: there is no pipe of bytes (D-22). A wake-up of a loop that is gone is harmless.
#[test]
fn l_062_l_063_a_loop_that_is_gone_is_told_by_an_error() {
    let event_loop = Script::new().build();
    let remote = event_loop.remote();
    drop(event_loop);
    let (probe, at) = (Arc::new(()), Arc::new(()));
    let held = Arc::clone(&probe);
    let result = thread::spawn(move || remote.call_soon_threadsafe(move || drop((held, at))));
    assert_eq!(result.join().unwrap(), Err(LoopClosed));
    assert_eq!(Arc::strong_count(&probe), 1, "the callback is dropped");
}

#[test]
fn l_064_callbacks_of_one_thread_keep_their_order() {
    let mut event_loop = Script::new().build();
    let remote = event_loop.remote();
    let seen = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for thread in 0..4 {
            let (remote, seen) = (&remote, &seen);
            scope.spawn(move || {
                for n in 0..100 {
                    let seen = Arc::clone(seen);
                    let push = move || seen.lock().unwrap().push((thread, n));
                    remote.call_soon_threadsafe(push).unwrap();
                }
            });
        }
    });
    event_loop.turn(None).unwrap();
    let seen = seen.lock().unwrap();
    for thread in 0..4 {
        let of_thread = seen.iter().filter(|(t, _)| *t == thread).map(|(_, n)| *n);
        assert!(of_thread.eq(0..100));
    }
}

#[test]
fn a_panic_in_a_remote_callback_is_reported() {
    let mut event_loop = Script::new().build();
    let reports = common::log_reports(&event_loop.handle());
    let remote = event_loop.remote();
    thread::spawn(move || remote.call_soon_threadsafe(|| panic!("far")).unwrap()).join().unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(*reports.borrow(), ["exception in a callback from another thread|far"]);
}

/// Threads wake tasks while the loop falls asleep over and over: none of the wake-ups may be lost.
#[cfg(feature = "os")]
#[test]
fn no_wake_up_is_lost_between_the_last_look_and_the_wait() {
    const ROUNDS: usize = 2000;
    let mut event_loop = millrun_loop::EventLoop::new().unwrap();
    let (sender, receiver) = mpsc::channel::<(Arc<AtomicBool>, Waker)>();
    let waking = thread::spawn(move || {
        for (flag, waker) in receiver {
            flag.store(true, SeqCst);
            waker.wake();
        }
    });
    let all = async {
        for _ in 0..ROUNDS {
            let flag = Arc::new(AtomicBool::new(false));
            let mut is_sent = false;
            poll_fn(|context| {
                if flag.load(SeqCst) {
                    return Poll::Ready(());
                }
                if !std::mem::replace(&mut is_sent, true) {
                    sender.send((Arc::clone(&flag), context.waker().clone())).unwrap();
                }
                Poll::Pending
            })
            .await;
        }
        drop(sender);
    };
    let result = event_loop.run_until_complete(millrun_loop::timeout(LONG, all));
    assert_eq!(result.unwrap(), Ok(()));
    waking.join().unwrap();
}

/// Wakers are woken, cloned and dropped on other threads while their loop closes and after it is gone.
#[test]
fn wakers_race_with_the_end_of_their_loop() {
    for _ in 0..100 {
        let event_loop = Script::new().build();
        let handle = event_loop.handle();
        let wakers = Rc::new(RefCell::new(Vec::new()));
        for _ in 0..4 {
            let into = Rc::clone(&wakers);
            handle.spawn(poll_fn(move |context| {
                into.borrow_mut().push(context.waker().clone());
                Poll::<()>::Pending
            }));
        }
        let mut event_loop = event_loop;
        event_loop.turn(None).unwrap();
        let remote = event_loop.remote();
        let over = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = wakers
            .take()
            .into_iter()
            .map(|waker: Waker| {
                let (over, remote) = (Arc::clone(&over), remote.clone());
                thread::spawn(move || {
                    let mut refused = false;
                    while !over.load(SeqCst) || !refused {
                        waker.wake_by_ref();
                        drop(waker.clone());
                        refused = remote.call_soon_threadsafe(|| ()).is_err();
                    }
                    waker.wake();
                })
            })
            .collect();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        drop(event_loop);
        over.store(true, SeqCst);
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(handle.metrics().ready, 0);
    }
}

/// A waker that is dropped, and woken, by the destructor of a thread-local.
#[test]
fn a_waker_in_a_thread_local_outlives_its_loop() {
    struct WakeOnDrop(Option<Waker>);
    impl Drop for WakeOnDrop {
        fn drop(&mut self) {
            if let Some(waker) = self.0.take() {
                waker.wake_by_ref();
            }
        }
    }
    thread_local! {
        static KEPT: RefCell<WakeOnDrop> = const { RefCell::new(WakeOnDrop(None)) };
    }
    let ended = thread::spawn(|| {
        // Touched first, so destroyed last on some systems, first on others.
        KEPT.with(|kept| assert!(kept.borrow().0.is_none()));
        let mut event_loop = Script::new().build();
        event_loop.handle().spawn(async {
            poll_fn(|context| {
                KEPT.with(|kept| kept.borrow_mut().0 = Some(context.waker().clone()));
                Poll::Ready(())
            })
            .await;
            pending::<()>().await;
        });
        event_loop.turn(None).unwrap();
    });
    ended.join().unwrap();
}

#[test]
fn a_wake_up_on_the_own_thread_takes_no_lock_and_wakes_nobody() {
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, log) = (event_loop.handle(), Log::default());
    let waker = Rc::new(RefCell::new(None::<Waker>));
    let into = Rc::clone(&waker);
    let done = note(&log, "done");
    let mut done = Some(done);
    handle.spawn(poll_fn(move |context| {
        match into.borrow_mut().replace(context.waker().clone()) {
            None => Poll::Pending,
            Some(_) => {
                done.take().unwrap()();
                Poll::Ready(())
            }
        }
    }));
    event_loop.turn(None).unwrap();
    // Outside of a run.
    waker.borrow().as_ref().unwrap().wake_by_ref();
    waker.borrow().as_ref().unwrap().wake_by_ref();
    assert_eq!(handle.metrics().ready, 1, "queued once");
    event_loop.turn(None).unwrap();
    assert_eq!(*log.borrow(), ["done"]);
    assert_eq!((script.wakes(), handle.metrics().remote_items), (0, 0));
}

/// L-003 with calls from another thread: they are behind what was queued here and before I/O, with a timer that
/// is due behind them as without. What a callback queues is behind all of them.
#[test]
fn calls_from_other_threads_run_after_what_was_queued_and_before_events() {
    struct Notes(Log);
    impl Watch for Notes {
        fn on_ready(self: Rc<Self>, _: Readiness) {
            self.0.borrow_mut().push("io".into());
        }
    }
    thread_local! {
        static LOG: Log = Log::default();
    }
    let say = |what: &'static str| move || LOG.with(|log| log.borrow_mut().push(what.into()));
    for has_timer in [false, true] {
        let script = Script::new();
        let mut event_loop = script.build();
        let (handle, remote) = (event_loop.handle(), event_loop.remote());
        let (socket, _peer) = Sim::new(0).pair();
        let watch = Rc::new(Notes(LOG.with(Rc::clone)));
        let key = handle.watch(&*socket, Interest::READ, watch).unwrap();
        thread::spawn(move || remote.call_soon_threadsafe(say("remote")).unwrap()).join().unwrap();
        script.report(&[(key, Readiness::READABLE)]);
        let inner = handle.clone();
        handle.call_soon(move || drop(inner.call_soon(say("more")).unwrap())).unwrap();
        handle.call_soon(say("queued")).unwrap();
        let mut expected = vec!["queued", "remote", "io", "more"];
        if has_timer {
            handle.call_later(Duration::ZERO, say("timer")).unwrap();
            expected.insert(3, "timer");
        }
        event_loop.turn(None).unwrap();
        assert_eq!(LOG.with(|log| log.take()), expected);
    }
}

/// A turn takes what other threads queue meanwhile without another look at the selector, within its budget of
/// callbacks.
#[test]
fn a_turn_takes_calls_that_come_while_it_runs() {
    fn again(remote: Remote, left: usize) {
        if let Some(left) = left.checked_sub(1) {
            let next = remote.clone();
            let call = move || remote.call_soon_threadsafe(move || again(next, left)).unwrap();
            thread::spawn(call).join().unwrap();
        }
    }
    let script = Script::new();
    let mut event_loop = script.build();
    let (handle, remote) = (event_loop.handle(), event_loop.remote());
    handle.call_soon(move || again(remote, 1000)).unwrap();
    event_loop.turn(None).unwrap();
    assert_eq!(script.take_timeouts(), [Some(Duration::ZERO)]);
    let metrics = handle.metrics();
    assert!((250..=256).contains(&metrics.remote_items), "{metrics:?}");
    assert!(event_loop.has_ready(), "the rest is for the next turn");
}
