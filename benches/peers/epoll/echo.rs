//! What comes goes back.

use std::io;

use rustix::event::epoll::EventFlags;

use crate::each::Connection;
use crate::link::Link;

#[derive(Debug)]
pub(crate) struct Echo(Link);

impl From<Link> for Echo {
    fn from(link: Link) -> Self {
        Self(link)
    }
}

impl Connection for Echo {
    fn link(&mut self) -> &mut Link {
        &mut self.0
    }

    fn ready(&mut self, flags: EventFlags, buffer: &mut [u8]) -> io::Result<Option<EventFlags>> {
        echo(&mut self.0, flags, buffer)
    }
}

/// One turn of an echo.
pub(crate) fn echo(
    link: &mut Link,
    flags: EventFlags,
    buffer: &mut [u8],
) -> io::Result<Option<EventFlags>> {
    if flags != EventFlags::IN {
        link.flush()?;
    }
    if link.may_receive() {
        let length = link.receive(buffer)?;
        if length > 0 {
            link.send(&buffer[..length])?;
        }
    }
    Ok(link.wanted())
}
