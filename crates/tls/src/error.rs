//! What can go wrong: [`TlsError`] on a connection, [`InvalidConfig`] before there is one.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

/// Why a TLS connection failed. Inside the `io::Error` that a handshake fails with, or that `connection_lost` gets; find it with
/// [`TlsError::of`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// The handshake took longer than this (TLS-004). An error of kind `ConnectionAborted`.
    HandshakeTimedOut(Duration),
    /// The peer ended the connection before the handshake was done (TLS-005). `ConnectionReset`.
    EofInHandshake,
    /// Our side closed before the handshake was done (TLS-008). `ConnectionAborted`.
    ClosedInHandshake,
    /// The connection ended without `close_notify`: what came may be the beginning only, cut off by anybody on the way (D-14),
    /// or by whoever here kept the transport below and ended it there. `UnexpectedEof`.
    Truncated,
    /// The peer did not answer a close in time (TLS-012). `TimedOut`.
    ShutdownTimedOut,
    /// The peer's certificate was refused, with the reason (TLS-007). `InvalidData`. (`CaUsedAsEndEntity`: the certificate of an authority
    /// can't be a server's; it has to be made with `CA:FALSE`.)
    CertificateRefused(String),
    /// The peer refused us or gave up, by this alert. `ConnectionAborted`.
    Alert(String),
    /// What came is not what TLS allows (TLS-031). `InvalidData`.
    Protocol(String),
    /// A handshake message was longer than any may be. `InvalidData`.
    MessageTooLong,
    /// Somebody gave the transport below another protocol. `ConnectionAborted`.
    Replaced,
}

impl TlsError {
    /// The TLS error inside an I/O error, if it is one.
    pub fn of(error: &io::Error) -> Option<&TlsError> {
        let mut inner: &(dyn Error + 'static) = error.get_ref()?;
        loop {
            if let Some(found) = inner.downcast_ref() {
                return Some(found);
            }
            inner = match inner.downcast_ref::<io::Error>() {
                Some(nested) => nested.get_ref()?,
                None => inner.source()?,
            };
        }
    }

    /// A copy of an error, for whoever is told besides: an `io::Error` has only one owner.
    pub(crate) fn copy_of(error: &io::Error) -> io::Error {
        match TlsError::of(error) {
            Some(tls) => tls.clone().into(),
            None => io::Error::new(error.kind(), error.to_string()),
        }
    }

    fn kind(&self) -> ErrorKind {
        match self {
            TlsError::HandshakeTimedOut(_)
            | TlsError::ClosedInHandshake
            | TlsError::Alert(_)
            | TlsError::Replaced => ErrorKind::ConnectionAborted,
            TlsError::EofInHandshake => ErrorKind::ConnectionReset,
            TlsError::Truncated => ErrorKind::UnexpectedEof,
            TlsError::ShutdownTimedOut => ErrorKind::TimedOut,
            TlsError::CertificateRefused(_) | TlsError::Protocol(_) | TlsError::MessageTooLong => {
                ErrorKind::InvalidData
            }
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> TlsError {
        match error {
            rustls::Error::InvalidCertificate(why) => TlsError::CertificateRefused(why.to_string()),
            rustls::Error::NoCertificatesPresented => {
                TlsError::CertificateRefused("expected a certificate, got none".into())
            }
            rustls::Error::AlertReceived(alert) => TlsError::Alert(format!("{alert:?}")),
            other => TlsError::Protocol(other.to_string()),
        }
    }
}

impl From<TlsError> for io::Error {
    fn from(error: TlsError) -> io::Error {
        io::Error::new(error.kind(), error)
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TlsError::HandshakeTimedOut(after) => {
                let seconds = after.as_secs_f64();
                write!(
                    f,
                    "SSL handshake is taking longer than {seconds} seconds: aborting the connection"
                )
            }
            TlsError::EofInHandshake => {
                f.write_str("the peer ended the connection in the TLS handshake")
            }
            TlsError::ClosedInHandshake => f.write_str("closed in the TLS handshake"),
            TlsError::Truncated => f.write_str(
                "expected close_notify, got the end of the connection: it may be cut off",
            ),
            TlsError::ShutdownTimedOut => f.write_str("SSL shutdown timed out"),
            TlsError::CertificateRefused(why) => {
                write!(f, "the peer's certificate is refused: {why}")
            }
            TlsError::Alert(alert) => write!(f, "the peer ended TLS with the alert {alert}"),
            TlsError::Protocol(what) => write!(f, "TLS failed: {what}"),
            TlsError::MessageTooLong => {
                f.write_str("a TLS handshake message is longer than any may be")
            }
            TlsError::Replaced => f.write_str("the transport below TLS was given another protocol"),
        }
    }
}

impl Error for TlsError {}

/// What a configuration can't be.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// This timeout is zero: nothing could ever be done in time (TLS-003).
    ZeroTimeout(&'static str),
    /// The server's name is neither a DNS name nor an IP address. An empty one is not either: it switches nothing off.
    ServerName(String),
    /// PEM or DER that can't be read, and of what.
    Unreadable(&'static str, String),
    /// No root certificates: every peer would be refused.
    NoRoots(String),
    /// Certificate and key don't go together, or are of a kind that is not known.
    Identity(String),
    /// A server without a certificate.
    NoIdentity,
    /// A configuration of rustls's that is set up for early data (0-RTT), which can be replayed by anybody.
    EarlyData,
}

impl From<InvalidConfig> for io::Error {
    fn from(error: InvalidConfig) -> io::Error {
        io::Error::new(ErrorKind::InvalidInput, error)
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InvalidConfig::ZeroTimeout(which) => {
                write!(f, "expected a {which} timeout above 0, got 0")
            }
            InvalidConfig::ServerName(got) => {
                write!(f, "expected a DNS name or an IP address as the server's name, got {got:?}")
            }
            InvalidConfig::Unreadable(what, why) => write!(f, "expected {what}: {why}"),
            InvalidConfig::NoRoots(why) => write!(f, "expected root certificates: {why}"),
            InvalidConfig::Identity(why) => {
                write!(f, "expected a certificate chain and its key: {why}")
            }
            InvalidConfig::NoIdentity => {
                f.write_str("expected a certificate for the server, got none")
            }
            InvalidConfig::EarlyData => {
                f.write_str("expected a configuration without early data, got one with it")
            }
        }
    }
}

impl Error for InvalidConfig {}
