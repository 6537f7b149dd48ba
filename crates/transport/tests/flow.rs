//! Flow control: the marks of the write buffer, and who is told when.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{Connection, Log, Probe, World};
use millrun_transport::{Flow, SocketTransport, Transport, Watermarks};

/// A connection whose kernel takes nothing.
fn stuck(world: &mut World, marks: Watermarks) -> Connection {
    let c = world.connect_ungathered();
    c.peer.set_send_window(0);
    c.transport.set_write_buffer_limits(marks).unwrap();
    c
}

#[test]
fn f_001_defaults() {
    let mut world = World::new();
    let c = world.connect();
    assert_eq!(c.transport.write_buffer_limits(), Watermarks { low: 16_384, high: 65_536 });
}

#[test]
fn f_003_wrong_limits_change_nothing() {
    let mut world = World::new();
    let c = world.connect();
    let wrong = Watermarks { low: 3, high: 2 };
    assert!(c.transport.set_write_buffer_limits(wrong).is_err());
    assert_eq!(c.transport.write_buffer_limits(), Watermarks::default());
}

#[test]
fn f_004_at_high_nothing_above_it_pause_once() {
    // Also F-006.
    let mut world = World::new();
    let c = stuck(&mut world, Watermarks::from_high(10));
    assert_eq!(c.transport.write(b"0123456789"), Flow::Open);
    world.settle();
    assert!(c.log.is_empty());
    assert_eq!(c.transport.write(b"x"), Flow::Paused);
    assert_eq!(c.transport.write(b"y"), Flow::Paused);
    world.settle();
    c.transport.write(b"z");
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
}

#[test]
fn f_005_pause_comes_when_the_protocol_is_home() {
    // D-17: not from inside `write`; `Flow` told its caller at once.
    let mut world = World::new();
    let log = Log::default();
    let inner = log.clone();
    let c = world.connect_with(move |transport, event| {
        if event.starts_with("data") {
            assert_eq!(transport.write(&[0; 100_000]), Flow::Paused);
            inner.push("still inside data_received");
        }
        inner.push(event);
        Ok(true)
    });
    c.peer.set_send_window(10);
    c.peer.send("x");
    world.settle();
    assert_eq!(log.take()[1..], ["still inside data_received", "data x", "pause"]);
}

#[test]
fn f_007_resume_at_low_once() {
    let mut world = World::new();
    let c = stuck(&mut world, Watermarks { low: 4, high: 10 });
    c.transport.write(b"0123456789ab");
    world.settle();
    c.peer.set_send_window(7);
    world.settle();
    assert_eq!((c.log.take(), c.transport.write_buffer_size()), (vec!["pause".to_owned()], 5));
    c.peer.set_send_window(1);
    world.settle();
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.log.take(), ["resume"]);
}

#[test]
fn f_008_what_comes_and_goes_within_a_unit_is_not_told() {
    let mut world = World::new();
    let c = stuck(&mut world, Watermarks::from_high(10));
    let handle = world.handle();
    handle.unit(|| {
        c.transport.write(b"0123456789ab");
        c.transport.set_write_buffer_limits(Watermarks::from_low(20)).unwrap();
    });
    world.settle();
    assert!(c.log.is_empty());
}

#[test]
fn f_009_changed_limits_are_checked_again_in_both_directions() {
    let mut world = World::new();
    let c = stuck(&mut world, Watermarks::default());
    c.transport.write(&[0; 50]);
    world.settle();
    assert!(c.log.is_empty());
    c.transport.set_write_buffer_limits(Watermarks::from_high(40)).unwrap();
    assert_eq!(c.transport.write(b""), Flow::Paused);
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
    // D-11.
    c.transport.set_write_buffer_limits(Watermarks { low: 50, high: 90 }).unwrap();
    assert_eq!(c.transport.write(b""), Flow::Open);
    world.settle();
    assert_eq!(c.log.take(), ["resume"]);
}

/// Also when it is the end of the unit that finds it: gathered below the marks, and then in part above a lower one.
#[test]
fn f_009_gathered_bytes_that_stay_above_a_lowered_mark_pause() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.set_send_window(3);
    world.handle().unit(|| {
        assert_eq!(c.transport.write(b"0123456789"), Flow::Open);
        c.transport.set_write_buffer_limits(Watermarks::from_high(5)).unwrap();
    });
    assert_eq!((c.log.take(), c.transport.write_buffer_size()), (vec!["pause".to_owned()], 7));
}

/// Between the marks a writer is told what is true, however small its write.
#[test]
fn f_007_a_small_write_between_the_marks_is_told_to_wait() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.set_write_buffer_limits(Watermarks { low: 100, high: 20_000 }).unwrap();
    c.peer.set_send_window(0);
    assert_eq!(c.transport.write(&[0; 30_000]), Flow::Paused);
    world.settle();
    c.peer.set_send_window(29_000);
    world.settle();
    assert_eq!((c.log.take(), c.transport.write_buffer_size()), (vec!["pause".to_owned()], 1000));
    assert_eq!(c.transport.write(b"x"), Flow::Paused);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!((c.log.take(), c.peer.received().len()), (vec!["resume".to_owned()], 30_001));
}

