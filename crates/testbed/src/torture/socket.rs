//! Sockets and listeners whose calls can fail.
//!
//! A fault is made up here and never reaches the socket below, which is as it was: still readable after a made-up
//! `WouldBlock` or short transfer, so that a level-triggered selector reports it again, as the contract has it.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use millrun_selector::{
    Address, Listener, ReadyCell, Socket, SocketOption, SocketOptionName, Source,
};

use super::{Call, Fault, Torture};

/// A socket.
#[derive(Debug)]
pub(super) struct Talks {
    pub(super) inner: Box<dyn Socket>,
    pub(super) torture: Torture,
}

/// A listener.
#[derive(Debug)]
pub(super) struct Listens {
    pub(super) inner: Box<dyn Listener>,
    pub(super) torture: Torture,
}

/// What is asked for of `len` bytes, when this fault meets it.
///
/// # Errors
/// The fault.
fn cut(fault: Option<Fault>, len: usize) -> io::Result<usize> {
    match fault {
        Some(Fault::Error(_, failure)) => Err(failure.into()),
        Some(Fault::Short) => Ok(len.min(1)),
        Some(Fault::Nothing) | None => Ok(len),
    }
}

/// Registered, a wrapper is what it wraps.
macro_rules! source_below {
    ($($wrapper:ty),*) => {$(
        impl Source for $wrapper {
            fn fd(&self) -> Option<BorrowedFd<'_>> {
                self.inner.fd()
            }

            fn readiness(&self) -> Option<&Rc<ReadyCell>> {
                self.inner.readiness()
            }

            fn is_exclusive(&self) -> bool {
                self.inner.is_exclusive()
            }

            fn prefers_level(&self) -> bool {
                self.inner.prefers_level()
            }
        }
    )*};
}

source_below!(Talks, Listens);

impl Socket for Talks {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = cut(self.torture.passes(Call::Recv), buffer.len())?;
        self.inner.try_read(&mut buffer[..most])
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let most = cut(self.torture.passes(Call::Send), bytes.len())?;
        self.inner.try_write(&bytes[..most])
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let fault = self.torture.passes(Call::Send);
        let len = pieces.iter().map(|piece| piece.len()).sum();
        let most = cut(fault, len)?;
        if most == len {
            return self.inner.try_write_vectored(pieces);
        }
        let first = pieces.iter().find(|piece| !piece.is_empty());
        self.inner.try_write(first.map_or(&[], |piece| &piece[..most]))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        if let Err(error) = self.torture.check(Call::Shutdown) {
            if error.kind() == io::ErrorKind::NotConnected {
                // Then it is not: reading tells.
                let _ = self.inner.shutdown(Shutdown::Both);
            }
            return Err(error);
        }
        self.inner.shutdown(how)
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.torture.check(Call::Name)?;
        self.inner.local_addr()
    }

    fn peer_addr(&self) -> io::Result<Address> {
        self.torture.check(Call::Name)?;
        self.inner.peer_addr()
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        match self.torture.passes(Call::TakeError) {
            Some(Fault::Error(_, failure)) => Ok(Some(failure.into())),
            _ => self.inner.take_error(),
        }
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.torture.check(Call::Option)?;
        self.inner.set_option(option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.torture.check(Call::Option)?;
        self.inner.option(name)
    }
}

impl Listener for Listens {
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        self.torture.check(Call::Accept)?;
        let (socket, peer) = self.inner.try_accept()?;
        Ok((self.torture.socket(socket), peer))
    }

    fn try_accept_bare(&self) -> io::Result<(Box<dyn Socket>, Option<Address>)> {
        self.torture.check(Call::Accept)?;
        let (socket, peer) = self.inner.try_accept_bare()?;
        Ok((self.torture.socket(socket), peer))
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.torture.check(Call::ListenerName)?;
        self.inner.local_addr()
    }
}
