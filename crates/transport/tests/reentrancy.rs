//! Any method, from inside any callback, of this or another connection (invariants 2, 3, 4, 5, 9).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use common::World;
use millrun_sim::{Failure, SimPeer};
use millrun_transport::{
    CloseOutcome, Flow, Landing, Protocol, SocketTransport, Transport, TransportOptions, Watermarks,
};
use proptest::prelude::*;

/// A call of the transport.
#[derive(Clone, Copy, Debug)]
enum Call {
    Write(usize),
    WriteBytes(usize),
    WriteLines(usize, usize),
    WriteEof,
    Flush,
    Close,
    CloseWithin,
    Abort,
    Fail,
    Pause,
    Resume,
    SetProtocol,
    Limits(usize, usize),
    Gathering(bool),
}

/// What a callback does: calls, on this connection or the other one, and then how it ends.
#[derive(Clone, Debug)]
struct Script {
    calls: Vec<(bool, Call)>,
    ending: Ending,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Well,
    Error,
    Panic,
}

/// What happens to the connections from outside.
#[derive(Clone, Copy, Debug)]
enum Step {
    Call(Call),
    Unit(Call, Call),
    PeerSends(usize),
    PeerEof,
    PeerReset,
    Window(usize),
    FailWrite,
    FailRead,
    Settle,
    Pass,
}

/// One connection's side of the world: what was promised is checked here.
#[derive(Default)]
struct Side {
    transport: RefCell<Option<Rc<SocketTransport>>>,
    peer: RefCell<Option<SimPeer>>,
    /// Initials of the callbacks that came.
    calls: RefCell<String>,
    /// Bytes that were taken for sending, and bytes that came.
    accepted: RefCell<Vec<u8>>,
    received: RefCell<Vec<u8>>,
    sent_by_peer: RefCell<Vec<u8>>,
    inside: Cell<bool>,
}

struct Shared {
    sides: [Side; 2],
    scripts: RefCell<VecDeque<Script>>,
    next_byte: Cell<u8>,
    protocols: Cell<usize>,
}

/// A protocol of one side; several may follow each other.
struct Actor {
    shared: Rc<Shared>,
    side: usize,
    told: Vec<&'static str>,
    memory: Option<[u8; 7]>,
}

impl Shared {
    fn bytes(&self, n: usize) -> Vec<u8> {
        (0..n)
            .map(|_| {
                self.next_byte.set(self.next_byte.get().wrapping_add(1));
                self.next_byte.get()
            })
            .collect()
    }

    fn call(self: &Rc<Self>, side: usize, call: Call) {
        let Some(t) = self.sides[side].transport.borrow().clone() else { return };
        match call {
            Call::Write(n) => self.write(side, n, |data| t.write(data)),
            Call::WriteBytes(n) => self.write(side, n, |data| t.write_bytes(data.to_vec().into())),
            Call::WriteLines(n, cut) => self.write(side, n, |data| {
                let (a, b) = data.split_at(cut.min(data.len()));
                t.writelines(&[a, b])
            }),
            Call::WriteEof => t.write_eof(),
            Call::Flush => t.flush(),
            Call::Close => t.close(),
            Call::CloseWithin => t.close_within(Duration::from_secs(1)),
            Call::Abort => t.abort(),
            Call::Fail => t.fail(io::Error::other("by request")),
            Call::Pause => t.pause_reading(),
            Call::Resume => t.resume_reading(),
            Call::SetProtocol => t.set_protocol(Box::new(Actor::new(self, side))),
            Call::Limits(low, high) => {
                let limits = Watermarks { low, high };
                assert_eq!(t.set_write_buffer_limits(limits).is_ok(), low <= high);
            }
            Call::Gathering(on) => t.set_gathering(on),
        }
        self.check(side);
    }

    fn write(&self, side: usize, n: usize, write: impl FnOnce(&[u8]) -> Flow) {
        let data = self.bytes(n);
        let before = self.next_byte.get();
        if write(&data) == Flow::Closed {
            self.next_byte.set(before.wrapping_sub(n as u8));
        } else {
            self.sides[side].accepted.borrow_mut().extend(data);
        }
    }

