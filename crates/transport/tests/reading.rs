//! Receiving: one receive per event, into what memory, until when.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;

use common::{Connection, World};
use millrun_sim::{Failure, Syscall};
use millrun_transport::{Landing, Protocol, SocketTransport, Transport, TransportOptions};

#[test]
fn t_002_pause_in_connection_made() {
    let mut world = World::new();
    let c = world.make_with(|transport, event| {
        if event == "made" {
            transport.pause_reading();
        }
        Ok(true)
    });
    c.peer.send("x");
    world.settle();
    assert_eq!(c.log.take(), ["made"]);
    assert!(!c.transport.is_reading() && c.peer.reads().is_empty());
    c.transport.resume_reading();
    world.settle();
    assert_eq!(c.log.take(), ["data x"]);
}

#[test]
fn t_003_one_receive_and_one_call_for_each_event() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.send("abc");
    world.settle();
    assert_eq!(c.log.take(), ["data abc"]);
    // A short read is not followed by a second one.
    assert_eq!(c.peer.reads(), [Syscall::read(4096, Ok(3))]);
}

#[test]
fn a_full_small_block_earns_a_large_one() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.send(vec![b'x'; 50_000]);
    world.settle();
    c.peer.send("y");
    world.settle();
    c.peer.send("z");
    world.settle();
    assert_eq!(
        c.peer.reads(),
        [
            Syscall::read(4096, Ok(4096)),
            Syscall::read(65536, Ok(45_904)),
            Syscall::read(65536, Ok(1)),
            Syscall::read(4096, Ok(1)),
        ]
    );
    assert_eq!(c.log.take(), ["data 4096 bytes", "data 45904 bytes", "data y", "data z"]);
}

#[test]
fn t_004_would_block_and_interrupted_change_nothing() {
    for kind in [ErrorKind::WouldBlock, ErrorKind::Interrupted] {
        let mut world = World::new();
        let c = world.connect();
        c.peer.fail_next_read(kind);
        c.peer.send("x");
        world.settle();
        assert_eq!(c.log.take(), ["data x"]);
        assert!(c.transport.is_reading() && world.reports().is_empty());
    }
}

#[test]
fn t_005_a_read_error_ends_the_connection() {
    // Also T-006: the handler hears nothing of an error of the system.
    let mut world = World::new();
    let c = world.connect();
    c.transport.write(b"sent");
    c.peer.fail_next_read(Failure::ETIMEDOUT);
    c.peer.send("unread");
    world.settle();
    let log = c.log.take();
    assert_eq!(log.len(), 1);
    // Behind the kind, what failed and with whom.
    let peer = c.transport.peer_addr().unwrap();
    let text = format!("lost TimedOut: receiving from {peer} failed: ");
    assert!(log[0].starts_with(&text), "{log:?}");
    assert!(world.reports().is_empty());
    assert!(!c.peer.is_open());
}

#[test]
fn t_007_any_other_error_goes_to_the_handler_too() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.fail_next_read(ErrorKind::InvalidData);
    c.peer.send("unread");
    world.settle();
    let log = c.log.take();
    assert!(log.len() == 1 && log[0].ends_with("failed: invalid data"), "{log:?}");
    assert!(log[0].starts_with("lost InvalidData: receiving from "), "{log:?}");
    let reports = world.reports();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].starts_with("fatal read error on socket transport"), "{}", reports[0]);
    for part in ["error: invalid data", "transport: <SocketTransport", "protocol: ", "Probe"] {
        assert!(reports[0].contains(part), "{part} in {}", reports[0]);
    }
}

/// T-006: an error of the system has a number, or is of a kind that has one. Either will do.
#[test]
fn t_006_of_an_error_of_the_system_the_handler_hears_nothing() {
    for failure in [Failure::ENOBUFS, ErrorKind::ConnectionReset.into()] {
        let mut world = World::new();
        let c = world.connect();
        c.peer.fail_next_read(failure);
        c.peer.send("unread");
        world.settle();
        let log = c.log.take();
        assert!(log.len() == 1 && log[0].contains(": receiving from "), "{log:?}");
        assert!(world.reports().is_empty(), "{log:?}");
    }
}

