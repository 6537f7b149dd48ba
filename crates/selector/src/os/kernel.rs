//! What is the kernel told of a descriptor, and what does it tell? By its edges, through mio; or, where it can be and is
//! [asked for](crate::Source::prefers_level), by its level.
//!
//! mio registers for edges only. epoll knows the other way: a registration without EPOLLET is told at each wait for as long as
//! it is ready. So nobody has to try until a call fails only to learn that there is no more. What it costs: the kernel tells of
//! it also when nobody wants to hear. kqueue could as well, but mio gives no access to it.

use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use mio::unix::SourceFd;
use mio::{Registry, Token};

use crate::{Interest, Readiness};

/// What an owned source is registered for, once: both directions, and to hear of urgent data.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) const OWNED: mio::Interest =
    mio::Interest::READABLE.add(mio::Interest::WRITABLE).add(mio::Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) const OWNED: mio::Interest = mio::Interest::READABLE.add(mio::Interest::WRITABLE);

/// The kernel refuses to register an open file twice, and tells of it once in a wait: epoll does. kqueue takes it for a
/// change, and tells of each direction alone.
pub(super) const REFUSES_TWICE: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// It can be told to be level-triggered.
pub(super) const HAS_LEVEL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// What a foreign source is registered for.
pub(super) fn wanted(interest: Interest) -> mio::Interest {
    match (interest.reads(), interest.writes()) {
        (true, false) => mio::Interest::READABLE,
        (false, true) => mio::Interest::WRITABLE,
        _ => mio::Interest::READABLE | mio::Interest::WRITABLE,
    }
}

/// Puts a descriptor into the registry, to be told of its edges; or changes what is told of one that is known there.
pub(super) fn edges(
    fd: RawFd,
    token: Token,
    wanted: mio::Interest,
) -> impl Fn(&Registry, bool) -> io::Result<()> {
    move |registry, is_known| {
        let source = &mut SourceFd(&fd);
        if is_known {
            registry.reregister(source, token, wanted)
        } else {
            registry.register(source, token, wanted)
        }
    }
}

/// The same, to be told again and again for as long as it can be read.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(super) fn level(
    fd: BorrowedFd<'_>,
    token: Token,
) -> impl Fn(&Registry, bool) -> io::Result<()> {
    use rustix::event::epoll::{EventData, EventFlags, add, modify};
    move |registry, is_known| {
        // As mio does: its token is what an event carries.
        let data = EventData::new_u64(token.0 as u64);
        Ok(if is_known { modify } else { add }(registry, fd, data, EventFlags::IN)?)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(super) fn level(_: BorrowedFd<'_>, _: Token) -> impl Fn(&Registry, bool) -> io::Result<()> {
    |_, _| Err(io::ErrorKind::Unsupported.into())
}

/// What an event says.
#[inline]
pub(super) fn readiness(event: &mio::event::Event) -> Readiness {
    let read = if event.is_readable() { Readiness::READABLE } else { Readiness::NONE };
    let write = if event.is_writable() { Readiness::WRITABLE } else { Readiness::NONE };
    let is_rare = event.is_error()
        || event.is_read_closed()
        || event.is_write_closed()
        || event.is_priority();
    if is_rare { read | write | rare_readiness(event) } else { read | write }
}

#[cold]
fn rare_readiness(event: &mio::event::Event) -> Readiness {
    let told = [
        (event.is_read_closed(), Readiness::READ_CLOSED),
        (event.is_write_closed(), Readiness::WRITE_CLOSED),
        (event.is_error(), Readiness::ERROR),
        (event.is_priority(), Readiness::URGENT),
    ];
    told.into_iter().fold(Readiness::NONE, |all, (is, bit)| if is { all | bit } else { all })
}
