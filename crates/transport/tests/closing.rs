//! Closing always ends (invariant 11), and does not destroy the last answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::net::Shutdown;
use std::time::Duration;

use common::{Connection, World};
use millrun_sim::Syscall;
use millrun_transport::{CLOSE_TIMEOUT, CloseOutcome, CloseTimedOut, Protocol, Transport};

const SECOND: Duration = Duration::from_secs(1);
const TIMED_OUT: &str = "lost TimedOut: close timed out with 5 bytes unsent";

/// Closing, with `bytes` that the kernel does not take.
fn stalled(world: &mut World, bytes: usize) -> Connection {
    let c = world.connect();
    c.peer.set_send_window(0);
    c.transport.write(&vec![b'x'; bytes]);
    c
}

#[test]
fn d_20_a_close_without_progress_ends_after_30_s() {
    let mut world = World::new();
    assert_eq!(CLOSE_TIMEOUT, 30 * SECOND);
    let c = stalled(&mut world, 5);
    // From the close on, however long it had stalled by then.
    world.pass(100 * SECOND);
    assert!(c.log.is_empty());
    c.transport.close();
    world.pass(CLOSE_TIMEOUT - SECOND);
    assert!(c.log.is_empty());
    world.pass(2 * SECOND);
    assert_eq!(c.log.take(), [TIMED_OUT]);
    assert_eq!(c.transport.close_outcome(), Some(CloseOutcome::Unsent(5)));
    assert!(!c.peer.is_open() && world.reports().is_empty());
}

#[test]
fn d_20_progress_starts_the_time_anew() {
    let mut world = World::new();
    let c = stalled(&mut world, 10);
    c.transport.close();
    for _ in 0..5 {
        world.pass(CLOSE_TIMEOUT - SECOND);
        c.peer.set_send_window(1);
        world.settle();
    }
    assert!(c.log.is_empty());
    world.pass(CLOSE_TIMEOUT - SECOND);
    assert!(c.log.is_empty());
    world.pass(2 * SECOND);
    assert_eq!(c.log.take(), [TIMED_OUT]);
    assert_eq!(world.event_loop.next_deadline(), None, "no timer is left");
}

/// That the kernel says it had room, and takes nothing, is no progress.
#[test]
fn d_20_a_false_alarm_is_no_progress() {
    let mut world = World::new();
    let c = stalled(&mut world, 5);
    c.transport.close();
    world.pass(CLOSE_TIMEOUT - SECOND);
    let sends = c.peer.sends().len();
    c.peer.short_next_write(0);
    c.peer.set_send_window(1);
    world.event_loop.turn(Some(Duration::ZERO)).unwrap();
    c.peer.set_send_window(0);
    world.pass(2 * SECOND);
    assert_eq!(c.log.take(), [TIMED_OUT]);
    assert_eq!(c.peer.sends().len(), sends + 1);
}

#[test]
fn d_20_a_close_that_flushes_leaves_no_timer() {
    let mut world = World::new();
    let c = stalled(&mut world, 5);
    c.transport.close();
    world.pass(SECOND);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert_eq!(c.transport.close_outcome(), Some(CloseOutcome::Flushed));
    assert_eq!(world.event_loop.next_deadline(), None);
}

#[test]
fn close_within_ends_whatever_the_progress() {
    let mut world = World::new();
    let c = stalled(&mut world, 10);
    c.transport.close_within(5 * SECOND);
    for _ in 0..4 {
        world.pass(SECOND);
        c.peer.set_send_window(1);
        world.settle();
    }
    assert!(c.log.is_empty());
    world.pass(2 * SECOND);
    assert_eq!(c.log.take(), ["lost TimedOut: close timed out with 6 bytes unsent"]);
}

#[test]
fn close_within_hurries_a_close_and_never_slows_one() {
    let mut world = World::new();
    let c = stalled(&mut world, 5);
    c.transport.close();
    world.pass(SECOND);
    c.transport.close_within(2 * SECOND);
    c.transport.close_within(100 * SECOND);
    world.pass(SECOND);
    assert!(c.log.is_empty());
    world.pass(2 * SECOND);
    assert_eq!(c.log.take(), [TIMED_OUT]);
}

#[test]
fn the_close_timeout_can_be_set_also_while_closing() {
    let mut world = World::new();
    let c = stalled(&mut world, 5);
    c.transport.set_close_timeout(3 * SECOND);
    c.transport.close();
    world.pass(2 * SECOND);
    assert!(c.log.is_empty());
    c.transport.set_close_timeout(10 * SECOND);
    world.pass(7 * SECOND);
    assert!(c.log.is_empty());
    world.pass(2 * SECOND);
    assert_eq!(c.log.take(), [TIMED_OUT]);
}

