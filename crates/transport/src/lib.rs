//! millrun-transport
pub mod buffer;
mod buffered;
mod connect;
pub mod lifecycle;
pub mod pressure;
mod protocol;
mod server;
pub mod slot;
mod socket;
mod transport;

pub use buffered::{Buffered, BufferedProtocol};
pub use connect::{
    Attempts, ByAddress, ByName, Connect, ConnectAttempt, ConnectError, Given, Host,
    InvalidArgument, Port, Stage, Target, create_connection,
};
pub use pressure::{InvalidLimits, Watermarks};
pub use protocol::{Landing, Protocol};
pub use server::{
    AtAddress, AtName, Listeners, Place, Serve, ServeError, Server, ServingError, WaitClosed,
    create_server,
};
pub use socket::{
    CLOSE_TIMEOUT, ConnectionOwner, SocketTransport, TransportFamily, TransportOptions,
};
pub use transport::{CloseOutcome, CloseTimedOut, Flow, Transport, extra_info};
