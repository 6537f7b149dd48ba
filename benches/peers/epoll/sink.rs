//! Takes all, and answers with how much it was and its digest.

use std::io;

use rustix::event::epoll::EventFlags;

use crate::each::Connection;
use crate::link::Link;

#[derive(Debug)]
pub(crate) struct Sink {
    link: Link,
    count: u64,
    digest: crc32fast::Hasher,
}

impl From<Link> for Sink {
    fn from(link: Link) -> Self {
        Self { link, count: 0, digest: crc32fast::Hasher::new() }
    }
}

impl Connection for Sink {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn ready(&mut self, _: EventFlags, buffer: &mut [u8]) -> io::Result<Option<EventFlags>> {
        if self.link.has_ended() {
            self.link.flush()?;
            return Ok(self.link.wanted());
        }
        let length = self.link.receive(buffer)?;
        self.digest.update(&buffer[..length]);
        self.count += length as u64;
        if self.link.has_ended() {
            self.link.send(&self.count.to_be_bytes())?;
            self.link.send(&self.digest.clone().finalize().to_be_bytes())?;
        }
        Ok(self.link.wanted())
    }
}
