//! What the kernel has no room for waits, and leaves when it has.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::ErrorKind::WouldBlock;
use std::net::Shutdown;
use std::time::Duration;

use bytes::Bytes;
use common::{Connection, World};
use millrun_selector::MAX_SLICES;
use millrun_sim::Syscall;
use millrun_transport::{Transport, Watermarks};

fn is_polling(c: &Connection) -> bool {
    format!("{:?}", c.transport).contains("write=<polling")
}

#[test]
fn t_044_with_bytes_buffered_a_write_only_appends() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.write(b"one ");
    let sends = c.peer.sends().len();
    c.transport.write(b"two ");
    c.transport.write_bytes(Bytes::from_static(b"three"));
    assert_eq!(c.peer.sends().len(), sends);
    assert_eq!(c.transport.write_buffer_size(), 13);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.peer.received(), b"one two three");
}

/// Nothing is left to be done that could be: the kernel will say when.
#[test]
fn t_044_what_only_waits_gives_the_loop_nothing_to_do() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.set_send_window(0);
    c.transport.write(b"one");
    world.settle();
    c.transport.write(b"two");
    c.transport.write_bytes(Bytes::from(vec![b'x'; 5000]));
    assert!(!world.event_loop.turn(Some(Duration::ZERO)).unwrap());
}

#[test]
fn t_050_write_ready_sends_up_to_iov_max_pieces_in_one_call() {
    let mut world = World::new();
    world.sim.set_buffers(4 << 20, 4 << 20);
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.write(b"x");
    for _ in 0..MAX_SLICES + 10 {
        c.transport.write_bytes(Bytes::from(vec![b'y'; 2000]));
    }
    c.peer.take_calls();
    c.peer.set_send_window(usize::MAX);
    world.settle();
    let first = 1 + (MAX_SLICES - 1) * 2000;
    assert_eq!(
        c.peer.sends(),
        [
            Syscall::write_vectored(MAX_SLICES, first, Ok(first)),
            Syscall::write_vectored(11, 22_000, Ok(22_000)),
        ]
    );
    assert_eq!(c.transport.write_buffer_size(), 0);
}

/// One piece needs no array of them, whoever it belongs to.
#[test]
fn t_050_one_piece_goes_out_in_a_plain_send() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.write_bytes(Bytes::from(vec![b'x'; 5000]));
    c.peer.take_calls();
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.peer.sends(), [Syscall::write(5000, Ok(5000))]);
}

#[test]
fn t_051_a_partial_vectored_send_keeps_the_tail_of_the_cut_piece() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    let pieces: Vec<Bytes> = (0..4_u8).map(|i| vec![i; 2000].into()).collect();
    for piece in &pieces {
        c.transport.write_bytes(piece.clone());
    }
    c.peer.set_send_window(2500);
    world.settle();
    assert_eq!(c.transport.write_buffer_size(), 5500);
    assert_eq!(c.peer.received(), pieces.concat()[..2500]);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.peer.received(), pieces.concat());
}

#[test]
fn t_052_a_false_alarm_changes_nothing() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.write(b"hello");
    c.peer.fail_next_write(WouldBlock);
    c.peer.set_send_window(1);
    world.settle();
    assert_eq!(c.transport.write_buffer_size(), 4);
    assert!(is_polling(&c) && c.log.is_empty());
}

#[test]
fn t_054_when_the_buffer_is_empty_interest_goes_then_closing_or_eof_goes_on() {
    let mut world = World::new();
    let (closing, ending) = (world.connect_ungathered(), world.connect_ungathered());
    for c in [&closing, &ending] {
        c.peer.set_send_window(1);
        c.transport.write(b"xy");
    }
    closing.transport.close();
    ending.transport.write_eof();
    world.settle();
    assert!(!closing.peer.saw_eof() && !ending.peer.saw_eof());
    for c in [&closing, &ending] {
        c.peer.set_send_window(usize::MAX);
    }
    world.settle();
    assert_eq!(closing.log.take(), ["lost"]);
    assert!(ending.peer.saw_eof() && ending.log.is_empty() && !is_polling(&ending));
    let calls = ending.peer.calls();
    assert_eq!(calls.last(), Some(&Syscall::shutdown(Shutdown::Write)));
}

/// Whatever holds the bytes: a block, owned bytes, both.
#[test]
fn t_054_a_close_and_an_end_wait_for_owned_bytes_too() {
    let mut world = World::new();
    for close in [true, false] {
        for gathered in [&b""[..], b"head"] {
            let c = world.connect();
            c.peer.set_send_window(1);
            c.transport.write(gathered);
            c.transport.write_bytes(Bytes::from(vec![b'x'; 20_000]));
            if close {
                c.transport.close()
            } else {
                c.transport.write_eof()
            }
            world.settle();
            assert!(c.log.is_empty() && !c.peer.saw_eof());
            c.peer.set_send_window(usize::MAX);
            world.settle();
            assert_eq!(c.log.take(), if close { vec!["lost"] } else { vec![] });
            assert_eq!(
                (c.peer.received().len(), c.peer.saw_eof()),
                (gathered.len() + 20_000, true)
            );
        }
    }
}

#[test]
fn t_055_resume_writing_may_append() {
    let mut world = World::new();
    let c = world.connect_with(|transport, event| {
        if event == "resume" {
            transport.write(b" and more");
        }
        Ok(true)
    });
    c.transport.set_gathering(false);
    c.transport.set_write_buffer_limits(Watermarks::from_high(2)).unwrap();
    c.peer.set_send_window(0);
    c.transport.write(b"hello");
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
    c.peer.set_send_window(7);
    world.settle();
    // Sent: hello, 2 bytes of the rest; that is above the mark again.
    assert_eq!(c.log.take(), ["resume", "pause"]);
    assert_eq!(c.transport.write_buffer_size(), 7);
    c.peer.set_send_window(7);
    world.settle();
    assert_eq!(c.log.take(), ["resume", "pause"]);
    assert_eq!(c.peer.received(), b"hello and more");
    assert_eq!(c.transport.write_buffer_size(), 9);
}
