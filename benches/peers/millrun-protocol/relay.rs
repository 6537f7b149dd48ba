//! Between a peer and a backend: each side's bytes go to the other, at the pace of who reads them; each side's end of file too.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use millrun_loop::LoopHandle;
use millrun_transport::{Connect, Protocol, Transport};

/// A peer that waits for the backend's connection.
pub(crate) struct Relay {
    handle: LoopHandle,
    backend: SocketAddr,
}

impl Relay {
    pub(crate) fn new(handle: &LoopHandle, backend: SocketAddr) -> Self {
        Self { handle: handle.clone(), backend }
    }
}

impl Protocol for Relay {
    fn connection_made(&mut self, near: Rc<dyn Transport>) {
        near.pause_reading();
        let (handle, backend) = (self.handle.clone(), self.backend);
        self.handle.spawn(async move {
            let far = Side::new(near.clone());
            if let Err(error) = Connect::address(backend).connect(&handle, || far).await {
                eprintln!("{backend}: {error}");
                near.abort();
            }
        });
    }

    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        Err(io::Error::other("was paused")) // until there is somebody to send it to
    }
}

/// One of two connections. Its own transport's flow rules the other's reading.
struct Side {
    other: Rc<dyn Transport>,
    /// One direction has ended.
    half: Rc<Cell<bool>>,
}

impl Side {
    fn new(other: Rc<dyn Transport>) -> Self {
        Self { other, half: Rc::default() }
    }
}

impl Protocol for Side {
    /// Of the backend's side: the peer's was made before, and now gets its own.
    fn connection_made(&mut self, far: Rc<dyn Transport>) {
        let near = &self.other;
        if near.is_closing() {
            return far.close();
        }
        near.set_protocol(Box::new(Self { other: far, half: self.half.clone() }));
        near.resume_reading();
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.other.write(data);
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        if self.half.replace(true) {
            self.other.close(); // with this one both directions are done
            return false;
        }
        self.other.write_eof();
        true
    }

    fn pause_writing(&mut self) {
        self.other.pause_reading();
    }

    fn resume_writing(&mut self) {
        self.other.resume_reading();
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        match error {
            None => self.other.close(),
            Some(_) => self.other.abort(), // what is cut short must not look complete
        }
    }
}