#[test]
fn the_error_of_a_timeout_tells_the_unsent_bytes() {
    struct Asks(std::rc::Rc<std::cell::Cell<usize>>);
    impl Protocol for Asks {
        fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
        fn connection_lost(&mut self, error: Option<io::Error>) {
            let error = error.unwrap();
            let timed_out = error.get_ref().unwrap().downcast_ref::<CloseTimedOut>().unwrap();
            self.0.set(timed_out.unsent);
        }
    }
    let mut world = World::new();
    let c = stalled(&mut world, 5);
    let unsent = std::rc::Rc::default();
    c.transport.set_protocol(Box::new(Asks(std::rc::Rc::clone(&unsent))));
    c.transport.close_within(Duration::ZERO);
    world.pass(Duration::from_millis(1));
    assert_eq!(unsent.get(), 5);
}

#[test]
fn a_reset_ends_a_close_that_flushes() {
    let mut world = World::new();
    let c = stalled(&mut world, 5);
    c.transport.close();
    world.settle();
    c.peer.reset();
    world.settle();
    let log = c.log.take();
    assert!(log.len() == 1 && log[0].starts_with("lost "), "{log:?}");
    assert_eq!(c.transport.close_outcome(), Some(CloseOutcome::Unsent(5)));
}

/// Answers the first bytes and closes, with more unread.
fn answers_early(world: &mut World) -> Connection {
    let c = world.connect_with(|transport, event| {
        if event.starts_with("data") {
            transport.write(b"too large");
            transport.close();
        }
        Ok(true)
    });
    c.peer.send(vec![b'x'; 10_000]);
    world.settle();
    assert_eq!(c.log.take(), ["data 4096 bytes", "lost"]);
    c
}

#[test]
fn a_close_with_unread_input_does_not_reset_the_last_answer() {
    let mut world = World::new();
    let c = answers_early(&mut world);
    assert_eq!(c.peer.received(), b"too large");
    assert!(c.peer.saw_eof() && !c.peer.saw_reset() && c.peer.is_open());
    assert!(c.peer.calls().contains(&Syscall::shutdown(Shutdown::Write)));
    // More comes, and is discarded unheard; then the peer has read the answer and closes.
    c.peer.send(vec![b'x'; 10_000]);
    world.pass(SECOND);
    assert!(c.peer.is_open() && c.log.is_empty());
    c.peer.send_eof();
    world.settle();
    assert!(!c.peer.is_open() && !c.peer.saw_reset());
    assert_eq!((world.sim.open_sockets(), world.sim.registrations()), (0, 0));
    assert_eq!(world.event_loop.next_deadline(), None);
}

#[test]
fn lingering_ends_by_time_by_size_and_with_the_loop() {
    let mut world = World::new();
    let silent = answers_early(&mut world);
    world.pass(3 * SECOND);
    assert!(!silent.peer.is_open());

    let flood = answers_early(&mut world);
    for _ in 0..100 {
        flood.peer.send(vec![b'x'; 65_536]);
        world.settle();
    }
    assert!(!flood.peer.is_open());

    let last = answers_early(&mut world);
    assert!(last.peer.is_open());
    world.event_loop.close();
    assert!(!last.peer.is_open());
    assert_eq!(last.transport.write(b"x"), millrun_transport::Flow::Closed);
}

/// What comes behind a reset is nothing: there is nobody to wait for.
#[test]
fn a_reset_ends_a_linger() {
    let mut world = World::new();
    let c = answers_early(&mut world);
    assert!(c.peer.is_open());
    let reads = c.peer.reads().len();
    c.peer.reset();
    world.settle();
    assert!(!c.peer.is_open() && c.log.is_empty());
    assert_eq!(c.peer.reads().len(), reads + 1, "it asks no further");
    assert_eq!(world.event_loop.next_deadline(), None);
}

/// An end of file that was not read is no bytes that could make a reset.
#[test]
fn nobody_lingers_for_an_unread_end_of_file() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.pause_reading();
    c.transport.write(b"the answer");
    c.peer.send_eof();
    c.transport.close();
    world.settle();
    assert_eq!((c.log.take(), c.peer.is_open()), (vec!["lost".to_owned()], false));
    assert_eq!(c.peer.counters().shutdowns, 0);
}

/// Nor does the loop wake up for what comes then.
#[test]
fn t_017_a_close_that_flushes_does_not_want_to_hear() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.set_send_window(0);
    c.transport.write(b"kept back");
    c.transport.flush();
    c.transport.close();
    world.settle();
    let before = world.handle().metrics().io_events;
    c.peer.send("too late");
    world.settle();
    assert_eq!(world.handle().metrics().io_events, before);
}

#[test]
fn nobody_lingers_without_need() {
    let mut world = World::new();
    // Nothing unread; unread but nothing sent; aborted; the peer's end seen.
    let idle = world.connect();
    idle.transport.write(b"x");
    idle.transport.close();
    let unsent = world.connect();
    unsent.transport.pause_reading();
    unsent.peer.send("unread");
    unsent.transport.close();
    let aborted = world.connect();
    aborted.transport.write(b"x");
    world.settle();
    aborted.transport.pause_reading();
    aborted.peer.send("unread");
    aborted.transport.abort();
    let over = world.connect();
    over.transport.write(b"x");
    over.peer.send_eof();
    world.settle();
    over.transport.close();
    world.settle();
    for c in [idle, unsent, aborted, over] {
        assert!(!c.peer.is_open());
    }
}
