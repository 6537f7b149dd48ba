//! Serving, over a simulated network: start, accept errors, close, waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod connect_support;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use connect_support::{Log, Recorder, address, in_sim, reports, settle, sim_loop, until};
use millrun_loop::{LoopHandle, sleep, yield_now};
use millrun_selector::{
    Address, ConnectOptions, ListenOptions, Listener, ReadyCell, Socket, Source,
};
use millrun_sim::{Call, Failure, Sim};
use millrun_transport::{
    AtName, InvalidArgument, Protocol, Serve, ServeError, Server, ServingError, Transport,
    create_server,
};

const AT: &str = "10.0.0.1:80";

fn connect(sim: &Sim, to: &str) -> Box<dyn Socket> {
    sim.network().connect(&address(to), &ConnectOptions::default()).unwrap()
}

async fn serve(handle: &LoopHandle, protocol: &Recorder) -> Server {
    let protocol = protocol.clone();
    Serve::address(address(AT)).serve(handle, move || protocol.clone()).await.unwrap()
}

async fn fails(handle: &LoopHandle, serve: Serve<AtName>) -> ServeError {
    serve.serve(handle, Recorder::new).await.unwrap_err()
}

/// What the peer of a connection reads until nothing more comes.
fn read(socket: &dyn Socket) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 100];
    let read = socket.try_read(&mut bytes)?;
    bytes.truncate(read);
    Ok(bytes)
}

#[test]
fn sv_001_a_server_listens_and_starts_at_once() {
    in_sim(|sim, handle| async move {
        let protocol = Recorder { echo: true, ..Recorder::new() };
        let server = serve(&handle, &protocol).await;
        assert!(server.is_serving());
        assert_eq!(server.local_addrs(), [address(AT)]);
        let client = connect(&sim, AT);
        until(|| protocol.log.count("made") == 1).await;
        client.try_write(b"hi").unwrap();
        until(|| protocol.log.count("data hi") == 1).await;
        assert_eq!(read(&*client).unwrap(), b"hi");
        assert_eq!(server.connections(), 1);
        // T-024: the peer's address is the one from accept.
        assert_eq!(protocol.transport().peer_addr(), Some(client.local_addr().unwrap()));
        drop(client);
        until(|| protocol.log.count("lost") == 1).await;
        assert_eq!(server.connections(), 0);
    });
}

/// Bound and listening, unlike asyncio's: the connection waits in the queue.
#[test]
fn sv_002_a_server_that_is_not_started_accepts_nobody() {
    in_sim(|sim, handle| async move {
        let protocol = Recorder::new();
        let factory = protocol.clone();
        let server = Serve::address(address(AT)).start_serving(false);
        let server = server.serve(&handle, move || factory.clone()).await.unwrap();
        assert!(!server.is_serving());
        let _client = connect(&sim, AT);
        sleep(Duration::from_secs(1)).await;
        assert_eq!((protocol.log.all().len(), sim.counters().accepts), (0, 0));
        server.start_serving().unwrap();
        assert!(server.is_serving());
        until(|| protocol.log.count("made") == 1).await;
    });
}

#[test]
fn sv_003_starting_is_idempotent() {
    in_sim(|sim, handle| async move {
        let server = serve(&handle, &Recorder::new()).await;
        server.start_serving().unwrap();
        assert_eq!(sim.registrations(), 1);
        server.close();
        assert!(matches!(server.start_serving(), Err(ServingError::Closed)));
    });
}

#[test]
fn sv_004_arguments_that_cannot_be_right_are_refused_before_any_io() {
    in_sim(|sim, handle| async move {
        let error = fails(&handle, Serve::on(None::<&str>, None::<u16>)).await;
        assert!(matches!(error, ServeError::Invalid(InvalidArgument::NoHostNoPort)), "{error:?}");
        let error = fails(&handle, Serve::on("", "80000")).await;
        assert!(matches!(error, ServeError::Invalid(InvalidArgument::Port(_))), "{error:?}");
        let error = fails(&handle, Serve::on_each([""; 0], 80)).await;
        assert!(matches!(error, ServeError::Invalid(InvalidArgument::NoAddress)), "{error:?}");
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = Serve::addresses([]).serve(&handle, Recorder::new).await.unwrap_err();
        assert!(matches!(error, ServeError::Invalid(InvalidArgument::NoAddress)), "{error:?}");
        assert_eq!((sim.queries().len(), sim.counters().listens), (0, 0));
    });
}

