//! A transport made by hand, played by the test; a loop on the simulation; a waker that counts.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use millrun_loop::EventLoop;
use millrun_protocol::inbox::{Line, Need, UpTo};
use millrun_protocol::{ReadEnd, ReadError, StreamReaderProtocol, WriteEnd};
use millrun_sim::Sim;
use millrun_transport::{
    CloseOutcome, Flow, InvalidLimits, Landing, Protocol, Transport, Watermarks,
};

pub fn sim_loop() -> EventLoop {
    let sim = Sim::new(1);
    EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(millrun_loop::Inline::default()))
        .build()
        .unwrap()
}

/// What was called, in order, and what the next write answers.
pub struct Manual {
    pub calls: RefCell<Vec<&'static str>>,
    pub written: RefCell<Vec<u8>>,
    pub answer: Cell<Flow>,
    pub outcome: Cell<Option<CloseOutcome>>,
    pub can_pause: Cell<bool>,
    closing: Cell<bool>,
    paused: Cell<bool>,
    protocol: Cell<Option<Box<dyn Protocol>>>,
}

thread_local! {
    static MADE: Made = const { Made(RefCell::new(Vec::new())) };
}

/// Those that a test made. Protocol and transport hold each other until the connection is lost, and most tests end before
/// that: what is left then must not count as a leak.
struct Made(RefCell<Vec<Weak<Manual>>>);

impl Drop for Made {
    fn drop(&mut self) {
        for manual in self.0.take().iter().filter_map(Weak::upgrade) {
            drop(manual.protocol.take());
        }
    }
}

impl Manual {
    /// A transport whose protocol has not been connected.
    pub fn new(protocol: StreamReaderProtocol) -> Rc<Manual> {
        let manual = Rc::new(Manual {
            calls: RefCell::default(),
            written: RefCell::default(),
            answer: Cell::new(Flow::Open),
            outcome: Cell::new(None),
            can_pause: Cell::new(true),
            closing: Cell::new(false),
            paused: Cell::new(false),
            protocol: Cell::new(Some(Box::new(protocol))),
        });
        MADE.with(|made| made.0.borrow_mut().push(Rc::downgrade(&manual)));
        manual
    }

    pub fn with<R>(&self, f: impl FnOnce(&mut dyn Protocol) -> R) -> R {
        let mut protocol = self.protocol.take().expect("a protocol, not in a call");
        let result = f(&mut *protocol);
        self.protocol.set(Some(protocol));
        result
    }

    pub fn connect(self: &Rc<Self>) {
        let transport: Rc<dyn Transport> = self.clone();
        self.with(|p| p.connection_made(transport));
    }

    /// Bytes come, as many at a time as the protocol has room for; says how many found none.
    pub fn arrive(&self, mut data: &[u8]) -> usize {
        while !data.is_empty() && !self.paused.get() {
            let n = self.with(|p| match p.landing() {
                Landing::Own(memory) if !memory.is_empty() => {
                    let n = memory.len().min(data.len());
                    memory[..n].copy_from_slice(&data[..n]);
                    p.landed(n).unwrap();
                    n
                }
                Landing::Shared(most) if most > 0 => {
                    let n = most.min(data.len());
                    p.data_received(&data[..n]).unwrap();
                    n
                }
                _ => 0,
            });
            if n == 0 {
                self.paused.set(true);
            }
            data = &data[n..];
        }
        data.len()
    }

    /// Bytes come, room or not.
    pub fn feed(&self, data: &[u8]) -> io::Result<()> {
        self.with(|p| p.data_received(data))
    }

    pub fn eof(&self) -> bool {
        self.with(|p| p.eof_received())
    }

    /// The end: the protocol is dropped after it, as a transport must.
    pub fn lose(&self, error: Option<io::Error>) {
        self.closing.set(true);
        self.with(|p| p.connection_lost(error));
        drop(self.protocol.take());
    }

    pub fn calls(&self) -> Vec<&'static str> {
        self.calls.take()
    }

    fn call(&self, name: &'static str) {
        self.calls.borrow_mut().push(name);
    }
}

impl std::fmt::Debug for Manual {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Manual")
    }
}

impl Transport for Manual {
    fn write(&self, data: &[u8]) -> Flow {
        let flow = if self.closing.get() { Flow::Closed } else { self.answer.get() };
        if flow != Flow::Closed {
            self.written.borrow_mut().extend_from_slice(data);
        }
        flow
    }

    fn write_eof(&self) {
        self.call("write_eof");
        self.answer.set(Flow::Closed);
    }

    fn close(&self) {
        self.call("close");
        self.closing.set(true);
    }

    fn abort(&self) {
        self.call("abort");
        self.closing.set(true);
    }

    fn fail(&self, _error: io::Error) {
        self.call("fail");
        self.closing.set(true);
    }

    fn is_closing(&self) -> bool {
        self.closing.get()
    }

    fn close_outcome(&self) -> Option<CloseOutcome> {
        self.outcome.get()
    }

    fn pause_reading(&self) {
        self.call("pause_reading");
        self.paused.set(true);
    }

    fn resume_reading(&self) {
        self.call("resume_reading");
        self.paused.set(false);
    }

    fn is_reading(&self) -> bool {
        !self.paused.get() && !self.closing.get()
    }

    fn can_pause_reading(&self) -> bool {
        self.can_pause.get()
    }

    fn set_protocol(&self, protocol: Box<dyn Protocol>) {
        drop(self.protocol.replace(Some(protocol)));
    }

    fn write_buffer_size(&self) -> usize {
        0
    }

    fn write_buffer_limits(&self) -> Watermarks {
        Watermarks::default()
    }

    fn set_write_buffer_limits(&self, _limits: Watermarks) -> Result<(), InvalidLimits> {
        Ok(())
    }
}

/// A connection over a [`Manual`] transport, and the loop whose blocks it uses.
pub struct Bench {
    pub event_loop: EventLoop,
    pub transport: Rc<Manual>,
    pub read: ReadEnd,
    pub write: WriteEnd,
    pub wakes: Arc<Wakes>,
}

impl Bench {
    pub fn new(limit: usize) -> Bench {
        let event_loop = sim_loop();
        let (protocol, connecting) =
            StreamReaderProtocol::new(&event_loop.handle(), limit).unwrap();
        let transport = Manual::new(protocol);
        transport.connect();
        let (read, write) = connecting.now().unwrap().split();
        Bench { event_loop, transport, read, write, wakes: Arc::default() }
    }

    /// The result of a read, or none if it waits.
    pub fn poll(&mut self, need: &mut impl Need) -> Option<Result<Vec<u8>, ReadError>> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        match self.read.poll_read(need, &mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Some(result.map(|n| self.read.lent(n).to_vec())),
            Poll::Pending => None,
        }
    }

    pub fn read(&mut self, max: usize) -> Vec<u8> {
        self.poll(&mut UpTo(max)).expect("the read waits").unwrap()
    }

    pub fn line(&mut self) -> Option<Result<Vec<u8>, ReadError>> {
        self.poll(&mut Line::default())
    }

    pub fn wakes(&self) -> usize {
        self.wakes.0.load(Ordering::Relaxed)
    }
}

/// Counts wakings.
#[derive(Default)]
pub struct Wakes(pub AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub fn reset() -> io::Error {
    io::Error::from_raw_os_error(104)
}
