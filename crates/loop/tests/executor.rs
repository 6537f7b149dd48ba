//! Blocking work, awaited on a loop. The executors themselves: `executor_parts.rs`.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod recorder;

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use millrun_loop::{EventLoop, JobError, JoinError, LoopHandle, ThreadPool, spawn, timeout};
use millrun_selector::{Family, Query, Resolver};
use millrun_sim::Sim;
use recorder::record;

/// Longer than anything here takes; only a bug waits for it.
const LONG: Duration = Duration::from_secs(10);

fn run<F: Future>(event_loop: &mut EventLoop, future: F) -> F::Output {
    event_loop.run_until_complete(async { timeout(LONG, future).await }).unwrap().expect("hangs")
}

/// Work that tells that it began, waits until it may end, and gives its receiver's value.
fn gate() -> (impl FnOnce() -> &'static str + Send, Receiver<()>, Sender<&'static str>) {
    let (begin, begun) = channel();
    let (end, ending) = channel();
    let work = move || {
        begin.send(()).unwrap();
        ending.recv_timeout(LONG).unwrap()
    };
    (work, begun, end)
}

#[test]
fn l_065_value_or_error_arrive_on_the_loops_thread() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    run(&mut event_loop, async {
        let here = thread::current().id();
        let there = handle.run_in_executor(|| thread::current().id()).await.unwrap();
        assert_ne!(there, here);
        assert_eq!(thread::current().id(), here);
        let error = handle.run_in_executor(|| Err::<u8, _>("no")).await.unwrap();
        assert_eq!(error, Err("no"));
        let panicked = handle.run_in_executor(|| -> u8 { panic!("no luck") }).await.unwrap_err();
        assert!(matches!(&panicked, JobError::Panicked(panic) if panic.text() == "no luck"));
    });
}

#[test]
fn l_066_the_default_pool_has_named_threads() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let name = || thread::current().name().map(str::to_owned);
    let name = run(&mut event_loop, handle.run_in_executor(name)).unwrap().unwrap();
    assert!(name.starts_with("millrun-"), "{name}");
}

#[test]
fn l_067_a_cancelled_wait_does_not_stop_the_job_and_its_late_result_is_silent() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let ((), told) = record(|| {
        let (work, begun, end) = gate();
        let (tell, told) = channel();
        run(&mut event_loop, async {
            let handle = handle.clone();
            let waiting = spawn(async move {
                let job = handle.run_in_executor(move || tell.send(work()));
                drop(job.await);
            });
            begun_soon(&begun).await;
            waiting.abort();
            assert!(matches!(waiting.await, Err(JoinError::Aborted)));
        });
        end.send("late").unwrap();
        assert_eq!(told.recv_timeout(LONG), Ok("late"));
        // The next turns see nothing of it.
        run(&mut event_loop, handle.run_in_executor(|| ())).unwrap();
    });
    assert_eq!(told, [""; 0]);
}

/// Other tasks run until the job tells that it began.
async fn begun_soon(begun: &Receiver<()>) {
    while begun.try_recv().is_err() {
        millrun_loop::yield_now().await;
    }
}

/// L-027 too: the close does not wait.
#[test]
fn l_068_a_job_that_ends_after_the_loop_finds_nobody() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (work, begun, end) = gate();
    let (tell, told) = channel();
    let awaited = handle.clone();
    let task = handle.spawn(async move {
        // A result whose drop tells where it ended.
        awaited.run_in_executor(move || (work(), Told(tell))).await.map(|_| ())
    });
    run(&mut event_loop, begun_soon(&begun));
    drop(event_loop);
    assert!(told.try_recv().is_err(), "the close waited for the job");
    end.send("late").unwrap();
    let thread = told.recv_timeout(LONG).unwrap();
    assert_ne!(thread, thread::current().id(), "the result came to a closed loop");
    drop(task);
    assert!(handle.is_closed());
}

struct Told(Sender<thread::ThreadId>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.send(thread::current().id()).unwrap();
    }
}

#[test]
fn a_closed_loop_takes_no_job() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    event_loop.close();
    let job = handle.run_in_executor(|| panic!("ran"));
    let mut other = EventLoop::new().unwrap();
    assert!(matches!(run(&mut other, job), Err::<(), _>(JobError::LoopClosed)));
}

