//! millrun-protocol
#![forbid(unsafe_code)]

mod ending;
mod ends;
mod errors;
mod flow;
pub mod inbox;
mod state;
mod stream;
mod waiters;

pub use ending::{ConnectionLost, Ending, ProtocolReplaced, SharedError};
pub use ends::{ReadEnd, WriteEnd};
pub use errors::{ReadError, WriteError};
pub use flow::{DRAINS_WITHOUT_YIELD, DrainWait, FlowControl};
pub use stream::{Connected, Connecting, Connection, StreamReaderProtocol};
pub use waiters::{Place, Waiters};
