//! The kernel's sockets: connecting, listening, adopting, options, names.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use common::{look_at, tcp_pair, wait_for};
use millrun_selector::{
    Address, BindError, ConnectOptions, Interest, ListenOptions, Listener, MioSelector, Network,
    OsNetwork, Readiness, Selector, Socket, SocketOption, SocketOptionName,
};
use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};

fn listen(at: impl Into<Address>) -> Box<dyn Listener> {
    OsNetwork.listen(&at.into(), &ListenOptions::default()).unwrap()
}

/// A connection through our own connect and accept: both ends registered in the selector.
fn connect(
    selector: &mut MioSelector,
    to: &Address,
    listener: &dyn Listener,
) -> (Box<dyn Socket>, Box<dyn Socket>, Address) {
    let client = OsNetwork.connect(to, &ConnectOptions::default()).unwrap();
    let client_key = selector.register(&client, Interest::WRITE).unwrap();
    wait_for(selector, client_key, Readiness::is_writable);
    assert!(client.take_error().unwrap().is_none());
    selector.deregister(client_key, &client).unwrap();
    let (server, peer) = accept(selector, listener);
    (client, server, peer)
}

fn accept(selector: &mut MioSelector, listener: &dyn Listener) -> (Box<dyn Socket>, Address) {
    let fd = listener.fd().unwrap();
    let key = selector.register(&millrun_selector::Foreign::new(&fd), Interest::READ).unwrap();
    wait_for(selector, key, Readiness::is_readable);
    selector.deregister(key, &millrun_selector::Foreign::new(&fd)).unwrap();
    listener.try_accept().unwrap()
}

/// A path for a socket that is removed at the end.
struct Path(PathBuf);

