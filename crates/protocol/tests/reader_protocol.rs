//! The protocol under a reader and a writer, over a transport made by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};

use common::{Bench, Manual, reset, sim_loop};
use millrun_protocol::inbox::{Exact, Line, Peek, Separators, Until, UpTo};
use millrun_protocol::{
    Connected, ProtocolReplaced, ReadError, SharedError, StreamReaderProtocol, WriteError,
};
use millrun_transport::{CloseOutcome, CloseTimedOut, Flow, Protocol, Transport};

fn io_kind<T: std::fmt::Debug>(result: Option<Result<T, ReadError>>) -> ErrorKind {
    match result {
        Some(Err(ReadError::Io(error))) => error.kind(),
        other => panic!("expected the connection's error, got {other:?}"),
    }
}

/// ST-060, ST-044.
#[test]
fn st_060_connection_made_gives_the_transport_once() {
    let event_loop = sim_loop();
    let (protocol, connecting) = StreamReaderProtocol::new(&event_loop.handle(), 10).unwrap();
    let transport = Manual::new(protocol);
    let connecting = connecting.now().unwrap_err();
    transport.connect();
    let (read, write) = connecting.now().unwrap().split();
    let same: Rc<dyn Transport> = transport.clone();
    assert!(Rc::ptr_eq(read.transport(), &same) && Rc::ptr_eq(write.transport(), &same));
}

/// A mistake of the transport, so an assertion: release builds keep the first one.
#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "expected one connection_made, got a second")]
fn st_044_a_second_connection_made_is_a_mistake() {
    let event_loop = sim_loop();
    let (protocol, _connecting) = StreamReaderProtocol::new(&event_loop.handle(), 10).unwrap();
    let transport = Manual::new(protocol);
    transport.connect();
    transport.connect();
}

#[test]
fn st_063_connecting_resolves_with_connection_made() {
    let event_loop = sim_loop();
    let (protocol, connecting) = StreamReaderProtocol::new(&event_loop.handle(), 77).unwrap();
    let transport = Manual::new(protocol);
    let mut connecting = pin!(connecting);
    let mut cx = Context::from_waker(Waker::noop());
    assert!(connecting.as_mut().poll(&mut cx).is_pending());
    transport.connect();
    let Poll::Ready(Ok(connection)) = connecting.poll(&mut cx) else { panic!("still connecting") };
    assert_eq!(connection.split().0.limit(), 77);
}

#[test]
fn a_connection_that_nobody_waits_for_is_closed() {
    let event_loop = sim_loop();
    let (protocol, connecting) = StreamReaderProtocol::new(&event_loop.handle(), 10).unwrap();
    let transport = Manual::new(protocol);
    drop(connecting);
    transport.connect();
    assert_eq!(transport.calls(), ["close"]);
}

#[test]
fn a_protocol_dropped_before_it_is_connected_says_so() {
    let event_loop = sim_loop();
    let (protocol, connecting) = StreamReaderProtocol::new(&event_loop.handle(), 10).unwrap();
    drop(protocol);
    let polled = pin!(connecting).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Err(error)) = polled else { panic!("no error") };
    assert!(error.get_ref().unwrap().is::<ProtocolReplaced>());
}

#[test]
fn sv_025_a_callback_gets_the_connection_inside_connection_made() {
    let event_loop = sim_loop();
    let seen = Rc::new(RefCell::new(None));
    let into = seen.clone();
    let connected = Connected::new(move |connection| *into.borrow_mut() = Some(connection));
    let protocol =
        StreamReaderProtocol::with_callback(&event_loop.handle(), 10, connected).unwrap();
    let transport = Manual::new(protocol);
    assert!(seen.borrow().is_none());
    transport.connect();
    let (mut read, _write) = seen.take().unwrap().split();
    transport.arrive(b"hi");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(read.poll_read(&mut UpTo(9), &mut cx), Poll::Ready(Ok(2))));
    assert_eq!(read.lent(2), b"hi");
}

