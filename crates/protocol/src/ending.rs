//! How a connection ended, told to each that asks: [`Ending`].

use std::fmt;
use std::io;
use std::sync::Arc;

use millrun_transport::CloseOutcome;

/// How a connection ended for one protocol. Cheap to clone: `io::Error` is not, and readers, drains and
/// waiters for the close all want it.
#[derive(Clone, Debug)]
pub enum Ending {
    /// By an end of file, a close or an abort of ours; so many accepted bytes were dropped.
    Closed {
        /// 0 = everything was sent.
        unsent: usize,
    },
    /// By an error.
    Lost(Arc<io::Error>),
    /// Not at all: another protocol took the place of this one.
    Replaced,
}

impl Ending {
    /// Ended by this error.
    #[cold]
    #[inline(never)]
    pub fn lost(error: io::Error) -> Ending {
        Ending::Lost(Arc::new(error))
    }

    /// What a read gets when the bytes are used up; `None` is the end of file.
    pub fn for_read(&self) -> Option<io::Error> {
        match self {
            Ending::Closed { .. } => None,
            Ending::Lost(error) => Some(shared(error)),
            Ending::Replaced => Some(replaced()),
        }
    }

    /// What a drain gets that was waiting at the end (ST-072).
    ///
    /// # Errors
    /// The connection's error; or that bytes were dropped (D-02).
    pub fn for_waiting_drain(&self) -> io::Result<()> {
        match *self {
            Ending::Closed { unsent: 0 } => Ok(()),
            Ending::Closed { unsent } => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, ConnectionLost { unsent }))
            }
            _ => Err(self.for_write()),
        }
    }

    /// What a write or a drain gets that begins after the end (ST-070).
    pub fn for_write(&self) -> io::Error {
        match self {
            Ending::Closed { unsent } => {
                let lost = ConnectionLost { unsent: *unsent };
                io::Error::new(io::ErrorKind::ConnectionReset, lost)
            }
            Ending::Lost(error) => shared(error),
            Ending::Replaced => replaced(),
        }
    }

    /// What one that waits for the close gets.
    ///
    /// # Errors
    /// The connection's error.
    pub fn for_close(&self) -> io::Result<CloseOutcome> {
        match *self {
            Ending::Closed { unsent: 0 } => Ok(CloseOutcome::Flushed),
            Ending::Closed { unsent } => Ok(CloseOutcome::Unsent(unsent)),
            _ => Err(self.for_write()),
        }
    }
}

/// The connection is over, and not by an error. Inside an `io::Error` of kind `ConnectionReset`, or
/// `ConnectionAborted` when a drain was waiting for the dropped bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLost {
    /// Accepted bytes that were dropped.
    pub unsent: usize,
}

impl fmt::Display for ConnectionLost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.unsent {
            0 => f.write_str("connection lost"),
            unsent => write!(f, "connection lost with {unsent} bytes unsent"),
        }
    }
}

impl std::error::Error for ConnectionLost {}

/// The transport was given another protocol: what waits here waits in vain. Inside an `io::Error` of
/// kind `NotConnected`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProtocolReplaced;

impl fmt::Display for ProtocolReplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the transport was given another protocol, or none")
    }
}

impl std::error::Error for ProtocolReplaced {}

/// The error that ended a connection, shared by all that get it: inside an `io::Error` of the same kind.
/// An error of the system is not wrapped: it keeps its number.
#[derive(Clone, Debug)]
pub struct SharedError(Arc<io::Error>);

impl SharedError {
    /// The error that `connection_lost` got: `get_ref()` of it is what the transport put inside.
    pub fn get(&self) -> &io::Error {
        &self.0
    }
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let inner: &(dyn std::error::Error + 'static) = self.0.get_ref()?;
        Some(inner)
    }
}

fn shared(error: &Arc<io::Error>) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), SharedError(Arc::clone(error))),
    }
}

fn replaced() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, ProtocolReplaced)
}
