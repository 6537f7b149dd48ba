//! What does an application of several hosts do when the network does its worst? A [`World`] of hosts, each with its own
//! event loop, on one simulated network and one virtual clock, in one thread, from one seed.
//!
//! It refuses to know what runs in it: an application that takes its loop from
//! [`LoopHandle::current`](millrun_loop::LoopHandle::current), as streams and transports do, runs here unchanged. It
//! has no real time, no threads, and no chance that does not come from the seed.
//!
//! ```
//! use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
//! use millrun_testbed::{World, note};
//!
//! # type Failure = Box<dyn std::error::Error>;
//! async fn shout(mut reader: StreamReader, writer: StreamWriter) -> Result<(), Failure> {
//!     let line = reader.read_line().await?.to_ascii_uppercase();
//!     writer.write(&line)?;
//!     Ok(())
//! }
//!
//! # fn main() -> Result<(), millrun_testbed::WorldError> {
//! let world = World::new(7);
//! world.host("server", async {
//!     start_server("server", 7, shout).await?.serve_forever().await?;
//!     Ok::<(), Failure>(())
//! }).background();
//! world.host("client", async {
//!     let (mut reader, writer) = open_connection("server", 7).await?;
//!     writer.write(b"hello\n")?;
//!     assert_eq!(reader.read_line().await?, b"HELLO\n");
//!     note("answered");
//!     Ok::<(), Failure>(())
//! });
//! world.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it runs
//!
//! [`World::run`] turns the loops that have something to do, in an order that the seed decides, until none has. Then, and
//! only then, it moves the clock: to the next timer, packet or [appointment](World::at). The world ends when the main
//! future of every host has ended that is not in the [background](Host::background). Blocking work of
//! `run_in_executor` runs inline, so no job is ever outstanding.
//!
//! It fails with a [`WorldError`], and says who waited for what, when nothing can happen any more, when a host fails or
//! panics, when the time limit is over, and when a host that has ended left something behind.
//!
//! # What can go wrong in it
//!
//! Rules for the links ([`World::add_rule`], with those of [`millrun_sim`]: delay, jitter, bandwidth, between two hosts or for
//! all), [`partition`](World::partition) and [`heal`](World::heal), [`crash`](Host::crash) and [`restart`](Host::restart), faults
//! by chance and by order on each [`machine`](Host::machine); now or [at a moment](World::at):
//!
//! ```
//! use std::time::Duration;
//! use millrun_loop::sleep;
//! use millrun_testbed::{World, WorldError, check_seeds};
//!
//! check_seeds("a_bad_hour", 0..10, |world| {
//!     world.host("a", async { sleep(Duration::from_secs(3600)).await });
//!     let b = world.host("b", async { sleep(Duration::from_secs(3600)).await });
//!     world.add_rule(millrun_sim::Delay(Duration::from_millis(20)));
//!     world.at(Duration::from_secs(60), |world| world.partition("a", "b"));
//!     world.at(Duration::from_secs(90), |world| world.heal("a", "b"));
//!     world.at(Duration::from_secs(120), move |_| {
//!         b.crash();
//!         b.restart(async { sleep(Duration::from_secs(1)).await });
//!     });
//!     world.run()?;
//!     assert!(world.log().contains("120.000000000s b: crashes"));
//!     Ok::<(), WorldError>(())
//! });
//! ```
//!
//! # Two harnesses for one machine
//!
//! [`cancel`] gives a call up at each of its awaits; [`torture`] lets each call of the operating system fail, in each way. Both
//! run a scenario of yours on a [`Scene`], again and again, and ask each time whether anything was lost or left.
#![forbid(unsafe_code)]

pub mod cancel;
mod driver;
mod error;
mod host;
mod log;
mod note;
mod scene;
mod seeds;
pub mod torture;
mod witness;
mod world;

pub use error::{HostReport, Report, WorldError, WorldErrorKind};
pub use host::{Host, HostOutput};
pub use note::note;
pub use scene::{Guard, Scene};
pub use seeds::{SEED_VARIABLE, check_seeds};
pub use witness::Witness;
pub use world::World;
