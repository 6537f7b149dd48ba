//! Listening and connecting by address.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

use millrun_selector::{
    Address, BindError, ConnectOptions, Interest, ListenOptions, SocketOption, SocketOptionName,
};
use millrun_sim::{Call, Delay, Failure, Sim};
use support::{connect, inet, kind, listen, ms, read, ready, watch};

fn backlog(n: u32) -> ListenOptions {
    let mut options = ListenOptions::default();
    options.backlog = n;
    options
}

fn from(local: &str) -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.local = Some(inet(local));
    options
}

#[test]
fn a_connection_through_a_listener() {
    let sim = Sim::new(1);
    let listener = listen(&sim, "10.0.0.1:80");
    let client = connect(&sim, "10.0.0.1:80");
    assert!(client.take_error().unwrap().is_none());
    let (server, from) = listener.try_accept().unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    assert_eq!(server.local_addr().unwrap(), inet("10.0.0.1:80"));
    client.try_write(b"hello").unwrap();
    assert_eq!(read(&*server, 9).unwrap(), b"hello");
}

#[test]
fn a_connect_says_so_by_becoming_writable() {
    let sim = Sim::new(1);
    sim.add_rule(Delay(ms(10)));
    let _listener = listen(&sim, "10.0.0.1:80");
    let client = connect(&sim, "10.0.0.1:80");
    assert_eq!(kind(client.try_write(b"x")), ErrorKind::WouldBlock);
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*client, Interest::BOTH);
    sim.advance(ms(19));
    assert!(ready(&mut *selector, key).is_none());
    sim.advance(ms(1));
    assert!(ready(&mut *selector, key).is_writable());
    assert_eq!(client.peer_addr().unwrap(), inet("10.0.0.1:80"));
}

/// C-011: refused, with the number of the error.
#[test]
fn c_011_nobody_listens() {
    let sim = Sim::new(1);
    let client = connect(&sim, "10.0.0.1:80");
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*client, Interest::WRITE);
    assert!(ready(&mut *selector, key).is_writable());
    let error = client.take_error().unwrap().unwrap();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert_eq!(error.raw_os_error(), Failure::ECONNREFUSED.to_error().raw_os_error());
    assert_eq!(kind(client.peer_addr()), ErrorKind::NotConnected);
}

#[test]
fn a_connect_that_is_given_up_leaves_an_ended_connection() {
    let sim = Sim::new(1);
    sim.add_rule(Delay(ms(10)));
    let listener = listen(&sim, "10.0.0.1:80");
    let early = connect(&sim, "10.0.0.1:80");
    drop(early);
    sim.advance(ms(100));
    assert_eq!(kind(listener.try_accept()), ErrorKind::WouldBlock, "it never got there");
    let late = connect(&sim, "10.0.0.1:80");
    sim.advance(ms(10));
    drop(late);
    let (server, _) = listener.try_accept().unwrap();
    sim.advance(ms(100));
    assert_eq!(kind(read(&*server, 9)), ErrorKind::ConnectionReset);
    drop((server, listener));
    assert_eq!(sim.open_sockets(), 0);
}

#[test]
fn port_zero_gives_a_free_one() {
    let sim = Sim::new(1);
    let (a, b) = (listen(&sim, "127.0.0.1:0"), listen(&sim, "127.0.0.1:0"));
    let (a, b) = (a.local_addr().unwrap().port().unwrap(), b.local_addr().unwrap().port().unwrap());
    assert!(a != b && a >= 49_152 && b >= 49_152);
}

#[test]
fn ports_run_out_and_come_back() {
    let sim = Sim::new(1);
    let network = sim.network();
    let any = || network.listen(&inet("127.0.0.1:0"), &ListenOptions::default());
    let connect = |port| network.connect(&inet("127.0.0.1:1"), &from(&format!("127.0.0.1:{port}")));
    let mut held: Vec<_> = (49_152..=65_535).map(|port| connect(port).unwrap()).collect();
    assert_eq!(kind(any()), ErrorKind::AddrNotAvailable);
    held.pop();
    assert_eq!(any().unwrap().local_addr().unwrap().port(), Some(65_535));
}

#[test]
fn sv_008_an_address_is_listened_at_once() {
    let sim = Sim::new(1);
    let taken = |at: &str| {
        let result = sim.network().listen(&inet(at), &ListenOptions::default());
        result.err().map(|e| e.kind())
    };
    let listener = listen(&sim, "127.0.0.1:80");
    assert_eq!(taken("127.0.0.1:80"), Some(ErrorKind::AddrInUse));
    assert_eq!(taken("0.0.0.0:80"), Some(ErrorKind::AddrInUse), "the wildcard is in its way");
    assert_eq!(taken("127.0.0.2:80"), None);
    assert_eq!(taken("[::]:80"), None, "IPv6 is apart (SV-006)");
    drop(listener);
    assert_eq!(taken("127.0.0.1:80"), None);

    let mut shared = ListenOptions::default();
    shared.reuse_port = true;
    let first = sim.network().listen(&inet("127.0.0.1:81"), &shared).unwrap();
    let second = sim.network().listen(&inet("127.0.0.1:81"), &shared).unwrap();
    assert_eq!(taken("127.0.0.1:81"), Some(ErrorKind::AddrInUse));
    let _clients = [connect(&sim, "127.0.0.1:81"), connect(&sim, "127.0.0.1:81")];
    first.try_accept().unwrap();
    second.try_accept().unwrap();
}

