//! The kernels that everything is checked on: TCP and Unix sockets, of the operating system and simulated.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

pub mod sockets;
#[cfg(feature = "transport")]
pub mod transports;
