//! A reader and a writer over any transport: [`stream`] and [`stream_with_limit`].

use std::io;

use millrun_loop::LoopHandle;
use millrun_protocol::{Connection, StreamReaderProtocol};

use crate::{DEFAULT_LIMIT, StreamReader, StreamWriter};

/// A reader and a writer over any transport, one of your own too: `attach` gets the protocol, and hands
/// it to the transport. Waits for `connection_made`.
///
/// # Errors
/// What `attach` fails with; or the connection was lost, or the protocol dropped, before it was made. No
/// loop runs here.
///
/// # Cancel safety
/// Dropping the future closes the connection when it comes to be.
pub async fn stream<T>(
    attach: impl FnOnce(Box<StreamReaderProtocol>) -> io::Result<T>,
) -> io::Result<(StreamReader, StreamWriter)> {
    stream_with_limit(DEFAULT_LIMIT, attach).await
}

/// As [`stream`], with a limit in bytes.
///
/// # Errors
/// As [`stream`]; `InvalidInput` for a limit of 0.
///
/// # Cancel safety
/// As [`stream`].
pub async fn stream_with_limit<T>(
    limit: usize,
    attach: impl FnOnce(Box<StreamReaderProtocol>) -> io::Result<T>,
) -> io::Result<(StreamReader, StreamWriter)> {
    let handle = LoopHandle::current().map_err(io::Error::other)?;
    let (protocol, connecting) = StreamReaderProtocol::new(&handle, limit).map_err(invalid)?;
    // What the transport is, is kept: dropping it may end it.
    let attached = attach(Box::new(protocol))?;
    let connection = connecting.await?;
    drop(attached);
    Ok(split(connection))
}

pub(crate) fn split(connection: Connection) -> (StreamReader, StreamWriter) {
    let (read, write) = connection.split();
    (StreamReader::new(read), StreamWriter::new(write))
}

pub(crate) fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}
