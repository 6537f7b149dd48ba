//! Connecting, over a simulated network: arguments, names, attempts, errors, cancelling.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod connect_support;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use connect_support::{Log, Recorder, address, in_sim, reports, sim_loop, until};
use millrun_loop::{JoinHandle, LoopHandle, sleep, timeout};
use millrun_selector::{Family, ListenOptions, Listener};
use millrun_sim::{Call, Delay, Failure, Sim};
use millrun_transport::{
    Connect, ConnectError, InvalidArgument, Stage, Watermarks, create_connection,
};

fn listen(sim: &Sim, at: &str) -> Box<dyn Listener> {
    sim.network().listen(&address(at), &ListenOptions::default()).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

async fn fails(handle: &LoopHandle, connect: Connect<millrun_transport::ByName>) -> ConnectError {
    connect
        .connect(handle, || -> Recorder { panic!("no connection, no protocol") })
        .await
        .unwrap_err()
}

/// E-002 too: resolve, socket, connect, transport, connection_made, reading, then the caller.
#[test]
fn c_001_connection_made_comes_first_then_reading_then_the_caller() {
    in_sim(|sim, handle| async move {
        let listener = listen(&sim, "10.0.0.1:80");
        sim.add_host("example", [ip("10.0.0.1")]);
        let protocol = Recorder::new();
        let (factory, asked) = (protocol.clone(), sim.clone());
        let connected = create_connection(&handle, "example", 80, move || {
            factory.log.push(format_args!("factory after {} connects", asked.counters().connects));
            factory
        });
        let transport = connected.await.unwrap();
        protocol.log.push("caller");
        assert_eq!(protocol.log.take(), ["factory after 1 connects", "made", "caller"]);
        assert!(transport.is_reading());
        assert_eq!(sim.queries().len(), 1);
        // Reading has really begun: bytes arrive without anybody's help.
        listener.try_accept().unwrap().0.try_write(b"hello").unwrap();
        until(|| protocol.log.count("data hello") == 1).await;
        transport.close();
    });
}

#[test]
fn c_002_neither_host_nor_port_is_refused_before_any_io() {
    in_sim(|sim, handle| async move {
        let error = fails(&handle, Connect::to(None::<&str>, None::<u16>)).await;
        assert!(matches!(error, ConnectError::Invalid(InvalidArgument::NoHostNoPort)), "{error:?}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = fails(&handle, Connect::to("localhost", "70000")).await;
        assert_eq!(
            error.to_string(),
            "expected a port from 0 to 65535 or a service name, got 70000"
        );
        let error = fails(&handle, Connect::to("localhost", 1).local_addr("x", "70000")).await;
        assert!(matches!(error, ConnectError::Invalid(InvalidArgument::Port(_))), "{error:?}");
        let marks = Watermarks { low: 2, high: 1 };
        let error = fails(&handle, Connect::to("localhost", 1).watermarks(marks)).await;
        assert!(matches!(error, ConnectError::Invalid(InvalidArgument::Watermarks(_))));
        let none = Connect::addresses([]).connect(&handle, Recorder::new).await.unwrap_err();
        assert!(matches!(none, ConnectError::Invalid(InvalidArgument::NoAddress)), "{none:?}");
        assert_eq!((sim.queries().len(), sim.counters().connects), (0, 0));
    });
}

#[test]
fn c_005_a_literal_address_asks_no_resolver_and_one_with_a_zone_does() {
    in_sim(|sim, handle| async move {
        let _listeners = (listen(&sim, "127.0.0.1:80"), listen(&sim, "[fe80::1]:80"));
        for port in ["80", "00080"] {
            let to = Connect::to("127.0.0.1", port).connect(&handle, Recorder::new);
            to.await.unwrap().abort();
        }
        assert_eq!(sim.queries().len(), 0);
        let _ =
            Connect::to("fe80::1%lo", 80).connect(&handle, Recorder::new).await.map(|t| t.abort());
        assert_eq!(sim.queries()[0].host.as_deref(), Some("fe80::1%lo"));
    });
}

#[test]
fn c_006_no_port_is_0_and_a_service_name_is_resolved() {
    in_sim(|sim, handle| async move {
        let _listener = listen(&sim, "127.0.0.1:80");
        let to = Connect::to("127.0.0.1", "http").connect(&handle, Recorder::new).await.unwrap();
        assert_eq!(to.peer_addr(), Some(address("127.0.0.1:80")));
        to.abort();
        assert_eq!(sim.queries()[0].service, "http");
        for none in [Connect::to("127.0.0.1", ""), Connect::to("127.0.0.1", None::<&str>)] {
            let error = fails(&handle, none).await;
            assert_eq!(error.attempts()[0].remote, address("127.0.0.1:0"));
        }
        assert_eq!(sim.queries().len(), 1);
        let error = fails(&handle, Connect::to("127.0.0.1", "no-such-service")).await;
        assert!(error.to_string().starts_with("resolving 127.0.0.1:no-such-service: "), "{error}");
    });
}

#[test]
fn c_007_an_empty_answer_of_the_resolver_is_an_error() {
    in_sim(|sim, handle| async move {
        sim.add_host("nowhere", []);
        sim.add_host("example", [ip("10.0.0.1")]);
        let error = fails(&handle, Connect::to("nowhere", 1)).await;
        assert_eq!(error.to_string(), "resolving nowhere:1 gave an empty list of addresses");
        let local = Connect::to("example", 1).local_addr("nowhere", 0);
        assert!(matches!(fails(&handle, local).await, ConnectError::NoAddresses { .. }));
        sim.fail_host("broken", Failure::EMFILE);
        let error = fails(&handle, Connect::to("broken", 1)).await;
        assert!(matches!(&error, ConnectError::Resolve { name, .. } if name == "broken:1"));
        assert_eq!(error.raw_os_error(), Some(24));
        assert_eq!(sim.counters().connects, 0);
    });
}

/// Row 4: the family goes to the resolver, for both ends.
#[test]
fn the_family_is_the_resolvers_for_both_ends() {
    in_sim(|sim, handle| async move {
        let error = fails(
            &handle,
            Connect::to("localhost", 9).local_addr("localhost", 0).family(Family::V6),
        );
        let error = error.await;
        assert_eq!(error.attempts().len(), 1);
        assert_eq!(error.attempts()[0].remote, address("[::1]:9"));
        assert_eq!(error.attempts()[0].local, Some(address("[::1]:0")));
        assert!(sim.queries().iter().all(|query| query.family == Family::V6 && !query.passive));
    });
}

#[test]
fn c_008_addresses_are_tried_in_order_and_failed_sockets_are_closed() {
    in_sim(|sim, handle| async move {
        let _listener = listen(&sim, "10.0.0.3:80");
        sim.add_host("many", [ip("10.0.0.1"), ip("10.0.0.2"), ip("10.0.0.3"), ip("10.0.0.4")]);
        let made = Rc::new(Cell::new(0));
        let count = made.clone();
        let connect = Connect::to("many", 80).connect(&handle, move || {
            count.set(count.get() + 1);
            Recorder::new()
        });
        let transport = connect.await.unwrap();
        assert_eq!(transport.peer_addr(), Some(address("10.0.0.3:80")));
        assert_eq!((sim.counters().connects, made.get()), (3, 1));
        // The listener and the transport; of registrations the transport's alone.
        assert_eq!((sim.open_sockets(), sim.registrations()), (2, 1));
        transport.abort();
    });
}

#[test]
fn c_009_failures_are_all_kept_and_their_text_is_asyncios() {
    in_sim(|sim, handle| async move {
        sim.add_host("two", [ip("10.0.0.1"), ip("10.0.0.2")]);
        sim.add_host("twice", [ip("10.0.0.1"), ip("10.0.0.1")]);
        let refused = Failure::ECONNREFUSED.to_error();
        let one = format!("connect call failed (10.0.0.1:9): {refused}");
        let error = fails(&handle, Connect::to("10.0.0.1", 9)).await;
        assert_eq!(error.to_string(), one);
        let error = fails(&handle, Connect::to("twice", 9)).await;
        assert_eq!((error.to_string(), error.attempts().len()), (one.clone(), 2));
        let error = fails(&handle, Connect::to("two", 9)).await;
        let two = format!("{one}, connect call failed (10.0.0.2:9): {refused}");
        assert_eq!(error.to_string(), format!("Multiple exceptions: {two}"));
        let io_error = io::Error::from(error);
        assert_eq!(io_error.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
    });
}

#[test]
fn c_010_all_errors_lists_even_a_single_one() {
    in_sim(|_, handle| async move {
        let error = fails(&handle, Connect::to("10.0.0.1", 9).all_errors(true)).await;
        let text = error.to_string();
        assert!(text.starts_with("connecting failed, all errors (1): connect call"), "{text}");
    });
}

#[test]
fn c_011_what_is_known_at_once_is_an_attempt_too() {
    in_sim(|sim, handle| async move {
        sim.fail_next(Call::Connect, Failure::EMFILE);
        let error = fails(&handle, Connect::to("10.0.0.1", 9)).await;
        assert_eq!((error.raw_os_error(), error.attempts().len()), (Some(24), 1));
        assert!(error.to_string().starts_with("connect call failed (10.0.0.1:9): "), "{error}");
        sim.fail_next(Call::Register, Failure::EMFILE);
        let error = fails(&handle, Connect::to("10.0.0.1", 9)).await;
        assert_eq!(error.raw_os_error(), Some(24));
    });
}

#[test]
fn c_012_the_first_local_address_that_can_be_bound_is_used() {
    in_sim(|sim, handle| async move {
        let _listeners = (listen(&sim, "10.0.0.1:80"), listen(&sim, "10.0.0.9:5000"));
        sim.add_host("here", [ip("::1"), ip("10.0.0.9"), ip("10.0.0.9")]);
        // A port that is taken: each IPv4 address fails, and the IPv6 one is passed over.
        let error = fails(&handle, Connect::to("10.0.0.1", 80).local_addr("here", 5000)).await;
        let in_use = Failure::EADDRINUSE.to_error();
        let text = format!("error while attempting to bind on address 10.0.0.9:5000: {in_use}");
        assert_eq!(error.to_string(), text);
        assert!(error.attempts().iter().all(|attempt| attempt.stage == Stage::Bind));
        assert_eq!(error.attempts().len(), 2);
        assert_eq!(error.raw_os_error(), in_use.raw_os_error());
        // A free one.
        let connect = Connect::to("10.0.0.1", 80).local_addr("here", 5001);
        let transport = connect.connect(&handle, Recorder::new).await.unwrap();
        assert_eq!(transport.local_addr(), Some(address("10.0.0.9:5001")));
        transport.abort();
        // By address, without a name.
        let connect =
            Connect::address(address("10.0.0.1:80")).local_address(address("10.0.0.9:5002"));
        let transport = connect.connect(&handle, Recorder::new).await.unwrap();
        assert_eq!(transport.local_addr(), Some(address("10.0.0.9:5002")));
        transport.abort();
    });
}

#[test]
fn c_013_no_local_address_of_the_family() {
    in_sim(|sim, handle| async move {
        let error = fails(&handle, Connect::to("10.0.0.1", 80).local_addr("::1", 0)).await;
        assert_eq!(
            error.to_string(),
            "no matching local address of the family of 10.0.0.1:80 found"
        );
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
        assert_eq!(sim.counters().connects, 0);
    });
}

#[test]
fn c_014_a_dropped_connect_leaves_no_socket_and_no_registration() {
    in_sim(|sim, handle| async move {
        let listener = listen(&sim, "10.0.0.1:80");
        sim.add_rule(Delay(Duration::from_secs(1)));
        let connect = Connect::to("10.0.0.1", 80).connect(&handle, Recorder::new);
        let waited = timeout(Duration::from_millis(1500), connect).await;
        assert!(waited.is_err(), "the answer is under way for two seconds");
        assert_eq!((sim.open_sockets(), sim.registrations()), (1, 0));
        // The answer comes to nobody.
        sleep(Duration::from_secs(5)).await;
        drop(listener);
    });
}

#[test]
fn c_014_a_future_that_was_never_polled_has_done_nothing() {
    in_sim(|sim, handle| async move {
        drop(Connect::to("localhost", 80).connect(&handle, Recorder::new));
        assert_eq!((sim.queries().len(), sim.counters().connects), (0, 0));
    });
}

#[test]
fn c_015_a_connect_dropped_before_its_caller_goes_on_closes_the_transport() {
    in_sim(|sim, handle| async move {
        let _listener = listen(&sim, "10.0.0.1:80");
        let task: Rc<RefCell<Option<JoinHandle<_>>>> = Rc::default();
        let cancel = task.clone();
        let on_made = Rc::new(move || cancel.take().expect("it runs").abort());
        let protocol = Recorder { on_made: Some(on_made), ..Recorder::new() };
        let log = protocol.log.clone();
        let connect = Connect::to("10.0.0.1", 80).connect(&handle, || protocol);
        *task.borrow_mut() = Some(handle.spawn(connect));
        until(|| log.count("lost") == 1).await;
        assert_eq!(log.all(), ["made", "lost"]);
        assert_eq!((sim.open_sockets(), sim.registrations()), (1, 0));
    });
}

#[test]
fn a_factory_that_panics_leaves_no_socket() {
    in_sim(|sim, handle| async move {
        let listener = listen(&sim, "10.0.0.1:80");
        let connect = Connect::to("10.0.0.1", 80);
        let connect = connect.connect(&handle, || -> Recorder { panic!("no protocol today") });
        assert!(handle.spawn(connect).await.is_err());
        assert_eq!((sim.open_sockets(), sim.registrations()), (1, 0));
        drop(listener);
    });
}

#[test]
fn a_connected_socket_becomes_a_transport_with_the_options() {
    in_sim(|sim, handle| async move {
        let (ours, theirs) = sim.pair();
        let protocol = Recorder::new();
        let log = protocol.log.clone();
        let marks = Watermarks { low: 1, high: 2 };
        let connect = Connect::socket(ours).watermarks(marks);
        let transport = connect.connect(&handle, || protocol).await.unwrap();
        assert_eq!(transport.write_buffer_limits(), marks);
        theirs.try_write(b"x").unwrap();
        until(|| log.count("data x") == 1).await;
        assert_eq!(sim.counters().connects, 0);
        drop(theirs);
        until(|| log.count("lost") == 1).await;
    });
}

#[test]
fn u_001_a_unix_socket_by_its_path() {
    in_sim(|sim, handle| async move {
        let path = std::path::Path::new("/run/sim.sock");
        let listener = sim.network().listen(&path.into(), &ListenOptions::default()).unwrap();
        let transport = Connect::unix(path).connect(&handle, Recorder::new).await.unwrap();
        assert_eq!(transport.peer_addr(), Some(path.into()));
        assert_eq!(sim.counters().registers, 1, "connected at once: the transport's alone");
        transport.abort();
        let error = Connect::unix("/run/none").connect(&handle, Recorder::new).await.unwrap_err();
        assert!(error.to_string().starts_with("connect call failed (unix:/run/none): "), "{error}");
        drop(listener);
    });
}

#[test]
fn connecting_on_a_closed_loop_is_an_error() {
    let sim = Sim::new(1);
    let mut closed = sim_loop(&sim);
    let handle = closed.handle();
    closed.close();
    let _listener = listen(&sim, "10.0.0.1:80");
    let mut other = sim_loop(&sim);
    let reported = reports(&other.handle());
    other
        .run_until_complete(async {
            let connect = Connect::to("10.0.0.1", 80).connect(&handle, Recorder::new);
            assert!(connect.await.is_err());
        })
        .unwrap();
    drop((other, closed));
    assert_eq!((sim.open_sockets(), sim.registrations()), (1, 0));
    assert_eq!(Log::all(&reported), [""; 0]);
}
