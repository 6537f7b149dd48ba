//! The other side: blocking, with one message in flight, so that every run has the same events.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Bytes of an echoed message.
const MESSAGE: usize = 1024;
/// Bytes of a block: nearly 64 KiB, but one packet on the loopback. 64 KiB are two, and it is chance whether they are seen as one.
const BLOCK: usize = 63 * 1024;
/// Lines that go out in one write, and the length of each with its newline.
const LINES: usize = 16;
const LINE: usize = 32;
/// A server that does not answer is broken, or runs under a tool a hundred times slower than it should.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Client {
    address: SocketAddr,
    /// What is sent, and what must come back.
    message: Vec<u8>,
}

impl Client {
    pub(crate) fn new(shape: &str, address: SocketAddr) -> Self {
        let message = if shape.contains("lines") {
            let line: Vec<u8> = (b'a'..).take(LINE - 1).chain([b'\n']).collect();
            line.repeat(LINES)
        } else if shape.contains("blocks") {
            block()
        } else {
            (0..=255).cycle().take(MESSAGE).collect()
        };
        Self { address, message }
    }

    /// One connection with so many messages, closed in order.
    pub(crate) fn converse(&self, messages: usize) -> io::Result<()> {
        let stream = self.connect()?;
        let mut answer = vec![0; self.message.len()];
        for _ in 0..messages {
            self.exchange(&stream, &mut answer)?;
        }
        stream.shutdown(Shutdown::Write)?;
        match (&stream).read(&mut answer)? {
            0 => Ok(()),
            more => Err(io::Error::other(format!("expected the end, {more} bytes came"))),
        }
    }

    /// A connection that has been used once, and stays open.
    pub(crate) fn open(&self) -> io::Result<TcpStream> {
        let stream = self.connect()?;
        self.exchange(&stream, &mut vec![0; self.message.len()])?;
        Ok(stream)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    fn exchange(&self, mut stream: &TcpStream, answer: &mut [u8]) -> io::Result<()> {
        stream.write_all(&self.message)?;
        stream.read_exact(answer)?;
        if answer == self.message {
            Ok(())
        } else {
            Err(io::Error::other("what came back is not what was sent"))
        }
    }
}

/// What a block holds.
pub(crate) fn block() -> Vec<u8> {
    (0..=255).cycle().take(BLOCK).collect()
}
