//! Sending in asyncio's way: with gathering off, each write is its own send, inside the call.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::ErrorKind::{self, WouldBlock};
use std::net::Shutdown;

use bytes::Bytes;
use common::{Connection, World};
use millrun_sim::{Call, Failure, Syscall};
use millrun_transport::{CloseOutcome, Flow, Transport, Watermarks, os_error};

fn is_polling(c: &Connection) -> bool {
    format!("{:?}", c.transport).contains("write=<polling")
}

#[test]
fn t_040_write_with_an_empty_buffer_sends_at_once() {
    // Also T-041.
    let mut world = World::new();
    let c = world.connect_ungathered();
    assert_eq!(c.transport.write(b"hello"), Flow::Open);
    assert_eq!(c.peer.sends(), [Syscall::write(5, Ok(5))]);
    assert_eq!(c.peer.received(), b"hello");
    assert_eq!(c.transport.write_buffer_size(), 0);
    assert!(!is_polling(&c));
    world.settle();
    assert_eq!(c.peer.sends().len(), 1);
}

#[test]
fn t_042_what_is_left_of_a_partial_send_is_buffered() {
    // Also E-003.
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(3);
    c.transport.write(b"0123456789");
    assert_eq!(c.peer.sends(), [Syscall::write(10, Ok(3))]);
    assert_eq!(c.transport.write_buffer_size(), 7);
    assert!(is_polling(&c));
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.peer.received(), b"0123456789");
    assert!(!is_polling(&c));
}

#[test]
fn t_043_would_block_and_zero_buffer_everything() {
    // A socket repeats an interrupted call itself.
    let scripts: [fn(&Connection); 2] =
        [|c| c.peer.fail_next_write(WouldBlock), |c| c.peer.short_next_write(0)];
    for script in scripts {
        let mut world = World::new();
        let c = world.connect_ungathered();
        script(&c);
        assert_eq!(c.transport.write(b"hello"), Flow::Open);
        assert_eq!(c.transport.write_buffer_size(), 5);
        assert!(is_polling(&c));
        world.settle();
        assert_eq!(c.peer.received(), b"hello");
        assert!(!is_polling(&c) && world.reports().is_empty());
    }
}

#[test]
fn t_045_an_empty_write_does_nothing() {
    let mut world = World::new();
    for gathering in [false, true] {
        let c = world.connect();
        c.transport.set_gathering(gathering);
        assert_eq!(c.transport.write(b""), Flow::Open);
        assert_eq!(c.transport.write_bytes(Bytes::new()), Flow::Open);
        assert_eq!(c.transport.writelines(&[]), Flow::Open);
        assert_eq!(c.transport.writelines(&[b"", b""]), Flow::Open);
        assert!(!world.event_loop.turn(Some(std::time::Duration::ZERO)).unwrap());
        assert!(c.peer.sends().is_empty());
    }
}

#[test]
fn t_046_a_send_that_fails_ends_the_connection_not_the_call() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.fail_next_write(Failure::EPIPE);
    assert_eq!(c.transport.write(b"lost"), Flow::Closed);
    assert!(c.log.is_empty() && c.transport.is_closing());
    world.settle();
    let log = c.log.take();
    let text = "lost BrokenPipe: sending to ";
    assert!(log.len() == 1 && log[0].starts_with(text), "{log:?}");
    assert!(world.reports().is_empty(), "T-006");

    let c = world.connect_ungathered();
    c.peer.fail_next_write(ErrorKind::InvalidData);
    c.transport.write(b"lost");
    world.settle();
    let log = c.log.take();
    assert!(log.len() == 1 && log[0].starts_with("lost InvalidData: sending to "), "{log:?}");
    let reports = world.reports();
    assert!(
        reports.len() == 1 && reports[0].starts_with("fatal write error on socket transport"),
        "{reports:?}"
    );
}

#[test]
fn t_047_a_write_that_is_not_taken_says_so() {
    // D-03, T-059.
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.transport.write_eof();
    assert_eq!(c.transport.write(b"x"), Flow::Closed);
    assert_eq!(c.transport.writelines(&[b"x"]), Flow::Closed);
    assert_eq!(c.transport.write(b""), Flow::Closed);
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.write(b"kept");
    c.transport.close();
    assert_eq!(c.transport.write(b"late"), Flow::Closed);
    assert_eq!(c.transport.write_bytes(Bytes::from_static(b"late")), Flow::Closed);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.transport.write(b"later"), Flow::Closed);
    assert_eq!(c.peer.received(), b"kept");
}

