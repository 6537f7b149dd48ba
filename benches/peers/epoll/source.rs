//! Sends as much of the pattern as it is asked for.

use std::io;
use std::sync::LazyLock;

use millrun_benches::digest;
use rustix::event::epoll::EventFlags;

use crate::each::Connection;
use crate::link::Link;

/// Patterns that one send has at most: fewer calls than with one, and still in the second cache.
const SEND: usize = 4;

/// Sends of one turn, so that one fast reader leaves the others theirs.
const TURN: usize = 4;

/// Repeated so often that from every place of the first pattern a whole send follows.
static PATTERNS: LazyLock<Vec<u8>> = LazyLock::new(|| digest::pattern().repeat(SEND + 1));

#[derive(Debug)]
pub(crate) struct Source {
    link: Link,
    /// The count that is asked for, as far as it has come.
    asked: Vec<u8>,
    feed: Option<Feed>,
}

impl From<Link> for Source {
    fn from(link: Link) -> Self {
        Self { link, asked: Vec::new(), feed: None }
    }
}

impl Connection for Source {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn ready(&mut self, _: EventFlags, buffer: &mut [u8]) -> io::Result<Option<EventFlags>> {
        if self.feed.is_none() {
            let missing = size_of::<u64>() - self.asked.len();
            let length = self.link.receive(&mut buffer[..missing])?;
            self.asked.extend_from_slice(&buffer[..length]);
            self.feed =
                self.asked[..].try_into().ok().map(|asked| Feed::new(u64::from_be_bytes(asked)));
        }
        match &mut self.feed {
            Some(feed) => feed.turn(&mut self.link),
            None => Ok(self.link.wanted()),
        }
    }
}

/// A walk over the pattern.
#[derive(Debug)]
pub(crate) struct Feed {
    left: u64,
    place: usize,
}

impl Feed {
    /// So many bytes; `u64::MAX` of them last for ever.
    pub(crate) fn new(left: u64) -> Self {
        Self { left, place: 0 }
    }

    /// Sends what the kernel takes, within a turn; done when all is sent.
    pub(crate) fn turn(&mut self, link: &mut Link) -> io::Result<Option<EventFlags>> {
        for _ in 0..TURN {
            let length = self.left.min((SEND * digest::PATTERN) as u64) as usize;
            let taken = link.offer(&PATTERNS[self.place..][..length])?;
            self.left -= taken as u64;
            self.place = (self.place + taken) % digest::PATTERN;
            if self.left == 0 {
                return Ok(None);
            }
            if taken < length {
                break;
            }
        }
        Ok(Some(EventFlags::OUT))
    }
}
