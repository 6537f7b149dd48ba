//! One connection whose replies must be what it sent.

use std::io::ErrorKind;

use super::block::Block;
use super::wire::{Came, Wire};
use super::{Failure, Outcome};

#[derive(Debug)]
pub(super) struct Link {
    wire: Wire,
    /// Which one it is, and whose place in the block it has.
    number: usize,
    place: usize,
    /// Bytes that are to be sent, and that were, since the beginning.
    queued: u64,
    sent: u64,
    /// Bytes that are to come, and that came, since the beginning.
    expected: u64,
    received: u64,
}

impl Link {
    pub(super) fn new(wire: Wire, number: usize, place: usize) -> Self {
        Self { wire, number, place, queued: 0, sent: 0, expected: 0, received: 0 }
    }

    /// Sends so many bytes more, which are to come back.
    pub(super) fn push(&mut self, block: &Block, length: usize) -> Outcome {
        self.owe(length);
        self.send(block, length)
    }

    /// So many bytes more are to come.
    pub(super) fn owe(&mut self, length: usize) {
        self.expected += length as u64;
    }

    /// Sends so many bytes more: at once what the kernel takes, the rest when it is told that the socket is writable.
    pub(super) fn send(&mut self, block: &Block, length: usize) -> Outcome {
        self.queued += length as u64;
        self.flush(block)
    }

    /// Sends what is queued, as far as the kernel takes it.
    pub(super) fn flush(&mut self, block: &Block) -> Outcome {
        match self.wire.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            other => other.map_err(Failure::io(self.told("sending")))?,
        }
        while self.sent < self.queued {
            let length = (self.queued - self.sent) as usize;
            match self.wire.write(block.at(self.place, self.sent, length)) {
                Ok(taken) => self.sent += taken as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::io(self.told("sending"))(error)),
            }
        }
        Ok(())
    }

    /// Takes what came and compares it. How many bytes: 0 when there were none yet.
    pub(super) fn receive(&mut self, block: &Block, buffer: &mut [u8]) -> Outcome<usize> {
        let before = self.received;
        loop {
            match self.wire.receive(buffer) {
                Ok((Came::Nothing, _)) => {
                    return Err(Failure::new(self.told("expected a reply, got the end of file")));
                }
                Ok((Came::Bytes(length), is_empty)) => {
                    self.compare(block, &buffer[..length])?;
                    // A short read has emptied the socket, and so has one that completed what was sent: the next bytes will be told.
                    if is_empty || length > 0 && self.received == self.expected {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::io(self.told("expected a reply"))(error)),
            }
        }
        Ok((self.received - before) as usize)
    }

    /// Nothing was sent that didn't come back: nothing may come now.
    pub(super) fn expect_silence(&mut self, block: &Block, buffer: &mut [u8]) -> Outcome {
        self.receive(block, buffer).map(drop)
    }

    /// Counts from here on; all that was sent has come back.
    pub(super) fn restart(&mut self) {
        (self.queued, self.sent, self.expected, self.received) = (0, 0, 0, 0);
    }

    /// Bytes that were to be sent since the beginning.
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// Bytes that came back since the beginning.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    fn compare(&mut self, block: &Block, got: &[u8]) -> Outcome {
        let expected = block.at(self.place, self.received, got.len());
        if expected != got {
            let place = expected.iter().zip(got).position(|(a, b)| a != b).unwrap_or(0);
            self.received += place as u64;
            let (expected, got) = (&expected[place..], &got[place..]);
            let few = |bytes: &[u8]| bytes[..bytes.len().min(8)].escape_ascii().to_string();
            let why = format!("expected \"{}\", got \"{}\"", few(expected), few(got));
            return Err(Failure::new(self.told(&why)));
        }
        self.received += got.len() as u64;
        if self.received > self.expected {
            let excess = self.received - self.expected;
            return Err(Failure::new(self.told(&format!("{excess} bytes more than that"))));
        }
        Ok(())
    }

    fn told(&self, what: &str) -> String {
        let Self { number, received, expected, .. } = self;
        format!("connection {number}, {received} bytes of {expected} came: {what}")
    }
}
