//! The life of a connection: made, closed, aborted, lost.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::{Rc, Weak};

use common::{Log, Probe, World};
use millrun_selector::{SocketOption, SocketOptionName};
use millrun_sim::{Call, Failure};
use millrun_transport::{
    CloseOutcome, ConnectionOwner, Flow, SocketTransport, Transport, TransportFamily,
    TransportOptions, Watermarks,
};

#[test]
fn t_001_construction_calls_nothing_and_queues_made_then_reading() {
    // Also E-002, its last steps.
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
    assert!(c.log.is_empty(), "never from inside the call");
    c.transport.close();
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert!(c.peer.saw_eof() && !c.peer.saw_reset() && !c.peer.is_open());
    assert_eq!((world.sim.registrations(), world.sim.open_sockets()), (0, 0));
    assert_eq!(c.transport.close_outcome(), Some(CloseOutcome::Flushed));
}

#[test]
fn t_016_close_flushes_first() {
    // Also T-065.
    let mut world = World::new();
    let c = world.connect();
    c.peer.set_send_window(3);
    c.transport.write(b"0123456789");
    c.transport.close();
    world.settle();
    assert!(c.log.is_empty());
    assert_eq!((c.peer.received(), c.transport.close_outcome()), (b"012".to_vec(), None));
    c.peer.set_send_window(6);
    world.settle();
    assert!(c.log.is_empty());
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert_eq!(c.peer.received(), b"0123456789");
    assert_eq!(c.transport.close_outcome(), Some(CloseOutcome::Flushed));
}

#[test]
fn t_017_after_close_nothing_is_delivered() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.set_send_window(0);
    c.transport.write(b"kept back");
    c.transport.close();
    c.peer.send("too late");
    c.peer.send_eof();
    world.settle();
    assert!(c.log.is_empty());
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
}

#[test]
fn t_018_abort_drops_what_is_buffered() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.set_send_window(3);
    c.transport.write(b"0123456789");
    c.transport.flush();
    c.transport.abort();
    assert!(c.transport.is_closing() && c.log.is_empty());
    assert_eq!(c.transport.write_buffer_size(), 0);
    c.peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert_eq!(c.peer.received(), b"012");
    assert_eq!(c.transport.close_outcome(), Some(CloseOutcome::Unsent(7)));
}

#[test]
fn t_019_the_first_end_wins() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.fail(io::Error::other("the first"));
    c.transport.fail(io::Error::other("the second"));
    c.transport.abort();
    c.transport.close();
    world.settle();
    assert_eq!(c.log.take(), ["lost Other: the first"]);

    // An abort cuts a close short that waits for its flush.
    let c = world.connect();
    c.peer.set_send_window(0);
    c.transport.write(b"x");
    c.transport.close();
    world.settle();
    c.transport.abort();
    c.transport.fail(io::Error::other("too late"));
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert!(world.reports().is_empty());
}

/// Logs who is told what when.
struct Owner {
    log: Log,
    transports: RefCell<Vec<Rc<SocketTransport>>>,
}

impl ConnectionOwner for Owner {
    fn connection_over(&self, number: u32) {
        self.log.push(format!("over {number}"));
        let transport = &self.transports.borrow()[number as usize];
        let gone = transport.option(SocketOptionName::NoDelay).unwrap_err().kind();
        assert_eq!(gone, ErrorKind::NotConnected);
    }
}

#[test]
fn t_020_lost_then_the_socket_then_the_owner_even_if_lost_fails() {
    let mut world = World::new();
    let log = Log::default();
    let owner = Rc::new(Owner { log: log.clone(), transports: RefCell::default() });
    let weak: Weak<dyn ConnectionOwner> = Rc::downgrade(&owner) as Weak<dyn ConnectionOwner>;
    let options = TransportOptions::default();
    let family = TransportFamily::new(&world.handle(), &options, Some(weak)).unwrap();
    for number in 0..2 {
        let (socket, peer) = world.sim.scripted();
        let probe = Probe::new(&log, move |_: &dyn Transport, event: &str| {
            if event == "lost" {
                assert!(peer.is_open(), "the socket is closed after connection_lost");
                assert!(number == 0, "lost fails");
            }
            Ok(true)
        });
        let transport = family.transport(socket, Box::new(probe), None, number).unwrap();
        owner.transports.borrow_mut().push(transport);
    }
    world.settle();
    for transport in &*owner.transports.borrow() {
        transport.close();
    }
    world.settle();
    assert_eq!(log.take(), ["made", "made", "lost", "over 0", "lost", "over 1"]);
    let reports = world.reports();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].starts_with("connection_lost() failed"), "{}", reports[0]);
    assert!(reports[0].contains("lost fails"), "{}", reports[0]);
    assert_eq!(world.sim.open_sockets(), 0);
}

