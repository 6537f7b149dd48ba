//! Alone in its file, and so in its process: it counts the descriptors of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(all(feature = "os", target_os = "linux"))]

use std::os::unix::net::UnixStream;

use millrun_loop::{EventLoop, Signal};

/// L-026: also while a handle lives on.
#[test]
fn l_026_close_gives_the_descriptors_back() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    let mut event_loop = EventLoop::new().unwrap();
    let handle = event_loop.handle();
    let (left, right) = UnixStream::pair().unwrap();
    handle.add_reader(&left, || ()).unwrap();
    handle.add_signal_handler(Signal::WINCH, || ()).unwrap();
    assert!(open() > before);
    event_loop.close();
    drop((left, right));
    assert_eq!(open(), before);
    assert!(handle.is_closed());
}
