//! A connection whose first byte says what it is: the protocol is changed while the connection lives.

use std::io;
use std::rc::Rc;

use millrun_transport::{Protocol, Transport};

/// Makes the protocol for a first byte, `None` when there is none such.
type Choose<S> = fn(&S, Rc<dyn Transport>, u8) -> Option<Box<dyn Protocol>>;

pub(crate) struct FirstByte<S> {
    shared: S,
    choose: Choose<S>,
    transport: Option<Rc<dyn Transport>>,
}

impl<S> FirstByte<S> {
    pub(crate) fn new(shared: S, choose: Choose<S>) -> Self {
        Self { shared, choose, transport: None }
    }
}

impl<S> Protocol for FirstByte<S> {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        let (Some(transport), Some((&first, rest))) = (self.transport.take(), data.split_first())
        else {
            return Ok(());
        };
        let Some(mut protocol) = (self.choose)(&self.shared, transport.clone(), first) else {
            return Err(io::Error::other(format!("nothing begins with {first:#04x}")));
        };
        if !rest.is_empty() {
            protocol.data_received(rest)?;
        }
        transport.set_protocol(protocol); // from the next event on
        Ok(())
    }
}