#[test]
fn t_049_the_callers_buffer_is_free_when_write_returns() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    let mut data = *b"before";
    c.transport.write(&data);
    data.fill(b'!');
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.peer.received(), b"before");
}

#[test]
fn t_053_a_write_error_lets_the_last_words_through() {
    // D-21.
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.write(b"hello");
    c.peer.fail_next_write(Failure::EPIPE);
    c.peer.set_send_window(usize::MAX);
    // One receive, then the write fails with more to read.
    c.peer.send(vec![b'x'; 4096 + 65_536 + 10]);
    c.peer.send_eof();
    world.settle();
    assert_eq!(c.transport.write_buffer_size(), 0);
    assert!(!is_polling(&c) && c.transport.is_closing());
    let log = c.log.take();
    assert_eq!(log[..3], ["data 4096 bytes", "data 65536 bytes", "data xxxxxxxxxx"]);
    assert!(log.len() == 4 && log[3].starts_with("lost BrokenPipe"), "{log:?}");
    assert_eq!(c.transport.close_outcome(), Some(CloseOutcome::Unsent(5)));
}

#[test]
fn d_21_a_paused_protocol_gets_no_more_and_a_close_ends_the_drain() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.transport.pause_reading();
    c.peer.send("unwanted");
    c.peer.fail_next_write(Failure::EPIPE);
    c.transport.write(b"hello");
    world.settle();
    let log = c.log.take();
    assert!(log.len() == 1 && log[0].starts_with("lost BrokenPipe"), "{log:?}");

    let c = world.connect_with(|transport, event| {
        if event.starts_with("data") {
            transport.close();
        }
        Ok(true)
    });
    c.peer.send(vec![b'x'; 10_000]);
    c.peer.fail_next_write(Failure::EPIPE);
    c.transport.set_gathering(false);
    c.transport.write(b"hello");
    world.settle();
    let log = c.log.take();
    assert!(log.len() == 2 && log[1].starts_with("lost BrokenPipe"), "{log:?}");
}

#[test]
fn d_21_a_peer_that_goes_on_sending_does_not_keep_the_drain() {
    let mut world = World::new();
    let peer = std::rc::Rc::new(std::cell::RefCell::new(None::<millrun_sim::SimPeer>));
    let feeder = peer.clone();
    let c = world.connect_with(move |_, event| {
        if event.starts_with("data") {
            if let Some(peer) = &*feeder.borrow() {
                peer.send(vec![b'x'; 65_536]);
            }
        }
        Ok(true)
    });
    *peer.borrow_mut() = Some(c.peer.clone());
    c.peer.send(vec![b'x'; 65_536]);
    c.peer.fail_next_write(Failure::EPIPE);
    c.transport.set_gathering(false);
    c.transport.write(b"hello");
    world.settle();
    assert!(c.log.take().pop().unwrap().starts_with("lost BrokenPipe"));
}

#[test]
fn t_057_write_eof_with_nothing_buffered_shuts_down_at_once() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    assert!(c.transport.can_write_eof(), "T-061");
    c.transport.write_eof();
    assert_eq!(c.peer.calls(), [Syscall::shutdown(Shutdown::Write)]);
    assert!(c.peer.saw_eof() && !c.transport.is_closing());
    c.peer.send("still heard");
    world.settle();
    assert_eq!(c.log.take(), ["data still heard"]);
}

/// Else the peer waits for an end of file that never comes.
#[test]
fn d_34_a_shutdown_that_fails_ends_the_connection() {
    for peer_ended in [false, true] {
        let mut world = World::new();
        let c = world.connect();
        if peer_ended {
            c.peer.send_eof();
            world.settle();
        }
        c.peer.send("last words");
        world.sim.fail_next(Call::Shutdown(Shutdown::Write), Failure::ENOBUFS);
        c.transport.write_eof();
        assert!(c.transport.is_closing());
        let error = c.transport.error().unwrap();
        assert_eq!(os_error(&error), Failure::ENOBUFS.to_error().raw_os_error());
        world.settle();
        let log = c.log.take();
        let (last, before) = log.split_last().unwrap();
        assert!(last.contains("shutdown of the connection to 127.0.0.1:"), "{log:?}");
        assert_eq!(before, if peer_ended { ["eof"] } else { ["data last words"] });
        assert!(!c.peer.is_open() && c.transport.error().is_none());
    }
}

