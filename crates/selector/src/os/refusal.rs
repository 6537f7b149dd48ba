//! What a selector says when it can't do what it was asked: each error has its words here, out of the way of what works.

use std::io;
use std::os::fd::RawFd;

use crate::{Key, Source};

#[cold]
pub(super) fn without_descriptor(source: &dyn Source) -> io::Error {
    let text = format!("a source with a descriptor was expected, {source:?} has none");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

#[cold]
pub(super) fn unknown(key: Key) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{key:?} is not registered"))
}

#[cold]
pub(super) fn registered(fd: RawFd) -> io::Error {
    io::Error::new(io::ErrorKind::AlreadyExists, format!("descriptor {fd} is registered already"))
}

#[cold]
pub(super) fn closed_behind(fd: RawFd) -> io::Error {
    let text = format!("descriptor {fd} was closed behind its registration");
    io::Error::new(io::ErrorKind::NotFound, text)
}
