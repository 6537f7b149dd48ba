//! An event of a registration that is gone never reaches the one that took its place or its number.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use common::{duplicate, look, look_at, registered_pair};
use millrun_selector::{Foreign, Interest, MioSelector, OsNetwork, Readiness, Selector};
use rustix::io::dup2;

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

/// The same for a foreign descriptor whose number was given to another file, with the old one open.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn a_duplicate_of_a_lost_foreign_descriptor_reaches_nobody() {
    let mut selector = MioSelector::new().unwrap();
    let (old, mut old_peer) = UnixStream::pair().unwrap();
    let mut number = OwnedFd::from(old);
    let _kept = number.try_clone().unwrap();
    let old_key = selector.register(&Foreign::new(&number), Interest::READ).unwrap();
    let (new, mut new_peer) = UnixStream::pair().unwrap();
    dup2(&new, &mut number).unwrap();
    let new_key = selector.register(&Foreign::new(&number), Interest::READ).unwrap();
    for _ in 0..3 {
        old_peer.write_all(b"x").unwrap();
        assert!(look(&mut selector).is_empty(), "neither the new one nor the lost one");
    }
    new_peer.write_all(b"x").unwrap();
    let events = look(&mut selector);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].key, new_key);
    selector.deregister(old_key, &Foreign::new(&number)).unwrap();
    assert!(look_at(&mut selector, new_key).is_readable());
}

/// An owned socket that gets the number of a lost foreign registration.
#[test]
fn an_owned_socket_takes_the_number_of_a_lost_foreign_one() {
    let mut selector = MioSelector::new().unwrap();
    let (old, _old_peer) = UnixStream::pair().unwrap();
    let (ours, theirs) = OsNetwork::pair().unwrap();
    let mut number = OwnedFd::from(old);
    let old_key = selector.register(&Foreign::new(&number), Interest::READ).unwrap();
    dup2(ours.fd().unwrap(), &mut number).unwrap();
    let adopted = OsNetwork::adopt(number).unwrap();
    let key = selector.register(&adopted, Interest::READ).unwrap();
    assert!(selector.set_interest(old_key, Interest::BOTH).is_err());
    theirs.try_write(b"x").unwrap();
    let events = look(&mut selector);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].key, key);
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
