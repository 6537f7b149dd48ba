//! The operating system's own implementation of the boundaries: sockets, clock, names, and mio below
//! the registry. Nothing of mio, rustix or socket2 is seen from outside.

mod address;
mod clock;
mod kernel;
mod listener;
mod network;
mod options;
#[cfg(target_os = "linux")]
#[allow(unsafe_code, reason = "SO_PEERNAME: nothing safe asks for it")]
mod peer_name;
mod readiness;
mod refusal;
mod resolver;
mod selector;
mod stream;

pub use clock::Monotonic;
pub use network::OsNetwork;
pub use resolver::SystemResolver;
pub use selector::MioSelector;
