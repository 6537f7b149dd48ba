//! Callbacks that panic, all of them and in all combinations: that connection ends, once and with the panic as
//! its error; nobody else hears of it, and nothing is left (invariants 2, 3, 10).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod faults_support;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use faults_support::{assert_nothing_left, reports, run_dry, sim_loop};
use millrun_loop::{EventLoop, LoopHandle, catch};
use millrun_selector::{Address, ConnectOptions};
use millrun_sim::{Call, Failure, Sim, SimPeer};
use millrun_transport::{
    Landing, Protocol, Serve, SocketTransport, Transport, TransportOptions, Watermarks,
};

const CALLBACKS: [&str; 10] =
    ["made", "landing", "data", "landed", "eof", "lost", "pause", "resume", "name", "drop"];

/// A payload that panics again when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the payload's drop");
    }
}

#[derive(Default)]
struct Heard {
    calls: RefCell<Vec<&'static str>>,
    error: RefCell<Option<String>>,
    drops: Cell<u32>,
}

/// Panics in each callback whose bit is set.
struct Faulty {
    panics: u32,
    heard: Rc<Heard>,
    transport: Option<Rc<dyn Transport>>,
    own: Option<[u8; 64]>,
}

impl Faulty {
    fn new(panics: u32, own: bool) -> (Faulty, Rc<Heard>) {
        let heard = Rc::new(Heard::default());
        let own = own.then_some([0; 64]);
        (Faulty { panics, heard: heard.clone(), transport: None, own }, heard)
    }

    fn comes(&self, callback: &'static str) {
        if callback != "name" {
            self.heard.calls.borrow_mut().push(callback);
        }
        let bit = CALLBACKS.iter().position(|name| *name == callback).unwrap();
        if self.panics & (1 << bit) != 0 {
            match bit % 3 {
                0 => panic!("{callback} on purpose"),
                1 => std::panic::panic_any(Bomb),
                _ => std::panic::resume_unwind(Box::new("quietly")),
            }
        }
    }
}

impl Protocol for Faulty {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.transport = Some(transport);
        self.comes("made");
    }

    fn landing(&mut self) -> Landing<'_> {
        self.comes("landing");
        match &mut self.own {
            Some(memory) => Landing::Own(memory),
            None => Landing::Shared(64),
        }
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.comes("data");
        let transport = self.transport.as_ref().unwrap();
        transport.write(data);
        Ok(())
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        self.comes("landed");
        let memory = self.own.unwrap();
        self.transport.as_ref().unwrap().write(&memory[..n]);
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        self.comes("eof");
        false
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        *self.heard.error.borrow_mut() = error.map(|error| error.to_string());
        self.comes("lost");
    }

    fn pause_writing(&mut self) {
        self.comes("pause");
    }

    fn resume_writing(&mut self) {
        self.comes("resume");
    }

    fn name(&self) -> &'static str {
        self.comes("name");
        "Faulty"
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.heard.drops.set(self.heard.drops.get() + 1);
        self.comes("drop");
    }
}

struct World {
    sim: Sim,
    event_loop: EventLoop,
    handle: LoopHandle,
    reported: Rc<RefCell<Vec<String>>>,
}

impl World {
    fn new() -> World {
        let sim = Sim::new(5);
        let event_loop = sim_loop(&sim);
        let handle = event_loop.handle();
        World { reported: reports(&handle), sim, event_loop, handle }
    }

    fn connect(&self, protocol: Faulty) -> (Rc<SocketTransport>, SimPeer) {
        let (socket, peer) = self.sim.scripted();
        let options = TransportOptions::default();
        let t = SocketTransport::new(&self.handle, socket, Box::new(protocol), options).unwrap();
        (t, peer)
    }

    fn turns(&mut self) {
        for _ in 0..6 {
            self.event_loop.turn(Some(Duration::ZERO)).unwrap();
        }
    }

    /// A life in which each callback has its reason.
    fn live(&mut self, t: &SocketTransport, peer: &SimPeer) {
        t.set_write_buffer_limits(Watermarks { low: 1, high: 3 }).unwrap();
        peer.set_send_window(0);
        self.turns();
        t.write(b"0123456789");
        self.turns();
        peer.set_send_window(usize::MAX);
        self.turns();
        peer.send(b"question");
        self.turns();
        peer.send_eof();
        self.turns();
        t.close();
        self.turns();
    }
}

fn in_order(calls: &[&str]) -> bool {
    let first = calls.first() == Some(&"made");
    let lost: Vec<_> = calls.iter().enumerate().filter(|(_, c)| **c == "lost").collect();
    let pauses: Vec<_> = calls.iter().filter(|c| ["pause", "resume"].contains(c)).collect();
    let alternates = pauses.iter().enumerate().all(|(i, c)| **c == ["pause", "resume"][i % 2]);
    let ended = matches!(lost[..], [(at, _)] if calls[at..] == ["lost", "drop"]);
    first && ended && alternates && calls.iter().filter(|c| **c == "eof").count() <= 1
}

