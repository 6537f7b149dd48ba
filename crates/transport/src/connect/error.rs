//! Why a connect failed: [`ConnectError`], with every attempt's error.

use std::error::Error;
use std::fmt;
use std::io;

use millrun_selector::{Address, BindError};

use crate::InvalidLimits;

/// An argument that can't be right; found before any I/O.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum InvalidArgument {
    /// Neither a host nor a port was given (C-002, SV-004).
    NoHostNoPort,
    /// A port is 0 to 65535; this is what came.
    Port(String),
    /// A list of hosts or addresses was empty.
    NoAddress,
    /// Marks of the write buffer that are not in order (F-003).
    Watermarks(InvalidLimits),
}

impl fmt::Display for InvalidArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidArgument::NoHostNoPort => f.write_str("expected a host or a port, got neither"),
            InvalidArgument::Port(text) => {
                write!(f, "expected a port from 0 to 65535 or a service name, got {text}")
            }
            InvalidArgument::NoAddress => f.write_str("expected at least one address, got none"),
            InvalidArgument::Watermarks(limits) => limits.fmt(f),
        }
    }
}

impl Error for InvalidArgument {}

impl From<InvalidLimits> for InvalidArgument {
    fn from(limits: InvalidLimits) -> InvalidArgument {
        InvalidArgument::Watermarks(limits)
    }
}

/// Why there is no connection.
///
/// Converts into an [`io::Error`] of the same [`kind`](ConnectError::kind) that carries it inside, so
/// that `?` works in functions that return `io::Result`.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The arguments can't be right; nothing was done.
    Invalid(InvalidArgument),
    /// The resolver failed.
    Resolve {
        /// The host and port asked for.
        name: String,
        /// What it said.
        source: io::Error,
    },
    /// The resolver answered with an empty list (C-007).
    NoAddresses {
        /// The host and port asked for.
        name: String,
    },
    /// Every attempt failed.
    Failed(Attempts),
    /// The socket is connected, and the loop could not take it (it is closed, say).
    Transport(io::Error),
    /// The socket is connected, and the layer over it (TLS) is not to be had: its handshake failed, or, before any I/O, its
    /// configuration is not for this server.
    Layer(io::Error),
}

impl ConnectError {
    /// The kind of error: of the attempts if they agree, else `Other`.
    pub fn kind(&self) -> io::ErrorKind {
        match self {
            ConnectError::Invalid(_) => io::ErrorKind::InvalidInput,
            ConnectError::Resolve { source, .. }
            | ConnectError::Transport(source)
            | ConnectError::Layer(source) => source.kind(),
            ConnectError::NoAddresses { .. } => io::ErrorKind::NotFound,
            ConnectError::Failed(attempts) => {
                attempts.common(ConnectAttempt::kind).unwrap_or(io::ErrorKind::Other)
            }
        }
    }

    /// The operating system's number, if there is one that all attempts agree on.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            ConnectError::Invalid(_) | ConnectError::NoAddresses { .. } => None,
            ConnectError::Resolve { source, .. }
            | ConnectError::Transport(source)
            | ConnectError::Layer(source) => source.raw_os_error(),
            ConnectError::Failed(attempts) => attempts.common(ConnectAttempt::raw_os_error)?,
        }
    }

    /// Every attempt's failure, in order; empty if it never came to attempts.
    pub fn attempts(&self) -> &[ConnectAttempt] {
        match self {
            ConnectError::Failed(attempts) => &attempts.failures,
            _ => &[],
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Invalid(argument) => argument.fmt(f),
            ConnectError::Resolve { name, source } => write!(f, "resolving {name}: {source}"),
            ConnectError::NoAddresses { name } => {
                write!(f, "resolving {name} gave an empty list of addresses")
            }
            ConnectError::Failed(attempts) => attempts.fmt(f),
            ConnectError::Transport(source) => {
                write!(f, "no transport for the connected socket: {source}")
            }
            ConnectError::Layer(source) => source.fmt(f),
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConnectError::Invalid(argument) => Some(argument),
            ConnectError::Resolve { source, .. }
            | ConnectError::Transport(source)
            | ConnectError::Layer(source) => Some(source),
            ConnectError::NoAddresses { .. } => None,
            ConnectError::Failed(attempts) => match &attempts.failures[..] {
                [only] => Some(only),
                _ => None,
            },
        }
    }
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

impl From<InvalidArgument> for ConnectError {
    fn from(argument: InvalidArgument) -> ConnectError {
        ConnectError::Invalid(argument)
    }
}

/// The failures of a connect, at least one.
///
/// Printed as asyncio does: the only one, or the first if all say the same, else `Multiple
/// exceptions: …` with each (C-009); with
/// [`all_errors`](crate::Connect::all_errors) always each of them (C-010).
#[derive(Debug)]
pub struct Attempts {
    failures: Vec<ConnectAttempt>,
    print_all: bool,
}

impl Attempts {
    pub(crate) fn new(failures: Vec<ConnectAttempt>, print_all: bool) -> Attempts {
        Attempts { failures, print_all }
    }

    /// Each failure, in order.
    pub fn as_slice(&self) -> &[ConnectAttempt] {
        &self.failures
    }

