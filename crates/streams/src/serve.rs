//! Serving: [`start_server`] and [`StartServer`].

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;

use millrun_loop::LoopHandle;
use millrun_protocol::inbox::Intake;
use millrun_protocol::{Connected, Connection, StreamReaderProtocol};
use millrun_transport::{AtAddress, AtName, Host, Layer, Place, Port, Serve, Server};

use crate::handler::{HandlerOutput, Serving};
use crate::over::{invalid, split};
use crate::{DEFAULT_LIMIT, StreamReader, StreamWriter};

/// Serves on a host and port over TCP: each connection is a task that runs `handler`. Await it for
/// the [`Server`], and keep that: when it is dropped nobody listens any more. `server.serve_forever().await`
/// serves until the task is given up, [`Server::detach`] for as long as the loop lives.
///
/// The handler is an async closure or function; it may give `()`, or a `Result<(), E>` whose error is reported
/// (a closure with `?` in it has to say which: `async |reader, writer| -> io::Result<()> { … }`).
///
/// # Errors
/// As [`StartServer`].
pub fn start_server<R: HandlerOutput>(
    host: impl Into<Host>,
    port: impl Into<Port>,
    handler: impl AsyncFn(StreamReader, StreamWriter) -> R + 'static,
) -> StartServer<AtName> {
    StartServer::tasks(Serve::on(host, port), handler)
}

/// As [`start_server`], on a Unix socket at this path.
///
/// # Errors
/// As [`StartServer`].
pub fn start_unix_server<R: HandlerOutput>(
    path: impl Into<PathBuf>,
    handler: impl AsyncFn(StreamReader, StreamWriter) -> R + 'static,
) -> StartServer<AtAddress> {
    StartServer::tasks(Serve::unix(path), handler)
}

/// A server to be started. Await it inside a running loop.
///
/// A task whose handler returns an error or panics is reported as "unhandled exception in
/// client_connected_cb", and its connection is closed (SV-026). When a handler is done and has kept
/// neither end, its connection is closed: flushed first. One that is cancelled (the loop is closed)
/// likewise, without a report (SV-027).
///
/// # Errors
/// [`ServeError`](millrun_transport::ServeError) inside an `io::Error` of the same kind; `InvalidInput` for a
/// limit of 0; [`NoRunningLoop`](millrun_loop::NoRunningLoop).
///
/// # Cancel safety
/// Nothing listens before the future is done.
#[must_use = "nobody listens until it is awaited"]
pub struct StartServer<T> {
    serve: Serve<T>,
    limit: usize,
    connected: Connected,
}

impl<T> StartServer<T> {
    /// Each connection is a task that runs `handler` (SV-025). Options of the serving are those of `serve`.
    pub fn tasks<R: HandlerOutput>(
        serve: Serve<T>,
        handler: impl AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    ) -> StartServer<T> {
        let handler = Rc::new(handler);
        StartServer::new(serve, move |connection| {
            let handler = Rc::clone(&handler);
            let event_loop = connection.loop_handle().clone();
            let link = connection.link();
            // The ends are made inside, where they are needed: what an async block captures it stores for
            // as long as it lives, beside what it awaits.
            let future = async move {
                let (reader, writer) = split(connection);
                handler(reader, writer).await
            };
            event_loop.spawn_detached(Serving::new(link, future));
        })
    }

    /// Each connection is given to `callback`, from inside `connection_made`: no task (SV-025).
    pub fn calls(
        serve: Serve<T>,
        callback: impl Fn(StreamReader, StreamWriter) + 'static,
    ) -> StartServer<T> {
        StartServer::new(serve, move |connection| {
            let (reader, writer) = split(connection);
            callback(reader, writer);
        })
    }

    fn new(serve: Serve<T>, connected: impl Fn(Connection) + 'static) -> StartServer<T> {
        StartServer { serve, limit: DEFAULT_LIMIT, connected: Connected::new(connected) }
    }

    /// Over TLS, by a configuration of a TLS crate's: see [`Serve::tls`].
    pub fn tls(mut self, config: impl Layer + 'static) -> StartServer<T> {
        self.serve = self.serve.tls(config);
        self
    }

    /// The limit of each reader in bytes: 64 KiB unless told.
    pub fn limit(mut self, limit: usize) -> StartServer<T> {
        self.limit = limit;
        self
    }
}

impl<T: Place + 'static> IntoFuture for StartServer<T> {
    type Output = io::Result<Server>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<Server>>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let StartServer { serve, limit, connected } = self;
            let handle = LoopHandle::current().map_err(io::Error::other)?;
            Intake::new(limit).map_err(invalid)?;
            let factory_handle = handle.clone();
            let factory = move || factory(&factory_handle, limit, &connected);
            Ok(serve.serve(&handle, factory).await?)
        })
    }
}

#[expect(clippy::expect_used, reason = "the limit was checked before the server was started")]
fn factory(handle: &LoopHandle, limit: usize, connected: &Connected) -> StreamReaderProtocol {
    StreamReaderProtocol::with_callback(handle, limit, connected.clone()).expect("a valid limit")
}

impl<T> fmt::Debug for StartServer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartServer").field("limit", &self.limit).finish_non_exhaustive()
    }
}
