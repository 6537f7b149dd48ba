//! What comes goes back.

use std::io;
use std::net::TcpStream;

use calloop::Readiness;

use crate::Handle;
use crate::link::Link;

pub(crate) fn accepted(handle: &Handle, stream: TcpStream) -> io::Result<()> {
    let (mut link, socket) = Link::new(handle, stream)?;
    socket.insert(handle, move |readiness, shared| echo(&mut link, readiness, &mut shared.buffer))
}

pub(crate) fn echo(link: &mut Link, readiness: Readiness, buffer: &mut [u8]) -> io::Result<bool> {
    if readiness.writable {
        link.flush()?;
    }
    if readiness.readable && !link.has_ended() && !link.is_full() {
        let n = link.receive(buffer)?;
        link.send(&buffer[..n])?;
    }
    settle(link)
}

/// Watches for what an answering connection needs next; false when the peer ended and has everything.
pub(crate) fn settle(link: &Link) -> io::Result<bool> {
    link.watch(!link.has_ended() && !link.is_full(), link.has_unsent())?;
    Ok(!link.has_ended() || link.has_unsent())
}
