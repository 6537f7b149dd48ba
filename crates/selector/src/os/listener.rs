//! [`SocketListener`]: a listening TCP or Unix socket.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::retry_on_intr;
use rustix::net::SocketAddrAny;
use socket2::SockRef;

use super::address;
use super::stream::StreamSocket;
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
}

impl Listener for SocketListener {
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        match retry_on_intr(|| accept(self.fd.as_fd())) {
            Ok((fd, peer)) => {
                let peer = address::from_accept(peer)?;
                Ok((Box::new(StreamSocket::new(fd, self.inet, true)), peer))
            }
            Err(e) => {
                let e = io::Error::from(e);
                // Not for EMFILE and its like: the connection still waits.
                if e.kind() == io::ErrorKind::WouldBlock {
                    self.cell.clear_readable();
                }
                Err(e)
            }
        }
    }

    fn local_addr(&self) -> io::Result<Address> {
        address::from_kernel(&SockRef::from(&self.fd).local_addr()?)
    }
}

/// Non-blocking and closed by exec from the start.
#[cfg(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
))]
fn accept(listener: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    use rustix::net::SocketFlags;
    rustix::net::acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

/// Non-blocking and closed by exec as soon as may be: there is no accept4.
#[cfg(not(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
)))]
fn accept(listener: BorrowedFd<'_>) -> rustix::io::Result<(OwnedFd, Option<SocketAddrAny>)> {
    let (fd, peer) = rustix::net::acceptfrom(listener)?;
    rustix::io::fcntl_setfd(&fd, rustix::io::FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(&fd, true)?;
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(&fd, true)?;
    Ok((fd, peer))
}
