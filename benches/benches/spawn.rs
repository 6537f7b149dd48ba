//! What does it cost to spawn a task and to run it?
//!
//! An iteration spawns [`TASKS`] tasks that are done when they are first polled. *spawn*: nobody waits for one of them;
//! *spawn and join*: their handles are kept and awaited, one after the other. tokio's are spawned by `spawn_local` on a `LocalSet`,
//! smol's on a `LocalExecutor`.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use criterion::Criterion;
use millrun_loop::{EventLoop, LoopHandle, yield_now};

mod common;
use common::Counter;

/// Tasks in an iteration.
const TASKS: u64 = 1000;

fn main() {
    common::main(|criterion| {
        detached(criterion);
        joined(criterion);
    });
}

fn detached(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "spawn", TASKS);
    let done = Counter::default();
    group.bench_function("millrun", |bencher| {
        let mut event_loop = EventLoop::new().unwrap();
        bencher.iter(|| {
            let all = async {
                let handle = LoopHandle::current().unwrap();
                for _ in 0..TASKS {
                    let done = done.clone();
                    drop(handle.spawn(async move { done.add() }));
                }
                while done.get() < TASKS {
                    yield_now().await;
                }
            };
            event_loop.run_until_complete(all).unwrap();
            done.check(TASKS);
        });
    });
    #[cfg(feature = "tokio")]
    group.bench_function("tokio", |bencher| {
        let runtime = common::tokio();
        let local = tokio::task::LocalSet::new();
        bencher.iter(|| {
            local.block_on(&runtime, async {
                for _ in 0..TASKS {
                    let done = done.clone();
                    drop(tokio::task::spawn_local(async move { done.add() }));
                }
                while done.get() < TASKS {
                    tokio::task::yield_now().await;
                }
            });
            done.check(TASKS);
        });
    });
    #[cfg(feature = "smol")]
    group.bench_function("smol", |bencher| {
        let executor = smol::LocalExecutor::new();
        bencher.iter(|| {
            smol::block_on(executor.run(async {
                for _ in 0..TASKS {
                    let done = done.clone();
                    executor.spawn(async move { done.add() }).detach();
                }
                while done.get() < TASKS {
                    smol::future::yield_now().await;
                }
            }));
            done.check(TASKS);
        });
    });
    group.finish();
}

fn joined(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "spawn and join", TASKS);
    let done = Counter::default();
    let task = |done: &Counter| {
        let done = done.clone();
        async move { done.add() }
    };
    group.bench_function("millrun", |bencher| {
        let mut event_loop = EventLoop::new().unwrap();
        bencher.iter(|| {
            let all = async {
                let handle = LoopHandle::current().unwrap();
                let tasks: Vec<_> = (0..TASKS).map(|_| handle.spawn(task(&done))).collect();
                for task in tasks {
                    task.await.unwrap();
                }
            };
            event_loop.run_until_complete(all).unwrap();
            done.check(TASKS);
        });
    });
    #[cfg(feature = "tokio")]
    group.bench_function("tokio", |bencher| {
        let runtime = common::tokio();
        let local = tokio::task::LocalSet::new();
        bencher.iter(|| {
            local.block_on(&runtime, async {
                let spawned = (0..TASKS).map(|_| tokio::task::spawn_local(task(&done)));
                for task in spawned.collect::<Vec<_>>() {
                    task.await.unwrap();
                }
            });
            done.check(TASKS);
        });
    });
    #[cfg(feature = "smol")]
    group.bench_function("smol", |bencher| {
        let executor = smol::LocalExecutor::new();
        bencher.iter(|| {
            smol::block_on(executor.run(async {
                let tasks: Vec<_> = (0..TASKS).map(|_| executor.spawn(task(&done))).collect();
                for task in tasks {
                    task.await;
                }
            }));
            done.check(TASKS);
        });
    });
    group.finish();
}
