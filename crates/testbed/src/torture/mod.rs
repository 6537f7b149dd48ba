//! The n-th call fails: once for every n, and once for every error that the call can give.
//!
//! Error paths are the code that runs least and is tested least. SQLite and curl test theirs by counting the
//! calls of a run (of malloc, of the file system), and then running again and again, each time with another one
//! of them failing. Here the calls are those of the boundary to the operating system: a [`Torture`] wraps the
//! traits of `millrun-selector`, whoever implements them, counts what passes, and lets one call fail.
//!
//! [`everywhere`] does all of that for a scenario on a simulated machine, and asks after each run:
//!
//! - Did anything panic? Did it end, by the virtual clock?
//! - Was every connection that was made lost, once, and were its callbacks in order ([`Scene::witness`])?
//! - Is anything left: a descriptor, a registration, a timer, a task, a future ([`Scene::guard`])?
//! - Was the outcome the same as without the failure? If not: did an error surface, which names what failed and says
//!   why? A fault that has to be got over ([`Call::is_passed_over`]) must not change the outcome.
//!
//! ```
//! use std::io;
//! use millrun_loop::spawn;
//! use millrun_sim::Sim;
//! use millrun_streams::{open_connection, start_server};
//! use millrun_testbed::torture;
//!
//! let report = torture::everywhere("hello", || Sim::new(1), |scene| async move {
//!     let server = start_server("10.0.0.1", 80, async |mut reader, writer| {
//!         let line = reader.read_line().await?;
//!         writer.write(line)?;
//!         writer.close().await?;
//!         Ok::<(), io::Error>(()) // an error is reported, which the scene hears
//!     })
//!     .await?;
//!     let (mut reader, writer) = open_connection("10.0.0.1", 80).await?;
//!     writer.write(b"hello\n")?;
//!     // Not `read_to_end`: an answer that is cut off would be taken for a shorter one.
//!     let answer = reader.read_exact(6).await?.to_vec();
//!     writer.close().await?;
//!     server.close();
//!     server.wait_closed().await;
//!     Ok(answer)
//! });
//! report.assert_clean();
//! assert!(report.calls.len() > 10 && report.runs > 50);
//! ```

mod call;
mod everywhere;
mod network;
mod report;
mod selector;
mod socket;
mod state;

pub use call::{Call, Fault};
pub use everywhere::{Which, everywhere, some};
pub use report::{Problem, Report};
pub use state::{Second, Target, Torture};

#[cfg(doc)]
use crate::Scene;
