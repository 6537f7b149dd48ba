//! Registering, changing and forgetting; foreign descriptors; the kernel's refusals.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{duplicate, look, look_at, registered_pair};
use millrun_selector::{
    Clock, Foreign, Interest, MioSelector, Monotonic, OsNetwork, Readiness, Selector, Time,
};

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
