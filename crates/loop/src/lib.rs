//! millrun-loop

mod blocks;
mod debug;
mod errors;
mod executor;
pub mod oneshot;
mod panic;
#[cfg(feature = "os")]
mod signal;
pub mod timers;

pub use blocks::{
    Block, BlockCounts, BlockPool, BlockSize, LARGE_BLOCK, LARGE_KEPT, SMALL_BLOCK, SMALL_KEPT,
};
pub use debug::MustAwait;
pub use errors::{ErrorContext, Failure};
pub use executor::{Completion, Executor, Inline, Job, JobError, ThreadPool, Work};
pub use panic::{Panic, catch};
#[cfg(feature = "os")]
pub use signal::{InvalidSignal, Signal, SignalTaken};