#[test]
fn t_021_lost_is_called_once_and_from_the_queue() {
    let mut world = World::new();
    let c = world.connect_with(|transport, event| {
        if event.starts_with("data") {
            transport.abort();
            transport.close();
            transport.fail(io::Error::other("again"));
        }
        Ok(true)
    });
    c.peer.send("x");
    c.peer.send_eof();
    world.settle();
    assert_eq!(c.log.take(), ["data x", "lost"]);
}

/// Also not from the end of the unit, which has work left to do.
#[test]
fn t_021_what_a_unit_left_is_no_turn_in_the_queue() {
    let mut world = World::new();
    let c = world.connect();
    let (handle, log) = (world.handle(), c.log.clone());
    handle.unit(|| {
        c.transport.write(b"never");
        handle.call_soon(move || log.push("queued before it")).unwrap();
        c.transport.abort();
    });
    assert!(c.log.is_empty());
    world.settle();
    assert_eq!(c.log.take(), ["queued before it", "lost"]);

    let c = handle.unit(|| {
        let c = world.make();
        c.transport.write(b"early");
        c
    });
    assert!(c.log.is_empty(), "T-001");
    world.settle();
    assert_eq!((c.log.take(), c.peer.received()), (vec!["made".to_owned()], b"early".to_vec()));
}

#[test]
fn p_013_abort_in_connection_made() {
    // Also T-022: the start of reading finds it closing.
    let mut world = World::new();
    let c = world.make_with(|transport, event| {
        if event == "made" {
            transport.abort();
        }
        Ok(true)
    });
    c.peer.send("unheard");
    world.settle();
    assert_eq!(c.log.take(), ["made", "lost"]);
}

#[test]
fn t_023_addresses_stay_readable_after_close() {
    let mut world = World::new();
    let c = world.connect();
    let ends = (c.transport.local_addr(), c.transport.peer_addr());
    assert!(ends.0.is_some() && ends.1.is_some() && ends.0 != ends.1);
    c.transport.close();
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    assert_eq!((c.transport.local_addr(), c.transport.peer_addr()), ends);
}

#[test]
fn t_024_the_peer_is_who_accept_said_else_who_the_socket_says() {
    let mut world = World::new();
    for address in [
        "10.9.8.7:65".parse::<std::net::SocketAddr>().unwrap().into(),
        "[fe80::1]:65".parse::<std::net::SocketAddr>().unwrap().into(),
        millrun_selector::Address::UnixUnnamed,
        millrun_selector::Address::Unix("/run/x".into()),
    ] {
        let mut options = TransportOptions::default();
        options.peer = Some(address.clone());
        let c = world.make_from(options, |_, _| Ok(true));
        assert_eq!(c.transport.peer_addr(), Some(address));
    }
    let c = world.connect();
    c.peer.reset();
    world.settle();
    assert!(c.transport.peer_addr().is_some(), "asked at the start: a reset forgets it");
}

#[test]
fn t_026_after_lost_there_is_no_socket_below() {
    // T-025 is a matter of types: options and addresses are all that can be reached.
    let mut world = World::new();
    let c = world.connect();
    c.transport.set_option(SocketOption::NoDelay(false)).unwrap();
    let option = c.transport.option(SocketOptionName::NoDelay).unwrap();
    assert_eq!(option, SocketOption::NoDelay(false));
    c.transport.close();
    world.settle();
    let after = c.transport.set_option(SocketOption::NoDelay(true)).unwrap_err();
    assert_eq!(after.kind(), ErrorKind::NotConnected);
}

