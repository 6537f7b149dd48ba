//! [`SocketOption`]s of a kernel's socket.

use std::io;

use socket2::SockRef;

use crate::{SocketOption, SocketOptionName};

pub(super) fn set(socket: &SockRef<'_>, inet: bool, option: SocketOption) -> io::Result<()> {
    match option {
        SocketOption::NoDelay(_) if !inet => Err(no_tcp(SocketOptionName::NoDelay)),
        SocketOption::NoDelay(on) => socket.set_tcp_nodelay(on),
        SocketOption::KeepAlive(on) => socket.set_keepalive(on),
        SocketOption::SendBuffer(bytes) => socket.set_send_buffer_size(bytes),
        SocketOption::ReceiveBuffer(bytes) => socket.set_recv_buffer_size(bytes),
        SocketOption::Linger(time) => socket.set_linger(time),
    }
}

pub(super) fn get(
    socket: &SockRef<'_>,
    inet: bool,
    name: SocketOptionName,
) -> io::Result<SocketOption> {
    match name {
        SocketOptionName::NoDelay if !inet => Err(no_tcp(name)),
        SocketOptionName::NoDelay => socket.tcp_nodelay().map(SocketOption::NoDelay),
        SocketOptionName::KeepAlive => socket.keepalive().map(SocketOption::KeepAlive),
        SocketOptionName::SendBuffer => socket.send_buffer_size().map(SocketOption::SendBuffer),
        SocketOptionName::ReceiveBuffer => {
            socket.recv_buffer_size().map(SocketOption::ReceiveBuffer)
        }
        SocketOptionName::Linger => socket.linger().map(SocketOption::Linger),
    }
}

fn no_tcp(name: SocketOptionName) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!("{name:?} is an option of TCP, and this is a Unix socket"),
    )
}
