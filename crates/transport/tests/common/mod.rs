//! A loop on a simulated machine, a protocol that logs what it is told, and the peer of its connection.
#![allow(dead_code, reason = "each test file uses its part")]

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{EventLoop, LoopHandle};
use millrun_selector::Time;
use millrun_sim::{Sim, SimPeer};
use millrun_transport::{Landing, Protocol, SocketTransport, Transport, TransportOptions};

pub(crate) struct World {
    pub(crate) sim: Sim,
    pub(crate) event_loop: EventLoop,
    /// What the exception handler was told.
    pub(crate) reports: Rc<RefCell<Vec<String>>>,
}

impl World {
    pub(crate) fn new() -> World {
        let sim = Sim::new(1);
        let event_loop = EventLoop::builder()
            .selector(sim.selector())
            .clock(sim.clock())
            .network(sim.network())
            .resolver(sim.resolver())
            .build()
            .unwrap();
        let reports = Rc::new(RefCell::new(Vec::new()));
        let told = reports.clone();
        let handler = move |_: &LoopHandle, context: &millrun_loop::ErrorContext| {
            told.borrow_mut().push(context.to_string());
        };
        event_loop.handle().set_exception_handler(Some(Rc::new(handler)));
        World { sim, event_loop, reports }
    }

    pub(crate) fn handle(&self) -> LoopHandle {
        self.event_loop.handle()
    }

    /// Turns the loop until there is nothing to do at this moment.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            if !self.event_loop.turn(Some(Duration::ZERO)).unwrap() {
                return;
            }
        }
        panic!("the loop never comes to rest: {:?}", self.sim);
    }

    /// Lets time pass, and what happens in it.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.sim.now() + time;
        self.settle();
        while let Some(next) = self.next(until) {
            self.sim.advance_to(next);
            self.settle();
        }
        self.sim.advance_to(until);
        self.settle();
    }

    fn next(&self, until: Time) -> Option<Time> {
        let events = [self.event_loop.next_deadline(), self.sim.next_event()];
        events.into_iter().flatten().min().filter(|next| *next < until)
    }

    /// A connection whose protocol logs and does nothing else. Not made yet: the loop has not turned.
    pub(crate) fn make(&mut self) -> Connection {
        self.make_with(|_, _| Ok(true))
    }

    /// A connection whose protocol logs, then calls `hook`.
    pub(crate) fn make_with(
        &mut self,
        hook: impl FnMut(&dyn Transport, &str) -> io::Result<bool> + 'static,
    ) -> Connection {
        self.make_from(TransportOptions::default(), hook)
    }

    pub(crate) fn make_from(
        &mut self,
        options: TransportOptions,
        hook: impl FnMut(&dyn Transport, &str) -> io::Result<bool> + 'static,
    ) -> Connection {
        let (socket, peer) = self.sim.scripted();
        let log = Log::default();
        let protocol = Box::new(Probe::new(&log, hook));
        let transport = SocketTransport::new(&self.handle(), socket, protocol, options).unwrap();
        Connection { transport, peer, log }
    }

    /// As [`make`](World::make), and `connection_made` has run and is no longer in the log.
    pub(crate) fn connect(&mut self) -> Connection {
        self.connect_with(|_, _| Ok(true))
    }

    pub(crate) fn connect_with(
        &mut self,
        hook: impl FnMut(&dyn Transport, &str) -> io::Result<bool> + 'static,
    ) -> Connection {
        let connection = self.make_with(hook);
        self.settle();
        assert_eq!(connection.log.take().first().map(String::as_str), Some("made"));
        connection
    }

    /// One that sends each write at once, as asyncio does.
    pub(crate) fn connect_ungathered(&mut self) -> Connection {
        let connection = self.connect();
        connection.transport.set_gathering(false);
        connection
    }

    pub(crate) fn reports(&self) -> Vec<String> {
        self.reports.take()
    }
}

pub(crate) struct Connection {
    pub(crate) transport: Rc<SocketTransport>,
    pub(crate) peer: SimPeer,
    pub(crate) log: Log,
}

/// What a protocol was told, in words: `made`, `data 616263` is `data abc`, `eof`, `lost`, `lost kind: text`,
/// `pause`, `resume`.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, event: impl Into<String>) {
        self.0.borrow_mut().push(event.into());
    }

    /// What came since the last time.
    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

pub(crate) struct Probe<H> {
    log: Log,
    transport: Option<Rc<dyn Transport>>,
    hook: H,
}

impl<H: FnMut(&dyn Transport, &str) -> io::Result<bool>> Probe<H> {
    pub(crate) fn new(log: &Log, hook: H) -> Probe<H> {
        Probe { log: log.clone(), transport: None, hook }
    }

    /// For a protocol that replaces another: it gets no `connection_made`.
    pub(crate) fn on(log: &Log, transport: Rc<dyn Transport>, hook: H) -> Probe<H> {
        Probe { log: log.clone(), transport: Some(transport), hook }
    }

    fn tell(&mut self, event: &str) -> io::Result<bool> {
        self.log.push(event);
        match &self.transport {
            Some(transport) => (self.hook)(&**transport, event),
            None => Ok(true),
        }
    }
}

impl<H: FnMut(&dyn Transport, &str) -> io::Result<bool>> Protocol for Probe<H> {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
        let _ = self.tell("made");
    }

    fn landing(&mut self) -> Landing<'_> {
        Landing::Shared(usize::MAX)
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        let text = if data.len() > 40 {
            format!("data {} bytes", data.len())
        } else {
            format!("data {}", data.escape_ascii())
        };
        self.tell(&text).map(drop)
    }

    fn eof_received(&mut self) -> bool {
        self.tell("eof").unwrap_or(false)
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        let text = match error {
            None => "lost".to_owned(),
            Some(e) => format!("lost {:?}: {e}", e.kind()),
        };
        let _ = self.tell(&text);
    }

    fn pause_writing(&mut self) {
        let _ = self.tell("pause");
    }

    fn resume_writing(&mut self) {
        let _ = self.tell("resume");
    }
}
