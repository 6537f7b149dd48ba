//! Echoes beside readers that never have enough: the first byte says which.

use std::io;

use rustix::event::epoll::EventFlags;

use crate::each::Connection;
use crate::echo::echo;
use crate::link::Link;
use crate::source::Feed;

#[derive(Debug)]
pub(crate) struct Mixed {
    link: Link,
    role: Role,
}

#[derive(Debug)]
enum Role {
    Unknown,
    Echo,
    Download(Feed),
}

impl From<Link> for Mixed {
    fn from(link: Link) -> Self {
        Self { link, role: Role::Unknown }
    }
}

impl Connection for Mixed {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn ready(&mut self, flags: EventFlags, buffer: &mut [u8]) -> io::Result<Option<EventFlags>> {
        match &mut self.role {
            Role::Echo => echo(&mut self.link, flags, buffer),
            Role::Download(feed) => feed.turn(&mut self.link),
            Role::Unknown => {
                let first = &mut buffer[..1];
                if self.link.receive(first)? > 0 {
                    self.role = match first[0] {
                        b'E' => Role::Echo,
                        b'D' => Role::Download(Feed::new(u64::MAX)),
                        other => return Err(io::Error::other(format!("a role {other:?}"))),
                    };
                    // What follows is still to be read, and reported again.
                }
                let downloads = matches!(self.role, Role::Download(_));
                Ok(if downloads { Some(EventFlags::OUT) } else { self.link.wanted() })
            }
        }
    }
}
