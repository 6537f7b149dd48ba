//! On the operating system: what a simulation can't vouch for.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use common::{Log, Probe};
use millrun_loop::EventLoop;
use millrun_selector::{Clock, Monotonic, OsNetwork, SocketOption, SocketOptionName, Time};
use millrun_transport::{
    Buffered, BufferedProtocol, CloseOutcome, Protocol, SocketTransport, Transport,
    TransportOptions,
};

/// No test waits longer for what must happen.
const BOUND: Duration = Duration::from_secs(20);

fn tcp() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    client.set_read_timeout(Some(BOUND)).unwrap();
    client.set_write_timeout(Some(BOUND)).unwrap();
    (server, client)
}

fn transport(
    event_loop: &EventLoop,
    stream: TcpStream,
    protocol: impl Protocol + 'static,
) -> Rc<SocketTransport> {
    let socket = OsNetwork::adopt(OwnedFd::from(stream)).unwrap();
    let options = TransportOptions::default();
    SocketTransport::new(&event_loop.handle(), socket, Box::new(protocol), options).unwrap()
}

fn turn_until(event_loop: &mut EventLoop, what: &str, mut done: impl FnMut() -> bool) {
    let started = event_loop.handle().now();
    while !done() {
        event_loop.turn(Some(Duration::from_millis(100))).unwrap();
        assert!(event_loop.handle().now().since(started) < BOUND, "still waiting for: {what}");
    }
}

fn quiet(_: &dyn Transport, _: &str) -> io::Result<bool> {
    Ok(true)
}

#[test]
fn t_023_extra_info_of_a_real_socket() {
    // T-024, T-026.
    let mut event_loop = EventLoop::new().unwrap();
    let (server, client) = tcp();
    let ends: [SocketAddr; 2] = [server.local_addr().unwrap(), client.local_addr().unwrap()];
    let log = Log::default();
    let t = transport(&event_loop, server, Probe::new(&log, quiet));
    assert_eq!(t.local_addr().unwrap().as_inet(), Some(ends[0]));
    assert_eq!(t.peer_addr().unwrap().as_inet(), Some(ends[1]));
    t.set_option(SocketOption::NoDelay(true)).unwrap();
    assert_eq!(t.option(SocketOptionName::NoDelay).unwrap(), SocketOption::NoDelay(true));
    assert!(format!("{t:?}").contains(" fd="));
    t.close();
    turn_until(&mut event_loop, "lost", || log.take().contains(&"lost".to_owned()));
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(t.local_addr().unwrap().as_inet(), Some(ends[0]));
    assert_eq!(t.peer_addr().unwrap().as_inet(), Some(ends[1]));
    assert!(t.option(SocketOptionName::NoDelay).is_err());
    assert_eq!(format!("{t:?}"), "<SocketTransport closed>");
}

#[test]
fn t_014_while_paused_bytes_and_eof_stay_in_the_kernel() {
    let mut event_loop = EventLoop::new().unwrap();
    let (server, mut client) = tcp();
    let log = Log::default();
    let t = transport(&event_loop, server, Probe::new(&log, quiet));
    t.pause_reading();
    client.write_all(b"kept").unwrap();
    drop(client);
    for _ in 0..5 {
        event_loop.turn(Some(Duration::from_millis(10))).unwrap();
    }
    assert_eq!(log.take(), ["made"]);
    t.resume_reading();
    let seen = RefCell::new(Vec::new());
    turn_until(&mut event_loop, "eof", || {
        seen.borrow_mut().extend(log.take());
        seen.borrow().last().is_some_and(|event| event == "eof")
    });
    assert_eq!(*seen.borrow(), ["data kept", "eof"]);
}

#[test]
fn t_066_large_transfers_keep_their_order_both_ways() {
    /// Sends back what comes.
    struct Echo(Option<Rc<dyn Transport>>, Log);
    impl Protocol for Echo {
        fn connection_made(&mut self, transport: Rc<dyn Transport>) {
            self.0 = Some(transport);
        }
        fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
            if let Some(transport) = &self.0 {
                transport.write(data);
            }
            Ok(())
        }
        fn connection_lost(&mut self, error: Option<io::Error>) {
            self.1.push(format!("lost {error:?}"));
        }
        fn pause_writing(&mut self) {
            self.1.push("pause");
            self.0.as_ref().unwrap().pause_reading();
        }
        fn resume_writing(&mut self) {
            self.0.as_ref().unwrap().resume_reading();
        }
    }
    const SIZE: usize = 8 << 20;
    let mut event_loop = EventLoop::new().unwrap();
    let (server, client) = tcp();
    let log = Log::default();
    let t = transport(&event_loop, server, Echo(None, log.clone()));
    let mut reading = client.try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        let mut client = client;
        let data: Vec<u8> = (0..SIZE).map(|i| (i * 31 / 7) as u8).collect();
        client.write_all(&data).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        data
    });
    let reader = std::thread::spawn(move || {
        let mut data = Vec::new();
        reading.read_to_end(&mut data).unwrap();
        data
    });
    let seen = RefCell::new(Vec::new());
    turn_until(&mut event_loop, "the echo", || {
        seen.borrow_mut().extend(log.take());
        seen.borrow().last().is_some_and(|event: &String| event.starts_with("lost"))
    });
    assert_eq!(seen.borrow().last().unwrap(), "lost None");
    assert_eq!(t.close_outcome(), Some(CloseOutcome::Flushed));
    drop(event_loop);
    assert!(writer.join().unwrap() == reader.join().unwrap());
}

