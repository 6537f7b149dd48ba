//! A simulated machine with a loop and two connections, whose peers and kernel are the case's.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use millrun_loop::{BlockSize, EventLoop, Inline, LoopHandle};
use millrun_sim::{Failure, Sim};
use millrun_transport::{
    CloseOutcome, Flow, SocketTransport, Transport, TransportOptions, Watermarks,
};

use crate::turns;

use super::actor::{AS_TOLD, Actor};
use super::script::{Call, End, Script, Step, Which};
use super::side::{Side, Stage, bytes};

/// Longer than any close takes: 30 s without progress, and 2 s for what the peer still sends.
const PATIENCE: Duration = Duration::from_secs(40);

/// What callbacks and the driver share.
pub(super) struct Shared {
    sides: [Side; 2],
    scripts: RefCell<VecDeque<Script>>,
}

pub(super) struct World {
    sim: Sim,
    event_loop: EventLoop,
    shared: Rc<Shared>,
    reports: Rc<RefCell<Vec<String>>>,
}

impl Shared {
    pub(super) fn side(&self, which: Which) -> &Side {
        &self.sides[which]
    }

    pub(super) fn next_script(&self) -> Option<Script> {
        self.scripts.borrow_mut().pop_front()
    }

    /// Calls a transport, and looks at what it came to.
    pub(super) fn call(self: &Rc<Self>, which: Which, call: Call) {
        let side = self.side(which);
        let Some(t) = side.transport.borrow().clone() else { return };
        match call {
            Call::Close | Call::Pause => side.undisturbed.set(false),
            Call::CloseWithin(_) | Call::SetCloseTimeout(_) | Call::Abort | Call::Fail => {
                side.harm()
            }
            _ => {}
        }
        match call {
            Call::Write(n) => self.write(which, n, |data| t.write(data)),
            Call::WriteBytes(n) => {
                self.write(which, n, |data| t.write_bytes(Bytes::copy_from_slice(data)));
            }
            Call::WriteLines(n, cut) => self.write(which, n, |data| {
                let (a, b) = data.split_at(cut.min(n));
                t.writelines(&[a, b"", b])
            }),
            Call::WriteEof => t.write_eof(),
            Call::Flush => t.flush(),
            Call::Close => t.close(),
            Call::CloseWithin(tenths) => t.close_within(Duration::from_millis(100) * tenths.into()),
            Call::SetCloseTimeout(seconds) => {
                t.set_close_timeout(Duration::from_secs(seconds.into()))
            }
            Call::Abort => t.abort(),
            Call::Fail => t.fail(io::Error::other("by request")),
            Call::Pause => t.pause_reading(),
            Call::Resume => t.resume_reading(),
            Call::SetProtocol(kind) => t.set_protocol(Actor::new(self, which, kind)),
            Call::Limits(low, high) => {
                let taken = t.set_write_buffer_limits(Watermarks { low, high });
                side.must(taken.is_ok() == (low <= high), || format!("{low} {high}: {taken:?}"));
            }
            Call::Gathering(on) => t.set_gathering(on),
            Call::Ask => {
                let text = format!("{t:?} {:?} {:?}", t.local_addr(), t.peer_addr());
                side.must(!text.is_empty(), || "nothing to show".into());
                side.must(!(t.is_reading() && t.is_closing()), || "closing, and reads".into());
            }
        }
        side.check();
    }

    fn write(&self, which: Which, n: usize, write: impl FnOnce(&[u8]) -> Flow) {
        let side = self.side(which);
        let Some(t) = side.transport.borrow().clone() else { return };
        let flow = write(&bytes(which, side.accepted.get(), n));
        side.wrote(&t, n, flow);
    }
}

impl World {
    /// Both connections, which have not been made yet. It errs when no loop can be had, which no case can cause.
    pub(super) fn new(scripts: Vec<Script>) -> io::Result<World> {
        let sim = Sim::new(1);
        let event_loop = EventLoop::builder()
            .selector(sim.selector())
            .clock(sim.clock())
            .network(sim.network())
            .resolver(sim.resolver())
            .executor(Rc::new(Inline::new()))
            .build()?;
        let handle = event_loop.handle();
        let reports = Rc::new(RefCell::new(Vec::new()));
        let told = Rc::clone(&reports);
        handle.set_exception_handler(Some(Rc::new(move |_, context| {
            told.borrow_mut().push(context.to_string());
        })));
        let (mut sockets, mut sides) = (Vec::new(), Vec::new());
        for which in 0..2 {
            let (socket, peer) = sim.scripted();
            sockets.push(socket);
            sides.push(Side::new(which, peer));
        }
        let sides = sides.try_into().map_err(|_| io::Error::other("two of two"))?;
        let scripts = RefCell::new(scripts.into());
        let shared = Rc::new(Shared { sides, scripts });
        for (which, socket) in sockets.into_iter().enumerate() {
            let (actor, options) = (Actor::new(&shared, which, 2), TransportOptions::default());
            let transport = SocketTransport::new(&handle, socket, actor, options)?;
            *shared.side(which).transport.borrow_mut() = Some(transport);
        }
        Ok(World { sim, event_loop, shared, reports })
    }

