//! An event of a registration that is gone never reaches the one that took its place or its number.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::os::fd::AsRawFd;

use common::{duplicate, look, look_at, registered_pair};
use millrun_selector::{Interest, OsNetwork, Readiness, Selector};

/// Invariant: the edge was in the kernel's queue when the socket was deregistered and closed.
#[test]
fn an_event_in_flight_for_a_closed_socket_reaches_nobody() {
    let (mut selector, ours, old_key, theirs) = registered_pair(Interest::BOTH);
    let number = ours.fd().unwrap().as_raw_fd();
    theirs.try_write(b"x").unwrap();
    selector.deregister(old_key, &ours).unwrap();
    drop(ours);
    let (new, _peer) = OsNetwork::pair().unwrap();
    let new_key = selector.register(&new, Interest::READ).unwrap();
    assert_eq!(new_key.index, old_key.index, "the place is used again");
    assert_ne!(new_key.generation, old_key.generation);
    if new.fd().unwrap().as_raw_fd() != number {
        println!("the number {number} was taken by another test: the place alone is tested");
    }
    assert!(look(&mut selector).is_empty());
}

/// Fact 5: a duplicate keeps the old registration alive in the kernel, with its old name.
#[test]
fn a_duplicate_of_a_closed_socket_reaches_nobody() {
    let (mut selector, ours, old_key, theirs) = registered_pair(Interest::BOTH);
    let _kept = duplicate(&ours);
    selector.deregister(old_key, &ours).unwrap();
    drop(ours);
    let (new, peer) = OsNetwork::pair().unwrap();
    let new_key = selector.register(&new, Interest::READ).unwrap();
    assert_eq!(new_key.index, old_key.index);
    assert!(look(&mut selector).is_empty());
    for _ in 0..3 {
        theirs.try_write(b"x").unwrap(); // an edge of the old registration each time
        assert!(look(&mut selector).is_empty(), "the new socket has nothing to read");
    }
    assert_eq!(new.readiness().unwrap().get(), Readiness::WRITABLE, "its own, and nothing else");
    peer.try_write(b"x").unwrap();
    assert_eq!(look_at(&mut selector, new_key), Readiness::READABLE);
}

/// A key that is gone when its event is due by the cell, not by the kernel.
#[test]
fn a_hot_registration_that_is_gone_is_not_reported() {
    let (mut selector, ours, key, theirs) = registered_pair(Interest::READ);
    theirs.try_write(b"x").unwrap();
    assert!(look_at(&mut selector, key).is_readable());
    selector.deregister(key, &ours).unwrap();
    let (new, _peer) = OsNetwork::pair().unwrap();
    selector.register(&new, Interest::READ).unwrap();
    assert!(look(&mut selector).is_empty());
}
