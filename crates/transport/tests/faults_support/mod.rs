//! A loop on a simulation, and what every fault test asks afterwards: is anything left?
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "it is a module of each test binary")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{EventLoop, Inline, LoopHandle};
use millrun_sim::{Faults, Rng, Sim};

/// How many seeds a property is tried with: `MILLRUN_SEEDS`, or this many.
pub fn seeds(default: u64) -> std::ops::Range<u64> {
    let from = std::env::var("MILLRUN_SEED").ok().and_then(|text| text.parse().ok());
    let count = std::env::var("MILLRUN_SEEDS").ok().and_then(|text| text.parse().ok());
    match from {
        Some(one) => one..one + count.unwrap_or(1),
        None => 0..count.unwrap_or(default),
    }
}

/// Says which seed it was when a test fails.
pub struct Seed(pub u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with MILLRUN_SEED={}", self.0);
        }
    }
}

pub fn sim_loop(sim: &Sim) -> EventLoop {
    EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(Inline::new()))
        .build()
        .unwrap()
}

/// Some faults, small buffers or large ones: another mixture for each seed. Says how large a large write is
/// here: a byte at a time is slow.
pub fn misbehave(sim: &Sim, rng: &mut Rng) -> usize {
    let mut some = |most: u64| rng.within(0..most) as f64 / 100.0;
    sim.faults(Faults { short_reads: some(90), short_writes: some(90), would_block: some(50) });
    let mut size = || match rng.within(0..3) {
        0 => rng.within(1..20) as usize,
        1 => rng.within(20..2000) as usize,
        _ => 64 * 1024,
    };
    let (send, receive) = (size(), size());
    sim.set_buffers(send, receive);
    (send.min(receive) * 40).clamp(100, 40_000)
}

/// Turns until nothing happens any more, in virtual time: at most so long.
pub fn run_dry(event_loop: &mut EventLoop, at_most: Duration) {
    let end = event_loop.handle().now() + at_most;
    while event_loop.handle().now() < end {
        let left = end.since(event_loop.handle().now());
        event_loop.turn(Some(left.min(Duration::from_secs(1)))).unwrap();
    }
}

/// Nothing is left in the loop or below it.
#[track_caller]
pub fn assert_nothing_left(sim: &Sim, handle: &LoopHandle) {
    let metrics = handle.metrics();
    assert_eq!(
        (sim.open_sockets(), sim.registrations(), metrics.watches, metrics.timers, metrics.tasks),
        (0, 0, 0, 0, 0),
        "sockets, registrations, watches, timers, tasks of {sim:?}"
    );
}

/// Writes down what is reported to the exception handler.
pub fn reports(handle: &LoopHandle) -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&seen);
    handle.set_exception_handler(Some(Rc::new(move |_, context| {
        into.borrow_mut().push(context.to_string());
    })));
    seen
}