#[test]
fn p_015_a_buffered_protocol_over_tcp() {
    struct Lender(Vec<u8>, Rc<RefCell<Vec<u8>>>, Log);
    impl BufferedProtocol for Lender {
        fn get_buffer(&mut self, _: Option<usize>) -> io::Result<&mut [u8]> {
            Ok(&mut self.0)
        }
        fn buffer_updated(&mut self, n: usize) -> io::Result<()> {
            self.1.borrow_mut().extend(&self.0[..n]);
            Ok(())
        }
        fn connection_lost(&mut self, _: Option<io::Error>) {
            self.2.push("lost");
        }
    }
    let mut event_loop = EventLoop::new().unwrap();
    let (server, mut client) = tcp();
    let (got, log) = (Rc::default(), Log::default());
    let lender = Lender(vec![0; 1000], Rc::clone(&got), log.clone());
    let _t = transport(&event_loop, server, Buffered(lender));
    let data: Vec<u8> = (0..50_000_u32).map(|i| (i * 31 / 7) as u8).collect();
    client.write_all(&data).unwrap();
    drop(client);
    turn_until(&mut event_loop, "lost", || !log.is_empty());
    assert!(*got.borrow() == data);
}

#[test]
fn a_close_with_unread_input_does_not_destroy_the_last_answer() {
    let mut event_loop = EventLoop::new().unwrap();
    let (server, mut client) = tcp();
    let log = Log::default();
    let _t = transport(
        &event_loop,
        server,
        Probe::new(&log, |transport: &dyn Transport, event: &str| {
            if event.starts_with("data") {
                transport.write(b"too large");
                transport.close();
            }
            Ok(true)
        }),
    );
    // More than is read before the answer.
    client.write_all(&vec![b'x'; 100_000]).unwrap();
    let seen = RefCell::new(Vec::new());
    turn_until(&mut event_loop, "lost", || {
        seen.borrow_mut().extend(log.take());
        seen.borrow().iter().any(|event| event == "lost")
    });
    // A client that sends on before it reads: a reset would have thrown the answer away.
    client.write_all(b"and more").unwrap();
    event_loop.turn(Some(Duration::from_millis(50))).unwrap();
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"too large");
}

#[test]
fn d_21_after_a_write_error_the_last_words_are_delivered() {
    let mut event_loop = EventLoop::new().unwrap();
    let (server, mut client) = tcp();
    let log = Log::default();
    let t = transport(&event_loop, server, Probe::new(&log, quiet));
    t.set_gathering(false);
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    client.write_all(b"go away").unwrap();
    // Closing with bytes unread resets.
    t.write(b"unread");
    client.peek(&mut [0; 6]).unwrap();
    drop(client);
    // The loop has not looked yet: the write is the first to meet the reset.
    write_until_failed(&t);
    let seen = RefCell::new(Vec::new());
    turn_until(&mut event_loop, "lost", || {
        seen.borrow_mut().extend(log.take());
        seen.borrow().last().is_some_and(|event: &String| event.starts_with("lost"))
    });
    let seen = seen.into_inner();
    assert_eq!(seen[..2], ["made", "data go away"]);
    assert!(seen[2].contains("BrokenPipe") || seen[2].contains("ConnectionReset"), "{seen:?}");
}

/// Writes until one fails; the loop is not turned.
fn write_until_failed(t: &SocketTransport) {
    let clock = Monotonic::new();
    while clock.now() < Time::ZERO + BOUND {
        if t.is_closing() {
            return;
        }
        t.write(b"x");
        std::thread::yield_now();
    }
    panic!("a reset was expected, {t:?} goes on");
}

#[test]
fn u_013_a_unix_peer_that_hangs_up() {
    // EOF or a reset, and no spinning afterwards.
    let mut event_loop = EventLoop::new().unwrap();
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = OsNetwork::adopt(OwnedFd::from(ours)).unwrap();
    let log = Log::default();
    let probe = Box::new(Probe::new(&log, quiet));
    let options = TransportOptions::default();
    let t = SocketTransport::new(&event_loop.handle(), socket, probe, options).unwrap();
    drop(theirs);
    turn_until(&mut event_loop, "eof", || log.take().contains(&"eof".to_owned()));
    let events = event_loop.handle().metrics().io_events;
    for _ in 0..5 {
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
    }
    // One may tell that it is not wanted any more.
    assert!(event_loop.handle().metrics().io_events <= events + 1);
    t.close();
    turn_until(&mut event_loop, "lost", || log.take().contains(&"lost".to_owned()));
}
