//! The one unsafe module of this crate: who was at the other end of a TCP connection that is over?
//!
//! `getpeername` has forgotten it once the peer has reset the connection; `SO_PEERNAME`, which is Linux's alone, has not. With it
//! nobody needs to ask for an address just in case.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use socket2::{SockAddr, SockRef};

/// The peer of a TCP socket that is or was connected.
///
/// # Errors
/// `NotConnected` of one that never was.
pub(super) fn of(socket: BorrowedFd<'_>) -> io::Result<SockAddr> {
    // A larger place than the address needs is refused, and both ends are of one family.
    let length = SockRef::from(&socket).local_addr()?.len();
    // SAFETY: the descriptor is open as long as it is borrowed. `try_init` gives the address of storage for any socket address, zeroed, and of its length. The kernel is told how
    // much it may write, no more than an address of this family has, which fits; it changes the length to what it wrote. It writes
    // a valid address of that family, or it fails, and then nothing is taken from the storage.
    let ((), address) = unsafe {
        SockAddr::try_init(|storage, storage_length| {
            *storage_length = length.min(*storage_length);
            let (level, name) = (libc::SOL_SOCKET, libc::SO_PEERNAME);
            match libc::getsockopt(socket.as_raw_fd(), level, name, storage.cast(), storage_length)
            {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }?;
    Ok(address)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    use socket2::{Domain, Socket, Type};

    /// IPv4 and, where it is, IPv6: as getpeername says while there is a connection, and the same after a reset.
    #[test]
    fn a_peer_is_known_before_and_after_its_reset() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(at) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (socket, peer) = listener.accept().unwrap();
            assert_eq!(super::of(socket.as_fd()).unwrap().as_socket(), Some(peer));
            socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
            drop(client);
            let reset = std::io::Read::read(&mut &socket, &mut [0]).unwrap_err();
            assert_eq!(reset.kind(), ErrorKind::ConnectionReset);
            assert_eq!(socket.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
            assert_eq!(super::of(socket.as_fd()).unwrap().as_socket(), Some(peer));
        }
    }

    #[test]
    fn one_that_never_was_connected_has_none() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        assert_eq!(super::of(socket.as_fd()).unwrap_err().kind(), ErrorKind::NotConnected);
    }
}
