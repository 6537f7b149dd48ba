//! A socket of a stranger's, whose methods call back into the transport that calls them, or panic: nothing is
//! borrowed twice, the callbacks keep their order, and the account of the bytes is right (invariants 2, 4, 9, 10).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod faults_support;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use faults_support::{Seed, assert_nothing_left, reports, run_dry, seeds, sim_loop};
use millrun_loop::LoopHandle;
use millrun_selector::{Address, ReadyCell, Socket, SocketOption, SocketOptionName, Source};
use millrun_sim::{Rng, Sim, SimPeer};
use millrun_transport::{
    CloseOutcome, ConnectionOwner, Flow, Protocol, SocketTransport, Transport, TransportFamily,
    TransportOptions, Watermarks,
};

/// What the socket, the protocol and the test share.
struct World {
    transport: RefCell<Option<Rc<SocketTransport>>>,
    rng: RefCell<Rng>,
    /// Calls left that do something.
    actions: Cell<u32>,
    panics: bool,
    panics_next: Cell<bool>,
    /// The next call of this name panics.
    panics_in: Cell<&'static str>,
    /// A write takes all, and says that it took more.
    boasts: Cell<bool>,
    /// Done by the next send.
    in_send: Cell<Option<fn(&SocketTransport)>>,
    /// What the socket was asked.
    asked: RefCell<Vec<String>>,
    /// Bytes that a write took, and those that were offered to one that was closed meanwhile: such a write may
    /// have taken them before.
    accepted: Cell<usize>,
    offered: Cell<usize>,
    calls: RefCell<Vec<&'static str>>,
}

impl World {
    fn new(seed: u64, panics: bool) -> Rc<World> {
        Rc::new(World {
            transport: RefCell::default(),
            rng: RefCell::new(Rng::new(seed)),
            actions: Cell::new(0),
            panics,
            panics_next: Cell::new(false),
            panics_in: Cell::new(""),
            boasts: Cell::new(false),
            in_send: Cell::new(None),
            asked: RefCell::default(),
            accepted: Cell::new(0),
            offered: Cell::new(0),
            calls: RefCell::default(),
        })
    }

    fn pick(&self, below: u64) -> u64 {
        self.rng.borrow_mut().within(0..below)
    }

    /// From inside a call of the socket.
    fn call_back(&self, call: &str) {
        self.asked.borrow_mut().push(call.to_owned());
        if call.starts_with("try_write") {
            if let (Some(act), Some(t)) = (self.in_send.take(), &*self.transport.borrow()) {
                act(t);
            }
        }
        let is_it = self.panics_in.get() == call;
        if is_it {
            self.panics_in.take();
        }
        if is_it || self.panics_next.take() {
            panic!("{call} on purpose");
        }
        let Some(left) = self.actions.get().checked_sub(1) else { return };
        self.actions.set(left);
        if self.panics && self.pick(10) == 0 {
            panic!("{call} on purpose");
        }
        for _ in 0..self.pick(3) {
            self.act(60);
        }
    }

    /// One random call; an end is as rare as this.
    fn act(&self, rare: u64) {
        let Some(t) = self.transport.borrow().clone() else { return };
        match self.pick(rare) {
            0 => t.close(),
            1 => t.abort(),
            2 => t.write_eof(),
            3 => t.fail(io::Error::other("made up")),
            4 => t.close_within(Duration::from_secs(1)),
            n if n % 8 == 0 => t.flush(),
            n if n % 8 == 1 => t.pause_reading(),
            n if n % 8 == 2 => t.resume_reading(),
            n if n % 8 == 3 => t.set_gathering(self.pick(2) == 0),
            n if n % 8 == 4 => {
                let high = self.pick(3000) as usize;
                t.set_write_buffer_limits(Watermarks::from_high(high)).unwrap();
            }
            n if n % 8 == 5 => {
                drop(format!("{t:?} {:?} {}", t.local_addr(), t.write_buffer_size()))
            }
            _ => {
                let len = [0, 1, 100, 20_000][self.pick(4) as usize];
                let was_closing = t.is_closing();
                if t.write(&vec![b'x'; len]) == Flow::Closed {
                    let lost = if was_closing { 0 } else { len };
                    self.offered.set(self.offered.get() + lost);
                } else {
                    self.accepted.set(self.accepted.get() + len);
                }
            }
        }
    }
}

struct Keeper(Rc<World>);

impl Protocol for Keeper {
    fn connection_made(&mut self, _: Rc<dyn Transport>) {
        self.0.calls.borrow_mut().push("made");
    }

    fn data_received(&mut self, _: &[u8]) -> io::Result<()> {
        self.0.calls.borrow_mut().push("data");
        self.0.act(60);
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        self.0.calls.borrow_mut().push("eof");
        true
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.0.calls.borrow_mut().push("lost");
    }
}

struct Stranger {
    inner: Box<dyn Socket>,
    world: Rc<World>,
}

