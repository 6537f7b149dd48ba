//! Many bytes one way: a connection for each transfer, which blocks, since there is nothing else to do meanwhile.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::arguments::Arguments;
use super::crowd;
use super::meter::Watched;
use super::session::{Drive, Measured};
use super::{Failure, Outcome};
use crate::digest;

/// One part in so many of a transfer goes before it.
const WARM_UP: u64 = 20;

/// Patterns that one send has at most, and bytes that one read takes: fewer calls than a server's, so that the server is what saturates.
const PATTERNS: usize = 4;

/// The length of the sink's answer: a count and a digest.
const ANSWER: usize = size_of::<u64>() + size_of::<u32>();

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Upload,
    Download,
}

#[derive(Debug)]
pub(super) struct Transfer {
    direction: Direction,
    watched: Watched,
    port: u16,
    patience: Duration,
    patterns: Vec<u8>,
    buffer: Vec<u8>,
}

impl Transfer {
    /// Checked by a small transfer.
    pub(super) fn new(arguments: &Arguments, direction: Direction) -> Outcome<Self> {
        let mut transfer = Self {
            direction,
            watched: Watched::new(arguments),
            port: arguments.port,
            patience: arguments.patience,
            patterns: digest::pattern().repeat(PATTERNS),
            buffer: vec![0; PATTERNS * digest::PATTERN],
        };
        transfer.run(digest::PATTERN as u64 + 1)?;
        Ok(transfer)
    }

    fn run(&mut self, bytes: u64) -> Outcome {
        let expected = digest::expected(bytes);
        self.run_expecting(bytes, expected)
    }

    fn run_expecting(&mut self, bytes: u64, expected: u32) -> Outcome {
        let (count, digest) = match self.direction {
            Direction::Upload => self.upload(bytes),
            Direction::Download => self.download(bytes),
        }
        .map_err(|error| match error.kind() {
            ErrorKind::WouldBlock => {
                Failure::new(format!("nothing went on for {:?}", self.patience))
            }
            _ => Failure::io(format!("a transfer of {bytes} bytes"))(error),
        })?;
        if (count, digest) == (bytes, expected) {
            return Ok(());
        }
        let why = format!(
            "expected {bytes} bytes with the digest {expected:08x}, got {count} with {digest:08x}"
        );
        Err(Failure::new(why))
    }

    fn connect(&self, greeting: &[u8]) -> io::Result<TcpStream> {
        let stream = crowd::connect(self.port, greeting, self.patience)?;
        stream.set_read_timeout(Some(self.patience))?;
        stream.set_write_timeout(Some(self.patience))?;
        Ok(stream)
    }

    /// What the server counted, and its digest.
    fn upload(&mut self, bytes: u64) -> io::Result<(u64, u32)> {
        let mut stream = self.connect(b"")?;
        let mut sent = 0;
        while sent < bytes {
            let left = &self.patterns[(sent % digest::PATTERN as u64) as usize..];
            let length = left.len().min(usize::try_from(bytes - sent).unwrap_or(usize::MAX));
            match stream.write(&left[..length]) {
                Ok(taken) => sent += taken as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        stream.shutdown(Shutdown::Write)?;
        let mut answer = Vec::with_capacity(ANSWER + 1);
        stream.read_to_end(&mut answer)?;
        let parts = answer.split_first_chunk().and_then(|(count, digest)| {
            Some((u64::from_be_bytes(*count), u32::from_be_bytes(digest.try_into().ok()?)))
        });
        parts.ok_or_else(|| {
            let length = answer.len();
            io::Error::other(format!("expected an answer of {ANSWER} bytes, got {length}"))
        })
    }

    /// What came, and its digest.
    fn download(&mut self, bytes: u64) -> io::Result<(u64, u32)> {
        let mut stream = self.connect(&bytes.to_be_bytes())?;
        let mut hasher = crc32fast::Hasher::new();
        let mut count = 0;
        loop {
            match stream.read(&mut self.buffer) {
                Ok(0) => return Ok((count, hasher.finalize())),
                Ok(length) => {
                    hasher.update(&self.buffer[..length]);
                    count += length as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drive for Transfer {
    fn connections(&self) -> usize {
        1
    }

    fn transfer(&mut self, bytes: u64) -> Outcome<Measured> {
        self.run(bytes / WARM_UP)?;
        let expected = digest::expected(bytes);
        let meter = self.watched.start()?;
        self.run_expecting(bytes, expected)?;
        let window = self.watched.end(&meter, bytes / 1024, bytes)?;
        Ok(Measured { window, latency: None, tail: None })
    }
}