    /// Invariant 4, as far as it is seen from outside, and that no byte is lost or changed.
    fn check(&self, side: usize) {
        let side = &self.sides[side];
        let Some(t) = side.transport.borrow().clone() else { return };
        let accepted = side.accepted.borrow();
        let on_wire = side.peer.borrow().as_ref().unwrap().received();
        assert!(accepted.starts_with(&on_wire), "the wire has other bytes than were written");
        let left = accepted.len() - on_wire.len();
        match t.close_outcome() {
            // A failed write is known before its end is queued.
            None if t.is_closing() => assert!(t.write_buffer_size() <= left),
            None => assert_eq!(t.write_buffer_size(), left),
            Some(CloseOutcome::Flushed) => assert_eq!(left, 0),
            Some(CloseOutcome::Unsent(n)) => assert_eq!(left, n),
        }
        let came = side.received.borrow();
        assert!(side.sent_by_peer.borrow().starts_with(&came), "other bytes came than were sent");
    }
}

impl Actor {
    fn new(shared: &Rc<Shared>, side: usize) -> Actor {
        let number = shared.protocols.get();
        shared.protocols.set(number + 1);
        let memory = (number % 3 == 2).then_some([0; 7]);
        Actor { shared: shared.clone(), side, told: Vec::new(), memory }
    }

    /// A callback came: does what its script says.
    fn act(&mut self, initial: char) -> io::Result<()> {
        let side = &self.shared.sides[self.side];
        if side.transport.borrow().is_none() {
            return Ok(());
        }
        assert!(!side.inside.replace(true), "a callback inside a callback");
        if initial != ' ' {
            side.calls.borrow_mut().push(initial);
        }
        let script = self.shared.scripts.borrow_mut().pop_front();
        let mut ending = Ending::Well;
        if let Some(script) = script {
            for (other, call) in script.calls {
                self.shared.call(if other { 1 - self.side } else { self.side }, call);
            }
            ending = script.ending;
        }
        self.shared.sides[self.side].inside.set(false);
        match ending {
            Ending::Well => Ok(()),
            Ending::Error => Err(ErrorKind::InvalidData.into()),
            Ending::Panic => panic!("as told"),
        }
    }
}

impl Protocol for Actor {
    fn connection_made(&mut self, _: Rc<dyn Transport>) {
        let _ = self.act('m');
    }

    fn landing(&mut self) -> Landing<'_> {
        let outcome = self.act(' ');
        match (&mut self.memory, outcome) {
            (_, Err(error)) => Landing::Failed(error),
            (Some(memory), _) => Landing::Own(memory),
            (None, _) => Landing::Shared(100),
        }
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        match (n, self.memory) {
            (0, _) | (_, None) => Ok(()),
            (n, Some(memory)) => self.data_received(&memory[..n]),
        }
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        assert!(!data.is_empty() && data.len() <= 100);
        self.shared.sides[self.side].received.borrow_mut().extend(data);
        self.act('d')
    }

    fn eof_received(&mut self) -> bool {
        self.act('e').is_ok()
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        let _ = self.act('l');
    }

    fn pause_writing(&mut self) {
        assert_ne!(self.told.last(), Some(&"pause"));
        self.told.push("pause");
        let _ = self.act(' ');
    }

    fn resume_writing(&mut self) {
        assert_eq!(self.told.last(), Some(&"pause"));
        self.told.push("resume");
        let _ = self.act(' ');
    }
}

fn call() -> impl Strategy<Value = Call> {
    let size = prop_oneof![4 => 0..200_usize, 1 => 0..100_000_usize];
    prop_oneof![
        6 => size.clone().prop_map(Call::Write),
        3 => size.clone().prop_map(Call::WriteBytes),
        2 => (size.clone(), size).prop_map(|(n, cut)| Call::WriteLines(n, cut)),
        1 => Just(Call::WriteEof),
        2 => Just(Call::Flush),
        1 => Just(Call::Close),
        1 => Just(Call::CloseWithin),
        1 => Just(Call::Abort),
        1 => Just(Call::Fail),
        2 => Just(Call::Pause),
        3 => Just(Call::Resume),
        2 => Just(Call::SetProtocol),
        3 => (0..300_usize, 0..300_usize).prop_map(|(low, high)| Call::Limits(low, high)),
        2 => any::<bool>().prop_map(Call::Gathering),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    let ending =
        prop_oneof![20 => Just(Ending::Well), 1 => Just(Ending::Error), 1 => Just(Ending::Panic)];
    (prop::collection::vec((any::<bool>(), call()), 0..4), ending)
        .prop_map(|(calls, ending)| Script { calls, ending })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => call().prop_map(Step::Call),
        2 => (call(), call()).prop_map(|(a, b)| Step::Unit(a, b)),
        6 => (0..500_usize).prop_map(Step::PeerSends),
        1 => Just(Step::PeerEof),
        1 => Just(Step::PeerReset),
        4 => prop_oneof![0..300_usize, Just(usize::MAX)].prop_map(Step::Window),
        1 => Just(Step::FailWrite),
        1 => Just(Step::FailRead),
        8 => Just(Step::Settle),
        1 => Just(Step::Pass),
    ]
}

