//! The scripted socket: the test is the peer and the kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::{ErrorKind, IoSlice};
use std::net::Shutdown;

use millrun_selector::{Interest, SocketOption};
use millrun_sim::{Call, Failure, Fault, Sim, Syscall};
use support::{connect, connected, kind, listen, read, ready, watch};

#[test]
fn the_peer_sends_and_receives() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.send("ab");
    peer.send(b"");
    peer.send([b'c']);
    assert_eq!(peer.unread(), 3);
    assert_eq!(read(&*socket, 9).unwrap(), b"abc");
    socket.try_write(b"one").unwrap();
    assert_eq!(peer.received(), b"one");
    socket.try_write(b"two").unwrap();
    assert_eq!(peer.take_received(), b"onetwo");
    assert_eq!(peer.received(), b"");
}

#[test]
fn the_peer_sends_more_than_there_is_room_for() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.send(vec![7; 200_000]);
    peer.send_eof();
    peer.send("nothing after the end");
    assert_eq!(peer.unread(), 65_536, "the socket's buffer is bounded");
    let mut total = 0;
    while let Ok(bytes) = read(&*socket, 100_000) {
        if bytes.is_empty() {
            break;
        }
        total += bytes.len();
    }
    assert_eq!(total, 200_000);
    assert_eq!(socket.try_write(&vec![7; 500_000]).unwrap(), 65_536, "one call, one buffer");
    assert_eq!(socket.try_write(&vec![7; 500_000]).unwrap(), 65_536, "taken over at once");
}

#[test]
fn the_send_window_is_what_the_kernel_takes() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*socket, Interest::WRITE);
    assert!(ready(&mut *selector, key).is_writable());
    peer.set_send_window(3);
    assert_eq!(socket.try_write(b"0123456789").unwrap(), 3);
    assert!(!ready(&mut *selector, key).is_writable(), "short: exhausted");
    assert_eq!(kind(socket.try_write(b"3456789")), ErrorKind::WouldBlock);
    peer.set_send_window(2);
    assert!(ready(&mut *selector, key).is_writable());
    let pieces = [IoSlice::new(b"3"), IoSlice::new(b"456789")];
    assert_eq!(socket.try_write_vectored(&pieces).unwrap(), 2);
    peer.set_send_window(usize::MAX);
    assert_eq!(socket.try_write(b"56789").unwrap(), 5);
    assert!(ready(&mut *selector, key).is_writable());
    assert_eq!(peer.received(), b"0123456789");
    assert_eq!(
        peer.sends(),
        [
            Syscall::write(10, Ok(3)),
            Syscall::write(7, Err(ErrorKind::WouldBlock)),
            Syscall::write_vectored(2, 7, Ok(2)),
            Syscall::write(5, Ok(5)),
        ],
    );
}

/// The script is done in order; errors that a kernel would tell of come with their number.
#[test]
fn calls_fail_on_order() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.send("0123456789");
    peer.short_next_read(4);
    peer.fail_next_read(ErrorKind::WouldBlock);
    peer.fail_next_read(Failure::ETIMEDOUT);
    assert_eq!(read(&*socket, 64).unwrap(), b"0123");
    assert_eq!(kind(read(&*socket, 64)), ErrorKind::WouldBlock);
    assert_eq!(kind(read(&*socket, 64)), ErrorKind::TimedOut);
    assert_eq!(read(&*socket, 64).unwrap(), b"456789");

    peer.short_next_write(0);
    peer.short_next_write(2);
    peer.fail_next_write(105);
    assert_eq!(socket.try_write(b"abc").unwrap(), 0);
    assert_eq!(socket.try_write_vectored(&[IoSlice::new(b"abc")]).unwrap(), 2);
    assert_eq!(socket.try_write(b"c").unwrap_err().raw_os_error(), Some(105));
    assert_eq!(socket.try_write(b"c").unwrap(), 1);
    assert_eq!(peer.received(), b"abc");

    let faults: Vec<Fault> = sim.injected().iter().map(|i| i.fault).collect();
    assert_eq!(
        faults,
        [
            Fault::Short(4),
            Fault::Error(Failure::Kind(ErrorKind::WouldBlock)),
            Fault::Error(Failure::ETIMEDOUT),
            Fault::Short(0),
            Fault::Short(2),
            Fault::Error(Failure::Errno(105)),
        ]
    );
}

#[test]
fn a_short_transfer_waits_until_something_can_be_transferred() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.short_next_read(1);
    assert_eq!(kind(read(&*socket, 9)), ErrorKind::WouldBlock);
    peer.send("ab");
    assert_eq!(read(&*socket, 9).unwrap(), b"a");
    assert_eq!(read(&*socket, 9).unwrap(), b"b");
}

