//! What is ready?
mod address;
mod interest;
mod network;
#[cfg(feature = "os")]
mod os;
mod selector;
mod socket;
mod time;

pub use address::Address;
pub use interest::{Event, Interest, Key, Readiness, ReadyCell};
pub use network::{BindError, ConnectOptions, Family, ListenOptions, Network, Query, Resolver};
#[cfg(feature = "os")]
pub use os::{MioSelector, Monotonic, OsNetwork, SystemResolver};
pub use selector::{Foreign, Selector, Source, Wake};
pub use socket::{Listener, MAX_SLICES, Socket, SocketOption, SocketOptionName};
pub use time::{Clock, Time};
