//! All scenarios, beside the hand-written server.

use millrun_benches::check::{Program, Running};
use millrun_benches::contract::Shape;
use millrun_benches::report::{Latency, Window};
use millrun_benches::talk::Answer;

use crate::session::{Load, measure, transfer};

fn server(shape: Shape) -> Running {
    Program::new(env!("CARGO_BIN_EXE_server-epoll")).start(shape).unwrap()
}

fn load(scenario: &str, server: &Running, options: &[&str]) -> Load {
    Load::start(scenario, server.address().port(), server.id(), options)
}

fn counts(latency: &Latency) -> u64 {
    assert!(latency.buckets.is_sorted_by(|a, b| a.0 < b.0));
    latency.buckets.iter().map(|(_, count)| count).sum()
}

/// All units have a latency, and the CPU time is somebody's.
fn assert_whole((window, latency): &(Window, Latency), size: u64) {
    assert!(window.units > 0);
    assert_eq!(window.bytes, window.units * size);
    assert_eq!(counts(latency), window.units);
    assert!(window.server_cpu_ns > 0 && window.load_cpu_ns > 0 && window.wall_ns > 0);
}

#[test]
fn echoes_of_any_size_and_depth() {
    let server = server(Shape::Echo);
    let sizes = [("1", "1"), ("64", "16"), ("1024", "1"), ("65536", "1"), ("5000", "50")];
    for (size, depth) in sizes {
        let options = ["--connections", "3", "--size", size, "--depth", depth];
        let mut load = load("echo-64", &server, &options);
        assert_eq!(load.ready(), 3);
        for _ in 0..2 {
            assert_whole(&load.measure(30, None), size.parse().unwrap());
        }
        load.end();
    }
}

#[test]
fn at_a_rate_what_is_due_is_sent_and_no_more() {
    let server = server(Shape::Echo);
    let mut load = load("echo-64", &server, &["--connections", "3"]);
    load.ready();
    for rate in [1, 100, 20_000] {
        let measured = load.measure(100, Some(rate));
        assert_eq!((measured.0.units, measured.1.rate), (rate / 10, rate));
        assert_eq!(counts(&measured.1), rate / 10);
    }
    // The tail is one of the times that there were.
    load.say(&measure(200, Some(20_000)));
    let Answer::Window { latency: Some(latency), tail: Some(tail), .. } = load.answer() else {
        panic!("expected latencies with their tail")
    };
    let [first, .., last] = latency.buckets.as_slice() else { panic!("{latency:?}") };
    assert!((first.0..=last.0).contains(&tail), "{tail}: {latency:?}");
    // More than can be: all that was due is sent nevertheless, each later than the one before.
    let (window, latency) = load.measure(1, Some(20_000_000));
    assert_eq!((window.units, counts(&latency)), (20_000, 20_000));
    assert!(latency.buckets.last().unwrap().0 >= window.wall_ns / 2);
    load.end();
}

#[test]
fn lines() {
    let server = server(Shape::Lines);
    let mut load = load("lines", &server, &["--connections", "2"]);
    load.ready();
    assert_whole(&load.measure(30, None), 100);
    assert_whole(&load.measure(30, Some(1_000)), 100);
    load.end();
}

#[test]
fn transfers_both_ways() {
    for (scenario, shape) in [("upload", Shape::Sink), ("download", Shape::Source)] {
        let server = server(shape);
        let mut load = load(scenario, &server, &[]);
        assert_eq!(load.ready(), 1);
        for bytes in [0, 1_000, 3_000_001] {
            let (window, latency) = load.window(&transfer(bytes));
            assert_eq!((window.units, window.bytes), (bytes / 1024, bytes));
            assert!(latency.is_none());
        }
        load.say(&measure(10, None));
        assert!(load.failed().starts_with("expected a transfer"));
    }
}

#[test]
fn churn() {
    let server = server(Shape::Echo);
    let mut load = load("churn", &server, &["--connections", "16"]);
    assert_eq!(load.ready(), 16);
    // Short ones: how a window ends is where connections differ.
    for _ in 0..30 {
        assert_whole(&load.measure(2, None), 1024);
    }
    load.say(&measure(10, Some(5)));
    assert!(load.failed().contains("without a rate"));
}

#[test]
fn fanout() {
    let server = server(Shape::Fanout);
    let mut load = load("fanout", &server, &["--connections", "10"]);
    assert_eq!(load.ready(), 10);
    let (window, latency) = load.measure(30, None);
    assert_eq!((window.units % 10, window.bytes), (0, window.units / 10 * 1024));
    assert!(window.units > 0);
    assert_eq!(counts(&latency), window.units);
    load.end();
}

#[test]
fn relay() {
    let backend = server(Shape::Echo);
    let program = Program::new(env!("CARGO_BIN_EXE_server-epoll"));
    let relay = program.start_relay(backend.address()).unwrap();
    let beside = backend.id().to_string();
    let mut load = load("relay", &relay, &["--connections", "3", "--beside", &beside]);
    load.ready();
    assert_whole(&load.measure(30, None), 1024);
    load.abandon();
}

#[test]
fn idle() {
    let server = server(Shape::Echo);
    let load = load("idle", &server, &["--connections", "1100"]);
    let Answer::Ready { connections, memory } = load.answer() else { panic!("expected Ready") };
    let memory = memory.unwrap();
    assert_eq!(connections, 1100);
    assert!(memory.before > 0 && memory.before <= memory.fresh && memory.fresh <= memory.used);
    load.end();
}

#[test]
fn mixed_with_and_without_readers_that_stall() {
    for stalled in ["0", "3"] {
        let server = server(Shape::Mixed);
        let options = ["--connections", "3", "--stalled", stalled];
        let mut load = load("mixed", &server, &options);
        assert_eq!(load.ready(), 3);
        assert_whole(&load.measure(30, None), 1024);
        load.end();
    }
}

#[test]
fn commands_that_make_no_sense() {
    let server = server(Shape::Echo);
    let mut asked = load("echo-1", &server, &[]);
    asked.ready();
    asked.say(&transfer(1));
    assert!(asked.failed().starts_with("expected measure"));
}
