//! Who is at the other end, and can anybody read along? TLS over any transport: a transport made of a protocol.
//!
//! To the transport below it is a [`Protocol`](millrun_transport::Protocol), to the application a
//! [`Transport`](millrun_transport::Transport), and it knows no more of either than these traits: the same code runs over sockets, over a
//! simulation, over TLS. The cryptography is [rustls](https://docs.rs/rustls)'s.
#![forbid(unsafe_code)]

mod above;
mod below;
mod client;
mod close;
mod error;
mod inbound;
mod info;
mod machine;
mod pem;
mod reading;
mod server;
mod session;
mod settings;
mod state;
mod trust_nobody_checks;
mod wrap;
mod writing;

use std::sync::Arc;

pub use client::{ClientConfig, ClientConfigBuilder};
pub use error::{InvalidConfig, TlsError};
pub use info::{TlsInfo, TlsVersion};
pub use server::{ServerConfig, ServerConfigBuilder};
pub use settings::{HANDSHAKE_TIMEOUT, SHUTDOWN_TIMEOUT};

/// ring: it builds in seconds with nothing but a C compiler.
fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
