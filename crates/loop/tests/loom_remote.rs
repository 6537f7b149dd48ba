//! Other threads and the loop, in every order that there is: models for loom, on the code that ships but for
//! `crates/loop/src/sync.rs`. Run them with `cargo xtask loom`; without `cfg(loom)` there is nothing here.
//!
//! The loop is a real one, over a selector that waits on a condition variable as a kernel's would: who is not woken waits
//! for ever, which loom reports as a deadlock.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use millrun_loop::{EventLoop, Inline, LoopClosed, LoopHandle, Remote};
use millrun_selector::{Clock, Event, Interest, Key, Selector, Source, Time, Wake};
use millrun_sim::Sim;

/// The kernel's part: an eventfd, which stays readable until somebody looks.
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

/// Waits for the bell alone.
struct BellSelector(Arc<Bell>);

#[derive(Debug)]
struct StandingClock;

impl Wake for Bell {
    fn wake(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

impl std::fmt::Debug for Bell {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bell")
    }
}

impl std::fmt::Debug for BellSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BellSelector")
    }
}

impl Selector for BellSelector {
    fn register(&mut self, _: &dyn Source, _: Interest) -> io::Result<Key> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_interest(&mut self, _: Key, _: Interest) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn deregister(&mut self, _: Key, _: &dyn Source) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn select(&mut self, timeout: Option<Duration>, _: &mut Vec<Event>) -> io::Result<()> {
        let mut rung = self.0.rung.lock().unwrap();
        while timeout.is_none() && !*rung {
            rung = self.0.changed.wait(rung).unwrap();
        }
        *rung = false;
        Ok(())
    }

    fn waker(&self) -> Arc<dyn Wake> {
        Arc::clone(&self.0) as Arc<dyn Wake>
    }
}

impl Clock for StandingClock {
    fn now(&self) -> Time {
        Time::from_nanos(0)
    }
}

/// A loop of this thread, which fails the model if it has anything to report.
fn event_loop() -> EventLoop {
    let bell = Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() });
    let sim = Sim::new(0);
    let event_loop = EventLoop::builder()
        .selector(Box::new(BellSelector(bell)))
        .clock(Rc::new(StandingClock))
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(Inline::new()))
        .build()
        .unwrap();
    let handler = |_: &LoopHandle, context: &millrun_loop::ErrorContext| {
        eprintln!("{context}");
        std::process::abort(); // a panic would be caught
    };
    event_loop.handle().set_exception_handler(Some(Rc::new(handler)));
    event_loop
}

/// Three threads have too many orders: those in which a thread that could go on is stopped at most so often.
fn model_of_three(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

fn stop(remote: &Remote) {
    remote.call_soon_threadsafe(|| LoopHandle::current().unwrap().stop()).unwrap();
}

/// L-060: whenever it comes, a call ends the wait.
#[test]
fn l_060_no_wake_up_is_lost_between_a_call_and_the_wait() {
    loom::model(|| {
        let mut event_loop = event_loop();
        let remote = event_loop.remote();
        let other = thread::spawn(move || stop(&remote));
        event_loop.run_forever().unwrap();
        other.join().unwrap();
    });
}

/// The second call finds the loop asleep, awake, or woken by the first.
#[test]
fn l_060_calls_one_after_the_other_are_all_run() {
    loom::model(|| {
        let mut event_loop = event_loop();
        let remote = event_loop.remote();
        let ran = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&ran);
        let other = thread::spawn(move || {
            remote
                .call_soon_threadsafe(move || {
                    let _ = count.fetch_add(1, SeqCst);
                })
                .unwrap();
            stop(&remote);
        });
        event_loop.run_forever().unwrap();
        assert_eq!(ran.load(SeqCst), 1);
        other.join().unwrap();
    });
}

