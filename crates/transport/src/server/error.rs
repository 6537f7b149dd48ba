//! Why a server could not be made or started: [`ServeError`], [`ServingError`].

use std::error::Error;
use std::fmt;
use std::io;

use millrun_selector::Address;

use crate::{ConnectError, InvalidArgument};

/// Why nobody listens. All sockets that had been made are closed (SV-008).
///
/// Converts into an [`io::Error`] of the same [`kind`](ServeError::kind) that carries it inside.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// The arguments can't be right; nothing was done (SV-004).
    Invalid(InvalidArgument),
    /// The resolver failed.
    Resolve {
        /// The host and port asked for.
        name: String,
        /// What it said.
        source: io::Error,
    },
    /// The resolver answered with an empty list.
    NoAddresses {
        /// The host and port asked for.
        name: String,
    },
    /// One of the addresses can't be listened on.
    Bind {
        /// The address.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// None of the addresses is one of this machine's (SV-009).
    NoneBound {
        /// All that were tried.
        addresses: Vec<Address>,
        /// What the kernel said of the last one.
        source: io::Error,
    },
    /// A listening socket does not tell its address.
    Address(io::Error),
    /// The loop could not take a listening socket (it is closed, say).
    Loop(io::Error),
}

impl ServeError {
    /// The kind of error.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            ServeError::Invalid(_) => io::ErrorKind::InvalidInput,
            ServeError::NoAddresses { .. } => io::ErrorKind::NotFound,
            ServeError::NoneBound { .. } => io::ErrorKind::AddrNotAvailable,
            ServeError::Resolve { source, .. }
            | ServeError::Bind { source, .. }
            | ServeError::Address(source)
            | ServeError::Loop(source) => source.kind(),
        }
    }

    /// The operating system's number, if there is one (SV-008).
    pub fn raw_os_error(&self) -> Option<i32> {
        self.inner()?.raw_os_error()
    }

    fn inner(&self) -> Option<&io::Error> {
        match self {
            ServeError::Resolve { source, .. }
            | ServeError::Bind { source, .. }
            | ServeError::NoneBound { source, .. }
            | ServeError::Address(source)
            | ServeError::Loop(source) => Some(source),
            _ => None,
        }
    }

    /// From the part of connecting that serving shares: arguments and names.
    pub(super) fn from_resolving(error: ConnectError) -> ServeError {
        match error {
            ConnectError::Invalid(argument) => ServeError::Invalid(argument),
            ConnectError::Resolve { name, source } => ServeError::Resolve { name, source },
            ConnectError::NoAddresses { name } => ServeError::NoAddresses { name },
            other => ServeError::Loop(other.into()),
        }
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::Invalid(argument) => argument.fmt(f),
            ServeError::Resolve { name, source } => write!(f, "resolving {name}: {source}"),
            ServeError::NoAddresses { name } => {
                write!(f, "resolving {name} gave an empty list of addresses")
            }
            ServeError::Bind { address, source } => {
                write!(f, "error while attempting to bind on address {address}: {source}")
            }
            ServeError::NoneBound { addresses, source } => {
                write!(f, "could not bind on any address out of {addresses:?}: {source}")
            }
            ServeError::Address(source) => {
                write!(f, "a listening socket does not tell its address: {source}")
            }
            ServeError::Loop(source) => write!(f, "the loop can't watch a listener: {source}"),
        }
    }
}

impl Error for ServeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ServeError::Invalid(argument) => Some(argument),
            other => Some(other.inner()?),
        }
    }
}

impl From<ServeError> for io::Error {
    fn from(error: ServeError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

impl From<InvalidArgument> for ServeError {
    fn from(argument: InvalidArgument) -> ServeError {
        ServeError::Invalid(argument)
    }
}

/// Why a server does not start serving.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServingError {
    /// The server was closed.
    Closed,
    /// [`serve_forever`](crate::Server::serve_forever) runs already (SV-022).
    AlreadyForever,
    /// The loop could not take a listening socket.
    Loop(io::Error),
}

impl fmt::Display for ServingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServingError::Closed => f.write_str("expected an open server, got a closed one"),
            ServingError::AlreadyForever => {
                f.write_str("expected one serve_forever at a time, got a second")
            }
            ServingError::Loop(source) => write!(f, "the loop can't watch a listener: {source}"),
        }
    }
}

impl Error for ServingError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ServingError::Loop(source) => Some(source),
            ServingError::Closed | ServingError::AlreadyForever => None,
        }
    }
}

impl From<ServingError> for io::Error {
    fn from(error: ServingError) -> io::Error {
        let kind = match &error {
            ServingError::Closed => io::ErrorKind::NotConnected,
            ServingError::AlreadyForever => io::ErrorKind::ResourceBusy,
            ServingError::Loop(source) => source.kind(),
        };
        io::Error::new(kind, error)
    }
}