#[test]
fn sv_005_no_host_is_all_interfaces_and_duplicates_are_bound_once() {
    in_sim(|sim, handle| async move {
        for host in [None, Some("")] {
            let server = create_server(&handle, host, 80, Recorder::new).await.unwrap();
            assert_eq!(server.local_addrs(), [address("0.0.0.0:80"), address("[::]:80")]);
        }
        assert!(sim.queries().iter().all(|query| query.passive && query.host.is_none()));
        sim.add_host("one", ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()]);
        let hosts = ["10.0.0.2", "one", "10.0.0.2"];
        let server = Serve::on_each(hosts, 80).serve(&handle, Recorder::new).await.unwrap();
        assert_eq!(server.local_addrs(), [address("10.0.0.2:80"), address("10.0.0.1:80")]);
        let _clients = (connect(&sim, "10.0.0.1:80"), connect(&sim, "10.0.0.2:80"));
        until(|| server.connections() == 2).await;
        server.abort_clients();
    });
}

#[test]
fn sv_008_a_bind_that_fails_closes_all_and_names_the_address() {
    in_sim(|sim, handle| async move {
        let taken = sim.network().listen(&address("10.0.0.2:80"), &ListenOptions::default());
        let error = fails(&handle, Serve::on_each(["10.0.0.1", "10.0.0.2"], 80)).await;
        let in_use = Failure::EADDRINUSE.to_error();
        let text = format!("error while attempting to bind on address 10.0.0.2:80: {in_use}");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.raw_os_error(), in_use.raw_os_error());
        assert_eq!(io::Error::from(error).kind(), io::ErrorKind::AddrInUse);
        assert_eq!((sim.open_sockets(), sim.registrations()), (1, 0));
        drop(taken);
    });
}

#[test]
fn sv_009_an_address_of_another_machine_is_skipped_but_not_all() {
    in_sim(|sim, handle| async move {
        sim.fail_next(Call::Listen, Failure::EADDRNOTAVAIL);
        let hosts = Serve::on_each(["10.0.0.1", "10.0.0.2"], 80);
        let server = hosts.serve(&handle, Recorder::new).await.unwrap();
        assert_eq!(server.local_addrs(), [address("10.0.0.2:80")]);
        sim.fail_next(Call::Listen, Failure::EADDRNOTAVAIL);
        let error = fails(&handle, Serve::on("10.0.0.1", 80)).await;
        assert_eq!(error.to_string(), "could not bind on any address out of [10.0.0.1:80]");
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    });
}

#[test]
fn a_listener_that_cannot_be_registered_closes_all() {
    in_sim(|sim, handle| async move {
        sim.fail_next(Call::Register, Failure::EMFILE);
        let error = fails(&handle, Serve::on_each(["10.0.0.1", "10.0.0.2"], 80)).await;
        assert!(matches!(error, ServeError::Loop(_)), "{error:?}");
        assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
    });
}

/// A listener that no selector takes.
#[derive(Debug)]
struct Stranger;

impl Source for Stranger {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        None
    }
}

impl Listener for Stranger {
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn local_addr(&self) -> io::Result<Address> {
        Ok(Address::UnixUnnamed)
    }
}

#[test]
fn a_start_that_fails_leaves_nothing_watched() {
    in_sim(|sim, handle| async move {
        let known = sim.network().listen(&address(AT), &ListenOptions::default()).unwrap();
        let server = Serve::listeners([known, Box::new(Stranger)]).start_serving(false);
        let server = server.serve(&handle, Recorder::new).await.unwrap();
        assert_eq!(server.local_addrs(), [address(AT), Address::UnixUnnamed]);
        assert!(matches!(server.start_serving(), Err(ServingError::Loop(_))));
        assert_eq!(sim.registrations(), 0);
        assert!(!server.is_serving());
    });
}

