//! Bytes with flow control: transports and protocols in the asyncio manner, over any socket.
//!
//! A [`Transport`] carries the bytes of one connection; a [`Protocol`] is told what happens to it. What makes
//! them meet is [`create_connection`] (or [`Connect`]) on one side and [`create_server`] (or [`Serve`]) on the other.
//!
//! ```
//! # #[cfg(feature = "os")] {
//! use std::io;
//! use std::rc::Rc;
//! use millrun_loop::{EventLoop, oneshot};
//! use millrun_transport::{Protocol, Transport, create_connection, create_server};
//!
//! /// Sends back what comes.
//! #[derive(Default)]
//! struct Echo(Option<Rc<dyn Transport>>);
//!
//! impl Protocol for Echo {
//!     fn connection_made(&mut self, transport: Rc<dyn Transport>) {
//!         self.0 = Some(transport);
//!     }
//!     fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
//!         if let Some(transport) = &self.0 {
//!             transport.write(data); // leaves when this callback has returned
//!         }
//!         Ok(())
//!     }
//! }
//!
//! /// Says something, and tells what it hears before the connection ends.
//! struct Shout(Vec<u8>, Option<oneshot::Sender<Vec<u8>>>);
//!
//! impl Protocol for Shout {
//!     fn connection_made(&mut self, transport: Rc<dyn Transport>) {
//!         transport.write(b"hello, hello");
//!         transport.write_eof();
//!     }
//!     fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
//!         self.0.extend(data);
//!         Ok(())
//!     }
//!     fn connection_lost(&mut self, _: Option<io::Error>) {
//!         if let Some(done) = self.1.take() {
//!             let _ = done.send(std::mem::take(&mut self.0));
//!         }
//!     }
//! }
//!
//! let mut event_loop = EventLoop::new()?;
//! let handle = event_loop.handle();
//! let heard = event_loop.run_until_complete(async {
//!     let server = create_server(&handle, "127.0.0.1", 0, Echo::default).await?;
//!     let port = server.local_addrs()[0].port().unwrap_or(0);
//!     let (done, heard) = oneshot::channel();
//!     create_connection(&handle, "127.0.0.1", port, || Shout(Vec::new(), Some(done))).await?;
//!     Ok::<_, Box<dyn std::error::Error>>(heard.await?)
//! })??;
//! assert_eq!(heard, b"hello, hello");
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The order of the callbacks
//!
//! ```text
//!              ┌────────────────────────┐         ┌── pause_writing ◄──┐
//!              ▼                        │         ▼                    │  any time between
//! connection_made ──► landing ──► data_received   resume_writing ──────┘  made and closing
//!      │                 │        (or landed)
//!      │                 ▼
//!      ├──────────► eof_received ──► false: the transport closes itself
//!      │                 │           true: it can still write
//!      ▼                 ▼
//!      connection_lost: always, once, last; never from inside the call that caused it
//! ```
//!
//! Nothing calls back from inside a method of a transport: a protocol is called by the loop, one callback at a
//! time, and may call any method of any transport from inside any of them. What is true at once (that the
//! buffer is above its mark, that the connection is closing) is the answer of the call: [`Flow`].
//!
//! # What it refuses to know
//!
//! - Futures, in transports and protocols: only connecting and serving are awaited. (The layers above turn
//!   callbacks into something to await.)
//! - Which kernel: there is a `Box<dyn Socket>` below, of the operating system or of a simulation.
//! - How much room a receiver has: the protocol says it before each receive ([`Landing`]).
//! - The time: the loop has a clock, and a close deadline is a timer of the loop's.
//!
//! # Transports of one's own
//!
//! [`Transport`] is a trait like any other. The parts that [`SocketTransport`] is made of are public, each of them
//! free of I/O: [`lifecycle`] (in which order), [`slot`] (whom to call, once), [`pressure`] (when to pause),
//! [`buffer`] (what is unsent).
#![forbid(unsafe_code)]

pub mod buffer;
mod buffered;
mod connect;
mod layer;
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
pub use layer::{ClientTls, Layer, Opened, Opener, Upper, Wrapped, Wrapping, start_tls};
pub use pressure::{InvalidLimits, Watermarks};
pub use protocol::{Landing, Protocol};
pub use server::{
    AtAddress, AtName, Listeners, Place, Serve, ServeError, Server, ServingError, WaitClosed,
    create_server,
};
pub use socket::{
    CLOSE_TIMEOUT, ConnectionOwner, Operation, SocketError, SocketTransport, TransportFamily,
    TransportOptions, os_error,
};
pub use transport::{CloseOutcome, CloseTimedOut, Flow, Transport, extra_info};
