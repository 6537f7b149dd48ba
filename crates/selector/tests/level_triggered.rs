//! The contract is level-triggered, and the kernel below is not (LEVEL from EDGE, `os/readiness.rs`).
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use common::{look, look_at, registered_pair, tcp_pair, wait, wait_for};
use millrun_selector::{
    Interest, MioSelector, OsNetwork, Readiness, Selector, Socket, SocketOption,
};

/// SEL-010: unread data is reported by every select, though the kernel says it once.
#[test]
fn sel_010_unread_data_is_reported_by_every_select() {
    let (mut selector, _ours, key, theirs) = registered_pair(Interest::READ);
    assert!(look(&mut selector).is_empty());
    theirs.try_write(b"abcd").unwrap();
    for _ in 0..3 {
        assert_eq!(look_at(&mut selector, key), Readiness::READABLE);
    }
}

/// SEL-010, fact 1: a partial read leaves the rest reported; a read that empties it ends that.
#[test]
fn sel_010_after_a_partial_read_it_is_reported_without_another_edge() {
    let (mut selector, ours, key, theirs) = registered_pair(Interest::READ);
    theirs.try_write(b"abcd").unwrap();
    assert!(look_at(&mut selector, key).is_readable());
    let mut two = [0; 2];
    assert_eq!(ours.try_read(&mut two).unwrap(), 2);
    assert!(look_at(&mut selector, key).is_readable(), "cd waits");
    assert_eq!(ours.try_read(&mut [0; 8]).unwrap(), 2);
    assert!(look_at(&mut selector, key).is_none(), "a short read emptied it: no EAGAIN needed");
    assert_eq!(ours.try_read(&mut two).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// SEL-010: a read of exactly what waited can't tell; WouldBlock does.
#[test]
fn sel_010_would_block_ends_the_report() {
    let (mut selector, ours, key, theirs) = registered_pair(Interest::READ);
    theirs.try_write(b"abcd").unwrap();
    assert!(look_at(&mut selector, key).is_readable());
    assert_eq!(ours.try_read(&mut [0; 4]).unwrap(), 4);
    assert!(look_at(&mut selector, key).is_readable(), "nobody knows yet that it is empty");
    assert_eq!(ours.try_read(&mut [0; 4]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(look_at(&mut selector, key).is_none());
}

/// SEL-010, fact 2: after a short read that saw no EAGAIN, new data raises an edge.
#[test]
fn sel_010_new_data_after_a_short_read_is_reported() {
    let (ours, mut theirs) = tcp_pair();
    let mut selector = MioSelector::new().unwrap();
    let key = selector.register(&ours, Interest::READ).unwrap();
    for _ in 0..3 {
        theirs.write_all(b"line\n").unwrap();
        wait_for(&mut selector, key, Readiness::is_readable);
        assert_eq!(ours.try_read(&mut [0; 64]).unwrap(), 5);
        assert!(look_at(&mut selector, key).is_none());
    }
}

/// SEL-010, fact 2 for writes: a short write ends the report, room brings it back.
#[test]
fn sel_010_room_after_a_short_write_is_reported() {
    let (ours, mut theirs) = tcp_pair();
    ours.set_option(SocketOption::SendBuffer(64 * 1024)).unwrap();
    let mut selector = MioSelector::new().unwrap();
    let key = selector.register(&ours, Interest::WRITE).unwrap();
    wait_for(&mut selector, key, Readiness::is_writable);
    let block = vec![7; 16 << 20];
    let mut sent = ours.try_write(&block).unwrap();
    assert!(sent < block.len(), "the kernel took 16 MiB at once");
    // The peer's window may open a little by itself, so ask until it is quiet.
    while look_at(&mut selector, key).is_writable() {
        sent += ours.try_write(&block).unwrap_or(0);
    }
    theirs.read_exact(&mut vec![0; sent]).unwrap();
    wait_for(&mut selector, key, Readiness::is_writable);
    assert!(ours.try_write(b"more").unwrap() > 0);
}

/// SEL-010, fact 2: the short write itself ends the report, no EAGAIN is needed.
#[test]
fn sel_010_a_short_write_is_not_reported_as_writable() {
    let (mut selector, ours, key, theirs) = registered_pair(Interest::WRITE);
    assert!(look_at(&mut selector, key).is_writable());
    let block = vec![7; 16 << 20];
    let sent = ours.try_write(&block).unwrap();
    assert!(sent < block.len(), "the kernel took 16 MiB at once");
    assert!(look_at(&mut selector, key).is_none());
    let pieces = [IoSlice::new(&block), IoSlice::new(&block)];
    while theirs.try_read(&mut vec![0; 1 << 20]).is_ok() {}
    assert!(look_at(&mut selector, key).is_writable());
    assert!(ours.try_write_vectored(&pieces).unwrap() < 2 * block.len());
    assert!(look_at(&mut selector, key).is_none(), "vectored, too");
    assert_eq!(ours.try_write(b"x").unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Fact 3: data and FIN in one edge. The end is reported after the short read, though nothing comes.
#[test]
fn sel_010_the_end_is_reported_after_the_short_read_before_it() {
    for tcp in [false, true] {
        let mut selector = MioSelector::new().unwrap();
        let (ours, theirs): (_, Box<dyn Socket>) = if tcp {
            let (ours, theirs) = tcp_pair();
            (ours, OsNetwork::adopt(theirs.into()).unwrap())
        } else {
            OsNetwork::pair().unwrap()
        };
        theirs.try_write(b"last words").unwrap();
        theirs.shutdown(Shutdown::Write).unwrap();
        let key = selector.register(&ours, Interest::READ).unwrap();
        wait_for(&mut selector, key, Readiness::is_read_closed);
        assert_eq!(ours.try_read(&mut [0; 64]).unwrap(), 10, "short: it clears READABLE");
        for _ in 0..2 {
            assert_eq!(look_at(&mut selector, key), Readiness::READ_CLOSED);
            assert_eq!(ours.try_read(&mut [0; 64]).unwrap(), 0, "tcp: {tcp}");
        }
    }
}

/// SEL-011: a hang-up makes it readable and writable, cut down to the interest.
#[test]
fn sel_011_a_closed_peer_is_both_readable_and_writable() {
    let (mut selector, _ours, key, theirs) = registered_pair(Interest::READ);
    drop(theirs);
    let readiness = look_at(&mut selector, key);
    assert!(readiness.is_readable() && !readiness.is_writable(), "{readiness:?}");
    selector.set_interest(key, Interest::WRITE).unwrap();
    let readiness = look_at(&mut selector, key);
    assert!(readiness.is_writable() && readiness.is_write_closed(), "{readiness:?}");
    assert!(!readiness.is_read_closed(), "{readiness:?}");
    selector.set_interest(key, Interest::NONE).unwrap();
    assert!(look(&mut selector).is_empty());
}

/// SEL-011: so does a reset; the error stays though it was taken.
#[test]
fn sel_011_a_reset_is_reported_until_deregistered() {
    let (ours, theirs) = tcp_pair();
    let theirs = OsNetwork::adopt(theirs.into()).unwrap();
    let mut selector = MioSelector::new().unwrap();
    let key = selector.register(&ours, Interest::BOTH).unwrap();
    theirs.set_option(SocketOption::Linger(Some(Duration::ZERO))).unwrap();
    drop(theirs);
    let readiness = wait_for(&mut selector, key, Readiness::is_error);
    assert!(readiness.is_readable() && readiness.is_writable());
    let error = ours.try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    let readiness = look_at(&mut selector, key);
    assert!(readiness.is_error() && readiness.is_readable(), "{readiness:?}");
    assert_eq!(ours.try_read(&mut [0; 8]).unwrap(), 0);
}

/// SEL-015: both directions of one socket in one event.
#[test]
fn sel_015_both_directions_are_one_event() {
    let (mut selector, _ours, key, theirs) = registered_pair(Interest::BOTH);
    theirs.try_write(b"x").unwrap();
    let events = look(&mut selector);
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].key, key);
    assert_eq!(events[0].readiness, Readiness::READABLE | Readiness::WRITABLE);
}

/// SEL-007 (D-22): pausing and resuming is a mask change. Also with an edge that came meanwhile.
#[test]
fn sel_007_an_interest_changes_without_a_system_call() {
    let (mut selector, ours, key, theirs) = registered_pair(Interest::READ);
    assert_eq!(selector.control_calls(), 1, "one registration for both directions");
    assert!(look(&mut selector).is_empty());

    selector.set_interest(key, Interest::NONE).unwrap();
    theirs.try_write(b"while paused").unwrap();
    assert!(look(&mut selector).is_empty(), "paused, and the edge is taken from the kernel");
    selector.set_interest(key, Interest::READ).unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE, "resumed: from the cell");

    selector.set_interest(key, Interest::BOTH).unwrap();
    assert_eq!(look_at(&mut selector, key), Readiness::READABLE | Readiness::WRITABLE);
    selector.set_interest(key, Interest::READ).unwrap();
    assert_eq!(ours.try_read(&mut [0; 64]).unwrap(), 12);
    selector.set_interest(key, Interest::READ).unwrap();
    assert!(look(&mut selector).is_empty());
    selector.deregister(key, &ours).unwrap();
    assert_eq!(selector.control_calls(), 1, "no call but the registration, whatever came since");
}

/// What is due already does not wait, and does not hide what the kernel has to say of others.
#[test]
fn sel_010_a_hot_socket_neither_waits_nor_starves_others() {
    let (mut selector, _ours, hot, theirs) = registered_pair(Interest::READ);
    theirs.try_write(b"never read").unwrap();
    assert!(look_at(&mut selector, hot).is_readable());
    let (other, its_peer) = OsNetwork::pair().unwrap();
    let cold = selector.register(&other, Interest::READ).unwrap();
    its_peer.try_write(b"x").unwrap();
    let events = wait(&mut selector);
    let keys: Vec<_> = events.iter().map(|e| e.key).collect();
    assert!(keys.contains(&hot) && keys.contains(&cold), "{events:?}");
}

/// A second pass over the same events: `out` is appended to, never cleared.
#[test]
fn sel_017_select_appends() {
    let (mut selector, _ours, key, theirs) = registered_pair(Interest::READ);
    theirs.try_write(b"x").unwrap();
    let mut events = Vec::new();
    for n in 1..=3 {
        selector.select(None, &mut events).unwrap();
        assert_eq!(events.len(), n);
        assert_eq!(events[n - 1].key, key);
    }
}