#[test]
fn every_combination_of_panicking_callbacks_ends_that_connection_alone() {
    for handler_panics in [false, true] {
        let mut world = World::new();
        let mut neighbours = Vec::new();
        for own in [false, true] {
            let (protocol, heard) = Faulty::new(0, own);
            let (t, peer) = world.connect(protocol);
            neighbours.push((t, peer, heard));
        }
        if handler_panics {
            world.handle.set_exception_handler(Some(Rc::new(|_, _| panic!("the handler too"))));
        }
        for panics in 0..1u32 << CALLBACKS.len() {
            if handler_panics && panics % 41 != 0 {
                continue; // a handler that fails is noisy, and much the same each time
            }
            let own = panics % 2 == 0;
            let (protocol, heard) = Faulty::new(panics, own);
            let (t, peer) = world.connect(protocol);
            world.live(&t, &peer);
            let calls = heard.calls.borrow();
            assert!(in_order(&calls), "{panics:b}: {calls:?}");
            assert_eq!((heard.drops.get(), Rc::strong_count(&t)), (1, 1), "{panics:b}: {calls:?}");
            // The first that panicked is the error; what only connection_lost, a drop or a name did is none.
            let culprit = calls.iter().find(|name| {
                let bit = CALLBACKS.iter().position(|n| n == *name).unwrap();
                panics & (1 << bit) != 0 && !["lost", "drop", "name"].contains(name)
            });
            let error = heard.error.borrow();
            assert_eq!(error.is_some(), culprit.is_some(), "{panics:b}: {error:?} {calls:?}");
            assert!(error.as_ref().is_none_or(|e| e.contains("panicked")), "{error:?}");
            assert!(!peer.is_open());
            for (_, peer, heard) in &neighbours {
                peer.send([panics as u8]);
                heard.calls.borrow_mut().clear();
            }
            world.turns();
            for (_, peer, heard) in &neighbours {
                assert_eq!(peer.take_received(), [panics as u8]);
                assert!(!heard.calls.borrow().contains(&"lost"));
            }
        }
        neighbours.iter().for_each(|(t, ..)| t.close());
        world.turns();
        assert_nothing_left(&world.sim, &world.handle);
        assert_eq!(world.reported.borrow().is_empty(), handler_panics);
    }
}

/// A protocol that fails even while the loop closes, or whose connection could not be made.
#[test]
fn panics_while_the_loop_closes_keep_nobody_from_his_end() {
    for panics in 0..1u32 << CALLBACKS.len() {
        let mut world = World::new();
        let all: Vec<_> = (0..3)
            .map(|i| {
                let (protocol, heard) = Faulty::new(if i == 1 { panics } else { 0 }, i == 2);
                (world.connect(protocol), heard)
            })
            .collect();
        if panics % 2 == 0 {
            world.turns();
        }
        for ((t, _), _) in &all {
            t.write(b"last words");
        }
        world.event_loop.close();
        for (i, ((_, peer), heard)) in all.iter().enumerate() {
            let calls = heard.calls.borrow();
            assert!(in_order(&calls) && heard.drops.get() == 1, "{panics:b}, {i}: {calls:?}");
            assert!(i == 1 || peer.received() == b"last words");
        }
        assert_eq!((world.sim.open_sockets(), world.sim.registrations()), (0, 0));
    }
}

/// The transport of an accepted connection can't be made, and its protocol's drop panics: it is not counted.
#[test]
fn a_connection_that_cannot_be_made_and_whose_protocol_panics_is_not_counted() {
    let mut world = World::new();
    let at: Address = "10.0.0.1:80".parse::<std::net::SocketAddr>().unwrap().into();
    let (serve, drops_panic) = (Serve::address(at.clone()), 1 << 9);
    let factory = move || Faulty::new(drops_panic, false).0;
    let serving = serve.serve(&world.handle, factory);
    let server = world.event_loop.run_until_complete(serving).unwrap().unwrap();
    let network = world.sim.network();
    world.sim.fail_next(Call::Register, Failure::ENFILE);
    let refused = network.connect(&at, &ConnectOptions::default()).unwrap();
    world.turns();
    assert_eq!(server.connections(), 0, "{:?}", world.reported.borrow());
    let reported: Vec<_> = world.reported.take();
    assert_eq!(reported.len(), 2, "{reported:?}");
    assert!(reported[0].starts_with("dropping a protocol failed\n"), "{reported:?}");
    assert!(reported[1].starts_with("error on transport creation"), "{reported:?}");
    let client = network.connect(&at, &ConnectOptions::default()).unwrap();
    world.turns();
    assert_eq!(server.connections(), 1);
    drop((client, refused));
    world.turns();
    server.close();
    world.event_loop.run_until_complete(server.wait_closed()).unwrap();
    assert_nothing_left(&world.sim, &world.handle);
}

/// Timers, readers and plain callbacks: reported, and the loop goes on.
#[test]
fn callbacks_and_timers_that_panic_are_reported_one_by_one() {
    let mut world = World::new();
    let ran = Rc::new(Cell::new(0));
    for i in 0..100u64 {
        let ran = Rc::clone(&ran);
        let callback = move || {
            ran.set(ran.get() + 1);
            if i % 2 == 0 {
                panic!("number {i}");
            }
        };
        if i % 4 < 2 {
            world.handle.call_soon(callback).unwrap();
        } else {
            world.handle.call_later(Duration::from_millis(i), callback).unwrap();
        }
    }
    run_dry(&mut world.event_loop, Duration::from_secs(1));
    assert_eq!((ran.get(), world.reported.borrow().len()), (100, 50));
    assert!(catch(|| world.event_loop.run_until_complete(async { panic!("the root") })).is_err());
    assert_eq!(world.event_loop.run_until_complete(async { 7 }).unwrap(), 7);
    assert_nothing_left(&world.sim, &world.handle);
}
