//! Errors that a caller branches on: [`ReadError`] and [`WriteError`].

use std::fmt;
use std::io;

use crate::ConnectionLost;
use crate::inbox::{EmptySeparator, IncompleteRead, LimitOverrun};

/// Why a read of a certain shape failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReadError {
    /// The end of file came first; it owns what had arrived.
    Incomplete(IncompleteRead),
    /// No separator within the limit; the data stay in the buffer.
    LimitOverrun(LimitOverrun),
    /// No separator was given, or an empty one.
    EmptySeparator(EmptySeparator),
    /// The connection's error. Bytes that came before it stay readable.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReadError::Incomplete(error) => error.fmt(f),
            ReadError::LimitOverrun(error) => error.fmt(f),
            ReadError::EmptySeparator(error) => error.fmt(f),
            ReadError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReadError::Io(error) => error.source(),
            _ => None,
        }
    }
}

impl From<EmptySeparator> for ReadError {
    fn from(error: EmptySeparator) -> ReadError {
        ReadError::EmptySeparator(error)
    }
}

/// `UnexpectedEof`, `InvalidData` and `InvalidInput`, with the typed error inside.
impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> io::Error {
        match error {
            ReadError::Incomplete(error) => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            ReadError::LimitOverrun(error) => io::Error::new(io::ErrorKind::InvalidData, error),
            ReadError::EmptySeparator(error) => io::Error::new(io::ErrorKind::InvalidInput, error),
            ReadError::Io(error) => error,
        }
    }
}

/// Why bytes were not taken (D-03).
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The write direction was ended by this side (T-059).
    Eof,
    /// This side closed or aborted the connection.
    Closed,
    /// The connection is over, by this error or by the peer's leaving.
    Lost(io::Error),
}

impl WriteError {
    /// Lost, by an error that `connection_lost` has yet to tell.
    pub(crate) fn lost(error: Option<io::Error>) -> WriteError {
        WriteError::Lost(error.unwrap_or_else(|| {
            let lost = ConnectionLost { unsent: 0 };
            io::Error::new(io::ErrorKind::ConnectionReset, lost)
        }))
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteError::Eof => {
                f.write_str("expected an open write direction, got a write after write_eof")
            }
            WriteError::Closed => {
                f.write_str("expected an open connection, got a write after close")
            }
            WriteError::Lost(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            WriteError::Lost(error) => error.source(),
            _ => None,
        }
    }
}

/// `BrokenPipe` after `write_eof`, `NotConnected` after a close of ours, the connection's error else.
impl From<WriteError> for io::Error {
    fn from(error: WriteError) -> io::Error {
        match error {
            WriteError::Eof => io::Error::new(io::ErrorKind::BrokenPipe, error),
            WriteError::Closed => io::Error::new(io::ErrorKind::NotConnected, error),
            WriteError::Lost(error) => error,
        }
    }
}
