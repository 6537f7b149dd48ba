//! What is so of epoll alone: it refuses regular files, and judges who holds a descriptor's number.
#![cfg(all(feature = "os", any(target_os = "linux", target_os = "android")))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use common::{look, look_at, tcp_pair, wait_for};
use millrun_selector::{
    Address, Clock, Foreign, Interest, ListenOptions, Listener, MioSelector, Monotonic, Network,
    OsNetwork, Readiness, Selector, Source, Time,
};
use rustix::io::dup2;
use rustix::net::{SendFlags, send};

/// SEL-009: a refused registration leaves nothing behind (epoll refuses a regular file).
#[test]
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

/// A number that was closed behind our back and given out again can be registered again.
#[test]
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

/// The same for a foreign descriptor whose number was given to another file, with the old one open.
#[test]
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

/// Why sockets are registered after their connect was issued (fact 4).
#[test]
fn fact_4_a_fresh_socket_reports_a_false_hang_up() {
    let fresh = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let fresh = OsNetwork::adopt(fresh.into()).unwrap();
    let mut selector = MioSelector::new().unwrap();
    let key = selector.register(&fresh, Interest::BOTH).unwrap();
    assert!(look_at(&mut selector, key).is_read_closed());
}

/// A read stops at TCP urgent data: it is short though more waits. What waits is still reported.
#[test]
fn sel_010_what_follows_urgent_data_is_reported() {
    let (ours, theirs) = tcp_pair();
    let mut selector = MioSelector::new().unwrap();
    let key = selector.register(&ours, Interest::READ).unwrap();
    for (bytes, flags) in
        [(b"abc", SendFlags::empty()), (b"ur!", SendFlags::OOB), (b"def", SendFlags::empty())]
    {
        send(&theirs, bytes, flags).unwrap();
    }
    let mut got = Vec::new();
    while got.len() < 8 {
        wait_for(&mut selector, key, Readiness::is_readable);
        let mut buffer = [0; 64];
        match ours.try_read(&mut buffer) {
            Ok(n) => got.extend_from_slice(&buffer[..n]),
            Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
        }
    }
    assert_eq!(got, b"abcurdef", "the urgent byte itself is out of band");
    send(&theirs, b"ghi", SendFlags::empty()).unwrap();
    wait_for(&mut selector, key, Readiness::is_readable);
    assert_eq!(ours.try_read(&mut [0; 64]).unwrap(), 3);
    assert_eq!(ours.try_read(&mut [0; 64]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(look_at(&mut selector, key).is_none());
}

fn listener_with_a_client() -> (Box<dyn Listener>, TcpStream) {
    let at = Address::from((Ipv4Addr::LOCALHOST, 0));
    let listener = OsNetwork.listen(&at, &ListenOptions::default()).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap().as_inet().unwrap()).unwrap();
    (listener, client)
}

/// The kernel tells of a listener again, so what was accepted may be taken for the last: neither is a connection lost, nor
/// is the next look made without waiting only because one was accepted.
#[test]
fn sel_010_a_listener_is_told_again_and_needs_no_accept_that_fails() {
    let mut selector = MioSelector::new().unwrap();
    let (listener, _first) = listener_with_a_client();
    let at = listener.local_addr().unwrap().as_inet().unwrap();
    let key = selector.register(&listener, Interest::READ).unwrap();
    let cell = listener.readiness().unwrap().clone();
    assert!(cell.is_told_again());
    let _others = [TcpStream::connect(at).unwrap(), TcpStream::connect(at).unwrap()];
    for waiting in (1..=3).rev() {
        wait_for(&mut selector, key, Readiness::is_readable);
        assert!(cell.get().is_readable());
        listener.try_accept().unwrap();
        assert!(!cell.get().is_readable(), "{waiting} waited");
    }
    assert!(look(&mut selector).is_empty());
    // The bit that is left by a failed accept, or by none, is reported as any other.
    let _last = TcpStream::connect(at).unwrap();
    for _ in 0..3 {
        wait_for(&mut selector, key, Readiness::is_readable);
    }
    assert_eq!(selector.control_calls(), 1);
}

/// Told again and again of what nobody wants, the selector would spin.
#[test]
fn sel_002_a_listener_that_is_not_wanted_is_silent_and_no_connection_is_lost() {
    let mut selector = MioSelector::new().unwrap();
    let (listener, _first) = listener_with_a_client();
    let at = listener.local_addr().unwrap().as_inet().unwrap();
    let key = selector.register(&listener, Interest::READ).unwrap();
    wait_for(&mut selector, key, Readiness::is_readable);
    selector.set_interest(key, Interest::NONE).unwrap();
    // The first look finds it, the second one silences it and may hear of it a last time.
    assert!(look(&mut selector).is_empty());
    assert!(look(&mut selector).is_empty());
    let (clock, pause) = (Monotonic::new(), Duration::from_millis(20));
    selector.select(Some(pause), &mut Vec::new()).unwrap();
    assert!(clock.now() >= Time::ZERO + pause, "it was told in vain");

    let _second = TcpStream::connect(at).unwrap();
    assert!(look(&mut selector).is_empty());
    selector.set_interest(key, Interest::READ).unwrap();
    for _ in 0..2 {
        wait_for(&mut selector, key, Readiness::is_readable);
        listener.try_accept().unwrap();
    }
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(look(&mut selector).is_empty());
    let _third = TcpStream::connect(at).unwrap();
    wait_for(&mut selector, key, Readiness::is_readable);
}

/// As before, but it is wanted again before it was silenced: it need not be.
#[test]
fn sel_010_a_listener_that_is_wanted_again_in_time_is_told_as_before() {
    let mut selector = MioSelector::new().unwrap();
    let (listener, _client) = listener_with_a_client();
    let key = selector.register(&listener, Interest::READ).unwrap();
    selector.set_interest(key, Interest::NONE).unwrap();
    assert!(look(&mut selector).is_empty());
    selector.set_interest(key, Interest::READ).unwrap();
    wait_for(&mut selector, key, Readiness::is_readable);
    assert!(listener.readiness().unwrap().is_told_again());
    assert_eq!(selector.control_calls(), 1);
}

/// A listener that is deregistered and not closed is not told of, and may be registered again, here or elsewhere.
#[test]
fn sel_005_a_listener_that_lives_on_is_out_of_the_kernels_registry() {
    let (mut selector, mut other) = (MioSelector::new().unwrap(), MioSelector::new().unwrap());
    let (listener, _client) = listener_with_a_client();
    let key = selector.register(&listener, Interest::READ).unwrap();
    wait_for(&mut selector, key, Readiness::is_readable);
    selector.deregister(key, &listener).unwrap();
    assert!(!listener.readiness().unwrap().is_told_again());
    let (clock, pause) = (Monotonic::new(), Duration::from_millis(20));
    assert!(look(&mut selector).is_empty());
    selector.select(Some(pause), &mut Vec::new()).unwrap();
    assert!(clock.now() >= Time::ZERO + pause, "the kernel told of it");

    let fd = listener.fd().unwrap();
    selector.register(&Foreign::new(&fd), Interest::READ).unwrap();
    let again = selector.register(&listener, Interest::READ).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let key = other.register(&listener, Interest::READ).unwrap();
    let foreign = other.register(&Foreign::new(&fd), Interest::READ).unwrap_err();
    assert_eq!(foreign.kind(), ErrorKind::AlreadyExists);
    wait_for(&mut other, key, Readiness::is_readable);
}
