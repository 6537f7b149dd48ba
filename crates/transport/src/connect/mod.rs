//! Making a connection: [`Connect`].

mod attempt;
mod error;
mod flag;
mod host;
mod plan;
mod resolve;
mod target;

use std::fmt;
use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::LoopHandle;
use millrun_selector::{Address, Family, Socket};

use crate::layer::{Security, Unready, pass_on};
use crate::{
    ClientTls, Layer, Protocol, SocketTransport, Transport, TransportOptions, Watermarks, Wrapping,
};
use flag::Flag;
pub(crate) use host::{Name, each_once};
pub(crate) use resolve::resolve;

pub use error::{Attempts, ConnectAttempt, ConnectError, InvalidArgument, Stage};
pub use host::{Host, Port};
pub use target::{ByAddress, ByName, Given, Target};

/// Connects to a host and port over TCP: [`Connect::to`] without options.
///
/// # Errors
/// As [`Connect::connect`].
pub async fn create_connection<P: Protocol + 'static>(
    handle: &LoopHandle,
    host: impl Into<Host>,
    port: impl Into<Port>,
    factory: impl FnOnce() -> P,
) -> Result<Rc<dyn Transport>, ConnectError> {
    Connect::to(host, port).connect(handle, factory).await
}

/// A connection to be made: where to, with which options; [`connect`](Connect::connect) makes it.
///
/// What to connect is part of the type, so that it can't be given twice or with options that make no
/// sense for it: a name to resolve ([`ByName`]), addresses ([`ByAddress`]), or a socket that is connected
/// already ([`Given`]).
///
/// ```
/// # #[cfg(feature = "os")] {
/// use std::io;
/// use std::rc::Rc;
/// use millrun_loop::EventLoop;
/// use millrun_transport::{Connect, Protocol, Serve, Transport};
///
/// struct Greeter;
/// impl Protocol for Greeter {
///     fn connection_made(&mut self, transport: Rc<dyn Transport>) {
///         transport.write(b"hello");
///         transport.close();
///     }
///     fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
///         Ok(())
///     }
/// }
///
/// struct Printer(Option<millrun_loop::oneshot::Sender<()>>);
/// impl Protocol for Printer {
///     fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
///         assert_eq!(data, b"hello");
///         Ok(())
///     }
///     fn connection_lost(&mut self, _: Option<io::Error>) {
///         self.0.take().map(|over| over.send(()));
///     }
/// }
///
/// let mut event_loop = EventLoop::new()?;
/// let handle = event_loop.handle();
/// event_loop.run_until_complete(async {
///     let server = Serve::on("127.0.0.1", 0).serve(&handle, || Greeter).await?;
///     let port = server.local_addrs()[0].port();
///     let (sender, over) = millrun_loop::oneshot::channel();
///     Connect::to("127.0.0.1", port).connect(&handle, || Printer(Some(sender))).await?;
///     over.await.ok();
///     server.close();
///     server.wait_closed().await;
///     io::Result::Ok(())
/// })??;
/// # }
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone)]
#[must_use = "nothing is connected until `connect` is called and awaited"]
pub struct Connect<T> {
    target: T,
    options: TransportOptions,
    security: Security,
}

impl Connect<ByName> {
    /// To a host and port over TCP. All addresses of the host are tried, in the resolver's order.
    pub fn to(host: impl Into<Host>, port: impl Into<Port>) -> Connect<ByName> {
        Connect::new(ByName::new(host.into(), port.into()))
    }

    /// Over TLS, with the server that has the name of the host that is connected to; see [`tls`](Connect::tls).
    pub fn tls_by_host(self, config: &impl ClientTls) -> Self {
        let host = self.target.remote.host.as_str().unwrap_or_default().to_owned();
        self.tls(config, &host)
    }

    /// Only addresses of this family.
    pub fn family(mut self, family: Family) -> Self {
        self.target.family = family;
        self
    }

    /// Connects from this host and port: for each address to connect to, the first of the host's
    /// addresses that has its family and can be bound (C-012).
    pub fn local_addr(mut self, host: impl Into<Host>, port: impl Into<Port>) -> Self {
        self.target.local = Some(Name { host: host.into(), port: port.into() });
        self
    }

    /// The error's text lists each attempt, even a single one (C-010). The attempts themselves are in
    /// the error either way.
    pub fn all_errors(mut self, on: bool) -> Self {
        self.target.all_errors = on;
        self
    }
}

impl Connect<ByAddress> {
    /// To this address; nothing is resolved.
    pub fn address(address: impl Into<Address>) -> Connect<ByAddress> {
        Connect::addresses([address.into()])
    }

    /// To the first of these addresses that accepts, tried in their order.
    pub fn addresses(addresses: impl IntoIterator<Item = Address>) -> Connect<ByAddress> {
        Connect::new(ByAddress::new(addresses.into_iter().collect()))
    }

    /// To a Unix socket by its path.
    #[doc(alias = "create_unix_connection")]
    pub fn unix(path: impl Into<PathBuf>) -> Connect<ByAddress> {
        Connect::address(path.into())
    }

    /// Connects from this address.
    pub fn local_address(mut self, address: impl Into<Address>) -> Self {
        self.target.local = Some(vec![address.into()]);
        self
    }

    /// As for a name: see [`Connect::<ByName>::all_errors`].
    pub fn all_errors(mut self, on: bool) -> Self {
        self.target.all_errors = on;
        self
    }
}

