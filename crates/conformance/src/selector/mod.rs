//! Does this selector keep its contract? [`check_selector`].

mod levels;
mod registry;
mod waits;

use std::io;

use crate::desk::play;
use crate::{Report, SocketWorld};

/// Tries to break a selector: levels, interests, keys, waits. `make` makes a fresh world for each scenario.
///
/// # Panics
/// With every [`Violation`](crate::Violation), when there is one.
#[track_caller]
pub fn check_selector<W: SocketWorld>(make: impl FnMut() -> io::Result<W>) {
    examine_selector(make).assert_clean();
}

/// As [`check_selector`], and tells what was found.
pub fn examine_selector<W: SocketWorld>(make: impl FnMut() -> io::Result<W>) -> Report {
    play(&[levels::SCENARIOS, registry::SCENARIOS, waits::SCENARIOS], make)
}
