//! A loop on the simulation, and connections whose peer is the test.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{EventLoop, LoopHandle, sleep};
use millrun_sim::{Sim, SimPeer};
use millrun_streams::{StreamReader, StreamWriter, stream_with_limit};
use millrun_transport::{SocketTransport, TransportOptions};

/// Runs a test on a simulated machine; nothing may be left of it.
pub fn run<F: Future>(test: impl FnOnce(Sim) -> F) -> F::Output {
    let sim = Sim::new(11);
    let output = run_on(&sim, test(sim.clone()));
    assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0), "{sim:?}");
    output
}

pub fn run_on<F: Future>(sim: &Sim, test: F) -> F::Output {
    sim_loop(sim).run_until_complete(test).unwrap()
}

pub fn sim_loop(sim: &Sim) -> EventLoop {
    EventLoop::builder()
        .selector(sim.selector())
        .clock(sim.clock())
        .network(sim.network())
        .resolver(sim.resolver())
        .executor(Rc::new(millrun_loop::Inline::default()))
        .build()
        .unwrap()
}

/// A connection to a peer that the test plays.
pub async fn scripted(sim: &Sim, limit: usize) -> (StreamReader, StreamWriter, SimPeer) {
    let (socket, peer) = sim.scripted();
    let (reader, writer) = over(socket, limit).await.unwrap();
    (reader, writer, peer)
}

/// Both sides of a connection.
pub async fn pair(sim: &Sim, limit: usize) -> [(StreamReader, StreamWriter); 2] {
    let (a, b) = sim.pair();
    [over(a, limit).await.unwrap(), over(b, limit).await.unwrap()]
}

async fn over(
    socket: Box<dyn millrun_selector::Socket>,
    limit: usize,
) -> io::Result<(StreamReader, StreamWriter)> {
    let handle = LoopHandle::current().unwrap();
    stream_with_limit(limit, |protocol| {
        SocketTransport::new(&handle, socket, protocol, TransportOptions::default())
    })
    .await
}

/// Lets everything that is due happen.
pub async fn settle() {
    sleep(Duration::from_millis(1)).await;
}

/// What was reported to the exception handler.
pub fn reports(handle: &LoopHandle) -> Rc<std::cell::RefCell<Vec<String>>> {
    let seen = Rc::new(std::cell::RefCell::new(Vec::new()));
    let into = Rc::clone(&seen);
    handle.set_exception_handler(Some(Rc::new(move |_, context| {
        into.borrow_mut().push(context.to_string());
    })));
    seen
}
