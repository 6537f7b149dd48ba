//! Gathering (D-12): small writes of one unit leave together.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use bytes::Bytes;
use common::World;
use millrun_loop::BlockSize;
use millrun_sim::Syscall;
use millrun_transport::{Flow, Transport, Watermarks};

#[test]
fn d_12_small_writes_of_one_callback_leave_in_one_send() {
    let mut world = World::new();
    let c = world.connect_with(|transport, event| {
        if event.starts_with("data") {
            for _ in 0..16 {
                assert_eq!(transport.write(b"line\n"), Flow::Open);
            }
            assert_eq!(transport.write_buffer_size(), 80, "gathered bytes count");
        }
        Ok(true)
    });
    c.peer.send("x");
    world.settle();
    assert_eq!(c.peer.sends(), [Syscall::write(80, Ok(80))]);
    c.peer.send("x");
    world.settle();
    assert_eq!(c.peer.sends().len(), 2);
    assert_eq!(c.peer.reads().len(), 2, "one receive and one send for each message");
}

#[test]
fn d_12_writes_outside_of_any_unit_leave_soon() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.write(b"one ");
    c.transport.write(b"two");
    assert!(c.peer.sends().is_empty());
    world.settle();
    assert_eq!(c.peer.sends(), [Syscall::write(7, Ok(7))]);
}

#[test]
fn d_12_writes_of_a_unit_that_calls_several_transports_leave_when_it_ends() {
    let mut world = World::new();
    let (a, b) = (world.connect(), world.connect());
    let handle = world.handle();
    handle.unit(|| {
        a.transport.write(b"a1");
        handle.unit(|| b.transport.write(b"b1"));
        b.transport.write(b"b2");
        a.transport.write(b"a2");
        assert!(a.peer.sends().is_empty() && b.peer.sends().is_empty());
    });
    assert_eq!((a.peer.received(), b.peer.received()), (b"a1a2".to_vec(), b"b1b2".to_vec()));
    assert_eq!(a.peer.sends().len() + b.peer.sends().len(), 2);
}

#[test]
fn d_12_enough_of_them_leave_inside_the_call() {
    let mut world = World::new();
    let c = world.connect();
    for _ in 0..64 {
        c.transport.write(&[b'x'; 1024]);
    }
    // The last of them goes out without a copy.
    assert_eq!(c.peer.sends(), [Syscall::write_vectored(2, 65_536, Ok(65_536))]);
    // A lower high mark makes it less.
    c.transport.set_write_buffer_limits(Watermarks::from_high(100)).unwrap();
    c.transport.write(&[b'x'; 99]);
    assert_eq!(c.peer.sends().len(), 1);
    c.transport.write(b"x");
    assert_eq!(c.peer.sends()[1..], [Syscall::write_vectored(2, 100, Ok(100))]);
    world.settle();
    assert_eq!(c.peer.sends().len(), 2);
}

#[test]
fn d_12_a_large_write_goes_out_at_once_with_what_was_gathered() {
    let mut world = World::new();
    world.sim.set_buffers(1 << 20, 1 << 20);
    let c = world.connect();
    c.transport.write(b"head");
    c.transport.write_bytes(Bytes::from(vec![b'x'; 100_000]));
    assert_eq!(c.peer.sends(), [Syscall::write_vectored(2, 100_004, Ok(100_004))]);
    c.transport.write(&vec![b'y'; 20_000]);
    assert_eq!(c.peer.sends()[1..], [Syscall::write(20_000, Ok(20_000))]);
    let handle = world.handle();
    let large = handle.blocks().counts(BlockSize::Large).made;
    assert_eq!(large, 0, "nothing was copied");
    world.settle();
    assert_eq!(c.peer.sends().len(), 2);
}

/// Both limits to the byte: from when on a write is large, and what is enough.
#[test]
fn d_12_a_write_of_16_kib_is_large_and_what_reaches_the_high_mark_is_enough() {
    const LARGE: usize = 16 * 1024;
    let mut world = World::new();
    for (len, left) in [(LARGE - 1, LARGE - 1), (LARGE, 0)] {
        let c = world.connect();
        c.transport.write(&vec![b'x'; len]);
        assert_eq!(c.transport.write_buffer_size(), left);
        c.transport.abort();
        let c = world.connect();
        c.transport.write_bytes(Bytes::from(vec![b'x'; len]));
        assert_eq!(c.transport.write_buffer_size(), left);
        c.transport.abort();
        let c = world.connect();
        c.transport.set_write_buffer_limits(Watermarks::from_high(LARGE)).unwrap();
        c.transport.write(&[b'x'; 1000]);
        c.transport.write(&vec![b'x'; len - 1000]);
        assert_eq!(c.transport.write_buffer_size(), left);
        c.transport.abort();
    }
}

#[test]
fn flush_sends_inside_the_call() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.write(b"now");
    c.transport.flush();
    assert_eq!(c.peer.received(), b"now");
    c.transport.flush();
    world.settle();
    assert_eq!(c.peer.sends().len(), 1);
}

#[test]
fn close_write_eof_and_gathering_off_send_what_was_gathered() {
    let mut world = World::new();
    let ends: [fn(&dyn Transport); 3] =
        [|t| t.close(), |t| t.write_eof(), |t| t.set_gathering(false)];
    for end in ends {
        let c = world.connect();
        c.transport.write(b"last");
        end(&*c.transport);
        assert_eq!(c.peer.received(), b"last");
    }
}

#[test]
fn an_abort_in_the_same_unit_drops_what_was_gathered() {
    let mut world = World::new();
    let c = world.connect_with(|transport, event| {
        if event.starts_with("data") {
            transport.write(b"never");
            transport.abort();
        }
        Ok(true)
    });
    c.peer.send("x");
    world.settle();
    assert_eq!(c.log.take(), ["data x", "lost"]);
    assert!(c.peer.received().is_empty());
}

#[test]
fn an_echo_takes_one_block_and_gives_it_back() {
    let mut world = World::new();
    let c = world.connect_with(|transport, event| {
        if let Some(data) = event.strip_prefix("data ") {
            transport.write(data.as_bytes());
        }
        Ok(true)
    });
    for _ in 0..100 {
        c.peer.send("hello");
        world.settle();
    }
    let handle = world.handle();
    let counts = handle.blocks().counts(BlockSize::Small);
    assert_eq!((counts.made, counts.kept), (2, 2), "one to receive into, one to gather in");
}
