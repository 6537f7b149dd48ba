//! TLS that breaks a rule: one that is right, behind a face that is not, or over one.

use std::any::{Any, TypeId};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use millrun_selector::{Address, SocketOption, SocketOptionName};
use millrun_transport::{
    CloseOutcome, Flow, InvalidLimits, Landing, Protocol, Transport, Watermarks,
};

/// What is broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    /// Above: a close drops what has not left.
    CloseDrops,
    /// Below: the end of writing drops what has not left, `close_notify` with it.
    EndDrops,
    /// Below: nobody is told that there is room again.
    NeverResumes,
    /// Below: what comes comes twice.
    Doubles,
}

impl Bug {
    /// What is put over a TLS transport.
    pub fn above(self, inner: Rc<dyn Transport>) -> Rc<dyn Transport> {
        if self == Bug::CloseDrops { Rc::new(Face { inner, bug: self }) } else { inner }
    }

    /// What is put below.
    pub fn below(self, protocol: Box<dyn Protocol>) -> Box<dyn Protocol> {
        if self == Bug::CloseDrops { protocol } else { Box::new(Between { protocol, bug: self }) }
    }
}

/// Between TLS and the transport below it.
struct Between {
    protocol: Box<dyn Protocol>,
    bug: Bug,
}

impl Protocol for Between {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.protocol.connection_made(Rc::new(Face { inner: transport, bug: self.bug }));
    }

    fn landing(&mut self) -> Landing<'_> {
        if self.bug == Bug::Doubles {
            return Landing::Shared(usize::MAX);
        }
        self.protocol.landing()
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        self.protocol.landed(n)
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.protocol.data_received(data)?;
        self.protocol.data_received(data)
    }

    fn eof_received(&mut self) -> bool {
        self.protocol.eof_received()
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.protocol.connection_lost(error);
    }

    fn pause_writing(&mut self) {
        self.protocol.pause_writing();
    }

    fn resume_writing(&mut self) {
        if self.bug != Bug::NeverResumes {
            self.protocol.resume_writing();
        }
    }
}

/// What is seen of a transport.
struct Face {
    inner: Rc<dyn Transport>,
    bug: Bug,
}

impl Transport for Face {
    fn write_eof(&self) {
        if self.bug == Bug::EndDrops { self.inner.abort() } else { self.inner.write_eof() }
    }

    fn close(&self) {
        if self.bug == Bug::CloseDrops { self.inner.abort() } else { self.inner.close() }
    }

    fn write(&self, data: &[u8]) -> Flow {
        self.inner.write(data)
    }

    fn write_bytes(&self, data: Bytes) -> Flow {
        self.inner.write_bytes(data)
    }

    fn writelines(&self, pieces: &[&[u8]]) -> Flow {
        self.inner.writelines(pieces)
    }

    fn can_write_eof(&self) -> bool {
        self.inner.can_write_eof()
    }

    fn flush(&self) {
        self.inner.flush();
    }

    fn close_within(&self, total: Duration) {
        self.inner.close_within(total);
    }

    fn set_close_timeout(&self, without_progress: Duration) {
        self.inner.set_close_timeout(without_progress);
    }

    fn abort(&self) {
        self.inner.abort();
    }

    fn fail(&self, error: io::Error) {
        self.inner.fail(error);
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing()
    }

    fn close_outcome(&self) -> Option<CloseOutcome> {
        self.inner.close_outcome()
    }

    fn error(&self) -> Option<io::Error> {
        self.inner.error()
    }

    fn pause_reading(&self) {
        self.inner.pause_reading();
    }

    fn resume_reading(&self) {
        self.inner.resume_reading();
    }

    fn is_reading(&self) -> bool {
        self.inner.is_reading()
    }

    fn can_pause_reading(&self) -> bool {
        self.inner.can_pause_reading()
    }

    fn set_protocol(&self, protocol: Box<dyn Protocol>) {
        self.inner.set_protocol(protocol);
    }

    fn write_buffer_size(&self) -> usize {
        self.inner.write_buffer_size()
    }

    fn write_buffer_limits(&self) -> Watermarks {
        self.inner.write_buffer_limits()
    }

    fn set_write_buffer_limits(&self, limits: Watermarks) -> Result<(), InvalidLimits> {
        self.inner.set_write_buffer_limits(limits)
    }

    fn set_gathering(&self, on: bool) {
        self.inner.set_gathering(on);
    }

    fn local_addr(&self) -> Option<Address> {
        self.inner.local_addr()
    }

    fn peer_addr(&self) -> Option<Address> {
        self.inner.peer_addr()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.inner.set_option(option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.inner.option(name)
    }

    fn extension(&self, which: TypeId) -> Option<Rc<dyn Any>> {
        self.inner.extension(which)
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
