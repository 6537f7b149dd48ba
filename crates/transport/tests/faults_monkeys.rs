//! Whatever anybody does, and wherever: no byte is lost that was said to be sent, none comes twice, and the
//! callbacks keep their order (invariants 2 to 5, 7, 9, 10). Both ends of each connection are transports
//! of one loop; their protocols do random things to all of them from inside every callback, over a kernel that
//! misbehaves. Replay one with `MILLRUN_SEED=n`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod faults_support;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use faults_support::{Seed, assert_nothing_left, misbehave, reports, run_dry, seeds, sim_loop};
use millrun_loop::EventLoop;
use millrun_sim::{Delay, Jitter, Rng, Sim};
use millrun_transport::{
    CloseOutcome, Flow, Landing, Protocol, SocketTransport, Transport, TransportOptions, Watermarks,
};

/// Byte `at` of what side `side` writes.
fn byte(side: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(7) ^ side.wrapping_mul(101)) as u8
}

/// What is known of one side of a connection.
#[derive(Default)]
struct Side {
    transport: RefCell<Option<Rc<SocketTransport>>>,
    /// Bytes that a write took.
    accepted: Cell<usize>,
    received: Cell<usize>,
    made: Cell<u32>,
    eof: Cell<u32>,
    lost: Cell<u32>,
    panicked: Cell<bool>,
    error: RefCell<Option<String>>,
    /// What the protocol that is in place was told.
    told: Cell<bool>,
    protocols: Cell<usize>,
}

struct Zoo {
    sides: Vec<Side>,
    rng: RefCell<Rng>,
    /// Actions left: a zoo must come to rest.
    actions: Cell<usize>,
    /// The length of a large write.
    large: u64,
    /// How often a callback panics, in a thousand.
    panics: u64,
    /// Ends of connections are as rare as this, in a thousand.
    ends: u64,
    broken: RefCell<Vec<String>>,
}

impl Zoo {
    fn pick(&self, range: std::ops::Range<u64>) -> u64 {
        self.rng.borrow_mut().within(range)
    }

    fn fail(&self, side: usize, text: impl Into<String>) {
        self.broken.borrow_mut().push(format!("side {side}: {}", text.into()));
    }

    fn transport(&self, side: usize) -> Option<Rc<SocketTransport>> {
        self.sides[side].transport.borrow().clone()
    }

    /// Some random actions.
    fn act(self: &Rc<Zoo>, own: Option<usize>) {
        for _ in 0..self.pick(0..3) {
            let Some(left) = self.actions.get().checked_sub(1) else { return };
            self.actions.set(left);
            let any = self.pick(0..self.sides.len() as u64) as usize;
            let side = own.filter(|_| self.pick(0..2) == 0).unwrap_or(any);
            if let Some(transport) = self.transport(side) {
                self.act_on(side, &transport);
            }
        }
    }

    fn act_on(self: &Rc<Zoo>, side: usize, t: &SocketTransport) {
        if self.pick(0..1000) < self.ends {
            return match self.pick(0..8) {
                0 | 1 => t.close(),
                2 => t.close_within(Duration::from_millis(self.pick(0..100))),
                3 => t.abort(),
                4 => t.fail(io::Error::other("made up")),
                _ => t.write_eof(),
            };
        }
        match self.pick(0..14) {
            0..=4 => self.write(side, t),
            5 => t.flush(),
            6 => t.pause_reading(),
            7 | 8 => t.resume_reading(),
            9 => {
                let high = self.pick(0..3000) as usize;
                let low = self.pick(0..1 + high as u64) as usize;
                t.set_write_buffer_limits(Watermarks { low, high }).unwrap();
            }
            10 => t.set_gathering(self.pick(0..2) == 0),
            11 => t.set_protocol(Monkey::make(self, side)),
            12 => drop(format!("{t:?} {:?} {:?}", t.local_addr(), t.peer_addr())),
            _ => t.set_close_timeout(Duration::from_millis(self.pick(1..40_000))),
        }
    }

    fn write(&self, side: usize, t: &SocketTransport) {
        let most = [0, 1, 10, self.large / 20, self.large][self.pick(0..5) as usize];
        let len = self.pick(0..most + 1) as usize;
        let from = self.sides[side].accepted.get();
        let data: Vec<u8> = (from..from + len).map(|at| byte(side, at)).collect();
        let before = t.write_buffer_size();
        let flow = match self.pick(0..4) {
            0 => t.write_bytes(Bytes::from(data)),
            1 => {
                let (a, b) = data.split_at(self.pick(0..len as u64 + 1) as usize);
                t.writelines(&[a, b"", b])
            }
            _ => t.write(&data),
        };
        let size = t.write_buffer_size();
        if flow != Flow::Closed {
            self.sides[side].accepted.set(from + len);
            if size > before + len {
                self.fail(side, format!("{before} + {len} bytes became {size}"));
            }
        } else if size > before {
            self.fail(side, "a refused write was buffered");
        }
    }
}