#[test]
fn t_027_methods_of_a_transport_that_is_over_are_harmless() {
    let mut world = World::new();
    let c = world.connect();
    c.transport.close();
    world.settle();
    assert_eq!(c.log.take(), ["lost"]);
    let t = &c.transport;
    t.pause_reading();
    t.resume_reading();
    t.write_eof();
    t.flush();
    t.close();
    t.close_within(std::time::Duration::ZERO);
    t.set_close_timeout(std::time::Duration::ZERO);
    t.abort();
    t.fail(io::Error::other("nobody hears"));
    t.set_gathering(false);
    t.set_write_buffer_limits(Watermarks::from_high(0)).unwrap();
    let late = Probe::on(&c.log, t.clone(), |_: &dyn Transport, _: &str| Ok(true));
    t.set_protocol(Box::new(late));
    assert_eq!(t.write(b"x"), Flow::Closed);
    assert!(!t.is_reading() && t.is_closing());
    world.settle();
    assert!(c.log.is_empty());
    assert!(world.reports().is_empty());
    assert_eq!(Rc::strong_count(&c.transport), 1, "nobody else holds it");
}

#[test]
fn t_028_a_transport_that_cant_be_made_closes_its_socket() {
    let world = World::new();
    world.sim.fail_next(Call::Register, Failure::EMFILE);
    let (socket, peer) = world.sim.scripted();
    let log = Log::default();
    let probe = Box::new(Probe::new(&log, |_: &dyn Transport, _: &str| Ok(true)));
    let options = TransportOptions::default();
    let error = SocketTransport::new(&world.handle(), socket, probe, options).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(24));
    assert!(!peer.is_open() && log.is_empty());
    assert_eq!((world.sim.open_sockets(), world.sim.registrations()), (0, 0));
}

#[test]
fn d_19_a_loop_that_closes_tells_every_connection() {
    // Invariant 3. One is open, one flushes, one was aborted a moment ago, one was not even made.
    let mut world = World::new();
    let open = world.connect();
    open.transport.write(b"last words");
    let flushing = world.connect();
    flushing.peer.set_send_window(0);
    flushing.transport.write(b"stuck");
    flushing.transport.close();
    world.settle();
    let aborted = world.connect();
    aborted.transport.abort();
    let unmade = world.make();
    world.event_loop.close();
    assert_eq!(open.log.take(), ["lost"]);
    assert_eq!(open.peer.received(), b"last words");
    assert_eq!(flushing.log.take(), ["lost"]);
    assert_eq!(flushing.transport.close_outcome(), Some(CloseOutcome::Unsent(5)));
    assert_eq!(aborted.log.take(), ["lost"]);
    assert_eq!(unmade.log.take(), ["made", "lost"]);
    assert_eq!(world.sim.open_sockets(), 0);
    for c in [open, flushing, aborted, unmade] {
        assert_eq!(Rc::strong_count(&c.transport), 1);
    }
    let (socket, _) = world.sim.scripted();
    let probe = Box::new(Probe::new(&Log::default(), |_: &dyn Transport, _: &str| Ok(true)));
    let closed = SocketTransport::new(&world.handle(), socket, probe, TransportOptions::default());
    assert!(closed.is_err());
}

#[test]
fn t_030_the_text_form_tells_the_state() {
    let mut world = World::new();
    let c = world.connect_ungathered();
    let text = |t: &SocketTransport| format!("{t:?}");
    assert_eq!(text(&c.transport), "<SocketTransport read=polling write=<idle, bufsize=0>>");
    c.transport.pause_reading();
    c.peer.set_send_window(0);
    c.transport.write(b"12345");
    assert_eq!(text(&c.transport), "<SocketTransport read=idle write=<polling, bufsize=5>>");
    c.transport.close();
    assert_eq!(
        text(&c.transport),
        "<SocketTransport closing read=idle write=<polling, bufsize=5>>"
    );
    c.transport.abort();
    world.settle();
    assert_eq!(text(&c.transport), "<SocketTransport closed>");
}

#[test]
fn limits_in_the_wrong_order_are_refused_at_the_start() {
    let world = World::new();
    let mut options = TransportOptions::default();
    options.watermarks = Watermarks { low: 2, high: 1 };
    let (socket, _) = world.sim.scripted();
    let probe = Box::new(Probe::new(&Log::default(), |_: &dyn Transport, _: &str| Ok(true)));
    let error = SocketTransport::new(&world.handle(), socket, probe, options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert_eq!(world.sim.open_sockets(), 0);
}

#[test]
fn a_family_tells_its_options() {
    let world = World::new();
    let family = TransportFamily::new(&world.handle(), &TransportOptions::default(), None).unwrap();
    let text = format!("{family:?}");
    for part in ["watermarks: Watermarks", "close_timeout: 30s", "gathering: true"] {
        assert!(text.contains(part), "{part} in {text}");
    }
}