/// ST-002, ST-003, ST-006, ST-061.
#[test]
fn st_061_what_arrives_feeds_the_reader_and_wakes_it() {
    let mut bench = Bench::new(100);
    assert!(bench.poll(&mut UpTo(10)).is_none());
    bench.transport.feed(b"").unwrap();
    assert_eq!(bench.wakes(), 0);
    bench.transport.arrive(b"abc");
    bench.transport.arrive(b"def");
    assert_eq!(bench.wakes(), 1, "one waking for one wait");
    assert_eq!(bench.read(4), b"abcd");
    assert!(bench.transport.eof(), "plain connections stay open for writing");
    assert_eq!((bench.read(4), bench.read(4)), (b"ef".to_vec(), vec![]));
}

#[test]
fn st_004_bytes_after_the_end_of_file_are_an_error() {
    let bench = Bench::new(100);
    bench.transport.eof();
    let error = bench.transport.feed(b"abc").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert!(error.to_string().contains("3 bytes"));
}

/// ST-008, ST-011, ST-012, ST-019.
#[test]
fn st_012_the_end_of_file_wakes_a_read() {
    let mut bench = Bench::new(100);
    assert!(bench.line().is_none());
    bench.transport.arrive(b"part");
    assert!(bench.line().is_none());
    assert!(!bench.read.at_eof());
    bench.transport.eof();
    assert_eq!(bench.wakes(), 2);
    assert!(!bench.read.at_eof(), "bytes are left");
    assert_eq!(bench.line().unwrap().unwrap(), b"part");
    assert!(bench.read.at_eof());
    assert_eq!(bench.line().unwrap().unwrap(), b"");
}

/// ST-013, ST-015.
#[test]
fn st_013_the_connections_error_comes_at_every_read() {
    let mut bench = Bench::new(100);
    assert!(bench.poll(&mut UpTo(1)).is_none());
    bench.transport.lose(Some(reset()));
    assert_eq!(bench.wakes(), 1);
    assert_eq!(io_kind(bench.poll(&mut UpTo(1))), ErrorKind::ConnectionReset);
    assert_eq!(io_kind(bench.line()), ErrorKind::ConnectionReset);
    assert_eq!(io_kind(bench.poll(&mut Exact(3))), ErrorKind::ConnectionReset);
    let mut until = Until::new(Separators::One(b"x")).unwrap();
    assert_eq!(io_kind(bench.poll(&mut until)), ErrorKind::ConnectionReset);
    assert_eq!(io_kind(bench.poll(&mut Peek)), ErrorKind::ConnectionReset);
    assert_eq!(bench.read.error().unwrap().raw_os_error(), Some(104));
    assert!(!bench.read.at_eof());
}

/// D-04, invariant 7.
#[test]
fn st_013_bytes_come_before_the_error() {
    let mut bench = Bench::new(100);
    bench.transport.arrive(b"line\nrest");
    bench.transport.lose(Some(reset()));
    assert_eq!(bench.line().unwrap().unwrap(), b"line\n");
    // What can't be met any more fails, and takes nothing.
    assert_eq!(io_kind(bench.line()), ErrorKind::ConnectionReset);
    assert_eq!(io_kind(bench.poll(&mut Exact(9))), ErrorKind::ConnectionReset);
    assert_eq!(bench.read(100), b"rest");
    assert_eq!(io_kind(bench.poll(&mut UpTo(1))), ErrorKind::ConnectionReset);
}

/// What the transport put inside the error reaches every reader of it.
#[test]
fn st_072_an_error_that_is_no_errno_keeps_what_is_inside() {
    let mut bench = Bench::new(100);
    bench.transport.lose(Some(io::Error::new(ErrorKind::TimedOut, CloseTimedOut { unsent: 9 })));
    let Some(Err(ReadError::Io(error))) = bench.poll(&mut UpTo(1)) else { panic!("no error") };
    let shared = error.get_ref().unwrap().downcast_ref::<SharedError>().unwrap();
    let inside = shared.get().get_ref().unwrap();
    assert_eq!(inside.downcast_ref::<CloseTimedOut>(), Some(&CloseTimedOut { unsent: 9 }));
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("9 bytes unsent"));
    assert!(std::error::Error::source(shared).unwrap().is::<CloseTimedOut>());
}

#[test]
fn st_014_an_error_after_a_read_was_given_up_wakes_nobody() {
    let mut bench = Bench::new(100);
    assert!(bench.poll(&mut UpTo(1)).is_none());
    bench.read.forget();
    bench.transport.lose(Some(reset()));
    assert_eq!(bench.wakes(), 0);
}

