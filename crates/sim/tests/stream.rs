//! How connections live and end: buffers, half close, reset, close.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;
use std::time::Duration;

use millrun_selector::{Address, Interest, SocketOption, SocketOptionName};
use millrun_sim::{Delay, Sim};
use support::{connected, kind, ms, read, ready, watch};

#[test]
fn bytes_arrive_in_order_and_once() {
    let sim = Sim::new(1);
    for (a, b) in [sim.pair(), sim.tcp_pair(), connected(&sim)] {
        assert_eq!(a.try_write(b"one ").unwrap(), 4);
        let pieces = [IoSlice::new(b"two "), IoSlice::new(b""), IoSlice::new(b"three")];
        assert_eq!(a.try_write_vectored(&pieces).unwrap(), 9);
        assert_eq!(b.try_write(b"back").unwrap(), 4);
        assert_eq!(read(&*b, 64).unwrap(), b"one two three");
        assert_eq!(kind(read(&*b, 64)), ErrorKind::WouldBlock);
        assert_eq!(read(&*a, 64).unwrap(), b"back");
    }
}

#[test]
fn both_buffers_are_bounded() {
    for pair in [Sim::pair, Sim::tcp_pair] {
        let sim = Sim::new(1);
        let (a, b) = pair(&sim);
        let mut sent = 0;
        while let Ok(n) = a.try_write(&[7; 10_000]) {
            sent += n;
        }
        assert_eq!(sent, 2 * 65_536, "64 KiB to send and 64 KiB received");
        assert_eq!(read(&*b, 1_000_000).unwrap().len(), 65_536);
        assert_eq!(a.try_write(&[7; 100_000]).unwrap(), 65_536);
    }
}

#[test]
fn buffers_can_be_set_for_all_and_for_one() {
    let sim = Sim::new(1);
    sim.set_buffers(3, 5);
    let (a, b) = sim.tcp_pair();
    assert_eq!(a.try_write(&[0; 100]).unwrap(), 3);
    assert_eq!(a.try_write(&[0; 100]).unwrap(), 3);
    assert_eq!(a.try_write(&[0; 100]).unwrap(), 2);
    assert_eq!(kind(a.try_write(&[0; 100])), ErrorKind::WouldBlock);
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::WRITE);
    assert!(!ready(&mut *selector, key).is_writable());
    b.set_option(SocketOption::ReceiveBuffer(7)).unwrap();
    assert!(ready(&mut *selector, key).is_writable(), "a larger window is an edge");
    assert_eq!(a.try_write(&[0; 100]).unwrap(), 2);
    a.set_option(SocketOption::SendBuffer(10)).unwrap();
    assert_eq!(a.try_write(&[0; 100]).unwrap(), 7);
}

#[test]
fn a_half_closed_connection_still_carries_the_other_way() {
    let sim = Sim::new(1);
    for (a, b) in [sim.pair(), sim.tcp_pair()] {
        let mut selector = sim.selector();
        let key = watch(&mut *selector, &*b, Interest::BOTH);
        a.try_write(b"last").unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        a.shutdown(Shutdown::Write).unwrap();
        assert_eq!(kind(a.try_write(b"x")), ErrorKind::BrokenPipe);
        let readiness = ready(&mut *selector, key);
        assert!(readiness.is_read_closed() && !readiness.is_write_closed(), "{readiness:?}");
        assert_eq!(read(&*b, 64).unwrap(), b"last");
        assert_eq!(read(&*b, 64).unwrap(), b"");
        assert_eq!(b.try_write(b"answer").unwrap(), 6);
        b.shutdown(Shutdown::Write).unwrap();
        assert!(ready(&mut *selector, key).is_write_closed(), "both ways: a hang-up");
        assert_eq!(read(&*a, 64).unwrap(), b"answer");
        assert_eq!(read(&*a, 64).unwrap(), b"");
    }
}

