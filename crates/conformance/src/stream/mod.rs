//! Do a reader and a writer work over this transport? [`check_stream`].

mod ends;
mod reads;
mod scene;
mod writes;

use std::io;

use crate::{Report, TransportWorld};
use scene::play;

/// Tries to break a stream reader and a stream writer over a transport: reads of all kinds, given up anywhere, under
/// limits; writes and drains; every way to end. `make` makes a fresh world for each scenario, the same as for
/// [`check_transport`](crate::check_transport), which is to be passed first: a transport that breaks a rule there makes
/// streams fail here.
///
/// # Panics
/// With every [`Violation`](crate::Violation), when there is one.
#[track_caller]
pub fn check_stream<W: TransportWorld>(make: impl FnMut() -> io::Result<W>) {
    examine_stream(make).assert_clean();
}

/// As [`check_stream`], and tells what was found.
pub fn examine_stream<W: TransportWorld>(make: impl FnMut() -> io::Result<W>) -> Report {
    play(&[reads::SCENARIOS, writes::SCENARIOS, ends::SCENARIOS], make)
}
