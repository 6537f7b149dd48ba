//! asyncio's other kind of protocol, which lends its own memory for each receive: [`BufferedProtocol`].

use std::io::{self, ErrorKind};
use std::rc::Rc;

use crate::{Landing, Protocol, Transport};

/// A protocol that receives into memory of its own. [`Buffered`] makes it a [`Protocol`].
///
/// The order of calls is that of `Protocol`, with `get_buffer` and `buffer_updated` in the place of
/// `data_received`. A `Protocol` can do the same by [`Landing::Own`], and can also say that it has no room; here
/// an empty buffer is an error (P-007), as in asyncio.
pub trait BufferedProtocol {
    /// See [`Protocol::connection_made`].
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        let _ = transport;
    }

    /// Memory for the next bytes, filled from its start. `hint` is how many will come, where that
    /// is known (asyncio's -1 is `None`).
    ///
    /// # Errors
    /// An error, or an empty buffer, is fatal for the connection and is given to `connection_lost`.
    fn get_buffer(&mut self, hint: Option<usize>) -> io::Result<&mut [u8]>;

    /// So many bytes lie in the buffer; never 0.
    ///
    /// # Errors
    /// As for `get_buffer`.
    fn buffer_updated(&mut self, n: usize) -> io::Result<()>;

    /// See [`Protocol::eof_received`].
    fn eof_received(&mut self) -> bool {
        false
    }

    /// See [`Protocol::connection_lost`].
    fn connection_lost(&mut self, error: Option<io::Error>) {
        let _ = error;
    }

    /// See [`Protocol::pause_writing`].
    fn pause_writing(&mut self) {}

    /// See [`Protocol::resume_writing`].
    fn resume_writing(&mut self) {}
}

/// A [`BufferedProtocol`] as a [`Protocol`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Buffered<P>(pub P);

impl<P: BufferedProtocol> Protocol for Buffered<P> {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.0.connection_made(transport);
    }

    fn landing(&mut self) -> Landing<'_> {
        match buffer(&mut self.0, None) {
            Ok(memory) => Landing::Own(memory),
            Err(error) => Landing::Failed(error),
        }
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        match n {
            // Nothing came: asyncio's protocols hear nothing of that (P-009).
            0 => Ok(()),
            n => self.0.buffer_updated(n),
        }
    }

    /// Feeds bytes that did not come by [`landing`](Protocol::landing), in as many pieces as the buffers ask
    /// for (P-011).
    fn data_received(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let memory = buffer(&mut self.0, Some(data.len()))?;
            let n = memory.len().min(data.len());
            memory[..n].copy_from_slice(&data[..n]);
            data = &data[n..];
            self.landed(n)?;
        }
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        self.0.eof_received()
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.0.connection_lost(error);
    }

    fn pause_writing(&mut self) {
        self.0.pause_writing();
    }

    fn resume_writing(&mut self) {
        self.0.resume_writing();
    }

    fn name(&self) -> &'static str {
        std::any::type_name::<P>()
    }
}

fn buffer<P: BufferedProtocol>(protocol: &mut P, hint: Option<usize>) -> io::Result<&mut [u8]> {
    match protocol.get_buffer(hint) {
        Ok([]) => Err(io::Error::new(
            ErrorKind::InvalidData,
            "get_buffer() gave an empty buffer: expected at least one byte",
        )),
        other => other,
    }
}
