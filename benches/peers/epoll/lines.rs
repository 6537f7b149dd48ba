//! Each line goes back; all lines that came together leave together, in one send: as few calls as there can be.

use std::io;

use rustix::event::epoll::EventFlags;

use crate::each::Connection;
use crate::link::Link;

#[derive(Debug)]
pub(crate) struct Lines {
    link: Link,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl From<Link> for Lines {
    fn from(link: Link) -> Self {
        Self { link, begun: Vec::new() }
    }
}

impl Connection for Lines {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }

    fn ready(&mut self, flags: EventFlags, buffer: &mut [u8]) -> io::Result<Option<EventFlags>> {
        if flags != EventFlags::IN {
            self.link.flush()?;
        }
        if self.link.may_receive() {
            self.receive(buffer)?;
        }
        Ok(self.link.wanted())
    }
}

impl Lines {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        // What is begun goes before what comes.
        let begun = self.begun.len();
        buffer[..begun].copy_from_slice(&self.begun);
        let came = begun + self.link.receive(&mut buffer[begun..])?;
        let whole = match buffer[begun..came].iter().rposition(|byte| *byte == b'\n') {
            Some(last) => begun + last + 1,
            // The last line may do without its line feed.
            None if self.link.has_ended() => came,
            None => 0,
        };
        if whole > 0 {
            self.link.send(&buffer[..whole])?;
            self.begun.clear();
            self.begun.extend_from_slice(&buffer[whole..came]);
        } else if came == buffer.len() {
            return Err(io::Error::other(format!("a line of more than {came} bytes")));
        } else {
            self.begun.extend_from_slice(&buffer[begun..came]);
        }
        Ok(())
    }
}
