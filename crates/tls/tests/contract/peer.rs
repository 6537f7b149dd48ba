//! Who is at the other end of a TLS connection that is checked: rustls's own connection, over any peer. Nothing of Millrun's TLS is in it.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};

use millrun_conformance::Peer;
use rustls::Connection;

/// TLS, by rustls alone, over another peer: a socket, or TLS again.
pub struct RustlsPeer {
    tls: Connection,
    below: Box<dyn Peer>,
    /// What it shall say when the handshake is done, or all of it has left.
    farewell: Option<Farewell>,
    /// `close_notify` has come.
    saw_farewell: bool,
    is_over: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Farewell {
    /// `close_notify`, and reads on.
    Ends,
    /// `close_notify`, and then it closes below.
    Closes,
}

impl RustlsPeer {
    pub fn new(tls: Connection, below: Box<dyn Peer>) -> RustlsPeer {
        RustlsPeer { tls, below, farewell: None, saw_farewell: false, is_over: false }
    }

    /// Hands down what there is to be sent, as far as it is taken.
    fn push(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut Below(&mut *self.below))?;
        }
        Ok(())
    }

    /// Takes what has come; 0 is the end below.
    fn pull(&mut self) -> io::Result<usize> {
        let n = self.tls.read_tls(&mut Below(&mut *self.below))?;
        let processed = self.tls.process_new_packets();
        // An alert, or an answer to what came.
        let pushed = self.push();
        let state = processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        self.saw_farewell |= state.peer_has_closed();
        match pushed {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(n),
            pushed => pushed.map(|()| n),
        }
    }

    fn bid_farewell(&mut self, farewell: Farewell) {
        self.farewell = self.farewell.max(Some(farewell));
        self.work();
    }
}

impl Peer for RustlsPeer {
    fn work(&mut self) {
        self.below.work();
        // What fails here is told by whoever sends or receives.
        while self.tls.is_handshaking() && self.pull().is_ok_and(|n| n > 0) {}
        if self.farewell.is_some() && !self.tls.is_handshaking() {
            self.tls.send_close_notify();
        }
        if self.push().is_err() || self.is_over {
            return;
        }
        match self.farewell {
            Some(Farewell::Closes) => {
                self.is_over = true;
                self.below.close();
            }
            // Both have said that there is no more: below there is none either.
            Some(Farewell::Ends) if self.saw_farewell => self.below.end(),
            _ => {}
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.push()?;
        if self.tls.is_handshaking() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let n = self.tls.writer().write(bytes)?;
        match self.push() {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(n),
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return read,
            }
            if self.pull()? == 0 {
                return self.tls.reader().read(buffer);
            }
        }
    }

    fn end(&mut self) {
        self.bid_farewell(Farewell::Ends);
    }

    /// A socket that is closed with bytes unread resets the connection: what has come, tickets for instance, is taken first.
    fn close(&mut self) {
        let mut nowhere = [0; 4096];
        while self.receive(&mut nowhere).is_ok_and(|n| n > 0) {}
        self.bid_farewell(Farewell::Closes);
    }

    fn reset(&mut self) -> bool {
        self.below.reset()
    }
}

/// A peer as what rustls reads and writes.
struct Below<'a>(&'a mut dyn Peer);

impl Read for Below<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.receive(buffer)
    }
}

impl Write for Below<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for RustlsPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RustlsPeer").field("below", &self.below).finish_non_exhaustive()
    }
}
