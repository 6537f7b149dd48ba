//! Machines with addresses of their own, what parts them, and what a crash leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::ErrorKind;
use std::net::Shutdown;
use std::time::Duration;

use millrun_selector::{
    Address, BindError, ConnectOptions, Family, Interest, ListenOptions, Listener, Query,
    Readiness, Socket,
};
use millrun_sim::{
    Bandwidth, Between, Call, Delay, Failure, Faults, Leaving, Sim, SimHost, Toward, What,
};
use support::{inet, kind, ms, read, ready, watch};

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn listen_on(host: &SimHost, at: &str) -> Box<dyn Listener> {
    host.network().listen(&inet(at), &ListenOptions::default()).unwrap()
}

fn connect_from(host: &SimHost, to: &str) -> Box<dyn Socket> {
    host.network().connect(&inet(to), &ConnectOptions::default()).unwrap()
}

fn from(local: &str) -> ConnectOptions {
    let mut options = ConnectOptions::default();
    options.local = Some(inet(local));
    options
}

struct Two {
    sim: Sim,
    server: SimHost,
    client: SimHost,
    /// The server's end of a connection.
    far: Box<dyn Socket>,
    /// The client's.
    near: Box<dyn Socket>,
    door: Box<dyn Listener>,
}

/// A server (10.0.0.1:80), a client, and a connection between them.
fn two() -> Two {
    let sim = Sim::new(1);
    let (server, client) = (sim.host("server"), sim.host("client"));
    let door = listen_on(&server, "0.0.0.0:80");
    let near = connect_from(&client, "10.0.0.1:80");
    let (far, _) = door.try_accept().unwrap();
    Two { sim, server, client, far, near, door }
}

#[test]
fn each_host_has_addresses_and_a_name_of_its_own() {
    let sim = Sim::new(1);
    let (a, b) = (sim.host("a"), sim.host("b"));
    assert_eq!(a.addresses().map(|ip| ip.to_string()), ["10.0.0.1", "fd00::1"]);
    assert_eq!(b.addresses().map(|ip| ip.to_string()), ["10.0.0.2", "fd00::2"]);
    assert_eq!(sim.host("a").ipv4(), a.ipv4(), "named again it is the same one");
    let query = Query {
        host: Some("b".to_owned()),
        service: "80".to_owned(),
        family: Family::Any,
        passive: false,
    };
    let found = a.resolver().resolve(&query).unwrap();
    assert_eq!(
        found.iter().map(|a| a.to_string()).collect::<Vec<_>>(),
        ["10.0.0.2:80", "[fd00::2]:80"]
    );
}

#[test]
fn a_connection_carries_the_hosts_addresses() {
    let sim = Sim::new(1);
    let (server, client) = (sim.host("server"), sim.host("client"));
    for (at, to, local) in
        [("0.0.0.0:80", "10.0.0.1:80", "10.0.0.2:"), ("[fd00::1]:81", "[fd00::1]:81", "[fd00::2]:")]
    {
        let listener = listen_on(&server, at);
        let near = connect_from(&client, to);
        let (far, peer) = listener.try_accept().unwrap();
        assert!(near.local_addr().unwrap().to_string().starts_with(local));
        assert_eq!((peer, far.local_addr().unwrap()), (near.local_addr().unwrap(), inet(to)));
        assert_eq!((server.open_sockets(), client.open_sockets()), (2, 1));
    }
}

#[test]
fn what_is_not_the_hosts_can_not_be_bound() {
    let sim = Sim::new(1);
    let (a, b) = (sim.host("a"), sim.host("b"));
    let listen = |at| a.network().listen(&inet(at), &ListenOptions::default());
    for at in ["10.0.0.2:80", "192.0.2.7:80", "[fd00::2]:80"] {
        let error = listen(at).unwrap_err();
        assert_eq!(error.raw_os_error(), Failure::EADDRNOTAVAIL.to_error().raw_os_error(), "{at}");
    }
    let mut held = Vec::new();
    for at in ["10.0.0.1:80", "127.0.0.1:80", "[fd00::1]:80", "[::1]:80", "127.0.0.9:80"] {
        held.push(listen(at).unwrap_or_else(|error| panic!("{at}: {error}")));
    }
    let _door = listen_on(&b, "0.0.0.0:80");
    let connect = |local| a.network().connect(&inet("10.0.0.2:80"), &from(local)).unwrap_err();
    let error = connect("10.0.0.2:0");
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    assert!(error.get_ref().unwrap().is::<BindError>());
    assert_eq!(connect("127.0.0.1:0").kind(), ErrorKind::InvalidInput, "loopback leads nowhere");
}