#[test]
fn the_wildcard_serves_every_address_of_its_family() {
    let sim = Sim::new(1);
    let any = listen(&sim, "0.0.0.0:80");
    for to in ["127.0.0.1:80", "192.0.2.7:80", "0.0.0.0:80"] {
        assert!(connect(&sim, to).take_error().unwrap().is_none());
        let (server, _) = any.try_accept().unwrap();
        assert!(!server.local_addr().unwrap().as_inet().unwrap().ip().is_unspecified());
    }
    assert!(connect(&sim, "[::1]:80").take_error().unwrap().is_some());
}

#[test]
fn a_full_backlog_makes_clients_wait() {
    let sim = Sim::new(1);
    let at = inet("127.0.0.1:80");
    let listener = sim.network().listen(&at, &backlog(2)).unwrap();
    let clients: Vec<_> = (0..3).map(|_| connect(&sim, "127.0.0.1:80")).collect();
    let is_connected = |n: usize| clients[n].peer_addr().is_ok();
    assert!(is_connected(0) && is_connected(1) && !is_connected(2));
    let accepted = listener.try_accept().unwrap();
    assert!(!is_connected(2), "it asks again after a second");
    sim.advance(ms(1000));
    assert!(is_connected(2));
    drop(accepted);
}

/// SV-013: the connection stays in the queue, and the listener readable.
#[test]
fn sv_013_no_descriptor_left() {
    let sim = Sim::new(1);
    let listener = listen(&sim, "127.0.0.1:80");
    let mut selector = sim.selector();
    let key = selector.register(&listener, Interest::READ).unwrap();
    let client = connect(&sim, "127.0.0.1:80");
    sim.set_fd_limit(2);
    for _ in 0..2 {
        assert!(ready(&mut *selector, key).is_readable());
        assert_eq!(listener.try_accept().err().unwrap().raw_os_error(), Some(24));
    }
    let more = sim.network().connect(&inet("127.0.0.1:80"), &ConnectOptions::default());
    assert_eq!(more.err().unwrap().raw_os_error(), Some(24));
    let more = sim.network().listen(&inet("127.0.0.1:81"), &ListenOptions::default());
    assert_eq!(more.err().unwrap().raw_os_error(), Some(24));
    sim.set_fd_limit(3);
    let (server, _) = listener.try_accept().unwrap();
    client.try_write(b"x").unwrap();
    assert_eq!(read(&*server, 9).unwrap(), b"x");
}

/// SV-012, SV-014, C-008: a call fails on order, and the next one is honest.
#[test]
fn sv_012_errors_on_order() {
    let sim = Sim::new(1);
    let network = sim.network();
    sim.fail_next(Call::Listen, Failure::EADDRNOTAVAIL);
    let at = inet("127.0.0.1:80");
    let refused = network.listen(&at, &ListenOptions::default());
    assert_eq!(kind(refused), ErrorKind::AddrNotAvailable);
    let listener = listen(&sim, "127.0.0.1:80");
    sim.fail_next(Call::Connect, ErrorKind::HostUnreachable);
    let failed = network.connect(&at, &ConnectOptions::default());
    assert_eq!(kind(failed), ErrorKind::HostUnreachable);
    let _client = connect(&sim, "127.0.0.1:80");
    sim.fail_next(Call::Accept, Failure::ECONNABORTED);
    sim.fail_next(Call::Accept, Failure::ENFILE);
    assert_eq!(kind(listener.try_accept()), ErrorKind::ConnectionAborted);
    assert_eq!(listener.try_accept().err().unwrap().raw_os_error(), Some(23));
    listener.try_accept().unwrap();
    assert_eq!(sim.injected().len(), 4);
}

