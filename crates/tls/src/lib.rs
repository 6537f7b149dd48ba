//! Who is at the other end, and can anybody read along? TLS over any transport: a transport made of a protocol.
//!
//! To the transport below it is a [`Protocol`](millrun_transport::Protocol), to the application a
//! [`Transport`](millrun_transport::Transport), and it knows no more of either than these traits: the same code runs over sockets, over a
//! simulation, over TLS. The cryptography is [rustls](https://docs.rs/rustls)'s.
//!
//! ```
//! # #[cfg(feature = "os")] {
//! use millrun_loop::EventLoop;
//! use millrun_streams::{open_connection, start_server};
//! use millrun_tls::{ClientConfig, ServerConfig, TlsInfo};
//!
//! // A certificate for this run; a server reads its own from files.
//! let made = rcgen::generate_simple_self_signed(["mill.test".to_owned()])?;
//! let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
//! let server = ServerConfig::new(chain.as_bytes(), key.as_bytes())?;
//! // `ClientConfig::new()` trusts whom the system trusts; this one trusts the certificate above and nobody else.
//! let client = ClientConfig::builder().root_certificates(chain.as_bytes()).build()?;
//!
//! EventLoop::new()?.run_until_complete(async {
//!     let server = start_server("127.0.0.1", 0, async |mut reader, writer| {
//!         let line = reader.read_line().await?;
//!         writer.write(line)?;
//!         writer.close().await.map(drop)
//!     })
//!     .tls(server)
//!     .await?;
//!
//!     let port = server.local_addrs()[0].port();
//!     let (mut reader, writer) = open_connection("127.0.0.1", port).tls(&client, "mill.test").await?;
//!     assert!(writer.extra_info::<TlsInfo>().is_some_and(|info| info.cipher_suite().starts_with("TLS13_")));
//!     writer.write(b"hello, mill\n")?;
//!     assert_eq!(reader.read_line().await?, b"hello, mill\n");
//!     std::io::Result::Ok(())
//! })??;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How it begins
//!
//! - `open_connection(..).tls(&config, name)`, `start_server(..).tls(config)`, and the same on
//!   [`Connect`](millrun_transport::Connect) and [`Serve`](millrun_transport::Serve): the application hears of the connection
//!   when the handshake is done, and of one that fails the connect tells, with a [`TlsError`] inside.
//! - `writer.start_tls(reader, layer, ahead)` in the middle of a connection, on either side; on callbacks
//!   [`start_tls`](millrun_transport::start_tls). What came before TLS began is refused or handed over, as asked.
//!
//! The name is what the server's certificate has to prove, and it is always said. A configuration that checks nothing needs
//! [`dangerously_trust_anyone`](ClientConfigBuilder::dangerously_trust_anyone).
//!
//! # How it ends
//!
//! ```text
//! Unwrapped ─► Handshake ─► Wrapped ─► Flushing ─► Shutdown          any of them ─► Unwrapped
//! ```
//!
//! | what happens | what the application hears |
//! |---|---|
//! | `close()` here | everything leaves, then the alert `close_notify`, then the end of what is below; what still comes is discarded (1 MiB at most); when the peer has answered or ended, `connection_lost(None)` |
//! | … and no answer, and no progress, for 30 s | `connection_lost` with [`TlsError::ShutdownTimedOut`], or with [`CloseTimedOut`](millrun_transport::CloseTimedOut) when not all has left |
//! | `write_eof()` here | nothing; the peer hears the end of file. TLS 1.3 alone: see `can_write_eof` |
//! | the peer's `close_notify` | `eof_received`. Answering true keeps our direction open, with TLS 1.3; otherwise the connection closes |
//! | an end of file, or of the connection, without it | the bytes that came, then `connection_lost` with [`TlsError::Truncated`]: anybody on the way could have cut it. [`tolerate_truncation`](ClientConfig::tolerate_truncation) makes it an ordinary end |
//! | `close()` or `abort()` here of the transport below, by whoever kept it | the same as without it: what came may not be all |
//! | `abort()` here | `connection_lost(None)`; the peer hears of a truncation |
//! | what can't be opened | an alert to the peer; the bytes before it, then `connection_lost` with [`TlsError::Protocol`] |
//!
//! # What it costs
//!
//! A connection holds the keys (rustls's, some KiB), and while it is idle no buffer at all. The most that one holds:
//! - of what comes: one block of the loop's pool with ciphertext (64 KiB; in a handshake twice that, the longest message that TLS
//!   allows), and one record of plaintext (16 KiB) that the application has no room for;
//! - of what goes: its high mark and one write more, as any transport (512 KiB unless told), with 64 bytes for each record; the
//!   transport below has its marks from here, so that both together are what the mark says;
//! - in a handshake: the messages of ours, and what rustls needs to check the peer's.
//!
//! Small writes of one unit make one record, and more of them full ones (16 KiB). What is received is opened where it lies and copied
//! once, into the memory where the application wants it.
//!
//! # What it refuses to know
//!
//! - Sockets, readiness, futures: it is callbacks between two traits.
//! - Cryptography: that is rustls, with [ring](https://docs.rs/ring), which needs no more than a C compiler to build.
//! - Early data (0-RTT): it can be replayed by anybody, which few applications bear. A configuration of rustls's that has it is refused.
//! - Renegotiation: rustls refuses it, and TLS 1.3 has none.
#![forbid(unsafe_code)]

mod above;
mod below;
mod client;
mod close;
mod error;
mod inbound;
mod info;
mod machine;
mod options;
mod pem;
mod reading;
mod server;
mod session;
mod settings;
mod spill;
mod state;
mod trusts_anyone;
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
