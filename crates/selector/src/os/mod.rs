//! The operating system's own implementation of the boundaries: sockets, clock, names, and mio below
//! the registry. Nothing of mio, rustix or socket2 is seen from outside.

mod address;
mod clock;
mod kernel;
mod listener;
mod network;
mod options;
mod readiness;
mod refusal;
mod resolver;
mod selector;
mod stream;

pub use clock::Monotonic;
pub use network::OsNetwork;
pub use resolver::SystemResolver;
pub use selector::MioSelector;
