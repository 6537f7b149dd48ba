//! The life of a connection: made, closed, aborted, lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use common::World;
use millrun_transport::Transport;

#[test]
fn t_001_construction_calls_nothing_and_queues_made_then_reading() {
    let mut world = World::new();
    let c = world.make();
    c.peer.send("early");
    assert!(c.log.is_empty());
    let log = c.log.clone();
    world.handle().call_soon(move || log.push("the caller goes on")).unwrap();
    world.settle();
    assert_eq!(c.log.take(), ["made", "the caller goes on", "data early"]);
}

#[test]
fn t_015_close_with_nothing_buffered_is_over_in_the_next_round() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.close();
    assert!(c.transport.is_closing() && !c.transport.is_reading());
    assert!(c.log.is_empty());
    c.transport.close();
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert!(c.peer.saw_eof() && !c.peer.saw_reset() && !c.peer.is_open());
    assert_eq!(world.sim.registrations(), 0);
}
