//! A call is given up at its n-th await: once for every n, and in every way in which it can be given up.
//!
//! Whoever writes `select`, `timeout` or `abort` drops futures in the middle. What a call loses then, or leaves
//! behind, is seen only where it was dropped: so [`everywhere`] runs a scenario once, counts how often the call under
//! test had to wait, and then runs it again for each of these awaits and each [`Way`] of giving up:
//!
//! - its future is dropped, and the scenario goes on: it makes the call again. The outcome must be the same as without,
//!   so that no byte may be lost or doubled. At one await of the run, and at each of them;
//! - the task that awaits it is aborted by its handle;
//! - the future around it is dropped, and the loop goes on without it;
//! - the loop is closed.
//!
//! After each run nothing may be left: no descriptor, registration, timer, task, and nobody who holds a
//! [`guard`](Scene::guard); nothing was reported, and nothing panicked.
//!
//! The scenario says which call is under test by [`Cut::again`], which makes it again when it was given up (or by
//! [`Cut::once`], which says that it was). It runs as a task on a simulated machine.
//!
//! ```
//! use millrun_sim::{Delay, Sim};
//! use millrun_streams::{open_connection, start_server};
//! use millrun_testbed::cancel;
//! use std::time::Duration;
//!
//! let slow = || {
//!     let sim = Sim::new(1);
//!     sim.set_buffers(10, 10); // some bytes at a time
//!     sim.add_rule(Delay(Duration::from_millis(5)));
//!     sim
//! };
//! let report = cancel::everywhere("read_line", slow, |scene, cut| async move {
//!     let server = start_server("10.0.0.1", 80, async |_reader, writer| {
//!         let _ = writer.write(b"a line of twenty-five...\nthe rest");
//!         let _ = writer.close().await;
//!     })
//!     .await?;
//!     let (mut reader, writer) = open_connection("10.0.0.1", 80).await?;
//!     let line = cut.again(async || reader.read_line().await.map(<[u8]>::to_vec)).await?;
//!     let mut rest = Vec::new();
//!     reader.read_to_end(&mut rest).await?;
//!     writer.close().await?;
//!     server.close();
//!     server.wait_closed().await;
//!     drop(scene);
//!     Ok((line, rest))
//! });
//! report.assert_clean();
//! assert!(report.awaits > 1);
//! ```

mod cut;
mod everywhere;

pub use cut::{Cut, Way};
pub use everywhere::{Problem, Report, everywhere};

#[cfg(doc)]
use crate::Scene;