    /// What `of` says of every attempt, if it says the same.
    fn common<T: PartialEq>(&self, of: impl Fn(&ConnectAttempt) -> T) -> Option<T> {
        let (first, rest) = self.failures.split_first()?;
        let first = of(first);
        rest.iter().all(|other| of(other) == first).then_some(first)
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.print_all {
            write!(f, "connecting failed, all errors ({}): ", self.failures.len())?;
        } else if let Some(text) = self.common(ToString::to_string) {
            return f.write_str(&text);
        } else {
            f.write_str("Multiple exceptions: ")?;
        }
        for (place, failure) in self.failures.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            failure.fmt(f)?;
        }
        Ok(())
    }
}

/// One attempt that failed.
#[derive(Debug)]
#[non_exhaustive]
pub struct ConnectAttempt {
    /// The address to connect to.
    pub remote: Address,
    /// The address to connect from, if one was asked for and fits.
    pub local: Option<Address>,
    /// How far it came.
    pub stage: Stage,
    /// What the kernel said.
    pub error: io::Error,
}

/// Where an attempt failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Stage {
    /// No local address has the family of the remote one (C-013).
    NoLocal,
    /// Binding to the local address (C-012).
    Bind,
    /// Making the socket or connecting it (C-011).
    Connect,
}

impl ConnectAttempt {
    /// The kind of its error.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    /// The operating system's number, if it has one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.error.raw_os_error().or_else(|| self.bind_error()?.source.raw_os_error())
    }

    fn bind_error(&self) -> Option<&BindError> {
        self.error.get_ref()?.downcast_ref()
    }
}

impl fmt::Display for ConnectAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Stage::NoLocal => {
                write!(f, "no matching local address of the family of {} found", self.remote)
            }
            // Names the local address already.
            Stage::Bind => self.error.fmt(f),
            Stage::Connect => write!(f, "connect call failed ({}): {}", self.remote, self.error),
        }
    }
}

impl Error for ConnectAttempt {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const ECONNREFUSED: i32 = 111;

    fn failure(port: u16, error: io::Error) -> ConnectAttempt {
        let remote = Address::from((std::net::Ipv4Addr::LOCALHOST, port));
        ConnectAttempt { remote, local: None, stage: Stage::Connect, error }
    }

    fn refused(port: u16) -> ConnectAttempt {
        failure(port, io::Error::from_raw_os_error(ECONNREFUSED))
    }

    fn failed(failures: Vec<ConnectAttempt>) -> ConnectError {
        ConnectError::Failed(Attempts::new(failures, false))
    }

    #[test]
    fn c_009_one_error_is_that_error() {
        let error = failed(vec![refused(1)]);
        assert!(error.to_string().starts_with("connect call failed (127.0.0.1:1): "), "{error}");
        assert_eq!(error.raw_os_error(), Some(ECONNREFUSED));
        assert!(error.source().unwrap().is::<ConnectAttempt>());
    }

    #[test]
    fn c_009_errors_that_say_the_same_are_the_first() {
        let error = failed(vec![refused(1), refused(1)]);
        assert_eq!(error.to_string(), refused(1).to_string());
        assert_eq!(error.attempts().len(), 2);
    }

    #[test]
    fn c_009_errors_that_differ_are_listed() {
        let timed_out = || failure(2, io::ErrorKind::TimedOut.into());
        let error = failed(vec![refused(1), timed_out()]);
        let expected = format!("Multiple exceptions: {}, {}", refused(1), timed_out());
        assert_eq!(error.to_string(), expected);
        assert_eq!((error.kind(), error.raw_os_error()), (io::ErrorKind::Other, None));
        // Different addresses, the same number: that stays told.
        let error = failed(vec![refused(1), refused(2)]);
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(error.raw_os_error(), Some(ECONNREFUSED));
    }

    #[test]
    fn c_010_all_errors_prints_every_one_even_a_single() {
        let error = ConnectError::Failed(Attempts::new(vec![refused(1)], true));
        let expected = format!("connecting failed, all errors (1): {}", refused(1));
        assert_eq!(error.to_string(), expected);
        let error = ConnectError::Failed(Attempts::new(vec![refused(1), refused(1)], true));
        let expected = format!("connecting failed, all errors (2): {}, {}", refused(1), refused(1));
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn c_011_an_io_error_keeps_kind_and_number() {
        let error = io::Error::from(failed(vec![refused(1)]));
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let inner: ConnectError = error.downcast().unwrap();
        assert_eq!(inner.raw_os_error(), Some(ECONNREFUSED));
    }

    #[test]
    fn c_012_a_bind_error_keeps_its_number_and_names_its_address() {
        let source = io::Error::from_raw_os_error(98);
        let address = Address::from((std::net::Ipv4Addr::LOCALHOST, 9));
        let error = io::Error::new(source.kind(), BindError { address, source });
        let attempt = ConnectAttempt { stage: Stage::Bind, ..failure(1, error) };
        assert_eq!(attempt.raw_os_error(), Some(98));
        let text = attempt.to_string();
        assert!(
            text.starts_with("error while attempting to bind on address 127.0.0.1:9: "),
            "{text}"
        );
    }
}