#[test]
fn the_fin_comes_after_bytes_that_had_no_room() {
    let sim = Sim::new(1);
    sim.set_buffers(4, 4);
    for (a, b) in [sim.pair(), sim.tcp_pair()] {
        assert_eq!(a.try_write(b"0123").unwrap(), 4);
        assert_eq!(a.try_write(b"4567").unwrap(), 4);
        drop(a);
        assert_eq!(read(&*b, 64).unwrap(), b"0123");
        assert_eq!(read(&*b, 64).unwrap(), b"4567");
        assert_eq!(read(&*b, 64).unwrap(), b"");
    }
}

#[test]
fn shut_for_reading_gives_what_came_and_then_the_end() {
    let sim = Sim::new(1);
    let (a, b) = sim.tcp_pair();
    b.try_write(b"x").unwrap();
    a.shutdown(Shutdown::Read).unwrap();
    assert_eq!(read(&*a, 64).unwrap(), b"x");
    assert_eq!(read(&*a, 64).unwrap(), b"");
    assert_eq!(b.try_write(b"y").unwrap(), 1, "TCP does not tell the peer");

    let (a, b) = sim.pair();
    a.shutdown(Shutdown::Read).unwrap();
    assert_eq!(kind(b.try_write(b"y")), ErrorKind::BrokenPipe, "a Unix socket does");
}

