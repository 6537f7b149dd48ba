//! Starting a server, over a simulated network.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod connect_support;

use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::time::Duration;

use connect_support::{AT, Recorder, address, connect, in_sim, read, serve, until};
use millrun_loop::{LoopHandle, sleep};
use millrun_selector::{
    Address, ConnectOptions, ListenOptions, Listener, ReadyCell, Socket, Source,
};
use millrun_sim::{Call, Failure};
use millrun_transport::{AtName, InvalidArgument, Serve, ServeError, ServingError, create_server};

async fn fails(handle: &LoopHandle, serve: Serve<AtName>) -> ServeError {
    serve.serve(handle, Recorder::new).await.unwrap_err()
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
        let why = Failure::EADDRNOTAVAIL.to_error();
        let text = format!("could not bind on any address out of [10.0.0.1:80]: {why}");
        assert_eq!(error.to_string(), text);
        assert_eq!(error.raw_os_error(), why.raw_os_error());
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

/// A listener that no selector takes, and that may not know its address.
#[derive(Debug)]
struct Stranger {
    knows_itself: bool,
}

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
        if self.knows_itself { Ok(Address::UnixUnnamed) } else { Err(io::ErrorKind::Other.into()) }
    }
}

#[test]
fn sv_008_a_listener_without_an_address_closes_all() {
    in_sim(|sim, handle| async move {
        let known = sim.network().listen(&address(AT), &ListenOptions::default()).unwrap();
        let held = Rc::new(());
        let (protocol, keeps) = (Recorder::new(), held.clone());
        let serve = Serve::listeners([known, Box::new(Stranger { knows_itself: false })]);
        let factory = move || {
            let _ = &keeps;
            protocol.clone()
        };
        let error = serve.serve(&handle, factory).await.unwrap_err();
        assert!(matches!(error, ServeError::Address(_)), "{error:?}");
        assert!(error.to_string().starts_with("a listening socket does not tell its address: "));
        assert_eq!((sim.open_sockets(), sim.registrations()), (0, 0));
        assert_eq!(Rc::strong_count(&held), 1, "the factory is kept");
    });
}

#[test]
fn a_start_that_fails_leaves_nothing_watched() {
    in_sim(|sim, handle| async move {
        let known = sim.network().listen(&address(AT), &ListenOptions::default()).unwrap();
        let server = Serve::listeners([known, Box::new(Stranger { knows_itself: true })])
            .start_serving(false);
        let server = server.serve(&handle, Recorder::new).await.unwrap();
        assert_eq!(server.local_addrs(), [address(AT), Address::UnixUnnamed]);
        assert!(matches!(server.start_serving(), Err(ServingError::Loop(_))));
        assert_eq!(sim.registrations(), 0);
        assert!(!server.is_serving());
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

/// Nobody can start it any more, and no loop would close it.
#[test]
fn a_detached_server_that_was_never_started_is_closed_with_its_last_handle() {
    in_sim(|sim, handle| async move {
        let server = Serve::address(address(AT)).start_serving(false);
        let server = server.serve(&handle, Recorder::new).await.unwrap();
        server.detach();
        drop(server);
        assert_eq!(sim.open_sockets(), 0);
    });
}
