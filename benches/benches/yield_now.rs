//! What does it cost a task to give up one round?
//!
//! An iteration runs [`TASKS`] tasks, each of which yields [`YIELDS`] times; that they are spawned is in it, and is a hundredth.
//! The bare queue is a `VecDeque` of boxed closures, each of which queues the next. tokio's tasks are spawned on its
//! current-thread runtime, smol's on a `LocalExecutor`; with calloop
//! an idle callback inserts the next.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use criterion::Criterion;
use millrun_loop::{EventLoop, LoopHandle};

mod common;
use common::{Counter, Group};

/// Tasks that take turns: enough that no stack looks at its selector for each yield.
const TASKS: u64 = 64;

/// Yields of each.
const YIELDS: u64 = 128;

fn main() {
    common::main(bench);
}

fn bench(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "yield", TASKS * YIELDS);
    group.bench_function("millrun", |bencher| {
        let mut event_loop = EventLoop::new().unwrap();
        let done = Counter::default();
        bencher.iter(|| {
            let all = async {
                let handle = LoopHandle::current().unwrap();
                let task = |done: Counter| async move {
                    for _ in 0..YIELDS {
                        millrun_loop::yield_now().await;
                        done.add();
                    }
                };
                let tasks: Vec<_> = (0..TASKS).map(|_| handle.spawn(task(done.clone()))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            };
            event_loop.run_until_complete(all).unwrap();
            done.check(TASKS * YIELDS);
        });
    });
    vec_deque(&mut group);
    #[cfg(feature = "tokio")]
    tokio(&mut group);
    #[cfg(feature = "smol")]
    smol(&mut group);
    #[cfg(feature = "calloop")]
    calloop(&mut group);
    group.finish();
}

fn vec_deque(group: &mut Group<'_>) {
    group.bench_function("VecDeque", |bencher| {
        let queue = Queue::default();
        let done = Counter::default();
        bencher.iter(|| {
            for _ in 0..TASKS {
                push(&queue, &done, YIELDS);
            }
            loop {
                let next = queue.borrow_mut().pop_front();
                let Some(callback) = next else { break };
                callback();
            }
            done.check(TASKS * YIELDS);
        });
    });
}

#[cfg(feature = "tokio")]
fn tokio(group: &mut Group<'_>) {
    group.bench_function("tokio", |bencher| {
        use std::sync::atomic::{AtomicU64, Ordering};
        static DONE: AtomicU64 = AtomicU64::new(0); // its tasks must be `Send`
        let runtime = common::tokio();
        bencher.iter(|| {
            runtime.block_on(async {
                let task = || async {
                    for _ in 0..YIELDS {
                        tokio::task::yield_now().await;
                        DONE.store(DONE.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
                    }
                };
                let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(task())).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            });
            assert_eq!(DONE.swap(0, Ordering::Relaxed), TASKS * YIELDS);
        });
    });
}

#[cfg(feature = "smol")]
fn smol(group: &mut Group<'_>) {
    group.bench_function("smol", |bencher| {
        let executor = smol::LocalExecutor::new();
        let done = Counter::default();
        bencher.iter(|| {
            let task = |done: Counter| async move {
                for _ in 0..YIELDS {
                    smol::future::yield_now().await;
                    done.add();
                }
            };
            let tasks: Vec<_> = (0..TASKS).map(|_| executor.spawn(task(done.clone()))).collect();
            smol::block_on(executor.run(async {
                for task in tasks {
                    task.await;
                }
            }));
            done.check(TASKS * YIELDS);
        });
    });
}

#[cfg(feature = "calloop")]
fn calloop(group: &mut Group<'_>) {
    group.bench_function("calloop", |bencher| {
        let mut event_loop = calloop::EventLoop::<()>::try_new().unwrap();
        let done = Counter::default();
        bencher.iter(|| {
            for _ in 0..TASKS {
                insert_idle(&event_loop.handle(), &done, YIELDS);
            }
            while done.get() < TASKS * YIELDS {
                event_loop.dispatch(std::time::Duration::ZERO, &mut ()).unwrap();
            }
            done.check(TASKS * YIELDS);
        });
    });
}

/// Inserts a callback that counts and inserts the next.
#[cfg(feature = "calloop")]
fn insert_idle(handle: &calloop::LoopHandle<'static, ()>, done: &Counter, left: u64) {
    if left == 0 {
        return;
    }
    let (into, done) = (handle.clone(), done.clone());
    handle.insert_idle(move |()| {
        done.add();
        insert_idle(&into, &done, left - 1);
    });
}

type Queue = Rc<RefCell<VecDeque<Box<dyn FnOnce()>>>>;

/// Queues a callback that counts and queues the next.
fn push(queue: &Queue, done: &Counter, left: u64) {
    if left == 0 {
        return;
    }
    let (into, done) = (Rc::clone(queue), done.clone());
    let callback = move || {
        done.add();
        push(&into, &done, left - 1);
    };
    queue.borrow_mut().push_back(Box::new(callback));
}
