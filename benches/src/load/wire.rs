//! A connection's bytes: as they are, or over TLS.

use std::io::{self, Read as _, Write as _};

use mio::net::TcpStream;

use super::secure::Secure;

/// Who carries them.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    Secure(Box<Secure>),
}

/// What a read brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// So many bytes; over TLS it may be none, of a part of a record.
    Bytes(usize),
    /// The end of file.
    Nothing,
}

impl Wire {
    /// What is registered.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure(secure) => secure.socket(),
        }
    }

    /// As a socket's: how many bytes were taken. Those of TLS that the kernel did not take leave by [`flush`](Wire::flush).
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(bytes),
            Self::Secure(secure) => secure.write(bytes),
        }
    }

    /// What was taken leaves.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Secure(secure) => secure.flush(),
        }
    }

    /// Takes what came, and says whether that has emptied the socket: then the next bytes will be told.
    pub(super) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<(Came, bool)> {
        match self {
            Self::Plain(stream) => Ok(match stream.read(buffer)? {
                0 => (Came::Nothing, true),
                length => (Came::Bytes(length), length < buffer.len()),
            }),
            Self::Secure(secure) => secure.receive(buffer),
        }
    }
}
