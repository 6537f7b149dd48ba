//! The fake beside the real: one scenario, two operating systems, one expectation.
//!
//! What may differ between two honest kernels (addresses, buffer sizes, how soon a reset shows) is not
//! asked. Waits are bounded by a real clock; on the simulation they take no time.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![cfg(target_os = "linux")] // the simulation follows Linux where kernels differ

mod support;

use std::io::{ErrorKind, IoSlice};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::time::Duration;

use millrun_selector::{
    Address, Clock, ConnectOptions, Event, Interest, Key, ListenOptions, MioSelector, Monotonic,
    Network, OsNetwork, Readiness, Selector, Socket, SocketOption, Time,
};
use millrun_sim::Sim;
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
use support::{inet, read};

/// The most that a test waits for what must come. Passing tests never wait as long.
const BOUND: Duration = Duration::from_secs(10);

/// One arm: a world with its selector.
struct Arm {
    name: &'static str,
    network: Box<dyn Network>,
    selector: Box<dyn Selector>,
    at: Address,
    _keep: Box<dyn std::any::Any>,
}

fn arms(test: &str) -> Vec<Arm> {
    let mut arms = Vec::new();
    for (name, unix) in [("tcp", false), ("unix", true)] {
        let unique = format!("millrun-sim-{}-{test}-{name}", std::process::id());
        let at = |port: &str| match unix {
            true => Address::UnixAbstract(unique.as_bytes().into()),
            false => inet(port),
        };
        let sim = Sim::new(1);
        arms.push(Arm {
            name,
            network: Box::new(Shared(sim.network())),
            selector: sim.selector(),
            at: at("127.0.0.1:0"),
            _keep: Box::new(sim),
        });
        arms.push(Arm {
            name,
            network: Box::new(OsNetwork),
            selector: Box::new(MioSelector::new().unwrap()),
            at: at("127.0.0.1:0"),
            _keep: Box::new(()),
        });
    }
    arms
}

#[derive(Debug)]
struct Shared(std::rc::Rc<dyn Network>);

impl Network for Shared {
    fn connect(&self, to: &Address, o: &ConnectOptions) -> std::io::Result<Box<dyn Socket>> {
        self.0.connect(to, o)
    }

    fn listen(
        &self,
        at: &Address,
        o: &ListenOptions,
    ) -> std::io::Result<Box<dyn millrun_selector::Listener>> {
        self.0.listen(at, o)
    }
}

/// Selects until `done` holds for what is said of `key`; gives that. A socket with room is always ready, so a select
/// may be over at once: what bounds this is the time, not how often it looks.
fn until(arm: &mut Arm, key: Key, done: impl Fn(Readiness) -> bool) -> Readiness {
    let (clock, mut last) = (Monotonic::new(), Readiness::NONE);
    while clock.now() < Time::ZERO + BOUND {
        let mut events: Vec<Event> = Vec::new();
        arm.selector.select(Some(Duration::from_millis(50)), &mut events).unwrap();
        last = events.iter().find(|e| e.key == key).map(|e| e.readiness).unwrap_or_default();
        if done(last) {
            return last;
        }
        std::thread::yield_now();
    }
    panic!("{}: {key:?} never got there, last {last:?}", arm.name);
}

/// What is said of `key` after the dust has settled.
fn look(arm: &mut Arm, key: Key) -> Readiness {
    let mut events: Vec<Event> = Vec::new();
    arm.selector.select(Some(Duration::ZERO), &mut events).unwrap();
    events.iter().find(|e| e.key == key).map(|e| e.readiness).unwrap_or_default()
}

struct Ends {
    client: Box<dyn Socket>,
    client_key: Key,
    server: Box<dyn Socket>,
    server_key: Key,
}

fn connected(arm: &mut Arm) -> Ends {
    let listener = arm.network.listen(&arm.at, &ListenOptions::default()).unwrap();
    let to = listener.local_addr().unwrap();
    let client = arm.network.connect(&to, &ConnectOptions::default()).unwrap();
    let door = arm.selector.register(&listener, Interest::READ).unwrap();
    let client_key = arm.selector.register(&client, Interest::BOTH).unwrap();
    until(arm, client_key, Readiness::is_writable);
    assert!(client.take_error().unwrap().is_none());
    until(arm, door, Readiness::is_readable);
    let (server, _) = listener.try_accept().unwrap();
    arm.selector.deregister(door, &listener).unwrap();
    let server_key = arm.selector.register(&server, Interest::BOTH).unwrap();
    until(arm, server_key, Readiness::is_writable);
    Ends { client, client_key, server, server_key }
}