#[test]
fn ports_paths_and_localhost_stay_inside() {
    let sim = Sim::new(1);
    let (a, b) = (sim.host("a"), sim.host("b"));
    let at_a = listen_on(&a, "127.0.0.1:80");
    let _at_b = listen_on(&b, "127.0.0.1:80");
    let inside = connect_from(&a, "127.0.0.1:80");
    assert!(inside.take_error().unwrap().is_none() && at_a.try_accept().is_ok());
    let outside = connect_from(&b, "10.0.0.1:80");
    assert_eq!(outside.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);

    let path = Address::from(std::path::Path::new("/run/x"));
    let _door = a.network().listen(&path, &ListenOptions::default()).unwrap();
    assert!(a.network().connect(&path, &ConnectOptions::default()).is_ok());
    assert_eq!(kind(b.network().connect(&path, &ConnectOptions::default())), ErrorKind::NotFound);
}

#[test]
fn the_machine_without_a_name_is_the_rest_of_the_world() {
    let sim = Sim::new(1);
    let host = sim.host("host");
    let world = support::listen(&sim, "203.0.113.5:80");
    let out = connect_from(&host, "203.0.113.5:80");
    assert_eq!(world.try_accept().unwrap().1, out.local_addr().unwrap());
    let door = listen_on(&host, "10.0.0.1:80");
    let visitor = support::connect(&sim, "10.0.0.1:80");
    let (_, peer) = door.try_accept().unwrap();
    assert_eq!(peer, visitor.local_addr().unwrap());
    assert!(peer.to_string().starts_with("192.0.2.1:"), "{peer}");
    let nobody = connect_from(&host, "203.0.113.6:80");
    assert_eq!(nobody.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn limits_orders_and_faults_are_a_hosts_own() {
    let sim = Sim::new(1);
    let (a, b) = (sim.host("a"), sim.host("b"));
    a.set_fd_limit(1);
    let _first = listen_on(&a, "0.0.0.0:80");
    let again = a.network().listen(&inet("0.0.0.0:81"), &ListenOptions::default());
    assert_eq!(again.unwrap_err().raw_os_error(), Some(24));
    let _many = [listen_on(&b, "0.0.0.0:80"), listen_on(&b, "0.0.0.0:81")];

    b.fail_next(Call::Connect, ErrorKind::OutOfMemory);
    let c = sim.host("c");
    let _fine = connect_from(&c, "10.0.0.1:80");
    assert_eq!(
        kind(b.network().connect(&inet("10.0.0.1:80"), &ConnectOptions::default())),
        ErrorKind::OutOfMemory
    );

    let w = two();
    w.server.faults(Faults { short_reads: 0.99, ..Faults::NONE });
    let whole = |from: &dyn Socket, to: &dyn Socket| {
        (0..50).all(|_| {
            from.try_write(&[1; 64]).unwrap();
            let got = read(to, 64).unwrap().len();
            let rest = if got < 64 { read(to, 64).unwrap_or_default().len() } else { 0 };
            (got, rest) == (64, 0)
        })
    };
    assert!(whole(&*w.far, &*w.near) && !whole(&*w.near, &*w.far));
}

#[test]
fn a_partition_holds_what_is_sent_until_it_is_healed() {
    let w = two();
    w.sim.add_rule(Delay(ms(10)));
    w.near.try_write(b"in flight,").unwrap();
    w.sim.advance(ms(5));
    w.sim.partition(&w.server, &w.client);
    w.near.try_write(b" held,").unwrap();
    w.near.shutdown(Shutdown::Write).unwrap();
    w.sim.advance(secs(60));
    assert_eq!(kind(read(&*w.far, 99)), ErrorKind::WouldBlock);
    w.sim.heal(&w.server, &w.client);
    w.sim.advance(ms(9));
    assert_eq!(
        kind(read(&*w.far, 99)),
        ErrorKind::WouldBlock,
        "it is sent again, over the same way"
    );
    w.sim.advance(ms(1));
    assert_eq!(read(&*w.far, 99).unwrap(), b"in flight, held,");
    assert_eq!(read(&*w.far, 99).unwrap(), b"");
    assert_eq!(w.sim.next_event(), None, "nothing is left of it");
}

#[test]
fn connecting_through_a_partition_times_out_after_its_retries() {
    for one_way in [false, true] {
        let w = two();
        if one_way {
            w.sim.partition_one_way(&w.server, &w.client); // the question comes, the answer does not
        } else {
            w.sim.partition(&w.server, &w.client);
        }
        let socket = connect_from(&w.client, "10.0.0.1:80");
        let mut selector = w.client.selector();
        let key = watch(&mut *selector, &*socket, Interest::WRITE);
        w.sim.advance(ms(126_999));
        assert!(ready(&mut *selector, key).is_none(), "one way: {one_way}");
        w.sim.advance(ms(1));
        assert!(ready(&mut *selector, key).is_writable());
        let error = socket.take_error().unwrap().unwrap();
        assert_eq!(error.raw_os_error(), Failure::ETIMEDOUT.to_error().raw_os_error());
    }
}

#[test]
fn a_request_to_connect_is_repeated_and_gets_through_after_the_heal() {
    let w = two();
    w.sim.partition(&w.server, &w.client);
    let socket = connect_from(&w.client, "10.0.0.1:80");
    w.sim.advance(ms(5000)); // tried at 0, 1 and 3 s
    w.sim.heal(&w.server, &w.client);
    w.sim.advance(ms(1999));
    assert_eq!(kind(w.door.try_accept()), ErrorKind::WouldBlock);
    w.sim.advance(ms(1)); // and at 7 s
    assert!(w.door.try_accept().is_ok() && socket.take_error().unwrap().is_none());
}

#[test]
fn who_has_bytes_on_the_way_gives_up_after_the_user_timeout() {
    let w = two();
    w.sim.set_user_timeout(secs(30));
    w.sim.partition(&w.server, &w.client);
    w.sim.advance(secs(3600)); // nothing is on the way: nobody notices
    w.near.try_write(b"hello?").unwrap();
    w.sim.advance(ms(29_999));
    assert_eq!(kind(read(&*w.near, 9)), ErrorKind::WouldBlock);
    w.sim.advance(ms(1));
    assert_eq!(kind(read(&*w.near, 9)), ErrorKind::TimedOut);
    assert_eq!(kind(read(&*w.far, 9)), ErrorKind::WouldBlock, "the other side hears nothing");
    w.sim.heal(&w.server, &w.client);
    w.sim.advance(secs(1));
    assert_eq!(
        kind(read(&*w.far, 9)),
        ErrorKind::WouldBlock,
        "what was given up is not sent again"
    );
    w.far.try_write(b"still there?").unwrap();
    assert_eq!(kind(read(&*w.far, 9)), ErrorKind::ConnectionReset);
}

#[test]
fn a_heal_in_time_ends_the_user_timeout() {
    let w = two();
    w.sim.set_user_timeout(secs(30));
    w.sim.partition(&w.server, &w.client);
    w.near.try_write(b"late").unwrap();
    w.sim.advance(secs(29));
    w.sim.heal(&w.server, &w.client);
    w.sim.advance(secs(100));
    assert_eq!(read(&*w.far, 9).unwrap(), b"late");
    assert_eq!(kind(read(&*w.near, 9)), ErrorKind::WouldBlock);
}

#[test]
fn no_room_is_made_while_the_answer_can_not_get_through() {
    let w = two();
    w.sim.set_user_timeout(secs(30));
    w.far.set_option(millrun_selector::SocketOption::ReceiveBuffer(4)).unwrap();
    w.near.set_option(millrun_selector::SocketOption::SendBuffer(10)).unwrap();
    assert_eq!(w.near.try_write(&[1; 99]).unwrap(), 10);
    assert_eq!(w.near.try_write(&[1; 99]).unwrap(), 4, "as many as have arrived");
    w.sim.partition_one_way(&w.server, &w.client);
    assert_eq!(read(&*w.far, 99).unwrap().len(), 4);
    assert_eq!(kind(w.near.try_write(&[1; 99])), ErrorKind::WouldBlock);
    w.sim.heal(&w.server, &w.client);
    assert_eq!(w.near.try_write(&[1; 99]).unwrap(), 4);
    // And who never hears of them gives up.
    w.sim.partition_one_way(&w.server, &w.client);
    assert_eq!(read(&*w.far, 99).unwrap().len(), 4);
    w.sim.advance(secs(30));
    assert_eq!(w.near.take_error().unwrap().unwrap().kind(), ErrorKind::TimedOut);
}

#[test]
fn a_host_that_crashes_takes_its_connections_with_it_and_says_nothing() {
    let Two { sim, server, client, far, near, door } = two();
    let mut selector = client.selector();
    let key = watch(&mut *selector, &*near, Interest::READ);
    server.crash();
    assert!(!server.is_up());
    assert_eq!((server.open_sockets(), client.open_sockets()), (0, 1));
    sim.advance(secs(3600));
    assert!(ready(&mut *selector, key).is_none(), "no FIN, no RST");
    assert_eq!(kind(read(&*far, 9)), ErrorKind::InvalidInput, "a dead object");
    drop((far, door));

    near.try_write(b"are you there?").unwrap();
    sim.advance(secs(60));
    assert!(ready(&mut *selector, key).is_none());
    server.restart();
    assert!(ready(&mut *selector, key).contains(Readiness::ERROR));
    assert_eq!(
        kind(read(&*near, 9)),
        ErrorKind::ConnectionReset,
        "the new life knows nothing of it"
    );
    let nobody = connect_from(&client, "10.0.0.1:80").take_error().unwrap().unwrap();
    assert_eq!(nobody.kind(), ErrorKind::ConnectionRefused);
    let again = listen_on(&server, "0.0.0.0:80");
    let _socket = connect_from(&client, "10.0.0.1:80");
    assert!(again.try_accept().is_ok());
}

#[test]
fn a_restarted_host_has_all_its_ports() {
    let w = two();
    let connect = || w.client.network().connect(&inet("10.0.0.1:80"), &from("10.0.0.2:5000"));
    let _first = connect().unwrap();
    assert_eq!(kind(connect()), ErrorKind::AddrInUse);
    w.client.crash();
    w.client.restart();
    assert!(connect().is_ok());
}

#[test]
fn who_sends_to_a_host_that_stays_away_times_out() {
    let w = two();
    w.server.crash();
    w.near.try_write(b"are you there?").unwrap();
    w.sim.advance(ms(924_599));
    assert_eq!(kind(read(&*w.near, 9)), ErrorKind::WouldBlock);
    w.sim.advance(ms(1));
    assert_eq!(kind(read(&*w.near, 9)), ErrorKind::TimedOut);
}

#[test]
fn a_fin_to_a_connection_that_was_lost_is_answered_with_a_reset() {
    let w = two();
    w.server.crash();
    w.server.restart();
    w.near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(read(&*w.near, 9)), ErrorKind::ConnectionReset);
}

/// Of the kind that gave up behind a partition, too: else who half-closes waits for ever.
#[test]
fn a_fin_to_who_gave_up_is_answered_with_a_reset() {
    let w = two();
    w.sim.set_user_timeout(secs(30));
    w.sim.partition(&w.server, &w.client);
    w.near.try_write(b"hello?").unwrap();
    w.sim.advance(secs(31));
    assert_eq!(kind(read(&*w.near, 9)), ErrorKind::TimedOut);
    w.sim.heal(&w.server, &w.client);
    w.sim.advance(secs(1));
    w.far.shutdown(Shutdown::Write).unwrap();
    assert_eq!(kind(read(&*w.far, 9)), ErrorKind::ConnectionReset);
}

/// A host that comes back does not finish the sentences of its former life.
#[test]
fn what_is_on_its_way_from_a_host_that_crashes_is_lost_with_it() {
    let w = two();
    w.sim.add_rule(Delay(ms(500)));
    w.near.try_write(b"last words").unwrap();
    w.sim.advance(ms(100));
    w.client.crash();
    w.sim.advance(secs(60));
    w.client.restart();
    w.sim.advance(secs(60));
    assert_eq!(kind(read(&*w.far, 99)), ErrorKind::WouldBlock);
}

#[test]
fn a_link_with_bandwidth_takes_its_time_for_each_byte_and_each_direction() {
    let w = two();
    w.sim.add_rule(Between::new("client", "server", Bandwidth::new(100_000)));
    assert_eq!(w.near.try_write(&[1; 50_000]).unwrap(), 50_000);
    assert_eq!(w.far.try_write(&[2; 1000]).unwrap(), 1000);
    w.sim.advance(ms(10));
    assert_eq!(read(&*w.near, 9999).unwrap().len(), 1000, "the other direction is free");
    let mut arrived = 0;
    for tenths in 1..=5 {
        w.sim.advance_to(millrun_selector::Time::from_nanos(tenths * 100_000_000));
        arrived += read(&*w.far, 1 << 16).unwrap().len();
        let due = 10_000 * tenths as usize;
        assert!((due - 1460..=due).contains(&arrived), "{arrived} of {due}");
    }
    assert_eq!(arrived, 50_000);
}

#[test]
fn two_connections_share_one_link() {
    let w = two();
    let near2 = connect_from(&w.client, "10.0.0.1:80");
    let (far2, _) = w.door.try_accept().unwrap();
    w.sim.add_rule(Leaving::new("client", Bandwidth::new(1000)));
    w.near.try_write(&[1; 1000]).unwrap();
    near2.try_write(&[2; 1000]).unwrap();
    w.sim.advance(secs(1));
    assert_eq!(
        (read(&*w.far, 9999).unwrap().len(), kind(read(&*far2, 9))),
        (1000, ErrorKind::WouldBlock)
    );
    w.sim.advance(secs(1));
    assert_eq!(read(&*far2, 9999).unwrap().len(), 1000);
}

#[test]
fn a_slow_peer_fills_its_senders_buffer() {
    let w = two();
    w.sim.add_rule(Toward::new("server", Bandwidth::new(1000)));
    assert_eq!(w.near.try_write(&[1; 1 << 20]).unwrap(), 65_536);
    w.sim.advance(secs(10));
    assert_eq!(kind(read(&*w.near, 1)), ErrorKind::WouldBlock);
    let got = read(&*w.far, 1 << 20).unwrap().len();
    assert!((8540..=10_000).contains(&got), "{got}");
    assert_eq!(w.near.try_write(&[1; 1 << 20]).unwrap(), got, "as much room as has arrived");
}

#[test]
fn a_hosts_packets_to_itself_meet_no_rule() {
    let sim = Sim::new(1);
    let host = sim.host("host");
    sim.add_rule(Delay(secs(1)));
    let door = listen_on(&host, "0.0.0.0:80");
    for to in ["127.0.0.1:80", "10.0.0.1:80"] {
        let near = connect_from(&host, to);
        near.try_write(b"x").unwrap();
        assert_eq!(read(&*door.try_accept().unwrap().0, 9).unwrap(), b"x");
    }
}

#[test]
fn what_happens_is_written_down_by_host() {
    let sim = Sim::new(1);
    sim.set_trace(100);
    let (server, client) = (sim.host("server"), sim.host("client"));
    let door = listen_on(&server, "0.0.0.0:80");
    let near = connect_from(&client, "10.0.0.1:80");
    let (far, _) = door.try_accept().unwrap();
    sim.partition(&server, &client);
    near.try_write(b"hello").unwrap();
    sim.advance(ms(1500));
    sim.heal(&server, &client);
    read(&*far, 9).unwrap();
    drop(near);
    drop(far);
    drop(door);
    let lines: Vec<String> = sim.take_trace().iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "0.000000000s server: listens at 0.0.0.0:80",
            "0.000000000s client: socket 2 connects from 10.0.0.2:49152 to 10.0.0.1:80",
            "0.000000000s client: socket 2 is connected",
            "0.000000000s server: socket 3 is accepted from 10.0.0.2:49152",
            "0.000000000s server: is parted from client",
            "0.000000000s client: is parted from server",
            "0.000000000s client: socket 2 sends 5 bytes",
            "1.500000000s server: reaches client again",
            "1.500000000s client: reaches server again",
            "1.500000000s server: socket 3 receives 5 bytes",
            "1.500000000s client: socket 2 sends FIN",
            "1.500000000s client: socket 2 is closed",
            "1.500000000s server: socket 3 gets FIN",
            "1.500000000s server: socket 3 sends FIN",
            "1.500000000s server: socket 3 is closed",
        ]
    );
    assert!(sim.take_trace().is_empty(), "taken once");
    sim.set_trace(2);
    server.crash();
    server.restart();
    client.crash();
    let last: Vec<What> = sim.take_trace().into_iter().map(|line| line.what).collect();
    assert_eq!(last, [What::Restarted, What::Crashed], "the last ones");
}
