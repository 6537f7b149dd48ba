//! Registering, changing and forgetting; foreign descriptors; the kernel's refusals.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{duplicate, look, look_at, registered_pair};
use millrun_selector::{
    Clock, Foreign, Interest, MioSelector, Monotonic, OsNetwork, Readiness, Selector, Time,
};
use rustix::io::dup2;

/// SEL-001: the second registration of a foreign descriptor fails, the first one stays.
#[test]
fn sel_001_a_foreign_descriptor_is_registered_once() {
    let mut selector = MioSelector::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let key = selector.register(&Foreign::new(&ours), Interest::READ).unwrap();
    let error = selector.register(&Foreign::new(&ours), Interest::WRITE).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    theirs.write_all(b"x").unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
    assert!(selector.register(&Foreign::new(&ours), Interest::WRITE).is_err(), "reported, too");
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
}

/// SEL-001 for owned ones, and across the two kinds.
#[test]
fn sel_001_an_owned_socket_is_registered_once() {
    let (mut selector, ours, key, theirs) = registered_pair(Interest::READ);
    let again = selector.register(&ours, Interest::BOTH).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let fd = ours.fd().unwrap();
    let foreign = selector.register(&Foreign::new(&fd), Interest::BOTH).unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::AlreadyExists);

    let fd = theirs.fd().unwrap();
    selector.register(&Foreign::new(&fd), Interest::READ).unwrap();
    let owned = selector.register(&theirs, Interest::READ).unwrap_err();
    assert_eq!(owned.kind(), ErrorKind::AlreadyExists);
    theirs.try_write(b"x").unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE, "the first ones stay");
}

/// SEL-002: an empty interest is legal here, and silent.
#[test]
fn sel_002_an_empty_interest_is_silent() {
    let mut selector = MioSelector::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let key = selector.register(&Foreign::new(&ours), Interest::NONE).unwrap();
    theirs.write_all(b"x").unwrap();
    assert!(look(&mut selector).is_empty());
    selector.set_interest(key, Interest::READ).unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
    selector.set_interest(key, Interest::NONE).unwrap();
    assert!(look(&mut selector).is_empty());
    // Nobody wants it, so its number is free: as in asyncio, where an empty interest is no registration.
    let newer = selector.register(&Foreign::new(&ours), Interest::READ).unwrap();
    let error = selector.set_interest(key, Interest::READ).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(look_at(&mut selector, newer), Readiness::READABLE);
}

/// SEL-004, SEL-006: what is not registered is not found, and a key is not good for a second time.
#[test]
fn sel_004_sel_006_an_unknown_key_is_not_found() {
    let (mut selector, ours, key, _theirs) = registered_pair(Interest::READ);
    selector.deregister(key, &ours).unwrap();
    let error = selector.deregister(key, &ours).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("not registered"), "{error}");
    let error = selector.set_interest(key, Interest::READ).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let newer = selector.register(&ours, Interest::READ).unwrap();
    assert_eq!(newer.index, key.index, "the place is used again");
    assert_eq!(selector.deregister(key, &ours).unwrap_err().kind(), ErrorKind::NotFound);
    selector.deregister(newer, &ours).unwrap();
}

