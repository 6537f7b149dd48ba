//! User objects that misbehave where nobody expects user code: in an error's text, in a drop.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fmt;
use std::io;
use std::time::Duration;

use common::{Log, World};
use millrun_sim::Failure;
use millrun_transport::{Protocol, SocketTransport, Transport, TransportOptions};

/// An error that panics when it is printed, or when it is dropped.
#[derive(Debug)]
struct Bomb {
    in_text: bool,
    in_drop: bool,
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        assert!(!self.in_text, "the text is a bomb");
        f.write_str("a bomb")
    }
}

impl std::error::Error for Bomb {}

impl Drop for Bomb {
    fn drop(&mut self) {
        if self.in_drop && !std::thread::panicking() {
            panic!("the drop is a bomb");
        }
    }
}

fn bomb(in_text: bool, in_drop: bool) -> io::Error {
    io::Error::other(Bomb { in_text, in_drop })
}

/// Fails with a bomb, and does not print what it gets.
struct Failing(Log);

impl Protocol for Failing {
    fn data_received(&mut self, _data: &[u8]) -> io::Result<()> {
        Err(bomb(true, false))
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.0.push(if error.is_some() { "lost with it" } else { "lost" });
    }
}

/// Invariant 3: an error whose text panics is still the end of the connection.
#[test]
fn t_012_an_error_that_panics_when_it_is_printed_ends_its_connection() {
    let mut world = World::new();
    let (socket, peer) = world.sim.scripted();
    let log = Log::default();
    let protocol = Box::new(Failing(log.clone()));
    let transport =
        SocketTransport::new(&world.handle(), socket, protocol, TransportOptions::default())
            .unwrap();
    world.settle();
    peer.send("x");
    world.settle();
    assert_eq!(log.take(), ["lost with it"]);
    assert!(transport.is_closing() && !peer.is_open());
}

/// Invariant 3, D-21: the error of the write stays; the second one, which nobody gets, panics when it is
/// dropped.
#[test]
fn d_21_an_error_that_panics_when_it_is_dropped_keeps_nobody_from_the_end() {
    let mut world = World::new();
    let c = world.connect_with(|_, event| match event {
        "data x" => Err(bomb(false, true)),
        _ => Ok(true),
    });
    c.peer.send("x");
    c.peer.fail_next_write(Failure::EPIPE);
    c.transport.write(b"never");
    c.transport.flush();
    world.settle();
    let log = c.log.take();
    assert_eq!(log[0], "data x");
    assert!(log[1].starts_with("lost BrokenPipe"), "{log:?}");
    assert!(!c.peer.is_open());
}

/// T-019: nor does whoever brings it meet the panic: the handler does.
#[test]
fn t_019_a_second_error_that_panics_when_it_is_dropped_is_reported() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.fail(io::Error::other("the first"));
    c.transport.fail(bomb(false, true));
    let reports = world.reports();
    assert!(
        reports.len() == 1 && reports[0].starts_with("dropping an error failed"),
        "{reports:?}"
    );
    world.settle();
    assert_eq!(c.log.take(), ["lost Other: the first"]);
}

/// Outside of any unit too: who makes a transport, queues a callback and then writes.
#[test]
fn t_001_a_write_outside_of_the_loop_does_not_delay_connection_made() {
    let mut world = World::new();
    let c = world.make();
    let log = c.log.clone();
    world.handle().call_soon(move || log.push("queued behind it")).unwrap();
    c.transport.write(b"early");
    world.settle();
    assert_eq!(c.log.take(), ["made", "queued behind it"]);
    assert_eq!(c.peer.received(), b"early");
}

/// An abort does not wait for a peer that may never close.
#[test]
fn t_018_an_abort_ends_a_linger_too() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.write(b"413");
    c.transport.flush();
    c.peer.send("much more");
    c.transport.close();
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert!(c.peer.is_open(), "it lingers");
    c.transport.abort();
    world.settle();
    assert!(!c.peer.is_open());
    world.pass(Duration::from_secs(5));
    assert!(c.log.is_empty());
}

/// Invariant 10: nobody lingers on a loop that closes, also if the turn of `connection_lost` comes only then.
#[test]
fn a_loop_that_closes_does_not_begin_a_linger() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.write(b"413");
    c.transport.flush();
    c.peer.send("much more");
    c.transport.close();
    world.event_loop.close();
    assert_eq!(c.log.take(), ["lost"]);
    assert!(!c.peer.is_open());
}
