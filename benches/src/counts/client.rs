//! The other side: exactly so many units, each connection with one in flight, and the connections closed in order.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::digest;

/// Lines that leave in one write.
pub(super) const BATCH: usize = 16;
/// A line with its line feed.
const LINE: usize = 100;
/// Under a tool a server is a hundred times slower than it is.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do with a server.
#[derive(Debug, Clone, Copy)]
pub(super) enum Drive {
    /// So many messages on each of so many connections.
    Echo { connections: usize, size: usize, messages: usize },
    /// So many batches of lines on one.
    Lines { batches: usize },
    /// So many bytes to the server.
    Upload { bytes: u64 },
    /// So many bytes from the server.
    Download { bytes: u64 },
}

impl Drive {
    pub(super) fn run(self, port: u16) -> io::Result<()> {
        match self {
            Self::Echo { connections, size, messages } => {
                let message: Vec<u8> = (0..=255).cycle().take(size).collect();
                echo(port, connections, messages, &message)
            }
            Self::Lines { batches } => {
                let line: Vec<u8> = (b'0'..b'z').cycle().take(LINE - 1).chain([b'\n']).collect();
                echo(port, 1, batches, &line.repeat(BATCH))
            }
            Self::Upload { bytes } => upload(port, bytes),
            Self::Download { bytes } => download(port, bytes),
        }
    }
}

/// One connection of an echo.
struct Echo {
    stream: TcpStream,
    /// Bytes of the reply that came, and whole replies.
    got: usize,
    done: usize,
}

fn echo(port: u16, connections: usize, messages: usize, message: &[u8]) -> io::Result<()> {
    let mut echoes = Vec::new();
    for _ in 0..connections {
        let stream = connect(port)?;
        echoes.push(Echo { stream, got: 0, done: 0 });
    }
    for echo in &mut echoes {
        echo.stream.write_all(message)?;
    }
    let mut buffer = vec![0; message.len().max(4096)];
    let limit = Timespec::try_from(PATIENCE).map_err(io::Error::other)?;
    while echoes.iter().any(|echo| echo.done < messages) {
        let mut fds: Vec<PollFd<'_>> =
            echoes.iter().map(|echo| PollFd::new(&echo.stream, PollFlags::IN)).collect();
        if poll(&mut fds, Some(&limit))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (echo, _) in echoes.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            echo.step(message, messages, &mut buffer)?;
        }
    }
    echoes.iter().try_for_each(|echo| close(&echo.stream))
}

impl Echo {
    fn step(&mut self, message: &[u8], messages: usize, buffer: &mut [u8]) -> io::Result<()> {
        let length = self.stream.read(&mut buffer[..message.len() - self.got])?;
        if length == 0 || buffer[..length] != message[self.got..self.got + length] {
            return Err(io::Error::other("what came back is not what was sent"));
        }
        self.got += length;
        if self.got == message.len() {
            (self.got, self.done) = (0, self.done + 1);
            if self.done < messages {
                self.stream.write_all(message)?;
            }
        }
        Ok(())
    }
}

fn upload(port: u16, bytes: u64) -> io::Result<()> {
    let stream = connect(port)?;
    let block = digest::pattern();
    let mut left = bytes;
    while left > 0 {
        let length = left.min(block.len() as u64);
        (&stream).write_all(&block[..length as usize])?;
        left -= length;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    (&stream).read_to_end(&mut answer)?;
    let expected = [&bytes.to_be_bytes()[..], &digest::expected(bytes).to_be_bytes()].concat();
    if answer == expected {
        Ok(())
    } else {
        Err(io::Error::other(format!("expected the digest {expected:?}, got {answer:?}")))
    }
}

fn download(port: u16, bytes: u64) -> io::Result<()> {
    let stream = connect(port)?;
    (&stream).write_all(&bytes.to_be_bytes())?;
    let mut buffer = digest::pattern();
    let mut came = 0;
    loop {
        match (&stream).read(&mut buffer)? {
            0 if came == bytes => return Ok(()),
            0 => return Err(io::Error::other(format!("expected {bytes} bytes, got {came}"))),
            length => came += length as u64,
        }
    }
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn close(stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    match (&mut &*stream).read(&mut [0; 16])? {
        0 => Ok(()),
        more => Err(io::Error::other(format!("expected the end, {more} bytes came"))),
    }
}
