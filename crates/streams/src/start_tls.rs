//! TLS over a connection that is in use: [`StreamWriter::start_tls`].

use std::fmt;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use bytes::Bytes;
use millrun_protocol::StreamReaderProtocol;
use millrun_transport::{Layer, Upper, start_tls};

use crate::over::{invalid, split};
use crate::{StreamReader, StreamWriter};

/// What [`StreamWriter::start_tls`] does with bytes that have come and were not read when TLS begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReadAhead {
    /// Fails. For protocols in which a command (STARTTLS) switches to TLS: the peer waits for our answer to it, so whatever has come
    /// already was put there by somebody on the way, who wants it to be read as if TLS had protected it.
    Refuse,
    /// They are the beginning of TLS. For a peer that speaks TLS after a preamble of its own (a PROXY header), without waiting.
    HandOver,
}

/// Bytes had come before TLS began, and were refused. Inside the `InvalidData` of [`StreamWriter::start_tls`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnexpectedPlaintext {
    /// How many.
    pub bytes: usize,
}

impl StreamWriter {
    /// Begins TLS on this connection, on the side that the layer is for: a client's layer is
    /// `config.layer("server.name")?`, a server's `Rc::new(config)`. Drains first; bytes that were written before go out unprotected.
    /// Gives the ends of the protected connection.
    ///
    /// It takes both ends, so that nobody can read or write unprotected bytes from here on. The reader's limit stays.
    ///
    /// # Errors
    /// `InvalidInput` when the ends are of two connections; [`UnexpectedPlaintext`]; the handshake's failure; the connection's
    /// error. The connection is ended in any case.
    ///
    /// # Cancel safety
    /// Dropping the future ends the connection: what was begun can't be taken back.
    #[doc(alias = "upgrade")]
    pub async fn start_tls(
        self,
        mut reader: StreamReader,
        layer: Rc<dyn Layer>,
        ahead: ReadAhead,
    ) -> io::Result<(StreamReader, StreamWriter)> {
        let below = Rc::clone(self.transport());
        if !Rc::ptr_eq(&below, reader.transport()) {
            return Err(io::Error::new(
                ErrorKind::InvalidInput,
                "expected both ends of one connection, got ends of two",
            ));
        }
        self.drain().await?;
        let bytes = reader.buffered();
        if bytes > 0 && ahead == ReadAhead::Refuse {
            self.abort();
            return Err(io::Error::new(ErrorKind::InvalidData, UnexpectedPlaintext { bytes }));
        }
        // They are all there: this does not wait.
        let received =
            Bytes::copy_from_slice(reader.read_exact(bytes).await.map_err(io::Error::from)?);
        if reader.at_eof() {
            return Err(io::Error::new(
                ErrorKind::ConnectionReset,
                "the peer ended the connection before TLS began",
            ));
        }
        let handle = self.loop_handle().clone();
        let (protocol, connecting) =
            StreamReaderProtocol::new(&handle, reader.limit()).map_err(invalid)?;
        let upper = Upper::New(Box::new(protocol));
        // The old ends lose their protocol by it, and are no more of the connection.
        start_tls(&handle, below, upper, &*layer, received).await?;
        Ok(split(connecting.await?))
    }
}

impl fmt::Display for UnexpectedPlaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected nothing to be read before TLS begins, got {} bytes", self.bytes)
    }
}

impl std::error::Error for UnexpectedPlaintext {}
