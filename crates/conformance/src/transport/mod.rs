//! Does this transport keep its contract? [`check_transport`].

mod closing;
mod ends;
mod facts;
mod far_end;
mod line;
mod order;
mod panics;
mod peer;
mod pressure;
mod probe;
mod reading;
mod record;
mod reentrancy;
mod replacing;
pub(crate) mod stage;
mod transcript;
mod world;
mod writing;

use std::io;

use crate::Report;
#[cfg(feature = "streams")]
pub(crate) use far_end::FarEnd;
pub use peer::{Peer, SocketPeer};
use stage::play;
pub use transcript::{Transcript, transcribe};
pub use world::{Attach, Connection, Far, TransportAbilities, TransportWorld};

/// Tries to break a transport: order, writing and its marks, closing and its outcomes, reading and its pauses, any call
/// from inside any callback, panics. `make` makes a fresh world for each scenario.
///
/// ```
/// use std::io;
/// use std::rc::Rc;
/// use millrun_conformance::{
///     Connection, SocketPeer, TransportAbilities, TransportWorld, check_transport,
/// };
/// use millrun_loop::EventLoop;
/// use millrun_sim::Sim;
/// use millrun_transport::{SocketTransport, Transport, TransportOptions};
///
/// /// A loop on a simulated kernel: nothing of it takes any time.
/// struct Simulated(Sim, EventLoop);
///
/// impl Simulated {
///     fn new() -> io::Result<Simulated> {
///         let sim = Sim::new(1);
///         let event_loop = EventLoop::builder().selector(sim.selector()).clock(sim.clock());
///         let event_loop = event_loop.network(sim.network()).resolver(sim.resolver()).build()?;
///         Ok(Simulated(sim, event_loop))
///     }
/// }
///
/// impl TransportWorld for Simulated {
///     fn event_loop(&mut self) -> &mut EventLoop {
///         &mut self.1
///     }
///     /// The transport that is checked (yours), and a peer of it: a socket here.
///     fn connect(&mut self) -> io::Result<Connection> {
///         let (near, far) = self.0.tcp_pair();
///         let handle = self.1.handle();
///         let attach = move |protocol| {
///             let options = TransportOptions::default();
///             let transport = SocketTransport::new(&handle, near, protocol, options)?;
///             Ok(transport as Rc<dyn Transport>)
///         };
///         Ok(Connection::to(Box::new(attach), SocketPeer::new(far)))
///     }
///     fn abilities(&self) -> TransportAbilities {
///         TransportAbilities::default().with_buffers(128 * 1024) // the simulation's
///     }
/// }
///
/// check_transport(Simulated::new);
/// ```
///
/// Panics that are told to happen are printed by the panic hook; they are no failures.
///
/// # Panics
/// With every [`Violation`](crate::Violation), when there is one.
#[track_caller]
pub fn check_transport<W: TransportWorld>(make: impl FnMut() -> io::Result<W>) {
    examine_transport(make).assert_clean();
}

/// As [`check_transport`], and tells what was found.
pub fn examine_transport<W: TransportWorld>(make: impl FnMut() -> io::Result<W>) -> Report {
    examine_transport_until(|_| false, make)
}

/// As [`examine_transport`], and ends after the scenario with which `is_enough` says so: to look for one failure.
pub fn examine_transport_until<W: TransportWorld>(
    is_enough: impl FnMut(&Report) -> bool,
    make: impl FnMut() -> io::Result<W>,
) -> Report {
    let scenarios = &[
        order::SCENARIOS,
        ends::SCENARIOS,
        writing::SCENARIOS,
        pressure::SCENARIOS,
        closing::SCENARIOS,
        reading::SCENARIOS,
        replacing::SCENARIOS,
        panics::SCENARIOS,
        facts::SCENARIOS,
        reentrancy::SCENARIOS,
    ];
    play(scenarios, is_enough, make)
}
