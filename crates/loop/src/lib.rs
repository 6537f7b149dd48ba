//! Run this, in this order: an asyncio-style event loop.
//!
//! Callbacks, timers, readiness of sources, calls from other threads and tasks, all in one ready
//! queue, on one thread, over any [`Selector`](millrun_selector::Selector).
//!
//! ```
//! # #[cfg(feature = "os")] {
//! use std::time::Duration;
//! use millrun_loop::{EventLoop, LoopHandle, sleep, spawn};
//!
//! let mut event_loop = EventLoop::new()?;
//! let answer = event_loop.run_until_complete(async {
//!     LoopHandle::current()?.call_soon(|| println!("callbacks run in the order queued"))?;
//!     let task = spawn(async {
//!         sleep(Duration::from_millis(1)).await;
//!         42
//!     });
//!     std::io::Result::Ok(task.await?)
//! })??;
//! assert_eq!(answer, 42);
//! # }
//! # std::io::Result::Ok(())
//! ```
//!
//! # A turn
//!
//! 1. How long may it wait? Not at all when something is queued; else until the next timer; else for ever.
//! 2. Look at the selector. What other threads queued comes first, then an entry for each ready source.
//! 3. Queue the timers that are due, in the order of their deadlines.
//! 4. Run what is queued: exactly that, a *round*. What it queues runs in the next round. More rounds follow
//!    before the next look, within 256 callbacks and a millisecond (D-16 in docs/differences.md), so that
//!    read, wake, poll and write cost one look, not two.
//!
//! # Who has what
//!
//! [`EventLoop`] owns and runs; [`LoopHandle`] is for code that runs on it; [`Remote`] is for other
//! threads. The first two are not `Send`: calling them from the wrong thread does not compile (L-013).
//!
//! # A unit
//!
//! One callback, one readiness event, one poll of a task. Work can be left for its end
//! ([`LoopHandle::at_unit_end`]): that is where a transport sends what was gathered.
//!
//! # What it refuses to know
//!
//! - Bytes, sockets, connections: it hands the [`Network`](millrun_selector::Network) on and never calls it.
//! - The time: there is a [`Clock`](millrun_selector::Clock), and virtual time reaches everything.
//! - How readiness is learned: that is the selector's.
//! - Other loops. Each has its thread, or shares it by [`EventLoop::turn`].
//!
//! # Failures
//!
//! A panic in a callback, a watch or a task is caught, reported to the exception handler
//! ([`LoopHandle::set_exception_handler`]) with what is known of it, and leaves all others running. With `panic = "abort"` the
//! process aborts.

mod blocks;
mod builder;
mod callback;
mod close;
mod closed;
mod debug;
mod errors;
mod event_loop;
mod executor;
mod fds;
mod handle;
mod here;
mod metrics;
pub mod oneshot;
mod panic;
mod ready;
mod remote;
mod round;
#[cfg(feature = "os")]
mod signal;
#[cfg(feature = "os")]
mod signals;
mod state;
mod sync;
mod task;
pub mod timers;
mod turn;
mod unit;
mod watch;

pub use blocks::{
    Block, BlockCounts, BlockPool, BlockSize, LARGE_BLOCK, LARGE_KEPT, SMALL_BLOCK, SMALL_KEPT,
};
pub use builder::Builder;
pub use callback::{Handle, TimerHandle};
pub use closed::{LoopClosed, NoRunningLoop};
pub use debug::MustAwait;
pub use errors::{ErrorContext, Failure};
pub use event_loop::{EventLoop, RunError};
pub use executor::{Completion, Executor, Inline, Job, JobError, ThreadPool, Work};
pub use fds::DescriptorInUse;
pub use handle::LoopHandle;
pub use metrics::Metrics;
pub use panic::{Panic, catch};
pub use remote::Remote;
#[cfg(feature = "os")]
pub use signal::{InvalidSignal, Signal, SignalTaken};
pub use task::{
    Elapsed, Interval, JoinError, JoinHandle, LocalWaker, Sleep, TaskInfo, Timeout, YieldNow,
    interval, sleep, sleep_until, spawn, timeout, timeout_at, yield_now,
};
pub use unit::UnitEnd;
pub use watch::Watch;
