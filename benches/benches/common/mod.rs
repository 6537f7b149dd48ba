//! What the micro benches share: how a question is asked, and proof that it was answered.
//!
//! A criterion group is a question, a function in it is a subject; both names are those of `report::Micro`. An iteration
//! does the thing asked about many times, and says so by its throughput: criterion writes that beside its estimates
//! (`target/criterion/GROUP/SUBJECT/new/benchmark.json`, `throughput.Elements`), and
//!
//! > nanoseconds for one = estimate / `throughput.Elements`.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "each bench uses its part, and a bench fails by panicking"
)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Wake;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};

/// Runs a bench as `cargo bench` asks for it.
pub(crate) fn main(bench: impl FnOnce(&mut Criterion)) {
    let mut criterion = Criterion::default().configure_from_args();
    bench(&mut criterion);
    criterion.final_summary();
}

/// A question with its subjects.
pub(crate) type Group<'a> = BenchmarkGroup<'a, WallTime>;

/// A question, whose iteration does `elements` of what is asked about.
pub(crate) fn group<'a>(criterion: &'a mut Criterion, question: &str, elements: u64) -> Group<'a> {
    let mut group = criterion.benchmark_group(question);
    group.throughput(Throughput::Elements(elements));
    group.warm_up_time(Duration::from_millis(500));
    group.measurement_time(Duration::from_secs(2)).sample_size(20);
    group
}

/// Counts what was done, so that a bench can't measure nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counter(Rc<Cell<u64>>);

impl Counter {
    /// One more was done.
    pub(crate) fn add(&self) {
        self.0.set(self.0.get() + 1);
    }

    /// How many were done.
    pub(crate) fn get(&self) -> u64 {
        self.0.get()
    }

    /// Exactly `expected` were done since the last check.
    #[track_caller]
    pub(crate) fn check(&self, expected: u64) {
        assert_eq!(self.0.take(), expected, "not all was done");
    }
}

/// A current-thread runtime, as `#[tokio::main(flavor = "current_thread")]` makes it.
#[cfg(feature = "tokio")]
pub(crate) fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Counts how often it was woken.
#[derive(Debug, Default)]
pub(crate) struct Wakes(AtomicU64);

impl Wakes {
    /// Once more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Relaxed); // a peer may wake on another thread
    }

    /// How often.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.add();
    }
}
