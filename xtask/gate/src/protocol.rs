//! An echo server on the callback layer.

use std::io;
use std::rc::Rc;

use millrun_loop::EventLoop;
use millrun_transport::{Protocol, Serve, Transport};

use crate::accept::Ended;

/// Echoes until so many connections ended.
pub(crate) fn serve(ended: usize) -> crate::Outcome {
    let mut event_loop = EventLoop::new()?;
    let handle = event_loop.handle();
    let ended = Ended::new(&handle, ended);
    let factory = move || Echo { transport: None, ended: ended.clone() };
    let serving = Serve::on("127.0.0.1", 0).serve(&handle, factory);
    let server = event_loop.run_until_complete(serving)??;
    crate::announce_server(&server)?;
    Ok(event_loop.run_forever()?)
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
