//! What do a connection's callbacks amount to? State that can be asked: how much may still be written
//! ([`FlowControl`]), and which bytes have arrived ([`inbox`], under [`StreamReaderProtocol`]).
//!
//! ```
//! # #[cfg(feature = "os")] {
//! use std::future::poll_fn;
//! use millrun_loop::EventLoop;
//! use millrun_protocol::{StreamReaderProtocol, inbox::Line};
//! use millrun_transport::create_connection;
//!
//! # use std::{io::Write, net::TcpListener};
//! # let listener = TcpListener::bind("127.0.0.1:0")?;
//! # let port = listener.local_addr()?.port();
//! # let peer = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"220 ready\r\n"));
//! let mut event_loop = EventLoop::new()?;
//! let handle = event_loop.handle();
//! let greeting = event_loop.run_until_complete(async {
//!     // A protocol for one transport, and what becomes its two ends.
//!     let (protocol, connecting) = StreamReaderProtocol::new(&handle, 64 * 1024)?;
//!     create_connection(&handle, "127.0.0.1", port, || protocol).await?;
//!     let (mut read, _write) = connecting.await?.split();
//!
//!     // Polled, not awaited: futures are the next layer's.
//!     let mut need = Line::default();
//!     let n = poll_fn(|cx| read.poll_read(&mut need, cx)).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(read.lent(n).to_vec())
//! })??;
//! assert_eq!(greeting, b"220 ready\r\n");
//! # peer.join().unwrap()?;
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The parts
//!
//! - [`inbox`]: a buffer with a limit that lends what it owns. Pure.
//! - [`FlowControl`]: the paused flag and any number of waiting drains. Usable by a protocol of your own.
//! - [`Waiters`]: a list of wakers of which each can leave alone.
//! - [`StreamReaderProtocol`]: a [`Protocol`](millrun_transport::Protocol) that joins them, and
//!   [`ReadEnd`] and [`WriteEnd`], by which the state is asked.
//! - [`Ending`]: how a connection ended, told to each that asks.
//!
//! # What it refuses to know
//!
//! - I/O and the time: it is called, and answers.
//! - Sockets: any transport will do.
//! - Futures of its own: it keeps wakers. `async` methods are in `millrun-streams`.
#![forbid(unsafe_code)]

mod ending;
mod ends;
mod errors;
mod flow;
pub mod inbox;
mod marks;
mod state;
mod stream;
mod waiters;

pub use ending::{ConnectionLost, Ending, ProtocolReplaced, SharedError};
pub use ends::{ReadEnd, WriteEnd};
pub use errors::{ReadError, WriteError};
pub use flow::{DRAINS_WITHOUT_YIELD, DrainWait, FlowControl};
pub use stream::{Connected, Connecting, Connection, Link, StreamReaderProtocol};
pub use waiters::{Place, Waiters};