/// made, data*, eof?, lost, as far as it has come.
fn in_order(calls: &str) -> bool {
    let Some(rest) = calls.strip_prefix('m') else { return calls.is_empty() };
    let rest = rest.trim_start_matches('d');
    let rest = rest.strip_prefix('e').unwrap_or(rest);
    matches!(rest, "" | "l")
}

fn run(world: &mut World, shared: &Rc<Shared>, side: usize, step: Step) {
    let peer = shared.sides[side].peer.borrow().clone().unwrap();
    match step {
        Step::Call(call) => shared.call(side, call),
        Step::Unit(a, b) => world.handle().unit(|| {
            shared.call(side, a);
            shared.call(side, b);
        }),
        Step::PeerSends(n) => {
            let data: Vec<u8> = (0..n).map(|i| (i * 7) as u8).collect();
            peer.send(&data);
            shared.sides[side].sent_by_peer.borrow_mut().extend(data);
        }
        Step::PeerEof => peer.send_eof(),
        Step::PeerReset => peer.reset(),
        Step::Window(n) => peer.set_send_window(n),
        Step::FailWrite => peer.fail_next_write(Failure::EPIPE),
        Step::FailRead => peer.fail_next_read(Failure::ECONNRESET),
        Step::Settle => world.settle(),
        Step::Pass => world.pass(Duration::from_secs(2)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn invariants_2_to_5_and_9_whatever_is_called_from_wherever(
        scripts in prop::collection::vec(script(), 0..60),
        steps in prop::collection::vec((any::<bool>(), step()), 0..60),
    ) {
        let mut world = World::new();
        let shared = Rc::new(Shared {
            sides: Default::default(),
            scripts: RefCell::new(scripts.into()),
            next_byte: Cell::new(0),
            protocols: Cell::new(0),
        });
        for (number, side) in shared.sides.iter().enumerate() {
            let (socket, peer) = world.sim.scripted();
            let actor = Box::new(Actor::new(&shared, number));
            let options = TransportOptions::default();
            let transport = SocketTransport::new(&world.handle(), socket, actor, options).unwrap();
            *side.transport.borrow_mut() = Some(transport);
            *side.peer.borrow_mut() = Some(peer);
        }
        for (side, step) in steps {
            run(&mut world, &shared, usize::from(side), step);
            for side in 0..2 {
                shared.check(side);
                prop_assert!(in_order(&shared.sides[side].calls.borrow()));
            }
        }
        // Whatever state that left: closing ends it.
        shared.scripts.borrow_mut().clear();
        for side in 0..2 {
            shared.call(side, Call::Close);
        }
        world.pass(Duration::from_secs(40));
        for (number, side) in shared.sides.iter().enumerate() {
            let calls = side.calls.borrow().clone();
            prop_assert!(in_order(&calls) && calls.ends_with('l'), "side {number}: {calls}");
            shared.check(number);
            let transport = side.transport.take().unwrap();
            prop_assert!(transport.close_outcome().is_some());
            prop_assert_eq!(Rc::strong_count(&transport), 1, "somebody keeps it");
        }
        prop_assert_eq!((world.sim.open_sockets(), world.sim.registrations()), (0, 0));
        prop_assert_eq!(world.event_loop.next_deadline(), None, "a timer is left");
        prop_assert_eq!(Rc::strong_count(&shared), 1, "a protocol is left");
        for report in world.reports() {
            prop_assert!(report.contains("as told") || report.contains("invalid data"), "{}", report);
        }
    }
}
