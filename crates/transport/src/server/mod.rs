//! Serving connections: [`Serve`] makes a [`Server`].

mod again;
mod builder;
mod clients;
mod error;
mod listening;
mod place;
mod socket_file;
mod state;
mod wait;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use millrun_selector::Address;

use clients::Clients;
use state::{Stage, State};

pub use builder::{Serve, create_server};
pub use error::{ServeError, ServingError};
pub use place::{AtAddress, AtName, Listeners, Place};

/// A server: its listening sockets, and the count of its connections.
///
/// Cheap to clone; all clones are the same server. When the last one is dropped the server closes, as a
/// listener of std does: nobody listens any more, and the connections live on. To serve for as long as
/// the loop lives, [`detach`](Server::detach) it or await [`serve_forever`](Server::serve_forever).
/// (asyncio keeps a server alive by its registration.) When the loop closes, the server does.
///
/// A protocol that holds a clone keeps its server open.
#[derive(Clone)]
#[must_use = "when the last handle is dropped nobody listens any more: keep it, await serve_forever, or detach it"]
pub struct Server(Rc<Owner>);

/// Closes the server when the last handle goes.
struct Owner {
    state: Rc<State>,
    detached: std::cell::Cell<bool>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        // One that does not serve would never be heard of again: no handle starts it, no loop closes it.
        if !self.detached.get() || self.state.stage() != Stage::Serving {
            self.state.close();
        }
    }
}

impl Server {
    fn new(state: Rc<State>) -> Server {
        Server(Rc::new(Owner { state, detached: false.into() }))
    }

    /// Begins to accept connections, also those that came to its queue before. Idempotent (SV-003).
    ///
    /// # Errors
    /// [`ServingError::Closed`] after a close; [`ServingError::Loop`] if the loop can't watch the sockets.
    pub fn start_serving(&self) -> Result<(), ServingError> {
        self.state().start()
    }

    /// It accepts connections: started, and not closed.
    pub fn is_serving(&self) -> bool {
        self.state().stage() == Stage::Serving
    }

    /// The addresses that it listens on, with the real ports; empty once it is closed (SV-010).
    #[doc(alias = "sockets")]
    pub fn local_addrs(&self) -> Vec<Address> {
        self.state().addresses()
    }

    /// How many connections live, from the accept until `connection_lost` has returned and the socket is
    /// closed.
    pub fn connections(&self) -> usize {
        self.state().clients().live()
    }

    /// Closes the listening sockets at once, and removes their files; the connections live on (SV-017).
    /// Idempotent.
    pub fn close(&self) {
        self.state().close();
    }

    /// Closes each connection, flushing first (SV-020): of one over TLS, whenever that began, the protected transport.
    pub fn close_clients(&self) {
        for transport in self.state().clients().transports() {
            transport.close();
        }
    }

    /// Aborts each connection, likewise (SV-020).
    pub fn abort_clients(&self) {
        for transport in self.state().clients().transports() {
            transport.abort();
        }
    }

    /// Resolves when the server is closed and its last connection is over, in either order; at once if
    /// that is so (SV-018, SV-019). Doesn't close it, and doesn't keep it open.
    ///
    /// # Cancel safety
    /// Any number of these may wait, and each may be dropped: the others wait on (D-15).
    pub fn wait_closed(&self) -> WaitClosed {
        let clients = self.state().clients().clone();
        let number = clients.waiters().enter();
        WaitClosed { clients, number }
    }

    /// Starts serving if need be, and serves until the server is closed and its last connection is over
    /// (SV-022, SV-024).
    ///
    /// # Errors
    /// [`ServingError::Closed`] on a closed server, [`ServingError::AlreadyForever`] if another one
    /// runs, [`ServingError::Loop`] if it can't be started.
    ///
    /// # Cancel safety
    /// Dropping the future closes the server (SV-023). To wait for its connections then is
    /// [`wait_closed`](Server::wait_closed).
    pub async fn serve_forever(&self) -> Result<(), ServingError> {
        let state = self.state();
        if state.stage() == Stage::Closed {
            return Err(ServingError::Closed);
        }
        if state.forever.replace(true) {
            return Err(ServingError::AlreadyForever);
        }
        let _serving = Forever(state);
        state.start()?;
        self.wait_closed().await;
        Ok(())
    }

    /// Lets the server serve until it is closed or the loop is: dropping the handles closes it no more, if
    /// it was started.
    pub fn detach(&self) {
        self.0.detached.set(true);
    }

    fn state(&self) -> &Rc<State> {
        &self.0.state
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.state().fmt(f)
    }
}

/// While `serve_forever` runs; its end closes the server, however it ends.
struct Forever<'a>(&'a State);

impl Drop for Forever<'_> {
    fn drop(&mut self) {
        self.0.forever.set(false);
        self.0.close();
    }
}

/// Waits for the end of a server: [`Server::wait_closed`].
#[must_use = "a future does nothing unless it is awaited"]
pub struct WaitClosed {
    clients: Rc<Clients>,
    number: u64,
}

impl Future for WaitClosed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clients.are_over() {
            return Poll::Ready(());
        }
        self.clients.waiters().wait(self.number, cx);
        Poll::Pending
    }
}

impl Drop for WaitClosed {
    fn drop(&mut self) {
        self.clients.waiters().leave(self.number);
    }
}

impl fmt::Debug for WaitClosed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitClosed")
            .field("connections", &self.clients.live())
            .finish_non_exhaustive()
    }
}