impl std::fmt::Debug for Stranger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stranger")
    }
}

impl Source for Stranger {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.inner.fd()
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        self.inner.readiness()
    }
}

impl Socket for Stranger {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.world.call_back("try_read");
        self.inner.try_read(buffer)
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.world.call_back("try_write");
        let boast = if self.world.boasts.get() { 1000 } else { 0 };
        self.inner.try_write(bytes).map(|n| n + boast)
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.world.call_back("try_write_vectored");
        let boast = if self.world.boasts.get() { 1000 } else { 0 };
        self.inner.try_write_vectored(pieces).map(|n| n + boast)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.world.call_back("shutdown");
        self.inner.shutdown(how)
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.world.call_back("local_addr");
        self.inner.local_addr()
    }

    fn peer_addr(&self) -> io::Result<Address> {
        self.inner.peer_addr()
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.inner.set_option(option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.inner.option(name)
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.world.call_back("drop");
    }
}

fn connect(sim: &Sim, handle: &LoopHandle, world: &Rc<World>) -> (Rc<SocketTransport>, SimPeer) {
    let (inner, peer) = sim.scripted();
    let socket = Box::new(Stranger { inner, world: Rc::clone(world) });
    let (protocol, options) = (Box::new(Keeper(Rc::clone(world))), TransportOptions::default());
    let t = SocketTransport::new(handle, socket, protocol, options).unwrap();
    *world.transport.borrow_mut() = Some(Rc::clone(&t));
    (t, peer)
}

fn run(seed: u64, panics: bool) {
    let _seed = Seed(seed);
    let sim = Sim::new(seed);
    let mut event_loop = sim_loop(&sim);
    let handle = event_loop.handle();
    let _reports = reports(&handle);
    let world = World::new(seed, panics);
    let (t, peer) = connect(&sim, &handle, &world);
    world.actions.set(60);
    let mut window = 0;
    for _ in 0..40 {
        // The test is not the loop: a panic of the socket's comes through here.
        let _ = millrun_loop::catch(|| world.act(300));
        window += world.pick(4000) as usize;
        peer.set_send_window(window);
        peer.send(b"something to read");
        event_loop.turn(Some(Duration::from_millis(1))).unwrap();
    }
    world.actions.set(0);
    peer.set_send_window(usize::MAX);
    run_dry(&mut event_loop, Duration::from_secs(1));
    t.resume_reading();
    t.close();
    run_dry(&mut event_loop, Duration::from_secs(100));
    let calls = world.calls.borrow();
    assert!(calls.first() == Some(&"made") && calls.last() == Some(&"lost"), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| ["made", "lost"].contains(call)).count(), 2);
    let unsent = match t.close_outcome().unwrap() {
        CloseOutcome::Flushed => 0,
        CloseOutcome::Unsent(unsent) => unsent,
    };
    let (sent, accepted) = (peer.received().len(), world.accepted.get());
    let most = accepted + world.offered.get();
    // (What a write would have said that panicked on its way, nobody knows.)
    let right = panics || (accepted..=most).contains(&(sent + unsent));
    assert!(right, "{sent} sent, {unsent} not, of {accepted} to {most}");
    assert_eq!(t.write_buffer_size(), 0);
    world.transport.take();
    assert_nothing_left(&sim, &handle);
    drop(event_loop);
    assert_eq!((Rc::strong_count(&t), Rc::strong_count(&world)), (1, 1));
}

#[test]
fn a_socket_that_calls_back_sees_no_borrow_and_loses_no_count() {
    seeds(300).for_each(|seed| run(seed, false));
}

#[test]
fn a_socket_that_panics_does_not_take_the_loop_along() {
    seeds(100).for_each(|seed| run(seed, true));
}

/// A send that panics is a write error, be it inside the write, at the end of a unit, or when the socket is
/// writable again; a read that panics is an error too. None leaves a loop that spins.
#[test]
fn a_call_of_the_socket_that_panics_ends_the_connection() {
    for place in 0..4 {
        let sim = Sim::new(0);
        let mut event_loop = sim_loop(&sim);
        let handle = event_loop.handle();
        let _reports = reports(&handle);
        let world = World::new(0, false);
        let (t, peer) = connect(&sim, &handle, &world);
        event_loop.turn(None).unwrap();
        if place == 2 {
            peer.set_send_window(0);
            t.write(b"x");
            event_loop.turn(None).unwrap();
            peer.set_send_window(usize::MAX);
        }
        world.panics_next.set(true);
        match place {
            0 => assert_eq!(t.write(&[0; 50_000]), Flow::Closed),
            1 => assert_eq!(handle.unit(|| t.write(b"gathered")), Flow::Open),
            2 => {}
            _ => peer.send(b"x"),
        }
        run_dry(&mut event_loop, Duration::from_secs(10));
        assert!(!world.panics_next.get());
        assert_eq!(*world.calls.borrow(), ["made", "lost"], "{place}: {t:?}");
        let turns = handle.metrics().turns;
        assert!(turns < 100, "{turns} turns: the loop spins");
        world.transport.take();
        assert_nothing_left(&sim, &handle);
    }
}