#[test]
fn f_010_high_zero() {
    let mut world = World::new();
    let c = stuck(&mut world, Watermarks::from_high(0));
    assert_eq!(c.transport.write(b"xy"), Flow::Paused);
    world.settle();
    c.peer.set_send_window(1);
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
    c.peer.set_send_window(1);
    world.settle();
    assert_eq!(c.log.take(), ["resume"]);
    // Gathering can't hold back what would pause.
    c.peer.set_send_window(usize::MAX);
    c.transport.set_gathering(true);
    assert_eq!(c.transport.write(b"z"), Flow::Open);
    assert_eq!(c.peer.received(), b"xyz");
}

#[test]
fn f_011_a_failing_pause_or_resume_ends_the_connection() {
    // D-18.
    for failing in ["pause", "resume"] {
        let mut world = World::new();
        let c = world.connect_with(move |_, event| {
            assert!(event != failing, "no luck");
            Ok(true)
        });
        c.transport.set_write_buffer_limits(Watermarks::from_high(0)).unwrap();
        c.peer.set_send_window(0);
        c.transport.write(b"x");
        world.settle();
        c.peer.set_send_window(usize::MAX);
        world.settle();
        let log = c.log.take();
        let text = format!("lost Other: {failing}_writing() panicked: no luck");
        assert_eq!(log.last(), Some(&text));
        let reports = world.reports();
        let message = format!("{failing}_writing() failed");
        assert!(reports.len() == 1 && reports[0].starts_with(&message), "{reports:?}");
    }
}

#[test]
fn f_012_a_send_that_takes_everything_never_pauses() {
    let mut world = World::new();
    world.sim.set_buffers(1 << 20, 1 << 20);
    for gathering in [false, true] {
        let c = world.connect();
        c.transport.set_gathering(gathering);
        assert_eq!(c.transport.write(&[0; 500_000]), Flow::Open);
        for _ in 0..500 {
            assert_eq!(c.transport.write(&[0; 1000]), Flow::Open);
        }
        world.settle();
        assert!(c.log.is_empty());
    }
}

#[test]
fn once_closing_nothing_is_told() {
    let mut world = World::new();
    let c = stuck(&mut world, Watermarks::from_high(0));
    c.transport.write(b"xy");
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
    c.transport.close();
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
}

#[test]
fn a_new_protocol_is_told_what_is_true() {
    let mut world = World::new();
    let c = stuck(&mut world, Watermarks::from_high(0));
    c.transport.write(b"xy");
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
    c.transport.set_protocol(Box::new(Probe::new(&c.log, |_: &dyn Transport, _: &str| Ok(true))));
    assert!(c.log.is_empty());
    world.settle();
    assert_eq!(c.log.take(), ["pause"]);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.log.take(), ["resume"]);
}

#[test]
fn a_callback_that_undoes_what_it_is_told_does_not_stop_the_loop() {
    let mut world = World::new();
    let told = Rc::new(std::cell::Cell::new(0));
    let count = told.clone();
    let c = world.connect_with(move |transport, event| {
        let marks = match event {
            "pause" => Watermarks { low: 100, high: 100 },
            "resume" => Watermarks::from_high(0),
            _ => return Ok(true),
        };
        count.set(count.get() + 1);
        transport.set_write_buffer_limits(marks).unwrap();
        Ok(true)
    });
    c.peer.set_send_window(0);
    c.transport.set_write_buffer_limits(Watermarks::from_high(0)).unwrap();
    c.transport.write(b"x");
    // It goes on for ever, and others get their turn: a turn ends.
    for _ in 0..3 {
        world.event_loop.turn(Some(std::time::Duration::ZERO)).unwrap();
    }
    assert!(told.get() >= 3 && told.get() < 2000, "{}", told.get());
    c.transport.abort();
    world.settle();
    let log = c.log.take();
    for (i, event) in log[..log.len() - 1].iter().enumerate() {
        assert_eq!(event, ["pause", "resume"][i % 2]);
    }
}

#[test]
fn p_014_resume_may_write_to_another_transport() {
    let mut world = World::new();
    let other: Rc<RefCell<Option<Rc<SocketTransport>>>> = Rc::default();
    let target = other.clone();
    let a = world.connect_with(move |_, event| {
        if event == "resume" {
            target.borrow().as_ref().unwrap().write(b"over there");
        }
        Ok(true)
    });
    let b = world.connect();
    *other.borrow_mut() = Some(b.transport.clone());
    a.transport.set_write_buffer_limits(Watermarks::from_high(0)).unwrap();
    a.peer.set_send_window(0);
    a.transport.write(b"x");
    world.settle();
    a.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(a.log.take(), ["pause", "resume"]);
    assert_eq!(b.peer.received(), b"over there");
    other.take();
}
