//! [`OsNetwork`]: the kernel's own sockets.

use std::io;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::address::to_kernel;
use super::listener::SocketListener;
use super::stream::{Origin, StreamSocket};
use crate::{Address, BindError, ConnectOptions, ListenOptions, Listener, Network, Socket};

/// The [`Network`] of this machine: TCP over IPv4 and IPv6, and Unix stream sockets.
///
/// All its sockets are non-blocking, closed by exec, and raise no SIGPIPE.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsNetwork;

impl OsNetwork {
    /// The one there is.
    pub const fn new() -> OsNetwork {
        OsNetwork
    }

    /// Takes over a connected stream socket that was made elsewhere, makes it non-blocking
    /// (C-004) and sets TCP_NODELAY if it is one of TCP (C-016).
    ///
    /// It may have duplicates: it is taken out of the kernel's registry explicitly.
    ///
    /// # Errors
    /// `InvalidInput` for a socket of another type or a listening one (C-003), `Unsupported` for
    /// another address family, what the kernel says of what is no socket. The descriptor is closed then.
    pub fn adopt(fd: OwnedFd) -> io::Result<Box<dyn Socket>> {
        let inet = take_over(&fd)?;
        if is_listening(&fd)? == Some(true) {
            return Err(unexpected("a connected socket was expected, this one listens"));
        }
        if inet {
            SockRef::from(&fd).set_tcp_nodelay(true)?;
        }
        Ok(Box::new(StreamSocket::new(fd, inet, false, Origin::Elsewhere)))
    }

    /// Takes over a listening stream socket that was made elsewhere (by a parent process, by a
    /// library) and makes it non-blocking.
    ///
    /// # Errors
    /// As [`adopt`](OsNetwork::adopt); `InvalidInput` too for a socket that does not listen, where the
    /// kernel tells.
    pub fn adopt_listener(fd: OwnedFd) -> io::Result<Box<dyn Listener>> {
        let inet = take_over(&fd)?;
        if is_listening(&fd)? == Some(false) {
            return Err(unexpected("a listening socket was expected, this one does not listen"));
        }
        if inet {
            SockRef::from(&fd).set_tcp_nodelay(true)?;
        }
        Ok(Box::new(SocketListener::new(fd, inet, false)))
    }

    /// Two connected Unix stream sockets without names.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn pair() -> io::Result<(Box<dyn Socket>, Box<dyn Socket>)> {
        let (left, right) = socket2::Socket::pair(Domain::UNIX, Type::STREAM, None)?;
        let wrap = |socket: socket2::Socket| -> io::Result<Box<dyn Socket>> {
            let fd = OwnedFd::from(socket);
            rustix::io::ioctl_fionbio(&fd, true)?;
            Ok(Box::new(StreamSocket::new(fd, false, true, Origin::Elsewhere)))
        };
        Ok((wrap(left)?, wrap(right)?))
    }
}

impl Network for OsNetwork {
    fn connect(&self, to: &Address, options: &ConnectOptions) -> io::Result<Box<dyn Socket>> {
        let target = to_kernel(to)?;
        let inet = !to.is_unix();
        let socket = open(&target, inet)?;
        if let Some(local) = &options.local {
            to_kernel(local).and_then(|a| socket.bind(&a)).map_err(|source| {
                let kind = source.kind();
                io::Error::new(kind, BindError { address: local.clone(), source })
            })?;
        }
        match socket.connect(&target) {
            Ok(()) => {}
            // It goes on by itself. A signal does not stop it either.
            Err(e) if is_under_way(&e) => {}
            // (A Unix socket whose server has no room is refused with EAGAIN: it won't go on.)
            Err(e) => return Err(e),
        }
        Ok(Box::new(StreamSocket::new(socket.into(), inet, true, Origin::Elsewhere)))
    }

    fn listen(&self, at: &Address, options: &ListenOptions) -> io::Result<Box<dyn Listener>> {
        let address = to_kernel(at)?;
        let inet = !at.is_unix();
        let socket = open(&address, inet)?;
        if inet {
            socket.set_reuse_address(options.reuse_address)?;
            if options.reuse_port {
                socket.set_reuse_port(true)?;
            }
            if options.keep_alive {
                socket.set_keepalive(true)?;
            }
            if address.is_ipv6() {
                // One socket a family, as asyncio has it: the IPv4 port stays free for the other.
                socket.set_only_v6(true)?;
            }
        }
        socket.bind(&address)?;
        socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
        Ok(Box::new(SocketListener::new(socket.into(), inet, true)))
    }

    fn has_files(&self) -> bool {
        true
    }
}

/// A non-blocking stream socket of an address's family; TCP_NODELAY is set on one of TCP.
fn open(address: &SockAddr, inet: bool) -> io::Result<socket2::Socket> {
    let protocol = inet.then_some(Protocol::TCP);
    // Closed by exec, and SO_NOSIGPIPE where there is no MSG_NOSIGNAL: `new` does both.
    let socket = socket2::Socket::new(address.domain(), Type::STREAM, protocol)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    if inet {
        socket.set_tcp_nodelay(true)?;
    }
    Ok(socket)
}

fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
        || error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// Checks that it is a stream socket of a family that is known here (true: TCP's), and makes it
/// non-blocking.
fn take_over(fd: &OwnedFd) -> io::Result<bool> {
    let socket = SockRef::from(fd);
    let kind = socket.r#type()?;
    if kind != Type::STREAM {
        return Err(unexpected(&format!("a stream socket was expected, this one is {kind:?}")));
    }
    let inet = !super::address::from_kernel(&socket.local_addr()?)?.is_unix();
    rustix::io::ioctl_fionbio(fd, true)?;
    #[cfg(target_vendor = "apple")]
    rustix::net::sockopt::set_socket_nosigpipe(fd, true)?;
    Ok(inet)
}

/// Whether it listens, where the kernel tells.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn is_listening(fd: &OwnedFd) -> io::Result<Option<bool>> {
    SockRef::from(fd).is_listener().map(Some)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
fn is_listening(_: &OwnedFd) -> io::Result<Option<bool>> {
    Ok(None)
}

fn unexpected(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
