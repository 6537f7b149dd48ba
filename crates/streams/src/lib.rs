//! millrun-streams
#![forbid(unsafe_code)]

mod over;
mod reader;
mod writer;

pub use millrun_protocol::inbox::{
    EmptySeparator, IncompleteRead, InvalidLimit, LimitOverrun, Separators,
};
pub use millrun_protocol::{ConnectionLost, ReadError, WriteError};
pub use millrun_transport::CloseOutcome;
pub use over::{stream, stream_with_limit};
pub use reader::StreamReader;
pub use writer::{Closed, Drain, StreamWriter};

/// The limit of a reader unless told: 64 KiB as in asyncio, the length of a line that nobody should exceed.
pub const DEFAULT_LIMIT: usize = 64 * 1024;
