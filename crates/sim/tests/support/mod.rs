//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use millrun_selector::{
    Address, ConnectOptions, Event, Interest, Key, ListenOptions, Listener, Readiness, Selector,
    Socket,
};
use millrun_sim::Sim;

pub(crate) const NOW: Option<Duration> = Some(Duration::ZERO);

pub(crate) fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub(crate) fn inet(text: &str) -> Address {
    text.parse::<SocketAddr>().unwrap().into()
}

/// What a select without waiting reports, as (key, readiness).
pub(crate) fn look(selector: &mut dyn Selector) -> Vec<Event> {
    let mut events = Vec::new();
    selector.select(NOW, &mut events).unwrap();
    events
}

/// What a select without waiting says of one key; `NONE` when it says nothing.
pub(crate) fn ready(selector: &mut dyn Selector, key: Key) -> Readiness {
    let events = look(selector);
    events.iter().find(|e| e.key == key).map(|e| e.readiness).unwrap_or_default()
}

pub(crate) fn read(socket: &dyn Socket, most: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; most];
    let n = socket.try_read(&mut buffer)?;
    buffer.truncate(n);
    Ok(buffer)
}

pub(crate) fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
    result.err().expect("an error").kind()
}

pub(crate) fn listen(sim: &Sim, at: &str) -> Box<dyn Listener> {
    sim.network().listen(&inet(at), &ListenOptions::default()).unwrap()
}

pub(crate) fn connect(sim: &Sim, to: &str) -> Box<dyn Socket> {
    sim.network().connect(&inet(to), &ConnectOptions::default()).unwrap()
}

/// A client and a server over TCP, through the network.
pub(crate) fn connected(sim: &Sim) -> (Box<dyn Socket>, Box<dyn Socket>) {
    let listener = listen(sim, "127.0.0.1:0");
    let at = listener.local_addr().unwrap();
    let client = sim.network().connect(&at, &ConnectOptions::default()).unwrap();
    let (server, _) = listener.try_accept().unwrap();
    (client, server)
}

pub(crate) fn watch(selector: &mut dyn Selector, socket: &dyn Socket, interest: Interest) -> Key {
    selector.register(&socket, interest).unwrap()
}