/// A receive that is not worth its call is not made.
#[test]
fn t_003_that_a_socket_is_writable_is_no_reason_to_read() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.write(b"x");
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!((c.peer.received(), c.peer.reads()), (b"x".to_vec(), vec![]));
}

fn bytes_then_reset(c: &Connection) {
    c.peer.send("last words");
    c.peer.reset();
}

#[test]
fn bytes_come_before_the_reset_that_followed_them() {
    let mut world = World::new();
    let c = world.connect();
    bytes_then_reset(&c);
    world.settle();
    let log = c.log.take();
    assert_eq!(log[0], "data last words");
    assert!(log[1].starts_with("lost ConnectionReset"), "{log:?}");
}

#[test]
fn t_009_eof_answered_with_false_closes() {
    // Also T-008, P-003.
    let mut world = World::new();
    let c = world.connect_with(|transport, event| {
        if event == "eof" {
            transport.write(b"bye");
        }
        Ok(event != "eof")
    });
    c.peer.send("x");
    c.peer.send_eof();
    world.settle();
    assert_eq!(c.log.take(), ["data x", "eof", "lost"]);
    assert_eq!(c.peer.received(), b"bye", "flushed first");
}

#[test]
fn t_010_eof_answered_with_true_keeps_writing() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.send_eof();
    world.settle();
    assert_eq!(c.log.take(), ["eof"]);
    assert!(!c.transport.is_closing());
    let reads = c.peer.reads().len();
    c.transport.write(b"still here");
    c.transport.pause_reading();
    c.transport.resume_reading();
    world.settle();
    assert_eq!(c.peer.received(), b"still here");
    assert_eq!(c.peer.reads().len(), reads, "nothing more is read");
    assert!(c.log.is_empty(), "eof once");
    c.transport.close();
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
}

#[test]
fn t_011_eof_received_that_fails_ends_the_connection() {
    let mut world = World::new();
    let c = world.connect_with(|_, event| {
        assert!(event != "eof", "no luck");
        Ok(true)
    });
    c.peer.send_eof();
    world.settle();
    assert_eq!(c.log.take(), ["eof", "lost Other: eof_received() panicked: no luck"]);
    let reports = world.reports();
    assert!(reports.len() == 1 && reports[0].starts_with("eof_received() failed"), "{reports:?}");
}

#[test]
fn t_012_data_received_that_fails_ends_the_connection() {
    let mut world = World::new();
    let c = world.connect_with(|_, event| match event {
        "data a" => Err(io::Error::other("bad frame")),
        "data b" => panic!("no luck"),
        _ => Ok(true),
    });
    c.peer.send("a");
    c.peer.send_eof();
    world.settle();
    assert_eq!(c.log.take(), ["data a", "lost Other: bad frame"]);
    let reports = world.reports();
    assert!(reports.len() == 1 && reports[0].starts_with("data_received() failed"), "{reports:?}");
    assert!(reports[0].contains("bad frame"));
}

#[test]
fn invariant_3_a_panic_in_data_received_ends_that_connection_alone() {
    let mut world = World::new();
    let other = world.connect();
    let c = world.connect_with(|_, event| {
        assert!(event != "data b", "no luck");
        Ok(true)
    });
    c.peer.send("b");
    other.peer.send("b");
    world.settle();
    assert_eq!(c.log.take(), ["data b", "lost Other: data_received() panicked: no luck"]);
    assert_eq!(other.log.take(), ["data b"]);
    let reports = world.reports();
    assert!(reports.len() == 1 && reports[0].starts_with("data_received() failed"), "{reports:?}");
    // The block that was lent came back.
    let handle = world.handle();
    let counts = handle.blocks().counts(millrun_loop::BlockSize::Small);
    assert_eq!(counts.made as usize, counts.kept);
}

