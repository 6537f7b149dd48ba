//! The options of a simulated stream socket: those of the operating system's, kept with the endpoint.

use std::io::{self, ErrorKind};

use millrun_selector::{SocketOption, SocketOptionName};

use crate::endpoint::{Endpoint, Kind};

/// # Errors
/// `Unsupported` where this kind of socket has no such option.
pub(crate) fn set(end: &mut Endpoint, kind: Kind, option: SocketOption) -> io::Result<()> {
    match option {
        SocketOption::NoDelay(on) if kind == Kind::Tcp => end.no_delay = on,
        SocketOption::KeepAlive(on) => end.keep_alive = on,
        SocketOption::SendBuffer(bytes) => end.send_capacity = bytes.max(1),
        SocketOption::ReceiveBuffer(bytes) => end.receive_capacity = bytes.max(1),
        SocketOption::Linger(time) => end.linger = time,
        _ => return Err(no_option(kind)),
    }
    Ok(())
}

/// # Errors
/// As [`set`].
pub(crate) fn get(end: &Endpoint, kind: Kind, name: SocketOptionName) -> io::Result<SocketOption> {
    Ok(match name {
        SocketOptionName::NoDelay if kind == Kind::Tcp => SocketOption::NoDelay(end.no_delay),
        SocketOptionName::KeepAlive => SocketOption::KeepAlive(end.keep_alive),
        SocketOptionName::SendBuffer => SocketOption::SendBuffer(end.send_capacity),
        SocketOptionName::ReceiveBuffer => SocketOption::ReceiveBuffer(end.receive_capacity),
        SocketOptionName::Linger => SocketOption::Linger(end.linger),
        _ => return Err(no_option(kind)),
    })
}

fn no_option(kind: Kind) -> io::Error {
    let what = format!("a simulated {kind:?} socket has no such option");
    io::Error::new(ErrorKind::Unsupported, what)
}