/// Runs a scenario on every arm; arms of one kind must write the same lines.
fn compare(test: &str, scenario: impl Fn(&mut Arm, Ends) -> Vec<String>) {
    let mut seen: Vec<(&str, Vec<String>)> = Vec::new();
    for mut arm in arms(test) {
        let ends = connected(&mut arm);
        let lines = scenario(&mut arm, ends);
        match seen.iter().find(|(name, _)| *name == arm.name) {
            Some((_, simulated)) => assert_eq!(*simulated, lines, "sim (left) and {}", arm.name),
            None => seen.push((arm.name, lines)),
        }
    }
}

fn said(socket: &dyn Socket) -> String {
    let read = read(socket, 64).map_err(|e| e.kind());
    format!("read {read:?}")
}

fn wrote(socket: &dyn Socket, bytes: &[u8]) -> String {
    format!("write {:?}", socket.try_write(bytes).map_err(|e| (e.kind(), e.raw_os_error())))
}

#[test]
fn readiness_by_edges() {
    compare("edges", |arm, ends| {
        let key = ends.server_key;
        let mut log = vec![format!("{:?}", look(arm, key))];
        let pieces = [IoSlice::new(b"01234"), IoSlice::new(b"56789")];
        ends.client.try_write_vectored(&pieces).unwrap();
        log.push(format!("{:?}", until(arm, key, Readiness::is_readable)));
        log.push(format!("{:?} again", look(arm, key)));
        let mut four = [0; 4];
        ends.server.try_read(&mut four).unwrap();
        log.push(format!("{:?} after a full read", look(arm, key)));
        log.push(said(&*ends.server));
        log.push(format!("{:?} after a short one", look(arm, key)));
        log.push(said(&*ends.server));
        ends.client.try_write(b"!").unwrap();
        log.push(format!("{:?} once more", until(arm, key, Readiness::is_readable)));
        log
    });
}

#[test]
fn half_close_and_close() {
    compare("half", |arm, ends| {
        let (client, server) = (ends.client_key, ends.server_key);
        ends.client.try_write(b"last").unwrap();
        ends.client.shutdown(Shutdown::Write).unwrap();
        let mut log = vec![format!("{:?}", until(arm, server, Readiness::is_read_closed))];
        log.push(format!("{:?} of who shut it", look(arm, client)));
        log.push(wrote(&*ends.client, b"x"));
        log.push(said(&*ends.server));
        log.push(said(&*ends.server));
        log.push(wrote(&*ends.server, b"answer"));
        until(arm, client, Readiness::is_readable);
        log.push(said(&*ends.client));
        ends.server.shutdown(Shutdown::Write).unwrap();
        log.push(format!("{:?}", until(arm, client, Readiness::is_write_closed)));
        log.push(format!("{:?}", until(arm, server, Readiness::is_write_closed)));
        log.push(said(&*ends.client));
        log
    });
}

#[test]
fn a_peer_that_is_gone() {
    compare("gone", |arm, ends| {
        let client = ends.client_key;
        arm.selector.deregister(ends.server_key, &ends.server).unwrap();
        drop(ends.server);
        let mut log = vec![format!("{:?}", until(arm, client, Readiness::is_read_closed))];
        log.push(said(&*ends.client));
        log.push(wrote(&*ends.client, b"one"));
        log.push(format!("{:?}", until(arm, client, Readiness::is_write_closed)));
        log.push(wrote(&*ends.client, b"two"));
        log.push(wrote(&*ends.client, b"three"));
        log.push(said(&*ends.client));
        log
    });
}

#[test]
fn a_peer_that_left_bytes_unread() {
    compare("unread", |arm, ends| {
        let client = ends.client_key;
        ends.server.try_write(b"for you").unwrap();
        ends.client.try_write(b"never read").unwrap();
        until(arm, ends.server_key, Readiness::is_readable);
        arm.selector.deregister(ends.server_key, &ends.server).unwrap();
        drop(ends.server);
        let mut log = vec![format!("{:?}", until(arm, client, Readiness::is_error))];
        log.push(said(&*ends.client));
        log.push(said(&*ends.client));
        log.push(said(&*ends.client));
        log.push(wrote(&*ends.client, b"x"));
        log.push(format!("{:?}", ends.client.take_error().unwrap().map(|e| e.kind())));
        log
    });
}

#[test]
fn shut_for_reading() {
    compare("shut", |arm, ends| {
        ends.server.try_write(b"before").unwrap();
        until(arm, ends.client_key, Readiness::is_readable);
        ends.client.shutdown(Shutdown::Read).unwrap();
        let mut log = vec![format!("{:?}", until(arm, ends.client_key, Readiness::is_read_closed))];
        log.push(said(&*ends.client));
        log.push(said(&*ends.client));
        log.push(wrote(&*ends.server, b"after"));
        log
    });
}

