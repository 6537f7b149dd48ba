//! **What is ready?** A registry of descriptors, non-blocking sockets, a clock and names, as small
//! traits; and the operating system's own implementation of them, over mio.
//!
//! This is the floor of Millrun. It is of use alone, to whoever wants a readiness loop of their own:
//!
#![cfg_attr(feature = "os", doc = "```")]
#![cfg_attr(not(feature = "os"), doc = "```ignore")]
//! use millrun_selector::{
//!     ConnectOptions, Interest, ListenOptions, MioSelector, Network, OsNetwork, Selector,
//! };
//!
//! # fn main() -> std::io::Result<()> {
//! let mut selector = MioSelector::new()?;
//! let mut events = Vec::new();
//! let at = std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into();
//! let listener = OsNetwork.listen(&at, &ListenOptions::default())?;
//! let door = selector.register(&listener, Interest::READ)?;
//!
//! // Register a socket after its connect was issued. It is connected when it is writable.
//! let client = OsNetwork.connect(&listener.local_addr()?, &ConnectOptions::default())?;
//! let key = selector.register(&client, Interest::WRITE)?;
//! let mut server = None;
//! let mut is_connected = false;
//! while server.is_none() || !is_connected {
//!     events.clear();
//!     selector.select(None, &mut events)?;
//!     for event in &events {
//!         if event.key == door {
//!             server = Some(listener.try_accept()?.0);
//!             selector.set_interest(door, Interest::NONE)?; // one guest is enough
//!         } else if event.key == key {
//!             client.take_error()?.map_or(Ok(()), Err)?;
//!             is_connected = true;
//!             selector.set_interest(key, Interest::READ)?; // no system call
//!         }
//!     }
//! }
//!
//! server.expect("the loop waited for it").try_write(b"hello")?;
//! events.clear();
//! while events.is_empty() {
//!     selector.select(None, &mut events)?; // may return early, with nothing
//! }
//! let mut buffer = [0; 64];
//! let n = client.try_read(&mut buffer)?;
//! assert_eq!(&buffer[..n], b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! (`server` and the listener are closed by being dropped. In a program that goes on, deregister each
//! socket before that.)
//!
//! # What is in it
//!
//! | trait | question | of the operating system |
//! |---|---|---|
//! | [`Selector`] | which of these are ready? | `MioSelector` |
//! | [`Source`] | what can be registered? | its sockets, and [`Foreign`] for any descriptor |
//! | [`Socket`], [`Listener`] | how do bytes and connections move? | TCP and Unix streams |
//! | [`Network`], [`Resolver`] | who makes sockets, who knows names? | `OsNetwork`, `SystemResolver` |
//! | [`Clock`] | what time is it? | `Monotonic` |
//!
//! Without the feature `os` there are the traits alone, and no dependency: that is what another
//! operating system (a simulated one, a completion ring) is written against.
//!
//! # The contract
//!
//! [`Selector::select`] is **level-triggered**: a key is reported for as long as it is ready and wanted.
//! A caller may read as little as it likes, pause, and come back. Pausing and resuming a socket of
//! this crate is a change of a mask, without a system call, though the kernel below is
//! edge-triggered: the socket and the selector share a [`ReadyCell`], whose bits the kernel's edges set
//! and the socket's own reads and writes clear. Reports may be too many by one (a read that took
//! exactly what there was): `WouldBlock` is no error, but the answer to that.
//!
//! # What it refuses to know
//!
//! - **Callbacks, tasks, timers.** It says what is ready and never calls anybody. A timer is the
//!   timeout of `select`, and its owner is above.
//! - **Buffers.** Bytes go from the caller's memory to the kernel and back.
//! - **Threads.** Everything here stays on one, but for [`Wake`] and [`Resolver`].
//! - **Retries.** EMFILE, a refused connect or a full queue are told as they are. EINTR alone is hidden.
//! - **mio.** Its types, and rustix's and socket2's, are nowhere in this interface.
//!
//! Platforms: Linux (epoll) is tested; macOS and the BSDs (kqueue) are written for, with a cfg and a
//! fallback for each call that is Linux's own.

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
