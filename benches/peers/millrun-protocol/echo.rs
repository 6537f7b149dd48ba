//! What comes goes back, at the pace of who reads it.

use std::io;
use std::rc::Rc;

use millrun_transport::{Protocol, Transport};

#[derive(Default)]
pub(crate) struct Echo {
    transport: Option<Rc<dyn Transport>>,
}

impl Echo {
    /// For a connection that exists.
    pub(crate) fn on(transport: Rc<dyn Transport>) -> Self {
        Self { transport: Some(transport) }
    }
}

impl Protocol for Echo {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(transport) = &self.transport {
            transport.write(data);
        }
        Ok(())
    }

    // A peer that does not read is not read from.

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
