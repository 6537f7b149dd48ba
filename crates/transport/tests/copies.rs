//! How often is a byte copied on its way? Told by addresses: where the socket wrote it, where the protocol saw it, and
//! where the socket was given it to send.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use bytes::Bytes;
use common::World;
use millrun_loop::BlockSize;
use millrun_selector::{Address, ReadyCell, Socket, SocketOption, SocketOptionName, Source};
use millrun_sim::SimPeer;
use millrun_transport::{Flow, Protocol, SocketTransport, Transport, TransportOptions, Watermarks};

/// Address and length of the bytes of each call, with what it was.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Vec<Call>>>);

type Call = (&'static str, usize, usize);

impl Seen {
    fn add(&self, what: &'static str, bytes: &[u8]) {
        self.0.borrow_mut().push((what, bytes.as_ptr().addr(), bytes.len()));
    }

    /// The addresses and lengths under one name; they are forgotten.
    fn take(&self, what: &str) -> Vec<(usize, usize)> {
        let mut seen = self.0.borrow_mut();
        let found = seen.iter().filter(|(name, ..)| *name == what).map(|&(_, at, n)| (at, n));
        let found = found.collect();
        seen.retain(|(name, ..)| *name != what);
        found
    }
}

struct Watched(Box<dyn Socket>, Seen);

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watched")
    }
}

impl Source for Watched {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd()
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        self.0.readiness()
    }
}

impl Socket for Watched {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.try_read(buffer)?;
        self.1.add("read", &buffer[..n]);
        Ok(n)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.1.add("write", bytes);
        self.0.try_write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        pieces.iter().for_each(|piece| self.1.add("write", piece));
        self.0.try_write_vectored(pieces)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.0.local_addr()
    }

    fn peer_addr(&self) -> io::Result<Address> {
        self.0.peer_addr()
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.0.set_option(option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.0.option(name)
    }
}

/// Says where it sees its bytes, and passes them on as it is told.
struct Passer<F>(Seen, F);

impl<F: FnMut(&[u8])> Protocol for Passer<F> {
    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.0.add("data", data);
        (self.1)(data);
        Ok(())
    }
}

fn connect(
    world: &mut World,
    pass: impl FnMut(&[u8]) + 'static,
) -> (Rc<SocketTransport>, SimPeer, Seen) {
    let (socket, peer) = world.sim.scripted();
    let seen = Seen::default();
    let socket = Box::new(Watched(socket, seen.clone()));
    let protocol = Box::new(Passer(seen.clone(), pass));
    let options = TransportOptions::default();
    let transport = SocketTransport::new(&world.handle(), socket, protocol, options).unwrap();
    world.settle();
    (transport, peer, seen)
}

/// Where an echo finds its transport.
type Place = Rc<RefCell<Option<Rc<SocketTransport>>>>;

fn echo(world: &mut World, write: impl Fn(&SocketTransport, &[u8]) + 'static) -> (SimPeer, Seen) {
    let place = Place::default();
    let here = place.clone();
    let pass = move |data: &[u8]| write(here.borrow().as_ref().unwrap(), data);
    let (transport, peer, seen) = connect(world, pass);
    *place.borrow_mut() = Some(transport);
    (peer, seen)
}

/// 64 KiB that come in: the slice is the block that was read.
#[test]
fn what_is_received_is_not_copied() {
    let mut world = World::new();
    let (_transport, peer, seen) = connect(&mut world, |_| ());
    peer.send(vec![7; 300_000]);
    world.settle();
    let read = seen.take("read");
    assert!(read.iter().any(|(_, n)| *n == 65_536), "{read:?}");
    assert_eq!(read, seen.take("data"));
}

#[test]
fn owned_bytes_are_not_copied() {
    let mut world = World::new();
    let (transport, peer, seen) = connect(&mut world, |_| ());
    let data = Bytes::from(vec![7; 65_536]);
    assert_eq!(transport.write_bytes(data.clone()), Flow::Open);
    assert_eq!(seen.take("write"), [(data.as_ptr().addr(), 65_536)]);
    // What has to wait is kept as it is.
    peer.set_send_window(1000);
    transport.write_bytes(data.clone());
    assert_eq!(seen.take("write"), [(data.as_ptr().addr(), 65_536)]);
    peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(seen.take("write"), [(data.as_ptr().addr() + 1000, 64_536)]);
}

