//! Work on an executor, as its future sees it. No loop: see `executor.rs` for jobs awaited on one.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::HashSet;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use millrun_loop::{Executor, Inline, Job, JobError, Panic, ThreadPool, Work, catch};
use static_assertions::assert_impl_all;

assert_impl_all!(ThreadPool: Send, Sync);
assert_impl_all!(Panic: std::error::Error, Send, Sync);
assert_impl_all!(JobError: std::error::Error, Send, Sync);

/// Longer than anything here takes; only a bug waits for it.
const LONG: Duration = Duration::from_secs(10);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    // Each job wakes once; a thread may be unparked once more for nothing.
    for _ in 0..4 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park_timeout(LONG);
    }
    panic!("nobody woke");
}

/// A job that runs until it is told to end: the sender ends it, the receiver says that it began.
fn gated(pool: &ThreadPool) -> (Job<()>, Sender<()>, Receiver<()>) {
    let (end, ending) = channel();
    let (begin, begun) = channel();
    let job = Job::run(pool, move || {
        begin.send(()).unwrap();
        ending.recv_timeout(LONG).unwrap();
    });
    (job, end, begun)
}

#[test]
fn l_065_a_job_gives_value_or_error_of_the_function() {
    let pool = ThreadPool::new();
    assert_eq!(block_on(Job::run(&pool, || 6 * 7)).unwrap(), 42);
    let refused: Result<u8, String> = block_on(Job::run(&pool, || Err("no".into()))).unwrap();
    assert_eq!(refused, Err("no".to_owned()));
}

#[test]
fn a_job_that_panics_gives_the_panic_and_the_thread_goes_on() {
    let pool = ThreadPool::with_threads(1);
    let error = block_on(Job::<()>::run(&pool, || panic!("no {}", "luck"))).unwrap_err();
    assert!(matches!(&error, JobError::Panicked(panic) if panic.text() == "no luck"), "{error:?}");
    assert_eq!(std::io::Error::from(error).to_string(), "the job panicked: no luck");
    pool.execute(Box::new(|| panic!("raw work"))).unwrap();
    assert_eq!(block_on(Job::run(&pool, || 1)).unwrap(), 1);
    assert_eq!(pool.threads(), 1);
}

/// L-066 with Millrun's own prefix (D-23).
#[test]
fn l_066_threads_are_started_at_need_named_and_reused() {
    let pool = ThreadPool::with_threads(2);
    assert_eq!(pool.threads(), 0, "a thread before any work");
    let name = || thread::current().name().map(str::to_owned);
    for _ in 0..20 {
        // Awaited each time, yet the thread may not be idle again when the next one comes.
        let name = block_on(Job::run(&pool, name)).unwrap().unwrap();
        assert!(name == "millrun-1" || name == "millrun-2", "{name}");
    }
    assert!(pool.threads() <= 2);
}

#[test]
fn threads_are_bounded_and_the_rest_waits_its_turn() {
    let pool = ThreadPool::with_threads(3);
    let barrier = Arc::new(Barrier::new(3));
    // In threes they pass the barrier only if three threads run at once.
    let jobs: Vec<_> = (0..30)
        .map(|number| {
            let barrier = Arc::clone(&barrier);
            Job::run(&pool, move || {
                barrier.wait();
                (number, thread::current().id())
            })
        })
        .collect();
    let results: Vec<_> = jobs.into_iter().map(|job| block_on(job).unwrap()).collect();
    assert_eq!(
        results.iter().map(|result| result.0).collect::<Vec<_>>(),
        (0..30).collect::<Vec<_>>()
    );
    assert_eq!(results.iter().map(|result| result.1).collect::<HashSet<_>>().len(), 3);
}

struct Told(Sender<&'static str>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send("result dropped").unwrap();
        panic!("a result whose drop panics");
    }
}

#[test]
fn l_067_a_dropped_job_runs_on_and_its_late_result_is_dropped_in_silence() {
    let pool = ThreadPool::with_threads(1);
    let (tell, told) = channel();
    let (end, ending) = channel::<()>();
    let job = Job::run(&pool, move || {
        ending.recv_timeout(LONG).unwrap();
        tell.send("ran").unwrap();
        Told(tell)
    });
    assert!(!job.is_finished());
    drop(job);
    end.send(()).unwrap();
    assert_eq!(told.recv_timeout(LONG), Ok("ran"));
    assert_eq!(told.recv_timeout(LONG), Ok("result dropped"));
    assert_eq!(block_on(Job::run(&pool, || 1)).unwrap(), 1, "the thread died of the drop");
}