/// A peer that is gone already is told by reading, as what it did.
#[test]
fn a_shutdown_of_a_reset_connection_leaves_the_telling_to_reading() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.reset();
    world.sim.fail_next(Call::Shutdown(Shutdown::Write), Failure::ENOTCONN);
    c.transport.write_eof();
    assert!(!c.transport.is_closing() && c.transport.error().is_none());
    world.settle();
    let log = c.log.take();
    assert!(log.len() == 1 && log[0].starts_with("lost ConnectionReset: receiving"), "{log:?}");
}

#[test]
fn t_058_write_eof_waits_for_the_last_byte() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(2);
    c.transport.write(b"hello");
    c.transport.write_eof();
    world.settle();
    assert!(!c.peer.saw_eof());
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert!(c.peer.saw_eof());
    assert_eq!(c.peer.received(), b"hello");
}

#[test]
fn t_060_write_eof_twice_or_after_close_is_a_no_op() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.transport.write_eof();
    c.transport.write_eof();
    c.transport.close();
    c.transport.write_eof();
    world.settle();
    assert_eq!(c.peer.counters().shutdowns, 1);
    assert_eq!(c.log.take(), ["lost"]);
}

#[test]
fn t_062_writelines_is_one_vectored_send() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.transport.writelines(&[b"one ", b"two ", b"three"]);
    assert_eq!(c.peer.sends(), [Syscall::write_vectored(3, 13, Ok(13))]);
    c.peer.take_received();
    c.peer.set_send_window(6);
    c.transport.writelines(&[b"one ", b"two ", b"three"]);
    assert_eq!(c.transport.write_buffer_size(), 7);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.peer.received(), b"one two three");
}

#[test]
fn t_063_writelines_of_nothing_does_nothing() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.transport.writelines(&[]);
    world.settle();
    assert!(c.peer.sends().is_empty());
    // An empty piece among others neither hangs a close nor cuts the rest off.
    c.transport.writelines(&[b"", b"a", b"", b"b"]);
    c.transport.close();
    world.settle();
    assert_eq!((c.peer.received(), c.log.take()), (b"ab".to_vec(), vec!["lost".to_owned()]));
}

#[test]
fn t_064_writelines_meets_the_high_mark() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    assert_eq!(c.transport.writelines(&[&[0; 40_000], &[0; 40_000]]), Flow::Paused);
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
}

#[test]
fn t_066_the_order_on_the_wire_is_the_order_of_the_writes() {
    let mut world = World::new();
    let c = world.connect();
    let mut expected = Vec::new();
    for i in 0..200_usize {
        let piece = vec![i as u8; (i * 7919) % 30_000];
        expected.extend(&piece);
        c.transport.set_gathering(i % 3 != 0);
        c.peer.set_send_window(expected.len() / 2);
        match i % 4 {
            0 => c.transport.write(&piece),
            1 => c.transport.write_bytes(piece.into()),
            2 => c.transport.writelines(&piece.chunks(1000).collect::<Vec<_>>()),
            _ => {
                world.settle();
                c.transport.write(&piece)
            }
        };
    }
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert!(c.peer.received() == expected);
}

#[test]
fn t_067_the_size_is_what_is_unsent_and_the_limits_are_told() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    assert_eq!(c.transport.write_buffer_limits(), Watermarks::default());
    c.transport.set_write_buffer_limits(Watermarks { low: 1, high: 5 }).unwrap();
    assert_eq!(c.transport.write_buffer_limits(), Watermarks { low: 1, high: 5 });
    c.peer.set_send_window(4);
    c.transport.write(b"0123456789");
    c.transport.write(b"0123456789");
    assert_eq!(c.transport.write_buffer_size(), 16);
}

#[test]
fn e_005_sent_and_buffered_are_written_for_every_split() {
    let mut world = World::new();
    let data: Vec<u8> = (0..60).collect();
    for split in 0..=data.len() {
        let c = world.connect_ungathered();
        c.peer.set_send_window(split);
        c.transport.write(&data);
        assert_eq!(c.peer.received(), data[..split]);
        assert_eq!(c.transport.write_buffer_size(), data.len() - split);
        c.peer.set_send_window(usize::MAX);
        world.settle();
        assert_eq!(c.peer.received(), data);
    }
}
