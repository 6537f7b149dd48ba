//! Debug mode tells of slow callbacks and of futures that nobody awaited.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod recorder;

use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{EventLoop, Inline, MustAwait};
use millrun_sim::Sim;
use recorder::record;

fn sim_loop(sim: &Sim) -> EventLoop {
    EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(Inline::new()))
        .build()
        .unwrap()
}

/// On virtual time: a callback is as slow as it says.
#[test]
fn l_104_slow_callbacks_are_named_with_seconds_to_three_decimals() {
    let sim = Sim::new(1);
    let mut event_loop = sim_loop(&sim);
    let handle = event_loop.handle();
    let mut slow = |micros| {
        let sim = sim.clone();
        handle.call_soon(move || sim.advance(Duration::from_micros(micros))).unwrap();
        record(|| event_loop.turn(Some(Duration::ZERO)).unwrap()).1
    };
    assert_eq!(slow(500_000), [""; 0], "debug mode is off");
    handle.set_debug(true);
    assert_eq!(slow(99_999), [""; 0], "0.1 s is the limit");
    let told = slow(1_234_560);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("WARN Executing "), "{told:?}");
    assert!(told[0].contains("debug_mode") && told[0].ends_with(" took 1.235 seconds"), "{told:?}");
    assert_eq!(slow(100_000).len(), 1);
    handle.set_slow_callback_duration(Duration::from_secs(2));
    assert_eq!(slow(1_234_560), [""; 0]);
}

#[test]
fn a_future_that_was_never_awaited_is_told_in_debug_mode_only() {
    let ((), told) = record(|| {
        drop(MustAwait::new("read", true));
        drop(MustAwait::new("write", false));
        let mut awaited = MustAwait::new("flush", true);
        awaited.polled();
    });
    assert_eq!(told, ["WARN read was never awaited, so it did nothing"]);
}
