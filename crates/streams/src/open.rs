//! Connecting: [`open_connection`] and [`OpenConnection`].

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use millrun_loop::LoopHandle;
use millrun_protocol::StreamReaderProtocol;
use millrun_transport::{ByAddress, ByName, ClientTls, Connect, Host, Port, Target};

use crate::over::{invalid, split};
use crate::{DEFAULT_LIMIT, StreamReader, StreamWriter};

/// Connects to a host and port over TCP; await it for a reader and a writer.
///
/// # Errors
/// As [`OpenConnection`].
pub fn open_connection(host: impl Into<Host>, port: impl Into<Port>) -> OpenConnection<ByName> {
    Connect::to(host, port).into()
}

/// Connects to a Unix socket by its path; await it for a reader and a writer.
///
/// # Errors
/// As [`OpenConnection`].
pub fn open_unix_connection(path: impl Into<PathBuf>) -> OpenConnection<ByAddress> {
    Connect::unix(path).into()
}

/// A connection to be opened. Await it inside a running loop.
///
/// Options of the connecting are those of [`Connect`], from which it is made:
/// `OpenConnection::from(Connect::to("::1", 80).local_addr("::1", 0)).limit(1024).await?`.
///
/// # Errors
/// [`ConnectError`](millrun_transport::ConnectError) inside an `io::Error` of the same kind (ST-064);
/// `InvalidInput` for a limit of 0; [`NoRunningLoop`](millrun_loop::NoRunningLoop).
///
/// # Cancel safety
/// Dropping the future closes what it has made so far.
#[must_use = "nothing is connected until it is awaited"]
pub struct OpenConnection<T> {
    connect: Connect<T>,
    limit: usize,
}

impl<T> OpenConnection<T> {
    /// The reader's limit in bytes: 64 KiB unless told.
    pub fn limit(mut self, limit: usize) -> OpenConnection<T> {
        self.limit = limit;
        self
    }
}

impl<T> OpenConnection<T> {
    /// Over TLS, by a configuration of a TLS crate's, with the server that has this name: see [`Connect::tls`].
    pub fn tls(mut self, config: &impl ClientTls, server_name: &str) -> OpenConnection<T> {
        self.connect = self.connect.tls(config, server_name);
        self
    }
}

impl<T> From<Connect<T>> for OpenConnection<T> {
    fn from(connect: Connect<T>) -> OpenConnection<T> {
        OpenConnection { connect, limit: DEFAULT_LIMIT }
    }
}

impl<T: Target + 'static> IntoFuture for OpenConnection<T> {
    type Output = io::Result<(StreamReader, StreamWriter)>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let handle = LoopHandle::current().map_err(io::Error::other)?;
            let (protocol, connecting) =
                StreamReaderProtocol::new(&handle, self.limit).map_err(invalid)?;
            self.connect.connect(&handle, move || protocol).await?;
            // Made by now; if it was lost already, the reader tells.
            Ok(split(connecting.await?))
        })
    }
}

impl<T: fmt::Debug> fmt::Debug for OpenConnection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("OpenConnection");
        out.field("connect", &self.connect).field("limit", &self.limit).finish()
    }
}