#[test]
fn sv_011_one_event_accepts_until_nobody_waits_but_at_most_the_backlog() {
    in_sim(|sim, handle| async move {
        // Each accept brings one more connection: without a bound this event would not end.
        let (world, log, clients) = (sim.clone(), Log::default(), Rc::new(RefCell::default()));
        let (accepted, kept) = (log.clone(), clients.clone());
        let factory = move || {
            accepted.push(world.counters().selects);
            let kept: &RefCell<Vec<_>> = &kept;
            if kept.borrow().len() < 7 {
                kept.borrow_mut().push(connect(&world, AT));
            }
            Recorder::new()
        };
        let server = Serve::address(address(AT)).backlog(3);
        let server = server.serve(&handle, factory).await.unwrap();
        let first = connect(&sim, AT);
        clients.borrow_mut().push(first);
        until(|| server.connections() == 7).await;
        settle().await;
        // By the number of the select that reported it.
        let selects: Vec<u64> = log.all().iter().map(|select| select.parse().unwrap()).collect();
        let events: Vec<usize> = selects.chunk_by(|a, b| a == b).map(<[u64]>::len).collect();
        assert_eq!(events, [3, 3, 1]);
        assert_eq!(sim.counters().would_block, 1, "only the last event found nobody");
        server.abort_clients();
        clients.take();
    });
}

#[test]
fn sv_012_an_aborted_connection_is_passed_over_in_the_same_round() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let (log, world) = (Log::default(), sim.clone());
        let accepted = log.clone();
        let factory = move || {
            accepted.push(world.counters().selects);
            Recorder::new()
        };
        let server = Serve::address(address(AT)).serve(&handle, factory).await.unwrap();
        sim.fail_next(Call::Accept, Failure::ECONNABORTED);
        sim.fail_next(Call::Accept, io::ErrorKind::Interrupted);
        let _clients = (connect(&sim, AT), connect(&sim, AT));
        let next = (sim.counters().selects + 1).to_string();
        until(|| server.connections() == 2).await;
        assert_eq!(log.all(), [next.clone(), next]);
        assert_eq!(reported.all(), [""; 0]);
        server.abort_clients();
    });
}

/// D-07: one report and one timer for each listener, and the other listener goes on.
#[test]
fn sv_013_without_descriptors_one_listener_pauses_for_a_second() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = Serve::on_each(["10.0.0.1", "10.0.0.2"], 80);
        let server = server.serve(&handle, Recorder::new).await.unwrap();
        sim.fail_next(Call::Accept, Failure::EMFILE);
        let _waiting: Vec<_> = (0..5).map(|_| connect(&sim, "10.0.0.1:80")).collect();
        until(|| !reported.all().is_empty()).await;
        let began = sim.now();
        let text = &reported.all()[0];
        assert!(text.starts_with("socket.accept() out of system resource"), "{text}");
        assert!(text.contains("listener: 10.0.0.1:80"), "{text}");
        let accepts = sim.counters().accepts;
        let _other = connect(&sim, "10.0.0.2:80");
        until(|| server.connections() == 1).await;
        sleep(Duration::from_millis(900)).await;
        assert_eq!((server.connections(), reported.all().len()), (1, 1));
        assert_eq!(sim.counters().accepts, accepts + 2, "only the other listener's");
        until(|| server.connections() == 6).await;
        assert_eq!(sim.now().since(began), Duration::from_secs(1));
        assert_eq!(reported.all().len(), 1);
        server.abort_clients();
    });
}

#[test]
fn sv_013_all_four_numbers_pause_and_service_goes_on() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        // ENOBUFS as Linux numbers it, ENOMEM.
        let numbers = [Failure::EMFILE, Failure::ENFILE, Failure::Errno(105), Failure::Errno(12)];
        for (rounds, failure) in numbers.into_iter().enumerate() {
            sim.fail_next(Call::Accept, failure);
            let began = sim.now();
            let _client = connect(&sim, AT);
            until(|| server.connections() == 1).await;
            assert_eq!(reported.all().len(), rounds + 1);
            assert!(sim.now().since(began) >= Duration::from_secs(1));
            server.abort_clients();
            until(|| server.connections() == 0).await;
        }
    });
}

#[test]
fn sv_013_a_descriptor_limit_ends_when_a_connection_does() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let protocol = Recorder::new();
        let server = serve(&handle, &protocol).await;
        let clients: Vec<_> = (0..3).map(|_| connect(&sim, AT)).collect();
        // The listener, three clients, and one that was accepted.
        sim.set_fd_limit(5);
        until(|| reported.all().len() == 2).await;
        assert_eq!(server.connections(), 1, "one more try a second later, one more report");
        sim.set_fd_limit(usize::MAX);
        until(|| server.connections() == 3).await;
        drop(clients);
        until(|| server.connections() == 0).await;
        assert_eq!(reported.all().len(), 2);
    });
}

