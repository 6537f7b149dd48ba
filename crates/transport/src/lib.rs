//! millrun-transport
mod pressure;
mod protocol;
mod transport;

pub use pressure::{InvalidLimits, Watermarks};
pub use protocol::{Landing, Protocol};
pub use transport::{CloseOutcome, CloseTimedOut, Flow, Transport, extra_info};