#[test]
fn l_069_shutdown_refuses_from_the_call_on_and_waits_for_running_jobs() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let log = Rc::new(RefCell::new(Vec::new()));
    run(&mut event_loop, async {
        let (work, begun, end) = gate();
        let running = spawn({
            let (handle, log) = (handle.clone(), Rc::clone(&log));
            async move {
                let result = handle.run_in_executor(work).await.unwrap();
                log.borrow_mut().push(result);
            }
        });
        begun_soon(&begun).await;
        let shutdown = handle.shutdown_default_executor(None);
        // Called, not yet awaited: that is the moment.
        let refused = handle.run_in_executor(|| ()).await.unwrap_err();
        assert!(matches!(refused, JobError::Shutdown), "{refused:?}");
        let shutdown = spawn({
            let log = Rc::clone(&log);
            async move {
                shutdown.await;
                log.borrow_mut().push("shut down");
            }
        });
        millrun_loop::yield_now().await;
        assert_eq!(log.borrow().len(), 0, "it did not wait");
        end.send("job").unwrap();
        running.await.unwrap();
        shutdown.await.unwrap();
    });
    let mut log = log.take();
    log.sort_unstable(); // both wake-ups may come in one turn
    assert_eq!(log, ["job", "shut down"]);
}

/// On virtual time: the minute passes at once, while the job really runs.
#[test]
fn l_070_a_timeout_that_is_over_first_warns_and_does_not_wait() {
    let sim = Sim::new(1);
    let mut event_loop = EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(ThreadPool::with_threads(1)))
        .build()
        .unwrap();
    let handle = event_loop.handle();
    let (work, begun, end) = gate();
    let job = handle.run_in_executor(work);
    begun.recv_timeout(LONG).unwrap();
    let minute = Duration::from_secs(60);
    let (elapsed, told) = record(|| {
        let future = async {
            let began = handle.now();
            handle.shutdown_default_executor(Some(minute)).await;
            handle.now() - began
        };
        event_loop.run_until_complete(future).unwrap()
    });
    assert_eq!(elapsed, minute);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("WARN ") && told[0].contains("60s"), "{told:?}");
    assert!(!job.is_finished());
    end.send("late").unwrap();
}

#[test]
fn l_071_an_executor_that_was_never_used_is_shut_down_at_once() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let ((), told) = record(|| run(&mut event_loop, handle.shutdown_default_executor(None)));
    assert_eq!(told, [""; 0]);
    let ((), told) =
        record(|| run(&mut event_loop, handle.shutdown_default_executor(Some(Duration::ZERO))));
    assert_eq!(told, [""; 0], "nothing to wait for, yet it warned");
}

/// Answers with port 1, and tells which thread it was asked on.
#[derive(Debug)]
struct Teller(Sender<String>);

impl Resolver for Teller {
    fn resolve(&self, query: &Query) -> io::Result<Vec<SocketAddr>> {
        self.0.send(thread::current().name().unwrap_or_default().to_owned()).unwrap();
        match &query.host {
            Some(_) => Ok(vec![SocketAddr::from(([10, 0, 0, 1], 1))]),
            None => Err(io::Error::other("no host")),
        }
    }
}

#[test]
fn l_072_names_are_resolved_on_the_executor() {
    let (tell, told) = channel();
    let mut event_loop = EventLoop::builder().resolver(Arc::new(Teller(tell))).build().unwrap();
    let handle = event_loop.handle();
    let query = |host| Query { host, service: "80".into(), family: Family::Any, passive: false };
    let found = run(&mut event_loop, handle.resolve(query(Some("a.test".into()))));
    assert_eq!(found.unwrap().unwrap(), [SocketAddr::from(([10, 0, 0, 1], 1))]);
    let refused = run(&mut event_loop, handle.resolve(query(None)));
    assert_eq!(refused.unwrap().unwrap_err().to_string(), "no host");
    for name in told.try_iter() {
        assert!(name.starts_with("millrun-"), "resolved on {name}");
    }
}

/// Many jobs, one loop: each result comes to its own task.
#[test]
fn results_do_not_mix() {
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    run(&mut event_loop, async {
        let tasks: Vec<_> = (0..200_u32)
            .map(|number| {
                let handle: LoopHandle = handle.clone();
                spawn(async move { handle.run_in_executor(move || number * 2).await.unwrap() })
            })
            .collect();
        for (number, task) in (0..).zip(tasks) {
            assert_eq!(task.await.unwrap(), number * 2);
        }
    });
}