impl Connect<Given> {
    /// Over a stream socket that is connected already. The transport owns it from here on, so that
    /// no socket can have two (C-026):
    ///
    /// ```compile_fail,E0382
    /// # fn twice(socket: Box<dyn millrun_selector::Socket>) {
    /// use millrun_transport::Connect;
    /// let first = Connect::socket(socket);
    /// let second = Connect::socket(socket);
    /// # }
    /// ```
    ///
    /// and options for connecting make no sense any more:
    ///
    /// ```compile_fail,E0599
    /// # fn local(socket: Box<dyn millrun_selector::Socket>) {
    /// use millrun_transport::Connect;
    /// Connect::socket(socket).local_addr("localhost", 0);
    /// # }
    /// ```
    pub fn socket(socket: Box<dyn Socket>) -> Connect<Given> {
        Connect::new(Given(socket))
    }
}

impl<T> Connect<T> {
    fn new(target: T) -> Connect<T> {
        Connect { target, options: TransportOptions::default(), security: Security::default() }
    }

    /// Over TLS, by a configuration of a TLS crate's, with the server that has this name. The connection is made when the
    /// handshake is done; the transport that it gives is TLS's.
    #[doc(alias = "ssl")]
    #[doc(alias = "server_hostname")]
    pub fn tls(mut self, config: &impl ClientTls, server_name: &str) -> Self {
        self.security = Security::of(config.layer(server_name));
        self
    }

    /// Over this layer: TLS, or something of one's own. As [`tls`](Connect::tls), for a layer that is made already.
    pub fn layer(mut self, layer: Rc<dyn Layer>) -> Self {
        self.security = Security::Layer(layer);
        self
    }

    /// The marks of the write buffer.
    pub fn watermarks(mut self, watermarks: Watermarks) -> Self {
        self.options.watermarks = watermarks;
        self
    }

    /// How long a close waits without progress; see [`Transport::set_close_timeout`].
    pub fn close_timeout(mut self, without_progress: Duration) -> Self {
        self.options.close_timeout = without_progress;
        self
    }

    /// Whether small writes of one unit leave together; see [`Transport::set_gathering`].
    pub fn gathering(mut self, on: bool) -> Self {
        self.options.gathering = on;
        self
    }
}

impl<T: Target> Connect<T> {
    /// Makes the connection. `factory` is called once, after the socket is connected, never per attempt.
    ///
    /// When this resolves, `connection_made` has run and reading has begun (C-001). The future starts
    /// nothing before it is polled, and doesn't borrow the handle.
    ///
    /// # Errors
    /// [`ConnectError`]: an argument that can't be right (before any I/O), the resolver's failure, or
    /// the failures of all attempts.
    ///
    /// # Cancel safety
    /// Dropping the future closes what it has made so far: a connecting socket is deregistered and
    /// closed (C-014), a transport whose protocol was made is closed and tells it `connection_lost` (C-015).
    ///
    /// # Panics
    /// Only if `factory` does; the socket is closed.
    #[doc(alias = "create_connection")]
    pub fn connect<P, F>(
        self,
        handle: &LoopHandle,
        factory: F,
    ) -> impl Future<Output = Result<Rc<dyn Transport>, ConnectError>> + use<T, P, F>
    where
        P: Protocol + 'static,
        F: FnOnce() -> P,
    {
        let handle = handle.clone();
        async move {
            self.options.watermarks.check().map_err(InvalidArgument::from)?;
            let layer = self.security.layer().map_err(ConnectError::Layer)?;
            let socket = self.target.open(&handle).await?;
            let protocol = Box::new(factory());
            let Some(layer) = layer else {
                let transport = SocketTransport::new(&handle, socket, protocol, self.options)
                    .map_err(ConnectError::Transport)?;
                return made(&handle, transport).await;
            };
            let (wrapping, opened) = Wrapping::new(&handle, protocol);
            let wrapped = layer.wrap(wrapping).map_err(ConnectError::Layer)?;
            pass_on(&self.options, &*wrapped.transport).map_err(InvalidArgument::from)?;
            let protocol = wrapped.protocol;
            let transport = SocketTransport::new(&handle, socket, protocol, self.options)
                .map_err(ConnectError::Transport)?;
            Unready(Some(transport)).ready(opened).await.map_err(ConnectError::Layer)
        }
    }
}

/// Waits until a new transport's `connection_made` has run and its reading has begun.
async fn made(
    handle: &LoopHandle,
    transport: Rc<dyn Transport>,
) -> Result<Rc<dyn Transport>, ConnectError> {
    let mut unclaimed = Unclaimed { transport, claimed: false };
    // Both were queued by the transport's construction, and the queue is first in, first out.
    let flag = Rc::new(Flag::default());
    let raise = flag.clone();
    handle
        .call_soon(move || raise.raise())
        .map_err(|closed| ConnectError::Transport(std::io::Error::other(closed)))?;
    poll_fn(|cx| flag.poll_raised(cx)).await;
    unclaimed.claimed = true;
    Ok(unclaimed.transport.clone())
}

/// A transport that nobody got yet: closed if nobody ever does (C-015).
struct Unclaimed {
    transport: Rc<dyn Transport>,
    claimed: bool,
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if !self.claimed {
            self.transport.close();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Connect<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect").field("target", &self.target).finish_non_exhaustive()
    }
}