/// The classic: FIN, then a write that succeeds, a reset, an EPIPE. Reads stay at the end of file.
#[test]
fn writing_to_a_closed_tcp_peer_succeeds_once() {
    let sim = Sim::new(1);
    let (a, b) = sim.tcp_pair();
    drop(b);
    assert_eq!(read(&*a, 64).unwrap(), b"");
    assert_eq!(a.try_write(b"x").unwrap(), 1);
    assert_eq!(kind(a.try_write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(kind(a.try_write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(read(&*a, 64).unwrap(), b"");
    assert_eq!(kind(a.shutdown(Shutdown::Write)), ErrorKind::NotConnected);
    assert_eq!(a.peer_addr().unwrap_err().kind(), ErrorKind::NotConnected);
}

#[test]
fn writing_to_a_closed_unix_peer_fails_at_once() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::BOTH);
    drop(b);
    assert!(ready(&mut *selector, key).is_write_closed());
    assert_eq!(kind(a.try_write(b"x")), ErrorKind::BrokenPipe);
    assert_eq!(read(&*a, 64).unwrap(), b"");
}

#[test]
fn closing_with_unread_bytes_resets_the_peer() {
    let sim = Sim::new(1);
    for (a, b) in [sim.pair(), sim.tcp_pair()] {
        let mut selector = sim.selector();
        let key = watch(&mut *selector, &*a, Interest::READ);
        b.try_write(b"for a").unwrap();
        a.try_write(b"never read").unwrap();
        drop(b);
        let readiness = ready(&mut *selector, key);
        assert!(readiness.is_error() && readiness.is_read_closed(), "{readiness:?}");
        assert_eq!(read(&*a, 64).unwrap(), b"for a", "bytes before the error");
        assert_eq!(kind(read(&*a, 64)), ErrorKind::ConnectionReset);
        assert_eq!(read(&*a, 64).unwrap(), b"", "the error is told once");
        assert_eq!(kind(a.try_write(b"x")), ErrorKind::BrokenPipe);
    }
}

#[test]
fn a_reset_is_told_once_to_whoever_asks_first() {
    for asked in 0..3 {
        let sim = Sim::new(1);
        let (a, peer) = sim.scripted();
        peer.reset();
        let told = match asked {
            0 => kind(read(&*a, 1)),
            1 => kind(a.try_write(b"x")),
            _ => a.take_error().unwrap().unwrap().kind(),
        };
        assert_eq!(told, ErrorKind::ConnectionReset);
        assert!(a.take_error().unwrap().is_none());
        assert_eq!(read(&*a, 1).unwrap(), b"");
        assert_eq!(kind(a.try_write(b"x")), ErrorKind::BrokenPipe);
    }
}

#[test]
fn linger_zero_makes_a_close_a_reset() {
    let sim = Sim::new(1);
    let (a, b) = sim.tcp_pair();
    b.set_option(SocketOption::Linger(Some(Duration::ZERO))).unwrap();
    drop(b);
    assert_eq!(kind(read(&*a, 1)), ErrorKind::ConnectionReset);
}

#[test]
fn bytes_that_came_before_a_reset_stay_and_bytes_without_room_are_lost() {
    let sim = Sim::new(1);
    sim.set_buffers(8, 4);
    let (a, b) = sim.tcp_pair();
    a.try_write(b"unread").unwrap();
    b.try_write(b"01234567").unwrap();
    drop(b);
    assert_eq!(read(&*a, 64).unwrap(), b"0123");
    assert_eq!(kind(read(&*a, 64)), ErrorKind::ConnectionReset);
}

#[test]
fn what_was_sent_before_the_close_arrives_after_it() {
    let sim = Sim::new(1);
    let (a, b) = connected(&sim);
    sim.add_rule(Delay(ms(10)));
    a.try_write(b"good").unwrap();
    a.try_write(b"bye").unwrap();
    drop(a);
    assert_eq!(kind(read(&*b, 64)), ErrorKind::WouldBlock);
    sim.advance(ms(10));
    assert_eq!(read(&*b, 64).unwrap(), b"goodbye");
    assert_eq!(read(&*b, 64).unwrap(), b"");
}

#[test]
fn options_are_kept_and_unknown_ones_refused() {
    let sim = Sim::new(1);
    let (tcp, _tcp) = sim.tcp_pair();
    let (unix, _unix) = sim.pair();
    assert_eq!(tcp.option(SocketOptionName::NoDelay).unwrap(), SocketOption::NoDelay(true));
    tcp.set_option(SocketOption::NoDelay(false)).unwrap();
    assert_eq!(tcp.option(SocketOptionName::NoDelay).unwrap(), SocketOption::NoDelay(false));
    assert_eq!(kind(unix.option(SocketOptionName::NoDelay)), ErrorKind::Unsupported);
    assert_eq!(kind(unix.set_option(SocketOption::NoDelay(true))), ErrorKind::Unsupported);
    for (option, name) in [
        (SocketOption::KeepAlive(true), SocketOptionName::KeepAlive),
        (SocketOption::SendBuffer(9), SocketOptionName::SendBuffer),
        (SocketOption::ReceiveBuffer(9), SocketOptionName::ReceiveBuffer),
        (SocketOption::Linger(Some(ms(1))), SocketOptionName::Linger),
    ] {
        unix.set_option(option).unwrap();
        assert_eq!(unix.option(name).unwrap(), option);
    }
}

#[test]
fn both_ends_agree_about_their_addresses() {
    let sim = Sim::new(1);
    let (a, b) = connected(&sim);
    assert_eq!(a.local_addr().unwrap(), b.peer_addr().unwrap());
    assert_eq!(a.peer_addr().unwrap(), b.local_addr().unwrap());
    assert_ne!(a.local_addr().unwrap(), b.local_addr().unwrap());
    let (a, _b) = sim.pair();
    assert_eq!(a.local_addr().unwrap(), Address::UnixUnnamed);
    assert_eq!(a.peer_addr().unwrap(), Address::UnixUnnamed);
}

/// T-050: no more pieces than the kernel looks at; the rest is no short write.
#[test]
fn a_vectored_write_looks_at_so_many_pieces() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::WRITE);
    ready(&mut *selector, key);
    let pieces = vec![IoSlice::new(b"x"); 2000];
    assert_eq!(a.try_write_vectored(&pieces).unwrap(), millrun_selector::MAX_SLICES);
    assert!(ready(&mut *selector, key).is_writable());
    assert_eq!(read(&*b, 5000).unwrap().len(), millrun_selector::MAX_SLICES);
}

#[test]
fn empty_calls_transfer_nothing_and_clear_nothing() {
    let sim = Sim::new(1);
    let (a, b) = sim.pair();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*a, Interest::BOTH);
    b.try_write(b"x").unwrap();
    ready(&mut *selector, key);
    assert_eq!(a.try_read(&mut []).unwrap(), 0);
    assert_eq!(a.try_write(b"").unwrap(), 0);
    assert_eq!(a.try_write_vectored(&[]).unwrap(), 0);
    let readiness = ready(&mut *selector, key);
    assert!(readiness.is_readable() && readiness.is_writable());
}
