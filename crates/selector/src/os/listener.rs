//! [`SocketListener`]: a listening TCP or Unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use socket2::SockRef;

use super::address;
use super::stream::{Origin, StreamSocket};
use crate::{Address, Listener, ReadyCell, Socket, Source};

/// TCP_NODELAY and SO_KEEPALIVE are set on the listening socket: what it accepts inherits them (Linux,
/// the BSDs), which saves two calls per connection.
#[derive(Debug)]
pub(super) struct SocketListener {
    cell: Rc<ReadyCell>,
    fd: OwnedFd,
    inet: bool,
    exclusive: bool,
}

impl SocketListener {
    /// Takes a non-blocking listening socket.
    pub(super) fn new(fd: OwnedFd, inet: bool, exclusive: bool) -> SocketListener {
        SocketListener { cell: Rc::new(ReadyCell::new()), fd, inet, exclusive }
    }
}

impl SocketListener {
    #[cold]
    fn not_accepted(&self, error: io::Error) -> io::Error {
        // Not for EMFILE and its like: the connection still waits.
        if error.kind() == io::ErrorKind::WouldBlock {
            self.cell.clear_readable();
        }
        error
    }
}

impl Source for SocketListener {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        Some(&self.cell)
    }

    fn is_exclusive(&self) -> bool {
        self.exclusive
    }

    fn prefers_level(&self) -> bool {
        true
    }
}

impl SocketListener {
    /// What was accepted, as the answer of a listener.
    #[inline]
    fn accepted<A>(
        &self,
        accepted: io::Result<(OwnedFd, A)>,
        origin: Origin,
    ) -> io::Result<(Box<dyn Socket>, A)> {
        match accepted {
            Ok((fd, peer)) => {
                if self.cell.is_told_again() {
                    self.cell.clear_readable();
                }
                Ok((Box::new(StreamSocket::new(fd, self.inet, true, origin)), peer))
            }
            Err(error) => Err(self.not_accepted(error)),
        }
    }
}

impl Listener for SocketListener {
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        let accepted =
            if self.inet { accept_inet(self.fd.as_fd()) } else { accept_any(self.fd.as_fd()) };
        self.accepted(accepted, Origin::Elsewhere)
    }

    #[cfg(target_os = "linux")]
    fn try_accept_bare(&self) -> io::Result<(Box<dyn Socket>, Option<Address>)> {
        if self.inet {
            self.accepted(accept_bare(self.fd.as_fd()), Origin::AcceptedBare)
        } else {
            let (socket, peer) = self.try_accept()?;
            Ok((socket, Some(peer)))
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        address::from_kernel(&SockRef::from(&self.fd).local_addr()?)
    }
}

/// TCP without the peer's address: what asks for that later finds it ([`peer_name`](super::peer_name)).
#[cfg(target_os = "linux")]
#[inline]
fn accept_bare(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Option<Address>)> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::io::retry_on_intr(|| rustix::net::accept_with(listener, flags))?;
    Ok((fd, None))
}

/// TCP where accept4 exists: non-blocking and closed by exec in the same call.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
))]
fn accept_inet(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    use rustix::net::SocketFlags;
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (fd, peer) = rustix::io::retry_on_intr(|| rustix::net::acceptfrom_with(listener, flags))?;
    let peer = std::net::SocketAddr::try_from(peer.ok_or(rustix::io::Errno::AFNOSUPPORT)?)?;
    Ok((fd, peer.into()))
}

#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
)))]
fn accept_inet(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    accept_any(listener)
}

/// Any family, with a second call to make it non-blocking. (Not by rustix, which panics when the
/// path of a Unix peer fills its place to the last byte; the peer chooses that.)
#[inline(never)]
fn accept_any(listener: BorrowedFd<'_>) -> io::Result<(OwnedFd, Address)> {
    // Closed by exec, and SO_NOSIGPIPE where there is no MSG_NOSIGNAL: socket2 does both.
    let (socket, peer) = loop {
        match SockRef::from(&listener).accept() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            result => break result?,
        }
    };
    let peer = address::from_kernel(&peer)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    Ok((socket.into(), peer))
}