/// An honest transport must not hang over a false alarm.
#[test]
fn the_kernel_gives_the_edge_that_it_owes() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*socket, Interest::BOTH);
    peer.send("0123456789");
    assert!(ready(&mut *selector, key).is_readable());
    peer.fail_next_read(ErrorKind::WouldBlock);
    assert_eq!(kind(read(&*socket, 9)), ErrorKind::WouldBlock);
    assert!(!socket.readiness().unwrap().get().is_readable(), "cleared, as by a real one");
    assert!(ready(&mut *selector, key).is_readable(), "and given back by the next select");
    peer.short_next_read(2);
    assert_eq!(read(&*socket, 9).unwrap(), b"01");
    assert!(ready(&mut *selector, key).is_readable());
    peer.fail_next_write(ErrorKind::WouldBlock);
    assert_eq!(kind(socket.try_write(b"x")), ErrorKind::WouldBlock);
    assert!(!socket.readiness().unwrap().get().is_writable());
    assert!(ready(&mut *selector, key).is_writable());
    // An alarm for nothing gives nothing back.
    read(&*socket, 9).unwrap();
    peer.fail_next_read(ErrorKind::WouldBlock);
    assert_eq!(kind(read(&*socket, 9)), ErrorKind::WouldBlock);
    assert!(!ready(&mut *selector, key).is_readable());
}

/// As the contract of `Socket` has it: an interrupted call is repeated, and seen in the log only.
#[test]
fn an_interrupted_call_is_repeated() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.fail_next_write(ErrorKind::Interrupted);
    peer.fail_next_write(ErrorKind::Interrupted);
    assert_eq!(socket.try_write(b"abc").unwrap(), 3);
    assert_eq!(peer.calls().len(), 3);
    assert_eq!(peer.received(), b"abc");
}

#[test]
fn the_peer_sees_how_the_socket_ends() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    socket.try_write(b"last").unwrap();
    socket.shutdown(Shutdown::Write).unwrap();
    assert!(peer.saw_eof() && !peer.saw_reset() && peer.is_open());
    drop(socket);
    assert!(!peer.is_open() && !peer.saw_reset());
    assert_eq!(peer.received(), b"last", "kept when the socket is gone");
    assert_eq!(peer.calls().last(), Some(&Syscall::shutdown(Shutdown::Write)));
    peer.send("too late");
    assert!(peer.saw_reset());

    let (socket, peer) = sim.scripted();
    peer.send("unread");
    drop(socket);
    assert!(peer.saw_reset() && !peer.saw_eof());

    let (socket, peer) = sim.scripted();
    socket.set_option(SocketOption::Linger(Some(std::time::Duration::ZERO))).unwrap();
    drop(socket);
    assert!(peer.saw_reset());
    assert_eq!(sim.open_sockets(), 0, "a peer is no descriptor");
}

#[test]
fn the_connection_fails_as_the_peer_says() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.send("read me first");
    peer.fail(Failure::ETIMEDOUT);
    peer.send("over");
    assert_eq!(read(&*socket, 64).unwrap(), b"read me first");
    assert_eq!(kind(read(&*socket, 64)), ErrorKind::TimedOut);
    assert_eq!(read(&*socket, 64).unwrap(), b"");
}

#[test]
fn calls_are_logged_with_their_sizes() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.send("ab");
    read(&*socket, 9).unwrap();
    assert!(read(&*socket, 5).is_err());
    assert_eq!(
        peer.reads(),
        [Syscall::read(9, Ok(2)), Syscall::read(5, Err(ErrorKind::WouldBlock))]
    );
    assert_eq!(peer.take_calls().len(), 2);
    assert_eq!(peer.calls(), []);
    let counters = peer.counters();
    assert_eq!((counters.reads, counters.would_block, counters.bytes_read), (2, 1, 2));
}

/// For servers: a client that the test plays.
#[test]
fn a_test_takes_over_one_end_of_a_connection() {
    let sim = Sim::new(1);
    let listener = listen(&sim, "127.0.0.1:80");
    let client = connect(&sim, "127.0.0.1:80");
    let (server, _) = listener.try_accept().unwrap();
    server.try_write(b"welcome").unwrap();
    let peer = sim.play(client).unwrap();
    assert_eq!(sim.open_sockets(), 2, "the listener and the server's end");
    assert_eq!(peer.received(), b"welcome");
    peer.send("hello");
    peer.set_send_window(2);
    assert_eq!(read(&*server, 9).unwrap(), b"hello");
    assert_eq!(server.try_write(b"abc").unwrap(), 2);
    assert_eq!(peer.calls(), [Syscall::read(9, Ok(5)), Syscall::write(3, Ok(2))]);
    drop(server);
    assert!(peer.saw_eof());

    let unconnected = connect(&sim, "127.0.0.1:1");
    let back = sim.play(unconnected).unwrap_err();
    assert!(back.take_error().unwrap().is_some(), "given back as it was");
    let (foreign, _other) = connected(&Sim::new(1));
    assert!(sim.play(foreign).is_err());
    let (unix, other) = sim.pair();
    let peer = sim.play(unix).unwrap();
    peer.send("x");
    drop(other);
    assert!(peer.saw_eof() && peer.saw_reset());
}

#[test]
fn faults_by_order_are_recorded_with_their_call() {
    let sim = Sim::new(1);
    let (socket, peer) = sim.scripted();
    peer.fail_next_write(Failure::EPIPE);
    sim.advance(support::ms(5));
    assert!(socket.try_write(b"x").is_err());
    let [injected] = sim.injected()[..] else { panic!() };
    assert_eq!((injected.call, injected.at), (Call::Write, sim.now()));
    assert!(injected.socket.is_some());
}
