//! What does it cost to call onto the loop from another thread?
//!
//! *asleep*: an iteration is one call that wakes a sleeping loop, and the loop's answer, by `unpark`, which the caller waits for. Beside
//! it a bare mio `Waker`, tokio's and smol's channels with a loop that awaits them.
//!
//! *flood*: another thread makes [`CALLS`] calls as fast as it can, meanwhile the loop runs them. Beside it channels of boxed
//! closures: tokio's unbounded mpsc, std's mpsc.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench fails by panicking")]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, Thread};

use criterion::Criterion;
use millrun_loop::{EventLoop, LoopHandle, Remote};

mod common;
use common::Group;

/// Calls in an iteration of *flood*.
const CALLS: u64 = 1_000_000;

type Call = Box<dyn FnOnce() + Send>;

fn main() {
    common::main(|criterion| {
        asleep(criterion);
        flood(criterion);
    });
}

fn asleep(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "cross-thread: asleep", 1);
    let caller = thread::current();
    group.bench_function("millrun", |bencher| {
        let (give, take) = mpsc::channel();
        let looping = thread::spawn(move || {
            let mut event_loop = EventLoop::new().unwrap();
            give.send(event_loop.remote()).unwrap();
            event_loop.run_forever().unwrap();
        });
        let remote: Remote = take.recv().unwrap();
        bencher.iter(|| {
            let caller = caller.clone();
            remote.call_soon_threadsafe(move || answer(&caller)).unwrap();
            wait_for_answer();
        });
        remote.call_soon_threadsafe(|| LoopHandle::current().unwrap().stop()).unwrap();
        looping.join().unwrap();
    });
    asleep_mio(&mut group);
    #[cfg(feature = "tokio")]
    asleep_tokio(&mut group);
    #[cfg(feature = "smol")]
    asleep_smol(&mut group);
    group.finish();
}

fn asleep_mio(group: &mut Group<'_>) {
    let caller = thread::current();
    group.bench_function("mio", |bencher| {
        let mut poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (caller, is_over) = (caller.clone(), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&is_over);
        let looping = thread::spawn(move || {
            let mut events = mio::Events::with_capacity(8);
            loop {
                poll.poll(&mut events, None).unwrap();
                if over.load(Ordering::Acquire) {
                    return;
                }
                if !events.is_empty() {
                    answer(&caller);
                }
            }
        });
        bencher.iter(|| {
            waker.wake().unwrap();
            wait_for_answer();
        });
        is_over.store(true, Ordering::Release);
        waker.wake().unwrap();
        looping.join().unwrap();
    });
}

#[cfg(feature = "tokio")]
fn asleep_tokio(group: &mut Group<'_>) {
    let caller = thread::current();
    group.bench_function("tokio", |bencher| {
        let (calls, mut incoming) = tokio::sync::mpsc::unbounded_channel::<Call>();
        let looping = thread::spawn(move || {
            common::tokio().block_on(async {
                while let Some(call) = incoming.recv().await {
                    call();
                }
            });
        });
        bencher.iter(|| {
            let caller = caller.clone();
            assert!(calls.send(Box::new(move || answer(&caller))).is_ok());
            wait_for_answer();
        });
        drop(calls);
        looping.join().unwrap();
    });
}

#[cfg(feature = "smol")]
fn asleep_smol(group: &mut Group<'_>) {
    let caller = thread::current();
    group.bench_function("smol", |bencher| {
        let (calls, incoming) = smol::channel::unbounded::<Call>();
        let looping = thread::spawn(move || {
            smol::block_on(async {
                while let Ok(call) = incoming.recv().await {
                    call();
                }
            });
        });
        bencher.iter(|| {
            let caller = caller.clone();
            assert!(calls.try_send(Box::new(move || answer(&caller))).is_ok());
            wait_for_answer();
        });
        drop(calls);
        looping.join().unwrap();
    });
}

/// The loop has run the call.
static ANSWERED: AtomicBool = AtomicBool::new(false);

fn answer(caller: &Thread) {
    ANSWERED.store(true, Ordering::Release);
    caller.unpark();
}

fn wait_for_answer() {
    while !ANSWERED.swap(false, Ordering::Acquire) {
        thread::park();
    }
}

fn flood(criterion: &mut Criterion) {
    let mut group = common::group(criterion, "cross-thread: flood", CALLS);
    group.sample_size(10);
    group.bench_function("millrun", |bencher| {
        let mut event_loop = EventLoop::new().unwrap();
        bencher.iter(|| {
            let remote = event_loop.remote();
            let calling = thread::spawn(move || {
                for n in 1..=CALLS {
                    remote.call_soon_threadsafe(move || run(n)).unwrap();
                }
                let stop = || LoopHandle::current().unwrap().stop();
                remote.call_soon_threadsafe(stop).unwrap();
            });
            event_loop.run_forever().unwrap();
            calling.join().unwrap();
            check_sum();
        });
    });
    group.bench_function("std mpsc", |bencher| {
        bencher.iter(|| {
            let (calls, incoming) = mpsc::channel::<Call>();
            let calling = thread::spawn(move || {
                for n in 1..=CALLS {
                    calls.send(Box::new(move || run(n))).expect("the receiver lives");
                }
            });
            for call in incoming {
                call();
            }
            calling.join().unwrap();
            check_sum();
        });
    });
    #[cfg(feature = "tokio")]
    group.bench_function("tokio", |bencher| {
        let runtime = common::tokio();
        bencher.iter(|| {
            let (calls, mut incoming) = tokio::sync::mpsc::unbounded_channel::<Call>();
            let calling = thread::spawn(move || {
                for n in 1..=CALLS {
                    assert!(calls.send(Box::new(move || run(n))).is_ok());
                }
            });
            runtime.block_on(async {
                while let Some(call) = incoming.recv().await {
                    call();
                }
            });
            calling.join().unwrap();
            check_sum();
        });
    });
    group.finish();
}

/// What the calls came to. Only the loop's thread writes it.
static SUM: AtomicU64 = AtomicU64::new(0);

fn run(n: u64) {
    SUM.store(SUM.load(Ordering::Relaxed) + n, Ordering::Relaxed);
}

#[track_caller]
fn check_sum() {
    assert_eq!(SUM.swap(0, Ordering::Relaxed), CALLS * (CALLS + 1) / 2, "not all calls were run");
}
