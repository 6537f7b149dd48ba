//! millrun-transport
pub mod buffer;
mod buffered;
pub mod lifecycle;
pub mod pressure;
mod protocol;
pub mod slot;
mod socket;
mod transport;

pub use buffered::{Buffered, BufferedProtocol};
pub use pressure::{InvalidLimits, Watermarks};
pub use protocol::{Landing, Protocol};
pub use socket::{
    CLOSE_TIMEOUT, ConnectionOwner, SocketTransport, TransportFamily, TransportOptions,
};
pub use transport::{CloseOutcome, CloseTimedOut, Flow, Transport, extra_info};
