//! How to serve: [`Serve`].

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::LoopHandle;
use millrun_selector::{Address, Family, ListenOptions, Listener};

use super::listening::Listening;
use super::place::{AtAddress, AtName, Listeners, Place};
use super::socket_file::SocketFile;
use super::state::State;
use super::{ServeError, Server};
use crate::layer::wrap_or_refuse;
use crate::{Host, InvalidArgument, Layer, Port, Protocol, TransportOptions, Watermarks};

/// Serves on a host and port over TCP: [`Serve::on`] without options.
///
/// # Errors
/// As [`Serve::serve`].
pub async fn create_server<P: Protocol + 'static>(
    handle: &LoopHandle,
    host: impl Into<Host>,
    port: impl Into<Port>,
    factory: impl FnMut() -> P + 'static,
) -> Result<Server, ServeError> {
    Serve::on(host, port).serve(handle, factory).await
}

/// A server to be made: where, with which options; [`serve`](Serve::serve) makes it.
///
/// Where is part of the type, so that it can't be given twice or with options that make no sense for
/// it: names to resolve ([`AtName`]), addresses ([`AtAddress`]), or sockets that listen already
/// ([`Listeners`]).
#[must_use = "nobody listens until `serve` is called and awaited"]
pub struct Serve<T> {
    place: T,
    listen: ListenOptions,
    options: TransportOptions,
    start: bool,
    clean_up: bool,
    layer: Option<Rc<dyn Layer>>,
}

impl Serve<AtName> {
    /// On a host and port over TCP: a socket for each address of the host. No host, or an empty one, is
    /// all interfaces (SV-005); port 0 is any free port, a different one for each socket (SV-029).
    pub fn on(host: impl Into<Host>, port: impl Into<Port>) -> Serve<AtName> {
        Serve::on_each([host], port)
    }

    /// On several hosts, each distinct address once.
    pub fn on_each<H: Into<Host>>(
        hosts: impl IntoIterator<Item = H>,
        port: impl Into<Port>,
    ) -> Serve<AtName> {
        let hosts = hosts.into_iter().map(|host| host.into().empty_is_none()).collect();
        Serve::new(AtName::new(hosts, port.into()))
    }

    /// Only addresses of this family.
    pub fn family(mut self, family: Family) -> Self {
        self.place.family = family;
        self
    }
}

impl Serve<AtAddress> {
    /// On this address; nothing is resolved.
    pub fn address(address: impl Into<Address>) -> Serve<AtAddress> {
        Serve::addresses([address.into()])
    }

    /// On these addresses, each distinct one once.
    pub fn addresses(addresses: impl IntoIterator<Item = Address>) -> Serve<AtAddress> {
        Serve::new(AtAddress::new(addresses.into_iter().collect()))
    }

    /// On a Unix socket at this path. A socket file that is there is removed first; any other file makes
    /// it fail with `AddrInUse` (U-004).
    #[doc(alias = "create_unix_server")]
    pub fn unix(path: impl Into<PathBuf>) -> Serve<AtAddress> {
        Serve::address(path.into())
    }
}

impl Serve<Listeners> {
    /// With a socket that listens already.
    pub fn listener(listener: Box<dyn Listener>) -> Serve<Listeners> {
        Serve::listeners([listener])
    }

    /// With sockets that listen already: handed over by a supervisor, say.
    pub fn listeners(listeners: impl IntoIterator<Item = Box<dyn Listener>>) -> Serve<Listeners> {
        Serve::new(Listeners(listeners.into_iter().collect()))
    }
}

impl<T> Serve<T> {
    fn new(place: T) -> Serve<T> {
        Serve {
            place,
            listen: ListenOptions::default(),
            options: TransportOptions::default(),
            start: true,
            clean_up: true,
            layer: None,
        }
    }

    /// Over TLS, by a configuration of a TLS crate's. A protocol hears of its connection when the handshake is done, and
    /// nothing of one whose handshake fails (SV-028).
    #[doc(alias = "ssl")]
    pub fn tls(mut self, config: impl Layer + 'static) -> Self {
        self.layer = Some(Rc::new(config));
        self
    }

