//! Who was it? Where the sockets are a stranger's, and asking them for the peer is a call of a stranger's code (SV-015, T-023, T-024).
#![cfg(all(feature = "os", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod connect_support;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use connect_support::{Log, Recorder, address, on_real_sockets, reports, settle, until};
use millrun_loop::LoopHandle;
use millrun_selector::{
    Address, ConnectOptions, ListenOptions, Listener, Network, OsNetwork, ReadyCell, Socket,
    SocketOption, SocketOptionName, Source,
};
use millrun_transport::{Protocol, Serve, Server, Transport};

/// What the sockets of a test do.
#[derive(Default)]
struct Ways {
    /// No selector takes one without a descriptor.
    bodiless: Cell<bool>,
    reads_fail: Cell<bool>,
    writes_fail: Cell<bool>,
    peer_panics: Cell<bool>,
    /// How often one was asked for its peer.
    asked: Cell<u32>,
    /// How often somebody tried to accept bare.
    accepts: Cell<u32>,
    /// Called from inside a read, and from inside that question.
    calls_back: RefCell<Option<Rc<dyn Transport>>>,
    /// What the transport said of its peer then.
    said: RefCell<Vec<Option<Address>>>,
}

impl Ways {
    fn call_back(&self) -> Option<Rc<dyn Transport>> {
        let transport = self.calls_back.borrow().clone()?;
        let said = transport.peer_addr();
        self.said.borrow_mut().push(said);
        Some(transport)
    }
}

struct Strange(Box<dyn Socket>, Rc<Ways>);

impl fmt::Debug for Strange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strange")
    }
}

impl Source for Strange {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.fd().filter(|_| !self.1.bodiless.get())
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        self.0.readiness()
    }
}

impl Socket for Strange {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.reads_fail.get() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        self.1.call_back();
        self.0.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        if self.1.writes_fail.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.0.try_write(bytes)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.0.shutdown(how)
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.0.local_addr()
    }

    fn peer_addr(&self) -> io::Result<Address> {
        self.1.asked.set(self.1.asked.get() + 1);
        if let Some(transport) = self.1.call_back() {
            transport.abort();
        }
        assert!(!self.1.peer_panics.get(), "peer_addr on purpose");
        self.0.peer_addr()
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.0.take_error()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.0.set_option(option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.0.option(name)
    }
}

/// Gives such sockets: with the peer's address if it `tells`.
struct Gives {
    below: Box<dyn Listener>,
    ways: Rc<Ways>,
    tells: bool,
}

impl fmt::Debug for Gives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gives")
    }
}

impl Source for Gives {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.below.fd()
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        self.below.readiness()
    }

    fn prefers_level(&self) -> bool {
        self.below.prefers_level()
    }
}

impl Listener for Gives {
    fn try_accept(&self) -> io::Result<(Box<dyn Socket>, Address)> {
        let (socket, peer) = self.below.try_accept()?;
        Ok((Box::new(Strange(socket, self.ways.clone())), peer))
    }

    fn try_accept_bare(&self) -> io::Result<(Box<dyn Socket>, Option<Address>)> {
        self.ways.accepts.set(self.ways.accepts.get() + 1);
        if self.tells {
            let (socket, peer) = self.try_accept()?;
            return Ok((socket, Some(peer)));
        }
        let (socket, peer) = self.below.try_accept_bare()?;
        assert_eq!(peer, None, "of TCP, Linux tells it later");
        Ok((Box::new(Strange(socket, self.ways.clone())), peer))
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.below.local_addr()
    }
}

async fn serve<P: Protocol + 'static>(
    handle: &LoopHandle,
    tells: bool,
    factory: impl FnMut() -> P + 'static,
) -> (Server, Rc<Ways>, Log) {
    let reported = reports(handle);
    let below = OsNetwork.listen(&address("127.0.0.1:0"), &ListenOptions::default()).unwrap();
    let ways = Rc::new(Ways::default());
    let gives = Gives { below, ways: ways.clone(), tells };
    let server = Serve::listener(Box::new(gives)).serve(handle, factory).await.unwrap();
    (server, ways, reported)
}

fn connect(server: &Server) -> Box<dyn Socket> {
    OsNetwork.connect(&server.local_addrs()[0], &ConnectOptions::default()).unwrap()
}

