//! The last words of a connection whose write failed (D-21), when its protocol changes meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use common::{Log, Probe, World};
use millrun_sim::{Failure, SimPeer};
use millrun_transport::{Landing, Protocol, SocketTransport, Transport, TransportOptions};

/// Leaves its place to another protocol when it is asked where bytes shall land.
struct Leaves(Log, Option<Rc<dyn Transport>>);

impl Protocol for Leaves {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.1 = Some(transport);
    }

    fn landing(&mut self) -> Landing<'_> {
        let transport = self.1.clone().unwrap();
        let heir = Probe::on(&self.0, transport.clone(), |_: &dyn Transport, _: &str| Ok(true));
        transport.set_protocol(Box::new(heir));
        Landing::Shared(usize::MAX)
    }

    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        panic!("it was replaced")
    }
}

#[test]
fn d_21_a_protocol_that_is_set_during_the_drain_gets_the_rest() {
    let mut world = World::new();
    let (socket, peer) = world.sim.scripted();
    let log = Log::default();
    let leaves = Box::new(Leaves(log.clone(), None));
    let options = TransportOptions::default();
    let t = SocketTransport::new(&world.handle(), socket, leaves, options).unwrap();
    t.write(b"hello");
    peer.send("last words");
    peer.fail_next_write(Failure::EPIPE);
    world.settle();
    let log = log.take();
    assert!(log.len() == 2 && log[1].starts_with("lost BrokenPipe"), "{log:?}");
    assert_eq!(log[0], "data last words");
}

/// Counts what it gets, 4 KiB at most each time, and has a peer that sends as much again.
struct Counts(Rc<Cell<usize>>, SimPeer);

impl Protocol for Counts {
    fn landing(&mut self) -> Landing<'_> {
        Landing::Shared(4096)
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.set(self.0.get() + data.len());
        self.1.send(data);
        Ok(())
    }
}

/// More than a kernel buffers, and no more.
#[test]
fn d_21_the_last_words_are_eight_mebibytes_at_most() {
    let mut world = World::new();
    let (socket, peer) = world.sim.scripted();
    let count = Rc::new(Cell::new(0));
    let counts = Box::new(Counts(count.clone(), peer.clone()));
    let options = TransportOptions::default();
    let t = SocketTransport::new(&world.handle(), socket, counts, options).unwrap();
    world.settle();
    t.write(b"hello");
    peer.fail_next_write(Failure::EPIPE);
    t.flush();
    peer.send(vec![b'x'; 8192]);
    world.settle();
    assert_eq!((count.get(), peer.is_open()), (8 << 20, false));
}
