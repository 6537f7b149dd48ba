//! Connecting, over real loopback sockets.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod accept_queue;
mod connect_support;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

#[cfg(target_os = "linux")]
use accept_queue::wait_for_queued;
use connect_support::{Recorder, address, child, on_real_sockets, until};
use millrun_loop::timeout;
use millrun_selector::{
    Address, ConnectOptions, ListenOptions, Network, OsNetwork, SocketOption, SocketOptionName,
};
use millrun_transport::{Connect, create_connection};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

/// A port where nobody listens, and nobody can while this lives: it is bound.
struct DeadPort(OwnedFd);

impl DeadPort {
    fn new() -> DeadPort {
        let kept = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&kept, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        DeadPort(kept)
    }

    fn number(&self) -> u16 {
        SocketAddr::try_from(getsockname(&self.0).unwrap()).unwrap().port()
    }
}

#[test]
fn c_001_bytes_go_both_ways_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    on_real_sockets(|handle| async move {
        let protocol = Recorder::new();
        let log = protocol.log.clone();
        let port = listener.local_addr().unwrap().port();
        let transport = create_connection(&handle, "localhost", port, || protocol).await.unwrap();
        assert_eq!(log.take(), ["made"]);
        let (mut peer, from) = listener.accept().unwrap();
        assert_eq!(transport.local_addr(), Some(Address::from(from)));
        transport.write(b"question");
        transport.flush();
        let mut question = [0; 8];
        peer.read_exact(&mut question).unwrap();
        peer.write_all(&question).unwrap();
        until(|| log.count("data question") == 1).await;
        drop(peer);
        until(|| log.count("lost") == 1).await;
        assert_eq!(log.take(), ["data question", "eof", "lost"]);
    });
}

/// U-009 too.
#[test]
fn c_016_nodelay_is_set_on_tcp_and_there_is_none_on_unix() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    on_real_sockets(|handle| async move {
        let at = listener.local_addr().unwrap();
        let connected = Connect::address(at).connect(&handle, Recorder::new).await.unwrap();
        let adopted = OsNetwork::adopt(TcpStream::connect(at).unwrap().into()).unwrap();
        let adopted = Connect::socket(adopted).connect(&handle, Recorder::new).await.unwrap();
        for transport in [connected, adopted] {
            let nodelay = transport.option(SocketOptionName::NoDelay).unwrap();
            assert_eq!(nodelay, SocketOption::NoDelay(true));
            transport.abort();
        }
        let (unix, _peer) = OsNetwork::pair().unwrap();
        let unix = Connect::socket(unix).connect(&handle, Recorder::new).await.unwrap();
        assert!(unix.option(SocketOptionName::NoDelay).is_err());
        unix.abort();
    });
}

#[test]
fn c_003_a_socket_that_is_no_stream_socket_is_refused() {
    let datagrams: OwnedFd = UdpSocket::bind("127.0.0.1:0").unwrap().into();
    let error = OsNetwork::adopt(datagrams).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn c_004_a_given_socket_is_made_non_blocking() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    on_real_sockets(|handle| async move {
        let protocol = Recorder::new();
        let log = protocol.log.clone();
        let socket = OsNetwork::adopt(ours.into()).unwrap();
        // If it blocked, the first read would hang this thread with nothing to read.
        let transport = Connect::socket(socket).connect(&handle, || protocol).await.unwrap();
        assert!(transport.is_reading());
        theirs.write_all(b"now").unwrap();
        until(|| log.count("data now") == 1).await;
        transport.abort();
    });
}

#[test]
fn c_011_a_refused_connect_has_the_number_and_names_the_address() {
    on_real_sockets(|handle| async move {
        let dead = DeadPort::new();
        let port = dead.number();
        let refused = create_connection(&handle, "127.0.0.1", port, Recorder::new);
        let error = refused.await.unwrap_err();
        let expected = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(error.raw_os_error(), expected.raw_os_error());
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.starts_with(&format!("connect call failed (127.0.0.1:{port}): ")), "{text}");
    });
}

#[test]
fn c_012_a_local_address_that_is_taken_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    on_real_sockets(|handle| async move {
        let (to, from) = (listener.local_addr().unwrap(), taken.local_addr().unwrap());
        let connect = Connect::to(to.ip(), to.port()).local_addr(from.ip(), from.port());
        let error = connect.connect(&handle, Recorder::new).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.raw_os_error().is_some());
        let text = format!("error while attempting to bind on address {from}: ");
        assert!(error.to_string().starts_with(&text), "{error}");
    });
}

#[test]
#[cfg(target_os = "linux")]
fn c_014_cancelled_and_refused_connects_leak_no_descriptor() {
    if !child::is_one() {
        return child::run("c_014_cancelled_and_refused_connects_leak_no_descriptor", None);
    }
    // A queue that is full: on Linux what connects now waits for an answer.
    let mut options = ListenOptions::default();
    options.backlog = 1;
    let listener = OsNetwork.listen(&address("127.0.0.1:0"), &options).unwrap();
    let full = listener.local_addr().unwrap();
    let connect = |_| OsNetwork.connect(&full, &ConnectOptions::default()).unwrap();
    let _queued: Vec<_> = (0..4).map(connect).collect();
    wait_for_queued(full.port().unwrap(), 2); // one more than the backlog is what Linux keeps
    on_real_sockets(|handle| async move {
        let dead = DeadPort::new();
        let before = child::open_descriptors();
        for _ in 0..10 {
            let waiting = Connect::address(full.clone()).connect(&handle, Recorder::new);
            assert!(timeout(Duration::from_millis(2), waiting).await.is_err());
            let refused = create_connection(&handle, "127.0.0.1", dead.number(), Recorder::new);
            assert!(refused.await.is_err());
        }
        assert_eq!(child::open_descriptors(), before);
    });
}

/// U-010 too: the failed one is closed.
#[test]
fn u_001_a_unix_path_and_one_where_nobody_listens() {
    let path = std::env::temp_dir().join(format!("millrun-connect-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let (at, gone) = (path.clone(), path.with_extension("gone"));
    on_real_sockets(|handle| async move {
        let protocol = Recorder::new();
        let log = protocol.log.clone();
        let transport = Connect::unix(&at).connect(&handle, || protocol).await.unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"hello").unwrap();
        until(|| log.count("data hello") == 1).await;
        transport.abort();
        let error = Connect::unix(gone).connect(&handle, Recorder::new).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
    std::fs::remove_file(&path).unwrap();
}
