//! One way: up with a digest, down as much as is asked for, or for ever.

use std::io;
use std::rc::Rc;

use bytes::Bytes;
use millrun_benches::digest;
use millrun_transport::{Flow, Protocol, Transport};

use crate::echo::Echo;

/// What is sent, shared by all connections.
pub(crate) fn pattern() -> Bytes {
    digest::pattern().into()
}

#[derive(Default)]
pub(crate) struct Sink {
    transport: Option<Rc<dyn Transport>>,
    count: u64,
    digest: crc32fast::Hasher,
}

impl Protocol for Sink {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.count += data.len() as u64;
        self.digest.update(data);
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        if let Some(transport) = &self.transport {
            transport.write(&self.count.to_be_bytes());
            transport.write(&self.digest.clone().finalize().to_be_bytes());
        }
        false // and closes, when that is sent
    }
}

pub(crate) struct Source {
    transport: Option<Rc<dyn Transport>>,
    pattern: Bytes,
    /// The count, as far as it came.
    asked: Vec<u8>,
    left: u64,
}

impl Source {
    pub(crate) fn new(pattern: Bytes) -> Self {
        Self { transport: None, pattern, asked: Vec::new(), left: 0 }
    }

    /// Sends as much as the peer takes; the rest when there is room again.
    fn send(&mut self) {
        let Some(transport) = &self.transport else { return };
        while self.left > 0 {
            let length = self.pattern.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= length as u64;
            // Not copied: what the kernel does not take yet is kept as the share of the pattern that it is.
            if transport.write_bytes(self.pattern.slice(..length)) != Flow::Open {
                break;
            }
        }
        if self.left == 0 {
            transport.close();
        }
    }
}

impl Protocol for Source {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.asked.extend_from_slice(data);
        let count = self.asked[..].try_into().map_err(|_| self.asked.len());
        match count {
            Ok(count) => {
                self.left = u64::from_be_bytes(count);
                self.send();
                Ok(())
            }
            Err(length) if length < size_of::<u64>() => Ok(()),
            Err(length) => Err(io::Error::other(format!("expected a count, got {length} bytes"))),
        }
    }

    fn eof_received(&mut self) -> bool {
        self.left > 0
    }

    fn resume_writing(&mut self) {
        self.send();
    }
}

/// For ever: more than anybody can take.
fn endless(transport: Rc<dyn Transport>, pattern: Bytes) -> Source {
    let mut source = Source::new(pattern);
    source.transport = Some(transport);
    source.left = u64::MAX;
    source.send();
    source
}

/// What the first byte of a connection of the shape `mixed` makes of it.
pub(crate) fn mixed(
    pattern: &Bytes,
    transport: Rc<dyn Transport>,
    which: u8,
) -> Option<Box<dyn Protocol>> {
    match which {
        b'E' => Some(Box::new(Echo::on(transport))),
        b'D' => Some(Box::new(endless(transport, pattern.clone()))),
        _ => None,
    }
}
