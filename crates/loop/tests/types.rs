//! What the types promise (invariant 13): L-013, L-014, L-024, L-054, L-090 can't be written at all.

use std::rc::Rc;

use millrun_loop::{
    EventLoop, Handle, Interval, Job, JoinHandle, LocalWaker, LoopClosed, LoopHandle,
    NoRunningLoop, Remote, RunError, Sleep, TimerHandle, UnitEnd, Watch,
};
use static_assertions::{assert_impl_all, assert_not_impl_any, assert_obj_safe};

/// Checked when this file is compiled.
#[test]
fn invariant_13_remote_is_send_and_handles_are_not() {
    assert_impl_all!(Remote: Send, Sync, Clone);
    assert_impl_all!(RunError: Send, Sync, std::error::Error);
    assert_impl_all!(LoopClosed: Send, Sync, Copy, std::error::Error);
    assert_impl_all!(NoRunningLoop: Send, Sync, Copy, std::error::Error);
    assert_impl_all!(JoinHandle<Rc<()>>: Unpin);
    assert_impl_all!(Sleep: Unpin);
    assert_impl_all!(Interval: Unpin);
    assert_impl_all!(Job<u8>: Unpin, Send);

    // L-013, L-014: no thread but the loop's can have one of these.
    assert_not_impl_any!(LoopHandle: Send, Sync);
    assert_not_impl_any!(EventLoop: Send, Sync);
    assert_not_impl_any!(Handle: Send, Sync);
    assert_not_impl_any!(TimerHandle: Send, Sync);
    assert_not_impl_any!(JoinHandle<u8>: Send, Sync);
    assert_not_impl_any!(Sleep: Send, Sync);

    assert_obj_safe!(Watch, UnitEnd);
}

/// What is passed around must stay small.
#[test]
fn handles_are_small() {
    let word = size_of::<usize>();
    assert_eq!(size_of::<LoopHandle>(), word);
    assert_eq!(size_of::<Remote>(), word);
    assert_eq!(size_of::<Handle>(), 2 * word);
    assert_eq!(size_of::<JoinHandle<[u8; 100]>>(), 3 * word);
    assert!(size_of::<LocalWaker>() <= 2 * word.max(8));
}