/// ST-026, ST-027, ST-038.
#[test]
fn st_026_an_incomplete_read_owns_what_there_was() {
    let mut bench = Bench::new(100);
    bench.transport.arrive(b"a;bcd");
    bench.transport.eof();
    let mut until = Until::new(Separators::One(b";")).unwrap();
    assert_eq!(bench.poll(&mut until).unwrap().unwrap(), b"a;", "complete although at the end");
    let mut until = Until::new(Separators::One(b";")).unwrap();
    let Some(Err(ReadError::Incomplete(error))) = bench.poll(&mut until) else { panic!() };
    assert_eq!((error.partial.as_slice(), error.expected), (&b"bcd"[..], None));
    assert!(bench.read.at_eof());

    let mut bench = Bench::new(100);
    bench.transport.arrive(b"abc");
    bench.transport.eof();
    let Some(Err(ReadError::Incomplete(error))) = bench.poll(&mut Exact(5)) else { panic!() };
    assert_eq!((error.partial.as_slice(), error.expected), (&b"abc"[..], Some(5)));
    assert!(error.to_string().contains("expected 5 bytes, got 3"));
    assert!(bench.read.at_eof());
}

/// ST-040 as D-01 has it: no receive goes beyond the room, and a full inbox pauses once.
#[test]
fn st_040_a_full_inbox_pauses_once() {
    let bench = Bench::new(10);
    assert_eq!(bench.transport.arrive(&[b'x'; 50]), 30);
    assert_eq!(bench.read.buffered(), 20);
    assert_eq!(bench.transport.calls(), ["pause_reading"]);
    // A transport that brings more all the same: it is kept, and the transport not told twice.
    bench.transport.feed(b"more").unwrap();
    assert_eq!(bench.read.buffered(), 24);
    assert_eq!(bench.transport.calls(), [] as [&str; 0]);
}

#[test]
fn st_041_a_read_that_leaves_the_limit_resumes() {
    let mut bench = Bench::new(10);
    bench.transport.arrive(&[b'x'; 50]);
    bench.read(9);
    assert_eq!(bench.transport.calls(), ["pause_reading"], "11 are left");
    bench.read(1);
    assert_eq!(bench.transport.calls(), ["resume_reading"], "10 are left");
    bench.read(1);
    assert_eq!(bench.transport.calls(), [] as [&str; 0]);
}

/// ST-042, E-007.
#[test]
fn st_042_a_read_that_must_wait_resumes_first() {
    let mut bench = Bench::new(1);
    assert_eq!(bench.transport.arrive(b"abc"), 1);
    assert_eq!(bench.transport.calls(), ["pause_reading"]);
    assert!(bench.poll(&mut Exact(5)).is_none());
    assert_eq!(bench.transport.calls(), ["resume_reading"]);
    assert_eq!(bench.transport.arrive(b"cdef"), 1, "room for what the read needs");
    assert_eq!(bench.transport.calls(), ["pause_reading"]);
    assert_eq!(bench.poll(&mut Exact(5)).unwrap().unwrap(), b"abcde");
}

#[test]
fn st_043_a_transport_that_cannot_pause_is_never_asked_to() {
    let mut bench = Bench::new(10);
    bench.transport.can_pause.set(false);
    assert_eq!(bench.transport.arrive(&[b'x'; 5000]), 0);
    assert_eq!(bench.read.buffered(), 5000);
    bench.read(5000);
    assert_eq!(bench.transport.calls(), [] as [&str; 0]);
}

#[test]
fn st_045_a_line_over_the_limit_resumes_by_the_same_rule() {
    let mut bench = Bench::new(4);
    bench.transport.arrive(b"123456\nx");
    let Some(Err(ReadError::LimitOverrun(over))) = bench.line() else { panic!() };
    assert_eq!(bench.transport.calls(), ["pause_reading"], "all is kept, so nothing resumes");
    assert_eq!(bench.poll(&mut Exact(over.consumed)).unwrap().unwrap(), b"123456");
    assert_eq!(bench.line().unwrap().unwrap(), b"\n");
    assert_eq!(bench.transport.calls(), ["resume_reading"]);
}

