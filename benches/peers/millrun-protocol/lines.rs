//! Each line goes back by itself.

use std::io;
use std::rc::Rc;

use memchr::memchr;
use millrun_transport::{Protocol, Transport};

/// As asyncio's streams have it: who sends no line feed does not get more of our memory.
const LONGEST: usize = 64 * 1024;

#[derive(Default)]
pub(crate) struct Lines {
    transport: Option<Rc<dyn Transport>>,
    /// A line that has begun.
    begun: Vec<u8>,
}

impl Lines {
    fn line(&mut self, line: &[u8]) {
        if let Some(transport) = &self.transport {
            transport.write(line); // those of one callback leave together
        }
    }
}

impl Protocol for Lines {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, mut data: &[u8]) -> io::Result<()> {
        while let Some(feed) = memchr(b'\n', data) {
            let (line, rest) = data.split_at(feed + 1);
            data = rest;
            if self.begun.is_empty() {
                self.line(line);
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                self.line(&whole);
            }
        }
        if self.begun.len() + data.len() > LONGEST {
            return Err(io::Error::other(format!("a line is longer than {LONGEST} bytes")));
        }
        self.begun.extend_from_slice(data);
        Ok(())
    }

    fn pause_writing(&mut self) {
        if let Some(transport) = &self.transport {
            transport.pause_reading();
        }
    }

    fn resume_writing(&mut self) {
        if let Some(transport) = &self.transport {
            transport.resume_reading();
        }
    }
}