/// The error that ends a connection is told, be the peer's name to be had or not.
#[test]
fn t_024_a_socket_that_panics_when_its_peer_is_asked_for_still_ends() {
    on_real_sockets(|handle| async move {
        for sends in [false, true] {
            let protocol = Recorder::new();
            let (factory, log) = (protocol.clone(), protocol.log.clone());
            let (server, ways, _) = serve(&handle, false, move || factory.clone()).await;
            let client = connect(&server);
            until(|| log.count("made") == 1).await;
            ways.peer_panics.set(true);
            if sends {
                ways.writes_fail.set(true);
                protocol.transport().write(b"x");
            } else {
                ways.reads_fail.set(true);
                client.try_write(b"x").unwrap();
            }
            until(|| server.connections() == 0).await;
            let what = if sends { "lost sending failed" } else { "lost receiving failed" };
            assert_eq!(log.count(what), 1, "{:?}", log.all());
        }
    });
}

/// What went wrong is told, and nobody hears of one panic only by another's abort.
#[test]
fn sv_016_a_socket_that_panics_when_its_peer_is_asked_for_hides_no_report() {
    struct Drops;
    impl Protocol for Drops {
        fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }
    impl Drop for Drops {
        fn drop(&mut self) {
            panic!("drop on purpose");
        }
    }
    on_real_sockets(|handle| async move {
        for is_made in [false, true] {
            let factory = move || {
                assert!(is_made, "no protocol today");
                Drops
            };
            let (server, ways, reported) = serve(&handle, false, factory).await;
            ways.peer_panics.set(true);
            ways.bodiless.set(true);
            let _client = connect(&server);
            until(|| !reported.all().is_empty()).await;
            settle().await;
            let reported = reported.take();
            let starts = |what: &str| reported.iter().filter(|told| told.starts_with(what)).count();
            assert_eq!(starts("error on transport creation"), 1, "{reported:?}");
            assert_eq!(starts("asking for the peer's address failed"), 1, "{reported:?}");
            assert_eq!(starts("dropping a protocol failed"), usize::from(is_made), "{reported:?}");
            assert_eq!((reported.len(), server.connections()), (2 + usize::from(is_made), 0));
        }
    });
}

/// SV-015: where accept has told the peer, the socket is not asked.
#[test]
fn sv_016_the_report_of_a_transport_that_cannot_be_made_names_the_peer() {
    on_real_sockets(|handle| async move {
        for tells in [false, true] {
            let (server, ways, reported) = serve(&handle, tells, Recorder::new).await;
            ways.bodiless.set(true);
            let client = connect(&server);
            let name = client.local_addr().unwrap();
            until(|| reported.all().len() == 1).await;
            let report = &reported.all()[0];
            assert!(report.contains(&format!("peer: {name}")), "{report}");
            assert!(ways.accepts.get() > 0);
            assert_eq!(
                ways.asked.get(),
                u32::from(!tells),
                "SV-015: who is known is not asked for"
            );
            assert_eq!(server.connections(), 0);
        }
    });
}

/// While it is on the stack its transport can't ask it; that it could not then is not what it knows afterwards.
#[test]
fn t_024_a_socket_that_calls_back_when_its_peer_is_asked_for_loses_nothing() {
    on_real_sockets(|handle| async move {
        let protocol = Recorder::new();
        let (factory, log) = (protocol.clone(), protocol.log.clone());
        let (server, ways, _) = serve(&handle, false, move || factory.clone()).await;
        let client = connect(&server);
        let name = Some(client.local_addr().unwrap());
        until(|| log.count("made") == 1).await;
        let transport = protocol.transport();
        ways.calls_back.replace(Some(transport.clone()));
        client.try_write(b"x").unwrap();
        until(|| log.count("data x") == 1).await;
        assert_eq!((ways.said.take(), ways.asked.get()), (vec![None], 0));
        assert_eq!(transport.peer_addr(), name);
        assert_eq!((ways.said.take(), ways.asked.get()), (vec![None], 1));
        until(|| server.connections() == 0).await;
        ways.calls_back.take();
        assert_eq!((transport.peer_addr(), ways.asked.get()), (name, 1));
        assert_eq!(log.all(), ["made", "data x", "lost"]);
    });
}