#[test]
fn a_full_kernel_has_room_again() {
    compare("full", |arm, ends| {
        let key = ends.server_key;
        let block = vec![7; 1 << 20];
        let mut sent = 0;
        let error = loop {
            match ends.server.try_write(&block) {
                Ok(n) => sent += n,
                Err(e) => break e.kind(),
            }
            // On real TCP bytes move on by themselves for a while.
            if !look(arm, key).is_writable() {
                break ErrorKind::WouldBlock;
            }
        };
        let mut got = 0;
        while got < sent {
            until(arm, ends.client_key, Readiness::is_readable);
            let mut buffer = vec![0; 1 << 16];
            got += ends.client.try_read(&mut buffer).unwrap_or(0);
        }
        vec![
            format!("{error:?} then {:?}", until(arm, key, Readiness::is_writable)),
            (sent == got).to_string(),
        ]
    });
}

/// One that was accepted without an address always has it to tell.
#[test]
fn who_has_reset_an_accepted_connection() {
    for is_bare in [true, false] {
        let tcp = arms("reset").into_iter().filter(|arm| arm.name == "tcp");
        let lines: Vec<String> = tcp.map(|mut arm| after_a_reset(&mut arm, is_bare)).collect();
        assert_eq!(lines[0], lines[1], "sim (left) and the real one");
        let expected = if is_bare { "None, Ok(true)" } else { "Some(true), Err(NotConnected)" };
        assert!(lines[0].ends_with(expected), "{}", lines[0]);
    }
}

/// What accept told of the peer, and what its socket says when the peer has reset the connection.
fn after_a_reset(arm: &mut Arm, is_bare: bool) -> String {
    let listener = arm.network.listen(&arm.at, &ListenOptions::default()).unwrap();
    let to = listener.local_addr().unwrap();
    let client = arm.network.connect(&to, &ConnectOptions::default()).unwrap();
    let name = client.local_addr().unwrap();
    let door = arm.selector.register(&listener, Interest::READ).unwrap();
    until(arm, door, Readiness::is_readable);
    let (server, told) = if is_bare {
        listener.try_accept_bare().unwrap()
    } else {
        listener.try_accept().map(|(server, peer)| (server, Some(peer))).unwrap()
    };
    let key = arm.selector.register(&server, Interest::READ).unwrap();
    assert_eq!(server.peer_addr().unwrap(), name);
    client.set_option(SocketOption::Linger(Some(Duration::ZERO))).unwrap();
    drop(client);
    until(arm, key, Readiness::is_readable);
    let read = said(&*server);
    let peer = server.peer_addr().map(|peer| peer == name).map_err(|e| e.kind());
    format!("{read}: {:?}, {peer:?}", told.map(|peer| peer == name))
}

#[test]
fn a_connect_that_is_refused() {
    // Bound, and it never listens: as long as it lives, nobody else gets the port. (Nobody has any in the simulation.)
    let kept = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&kept, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let to = Address::from(SocketAddr::try_from(getsockname(&kept).unwrap()).unwrap());
    let mut lines = Vec::new();
    for mut arm in arms("refused") {
        if arm.name == "unix" {
            let to = Address::from(std::path::Path::new("/nonexistent/socket"));
            let error = arm.network.connect(&to, &ConnectOptions::default()).err().unwrap();
            lines.push((arm.name, format!("{:?} {:?}", error.kind(), error.raw_os_error())));
            continue;
        }
        let client = arm.network.connect(&to, &ConnectOptions::default()).unwrap();
        let key = arm.selector.register(&client, Interest::BOTH).unwrap();
        let readiness = until(&mut arm, key, Readiness::is_writable);
        let error = client.take_error().unwrap().unwrap();
        let after = format!("{} {}", said(&*client), wrote(&*client, b"x"));
        let peer = client.peer_addr().map_err(|e| e.kind());
        let number = error.raw_os_error();
        lines.push((arm.name, format!("{readiness:?} {number:?} {after} {peer:?}")));
    }
    for pair in lines.chunks(2) {
        assert_eq!(pair[0], pair[1], "sim (left) and the real one");
    }
}

/// A host's network beside the real one: an address of another machine, kept for documentation, can't be bound.
#[test]
fn an_address_that_is_not_the_machines() {
    let sim = Sim::new(1);
    let networks: [Box<dyn Network>; 2] =
        [Box::new(Shared(sim.host("host").network())), Box::new(OsNetwork)];
    let lines = networks.map(|network| {
        let listen = network.listen(&inet("192.0.2.7:0"), &ListenOptions::default()).unwrap_err();
        let here = network.listen(&inet("127.0.0.1:0"), &ListenOptions::default()).unwrap();
        let mut options = ConnectOptions::default();
        options.local = Some(inet("192.0.2.7:0"));
        let connect = network.connect(&here.local_addr().unwrap(), &options).unwrap_err();
        // Where the kernel keeps the number: the first as it is, the second inside a `BindError`.
        format!("{:?} {:?} {:?}", listen.kind(), listen.raw_os_error(), connect.kind())
    });
    assert_eq!(lines[0], lines[1], "sim (left) and the real one");
}