struct Monkey {
    zoo: Rc<Zoo>,
    side: usize,
    /// Memory of its own, if it does not take the loop's.
    own: Option<Vec<u8>>,
}

impl Monkey {
    fn make(zoo: &Rc<Zoo>, side: usize) -> Box<Monkey> {
        let own = (zoo.pick(0..3) == 0).then(|| vec![0; zoo.pick(1..5000) as usize]);
        let s = &zoo.sides[side];
        s.told.set(false);
        s.protocols.set(s.protocols.get() + 1);
        Box::new(Monkey { zoo: Rc::clone(zoo), side, own })
    }

    fn own(&self) -> &Side {
        &self.zoo.sides[self.side]
    }

    fn expect(&self, holds: bool, what: &str) {
        if !holds {
            let s = self.own();
            let (made, eof, lost) = (s.made.get(), s.eof.get(), s.lost.get());
            self.zoo.fail(self.side, format!("{what} (made {made}, eof {eof}, lost {lost})"));
        }
    }

    fn then(&self, callback: &str) {
        self.zoo.act(Some(self.side));
        if self.zoo.pick(0..1000) < self.zoo.panics && self.zoo.actions.get() > 0 {
            self.own().panicked.set(true);
            panic!("{callback} panics on purpose");
        }
    }

    fn got(&self, data: &[u8]) {
        let s = self.own();
        self.expect(
            s.made.get() == 1 && s.eof.get() == 0 && s.lost.get() == 0,
            "data out of order",
        );
        self.expect(!data.is_empty(), "data without a byte");
        let from = s.received.get();
        let right = data.iter().enumerate().all(|(i, &b)| b == byte(self.side ^ 1, from + i));
        self.expect(right, "wrong bytes");
        s.received.set(from + data.len());
    }
}

impl Drop for Monkey {
    fn drop(&mut self) {
        let s = self.own();
        s.protocols.set(s.protocols.get() - 1);
    }
}

impl Protocol for Monkey {
    fn connection_made(&mut self, _: Rc<dyn Transport>) {
        let s = self.own();
        self.expect(s.made.replace(s.made.get() + 1) == 0, "made twice");
        self.expect(s.lost.get() == 0, "made after lost");
        self.then("connection_made");
    }

    fn landing(&mut self) -> Landing<'_> {
        self.then("landing");
        match &mut self.own {
            Some(memory) => Landing::Own(memory),
            None => Landing::Shared(self.zoo.pick(1..10_000) as usize),
        }
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        if n > 0 {
            let memory = self.own.take().unwrap_or_default();
            self.got(&memory[..n]);
            self.own = Some(memory);
        }
        self.then("landed");
        Ok(())
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.got(data);
        self.then("data_received");
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        let s = self.own();
        self.expect(s.made.get() == 1 && s.lost.get() == 0, "eof out of order");
        self.expect(s.eof.replace(s.eof.get() + 1) == 0, "eof twice");
        self.then("eof_received");
        self.zoo.pick(0..2) == 0
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        let s = self.own();
        self.expect(s.made.get() == 1, "lost without made");
        self.expect(s.lost.replace(s.lost.get() + 1) == 0, "lost twice");
        *s.error.borrow_mut() = error.map(|error| error.to_string());
        self.then("connection_lost");
    }

    fn pause_writing(&mut self) {
        self.expect(self.own().lost.get() == 0, "pause after lost");
        // `told` is reset by a set_protocol from inside, so it is asked before.
        self.expect(!self.own().told.replace(true), "paused twice");
        self.then("pause_writing");
    }

    fn resume_writing(&mut self) {
        self.expect(self.own().lost.get() == 0, "resume after lost");
        self.expect(self.own().told.replace(false), "resumed, and was not paused");
        self.then("resume_writing");
    }
}

/// When nothing waits to be run, what was told is what is true (invariant 5).
fn check_pressure(zoo: &Zoo, event_loop: &EventLoop) {
    if event_loop.handle().metrics().ready > 0 {
        return;
    }
    for (side, s) in zoo.sides.iter().enumerate() {
        let Some(t) = zoo.transport(side) else { continue };
        if t.is_closing() || s.made.get() == 0 {
            continue;
        }
        let (size, marks) = (t.write_buffer_size(), t.write_buffer_limits());
        if size > marks.high && !s.told.get() || size <= marks.low && s.told.get() {
            zoo.fail(side, format!("{size} of {marks:?}, paused: {}", s.told.get()));
        }
    }
}