#[test]
fn sv_013_a_server_that_closes_while_it_pauses_leaves_no_timer() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        sim.fail_next(Call::Accept, Failure::EMFILE);
        let _client = connect(&sim, AT);
        until(|| !reported.all().is_empty()).await;
        server.close();
        assert_eq!(sim.registrations(), 0);
        let fired = handle.metrics().timers_fired;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(handle.metrics().timers_fired, fired + 1, "this sleep's alone");
        assert_eq!(reported.all().len(), 1);
    });
}

#[test]
fn sv_014_another_accept_error_is_reported_and_listening_goes_on() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        sim.fail_next(Call::Accept, io::ErrorKind::PermissionDenied);
        let client = connect(&sim, AT);
        let began = sim.now();
        until(|| server.connections() == 1).await;
        assert!(sim.now().since(began) < Duration::from_millis(10), "no pause for the first");
        assert!(reported.all()[0].starts_with("accepting a connection failed"));
        drop(client);
        until(|| server.connections() == 0).await;
        // One that fails for ever (its descriptor was closed) must not keep the loop busy.
        for _ in 0..5 {
            sim.fail_next(Call::Accept, Failure::Errno(9));
        }
        let _client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        assert_eq!(reported.all().len(), 6);
        assert!(sim.now().since(began) >= Duration::from_secs(4), "{:?}", sim.now().since(began));
        server.abort_clients();
    });
}

#[test]
fn sv_016_a_factory_that_panics_closes_that_connection_and_is_reported() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let calls = Cell::new(0);
        let factory = move || {
            calls.set(calls.get() + 1);
            assert!(calls.get() != 1, "the first is the worst");
            Recorder::new()
        };
        let server = Serve::address(address(AT)).serve(&handle, factory).await.unwrap();
        let client = connect(&sim, AT);
        until(|| !reported.all().is_empty()).await;
        let text = &reported.all()[0];
        assert!(text.starts_with("error on transport creation for incoming"), "{text}");
        assert!(text.contains("the first is the worst"), "{text}");
        assert!(text.contains(&format!("peer: {}", client.local_addr().unwrap())), "{text}");
        assert_eq!((server.connections(), sim.open_sockets()), (0, 2));
        assert_eq!(read(&*client).unwrap(), b"", "the client sees the end at once");
        let _client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        server.abort_clients();
    });
}

#[test]
fn a_connection_that_cannot_be_registered_is_closed_and_reported() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        sim.fail_next(Call::Register, Failure::EMFILE);
        let client = connect(&sim, AT);
        until(|| !reported.all().is_empty()).await;
        assert_eq!((server.connections(), sim.open_sockets()), (0, 2));
        assert_eq!(read(&*client).unwrap(), b"");
    });
}