    pub(super) fn step(&mut self, which: Which, step: Step) {
        let shared = Rc::clone(&self.shared);
        let side = shared.side(which);
        match step {
            Step::Call(call) => shared.call(which, call),
            Step::Unit(a, b) => self.handle().unit(|| {
                shared.call(which, a);
                shared.call(which, b);
            }),
            Step::PeerSends(n) => {
                if !side.peer_ended.get() {
                    side.peer.send(bytes(which + 2, side.sent.get(), n));
                    side.sent.set(side.sent.get() + n);
                }
            }
            Step::PeerEof => {
                side.peer_ended.set(true);
                side.peer.send_eof();
            }
            Step::PeerReset => {
                side.peer_ended.set(true);
                side.unharmed.set(false);
                // What had not reached the socket's buffer goes with the connection.
                side.sent.set(side.received.get() + side.peer.unread());
                side.peer.reset();
            }
            Step::Window(n) => side.peer.set_send_window(n),
            Step::ShortRead(n) => side.peer.short_next_read(n.into()),
            Step::ShortWrite(n) => side.peer.short_next_write(n.into()),
            Step::FailRead(n) => side.peer.fail_next_read(failure(side, n)),
            Step::FailWrite(n) => side.peer.fail_next_write(failure(side, n)),
            Step::Settle => self.settle(),
            Step::Turn => drop(turns::turn(&mut self.event_loop)),
            Step::Pass(tenths) => {
                // A close that makes no progress for long is cut off.
                for side in &shared.sides {
                    if side.transport.borrow().as_ref().is_some_and(|t| t.is_closing()) {
                        side.unharmed.set(false);
                    }
                }
                self.pass(Duration::from_millis(100) * tenths.into());
            }
        }
        self.check();
    }

    /// Whatever state this is: it ends, each connection once, and leaves nothing.
    pub(super) fn finish(mut self, end: End) {
        for which in 0..2 {
            let side = self.shared.side(which);
            let Some(t) = side.transport.borrow().clone() else { continue };
            t.set_close_timeout(Duration::from_secs(30));
            match end {
                End::Close => {
                    side.peer.set_send_window(usize::MAX);
                    self.shared.call(which, Call::Close);
                }
                End::Abort => self.shared.call(which, Call::Abort),
                End::CloseLoop => side.undisturbed.set(false),
            }
        }
        match end {
            End::CloseLoop => self.event_loop.close(),
            // What the scripts still do may move a deadline: then there is another one.
            End::Close | End::Abort => {
                self.pass(PATIENCE);
                for which in 0..2 {
                    self.shared
                        .side(which)
                        .transport
                        .borrow()
                        .iter()
                        .for_each(|t| t.set_close_timeout(PATIENCE));
                }
                self.pass(2 * PATIENCE);
            }
        }
        self.check();
        let metrics = self.handle().metrics();
        self.judge(end);
        let left = (self.sim.open_sockets(), self.sim.registrations(), metrics.watches);
        assert_eq!(left, (0, 0, 0), "sockets, registrations and watches left");
        assert_eq!((metrics.timers, metrics.tasks), (0, 0), "timers and tasks left");
        drop(self.event_loop);
        assert_eq!(Rc::strong_count(&self.shared), 1, "a protocol is left");
    }

    fn judge(&self, end: End) {
        for side in &self.shared.sides {
            let t = side.transport.take();
            // A loop that closes before a connection was made tells it nothing (P-001).
            let unmade = end == End::CloseLoop && side.stage.get() == Stage::New;
            side.must(side.stage.get() == Stage::Lost || unmade, || "never lost".into());
            side.must(side.protocols.get() == 0, || "a protocol is left".into());
            side.must(!side.peer.is_open(), || "the socket is open".into());
            let t = t.as_ref();
            let outcome = t.and_then(|t| t.close_outcome());
            side.must(outcome.is_some(), || "no outcome".into());
            if end == End::Close && side.unharmed.get() {
                let flushed = outcome == Some(CloseOutcome::Flushed);
                side.must(flushed, || format!("closed in order: {outcome:?}"));
            }
            side.must(t.is_some_and(|t| Rc::strong_count(t) == 1), || format!("{t:?} is kept"));
            side.verify();
        }
        for report in self.reports.borrow().iter() {
            assert!(!report.contains("panic") || report.contains(AS_TOLD), "{report}");
        }
        // A block that a panic drops is not given back, which is as good; a loop that closes frees what it has.
        if end != End::CloseLoop && self.reports.borrow().is_empty() {
            for size in [BlockSize::Small, BlockSize::Large] {
                let counts = self.handle().blocks().counts(size);
                assert_eq!(counts.made + counts.reused, counts.given, "blocks: {counts:?}");
            }
        }
    }

    fn check(&self) {
        let at_rest = !self.event_loop.has_ready();
        if at_rest && !self.shared.sides.iter().any(|side| side.peer.is_open()) {
            let timers = self.handle().metrics().timers;
            assert_eq!(timers, 0, "timers of connections that are over");
        }
        for side in &self.shared.sides {
            side.check();
            if at_rest && side.stage.get() != Stage::New {
                side.check_at_rest();
            }
            side.verify();
        }
    }

    fn handle(&self) -> LoopHandle {
        self.event_loop.handle()
    }

    fn settle(&mut self) {
        turns::settle(&mut self.event_loop, &self.sim);
    }

    fn pass(&mut self, time: Duration) {
        turns::pass(&mut self.event_loop, &self.sim, time);
    }
}

/// An interrupted call is made again, as if nothing had been. (One that is told it would block may end what is still read
/// after a failed write.)
fn failure(side: &Side, n: u8) -> Failure {
    if n % 4 == 0 {
        return ErrorKind::Interrupted.into();
    }
    side.harm();
    match n % 4 {
        1 => ErrorKind::WouldBlock.into(),
        2 => Failure::ECONNRESET,
        _ => Failure::EPIPE,
    }
}
