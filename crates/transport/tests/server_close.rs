//! Closing a server and waiting for its end, over a simulated network.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod connect_support;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use connect_support::{
    AT, Log, Recorder, address, connect, in_sim, read, serve, settle, sim_loop, until,
};
use millrun_loop::{sleep, yield_now};
use millrun_sim::Sim;
use millrun_transport::{Protocol, Serve, Server, ServingError, Transport};

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
