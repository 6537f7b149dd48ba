//! Protocols: defaults, replacement, the buffered kind.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{self, ErrorKind};
use std::rc::Rc;

use common::{Log, Probe, World};
use millrun_sim::{SimPeer, Syscall};
use millrun_transport::{
    Buffered, BufferedProtocol, Protocol, SocketTransport, Transport, TransportOptions,
};
use proptest::prelude::*;

fn make(world: &World, protocol: impl Protocol + 'static) -> (Rc<SocketTransport>, SimPeer) {
    let (socket, peer) = world.sim.scripted();
    let options = TransportOptions::default();
    let transport =
        SocketTransport::new(&world.handle(), socket, Box::new(protocol), options).unwrap();
    (transport, peer)
}

#[test]
fn p_002_defaults_do_nothing_and_eof_closes() {
    struct Minimal;
    impl Protocol for Minimal {
        fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }
    let mut world = World::new();
    let (transport, peer) = make(&world, Minimal);
    peer.send("x");
    world.settle();
    assert!(!transport.is_closing());
    peer.send_eof();
    world.settle();
    assert!(transport.is_closing() && !peer.is_open());
    assert!(world.reports().is_empty());
}

#[test]
fn p_003_lost_is_given_none_or_the_error() {
    let mut world = World::new();
    for (end, expected) in [
        ((|t, _| t.close()) as fn(&dyn Transport, &SimPeer), "lost"),
        (|t, _| t.abort(), "lost"),
        (|t, _| t.fail(ErrorKind::TimedOut.into()), "lost TimedOut: timed out"),
        (|_, p| p.reset(), "lost ConnectionReset: "),
    ] {
        let c = world.connect();
        end(&*c.transport, &c.peer);
        world.settle();
        let log = c.log.take();
        assert!(log.len() == 1 && log[0].starts_with(expected), "{log:?}");
    }
}

#[test]
fn p_004_set_protocol_replaces_the_receiver_for_the_next_event() {
    let mut world = World::new();
    let (old, new) = (Log::default(), Log::default());
    let second = new.clone();
    let probe = Probe::new(&old, move |transport: &dyn Transport, event: &str| {
        if event == "data a" {
            let next = Probe::new(&second, |_: &dyn Transport, _: &str| Ok(true));
            transport.set_protocol(Box::new(next));
        }
        Ok(true)
    });
    let (transport, peer) = make(&world, probe);
    peer.send("a");
    world.settle();
    peer.send("b");
    world.settle();
    transport.close();
    world.settle();
    assert_eq!(old.take(), ["made", "data a"]);
    assert_eq!(new.take(), ["data b", "lost"], "no connection_made");
}

#[test]
fn set_protocol_between_close_and_lost_tells_the_new_one() {
    let mut world = World::new();
    let c = world.connect();
    let new = Log::default();
    c.transport.close();
    c.transport.set_protocol(Box::new(Probe::new(&new, |_: &dyn Transport, _: &str| Ok(true))));
    world.settle();
    assert!(c.log.is_empty());
    assert_eq!(new.take(), ["lost"]);
    assert_eq!(Rc::strong_count(&c.transport), 1);
}

#[test]
fn a_protocol_whose_drop_panics_ends_the_connection_of_the_new_one() {
    struct Bomb(Log);
    impl Protocol for Bomb {
        fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }
    impl Drop for Bomb {
        fn drop(&mut self) {
            self.0.push("dropped");
            panic!("boom");
        }
    }
    let mut world = World::new();
    let log = Log::default();
    let (transport, _peer) = make(&world, Bomb(log.clone()));
    world.settle();
    transport.set_protocol(Box::new(Probe::new(&log, |_: &dyn Transport, _: &str| Ok(true))));
    world.settle();
    assert_eq!(log.take(), ["dropped", "lost Other: drop of a protocol() panicked: boom"]);
    // One that panics in both its last call and its drop.
    let (transport, _peer) = make(&world, Bomb(log.clone()));
    transport.close();
    world.settle();
    assert_eq!(world.sim.open_sockets(), 0);
    assert_eq!(world.reports().len(), 2);
}

/// Lends memory of a fixed size; logs.
struct Lender {
    memory: Vec<u8>,
    log: Log,
    fails: &'static str,
}

impl Lender {
    fn new(size: usize, log: &Log) -> Lender {
        Lender { memory: vec![0; size], log: log.clone(), fails: "" }
    }
}

impl BufferedProtocol for Lender {
    fn get_buffer(&mut self, hint: Option<usize>) -> io::Result<&mut [u8]> {
        self.log.push(format!("get_buffer {hint:?}"));
        match self.fails {
            "get_buffer" => Err(io::Error::other("no memory")),
            "panic" => panic!("no memory at all"),
            _ => Ok(&mut self.memory),
        }
    }

    fn buffer_updated(&mut self, n: usize) -> io::Result<()> {
        self.log.push(format!("updated {}", self.memory[..n].escape_ascii()));
        if self.fails == "buffer_updated" { Err(io::Error::other("bad")) } else { Ok(()) }
    }

    fn eof_received(&mut self) -> bool {
        self.log.push("eof");
        true
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.log.push(error.map_or("lost".to_owned(), |e| format!("lost {e}")));
    }
}