#[test]
fn t_013_pause_and_resume() {
    let mut world = World::new();
    let c = world.connect();
    assert!(c.transport.is_reading());
    c.transport.pause_reading();
    c.transport.pause_reading();
    assert!(!c.transport.is_reading());
    c.peer.send("x");
    world.settle();
    assert!(c.log.is_empty());
    c.transport.resume_reading();
    c.transport.resume_reading();
    assert!(c.transport.is_reading());
    world.settle();
    assert_eq!(c.log.take(), ["data x"]);
    c.peer.set_send_window(0);
    c.transport.write(b"x");
    c.transport.close();
    c.transport.resume_reading();
    c.transport.pause_reading();
    assert!(!c.transport.is_reading());
}

#[test]
fn t_014_while_paused_neither_eof_nor_reset_is_noticed() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.pause_reading();
    bytes_then_reset(&c);
    world.settle();
    assert!(c.log.is_empty() && c.peer.reads().is_empty());
    assert_eq!(c.peer.unread(), 10);
    c.transport.resume_reading();
    world.settle();
    assert_eq!(c.log.take().len(), 2);
}

#[test]
fn t_029_an_event_in_flight_for_a_lost_connection_does_nothing() {
    let mut world = World::new();
    let pair: Rc<RefCell<Vec<Rc<SocketTransport>>>> = Rc::default();
    let all = pair.clone();
    let hook = move |_: &dyn Transport, event: &str| {
        if event.starts_with("data") {
            // Whoever is called first aborts both.
            for transport in &*all.borrow() {
                transport.abort();
            }
        }
        Ok(true)
    };
    let (a, b) = (world.connect_with(hook.clone()), world.connect_with(hook));
    *pair.borrow_mut() = vec![a.transport.clone(), b.transport.clone()];
    a.peer.send("x");
    b.peer.send("x");
    world.settle();
    let (mut a, mut b) = (a.log.take(), b.log.take());
    if b.len() > a.len() {
        std::mem::swap(&mut a, &mut b);
    }
    assert_eq!((a, b), (vec!["data x".to_owned(), "lost".to_owned()], vec!["lost".to_owned()]));
    pair.take();
}

/// Pauses or aborts all connections when it is told to. Where bytes land is all the same to it, so it is asked once.
struct Commander(Rc<RefCell<Vec<Rc<SocketTransport>>>>, Rc<Cell<usize>>);

impl Protocol for Commander {
    fn landing(&mut self) -> Landing<'_> {
        Landing::Anywhere
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.1.set(self.1.get() + 1);
        for transport in &*self.0.borrow() {
            match data {
                b"pause" => transport.pause_reading(),
                b"abort" => transport.abort(),
                _ => {}
            }
        }
        Ok(())
    }
}

#[test]
fn t_029_an_event_in_flight_for_a_paused_or_lost_connection_reads_nothing() {
    let mut world = World::new();
    let (all, calls) = (Rc::default(), Rc::new(Cell::new(0)));
    let peers: Vec<_> = (0..2)
        .map(|_| {
            let (socket, peer) = world.sim.scripted();
            let protocol = Box::new(Commander(Rc::clone(&all), calls.clone()));
            let options = TransportOptions::default();
            let transport =
                SocketTransport::new(&world.handle(), socket, protocol, options).unwrap();
            all.borrow_mut().push(transport);
            peer.send("x");
            peer
        })
        .collect();
    world.settle();
    assert_eq!(calls.take(), 2);
    peers.iter().for_each(|peer| peer.send("pause"));
    world.settle();
    assert_eq!(calls.take(), 1, "whoever is called first pauses both");
    all.borrow().iter().for_each(|transport| transport.resume_reading());
    world.settle();
    assert_eq!(calls.take(), 1, "the other gets it then, and pauses both again");
    all.borrow().iter().for_each(|transport| transport.resume_reading());
    peers.iter().for_each(|peer| peer.send("abort"));
    world.settle();
    assert_eq!(calls.take(), 1, "whoever is called first aborts both");
    all.take();
}
