//! What the tests of this crate share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use millrun_selector::{
    Clock, Event, Interest, Key, MioSelector, Monotonic, OsNetwork, Readiness, Selector, Socket,
    Source, Time,
};

/// The most that a test waits for what must come. Passing tests never wait as long.
pub const BOUND: Duration = Duration::from_secs(10);

/// What is ready now.
pub fn look(selector: &mut MioSelector) -> Vec<Event> {
    let mut events = Vec::new();
    selector.select(Some(Duration::ZERO), &mut events).unwrap();
    events
}

/// What is ready of one key now.
pub fn look_at(selector: &mut MioSelector, key: Key) -> Readiness {
    let of_key: Vec<_> = look(selector).into_iter().filter(|e| e.key == key).collect();
    assert!(of_key.len() <= 1, "one event a key (SEL-015): {of_key:?}");
    of_key.first().map_or(Readiness::NONE, |e| e.readiness)
}

/// A wait without end that must end by itself: bounded, so that a failing test fails.
pub fn wait(selector: &mut MioSelector) -> Vec<Event> {
    let (clock, mut events) = (Monotonic::new(), Vec::new());
    selector.select(Some(BOUND), &mut events).unwrap();
    assert!(clock.now() < Time::ZERO + BOUND, "nothing ended the wait");
    events
}

/// Waits until a key is reported so.
pub fn wait_for(selector: &mut MioSelector, key: Key, is: impl Fn(Readiness) -> bool) -> Readiness {
    let (clock, mut events) = (Monotonic::new(), Vec::new());
    while clock.now() < Time::ZERO + BOUND {
        events.clear();
        selector.select(Some(BOUND), &mut events).unwrap();
        match events.iter().find(|e| e.key == key) {
            Some(e) if is(e.readiness) => return e.readiness,
            _ => {}
        }
    }
    panic!("{key:?} was not reported so within {BOUND:?}, the last events were {events:?}");
}

/// A selector with one end of a Unix pair in it, and the other end.
pub fn registered_pair(interest: Interest) -> (MioSelector, Box<dyn Socket>, Key, Box<dyn Socket>) {
    let mut selector = MioSelector::new().unwrap();
    let (ours, theirs) = OsNetwork::pair().unwrap();
    let key = selector.register(&ours, interest).unwrap();
    (selector, ours, key, theirs)
}

/// A TCP connection over loopback: our end adopted, the other one std's.
pub fn tcp_pair() -> (Box<dyn Socket>, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    (OsNetwork::adopt(OwnedFd::from(ours)).unwrap(), theirs)
}

/// A second descriptor of the same open file: it keeps the kernel's registration alive.
pub fn duplicate(source: &dyn Source) -> OwnedFd {
    source.fd().unwrap().try_clone_to_owned().unwrap()
}
