//! The last words of a connection whose write failed (D-21), when its protocol changes meanwhile.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::rc::Rc;

use common::{Log, Probe, World};
use millrun_sim::Failure;
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