#[test]
fn sv_017_close_ends_the_listening_and_the_connections_live_on() {
    in_sim(|sim, handle| async move {
        let protocol = Recorder { echo: true, ..Recorder::new() };
        let server = serve(&handle, &protocol).await;
        let client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        server.close();
        server.close();
        assert!(!server.is_serving());
        assert_eq!(server.local_addrs(), [], "SV-010");
        let refused = connect(&sim, AT);
        sleep(Duration::from_millis(1)).await;
        let refusal = refused.take_error().unwrap().unwrap();
        assert_eq!(refusal.kind(), io::ErrorKind::ConnectionRefused);
        client.try_write(b"still here").unwrap();
        until(|| protocol.log.count("data still here") == 1).await;
        drop(client);
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn sv_018_wait_closed_waits_while_the_server_is_open() {
    in_sim(|_, handle| async move {
        let server = serve(&handle, &Recorder::new()).await;
        let waiter = handle.spawn(server.wait_closed());
        sleep(Duration::from_secs(100)).await;
        assert!(!waiter.is_finished());
        server.close();
        waiter.await.unwrap();
        server.wait_closed().await;
    });
}

/// D-15 too: waiters are independent.
#[test]
fn sv_019_wait_closed_returns_after_close_and_the_last_connection() {
    in_sim(|sim, handle| async move {
        let protocol = Recorder::new();
        let server = serve(&handle, &protocol).await;
        let clients = (connect(&sim, AT), connect(&sim, AT));
        until(|| server.connections() == 2).await;
        let log = Log::default();
        let wait = |name: &'static str| {
            let (log, lost, closed) = (log.clone(), protocol.log.clone(), server.wait_closed());
            handle.spawn(async move {
                closed.await;
                log.push(format_args!("{name} after {} lost", lost.count("lost")));
            })
        };
        let (first, second, third) = (wait("first"), wait("second"), wait("third"));
        server.close();
        settle().await;
        second.abort();
        assert!(second.await.is_err());
        drop(clients.0);
        until(|| server.connections() == 1).await;
        assert_eq!(log.all(), [""; 0]);
        drop(clients.1);
        first.await.unwrap();
        third.await.unwrap();
        assert_eq!(log.all(), ["first after 2 lost", "third after 2 lost"]);
        // The other order: the connections first, then the close.
        let server = serve(&handle, &protocol).await;
        let client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        drop(client);
        until(|| server.connections() == 0).await;
        let waiter = handle.spawn(server.wait_closed());
        settle().await;
        assert!(!waiter.is_finished());
        server.close();
        waiter.await.unwrap();
    });
}

#[test]
fn sv_020_close_clients_flushes_and_abort_clients_does_not() {
    in_sim(|sim, handle| async move {
        sim.set_buffers(4, 4);
        let protocol = Recorder { greeting: b"0123456789", ..Recorder::new() };
        let server = serve(&handle, &protocol).await;
        let client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        settle().await;
        server.close_clients();
        let mut got = Vec::new();
        while got.len() < 10 {
            match read(&*client) {
                Ok(bytes) => got.extend(bytes),
                Err(_) => sleep(Duration::from_millis(1)).await,
            }
        }
        assert_eq!(got, b"0123456789");
        until(|| protocol.log.count("lost") == 1).await;
        assert!(server.is_serving(), "only the clients were closed");

        let client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        settle().await;
        server.abort_clients();
        until(|| server.connections() == 0).await;
        let mut got = Vec::new();
        while let Ok(bytes) = read(&*client) {
            if bytes.is_empty() {
                break;
            }
            got.extend(bytes);
            settle().await;
        }
        assert!(got.len() < 10, "{}", got.escape_ascii());
    });
}

#[test]
fn sv_021_close_and_abort_clients_are_over_within_two_rounds() {
    in_sim(|sim, handle| async move {
        sim.set_buffers(4, 4);
        let server = serve(&handle, &Recorder { greeting: b"0123456789", ..Recorder::new() }).await;
        let _clients: Vec<_> = (0..5).map(|_| connect(&sim, AT)).collect();
        until(|| server.connections() == 5).await;
        settle().await;
        server.close();
        server.abort_clients();
        let waiter = handle.spawn(server.wait_closed());
        yield_now().await;
        yield_now().await;
        assert_eq!(server.connections(), 0);
        yield_now().await;
        assert!(waiter.is_finished());
    });
}

#[test]
fn sv_022_serve_forever_starts_and_runs_once() {
    in_sim(|sim, handle| async move {
        let server = Serve::address(address(AT)).start_serving(false);
        let server = server.serve(&handle, Recorder::new).await.unwrap();
        let forever = handle.spawn({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        settle().await;
        assert!(server.is_serving());
        let second = server.serve_forever().await;
        assert!(matches!(second, Err(ServingError::AlreadyForever)), "{second:?}");
        assert!(server.is_serving(), "the second one's end changes nothing");
        // SV-024: a close ends it, when the connections are over.
        let client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        server.close();
        settle().await;
        assert!(!forever.is_finished());
        drop(client);
        forever.await.unwrap().unwrap();
        assert!(matches!(server.serve_forever().await, Err(ServingError::Closed)));
    });
}

#[test]
fn sv_023_dropping_serve_forever_closes_the_server() {
    in_sim(|sim, handle| async move {
        let server = serve(&handle, &Recorder::new()).await;
        let forever = handle.spawn({
            let server = server.clone();
            async move { server.serve_forever().await }
        });
        let client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        forever.abort();
        assert!(forever.await.is_err());
        assert!(!server.is_serving());
        assert_eq!(server.connections(), 1);
        drop(client);
        server.wait_closed().await;
    });
}

#[test]
fn dropping_the_last_handle_closes_and_a_detached_server_serves_on() {
    in_sim(|sim, handle| async move {
        let protocol = Recorder::new();
        let server = serve(&handle, &protocol).await;
        let clone = server.clone();
        drop(server);
        assert!(clone.is_serving());
        let waiter = handle.spawn(clone.wait_closed());
        drop(clone);
        assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
        waiter.await.unwrap();

        serve(&handle, &protocol).await.detach();
        let _client = connect(&sim, AT);
        until(|| protocol.log.count("made") == 1).await;
        // It ends with the loop: `in_sim` finds nothing left.
    });
}

#[test]
fn closing_the_loop_closes_its_servers_and_connections() {
    let sim = Sim::new(3);
    let mut event_loop = sim_loop(&sim);
    let protocol = Recorder::new();
    let (world, handle, recorder) = (sim.clone(), event_loop.handle(), protocol.clone());
    let (server, _client) = event_loop
        .run_until_complete(async move {
            let server = serve(&handle, &recorder).await;
            let client = connect(&world, AT);
            until(|| server.connections() == 1).await;
            settle().await;
            (server, client)
        })
        .unwrap();
    event_loop.close();
    assert!(!server.is_serving());
    assert_eq!(protocol.log.all(), ["made", "lost"]);
    assert_eq!((server.connections(), sim.registrations()), (0, 0));
    assert_eq!(sim.open_sockets(), 1, "the client's");
    server.close();
    server.close_clients();
}

/// Any method of a server may be called from anywhere, from inside its own factory too.
#[test]
fn a_factory_may_close_its_own_server() {
    in_sim(|sim, handle| async move {
        let slot: Rc<RefCell<Option<Server>>> = Rc::default();
        let inside = slot.clone();
        let factory = move || {
            let server = inside.borrow().clone().unwrap();
            server.close();
            server.abort_clients();
            assert_eq!(server.local_addrs(), []);
            Recorder::new()
        };
        let server = Serve::address(address(AT)).serve(&handle, factory).await.unwrap();
        *slot.borrow_mut() = Some(server.clone());
        let clients = (connect(&sim, AT), connect(&sim, AT));
        until(|| !server.is_serving()).await;
        settle().await;
        // The one that was being accepted is served; nobody else is.
        assert_eq!((server.connections(), sim.registrations()), (1, 1));
        drop(clients);
        server.wait_closed().await;
        // The factory was dropped with the close: it held a handle of its server.
        drop(server);
        assert_eq!(Rc::strong_count(&slot), 1);
        slot.take();
    });
}

/// A protocol whose end closes the server, and whose connection_made closes all connections.
struct Meddler(Rc<RefCell<Option<Server>>>);

impl Protocol for Meddler {
    fn connection_made(&mut self, _transport: Rc<dyn Transport>) {
        if let Some(server) = &*self.0.borrow() {
            server.close_clients();
        }
    }

    fn data_received(&mut self, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn connection_lost(&mut self, _error: Option<io::Error>) {
        if let Some(server) = self.0.take() {
            server.close();
        }
    }
}

#[test]
fn a_protocol_may_close_its_server_and_all_its_connections() {
    in_sim(|sim, handle| async move {
        let slot: Rc<RefCell<Option<Server>>> = Rc::default();
        let inside = slot.clone();
        let server = Serve::address(address(AT));
        let server = server.serve(&handle, move || Meddler(inside.clone())).await.unwrap();
        *slot.borrow_mut() = Some(server.clone());
        let _clients = (connect(&sim, AT), connect(&sim, AT));
        server.wait_closed().await;
        assert!(slot.borrow().is_none());
    });
}

#[test]
fn a_unix_server_of_a_simulation_touches_no_file() {
    in_sim(|sim, handle| async move {
        let path = std::env::temp_dir().join(format!("millrun-sim-{}", std::process::id()));
        let real = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let server = Serve::unix(&path).serve(&handle, Recorder::new).await.unwrap();
        let to = Address::from(path.as_path());
        let client = sim.network().connect(&to, &ConnectOptions::default()).unwrap();
        until(|| server.connections() == 1).await;
        server.close();
        drop((client, real));
        std::fs::remove_file(path).expect("the real socket file is still there");
    });
}
