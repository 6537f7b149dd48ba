//! 16 MiB to a peer that reads a byte at a time, in virtual time, and the memory that takes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod faults_support;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use faults_support::{assert_nothing_left, sim_loop};
use millrun_sim::Sim;
use millrun_transport::{
    CloseOutcome, Flow, Protocol, SocketTransport, Transport, TransportOptions,
};

const TOTAL: usize = 16 << 20;
/// Odd, so that no boundary of the kernel's, of a block's or of the marks falls on one of these.
const PIECE: usize = 40_013;

/// So many of them are read byte by byte; a debug build, at a microsecond a read, takes the rest by sevens.
const BY_ONES: usize = if cfg!(debug_assertions) { TOTAL / 4 } else { TOTAL };

fn byte(at: usize) -> u8 {
    (at ^ (at >> 8)) as u8
}

/// Writes as much as it may, and goes on when it is told to.
struct Sender {
    transport: Option<Rc<dyn Transport>>,
    written: usize,
    largest: Rc<Cell<usize>>,
    pauses: Rc<Cell<usize>>,
}

impl Sender {
    fn go_on(&mut self) {
        let transport = self.transport.as_ref().unwrap();
        while self.written < TOTAL {
            let end = TOTAL.min(self.written + PIECE);
            let piece: Vec<u8> = (self.written..end).map(byte).collect();
            let flow = transport.write(&piece);
            self.written = end;
            self.largest.set(self.largest.get().max(transport.write_buffer_size()));
            match flow {
                Flow::Open => {}
                Flow::Paused => return,
                Flow::Closed => panic!("closed after {end} bytes"),
            }
        }
        transport.close();
    }
}

impl Protocol for Sender {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
        self.go_on();
    }

    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn pause_writing(&mut self) {
        self.pauses.set(self.pauses.get() + 1);
    }

    fn resume_writing(&mut self) {
        self.go_on();
    }
}

#[test]
fn sixteen_mebibytes_through_one_byte_reads_of_a_slow_peer() {
    let sim = Sim::new(1);
    let mut event_loop = sim_loop(&sim);
    let handle = event_loop.handle();
    let (ours, theirs) = sim.tcp_pair();
    let (largest, pauses) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let sender = Sender {
        transport: None,
        written: 0,
        largest: Rc::clone(&largest),
        pauses: Rc::clone(&pauses),
    };
    let options = TransportOptions::default();
    let t = SocketTransport::new(&handle, ours, Box::new(sender), options).unwrap();
    let high = t.write_buffer_limits().high;
    let (mut read, mut some, mut eof) = (0, [0; 7], false);
    while !eof {
        // Slow: what it reads in a second, one byte a call, is less than the buffers hold.
        for _ in 0..30_000 {
            let most = if read < BY_ONES { 1 } else { some.len() };
            match theirs.try_read(&mut some[..most]) {
                Ok(0) => {
                    eof = true;
                    break;
                }
                Ok(n) => {
                    for &got in &some[..n] {
                        assert_eq!(got, byte(read), "at {read}");
                        read += 1;
                    }
                }
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                    break;
                }
            }
        }
        sim.advance(Duration::from_secs(1));
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!((read, t.close_outcome()), (TOTAL, Some(CloseOutcome::Flushed)));
    assert!(largest.get() <= high + PIECE, "{} bytes were buffered", largest.get());
    assert!(pauses.get() > 100, "{} pauses: the peer was not slow", pauses.get());
    drop(theirs);
    event_loop.turn(Some(Duration::from_secs(1))).unwrap();
    assert_nothing_left(&sim, &handle);
}