impl Path {
    fn new(name: &str) -> Path {
        let path = std::env::temp_dir().join(format!("millrun-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Path(path)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// SV-015: who accepts bare is told the peer's address by accept or by the socket, and by that also when the peer has reset
/// the connection; any other socket has forgotten it then.
#[test]
fn sv_015_a_bare_accept_loses_no_address() {
    let mut selector = MioSelector::new().unwrap();
    let listener = listen((Ipv4Addr::LOCALHOST, 0));
    assert_eq!(listener.try_accept_bare().unwrap_err().kind(), ErrorKind::WouldBlock);
    let reset = |client: TcpStream| {
        let client = OsNetwork::adopt(client.into()).unwrap();
        client.set_option(SocketOption::Linger(Some(std::time::Duration::ZERO))).unwrap();
    };
    for is_bare in [true, false] {
        let client = TcpStream::connect(listener.local_addr().unwrap().as_inet().unwrap()).unwrap();
        let name = Address::from(client.local_addr().unwrap());
        let (server, told) = if is_bare {
            listener.try_accept_bare().unwrap()
        } else {
            let (server, peer) = listener.try_accept().unwrap();
            (server, Some(peer))
        };
        let by_accept = cfg!(not(target_os = "linux")) || !is_bare;
        assert_eq!(told, by_accept.then(|| name.clone()));
        assert_eq!(server.peer_addr().unwrap(), name);
        let key = selector.register(&server, Interest::READ).unwrap();
        reset(client);
        wait_for(&mut selector, key, Readiness::is_readable);
        assert_eq!(server.try_read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        let later = server.peer_addr().map_err(|error| error.kind());
        assert_eq!(later, if by_accept { Err(ErrorKind::NotConnected) } else { Ok(name) });
        selector.deregister(key, &server).unwrap();
    }
}

#[test]
fn sv_015_a_bare_accept_of_a_unix_socket_tells_the_peer() {
    let path = Path::new("bare");
    let listener = listen(path.0.as_path());
    let _client = UnixStream::connect(&path.0).unwrap();
    assert_eq!(listener.try_accept_bare().unwrap().1, Some(Address::UnixUnnamed));
}

/// SV-015, C-016: addresses of both ends, non-blocking, TCP_NODELAY on both.
#[test]
fn c_016_tcp_connects_accepts_and_has_nodelay_at_both_ends() {
    let mut selector = MioSelector::new().unwrap();
    let listener = listen((Ipv4Addr::LOCALHOST, 0));
    let at = listener.local_addr().unwrap();
    assert_ne!(at.port(), Some(0), "the real port is told");
    let (client, server, peer) = connect(&mut selector, &at, &*listener);
    assert_eq!(peer, client.local_addr().unwrap());
    assert_eq!(server.peer_addr().unwrap(), peer);
    assert_eq!(server.local_addr().unwrap(), at);
    assert_eq!(client.peer_addr().unwrap(), at);
    for end in [&client, &server] {
        let no_delay = end.option(SocketOptionName::NoDelay).unwrap();
        assert_eq!(no_delay, SocketOption::NoDelay(true));
        assert_eq!(end.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    }
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A listener is level-triggered too: reported until try_accept finds nobody.
#[test]
fn sel_010_a_waiting_connection_is_reported_until_accepted() {
    let mut selector = MioSelector::new().unwrap();
    let listener = listen((Ipv4Addr::LOCALHOST, 0));
    let key = selector.register(&listener, Interest::READ).unwrap();
    let at = listener.local_addr().unwrap().as_inet().unwrap();
    let _clients = [TcpStream::connect(at).unwrap(), TcpStream::connect(at).unwrap()];
    wait_for(&mut selector, key, Readiness::is_readable);
    let _first = listener.try_accept().unwrap();
    // (A client's connect may be over a step before it is in the listener's queue.)
    wait_for(&mut selector, key, Readiness::is_readable);
    let _second = listener.try_accept().unwrap();
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(look_at(&mut selector, key).is_none());
    let _third = TcpStream::connect(at).unwrap();
    wait_for(&mut selector, key, Readiness::is_readable);
}

/// C-011: a refusal is told by take_error, after a report as writable.
#[test]
fn c_011_a_refused_connect_is_reported_as_writable() {
    // Bound, and it never listens: as long as it lives, nobody else gets the port.
    let kept = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&kept, &SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
    let at = Address::from(SocketAddr::try_from(getsockname(&kept).unwrap()).unwrap());
    let socket = match OsNetwork.connect(&at, &ConnectOptions::default()) {
        Ok(socket) => socket,
        Err(e) => return assert_eq!(e.kind(), ErrorKind::ConnectionRefused), // told at once
    };
    let mut selector = MioSelector::new().unwrap();
    let key = selector.register(&socket, Interest::WRITE).unwrap();
    let readiness = wait_for(&mut selector, key, Readiness::is_writable);
    assert!(readiness.is_error(), "{readiness:?}");
    let error = socket.take_error().unwrap().expect("the connect's error");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(socket.take_error().unwrap().is_none(), "taken");
}

/// C-012: a bind that fails is told apart from a connect that fails.
#[test]
fn c_012_a_failed_bind_says_which_address() {
    let listener = listen((Ipv4Addr::LOCALHOST, 0));
    let mut options = ConnectOptions::default();
    let foreign = Address::from((Ipv4Addr::new(192, 0, 2, 1), 0)); // TEST-NET-1: nobody's
    options.local = Some(foreign.clone());
    let error = OsNetwork.connect(&listener.local_addr().unwrap(), &options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    let bind = error.get_ref().unwrap().downcast_ref::<BindError>().expect("a BindError");
    assert_eq!(bind.address, foreign);
    assert!(bind.source.raw_os_error().is_some());
    assert!(error.to_string().contains("192.0.2.1"), "{error}");

    options.local = Some(Address::from((Ipv4Addr::LOCALHOST, 0)));
    let socket = OsNetwork.connect(&listener.local_addr().unwrap(), &options).unwrap();
    assert_eq!(socket.local_addr().unwrap().as_inet().unwrap().ip(), Ipv4Addr::LOCALHOST);
}

/// SV-007: SO_KEEPALIVE on request, and what is accepted inherits it.
#[test]
fn sv_007_keep_alive_is_inherited_by_what_is_accepted() {
    let mut selector = MioSelector::new().unwrap();
    for wanted in [false, true] {
        let mut options = ListenOptions::default();
        options.keep_alive = wanted;
        let at = Address::from((Ipv4Addr::LOCALHOST, 0));
        let listener = OsNetwork.listen(&at, &options).unwrap();
        let at = listener.local_addr().unwrap();
        let (_client, server, _) = connect(&mut selector, &at, &*listener);
        let keep_alive = server.option(SocketOptionName::KeepAlive).unwrap();
        assert_eq!(keep_alive, SocketOption::KeepAlive(wanted));
    }
}

/// SV-007: SO_REUSEPORT on request only.
#[test]
fn sv_007_reuse_port_shares_a_port() {
    let mut options = ListenOptions::default();
    options.reuse_port = true;
    let first = OsNetwork.listen(&Address::from((Ipv4Addr::LOCALHOST, 0)), &options).unwrap();
    let at = first.local_addr().unwrap();
    let error = OsNetwork.listen(&at, &ListenOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    OsNetwork.listen(&at, &options).unwrap();
}

/// SV-006: an IPv6 listener leaves the IPv4 port free.
#[test]
fn sv_006_ipv6_listeners_are_v6_only() {
    let at = Address::from((Ipv6Addr::UNSPECIFIED, 0));
    let six = match OsNetwork.listen(&at, &ListenOptions::default()) {
        Ok(six) => six,
        Err(e) => return println!("skipped, no IPv6 here: {e}"),
    };
    // Another process may have an IPv4 port of that number, but hardly each time.
    let mut kept = vec![six];
    for _ in 0..5 {
        let port = kept.last().unwrap().local_addr().unwrap().port().unwrap();
        match OsNetwork.listen(&(Ipv4Addr::UNSPECIFIED, port).into(), &ListenOptions::default()) {
            Ok(_) => return,
            Err(e) => assert_eq!(e.kind(), ErrorKind::AddrInUse, "{e}"),
        }
        kept.push(OsNetwork.listen(&at, &ListenOptions::default()).unwrap());
    }
    panic!("the IPv4 ports are taken by the IPv6 listeners: {kept:?}");
}

/// Unix sockets by path: addresses, data, the errors of what is not there.
#[test]
fn unix_sockets_connect_by_path() {
    let path = Path::new("by-path");
    let at = Address::from(&*path.0);
    let missing = OsNetwork.connect(&at, &ConnectOptions::default()).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let listener = listen(&*path.0);
    assert_eq!(listener.local_addr().unwrap(), at);
    let mut selector = MioSelector::new().unwrap();
    let (client, server, peer) = connect(&mut selector, &at, &*listener);
    assert_eq!(peer, Address::UnixUnnamed);
    assert_eq!(client.local_addr().unwrap(), Address::UnixUnnamed);
    assert_eq!(client.peer_addr().unwrap(), at);
    client.try_write(b"hello").unwrap();
    let mut buffer = [0; 8];
    assert_eq!(server.try_read(&mut buffer).unwrap(), 5);
    let error = server.option(SocketOptionName::NoDelay).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "no TCP_NODELAY on Unix sockets (C-016)");
    drop(listener);
    let refused = OsNetwork.connect(&at, &ConnectOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let in_use = OsNetwork.listen(&at, &ListenOptions::default()).unwrap_err();
    assert_eq!(in_use.kind(), ErrorKind::AddrInUse, "an old file is not removed here");
}

/// Unix sockets in Linux's abstract namespace, where names are bytes.
#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn unix_sockets_connect_by_abstract_name() {
    let name = format!("millrun-{}\0\u{e9}", std::process::id());
    let at = Address::UnixAbstract(name.as_bytes().into());
    let listener = listen(at.clone());
    assert_eq!(listener.local_addr().unwrap(), at);
    let mut selector = MioSelector::new().unwrap();
    let mut options = ConnectOptions::default();
    options.local = Some(Address::UnixAbstract(format!("{name}-client").as_bytes().into()));
    let client = OsNetwork.connect(&at, &options).unwrap();
    let (_server, peer) = accept(&mut selector, &*listener);
    assert_eq!(Some(&peer), options.local.as_ref());
    assert_eq!(client.peer_addr().unwrap(), at);
}

/// What names no socket is refused before the kernel sees it.
#[test]
fn addresses_that_name_nothing_are_refused() {
    for at in [Address::UnixUnnamed, Address::Unix(PathBuf::new())] {
        let error = OsNetwork.connect(&at, &ConnectOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let error = OsNetwork.listen(&at, &ListenOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
    let long = Address::Unix("x".repeat(300).into());
    let error = OsNetwork.connect(&long, &ConnectOptions::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

/// Writes to a peer that is gone fail with BrokenPipe, the vectored ones too.
#[test]
fn a_write_to_a_closed_peer_is_a_broken_pipe() {
    let (ours, theirs) = OsNetwork::pair().unwrap();
    drop(theirs);
    assert_eq!(ours.try_write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    let pieces = [IoSlice::new(b"x"), IoSlice::new(b"y")];
    assert_eq!(ours.try_write_vectored(&pieces).unwrap_err().kind(), ErrorKind::BrokenPipe);
    let (ours, _theirs) = tcp_pair();
    ours.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ours.try_write_vectored(&pieces).unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// Vectored writes keep the order, take any number of pieces, and look at no more than MAX_SLICES.
#[test]
fn vectored_writes_keep_the_order() {
    let (ours, theirs) = OsNetwork::pair().unwrap();
    let data: Vec<u8> = (0..3000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let pieces: Vec<_> = data.chunks(1).map(IoSlice::new).collect();
    assert_eq!(ours.try_write_vectored(&[]).unwrap(), 0);
    let sent = ours.try_write_vectored(&pieces).unwrap();
    assert_eq!(sent, millrun_selector::MAX_SLICES);
    assert_eq!(ours.try_write_vectored(&pieces[sent..sent + 1]).unwrap(), 1);
    let mut got = vec![0; data.len()];
    assert_eq!(theirs.try_read(&mut got).unwrap(), sent + 1);
    assert_eq!(got[..=sent], data[..=sent]);
}

/// The end of file is 0, also when asked again; an empty buffer is 0 and means nothing.
#[test]
fn an_empty_buffer_is_not_the_end() {
    let (ours, theirs) = OsNetwork::pair().unwrap();
    assert_eq!(ours.try_read(&mut []).unwrap(), 0);
    assert_eq!(ours.try_write(&[]).unwrap(), 0);
    theirs.shutdown(Shutdown::Write).unwrap();
    assert_eq!(ours.try_read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(ours.try_read(&mut [0; 1]).unwrap(), 0);
    assert!(ours.try_write(b"still open").is_ok());
}

/// C-003, C-004: only a connected stream socket is adopted, and it is made non-blocking.
#[test]
fn c_003_c_004_adopting_checks_and_makes_non_blocking() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ours = OsNetwork::adopt(ours.into()).unwrap();
    assert_eq!(ours.try_read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
    ours.try_write(b"x").unwrap();
    theirs.read_exact(&mut [0; 1]).unwrap();
    let (tcp, _peer) = tcp_pair();
    assert_eq!(tcp.option(SocketOptionName::NoDelay).unwrap(), SocketOption::NoDelay(true));

    let datagrams = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let error = OsNetwork::adopt(datagrams.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("stream"), "{error}");
    let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let error = OsNetwork::adopt(file.into()).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOTSOCK.raw_os_error()));
}

/// A listener that somebody else made, and neither kind for the other.
#[test]
fn listeners_are_adopted() {
    let theirs = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = theirs.local_addr().unwrap();
    let listener = OsNetwork::adopt_listener(theirs.into()).unwrap();
    assert_eq!(listener.try_accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut client = TcpStream::connect(at).unwrap();
    let mut selector = MioSelector::new().unwrap();
    let (server, peer) = accept(&mut selector, &*listener);
    assert_eq!(peer.as_inet(), Some(client.local_addr().unwrap()));
    assert_eq!(server.option(SocketOptionName::NoDelay).unwrap(), SocketOption::NoDelay(true));
    client.write_all(b"x").unwrap();
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
fn c_003_a_listener_is_not_adopted_as_a_stream_nor_the_other_way() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let error = OsNetwork::adopt(listener.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let (stream, _peer) = UnixStream::pair().unwrap();
    let error = OsNetwork::adopt_listener(stream.into()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[test]
fn options_are_set_and_asked() {
    let (ours, _theirs) = tcp_pair();
    for option in [
        SocketOption::NoDelay(false),
        SocketOption::KeepAlive(true),
        SocketOption::Linger(Some(std::time::Duration::from_secs(2))),
        SocketOption::Linger(None),
    ] {
        ours.set_option(option).unwrap();
        let name = match option {
            SocketOption::NoDelay(_) => SocketOptionName::NoDelay,
            SocketOption::KeepAlive(_) => SocketOptionName::KeepAlive,
            _ => SocketOptionName::Linger,
        };
        assert_eq!(ours.option(name).unwrap(), option);
    }
    ours.set_option(SocketOption::SendBuffer(32 * 1024)).unwrap();
    ours.set_option(SocketOption::ReceiveBuffer(32 * 1024)).unwrap();
    for name in [SocketOptionName::SendBuffer, SocketOptionName::ReceiveBuffer] {
        match ours.option(name).unwrap() {
            SocketOption::SendBuffer(n) | SocketOption::ReceiveBuffer(n) => {
                assert!(n >= 32 * 1024, "{name:?}: {n}");
            }
            other => panic!("{name:?} was asked for, {other:?} came"),
        }
    }
}