#[test]
fn a_closed_listener_resets_who_waits_and_refuses_who_comes() {
    let sim = Sim::new(1);
    let listener = listen(&sim, "127.0.0.1:80");
    let client = connect(&sim, "127.0.0.1:80");
    drop(listener);
    assert_eq!(kind(read(&*client, 1)), ErrorKind::ConnectionReset);
    let late = connect(&sim, "127.0.0.1:80");
    assert_eq!(late.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn unix_names_live_as_long_as_their_listener() {
    let sim = Sim::new(1);
    let network = sim.network();
    let path = Address::from(Path::new("/run/x"));
    let name = Address::UnixAbstract(b"x".as_slice().into());
    let go = |to: &Address| network.connect(to, &ConnectOptions::default());
    assert_eq!(kind(go(&path)), ErrorKind::NotFound);
    assert_eq!(kind(go(&name)), ErrorKind::ConnectionRefused);
    for at in [&path, &name] {
        let listener = network.listen(at, &backlog(1)).unwrap();
        assert_eq!(kind(network.listen(at, &backlog(1))), ErrorKind::AddrInUse);
        let client = go(at).unwrap();
        assert_eq!(client.try_write(b"hi").unwrap(), 2, "connected at once");
        assert_eq!(kind(go(at)), ErrorKind::WouldBlock, "the queue is full");
        let (server, from) = listener.try_accept().unwrap();
        assert_eq!((from, server.local_addr().unwrap()), (Address::UnixUnnamed, (*at).clone()));
        assert_eq!(client.peer_addr().unwrap(), *at);
        assert_eq!(read(&*server, 9).unwrap(), b"hi");
        drop((listener, server));
        assert!(go(at).is_err());
    }
    let unnamed = network.listen(&Address::UnixUnnamed, &ListenOptions::default());
    assert_eq!(kind(unnamed), ErrorKind::InvalidInput);
}

/// C-012: a failed bind can be told from a failed connect.
#[test]
fn c_012_local_addresses() {
    let sim = Sim::new(1);
    let listener = listen(&sim, "127.0.0.1:80");
    let network = sim.network();
    let to = inet("127.0.0.1:80");
    let client = network.connect(&to, &from("10.0.0.9:5000")).unwrap();
    assert_eq!(client.local_addr().unwrap(), inet("10.0.0.9:5000"));
    assert_eq!(listener.try_accept().unwrap().1, inet("10.0.0.9:5000"));

    for (local, kind) in
        [("10.0.0.9:5000", ErrorKind::AddrInUse), ("[::1]:0", ErrorKind::InvalidInput)]
    {
        let error: io::Error = network.connect(&to, &from(local)).err().unwrap();
        assert_eq!(error.kind(), kind);
        let inner = error.get_ref().unwrap().downcast_ref::<BindError>().unwrap();
        assert_eq!(inner.address, inet(local));
        assert!(inner.source().is_some());
    }
    drop(client);
    network.connect(&to, &from("10.0.0.9:5000")).unwrap();
}

/// C-016, and SO_KEEPALIVE by the listener's wish (SV-007).
#[test]
fn c_016_tcp_sockets_have_nodelay() {
    let sim = Sim::new(1);
    let mut options = ListenOptions::default();
    options.keep_alive = true;
    let listener = sim.network().listen(&inet("127.0.0.1:80"), &options).unwrap();
    let client = connect(&sim, "127.0.0.1:80");
    let (server, _) = listener.try_accept().unwrap();
    for socket in [&client, &server] {
        assert_eq!(socket.option(SocketOptionName::NoDelay).unwrap(), SocketOption::NoDelay(true));
    }
    let keep_alive = |on| SocketOption::KeepAlive(on);
    assert_eq!(server.option(SocketOptionName::KeepAlive).unwrap(), keep_alive(true));
    assert_eq!(client.option(SocketOptionName::KeepAlive).unwrap(), keep_alive(false));
}

#[test]
fn calls_are_counted() {
    let sim = Sim::new(1);
    let listener = listen(&sim, "127.0.0.1:80");
    let client = connect(&sim, "127.0.0.1:80");
    let (server, _) = listener.try_accept().unwrap();
    assert!(listener.try_accept().is_err());
    client.try_write(b"abc").unwrap();
    read(&*server, 9).unwrap();
    let all = sim.counters();
    assert_eq!((all.listens, all.connects, all.accepts, all.would_block), (1, 1, 2, 1));
    assert_eq!((all.sends(), all.bytes_written, all.reads, all.bytes_read), (1, 3, 1, 3));
    let one = sim.counters_of(&client).unwrap();
    assert_eq!((one.sends(), one.reads), (1, 0));
    assert_eq!(Sim::new(1).counters_of(&client), None, "of another world");
}

/// An accept that is denied by order is as one that is denied by chance: the connection that waits is told of again.
#[test]
fn a_denied_accept_owes_an_edge() {
    let sim = Sim::new(1);
    let (network, mut selector) = (sim.network(), sim.selector());
    let door = network.listen(&inet("10.0.0.1:80"), &ListenOptions::default()).unwrap();
    let key = selector.register(&door, Interest::READ).unwrap();
    let _client = network.connect(&inet("10.0.0.1:80"), &ConnectOptions::default()).unwrap();
    sim.fail_next(Call::Accept, Failure::EAGAIN);
    for expected in [false, true] {
        let mut events = Vec::new();
        selector.select(Some(std::time::Duration::ZERO), &mut events).unwrap();
        assert_eq!(events.len(), 1, "somebody waits");
        assert_eq!(door.try_accept().is_ok(), expected);
    }
    selector.deregister(key, &door).unwrap();
}
