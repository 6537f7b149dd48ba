//! What the types promise (invariant 13): readers and writers belong to their loop's thread.

use millrun_streams::{Closed, Drain, StreamReader, StreamWriter};
use static_assertions::assert_not_impl_any;

/// Checked when this file is compiled.
#[test]
fn invariant_13_streams_stay_on_their_thread() {
    assert_not_impl_any!(StreamReader: Send, Sync);
    assert_not_impl_any!(StreamWriter: Send, Sync);
    assert_not_impl_any!(Drain<'static>: Send, Sync);
    assert_not_impl_any!(Closed<'static>: Send, Sync);
}

#[test]
fn the_default_limit_is_64_kib() {
    assert_eq!(millrun_streams::DEFAULT_LIMIT, 65536);
}
