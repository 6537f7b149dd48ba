//! Serving, over real sockets: TCP on loopback, Unix sockets and their files, want of descriptors.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[cfg(target_os = "linux")]
mod accept_queue;
mod connect_support;

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

#[cfg(target_os = "linux")]
use accept_queue::wait_for_queued;
use connect_support::{Recorder, address, child, on_real_sockets, reports, settle, until};
use millrun_loop::EventLoop;
use millrun_selector::{Address, Clock, OsNetwork, SocketOption, SocketOptionName, Time};
#[cfg(target_os = "linux")]
use millrun_selector::{ListenOptions, Listener, Network, Socket, Source};
#[cfg(target_os = "linux")]
use millrun_transport::Listeners;
use millrun_transport::{Serve, Server, create_server};

/// A path of this test alone, with nothing there.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("millrun-{}-{name}", std::process::id()));
    let _ = fs::remove_file(&path);
    path
}

fn port(server: &Server) -> u16 {
    server.local_addrs()[0].port().unwrap()
}

#[test]
fn sv_001_a_server_answers_over_tcp() {
    on_real_sockets(|handle| async move {
        let protocol = Recorder { echo: true, ..Recorder::new() };
        let log = protocol.log.clone();
        let server =
            create_server(&handle, "localhost", 0, move || protocol.clone()).await.unwrap();
        let at = server.local_addrs()[0].as_inet().unwrap();
        let mut client = TcpStream::connect(at).unwrap();
        client.write_all(b"ping").unwrap();
        until(|| log.count("data ping") == 1).await;
        let mut answer = [0; 4];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"ping");
        server.close();
        drop(client);
        server.wait_closed().await;
        assert_eq!(log.take(), ["made", "data ping", "eof", "lost"]);
    });
}

/// SV-015 and SV-007 too.
#[test]
fn c_016_accepted_sockets_have_nodelay_keepalive_as_asked_and_the_peers_address() {
    on_real_sockets(|handle| async move {
        for keep_alive in [false, true] {
            let protocol = Recorder::new();
            let factory = protocol.clone();
            let server = Serve::on("127.0.0.1", 0).keep_alive(keep_alive);
            let server = server.serve(&handle, move || factory.clone()).await.unwrap();
            let client = TcpStream::connect(("127.0.0.1", port(&server))).unwrap();
            until(|| protocol.log.count("made") == 1).await;
            let transport = protocol.transport();
            let option = |name| transport.option(name).unwrap();
            assert_eq!(option(SocketOptionName::NoDelay), SocketOption::NoDelay(true));
            assert_eq!(option(SocketOptionName::KeepAlive), SocketOption::KeepAlive(keep_alive));
            assert_eq!(transport.peer_addr(), Some(client.local_addr().unwrap().into()));
            transport.abort();
        }
    });
}

#[test]
fn sv_006_ipv6_and_ipv4_share_a_port_and_sv_029_port_0_differs() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return eprintln!("skipped: no IPv6 here");
    }
    on_real_sockets(|handle| async move {
        // Each family draws its port alone. Both may draw the same, and another process may have the IPv4 port of
        // the number that IPv6 drew: neither happens each time.
        let mut kept = Vec::new();
        for _ in 0..5 {
            let server = create_server(&handle, None::<&str>, 0, Recorder::new).await.unwrap();
            let at = server.local_addrs();
            assert_eq!(at.len(), 2, "one socket per family: {at:?}");
            let differ = at[0].port() != at[1].port();
            // The wildcard of IPv6 leaves the same port of IPv4 free: bind it by number.
            let v6 = at.iter().find(|at| at.as_inet().unwrap().is_ipv6()).unwrap();
            let same = address(&format!("0.0.0.0:{}", v6.port().unwrap()));
            match Serve::address(same).serve(&handle, Recorder::new).await {
                Ok(_) if differ => return,
                Ok(_) => {}
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}"),
            }
            kept.push(server);
        }
        panic!("expected two ports that differ, and IPv6's free in IPv4: {kept:?}");
    });
}

#[test]
fn sv_007_reuse_port_only_on_request() {
    on_real_sockets(|handle| async move {
        let first = Serve::on("127.0.0.1", 0).reuse_port(true);
        let first = first.serve(&handle, Recorder::new).await.unwrap();
        let again = || Serve::on("127.0.0.1", port(&first));
        let error = again().serve(&handle, Recorder::new).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(again().reuse_port(true).serve(&handle, Recorder::new).await.unwrap());
    });
}

