//! Between a peer and a backend: each side's bytes go to the other, at the pace of who reads them; each side's end of file too.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use calloop::Readiness;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use crate::Handle;
use crate::link::{Link, Socket};

/// Two connections, each with the other. The backend's is the second.
type Pair = Rc<RefCell<[Link; 2]>>;

const NEAR: usize = 0;
const FAR: usize = 1;

pub(crate) fn accepted(handle: &Handle, near: TcpStream, backend: SocketAddr) -> io::Result<()> {
    let (far, far_socket) = Link::new(handle, connecting(backend)?)?;
    let (near, near_socket) = Link::new(handle, near)?;
    far.watch(false, true)?; // writable: connected, or failed to
    let pair = Rc::new(RefCell::new([near, far]));
    let inner = handle.clone();
    let mut waiting = Some(near_socket);
    far_socket.insert(handle, move |readiness, shared| {
        if let Some(near_socket) = waiting.take() {
            pair.borrow()[FAR].connected()?;
            begin(&inner, near_socket, &pair)?;
        }
        relayed(&pair, FAR, readiness, &mut shared.buffer)
    })
}

/// The backend is there: the peer is read from now on.
fn begin(handle: &Handle, near_socket: Socket, pair: &Pair) -> io::Result<()> {
    let pair = pair.clone();
    near_socket.insert(handle, move |readiness, shared| {
        relayed(&pair, NEAR, readiness, &mut shared.buffer)
    })
}

/// Something happened on one side; false when that is the end of both.
fn relayed(pair: &Pair, side: usize, readiness: Readiness, buffer: &mut [u8]) -> io::Result<bool> {
    let [near, far] = &mut *pair.borrow_mut();
    let (this, other) = if side == NEAR { (near, far) } else { (far, near) };
    let outcome = relay(this, other, readiness, buffer);
    if !matches!(outcome, Ok(true)) {
        other.remove();
    }
    outcome
}

fn relay(
    this: &mut Link,
    other: &mut Link,
    readiness: Readiness,
    buffer: &mut [u8],
) -> io::Result<bool> {
    if readiness.writable && this.has_unsent() {
        this.flush()?;
        if other.has_ended() && !this.has_unsent() {
            this.end()?;
        }
    }
    if readiness.readable && !this.has_ended() && !other.is_full() {
        let n = this.receive(buffer)?;
        other.send(&buffer[..n])?;
        if this.has_ended() && !other.has_unsent() {
            other.end()?;
        }
    }
    this.watch(!this.has_ended() && !other.is_full(), this.has_unsent())?;
    other.watch(!other.has_ended() && !this.is_full(), other.has_unsent())?;
    let done = |from: &Link, to: &Link| from.has_ended() && !to.has_unsent();
    Ok(!(done(this, other) && done(other, this)))
}

/// A connection under way.
fn connecting(address: SocketAddr) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}