/// Counts the connections that are over.
struct Owner(Rc<World>, Cell<u32>);

impl ConnectionOwner for Owner {
    fn connection_over(&self, _: u32) {
        self.1.set(self.1.get() + 1);
        self.0.call_back("owner");
    }
}

/// What panics when all is over is reported, and the rest of the end comes all the same.
#[test]
fn what_panics_at_the_end_is_reported() {
    for call in ["try_read", "local_addr", "drop", "owner"] {
        let sim = Sim::new(0);
        let mut event_loop = sim_loop(&sim);
        let handle = event_loop.handle();
        let reports = reports(&handle);
        let world = World::new(0, false);
        let owner = Rc::new(Owner(Rc::clone(&world), Cell::new(0)));
        let weak: Weak<dyn ConnectionOwner> = Rc::downgrade(&owner) as Weak<dyn ConnectionOwner>;
        let family =
            TransportFamily::new(&handle, &TransportOptions::default(), Some(weak)).unwrap();
        let (inner, peer) = sim.scripted();
        let socket = Box::new(Stranger { inner, world: Rc::clone(&world) });
        let protocol = Box::new(Keeper(Rc::clone(&world)));
        let t = family.transport(socket, protocol, None, 7).unwrap();
        event_loop.turn(None).unwrap();
        t.pause_reading();
        t.write(b"answered");
        t.flush();
        if call == "try_read" {
            // Whether anything is unread, which would make it linger, is asked at the end.
            peer.send(b"unread");
        }
        world.panics_in.set(call);
        t.close();
        for _ in 0..5 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        let reports = reports.take();
        let told = reports.iter().all(|report| {
            report.starts_with("ending a connection failed")
                && report.contains(&format!("{call} on purpose"))
        });
        assert!(reports.len() == 1 && told, "{call}: {reports:?}");
        assert_eq!((&*world.calls.borrow(), owner.1.get()), (&vec!["made", "lost"], 1));
        assert_nothing_left(&sim, &handle);
    }
}

/// T-023: the address of this end is asked for while there is a socket, if somebody is left who could want it.
#[test]
fn nobody_is_asked_for_an_address_that_nobody_can_want() {
    for kept in [true, false] {
        let sim = Sim::new(0);
        let mut event_loop = sim_loop(&sim);
        let world = World::new(0, false);
        let (t, peer) = connect(&sim, &event_loop.handle(), &world);
        world.transport.take();
        event_loop.turn(None).unwrap();
        let t = Some(t).filter(|_| kept);
        peer.reset();
        for _ in 0..5 {
            event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(*world.calls.borrow(), ["made", "lost"]);
        assert_eq!(world.asked.borrow().contains(&"local_addr".to_owned()), kept);
        assert!(t.is_none_or(|t| t.local_addr().is_some()));
    }
}

/// A socket that says it took more than there was took all of it.
#[test]
fn a_socket_that_boasts_of_what_it_took_loses_nothing() {
    let sim = Sim::new(0);
    let mut event_loop = sim_loop(&sim);
    let handle = event_loop.handle();
    let world = World::new(0, false);
    let (t, peer) = connect(&sim, &handle, &world);
    event_loop.turn(None).unwrap();
    world.boasts.set(true);
    t.write(b"gathered, ");
    t.flush();
    t.writelines(&[b"in pieces, ", &[b'x'; 20_000]]);
    t.write(b"behind");
    t.close();
    for _ in 0..5 {
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!((t.close_outcome(), peer.received().len()), (Some(CloseOutcome::Flushed), 20_027));
    assert_eq!(*world.calls.borrow(), ["made", "lost"]);
    world.transport.take();
    assert_nothing_left(&sim, &handle);
}

/// A close, or an end of writing, from inside a send waits for what that send does not take.
#[test]
fn what_is_being_sent_is_not_over_yet() {
    for close in [true, false] {
        let sim = Sim::new(0);
        let mut event_loop = sim_loop(&sim);
        let handle = event_loop.handle();
        let world = World::new(0, false);
        let (t, peer) = connect(&sim, &handle, &world);
        event_loop.turn(None).unwrap();
        peer.set_send_window(3);
        world.in_send.set(Some(if close { |t| t.close() } else { |t| t.write_eof() }));
        t.write(b"0123456789");
        t.flush();
        for window in [3, usize::MAX] {
            peer.set_send_window(window);
            for _ in 0..3 {
                event_loop.turn(Some(Duration::ZERO)).unwrap();
            }
            assert_eq!(peer.saw_eof(), window == usize::MAX);
        }
        assert_eq!(peer.received(), b"0123456789");
        let lost = world.calls.borrow().contains(&"lost");
        assert_eq!(lost, close);
        t.abort();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        world.transport.take();
        assert_nothing_left(&sim, &handle);
    }
}
