//! An echo server on the callback layer.

use std::io;
use std::rc::Rc;

use millrun_transport::{Protocol, Transport, TransportFamily, TransportOptions};

use crate::accept::{self, Ended};

/// Echoes until so many connections ended.
pub(crate) fn serve(ended: usize) -> crate::Outcome {
    accept::serve(ended, |handle| {
        let family = TransportFamily::new(handle, &TransportOptions::default(), None)?;
        Ok(move |socket, ended| {
            let protocol = Box::new(Echo { transport: None, ended });
            family.transport(socket, protocol, None, 0).map(drop)
        })
    })
}

struct Echo {
    transport: Option<Rc<dyn Transport>>,
    ended: Ended,
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

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.transport = None;
        self.ended.one();
    }
}