/// ST-046, invariant 8: given up at any point, nothing is lost.
#[test]
fn st_046_a_read_that_is_given_up_takes_nothing() {
    let mut bench = Bench::new(100);
    for piece in [&b"fi"[..], b"rst\nsec", b"ond\n"] {
        assert!(bench.poll(&mut Exact(100)).is_none());
        bench.transport.arrive(piece);
        bench.read.forget();
    }
    assert_eq!(bench.line().unwrap().unwrap(), b"first\n");
    assert_eq!(bench.line().unwrap().unwrap(), b"second\n");
}

#[test]
fn st_048_debug_says_what_is_buffered() {
    let bench = Bench::new(123);
    bench.transport.arrive(b"secret");
    let text = format!("{:?}", bench.read);
    for part in
        ["bytes: 6", "limit: 123", "eof: false", "paused: false", "waiting: false", "Manual"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("secret"));
}

#[test]
fn an_idle_connection_owns_no_memory() {
    let mut bench = Bench::new(1000);
    bench.transport.arrive(b"abc");
    assert!(bench.read.memory() > 0);
    bench.read(10);
    assert!(bench.poll(&mut UpTo(10)).is_none());
    assert_eq!(bench.read.memory(), 0);
    // A landing that brings nothing gives its block back.
    bench.transport.with(|p| {
        drop(p.landing());
        p.landed(0).unwrap();
    });
    assert_eq!(bench.read.memory(), 0);
}

/// A transport that asks where to land and then hands bytes over, or asks again: nothing is lost.
#[test]
fn a_landing_without_an_answer_is_harmless() {
    let mut bench = Bench::new(1000);
    bench.transport.arrive(b"abc");
    bench.transport.with(|p| {
        drop(p.landing());
        drop(p.landing());
        p.data_received(b"def").unwrap();
        drop(p.landing());
    });
    bench.transport.eof();
    bench.transport.lose(None);
    assert_eq!(bench.read(100), b"abcdef");
    assert!(bench.read.at_eof());
}

/// ST-062, ST-076: an end without an error is the end of file.
#[test]
fn st_062_connection_lost_without_an_error_is_the_end_of_file() {
    let mut bench = Bench::new(100);
    bench.transport.arrive(b"ab");
    bench.write.close();
    bench.transport.lose(None);
    assert_eq!((bench.read(9), bench.read(9)), (b"ab".to_vec(), vec![]));
    assert!(bench.read.at_eof() && bench.read.error().is_none());
}

#[test]
fn an_error_behind_the_end_of_file_is_not_the_readers() {
    let mut bench = Bench::new(100);
    bench.transport.eof();
    bench.transport.lose(Some(reset()));
    assert_eq!(bench.read(9), b"");
    assert!(bench.read.at_eof());
}

#[test]
fn set_protocol_ends_what_waits_on_the_old_one() {
    struct Other;
    impl Protocol for Other {
        fn data_received(&mut self, _data: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }
    let mut bench = Bench::new(100);
    bench.transport.arrive(b"early");
    assert!(bench.poll(&mut Exact(9)).is_none());
    let (mut place, mut cx) = (None, Context::from_waker(Waker::noop()));
    assert!(bench.write.poll_closed(&mut place, &mut cx).is_pending());
    bench.transport.set_protocol(Box::new(Other));
    assert_eq!(bench.wakes(), 1);
    assert_eq!(bench.read(9), b"early");
    assert_eq!(io_kind(bench.poll(&mut UpTo(9))), ErrorKind::NotConnected);
    assert!(matches!(bench.write.poll_closed(&mut place, &mut cx), Poll::Ready(Err(_))));
}

#[test]
fn d_03_a_write_that_is_refused_says_why() {
    let bench = Bench::new(100);
    bench.write.write(b"ab").unwrap();
    bench.write.writelines(&[b"c", b"d"]).unwrap();
    bench.write.write_bytes(bytes::Bytes::from_static(b"e")).unwrap();
    assert_eq!(*bench.transport.written.borrow(), b"abcde");
    bench.write.write_eof();
    assert!(matches!(bench.write.write(b"x"), Err(WriteError::Eof)));
    bench.write.close();
    assert!(matches!(bench.write.write(b"x"), Err(WriteError::Closed)));
    bench.transport.lose(None);
    assert!(matches!(bench.write.write(b"x"), Err(WriteError::Closed)));

    let bench = Bench::new(100);
    bench.transport.fail(reset());
    let Err(WriteError::Lost(error)) = bench.write.write(b"x") else { panic!() };
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::ConnectionReset, "connection lost")
    );
    bench.transport.lose(Some(io::Error::from_raw_os_error(32)));
    let error: io::Error = bench.write.write(b"x").unwrap_err().into();
    assert_eq!(error.raw_os_error(), Some(32));
}

