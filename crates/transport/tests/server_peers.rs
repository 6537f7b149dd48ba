//! Who was it? An accepted connection's peer where nobody asked when it was accepted (SV-015, T-023, T-024), over real sockets.
#![cfg(all(feature = "os", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod connect_support;

use std::time::Duration;

use connect_support::{Recorder, address, on_real_sockets, reports, until};
use millrun_loop::LoopHandle;
use millrun_selector::{Address, ConnectOptions, Network, OsNetwork, Socket, SocketOption};
use millrun_transport::{Serve, Server, create_server};

fn connect(server: &Server) -> (Box<dyn Socket>, Address) {
    let at = &server.local_addrs()[0];
    let client = OsNetwork.connect(at, &ConnectOptions::default()).unwrap();
    let name = client.local_addr().unwrap();
    (client, name)
}

/// A connection to a server of this protocol, which has heard of it: with the client's name.
async fn connected(handle: &LoopHandle, protocol: &Recorder) -> (Server, Box<dyn Socket>, Address) {
    let factory = protocol.clone();
    let server = create_server(handle, "127.0.0.1", 0, move || factory.clone()).await.unwrap();
    let (client, name) = connect(&server);
    until(|| protocol.log.count("made") == 1).await;
    (server, client, name)
}

fn reset(client: Box<dyn Socket>) {
    client.set_option(SocketOption::Linger(Some(Duration::ZERO))).unwrap();
    drop(client);
}

/// The kernel's getpeername has forgotten it by then.
#[test]
fn t_024_who_has_reset_a_connection_is_told_though_nobody_asked_before() {
    on_real_sockets(|handle| async move {
        for keeps in [true, false] {
            let protocol = Recorder::new();
            let log = protocol.log.clone();
            let (server, client, name) = connected(&handle, &protocol).await;
            let kept = keeps.then(|| protocol.transport());
            reset(client);
            until(|| log.all().len() == 2).await;
            let lost = &log.all()[1];
            assert!(lost.contains(&format!("receiving from {name} failed")), "{lost}");
            until(|| server.connections() == 0).await;
            if let Some(transport) = kept {
                assert_eq!(transport.peer_addr(), Some(name), "T-023");
            }
        }
    });
}

#[test]
fn t_023_a_peer_that_nobody_asked_for_stays_readable_after_the_close() {
    on_real_sockets(|handle| async move {
        let protocol = Recorder::new();
        let (server, _client, name) = connected(&handle, &protocol).await;
        let transport = protocol.transport();
        transport.abort();
        until(|| server.connections() == 0).await;
        assert_eq!(transport.peer_addr(), Some(name));
    });
}

/// An abort ends it at once, and whoever aborts may be the last who has the transport.
#[test]
fn t_023_who_aborts_a_connection_that_lingers_still_knows_the_addresses() {
    on_real_sockets(|handle| async move {
        let protocol = Recorder { greeting: b"answered", ..Recorder::new() };
        let log = protocol.log.clone();
        let (server, client, name) = connected(&handle, &protocol).await;
        let transport = protocol.transport();
        transport.pause_reading();
        client.try_write(b"unread").unwrap();
        millrun_loop::sleep(Duration::from_millis(20)).await;
        transport.close();
        until(|| log.count("lost") == 1).await;
        assert_eq!(server.connections(), 1, "it lingers");
        transport.abort();
        assert_eq!(server.connections(), 0);
        let at = Some(server.local_addrs()[0].clone());
        assert_eq!((transport.peer_addr(), transport.local_addr()), (Some(name), at));
    });
}

/// An address that is kept apart, since it needs more room: of IPv6, also where the peer speaks IPv4.
#[test]
fn t_023_a_peer_of_ipv6_stays_readable_after_its_reset() {
    on_real_sockets(|handle| async move {
        for from in ["[::1]", "127.0.0.1"] {
            // (Linux hears IPv4 there too, unless told.)
            let Ok(every) = std::net::TcpListener::bind("[::]:0") else { return };
            let port = every.local_addr().unwrap().port();
            let listener = OsNetwork::adopt_listener(every.into()).unwrap();
            let protocol = Recorder::new();
            let (factory, log) = (protocol.clone(), protocol.log.clone());
            let serve = Serve::listener(listener);
            let server = serve.serve(&handle, move || factory.clone()).await.unwrap();
            let at = address(&format!("{from}:{port}"));
            let client = OsNetwork.connect(&at, &ConnectOptions::default()).unwrap();
            let name = client.local_addr().unwrap().as_inet().unwrap();
            let name = match name {
                std::net::SocketAddr::V4(v4) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
                v6 => Address::from(v6),
            };
            until(|| log.count("made") == 1).await;
            let transport = protocol.transport();
            reset(client);
            until(|| server.connections() == 0).await;
            assert_eq!(transport.peer_addr(), Some(name));
        }
    });
}

#[test]
fn sv_016_the_report_of_a_factory_that_panics_names_the_peer() {
    on_real_sockets(|handle| async move {
        let reported = reports(&handle);
        let factory = || -> Recorder { panic!("no protocol today") };
        let server = create_server(&handle, "127.0.0.1", 0, factory).await.unwrap();
        let (_client, name) = connect(&server);
        until(|| reported.all().len() == 1).await;
        let report = &reported.all()[0];
        assert!(report.contains(&format!("peer: {name}")), "{report}");
    });
}