#[test]
fn sv_008_an_address_in_use_is_named_with_its_number() {
    on_real_sockets(|handle| async move {
        let first = create_server(&handle, "127.0.0.1", 0, Recorder::new).await.unwrap();
        let at = first.local_addrs().remove(0);
        let error = Serve::address(at.clone()).serve(&handle, Recorder::new).await.unwrap_err();
        assert!(error.raw_os_error().is_some());
        let text = format!("error while attempting to bind on address {at}: ");
        assert!(error.to_string().starts_with(&text), "{error}");
    });
}

#[test]
fn sv_009_an_address_of_nobody_here_is_skipped() {
    on_real_sockets(|handle| async move {
        // TEST-NET-1: no machine's.
        let both = [address("192.0.2.1:0"), address("127.0.0.1:0")];
        let server = Serve::addresses(both).serve(&handle, Recorder::new).await.unwrap();
        assert_eq!(server.local_addrs().len(), 1);
        let none = Serve::on("192.0.2.1", 0).serve(&handle, Recorder::new).await.unwrap_err();
        let text = "could not bind on any address out of [192.0.2.1:0]: ";
        assert!(none.to_string().starts_with(text), "{none}");
    });
}

#[test]
fn sv_017_after_close_connects_are_refused() {
    on_real_sockets(|handle| async move {
        let server = create_server(&handle, "127.0.0.1", 0, Recorder::new).await.unwrap();
        let port = port(&server);
        server.close();
        let refused = TcpStream::connect(("127.0.0.1", port)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        server.wait_closed().await;
    });
}

#[test]
fn u_004_a_stale_socket_file_is_replaced_and_any_other_file_stays() {
    let (stale, other) = (path("stale"), path("other"));
    drop(UnixListener::bind(&stale).unwrap());
    File::create(&other).unwrap();
    on_real_sockets(|handle| async move {
        let server = Serve::unix(&stale).serve(&handle, Recorder::new).await.unwrap();
        assert_eq!(server.local_addrs(), [Address::from(stale.as_path())]);
        UnixStream::connect(&stale).unwrap();
        server.close();
        assert!(!stale.exists(), "U-006: removed on close");
        let error = Serve::unix(&other).serve(&handle, Recorder::new).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains(other.to_str().unwrap()), "{error}");
        assert!(other.exists());
        fs::remove_file(other).unwrap();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn u_005_an_abstract_address_touches_no_file() {
    on_real_sockets(|handle| async move {
        let name = path("abstract").into_os_string().into_encoded_bytes();
        let at = Address::UnixAbstract(name.into());
        let server = Serve::address(at.clone()).serve(&handle, Recorder::new).await.unwrap();
        assert!(!path("abstract").exists());
        let connect = millrun_transport::Connect::address(at).connect(&handle, Recorder::new);
        connect.await.unwrap().abort();
        server.close();
    });
}

#[test]
fn u_007_a_file_that_is_gone_or_replaced_or_to_be_kept_is_left_alone() {
    on_real_sockets(|handle| async move {
        let at = path("gone");
        let server = Serve::unix(&at).serve(&handle, Recorder::new).await.unwrap();
        fs::remove_file(&at).unwrap();
        server.close();

        let server = Serve::unix(&at).serve(&handle, Recorder::new).await.unwrap();
        // Made while the old one is still there: the inode can't be the same.
        let newer = path("newer");
        let newcomer = UnixListener::bind(&newer).unwrap();
        fs::rename(&newer, &at).unwrap();
        let inode = fs::metadata(&at).unwrap().ino();
        server.close();
        assert_eq!(fs::metadata(&at).unwrap().ino(), inode);
        drop(newcomer);

        let server = Serve::unix(&at).clean_up(false).serve(&handle, Recorder::new).await.unwrap();
        server.close();
        assert!(at.exists());
        fs::remove_file(at).unwrap();
    });
}

#[test]
fn u_008_a_server_made_of_a_given_socket_cleans_its_path_too() {
    let at = path("given");
    let listener = UnixListener::bind(&at).unwrap();
    on_real_sockets(|handle| async move {
        let listener = OsNetwork::adopt_listener(listener.into()).unwrap();
        let protocol = Recorder::new();
        let log = protocol.log.clone();
        let server = Serve::listener(listener).serve(&handle, move || protocol.clone());
        let server = server.await.unwrap();
        let mut client = UnixStream::connect(&at).unwrap();
        client.write_all(b"x").unwrap();
        until(|| log.count("data x") == 1).await;
        server.close();
        assert!(!at.exists());
    });
}

#[test]
fn u_011_a_failed_bind_closes_the_socket() {
    const NAME: &str = "u_011_a_failed_bind_closes_the_socket";
    if !child::is_one() {
        return child::run(NAME, None);
    }
    if !std::path::Path::new("/proc/self/fd").exists() {
        return eprintln!("skipped: descriptors can't be counted here");
    }
    on_real_sockets(|handle| async move {
        let before = child::open_descriptors();
        let error = Serve::unix("/nonexistent/x").serve(&handle, Recorder::new).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert_eq!(child::open_descriptors(), before);
    });
}

/// A clock that the test moves, so that the second of a pause need not be waited for.
#[derive(Debug, Default)]
struct Hand(Cell<Time>);

impl Clock for Hand {
    fn now(&self) -> Time {
        self.0.get()
    }
}

/// D-07 on the real thing: a process with 40 descriptors.
#[test]
fn sv_013_without_descriptors_service_goes_on() {
    const NAME: &str = "sv_013_without_descriptors_service_goes_on";
    if !child::is_one() {
        return child::run(NAME, Some(40));
    }
    let clock = Rc::new(Hand::default());
    let mut event_loop = EventLoop::builder().clock(clock.clone()).build().unwrap();
    let handle = event_loop.handle();
    let reported = reports(&handle);
    let protocol = Recorder { echo: true, ..Recorder::new() };
    let log = protocol.log.clone();
    let server = event_loop
        .run_until_complete(create_server(&handle, "127.0.0.1", 0, move || protocol.clone()))
        .unwrap()
        .unwrap();
    let connect = || TcpStream::connect(("127.0.0.1", port(&server))).unwrap();
    let mut turn = |done: &dyn Fn() -> bool| {
        for _ in 0..1000 {
            if done() {
                return;
            }
            event_loop.turn(Some(Duration::from_millis(10))).unwrap();
        }
        panic!("it never came: {:?} {:?}", log.all(), reported.all());
    };
    let mut served = connect();
    turn(&|| server.connections() == 1);

    // All descriptors are gone but one, and that one is the next client's.
    let mut hoard: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    hoard.pop();
    let mut waiting = connect();
    waiting.write_all(b"late").unwrap();
    turn(&|| !reported.all().is_empty());
    served.write_all(b"early").unwrap();
    turn(&|| log.count("data early") == 1);
    assert_eq!(reported.all().len(), 1, "{:?}", reported.all());
    assert!(reported.all()[0].starts_with("socket.accept() out of system resource"));

    // A second later there are some again.
    hoard.clear();
    clock.0.set(clock.0.get() + Duration::from_secs(1));
    turn(&|| log.count("data late") == 1);
    assert_eq!((server.connections(), reported.all().len()), (2, 1));
    server.abort_clients();
    turn(&|| server.connections() == 0);
}

/// Invariant 10, over many connections.
#[test]
fn ten_connections_at_a_time_leak_no_descriptor() {
    const NAME: &str = "ten_connections_at_a_time_leak_no_descriptor";
    if !child::is_one() {
        return child::run(NAME, None);
    }
    if !std::path::Path::new("/proc/self/fd").exists() {
        return eprintln!("skipped: descriptors can't be counted here");
    }
    on_real_sockets(|handle| async move {
        let server = create_server(&handle, "127.0.0.1", 0, Recorder::new).await.unwrap();
        let before = child::open_descriptors();
        for round in 0..20 {
            let connect = |_| TcpStream::connect(("127.0.0.1", port(&server))).unwrap();
            let clients: Vec<_> = (0..10).map(connect).collect();
            until(|| server.connections() == 10).await;
            if round % 2 == 0 {
                server.abort_clients();
            }
            drop(clients);
            until(|| server.connections() == 0).await;
            settle().await;
        }
        assert_eq!(child::open_descriptors(), before);
    });
}

/// A listener whose accepts are counted: all of them, and those that found nobody.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Counting(Box<dyn Listener>, Rc<Cell<(u32, u32)>>);

#[cfg(target_os = "linux")]
impl Source for Counting {
    fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.fd()
    }

    fn readiness(&self) -> Option<&Rc<millrun_selector::ReadyCell>> {
        self.0.readiness()
    }

    fn prefers_level(&self) -> bool {
        self.0.prefers_level()
    }
}

#[cfg(target_os = "linux")]
impl Listener for Counting {
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        let accepted = self.0.try_accept();
        let (all, vain) = self.1.get();
        self.1.set((all + 1, vain + u32::from(accepted.is_err())));
        accepted
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.0.local_addr()
    }
}

#[cfg(target_os = "linux")]
fn counting(backlog: u32) -> (Serve<Listeners>, Rc<Cell<(u32, u32)>>) {
    let mut options = ListenOptions::default();
    options.backlog = backlog;
    let listener = OsNetwork.listen(&address("127.0.0.1:0"), &options).unwrap();
    let counts = Rc::new(Cell::new((0, 0)));
    let serve = Serve::listener(Box::new(Counting(listener, counts.clone())));
    (serve.backlog(backlog), counts)
}

#[test]
#[cfg(target_os = "linux")]
fn sv_011_connections_that_come_one_by_one_cost_one_accept_each() {
    on_real_sockets(|handle| async move {
        let (serve, counts) = counting(100);
        let server = serve.serve(&handle, Recorder::new).await.unwrap();
        let mut clients = Vec::new();
        for n in 1..=50 {
            clients.push(TcpStream::connect(("127.0.0.1", port(&server))).unwrap());
            until(|| server.connections() == n).await;
        }
        settle().await;
        // The first event of a server tries until it finds nobody; the next one that does is 256 events later.
        assert_eq!(counts.get(), (51, 1));
        server.abort_clients();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn sv_011_connections_that_wait_are_accepted_in_one_event() {
    on_real_sockets(|handle| async move {
        let (serve, counts) = counting(100);
        let server = serve.start_serving(false).serve(&handle, Recorder::new).await.unwrap();
        let at = port(&server);
        let connect = |n| (0..n).map(|_| TcpStream::connect(("127.0.0.1", at)).unwrap());
        let mut clients: Vec<_> = connect(60).collect();
        wait_for_queued(at, 60);
        server.start_serving().unwrap();
        let before = handle.metrics().io_events;
        until(|| server.connections() > 0).await;
        assert_eq!((server.connections(), counts.get()), (60, (61, 1)));
        assert_eq!(handle.metrics().io_events - before, 1);
        // It found many, so the next event takes all, too.
        clients.extend(connect(10));
        wait_for_queued(at, 10);
        until(|| server.connections() > 60).await;
        assert_eq!((server.connections(), counts.get()), (70, (72, 2)));
        server.abort_clients();
    });
}

/// However long the queue: what is queued for those that were accepted is bounded, and others come in between.
#[test]
#[cfg(target_os = "linux")]
fn sv_011_one_event_accepts_a_hundred_or_so_at_most() {
    on_real_sockets(|handle| async move {
        let (serve, counts) = counting(400);
        let server = serve.start_serving(false).serve(&handle, Recorder::new).await.unwrap();
        let at = port(&server);
        let clients: Vec<_> = (0..300).map(|_| TcpStream::connect(("127.0.0.1", at))).collect();
        assert!(clients.iter().all(Result::is_ok));
        wait_for_queued(at, 300);
        server.start_serving().unwrap();
        let before = handle.metrics().io_events;
        until(|| server.connections() == 300).await;
        assert_eq!(handle.metrics().io_events - before, 3, "128, 128 and 44");
        assert_eq!(counts.get(), (301, 1));
        server.abort_clients();
    });
}

/// A pause takes the kernel's telling away; it comes back with the listener.
#[test]
#[cfg(target_os = "linux")]
fn sv_013_after_a_pause_an_accept_is_as_cheap_as_before() {
    struct Failing(Counting, Cell<bool>);
    impl std::fmt::Debug for Failing {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            self.0.fmt(f)
        }
    }
    impl Source for Failing {
        fn fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
            self.0.fd()
        }
        fn readiness(&self) -> Option<&Rc<millrun_selector::ReadyCell>> {
            self.0.readiness()
        }
        fn prefers_level(&self) -> bool {
            true
        }
    }
    impl Listener for Failing {
        fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
            if self.1.take() {
                return Err(io::Error::from_raw_os_error(24)); // EMFILE
            }
            self.0.try_accept()
        }
        fn local_addr(&self) -> io::Result<Address> {
            self.0.local_addr()
        }
    }
    on_real_sockets(|handle| async move {
        let reported = reports(&handle);
        let listener =
            OsNetwork.listen(&address("127.0.0.1:0"), &ListenOptions::default()).unwrap();
        let counts = Rc::new(Cell::new((0, 0)));
        let counting = Counting(listener, counts.clone());
        let failing = Failing(counting, Cell::new(true));
        let server = Serve::listener(Box::new(failing));
        let server = server.serve(&handle, Recorder::new).await.unwrap();
        let mut clients = Vec::new();
        for n in 1..=10 {
            clients.push(TcpStream::connect(("127.0.0.1", port(&server))).unwrap());
            until(|| server.connections() == n).await;
        }
        assert_eq!(reported.all().len(), 1);
        settle().await;
        assert!(counts.get().1 <= 1, "{:?} accepts and found nobody", counts.get());
        server.abort_clients();
    });
}