    /// How many connections may wait in the kernel's queue, and how many are accepted in one go;
    /// 100 unless told, at least 1.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.listen.backlog = backlog;
        self
    }

    /// SO_REUSEADDR; on unless told (SV-007).
    pub fn reuse_address(mut self, on: bool) -> Self {
        self.listen.reuse_address = on;
        self
    }

    /// SO_REUSEPORT; off unless told (SV-007).
    pub fn reuse_port(mut self, on: bool) -> Self {
        self.listen.reuse_port = on;
        self
    }

    /// SO_KEEPALIVE of the connections; off unless told (SV-007).
    pub fn keep_alive(mut self, on: bool) -> Self {
        self.listen.keep_alive = on;
        self
    }

    /// False: connections are not accepted until [`Server::start_serving`]. The sockets listen, so
    /// that a connection made meanwhile waits in the queue and is accepted then.
    pub fn start_serving(mut self, now: bool) -> Self {
        self.start = now;
        self
    }

    /// Whether the file of a Unix socket is removed when the server closes; it is unless told (U-007).
    #[doc(alias = "cleanup_socket")]
    pub fn clean_up(mut self, on: bool) -> Self {
        self.clean_up = on;
        self
    }

    /// The marks of each connection's write buffer.
    pub fn watermarks(mut self, watermarks: Watermarks) -> Self {
        self.options.watermarks = watermarks;
        self
    }

    /// How long the close of a connection waits without progress; see
    /// [`Transport::set_close_timeout`](crate::Transport::set_close_timeout).
    pub fn close_timeout(mut self, without_progress: Duration) -> Self {
        self.options.close_timeout = without_progress;
        self
    }

    /// Whether small writes of one unit leave together; see
    /// [`Transport::set_gathering`](crate::Transport::set_gathering).
    pub fn gathering(mut self, on: bool) -> Self {
        self.options.gathering = on;
        self
    }
}

impl<T: Place> Serve<T> {
    /// Binds, listens and (unless told otherwise) starts to accept (SV-001). `factory` is called once
    /// for each connection; if it panics, that connection is closed at once and the panic is
    /// reported (SV-016).
    ///
    /// An address that is not this machine's is skipped, and it is an error if that leaves none
    /// (SV-009). Any other failure closes all sockets made so far.
    ///
    /// # Errors
    /// [`ServeError`]: an argument that can't be right (before any I/O), the resolver's failure, or the
    /// address that can't be listened on.
    ///
    /// # Cancel safety
    /// Nothing listens before the future resolves.
    pub fn serve<P, F>(
        self,
        handle: &LoopHandle,
        mut factory: F,
    ) -> impl Future<Output = Result<Server, ServeError>> + use<T, P, F>
    where
        P: Protocol + 'static,
        F: FnMut() -> P + 'static,
    {
        let handle = handle.clone();
        async move {
            let Serve { place, listen, options, start, clean_up, layer } = self;
            let (below, passed_on) = (handle.clone(), options.clone());
            let factory = Box::new(move || {
                let protocol: Box<dyn Protocol> = Box::new(factory());
                match &layer {
                    None => (protocol, None),
                    Some(layer) => wrap_or_refuse(&**layer, &passed_on, &below, protocol),
                }
            });
            let state = State::new(handle.clone(), listen.backlog, &options, factory)
                .map_err(InvalidArgument::from)?;
            let listeners = place.open(&handle, &listen).await?;
            // From here on a failure closes what has been added.
            let server = Server::new(state.clone());
            for listener in listeners {
                let address = listener.local_addr().map_err(ServeError::Address)?;
                let file = if clean_up { file_of(&*listener, &address) } else { None };
                state.add(Listening::new(state.clone(), listener, address, file));
            }
            if start {
                server.start_serving().map_err(|error| ServeError::Loop(error.into()))?;
            }
            Ok(server)
        }
    }
}

/// The file of a listener of this machine: a simulated one has no descriptor, and no file.
fn file_of(listener: &dyn Listener, address: &Address) -> Option<SocketFile> {
    listener.fd()?;
    SocketFile::at(address.as_path()?)
}

impl<T: fmt::Debug> fmt::Debug for Serve<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve")
            .field("place", &self.place)
            .field("listen", &self.listen)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