/// L-064: calls of one thread keep their order, whatever another one calls between them.
#[test]
fn l_064_calls_of_each_thread_keep_their_order() {
    model_of_three(|| {
        let mut event_loop = event_loop();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let threads: Vec<_> = (0..2)
            .map(|thread| {
                let (remote, seen) = (event_loop.remote(), Arc::clone(&seen));
                thread::spawn(move || {
                    for number in 0..2 {
                        let seen = Arc::clone(&seen);
                        let note = move || seen.lock().unwrap().push((thread, number));
                        remote.call_soon_threadsafe(note).unwrap();
                    }
                })
            })
            .collect();
        while seen.lock().unwrap().len() < 4 {
            event_loop.turn(None).unwrap();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let seen = seen.lock().unwrap();
        let of = |thread| seen.iter().filter(move |(t, _)| *t == thread).map(|(_, n)| *n);
        assert!(of(0).eq(0..2) && of(1).eq(0..2), "{seen:?}");
    });
}

/// Whether a callback ran, or was dropped without; it must be one of the two.
struct Fate(Arc<AtomicUsize>);

const RAN: usize = 1;
const DROPPED: usize = 2;

impl Drop for Fate {
    fn drop(&mut self) {
        let _ = self.0.compare_exchange(0, DROPPED, SeqCst, SeqCst);
    }
}

/// L-062, L-025: a call that meets a closing loop runs, is refused, or is dropped by the loop; never kept, never run late.
#[test]
fn l_062_a_call_meets_a_closing_loop() {
    loom::model(|| {
        let mut event_loop = event_loop();
        let remote = event_loop.remote();
        let fate = Arc::new(AtomicUsize::new(0));
        let told = Fate(Arc::clone(&fate));
        let other = thread::spawn(move || {
            let called = remote.call_soon_threadsafe(move || told.0.store(RAN, SeqCst));
            (called, remote.is_closed())
        });
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        event_loop.close();
        let after_close = fate.load(SeqCst);
        let (called, closed) = other.join().unwrap();
        let fate = fate.load(SeqCst);
        match called {
            Ok(()) => assert!(fate == RAN || fate == DROPPED, "kept"),
            Err(LoopClosed) => assert!(fate == DROPPED && closed, "refused, and {fate}"),
        }
        assert!(after_close == RAN || fate != RAN, "run by a loop that is closed");
    });
}

/// A future that another thread makes ready: the flag, then the waker that it finds.
#[derive(Default)]
struct Signal {
    ready: AtomicUsize,
    waker: Mutex<Option<Waker>>,
}

impl Signal {
    fn set(&self) {
        self.ready.fetch_add(1, SeqCst);
        let waker = self.waker.lock().unwrap().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready when it was set so often.
    async fn wait(&self, times: usize) {
        poll_fn(|context| {
            *self.waker.lock().unwrap() = Some(context.waker().clone());
            if self.ready.load(SeqCst) >= times { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// A waker that another thread wakes while the task is polled, or about to be, queues it again.
#[test]
fn a_task_woken_from_another_thread_is_polled_again() {
    loom::model(|| {
        let mut event_loop = event_loop();
        let signal = Arc::new(Signal::default());
        let from = Arc::clone(&signal);
        let other = thread::spawn(move || from.set());
        let task = {
            let signal = Arc::clone(&signal);
            event_loop.handle().spawn(async move { signal.wait(1).await })
        };
        event_loop.run_until_complete(task).unwrap().unwrap();
        other.join().unwrap();
    });
}

/// The same of the future that `run_until_complete` polls itself, woken by two threads.
#[test]
fn a_root_future_woken_by_two_threads_is_polled_again() {
    model_of_three(|| {
        let mut event_loop = event_loop();
        let signal = Arc::new(Signal::default());
        let threads = [(); 2].map(|()| {
            let signal = Arc::clone(&signal);
            thread::spawn(move || signal.set())
        });
        event_loop.run_until_complete(signal.wait(2)).unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// What was done before a wake-up is seen by the poll that follows, also when the wake-up found the task queued already.
#[test]
fn what_was_done_before_a_wake_up_is_seen_by_the_poll() {
    seen_by_the_poll(|waker, other| {
        // Queued already, by this thread: the other's wake-up may only tell that there is more to see.
        waker.wake_by_ref();
        vec![thread::spawn(other)]
    });
}

/// The same when this thread wakes it too, and a third one: each of them may be the one that queues it.
#[test]
fn what_was_done_before_a_wake_up_is_seen_by_the_poll_that_others_asked_for_too() {
    seen_by_the_poll(|waker, other| {
        let third = waker.clone();
        let threads = vec![thread::spawn(move || third.wake()), thread::spawn(other)];
        waker.wake_by_ref();
        threads
    });
}

/// A task is polled once and waits for what another thread does before it wakes it; `begin` starts that thread, and may wake the task.
fn seen_by_the_poll(begin: fn(Waker, Box<dyn FnOnce() + Send>) -> Vec<thread::JoinHandle<()>>) {
    use loom::sync::atomic::Ordering::Relaxed;
    model_of_three(move || {
        let mut event_loop = event_loop();
        let done = Arc::new(AtomicUsize::new(0));
        let waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let polls = Rc::new(Cell::new(0));
        let task = {
            let (done, waker, polls) = (Arc::clone(&done), Rc::clone(&waker), Rc::clone(&polls));
            event_loop.handle().spawn(poll_fn(move |context| {
                polls.set(polls.get() + 1);
                *waker.borrow_mut() = Some(context.waker().clone());
                // Relaxed: only the wake-up itself can order the two threads.
                if done.load(Relaxed) == 1 { Poll::Ready(()) } else { Poll::Pending }
            }))
        };
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(polls.get(), 1);
        let waker = waker.take().unwrap();
        let others = waker.clone();
        let threads = begin(
            waker,
            Box::new(move || {
                done.store(1, Relaxed);
                others.wake();
            }),
        );
        event_loop.run_until_complete(task).unwrap().unwrap();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}
