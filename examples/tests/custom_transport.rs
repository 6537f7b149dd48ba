//! The transport of one's own, as its author would check it: every rule of transports, by its name.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../examples/custom_transport/carry.rs"]
mod carry;
#[path = "../examples/custom_transport/end.rs"]
mod end;
#[path = "../examples/custom_transport/face.rs"]
mod face;
#[path = "../examples/custom_transport/pipe.rs"]
mod pipe;

use std::io;
use std::rc::Rc;

use millrun::event_loop::EventLoop;
use millrun::transport::Transport;
use millrun_conformance::{
    Attach, Connection, TransportAbilities, TransportWorld, examine_stream, examine_transport,
};
use millrun_sim::Sim;
use pipe::Pipe;

/// A loop on a virtual clock: a millisecond of the pipe's takes no time.
struct Pipes(EventLoop);

impl Pipes {
    fn new() -> io::Result<Pipes> {
        let sim = Sim::new(1);
        let event_loop = EventLoop::builder().selector(sim.selector()).clock(sim.clock());
        Ok(Pipes(event_loop.network(sim.network()).resolver(sim.resolver()).build()?))
    }
}

fn attach(pipe: Rc<Pipe>) -> Attach {
    Box::new(|protocol| pipe.attach(protocol).map(|pipe| pipe as Rc<dyn Transport>))
}

impl TransportWorld for Pipes {
    fn event_loop(&mut self) -> &mut EventLoop {
        &mut self.0
    }

    fn connect(&mut self) -> io::Result<Connection> {
        let (near, far) = Pipe::pair(&self.0.handle());
        Ok(Connection::pair(attach(near), attach(far)))
    }

    /// It asks for no landing, has no deadline for its close and no name. Without a descriptor it can't hear
    /// of a loop's close.
    fn abilities(&self) -> TransportAbilities {
        TransportAbilities::default()
            .without_room()
            .without_close_timeout()
            .without_addresses()
            .without_loop_close()
            .with_buffers(128 * 1024)
    }
}

#[test]
fn a_transport_of_ones_own_keeps_the_contract() {
    let report = examine_transport(Pipes::new);
    report.assert_clean();
    assert_eq!(report.skipped().len(), 9, "{report}");
}

#[test]
fn streams_over_a_transport_of_ones_own_keep_theirs() {
    let report = examine_stream(Pipes::new);
    report.assert_clean();
    assert_eq!(report.skipped().len(), 1, "{report}");
}
