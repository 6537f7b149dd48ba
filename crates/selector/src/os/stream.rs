//! [`StreamSocket`]: a TCP or Unix stream socket.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use socket2::SockRef;

use super::{address, options};
use crate::{Address, MAX_SLICES, ReadyCell, Socket, SocketOption, SocketOptionName, Source};

/// A short transfer has emptied (or filled) the socket, and the next change raises an edge: true of
/// epoll and kqueue, the kernels that `readiness.rs` speaks of. Elsewhere only WouldBlock tells.
const SHORT_IS_EXHAUSTED: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "freebsd",
    target_os = "dragonfly",
    target_os = "netbsd",
    target_os = "openbsd",
    target_vendor = "apple",
));

/// No SIGPIPE for a peer that is gone. Apple's systems have a socket option instead, set where sockets
/// are made.
#[cfg(not(target_vendor = "apple"))]
const SEND: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const SEND: SendFlags = SendFlags::empty();

/// What a socket is made of: 16 bytes, since ten thousand of them are idle.
#[derive(Debug)]
pub(super) struct StreamSocket {
    cell: Rc<ReadyCell>,
    fd: OwnedFd,
    /// It has TCP's options.
    inet: bool,
    exclusive: bool,
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "elsewhere nobody asks later than accept")
    )]
    origin: Origin,
}

/// Where a socket comes from, as far as it matters to who asks for its peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// Of a listener that did not ask for the address: it was connected for sure.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "elsewhere accept tells the address in any case")
    )]
    AcceptedBare,
    /// From anywhere else: it may never have been connected.
    Elsewhere,
}

thread_local! {
    /// The cell of the last socket that was closed, for the next one: where connections come and go, each spares an allocation.
    static SPARE: Cell<Option<Rc<ReadyCell>>> = const { Cell::new(None) };
}

/// Where no spare one is.
#[inline(never)]
fn new_cell() -> Rc<ReadyCell> {
    Rc::new(ReadyCell::new())
}

impl Drop for StreamSocket {
    #[inline]
    fn drop(&mut self) {
        // Else somebody else still looks at it.
        if Rc::strong_count(&self.cell) == 1 {
            self.cell.reset();
            let _ = SPARE.try_with(|spare| spare.set(Some(Rc::clone(&self.cell))));
        }
    }
}

impl StreamSocket {
    /// Takes a non-blocking stream socket.
    pub(super) fn new(fd: OwnedFd, inet: bool, exclusive: bool, origin: Origin) -> StreamSocket {
        let spare = SPARE.try_with(Cell::take).ok().flatten();
        let cell = spare.unwrap_or_else(new_cell);
        StreamSocket { cell, fd, inet, exclusive, origin }
    }

    /// Clears what a write has used up.
    #[inline]
    fn written(&self, n: usize, asked: usize) -> io::Result<usize> {
        if SHORT_IS_EXHAUSTED && n < asked {
            self.cell.clear_writable();
        }
        Ok(n)
    }

    #[cold]
    fn read_failed(&self, errno: Errno) -> io::Result<usize> {
        if errno == Errno::WOULDBLOCK {
            self.cell.clear_readable();
        }
        Err(errno.into())
    }

    /// The peer of a connection that is over, where it was asked for by nobody before.
    #[cfg(target_os = "linux")]
    #[cold]
    fn peer_that_was(&self, error: io::Error) -> io::Result<Address> {
        if self.origin != Origin::AcceptedBare || error.kind() != io::ErrorKind::NotConnected {
            return Err(error);
        }
        address::from_kernel(&super::peer_name::of(self.fd.as_fd())?)
    }

    #[cfg(not(target_os = "linux"))]
    #[cold]
    fn peer_that_was(&self, error: io::Error) -> io::Result<Address> {
        Err(error)
    }

    #[cold]
    fn write_failed(&self, errno: Errno) -> io::Result<usize> {
        if errno == Errno::WOULDBLOCK {
            self.cell.clear_writable();
        }
        Err(errno.into())
    }
}

impl Source for StreamSocket {
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

impl Socket for StreamSocket {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let asked = buffer.len();
        if asked == 0 {
            return Ok(0);
        }
        match retry_on_intr(|| rustix::net::recv(&self.fd, &mut *buffer, RecvFlags::empty())) {
            Ok((_, n)) => {
                // The end clears nothing: READ_CLOSED is final, and it may have come without its edge.
                if SHORT_IS_EXHAUSTED && n < asked && n > 0 {
                    self.cell.clear_readable_after_short_read();
                }
                Ok(n)
            }
            Err(errno) => self.read_failed(errno),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match retry_on_intr(|| rustix::net::send(&self.fd, bytes, SEND)) {
            Ok(n) => self.written(n, bytes.len()),
            Err(errno) => self.write_failed(errno),
        }
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        if let [one] = pieces {
            return self.try_write(one);
        }
        let pieces = &pieces[..pieces.len().min(MAX_SLICES)];
        let asked = pieces.iter().map(|p| p.len()).sum();
        match retry_on_intr(|| {
            rustix::net::sendmsg(&self.fd, pieces, &mut SendAncillaryBuffer::default(), SEND)
        }) {
            Ok(n) => self.written(n, asked),
            Err(errno) => self.write_failed(errno),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        Ok(rustix::net::shutdown(&self.fd, how)?)
    }

    fn local_addr(&self) -> io::Result<Address> {
        address::from_kernel(&SockRef::from(&self.fd).local_addr()?)
    }

    fn peer_addr(&self) -> io::Result<Address> {
        match SockRef::from(&self.fd).peer_addr() {
            Ok(address) => address::from_kernel(&address),
            Err(error) => self.peer_that_was(error),
        }
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(&self.fd).take_error()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        options::set(&SockRef::from(&self.fd), self.inet, option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        options::get(&SockRef::from(&self.fd), self.inet, name)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;

    use super::{Origin, StreamSocket};
    use crate::Readiness;

    #[test]
    fn a_spare_cell_is_as_new_and_nobody_elses() {
        let socket = || {
            let fd = UnixStream::pair().unwrap().0.into();
            StreamSocket::new(fd, false, true, Origin::Elsewhere)
        };
        let first = socket();
        first.cell.set(Readiness::READ_CLOSED);
        let place = Rc::as_ptr(&first.cell);
        drop(first);
        let next = socket();
        assert_eq!((Rc::as_ptr(&next.cell), next.cell.get()), (place, Readiness::NONE));
        let looked_at = Rc::clone(&next.cell);
        looked_at.set(Readiness::READ_CLOSED);
        drop(next);
        assert!(!Rc::ptr_eq(&socket().cell, &looked_at));
        assert_eq!(looked_at.get(), Readiness::READ_CLOSED);
    }
}
