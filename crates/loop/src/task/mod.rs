//! Futures on callbacks. A task is an entry of the ready queue that polls; waking it queues that
//! entry. The future stays in a table of the loop, so its waker can go anywhere.

mod interval;
mod join;
mod local;
mod run;
mod sleep;
mod spawn;
mod table;
mod timeout;
mod waker;
mod yield_now;

pub use interval::{Interval, interval};
pub use join::{JoinError, JoinHandle};
pub use local::LocalWaker;
pub use sleep::{Sleep, sleep, sleep_until};
pub use spawn::spawn;
pub use table::TaskInfo;
pub use timeout::{Elapsed, Timeout, timeout, timeout_at};
pub use yield_now::{YieldNow, yield_now};

pub(crate) use local::Polled;
pub(crate) use table::{After, TaskTable};
pub(crate) use waker::TaskWaker;

/// The index of the future of `run_until_complete`: no place in the table has it.
pub(crate) const ROOT: u32 = u32::MAX;
