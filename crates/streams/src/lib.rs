//! How do I await bytes? Readers and writers over connections: [`open_connection`], [`start_server`],
//! [`StreamReader`], [`StreamWriter`], in the manner of asyncio's streams.
//!
//! ```
//! # #[cfg(feature = "os")] {
//! use millrun_loop::EventLoop;
//! use millrun_streams::{open_connection, start_server};
//!
//! let mut event_loop = EventLoop::new()?;
//! event_loop.run_until_complete(async {
//!     // Each connection is a task; a result that is lent is written back as it is.
//!     let server = start_server("127.0.0.1", 0, async |mut reader, writer| -> std::io::Result<()> {
//!         while let Some(line) = reader.next_line().await? {
//!             writer.write(line)?;
//!             writer.drain().await?;
//!         }
//!         Ok(())
//!     })
//!     .await?;
//!
//!     let port = server.local_addrs()[0].port();
//!     let (mut reader, writer) = open_connection("127.0.0.1", port).await?;
//!     writer.write(b"hello\n")?;
//!     assert_eq!(reader.read_line().await?, b"hello\n");
//!     writer.close().await?; // waits until all is flushed, and says whether it was
//!     std::io::Result::Ok(())
//! })??;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is different here
//!
//! - Reads lend: a result is a slice of the reader's own memory, good until its next call. No copy, and no
//!   allocation per message. To keep bytes there are [`StreamReader::read_into`], [`StreamReader::read_bytes`] and
//!   [`StreamReader::read_to_end`].
//! - Every read may be dropped at any await, by a timeout or a race, and loses nothing.
//! - The writes of one poll of a task leave in one send, also with drains between them.
//! - Errors of a certain shape are values to branch on: [`ReadError`], [`WriteError`]. All of them turn into
//!   `std::io::Error` by `?`.
//! - Reader and writer are separate from the start. Dropping the writer ends the write direction after what is
//!   buffered; dropping the reader discards what comes; dropping both closes. No drop aborts.
//!
//! # Over any transport
//!
//! Nothing here knows sockets: [`stream`] puts a reader and a writer over any
//! [`Transport`](millrun_transport::Transport), one of your own too.
//!
//! # What it refuses to know
//!
//! - Sockets, descriptors, readiness: that is the transport's.
//! - Callbacks: that is the protocol's ([`StreamReaderProtocol`](millrun_protocol::StreamReaderProtocol)).
//! - What the bytes mean.
//! - Threads: its types are not `Send`, they belong to one loop.
#![forbid(unsafe_code)]

mod handler;
mod open;
mod over;
mod reader;
mod serve;
mod start_tls;
mod writer;

pub use handler::HandlerOutput;
pub use millrun_protocol::inbox::{
    EmptySeparator, IncompleteRead, InvalidLimit, LimitOverrun, Separators,
};
pub use millrun_protocol::{ConnectionLost, ReadError, WriteError};
pub use millrun_transport::CloseOutcome;
pub use open::{OpenConnection, open_connection, open_unix_connection};
pub use over::{stream, stream_with_limit};
pub use reader::StreamReader;
pub use serve::{StartServer, start_server, start_unix_server};
pub use start_tls::{ReadAhead, UnexpectedPlaintext};
pub use writer::{Closed, Drain, StreamWriter};

/// The limit of a reader unless told: 64 KiB as in asyncio, the length of a line that nobody should exceed.
pub const DEFAULT_LIMIT: usize = 64 * 1024;
