//! What does it cost to queue a callback and to run it?
//!
//! An iteration queues [`CALLS`] callbacks and runs them. The bare queue is a `VecDeque` of boxed closures. Where there are no
//! callbacks, the nearest is measured: tokio's `spawn_local` of a future that is ready, smol's `LocalExecutor::spawn` of one,
//! calloop's `insert_idle`.
#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::collections::VecDeque;
use std::time::Duration;

use criterion::Criterion;
use millrun_loop::EventLoop;

mod common;
use common::{Counter, Group};

/// Callbacks in an iteration: the look at the selector that belongs to it is shared by them all.
const CALLS: u64 = 1000;

fn main() {
    common::main(bench);
}

fn bench(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "call_soon", CALLS);
    let done = Counter::default();
    group.bench_function("millrun", |bencher| {
        let mut event_loop = EventLoop::new().unwrap();
        let handle = event_loop.handle();
        bencher.iter(|| {
            for _ in 0..CALLS {
                let done = done.clone();
                handle.call_soon(move || done.add()).unwrap();
            }
            event_loop.turn(Some(Duration::ZERO)).unwrap();
            done.check(CALLS);
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
    let done = Counter::default();
    group.bench_function("VecDeque", |bencher| {
        let mut queue: VecDeque<Box<dyn FnOnce()>> = VecDeque::new();
        bencher.iter(|| {
            for _ in 0..CALLS {
                let done = done.clone();
                queue.push_back(Box::new(move || done.add()));
            }
            while let Some(callback) = queue.pop_front() {
                callback();
            }
            done.check(CALLS);
        });
    });
}

#[cfg(feature = "tokio")]
fn tokio(group: &mut Group<'_>) {
    let done = Counter::default();
    group.bench_function("tokio", |bencher| {
        let runtime = common::tokio();
        let local = tokio::task::LocalSet::new();
        bencher.iter(|| {
            local.block_on(&runtime, async {
                for _ in 0..CALLS {
                    let done = done.clone();
                    drop(tokio::task::spawn_local(async move { done.add() }));
                }
                while done.get() < CALLS {
                    tokio::task::yield_now().await;
                }
            });
            done.check(CALLS);
        });
    });
}

#[cfg(feature = "smol")]
fn smol(group: &mut Group<'_>) {
    let done = Counter::default();
    group.bench_function("smol", |bencher| {
        let executor = smol::LocalExecutor::new();
        bencher.iter(|| {
            for _ in 0..CALLS {
                let done = done.clone();
                executor.spawn(async move { done.add() }).detach();
            }
            while executor.try_tick() {}
            done.check(CALLS);
        });
    });
}

#[cfg(feature = "calloop")]
fn calloop(group: &mut Group<'_>) {
    let done = Counter::default();
    group.bench_function("calloop", |bencher| {
        let mut event_loop = calloop::EventLoop::<()>::try_new().unwrap();
        let handle = event_loop.handle();
        bencher.iter(|| {
            for _ in 0..CALLS {
                let done = done.clone();
                handle.insert_idle(move |()| done.add());
            }
            event_loop.dispatch(Duration::ZERO, &mut ()).unwrap();
            done.check(CALLS);
        });
    });
}
