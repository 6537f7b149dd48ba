//! Does what you wrote keep the contract? Checks for authors of selectors, sockets, transports and streams: each takes a
//! maker and tries to break what it makes.
//!
//! A boundary is a trait and the rules that the trait's text states. The compiler checks the trait; this crate checks the rules. Each
//! rule is an [`Invariant`] with a name, and a failure tells the name, what was expected and what came:
//!
//! ```text
//! selector/end-is-reported: The end of file is reported, also when it came together with the last bytes.
//!   scenario: the last words and the end, before the registration
//!   expected: a report: the end came with the last bytes
//!   got:      NONE for 10s
//! ```
//!
//! # A program
//!
//! The simulated sockets are checked as any others would be. A maker makes one fresh world for each scenario:
//!
//! ```
//! use std::io;
//! use std::rc::Rc;
//! use millrun_conformance::{SocketAbilities, SocketWorld, check_selector, check_socket};
//! use millrun_selector::{Clock, Selector, Socket};
//! use millrun_sim::Sim;
//!
//! struct Simulated(Sim);
//!
//! impl SocketWorld for Simulated {
//!     fn selector(&mut self) -> io::Result<Box<dyn Selector>> {
//!         Ok(self.0.selector())
//!     }
//!     fn clock(&self) -> Rc<dyn Clock> {
//!         self.0.clock()
//!     }
//!     fn pair(&mut self) -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
//!         Ok(self.0.tcp_pair())
//!     }
//!     fn abilities(&self) -> SocketAbilities {
//!         SocketAbilities::default().without_real_time()
//!     }
//! }
//!
//! check_selector(|| Ok(Simulated(Sim::new(1))));
//! check_socket(|| Ok(Simulated(Sim::new(1))));
//! ```
//!
//! Transports are checked by `check_transport`, which asks for a loop and connections on it: see there for a program. With the same
//! world `check_stream` checks a stream reader and writer over them.
//!
//! `transcribe` plays some lives of a connection and writes down what both ends heard: the same over the operating system's sockets,
//! simulated ones and whatever else keeps the contract.
//!
//! # What is checked, and how well
//!
//! [`Invariant`] lists the rules. For each of them this crate's own tests have an implementation that breaks it, and see that the
//! failure names it; and they check the sockets, selectors and transports of the operating system and of the simulation.
//! A clean report says that nothing was found: what must *not* come is waited for some milliseconds only.
//!
//! # Features
//!
//! `streams` (on by default) brings `check_stream` and the layers below streams; `transport`, which is part of it, `check_transport`,
//! the loop and the transport layer. With neither there are [`check_selector`] and [`check_socket`], and of Millrun the
//! traits of `millrun-selector` alone.
//!
//! # What it refuses to know
//!
//! - How anything is made. A maker gives it; so it runs on any kernel, on none, and on what is stacked on what.
//! - The time. There is the clock of what is checked; a wait for what must come ends after ten seconds of it, and nothing that is right
//!   waits as long.
//! - Speed. A slow implementation passes.
//! - What can't be asked from outside: leaks of descriptors, counts of system calls.
#![forbid(unsafe_code)]

mod desk;
mod invariant;
mod pattern;
mod report;
mod selector;
mod socket;
#[cfg(feature = "streams")]
mod stream;
#[cfg(feature = "transport")]
mod transport;
mod world;

pub use invariant::Invariant;
pub use report::{Report, Violation};
pub use selector::{check_selector, examine_selector};
pub use socket::{check_socket, examine_socket};
#[cfg(feature = "streams")]
pub use stream::{check_stream, examine_stream};
#[cfg(feature = "transport")]
pub use transport::{
    Attach, Connection, Far, Peer, SocketPeer, Transcript, TransportAbilities, TransportWorld,
    check_transport, examine_transport, examine_transport_until, transcribe,
};
pub use world::{ForeignEnd, SocketAbilities, SocketWorld};
