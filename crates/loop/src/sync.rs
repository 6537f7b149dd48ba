//! Which locks, atomics and thread-locals do threads meet in? The standard library's; under `cfg(loom)` loom's, which
//! try every order in which threads can run, and every value that they can see (`tests/loom_remote.rs`).
//!
//! The one place in the crate that asks for that cfg: the code above it is the code that ships. `Arc` stays the standard
//! library's, since [`Wake`](std::task::Wake) wants that one.

#[cfg(not(loom))]
pub(crate) use std::{
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    thread_local,
};

#[cfg(loom)]
pub(crate) use loom::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU8, Ordering},
};

/// As the standard library's. Loom makes each of them anew in each run, at run time.
#[cfg(loom)]
macro_rules! modelled_thread_local {
    ($(static $name:ident: $of:ty = const { $value:expr };)*) => {
        loom::thread_local! { $(static $name: $of = $value;)* }
    };
}
#[cfg(loom)]
pub(crate) use modelled_thread_local as thread_local;
