//! millrun-transport
pub mod buffer;
pub mod lifecycle;
pub mod pressure;
mod protocol;
pub mod slot;
mod transport;

pub use pressure::{InvalidLimits, Watermarks};
pub use protocol::{Landing, Protocol};
pub use transport::{CloseOutcome, CloseTimedOut, Flow, Transport, extra_info};
