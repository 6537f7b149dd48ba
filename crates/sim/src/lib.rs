//! What would happen? An operating system that a test controls: a selector, a clock, a network and a
//! resolver that are deterministic, never sleep, and misbehave on order.
//!
//! It stands beside mio below the event loop and implements the traits of `millrun-selector`, nothing else.
//! It refuses to know event loops, transports, protocols and futures; real descriptors; real time (but for one
//! bounded wait that a test must ask for); and any chance that does not come from its seed.
//!
//! ```
//! use std::time::Duration;
//! use millrun_selector::{Address, ConnectOptions, Interest, ListenOptions};
//! use millrun_sim::{Delay, Sim};
//!
//! # fn main() -> std::io::Result<()> {
//! let sim = Sim::new(7);
//! sim.add_rule(Delay(Duration::from_millis(20))); // each way
//! let (network, mut selector) = (sim.network(), sim.selector());
//! let at: Address = "10.0.0.1:80".parse::<std::net::SocketAddr>().unwrap().into();
//! let listener = network.listen(&at, &ListenOptions::default())?;
//! let client = network.connect(&at, &ConnectOptions::default())?;
//!
//! let key = selector.register(&client, Interest::WRITE)?;
//! let mut events = Vec::new();
//! selector.select(None, &mut events)?; // nothing to do: the clock jumps to the answer
//! assert_eq!((events[0].key, sim.now().as_nanos()), (key, 40_000_000));
//! assert!(client.take_error()?.is_none(), "connected");
//!
//! let (server, _) = listener.try_accept()?;
//! client.try_write(b"hello")?;
//! assert!(server.try_read(&mut [0; 8]).is_err(), "still on its way");
//! sim.advance(Duration::from_millis(20));
//! let mut buffer = [0; 8];
//! assert_eq!(server.try_read(&mut buffer)?, 5);
//!
//! selector.deregister(key, &client)?;
//! drop((listener, client, server));
//! assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # Testing a transport
//!
//! [`Sim::scripted`] gives a socket for the transport, and a [`SimPeer`] by which the test is both the peer and
//! the kernel of that one socket. "The send took 3 of 10 bytes, then blocked, then went on":
//!
//! ```
//! use std::io::ErrorKind::WouldBlock;
//! use millrun_sim::{Failure, Sim, Syscall};
//!
//! # fn main() -> std::io::Result<()> {
//! let sim = Sim::new(0);
//! let (socket, peer) = sim.scripted();
//! peer.set_send_window(3);
//! # // The transport's part:
//! # assert_eq!(socket.try_write(b"0123456789")?, 3);
//! # assert!(socket.try_write(b"3456789").is_err());
//! // … the transport writes b"0123456789" and turns its loop …
//! assert_eq!(peer.received(), b"012");
//! peer.set_send_window(usize::MAX); // room again: the next select says writable
//! # socket.try_write(b"3456789")?;
//! // … another turn …
//! assert_eq!(peer.received(), b"0123456789");
//! assert_eq!(
//!     peer.sends(),
//!     [Syscall::write(10, Ok(3)), Syscall::write(7, Err(WouldBlock)), Syscall::write(7, Ok(7))],
//! );
//!
//! peer.send(b"answer");
//! peer.fail_next_read(WouldBlock); // one false alarm first
//! peer.fail_next_write(Failure::EPIPE);
//! # assert!(socket.try_read(&mut [0; 9]).is_err());
//! # assert_eq!(socket.try_read(&mut [0; 9])?, 6);
//! # assert_eq!(socket.try_write(b"x").unwrap_err().raw_os_error(), Some(32));
//! # drop(socket);
//! // … and at the end:
//! assert!(peer.saw_eof() && !peer.is_open());
//! assert_eq!(sim.open_sockets(), 0);
//! # Ok(())
//! # }
//! ```
//!
//! A transport that waits for what can't come any more (it forgot to read on, or to ask for writability)
//! does not hang: the loop's `select` fails with a [`Deadlock`] that lists who waits for what.
//!
//! # Testing an application
//!
//! Build its event loop from [`Sim::selector`], [`Sim::clock`], [`Sim::network`] and [`Sim::resolver`], let it
//! listen and connect by address, with names from [`Sim::add_host`], and add what shall go wrong: [`Faults`] by chance,
//! [`Rule`]s for the links, [`Sim::set_fd_limit`], [`Sim::fail_next`]. Timeouts of hours cost nothing, since
//! an idle `select` moves the clock at once. Put `{sim:?}` into the message of a failing assertion: it has the
//! seed, and with it the run repeats. A program that is never idle keeps the clock where it is
//! ([`Sim::set_select_cost`]).
//!
//! # Testing several machines
//!
//! [`Sim::host`] gives a machine with a name, addresses, ports and a budget of descriptors of its own. Between hosts there are
//! rules ([`Between`], [`Toward`], [`Leaving`] with [`Delay`], [`Jitter`], [`Bandwidth`] or a closure), [`partitions`](Sim::partition)
//! and [`crashes`](SimHost::crash). Each needs an event loop of its own, and somebody who steps them ([`Sim::set_driven`]): the
//! crate `millrun-testbed` is that.
//!
//! # How it behaves
//!
//! As Linux, where a program can tell; each file begins with its rules. Readiness is told by edges into the
//! [`ReadyCell`](millrun_selector::ReadyCell) of a socket, which clears it on `WouldBlock` and short transfers as a real
//! one does. Buffers are bounded: 64 KiB each way unless [`Sim::set_buffers`] says otherwise. What `select`
//! costs grows with what is ready, not with what is registered.
#![forbid(unsafe_code)]

mod clock;
mod endpoint;
mod failure;
mod faults;
mod host;
mod kernel;
mod link;
mod listener;
mod machine;
mod network;
mod options;
mod partition;
mod peer;
mod record;
mod registry;
mod resolver;
mod rng;
mod selector;
mod sim;
mod stream;
mod trace;
mod wire;

pub use failure::Failure;
pub use faults::Faults;
pub use host::SimHost;
pub use link::{
    Bandwidth, Between, Delay, Jitter, Leaving, OnPort, Packet, PacketKind, Rule, Toward,
};
pub use peer::SimPeer;
pub use record::{Call, Counters, Fault, Injected, Syscall};
pub use rng::Rng;
pub use selector::{Deadlock, ForeignSource};
pub use sim::Sim;
pub use trace::{Happening, What};