/// The drop rules, in both orders.
#[test]
fn dropping_the_ends() {
    let Bench { transport, read, write, event_loop, .. } = Bench::new(2);
    assert_eq!(transport.arrive(b"abcdef"), 2);
    assert_eq!(transport.calls(), ["pause_reading"]);
    drop(read);
    assert_eq!(transport.calls(), ["resume_reading"], "to hear of the end");
    assert_eq!(transport.arrive(&[b'x'; 100_000]), 0, "discarded");
    write.write(b"still").unwrap();
    drop(write);
    assert_eq!(transport.calls(), ["close"]);
    drop(event_loop);

    let Bench { transport, read, write, event_loop, .. } = Bench::new(2);
    drop(write);
    assert_eq!(transport.calls(), ["write_eof"]);
    transport.arrive(b"a");
    assert_eq!(read.buffered(), 1);
    drop(read);
    assert_eq!(transport.calls(), ["close"]);
    transport.outcome.set(Some(CloseOutcome::Flushed));
    transport.lose(None);
    assert_eq!(Rc::strong_count(&transport), 1, "nothing keeps the transport");
    drop(event_loop);
}

/// The transport is another protocol's: it may pause it, and closes it when it likes.
#[test]
fn the_ends_of_a_replaced_protocol_leave_its_transport_alone() {
    for writer_first in [true, false] {
        let Bench { event_loop, transport, mut read, write, .. } = Bench::new(2);
        assert_eq!(transport.arrive(b"abcdef"), 2);
        assert_eq!(transport.calls(), ["pause_reading"]);
        let (other, _connecting) = StreamReaderProtocol::new(&event_loop.handle(), 2).unwrap();
        transport.set_protocol(Box::new(other));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(read.poll_read(&mut UpTo(3), &mut cx).is_ready());
        assert_eq!(read.lent(3), b"abc", "what came before");
        if writer_first {
            drop(write);
            drop(read);
        } else {
            drop(read);
            drop(write);
        }
        assert_eq!(transport.calls(), [""; 0], "{writer_first}");
    }
}

#[test]
fn a_write_that_pauses_is_known_before_the_protocol_is_told() {
    let bench = Bench::new(2);
    bench.transport.answer.set(Flow::Paused);
    bench.write.write(b"much").unwrap();
    let (mut wait, mut cx) = (Default::default(), Context::from_waker(Waker::noop()));
    assert!(bench.write.poll_drain(&mut wait, &mut cx).is_pending());
    bench.transport.with(|p| p.pause_writing());
    assert!(bench.write.poll_drain(&mut wait, &mut cx).is_pending());
    bench.transport.with(|p| p.resume_writing());
    assert!(matches!(bench.write.poll_drain(&mut wait, &mut cx), Poll::Ready(Ok(()))));
}

thread_local! {
    /// The connection of the test below: a waker can't hold it.
    static READS: RefCell<Option<Bench>> = const { RefCell::new(None) };
}

/// An executor that polls from inside the waking, each time with another waker.
struct PollsAtOnce;

impl Wake for PollsAtOnce {
    fn wake(self: Arc<Self>) {
        READS.with_borrow_mut(|bench| assert!(bench.as_mut().unwrap().line().is_none()));
    }
}

#[test]
fn a_read_that_is_polled_by_its_waking_waits_with_its_new_waker() {
    let mut bench = Bench::new(100);
    let at_once = Waker::from(Arc::new(PollsAtOnce));
    let polled = bench.read.poll_read(&mut Line::default(), &mut Context::from_waker(&at_once));
    assert!(polled.is_pending());
    let (transport, wakes) = (bench.transport.clone(), bench.wakes.clone());
    READS.set(Some(bench));
    transport.arrive(b"a li");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    transport.arrive(b"ne\n");
    assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
    let line = READS.take().unwrap().line();
    assert_eq!(line.unwrap().unwrap(), b"a line\n");
}