/// SEL-005: closed behind our back, a registration can still be taken away.
#[test]
fn sel_005_a_closed_descriptor_is_deregistered_without_an_error() {
    let mut selector = MioSelector::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let key = selector.register(&Foreign::new(&ours), Interest::READ).unwrap();
    drop(ours);
    drop(theirs);
    assert!(look(&mut selector).is_empty());
    let (any, _) = UnixStream::pair().unwrap();
    selector.deregister(key, &Foreign::new(&any)).unwrap();
    assert_eq!(
        selector.deregister(key, &Foreign::new(&any)).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

/// SEL-005: the same after a report, when the next select would arm it anew.
#[test]
fn sel_005_a_descriptor_closed_after_its_report_is_lost_in_silence() {
    let mut selector = MioSelector::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let key = selector.register(&Foreign::new(&ours), Interest::READ).unwrap();
    theirs.write_all(b"x").unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
    drop(ours);
    for _ in 0..2 {
        assert!(look(&mut selector).is_empty());
    }
    let error = selector.set_interest(key, Interest::BOTH).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// SEL-008: a refused change takes the registration away and says why.
#[test]
fn sel_008_a_refused_change_deregisters() {
    let mut selector = MioSelector::new().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let key = selector.register(&Foreign::new(&ours), Interest::READ).unwrap();
    drop(ours);
    assert!(selector.set_interest(key, Interest::BOTH).is_err());
    let error = selector.set_interest(key, Interest::READ).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let error = selector.deregister(key, &Foreign::new(&theirs)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

/// SEL-009: a refused registration leaves nothing behind (epoll refuses a regular file).
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sel_009_a_regular_file_is_refused() {
    let mut selector = MioSelector::new().unwrap();
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    for _ in 0..2 {
        let error = selector.register(&Foreign::new(&file), Interest::READ).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }
    assert!(look(&mut selector).is_empty());
    let (socket, _peer) = OsNetwork::pair().unwrap();
    let key = selector.register(&socket, Interest::READ).unwrap();
    assert_eq!((key.index, key.generation), (0, 0), "no place and no name was used up");
}

/// SEL-010 for foreign descriptors: armed anew after each report, at one call each.
#[test]
fn sel_010_a_foreign_descriptor_is_reported_by_every_select() {
    let mut selector = MioSelector::new().unwrap();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let key = selector.register(&Foreign::new(&ours), Interest::READ).unwrap();
    let (clock, asked) = (Monotonic::new(), Duration::from_millis(3));
    let mut events = Vec::new();
    selector.select(Some(asked), &mut events).unwrap();
    assert!(events.is_empty());
    assert!(
        clock.now() >= Time::ZERO + asked,
        "it is writable, which must not end a wait for reads"
    );
    theirs.write_all(b"abc").unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
    ours.read_exact(&mut [0; 1]).unwrap(); // nobody here sees it
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
    assert_eq!(selector.control_calls(), 1 + 2, "none for what is not reported");
    ours.read_exact(&mut [0; 2]).unwrap();
    assert!(look(&mut selector).is_empty());
    let calls = selector.control_calls();
    assert!(look(&mut selector).is_empty());
    assert_eq!(selector.control_calls(), calls, "armed already");
    selector.set_interest(key, Interest::BOTH).unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::WRITABLE);
    selector.set_interest(key, Interest::READ).unwrap();
    assert!(look(&mut selector).is_empty());
    drop(theirs);
    assert!(look_at(&mut selector, key).is_read_closed());
    selector.deregister(key, &Foreign::new(&ours)).unwrap();
    assert!(look(&mut selector).is_empty());
}

/// A number that was closed behind our back and given out again can be registered again.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sel_001_the_reuse_of_a_lost_number_is_tolerated() {
    let mut selector = MioSelector::new().unwrap();
    let (old, _old_peer) = UnixStream::pair().unwrap();
    let mut number = OwnedFd::from(old);
    let old_key = selector.register(&Foreign::new(&number), Interest::READ).unwrap();
    let (new, mut new_peer) = UnixStream::pair().unwrap();
    dup2(&new, &mut number).unwrap(); // closes the old file, the number is the new one's
    let new_key = selector.register(&Foreign::new(&number), Interest::READ).unwrap();
    new_peer.write_all(b"x").unwrap();
    for _ in 0..2 {
        let events = look(&mut selector);
        assert_eq!(events.len(), 1);
        assert_eq!(events[0].key, new_key);
    }
    // The old name can't reach the number any more: neither to change it nor to take it out.
    assert_eq!(
        selector.set_interest(old_key, Interest::BOTH).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert_eq!(look_at(&mut selector, new_key), Readiness::READABLE);
}

/// As before, when the old registration is taken away late.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn sel_005_a_late_deregistration_leaves_the_new_owner_alone() {
    let mut selector = MioSelector::new().unwrap();
    let (old, mut old_peer) = UnixStream::pair().unwrap();
    let mut number = OwnedFd::from(old);
    let old_key = selector.register(&Foreign::new(&number), Interest::READ).unwrap();
    old_peer.write_all(b"x").unwrap();
    assert!(look_at(&mut selector, old_key).is_readable());
    let (new, mut new_peer) = UnixStream::pair().unwrap();
    dup2(&new, &mut number).unwrap();
    let new_key = selector.register(&Foreign::new(&number), Interest::READ).unwrap();
    selector.deregister(old_key, &Foreign::new(&number)).unwrap();
    new_peer.write_all(b"x").unwrap();
    assert!(look_at(&mut selector, new_key).is_readable());
}

/// A socket can leave and come back, and move to another selector: what it knows goes with it.
#[test]
fn an_owned_socket_can_be_registered_again() {
    let (mut selector, ours, key, theirs) = registered_pair(Interest::READ);
    theirs.try_write(b"x").unwrap();
    selector.deregister(key, &ours).unwrap();
    assert!(look(&mut selector).is_empty(), "an event in flight finds nobody");
    let key = selector.register(&ours, Interest::READ).unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE, "what waits is told again");
    selector.deregister(key, &ours).unwrap();
    let mut other = MioSelector::new().unwrap();
    let key = other.register(&ours, Interest::READ).unwrap();
    assert_eq!(look_at(&mut other, key), Readiness::READABLE);
    assert_eq!(ours.try_read(&mut [0; 8]).unwrap(), 1);
    assert!(look(&mut other).is_empty());
    theirs.try_write(b"y").unwrap();
    assert_eq!(look_at(&mut other, key), Readiness::READABLE);
    assert!(look(&mut selector).is_empty());
}

/// An adopted descriptor may have duplicates, so it is taken out of the kernel's registry explicitly.
#[test]
fn an_adopted_socket_leaves_the_kernel_when_deregistered() {
    let mut selector = MioSelector::new().unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = OsNetwork::adopt(ours.into()).unwrap();
    let _kept = duplicate(&ours);
    let key = selector.register(&ours, Interest::READ).unwrap();
    selector.deregister(key, &ours).unwrap();
    assert_eq!(selector.control_calls(), 2);
    drop(ours);
    theirs.write_all(b"x").unwrap();
    assert!(look(&mut selector).is_empty());
}
