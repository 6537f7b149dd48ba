//! A socket that breaks one rule.

use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use millrun_conformance::Invariant;
use millrun_selector::{
    Address, MAX_SLICES, Readiness, ReadyCell, Socket, SocketOption, SocketOptionName, Source,
};

use super::{Bug, Seen};

#[derive(Debug)]
pub struct BrokenSocket {
    inner: Box<dyn Socket>,
    bug: Option<Bug>,
    seen: Rc<Seen>,
    is_shut: std::cell::Cell<bool>,
}

impl BrokenSocket {
    pub fn wrap(inner: Box<dyn Socket>, bug: Option<Bug>, seen: Rc<Seen>) -> Box<dyn Socket> {
        Box::new(BrokenSocket { inner, bug, seen, is_shut: false.into() })
    }

    fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    fn cell(&self) -> &ReadyCell {
        self.inner.readiness().expect("a simulated socket has one")
    }

    fn write_failed(&self, error: io::Error, len: usize) -> io::Result<usize> {
        let would_block = error.kind() == ErrorKind::WouldBlock;
        if would_block {
            self.seen.full.set(true);
        }
        match self.bug {
            Some(Invariant::FullWouldBlock) if would_block => Ok(len),
            Some(Invariant::GonePeerFailsWrites) if !would_block => Ok(len),
            Some(Invariant::WriteAfterShutdownFails) => Err(ErrorKind::WouldBlock.into()),
            _ => Err(error),
        }
    }
}

impl Source for BrokenSocket {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.fd()
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        self.inner.readiness()
    }

    fn is_exclusive(&self) -> bool {
        self.inner.is_exclusive()
    }
}

impl Socket for BrokenSocket {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() && self.is(Invariant::EmptyReadIsNotTheEnd) {
            return self.inner.try_read(&mut [0; 1]).map(|_| 0);
        }
        if self.is_shut.get() && self.is(Invariant::HalfClose) {
            return Ok(0);
        }
        let read = self.inner.try_read(buffer);
        match (self.bug, read) {
            (Some(Invariant::NothingToReadWouldBlock), Err(_)) => Ok(0),
            (Some(Invariant::BytesInOrder), Ok(n)) if n > 1 => {
                buffer.swap(0, 1);
                Ok(n)
            }
            (Some(Invariant::CellForgets), Err(error)) => {
                self.cell().set(Readiness::READABLE);
                Err(error)
            }
            (Some(Invariant::RestIsReported), Ok(n)) => {
                self.cell().clear_readable();
                Ok(n)
            }
            (Some(Invariant::EndAfterTheBytes), Ok(0)) => {
                if self.seen.ended.replace(true) {
                    Err(ErrorKind::WouldBlock.into())
                } else {
                    Ok(0)
                }
            }
            (Some(Invariant::UnreadAtCloseIsAnEnd), Err(_) | Ok(0)) => {
                Err(ErrorKind::WouldBlock.into())
            }
            (_, read) => {
                if read.as_ref().is_ok_and(|n| *n < buffer.len()) {
                    self.seen.short_read.set(true);
                }
                read
            }
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.bug {
            Some(Invariant::SocketWorks) => return Err(io::Error::other("out of order")),
            Some(Invariant::EmptyWriteIsNothing) if bytes.is_empty() => {
                return self.inner.try_write(&[0]).map(|_| 0);
            }
            Some(Invariant::RoomComesBack | Invariant::DirectionsAreIndependent)
                if self.seen.full.get() =>
            {
                return Err(ErrorKind::WouldBlock.into());
            }
            _ => {}
        }
        match self.inner.try_write(bytes) {
            Ok(n) if n > 1 && self.is(Invariant::WriteCountIsTrue) => Ok(n - 1),
            Ok(n) => Ok(n),
            Err(error) => self.write_failed(error, bytes.len()),
        }
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let all: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.is(Invariant::ManyPiecesAreTaken) && pieces.len() > MAX_SLICES {
            return Err(ErrorKind::InvalidInput.into());
        }
        match self.inner.try_write_vectored(pieces) {
            // Off by one, and on a partial send alone.
            Ok(n) if n < all && self.is(Invariant::VectoredInOrder) => Ok(n - 1),
            Ok(n) => Ok(n),
            Err(error) => self.write_failed(error, all),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.is_shut.set(true);
        self.inner.shutdown(how)
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.inner.local_addr()
    }

    fn peer_addr(&self) -> io::Result<Address> {
        if self.is(Invariant::AddressesAgree) {
            return Ok(Address::UnixUnnamed);
        }
        self.inner.peer_addr()
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        if self.is(Invariant::HealthyHasNoError) {
            return Ok(Some(ErrorKind::BrokenPipe.into()));
        }
        self.inner.take_error()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        if self.is(Invariant::OptionsHold) { Ok(()) } else { self.inner.set_option(option) }
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.inner.option(name)
    }
}