/// Of each size below and above that of a large write.
#[test]
fn an_echo_copies_nothing() {
    for n in [1, 1024, 4096, 10_000, 16_384, 60_000] {
        let mut world = World::new();
        let (peer, seen) = echo(&mut world, |t, data| {
            t.write(data);
        });
        for _ in 0..3 {
            peer.send(vec![9; n]);
            world.settle();
        }
        let read = seen.take("read");
        assert_eq!(read.iter().map(|(_, n)| n).sum::<usize>(), 3 * n);
        assert_eq!(read, seen.take("write"), "{n} bytes");
        assert_eq!(peer.received(), vec![9; 3 * n]);
    }
}

/// Parts that follow each other leave as one piece; what comes between them makes a copy necessary.
#[test]
fn parts_of_what_was_received() {
    let mut world = World::new();
    let (peer, seen) = echo(&mut world, |t, data| {
        for part in data.chunks(10) {
            t.write(part);
        }
    });
    peer.send([1; 95]);
    world.settle();
    assert_eq!(seen.take("read"), seen.take("write"));

    let (peer, seen) = echo(&mut world, |t, data| {
        t.write(&data[2..4]);
        t.write(b"-");
        t.write(&data[..2]);
        t.write(&data[4..]);
    });
    peer.send(b"abcdef");
    world.settle();
    let [(_, 7)] = seen.take("write")[..] else { panic!("not one piece of 7 bytes") };
    assert_eq!(peer.received(), b"cd-abef");
}

/// A relay, and one writer with many readers: they all send from the block that was read.
#[test]
fn what_one_connection_receives_another_sends() {
    let mut world = World::new();
    let to: Vec<_> = (0..5).map(|_| connect(&mut world, |_| ())).collect();
    let transports: Vec<_> = to.iter().map(|(transport, ..)| transport.clone()).collect();
    let pass = move |data: &[u8]| {
        for t in &transports {
            t.write(data);
        }
    };
    let (_transport, from, seen) = connect(&mut world, pass);
    // One of them can't send: what waits there is a copy, since the block is read into again.
    to[3].1.set_send_window(2);
    from.send(b"first");
    world.settle();
    from.send(b"second");
    world.settle();
    let read = seen.take("read");
    for (i, (_, peer, seen)) in to.iter().enumerate() {
        if i == 3 {
            peer.set_send_window(usize::MAX);
            world.settle();
        } else {
            assert_eq!(seen.take("write"), read);
        }
        assert_eq!(peer.received(), b"firstsecond");
    }
}

/// A write that is taken when the unit is over is of bytes that nobody can have changed since.
#[test]
fn what_was_received_can_be_written_after_the_block_is_read_into_again() {
    let mut world = World::new();
    let kept = Rc::new(RefCell::new(Vec::new()));
    let keep = kept.clone();
    let (peer, seen) = echo(&mut world, move |t, data| {
        keep.borrow_mut().extend_from_slice(data);
        // The kernel takes one byte of it now, and the rest later.
        t.write(data);
        t.flush();
    });
    peer.set_send_window(1);
    for i in 0..50_u8 {
        peer.send(vec![i; 100]);
        world.settle();
    }
    peer.set_send_window(usize::MAX);
    world.settle();
    assert_eq!(peer.received(), *kept.borrow());
    assert!(!seen.take("write").is_empty());
}

/// Else each connection whose peer does not read could hold 64 KiB for one byte.
#[test]
fn what_has_to_wait_holds_no_block_that_was_received_into() {
    for before in [20_000, 5000] {
        let mut world = World::new();
        let written = Rc::new(RefCell::new(false));
        let is_written = written.clone();
        let (peer, _seen) = echo(&mut world, move |t, data| {
            if data.len() == 65_536 && !is_written.replace(true) {
                // Owned bytes wait as they are, so there is no block yet that could be added to.
                assert_eq!(t.write_bytes(Bytes::from(vec![8; before])), Flow::Open);
                t.flush();
                t.write(&data[..1]);
            }
        });
        peer.set_send_window(1000);
        peer.send(vec![9; 300_000]);
        world.settle();
        assert!(*written.borrow(), "no large block was filled");
        let handle = world.handle();
        let counts = handle.blocks().counts(BlockSize::Large);
        assert_eq!(counts.made, counts.kept as u64, "{counts:?}");
        peer.set_send_window(usize::MAX);
        world.settle();
        let received = peer.received();
        assert_eq!((received.len(), received.last()), (before + 1, Some(&9)));
    }
}

