//! What the tests of connecting and serving share: a protocol that writes down what it is told.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "it is a module of each test binary")]

pub mod child;

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{EventLoop, Inline, LoopHandle};
use millrun_selector::{Address, ConnectOptions, Socket};
use millrun_sim::Sim;
use millrun_transport::{Flow, Protocol, Serve, Server, Transport};

/// A list of what happened, in order.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub fn push(&self, what: impl fmt::Display) {
        self.0.borrow_mut().push(what.to_string());
    }

    /// All so far.
    pub fn all(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// All since the last look.
    pub fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub fn count(&self, what: &str) -> usize {
        self.0.borrow().iter().filter(|entry| entry.contains(what)).count()
    }
}

/// A protocol that writes down its callbacks, and keeps its transport where the test finds it.
#[derive(Clone, Default)]
pub struct Recorder {
    pub log: Log,
    pub transport: Rc<RefCell<Option<Rc<dyn Transport>>>>,
    /// Sent from `connection_made`.
    pub greeting: &'static [u8],
    /// Sends back what comes.
    pub echo: bool,
    /// Called from `connection_made`.
    pub on_made: Option<Rc<dyn Fn()>>,
}

impl Recorder {
    pub fn new() -> Recorder {
        Recorder::default()
    }

    pub fn transport(&self) -> Rc<dyn Transport> {
        self.transport.borrow().clone().expect("connection_made has run")
    }
}

impl Protocol for Recorder {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.log.push("made");
        *self.transport.borrow_mut() = Some(transport.clone());
        if !self.greeting.is_empty() {
            assert_eq!(transport.write(self.greeting), Flow::Open);
        }
        if let Some(on_made) = &self.on_made {
            on_made();
        }
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.log.push(format_args!("data {}", data.escape_ascii()));
        if self.echo {
            self.transport().write(data);
        }
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        self.log.push("eof");
        false
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        match error {
            None => self.log.push("lost"),
            Some(error) => self.log.push(format_args!("lost {error}")),
        }
        *self.transport.borrow_mut() = None;
    }
}

pub fn address(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

/// A loop in a simulation.
pub fn sim_loop(sim: &Sim) -> EventLoop {
    EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(Inline::new()))
        .build()
        .unwrap()
}

/// Runs a test in a simulation of its own; afterwards nothing may be left open or registered.
pub fn in_sim<F: Future<Output = ()>>(test: impl FnOnce(Sim, LoopHandle) -> F) {
    let sim = Sim::new(7);
    let mut event_loop = sim_loop(&sim);
    event_loop.run_until_complete(test(sim.clone(), event_loop.handle())).unwrap();
    drop(event_loop);
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0), "{sim:?}");
}

/// Runs a test over real sockets, for at most ten seconds.
#[cfg(feature = "os")]
pub fn on_real_sockets<F: Future<Output = ()>>(test: impl FnOnce(LoopHandle) -> F) {
    let mut event_loop = EventLoop::new().unwrap();
    let bounded = millrun_loop::timeout(Duration::from_secs(10), test(event_loop.handle()));
    event_loop.run_until_complete(async { bounded.await.expect("in time") }).unwrap();
}

/// Lets everything run that runs without waiting.
pub async fn settle() {
    for _ in 0..20 {
        millrun_loop::yield_now().await;
    }
}

/// Waits until a condition holds, turn by turn. Only for what is sure to come (the caller is bounded).
pub async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        millrun_loop::sleep(Duration::from_millis(1)).await;
    }
}

/// Writes down what is reported to the exception handler.
pub fn reports(handle: &LoopHandle) -> Log {
    let log = Log::default();
    let reported = log.clone();
    handle.set_exception_handler(Some(Rc::new(move |_, context| reported.push(context))));
    log
}

/// Where [`serve`] listens.
pub const AT: &str = "10.0.0.1:80";

/// A client of the simulation itself, without a transport.
pub fn connect(sim: &Sim, to: &str) -> Box<dyn Socket> {
    sim.network().connect(&address(to), &ConnectOptions::default()).unwrap()
}

/// A server at [`AT`].
pub async fn serve(handle: &LoopHandle, protocol: &Recorder) -> Server {
    let protocol = protocol.clone();
    Serve::address(address(AT)).serve(handle, move || protocol.clone()).await.unwrap()
}

/// What the peer of a connection reads until nothing more comes.
pub fn read(socket: &dyn Socket) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 100];
    let read = socket.try_read(&mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}