#[test]
fn p_006_a_buffered_protocol_lends_memory_for_each_receive() {
    let mut world = World::new();
    let log = Log::default();
    let (_transport, peer) = make(&world, Buffered(Lender::new(4, &log)));
    peer.send("abcdef");
    world.settle();
    assert_eq!(log.take(), ["get_buffer None", "updated abcd", "get_buffer None", "updated ef"]);
    assert_eq!(peer.reads(), [Syscall::read(4, Ok(4)), Syscall::read(4, Ok(2))]);
}

#[test]
fn p_007_get_buffer_that_fails_or_gives_nothing_is_fatal() {
    for (size, fails, lost, report) in [
        (4, "get_buffer", "lost no memory", "landing() (get_buffer) failed"),
        (0, "", "lost get_buffer() gave an empty buffer: expected at least one byte", "get_buffer"),
        (4, "panic", "lost landing() panicked: no memory at all", "landing() failed"),
    ] {
        let mut world = World::new();
        let log = Log::default();
        let mut lender = Lender::new(size, &log);
        lender.fails = fails;
        let (_transport, peer) = make(&world, Buffered(lender));
        peer.send("x");
        world.settle();
        assert_eq!(log.take(), ["get_buffer None", lost]);
        assert!(peer.reads().is_empty(), "no receive is done");
        let reports = world.reports();
        assert!(reports.len() == 1 && reports[0].contains(report), "{reports:?}");
    }
}

#[test]
fn p_008_buffer_updated_that_fails_is_fatal() {
    let mut world = World::new();
    let log = Log::default();
    let mut lender = Lender::new(4, &log);
    lender.fails = "buffer_updated";
    let (_transport, peer) = make(&world, Buffered(lender));
    peer.send("x");
    world.settle();
    assert_eq!(log.take(), ["get_buffer None", "updated x", "lost bad"]);
    let reports = world.reports();
    assert!(reports[0].starts_with("landed() (buffer_updated) failed"), "{reports:?}");
}

#[test]
fn p_009_would_block_after_get_buffer_updates_nothing() {
    let mut world = World::new();
    let log = Log::default();
    let (_transport, peer) = make(&world, Buffered(Lender::new(4, &log)));
    peer.fail_next_read(ErrorKind::WouldBlock);
    peer.send("x");
    world.settle();
    assert_eq!(log.take(), ["get_buffer None", "get_buffer None", "updated x"]);
}

#[test]
fn p_010_eof_of_a_buffered_protocol() {
    let mut world = World::new();
    let log = Log::default();
    let (transport, peer) = make(&world, Buffered(Lender::new(4, &log)));
    peer.send_eof();
    world.settle();
    assert_eq!(log.take(), ["get_buffer None", "eof"]);
    assert!(!transport.is_closing());
}

#[test]
fn p_005_set_protocol_switches_between_plain_and_buffered() {
    let mut world = World::new();
    let c = world.connect();
    c.peer.send("a");
    world.settle();
    c.transport.set_protocol(Box::new(Buffered(Lender::new(9, &c.log))));
    c.peer.send("b");
    world.settle();
    c.transport.set_protocol(Box::new(Probe::new(&c.log, |_: &dyn Transport, _: &str| Ok(true))));
    c.peer.send("c");
    world.settle();
    assert_eq!(c.log.take(), ["data a", "get_buffer None", "updated b", "data c"]);
}

#[test]
fn p_011_bytes_fed_by_hand_fill_each_buffer_from_its_start() {
    let log = Log::default();
    let mut lender = Buffered(Lender::new(3, &log));
    lender.data_received(b"abcdefgh").unwrap();
    assert_eq!(
        log.take(),
        [
            "get_buffer Some(8)",
            "updated abc",
            "get_buffer Some(5)",
            "updated def",
            "get_buffer Some(2)",
            "updated gh"
        ]
    );
    let mut empty = Buffered(Lender::new(0, &log));
    assert!(empty.data_received(b"x").is_err());
}

#[test]
fn p_012_connection_made_that_fails_ends_the_connection() {
    // D-18.
    let mut world = World::new();
    let c = world.make_with(|_, event| {
        assert!(event != "made", "no luck");
        Ok(true)
    });
    c.peer.send("unheard");
    world.settle();
    assert_eq!(c.log.take(), ["made", "lost Other: connection_made() panicked: no luck"]);
    let reports = world.reports();
    assert!(
        reports.len() == 1 && reports[0].starts_with("connection_made() failed"),
        "{reports:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    /// Chunked content of arbitrary sizes into buffers of an arbitrary size.
    #[test]
    fn p_015_a_buffered_protocol_gets_every_byte(
        size in 1..50_usize,
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20),
    ) {
        let mut world = World::new();
        let log = Log::default();
        let (_transport, peer) = make(&world, Buffered(Lender::new(size, &log)));
        let mut expected = String::new();
        for chunk in chunks {
            peer.send(&chunk);
            expected += &chunk.escape_ascii().to_string();
            world.settle();
        }
        let got: String =
            log.take().iter().filter_map(|event| event.strip_prefix("updated ")).collect();
        prop_assert_eq!(got, expected);
    }
}