#[test]
fn l_069_after_shutdown_work_is_refused_and_what_was_taken_is_waited_for() {
    let pool = ThreadPool::with_threads(1);
    let (running, end, begun) = gated(&pool);
    begun.recv_timeout(LONG).unwrap();
    let queued = Job::run(&pool, || "queued");
    let shutdown = pool.shutdown();
    let refused = block_on(Job::run(&pool, || ())).unwrap_err();
    assert!(matches!(refused, JobError::Shutdown), "{refused:?}");
    assert!(!shutdown.is_finished() && !running.is_finished());
    end.send(()).unwrap();
    block_on(shutdown).unwrap();
    assert!(running.is_finished() && queued.is_finished());
    assert_eq!(block_on(queued).unwrap(), "queued");
    assert_eq!(pool.threads(), 0);
    assert!(pool.shutdown().is_finished(), "a second one has nothing to wait for");
}

#[test]
fn l_071_a_pool_that_was_never_used_is_shut_down_at_once() {
    let pool = ThreadPool::new();
    assert!(pool.shutdown().is_finished());
    assert!(matches!(pool.execute(Box::new(|| ())), Err(JobError::Shutdown)));
    assert_eq!(pool.threads(), 0);
}

#[test]
fn l_027_a_dropped_pool_does_not_wait_and_drops_no_work() {
    let pool = ThreadPool::with_threads(1);
    let (running, end, begun) = gated(&pool);
    let queued = Job::run(&pool, || "queued");
    begun.recv_timeout(LONG).unwrap();
    drop(pool);
    assert!(!running.is_finished());
    end.send(()).unwrap();
    assert_eq!(block_on(queued).unwrap(), "queued");
}

#[test]
fn inline_runs_in_the_call_and_in_order() {
    let inline = Inline::new();
    let thread = thread::current().id();
    let job = Job::run(&inline, move || thread::current().id() == thread);
    assert!(job.is_finished());
    assert!(block_on(job).unwrap());
    assert!(matches!(
        block_on(Job::<()>::run(&inline, || panic!("no"))),
        Err(JobError::Panicked(_))
    ));
    assert!(inline.shutdown().is_finished());
    assert!(matches!(block_on(Job::run(&inline, || ())), Err(JobError::Shutdown)));
}

/// An executor of a user's own, which runs nothing by itself.
#[derive(Debug, Default)]
struct Forgetful(RefCell<Vec<DebugWork>>);

struct DebugWork(Work);

impl std::fmt::Debug for DebugWork {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Work")
    }
}

impl Executor for Forgetful {
    fn execute(&self, work: Work) -> Result<(), JobError> {
        self.0.borrow_mut().push(DebugWork(work));
        Ok(())
    }

    fn shutdown(&self) -> Job<()> {
        self.0.take();
        Job::ready(Ok(()))
    }
}

#[test]
fn work_that_is_dropped_unrun_cancels_its_job() {
    let executor = Forgetful::default();
    let mut job = pin!(Job::run(&executor, || 1));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    assert!(job.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    drop(executor.shutdown());
    assert!(matches!(block_on(job), Err(JobError::Cancelled)));
}

/// Whatever thread the executor runs it on, it need not fear the result's drop.
#[test]
fn l_067_a_late_result_whose_drop_panics_ends_in_the_job() {
    let executor = Forgetful::default();
    let (tell, told) = channel();
    drop(Job::run(&executor, move || Told(tell)));
    let DebugWork(work) = executor.0.borrow_mut().pop().unwrap();
    work();
    assert_eq!(told.recv(), Ok("result dropped"));
}

/// A payload that is dropped badly ends in `Panic`, also when nobody looks.
#[test]
fn a_panic_gives_its_payload_back_and_survives_its_drop() {
    let caught = catch(|| std::panic::panic_any(7_u8)).map_err(|panic| (panic.to_string(), panic));
    let (text, panic) = caught.unwrap_err();
    assert_eq!(text, "a panic whose payload is not text");
    let payload = std::panic::catch_unwind(|| panic.resume()).unwrap_err();
    assert_eq!(payload.downcast_ref::<u8>(), Some(&7));

    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("again");
        }
    }
    drop(catch(|| std::panic::panic_any(Bomb)));
}