/// What follows the first part is only counted, and leaves as soon as it is enough all the same.
#[test]
fn d_12_parts_of_what_was_received_leave_when_they_are_enough() {
    const ENOUGH: usize = 16 * 1024;
    for part in [4096, 10_000] {
        let mut world = World::new();
        let sizes = Rc::new(RefCell::new(Vec::new()));
        let seen_sizes = sizes.clone();
        let (peer, _seen) = echo(&mut world, move |t, data| {
            t.set_write_buffer_limits(Watermarks::from_high(ENOUGH)).unwrap();
            for part in data.chunks(part) {
                assert_eq!(t.write(part), Flow::Open);
                seen_sizes.borrow_mut().push(t.write_buffer_size());
            }
        });
        peer.send(vec![7; 4096 + 40_000]);
        world.settle();
        // The first receive is of a small block.
        let (mut expected, mut gathered) = (vec![4096], 0);
        for part in [7; 40_000].chunks(part) {
            gathered = if gathered + part.len() < ENOUGH { gathered + part.len() } else { 0 };
            expected.push(gathered);
        }
        assert_eq!(sizes.take(), expected);
    }
    // To the byte: one, and then all the others.
    let mut world = World::new();
    let left = Rc::new(RefCell::new(Vec::new()));
    let sees = left.clone();
    let (peer, _seen) = echo(&mut world, move |t, data| {
        t.set_write_buffer_limits(Watermarks::from_high(ENOUGH)).unwrap();
        t.write(&data[..1]);
        t.write(&data[1..]);
        sees.borrow_mut().push((data.len(), t.write_buffer_size()));
    });
    peer.send(vec![7; 4096 + ENOUGH]);
    world.settle();
    assert_eq!(left.take(), [(4096, 4096), (ENOUGH, 0)]);
}

/// A short one would cost more as a piece of its own than its copy does.
#[test]
fn owned_bytes_that_wait_are_copied_if_they_are_short() {
    for (len, copied) in [(100, true), (1023, true), (1024, false), (1025, false)] {
        let mut world = World::new();
        let (transport, peer, seen) = connect(&mut world, |_| ());
        peer.set_send_window(0);
        transport.set_gathering(false);
        let data = Bytes::from(vec![7; len]);
        transport.write_bytes(data.clone());
        seen.take("write");
        peer.set_send_window(usize::MAX);
        world.settle();
        let [(at, sent)] = seen.take("write")[..] else { panic!("not one piece") };
        assert_eq!((sent, at != data.as_ptr().addr()), (len, copied));
    }
}

/// A large write goes out at once, also of what was received.
#[test]
fn d_12_a_large_echo_does_not_wait_for_the_end_of_its_unit() {
    let mut world = World::new();
    let left = Rc::new(RefCell::new(Vec::new()));
    let sees = left.clone();
    let (peer, _seen) = echo(&mut world, move |t, data| {
        t.write(data);
        sees.borrow_mut().push((data.len(), t.write_buffer_size()));
    });
    peer.send(vec![7; 4096 + 16_384]);
    world.settle();
    assert_eq!(left.take(), [(4096, 4096), (16_384, 0)]);
}

/// The second part is right behind the first, and is refused, sent or told to wait all the same.
#[test]
fn what_follows_in_what_was_received_meets_the_marks_and_the_close() {
    type Between = fn(&SocketTransport);
    let limits = |t: &SocketTransport, high| {
        t.set_write_buffer_limits(Watermarks { low: 1, high }).unwrap();
    };
    for (between, flow, unsent) in [
        (Box::new(|_: &SocketTransport| ()) as Box<dyn Fn(&SocketTransport)>, Flow::Open, 20),
        (Box::new(move |t: &SocketTransport| limits(t, 12)), Flow::Open, 0),
        (Box::new(SocketTransport::close as Between), Flow::Closed, 0),
        (Box::new(SocketTransport::write_eof as Between), Flow::Closed, 0),
    ] {
        let mut world = World::new();
        let told = Rc::new(RefCell::new(Vec::new()));
        let tell = told.clone();
        let (peer, _seen) = echo(&mut world, move |t, data| {
            t.write(&data[..10]);
            between(t);
            let flow = t.write(&data[10..]);
            tell.borrow_mut().push((flow, t.write_buffer_size()));
        });
        peer.send(b"0123456789abcdefghij");
        world.settle();
        assert_eq!(told.take(), [(flow, unsent)]);
    }
    // The first part is above the mark already, and waits for the end of the unit.
    let mut world = World::new();
    let told = Rc::new(RefCell::new(Vec::new()));
    let tell = told.clone();
    let (peer, _seen) = echo(&mut world, move |t, data| {
        t.write(&data[..10]);
        limits(t, 5);
        tell.borrow_mut().push(t.write(&data[10..]));
    });
    peer.set_send_window(3);
    peer.send(b"0123456789abcdefghij");
    world.settle();
    assert_eq!(told.take(), [Flow::Paused]);
}
