//! The event loop and the streams of asyncio, in Rust, as layers: the facade.
//!
//! **It answers:** "I want the paved road." One dependency, one [`run`], every layer under its short
//! name. **It refuses to know** anything itself: no logic lives here. Each layer is a crate of its own
//! that can be depended on alone.
//!
#![cfg_attr(all(feature = "streams", feature = "os"), doc = "```")]
#![cfg_attr(not(all(feature = "streams", feature = "os")), doc = "```ignore")]
//! use millrun::streams::{open_connection, start_server};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     millrun::run(async {
//!         let server = start_server("127.0.0.1", 0, async |mut reader, writer| {
//!             while let Ok(line) = reader.read_line().await {
//!                 if line.is_empty() || writer.write(line).is_err() || writer.drain().await.is_err() {
//!                     break;
//!                 }
//!             }
//!         })
//!         .await?;
//!
//!         let port = server.local_addrs()[0].port().unwrap_or(0);
//!         let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
//!         writer.write(b"hello, mill\n")?;
//!         writer.drain().await?;
//!         assert_eq!(reader.read_line().await?, b"hello, mill\n");
//!         Ok(())
//!     })?
//! }
//! ```
//!
//! | feature | brings | default |
//! |---|---|---|
//! | (none) | [`selector`], [`event_loop`], over a selector of your own | |
//! | `transport` | `transport`: Transport, Protocol, create_connection, Server | yes |
//! | `protocol` | `protocol`: FlowControl, StreamReaderProtocol | yes |
//! | `streams` | `streams`: open_connection, start_server | yes |
//! | `tls` | `tls`: TLS over any transport | |
//! | `os` | the operating system below, and [`run`] | yes |
#![forbid(unsafe_code)]

pub use millrun_loop as event_loop;
#[cfg(feature = "protocol")]
pub use millrun_protocol as protocol;
pub use millrun_selector as selector;
#[cfg(feature = "streams")]
pub use millrun_streams as streams;
#[cfg(feature = "tls")]
pub use millrun_tls as tls;
#[cfg(feature = "transport")]
pub use millrun_transport as transport;

#[cfg(feature = "os")]
mod run;

#[cfg(feature = "os")]
pub use run::run;

// The paved road, as asyncio has it: what a program says most, without the layer's name.
pub use millrun_loop::{LoopHandle, Remote, sleep, spawn, timeout, yield_now};
#[cfg(feature = "streams")]
pub use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
