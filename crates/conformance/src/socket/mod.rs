//! Do these sockets keep their contract? [`check_socket`].

mod bytes;
mod ends;
mod pressure;

use std::io;

use crate::desk::play;
use crate::{Report, SocketWorld};

/// Tries to break the sockets of a world: bytes, counts, pressure, ends. `make` makes a fresh world for each
/// scenario.
///
/// # Panics
/// With every [`Violation`](crate::Violation), when there is one.
#[track_caller]
pub fn check_socket<W: SocketWorld>(make: impl FnMut() -> io::Result<W>) {
    examine_socket(make).assert_clean();
}

/// As [`check_socket`], and tells what was found.
pub fn examine_socket<W: SocketWorld>(make: impl FnMut() -> io::Result<W>) -> Report {
    play(&[bytes::SCENARIOS, pressure::SCENARIOS, ends::SCENARIOS], make)
}