fn run(seed: u64) {
    let _seed = Seed(seed);
    let sim = Sim::new(seed);
    let mut rng = Rng::new(seed ^ 0xfeed);
    let large = misbehave(&sim, &mut rng) as u64;
    if rng.chance(0.3) {
        sim.add_rule(Delay(Duration::from_millis(rng.within(1..50))));
        sim.add_rule(Jitter(Duration::from_millis(10)));
    }
    let mut event_loop = sim_loop(&sim);
    let handle = event_loop.handle();
    let _reports = reports(&handle);
    let pairs = rng.within(1..4) as usize;
    let zoo = Rc::new(Zoo {
        sides: (0..2 * pairs).map(|_| Side::default()).collect(),
        actions: Cell::new(rng.within(10..400) as usize),
        large,
        panics: if rng.chance(0.3) { 20 } else { 0 },
        ends: [0, 5, 50][rng.within(0..3) as usize],
        rng: RefCell::new(rng),
        broken: RefCell::default(),
    });
    for pair in 0..pairs {
        let (a, b) = if zoo.pick(0..2) == 0 { sim.pair() } else { sim.tcp_pair() };
        for (side, socket) in [(2 * pair, a), (2 * pair + 1, b)] {
            let protocol = Monkey::make(&zoo, side);
            let t = SocketTransport::new(&handle, socket, protocol, TransportOptions::default());
            *zoo.sides[side].transport.borrow_mut() = Some(t.unwrap());
            zoo.act(Some(side));
        }
    }
    while zoo.actions.get() > 0 {
        zoo.act(None);
        event_loop.turn(Some(Duration::from_millis(20))).unwrap();
        check_pressure(&zoo, &event_loop);
    }
    // At rest: whoever lives reads on, and closes in order; whoever lost patience is cut off by the deadline.
    for side in 0..2 * pairs {
        let t = zoo.transport(side).unwrap();
        t.set_close_timeout(Duration::from_secs(3600));
        t.resume_reading();
    }
    run_dry(&mut event_loop, Duration::from_secs(200));
    check_pressure(&zoo, &event_loop);
    for side in 0..2 * pairs {
        zoo.transport(side).unwrap().close();
    }
    run_dry(&mut event_loop, Duration::from_secs(4000));
    judge(&zoo, &sim);
    assert_nothing_left(&sim, &handle);
    drop((event_loop, handle));
    for s in &zoo.sides {
        let t = s.transport.take().unwrap();
        assert_eq!(Rc::strong_count(&t), 1, "somebody keeps {t:?}");
        assert_eq!(s.protocols.get(), 0);
    }
}

fn judge(zoo: &Zoo, sim: &Sim) {
    for (side, s) in zoo.sides.iter().enumerate() {
        let (t, peer) = (zoo.transport(side).unwrap(), &zoo.sides[side ^ 1]);
        let expect = |holds: bool, what: String| {
            if !holds {
                zoo.fail(side, what);
            }
        };
        expect((s.made.get(), s.lost.get()) == (1, 1), "not made and lost once".into());
        expect(s.received.get() <= peer.accepted.get(), "more received than written".into());
        expect(t.write_buffer_size() == 0, "a buffer is left".into());
        let outcome = zoo.transport(side ^ 1).unwrap().close_outcome().unwrap();
        let unsent = match outcome {
            CloseOutcome::Flushed => 0,
            CloseOutcome::Unsent(unsent) => unsent,
        };
        expect(unsent <= peer.accepted.get(), format!("{unsent} unsent of less"));
        let sent = peer.accepted.get() - unsent.min(peer.accepted.get());
        expect(s.received.get() <= sent, format!("received {}, {sent} sent", s.received.get()));
        if s.eof.get() == 1 {
            let got = s.received.get();
            expect(got == sent, format!("the end came after {got} of {sent} bytes ({outcome:?})"));
        }
        // (A panic whose transport was ended before it is reported and changes nothing.)
        let harmed = s.panicked.get() || peer.panicked.get();
        let error = s.error.borrow();
        expect(
            harmed || !error.as_ref().is_some_and(|e| e.contains("panicked")),
            format!("{error:?}"),
        );
    }
    let broken = zoo.broken.borrow();
    assert!(broken.is_empty(), "{broken:#?} in {sim:?}");
}

#[test]
fn whatever_the_callbacks_do_no_byte_is_lost_and_the_order_holds() {
    seeds(150).for_each(run);
}
