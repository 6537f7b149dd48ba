//! What the scenarios on transports share: a [`Stage`] with a loop, and [`Line`]s, which are connections with a probe at
//! one end and a peer at the other.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::rc::{Rc, Weak};
use std::time::Duration;

use millrun_selector::Time;
use millrun_transport::{Flow, Transport, Watermarks};

use super::peer::{Peer, TransportPeer};
use super::probe::Probe;
use super::record::{Event, Record};
use super::world::{Connection, Far, TransportAbilities, TransportWorld};
use crate::pattern::{is_pattern, pattern};
use crate::report::{OrViolation, Outcome, Played, Report, Step, ensure};
use crate::{Invariant, Violation};

/// A loop that is never idle does not let a virtual clock go on: then it is turned so many times.
const TURNS: usize = 100_000;

/// Long enough for what is on its way to arrive, on a loopback that is not busy. Waited for what must not come, so
/// that noise can hide a mistake and never make one.
const GRACE: usize = 4;
const MOMENT: Duration = Duration::from_millis(1);

/// More than any honest kernel buffers for a connection.
pub(crate) const TOO_MUCH: usize = 64 << 20;

/// A scenario of this world.
pub(crate) type Scenario = (&'static str, fn(&mut Stage<'_>) -> Played);

/// Plays them, each in a world of its own.
pub(crate) fn play<W: TransportWorld>(
    scenarios: &[&[Scenario]],
    mut is_enough: impl FnMut(&Report) -> bool,
    mut make: impl FnMut() -> io::Result<W>,
) -> Report {
    let mut report = Report::default();
    for (name, scenario) in scenarios.iter().copied().flatten() {
        report.play(name, || {
            let mut world = make().or_violation(Invariant::WorldIsMade, "a world")?;
            let mut stage = Stage::new(&mut world);
            let outcome = scenario(&mut stage)?;
            stage.finish()?;
            Ok(outcome)
        });
        if is_enough(&report) {
            break;
        }
    }
    report
}

/// A scenario needs this ability.
macro_rules! able {
    ($stage:expr, $ability:ident) => {
        if !$stage.able.$ability {
            return Ok($crate::report::Outcome::Skipped(concat!("needs ", stringify!($ability))));
        }
    };
}
pub(crate) use able;

pub(crate) const PASSED: Played = Ok(Outcome::Passed);

/// A world, and what was made in it.
pub(crate) struct Stage<'w> {
    world: &'w mut dyn TransportWorld,
    pub(crate) able: TransportAbilities,
    made: Vec<(Rc<Record>, Weak<dyn Transport>)>,
    /// What the exception handler was told.
    reports: Rc<RefCell<Vec<String>>>,
    reports_are_due: bool,
}

impl<'w> Stage<'w> {
    pub(super) fn new(world: &'w mut dyn TransportWorld) -> Stage<'w> {
        let able = world.abilities();
        let reports = Rc::new(RefCell::new(Vec::new()));
        let told = reports.clone();
        let handle = world.event_loop().handle();
        handle.set_exception_handler(Some(Rc::new(move |_, context| {
            told.borrow_mut().push(context.to_string());
        })));
        Stage { world, able, made: Vec::new(), reports, reports_are_due: false }
    }

    pub(crate) fn record(&self) -> Rc<Record> {
        Record::new(!self.able.room)
    }

    /// A connection that is not made yet: the loop has not turned since.
    pub(crate) fn attach(&mut self, record: &Rc<Record>, probe: Probe) -> Step<Line> {
        let made = self.world.connect().or_violation(Invariant::WorldIsMade, "a connection")?;
        let Connection { near, far } = made;
        let peer: Box<dyn Peer> = match far {
            Far::Peer(peer) => peer,
            Far::Transport(attach) => {
                let peer = TransportPeer::new(attach);
                Box::new(peer.or_violation(Invariant::WorldIsMade, "a far transport")?)
            }
        };
        let transport = record.calling(|| near(Box::new(probe)));
        let transport = transport.or_violation(Invariant::WorldIsMade, "a transport")?;
        record.set_transport(&transport);
        self.made.push((record.clone(), Rc::downgrade(&transport)));
        Ok(Line { record: record.clone(), transport, peer, sent: 0, got: Vec::new(), over: None })
    }

    /// A connection that is made, and whose probe this function made ready.
    pub(crate) fn connect_with(&mut self, probe: impl FnOnce(Probe) -> Probe) -> Step<Line> {
        let record = self.record();
        let line = self.attach(&record, probe(Probe::new(&record)))?;
        let rule = Invariant::MadeFirst;
        self.until(&line, rule, "connection_made, in a turn of the loop", || record.is_made())?;
        Ok(line)
    }

    /// A connection whose protocol says and does nothing.
    pub(crate) fn connect(&mut self) -> Step<Line> {
        self.connect_with(|probe| probe)
    }

    pub(crate) fn now(&mut self) -> Time {
        self.world.event_loop().handle().now()
    }

    pub(crate) fn turn(&mut self, longest: Duration) -> Step<bool> {
        let turned = self.world.event_loop().turn(Some(longest));
        turned.or_violation(Invariant::WorldIsMade, "a loop that turns")
    }

    /// Turns until it is so, which has to come. What the record noticed ends it too.
    pub(crate) fn until(
        &mut self,
        line: &Line,
        invariant: Invariant,
        expected: &str,
        is_so: impl FnMut() -> bool,
    ) -> Step {
        let record = line.record.clone();
        self.until_of(&record, invariant, expected, is_so)
    }

    pub(crate) fn until_of(
        &mut self,
        record: &Record,
        invariant: Invariant,
        expected: &str,
        mut is_so: impl FnMut() -> bool,
    ) -> Step {
        let end = self.now() + self.able.patience;
        for _ in 0..TURNS {
            record.violation()?;
            if is_so() {
                return Ok(());
            }
            if self.now() >= end {
                break;
            }
            self.turn(MOMENT)?;
        }
        let events = record.events();
        let last = &events[events.len().saturating_sub(8)..];
        Err(Violation::new(invariant, expected, format_args!("the last callbacks were {last:?}")))
    }

    /// Lets happen what happens by itself.
    pub(crate) fn settle(&mut self, line: &Line) -> Step {
        for _ in 0..GRACE {
            self.turn(MOMENT)?;
            line.record.violation()?;
        }
        Ok(())
    }

    /// The exception handler is told something in this scenario, as it should be.
    pub(crate) fn expect_reports(&mut self) {
        self.reports_are_due = true;
    }

    pub(crate) fn reports(&self) -> Vec<String> {
        self.reports.borrow().clone()
    }

    /// Closes the loop.
    pub(crate) fn close_loop(&mut self) {
        self.world.event_loop().close();
    }

    /// A write that is large for this world.
    pub(crate) fn heap(&self) -> usize {
        (self.able.buffers / 4).max(1)
    }

    /// Writes until the peer, which does not read, is felt, and gives how much was accepted: the bytes are the
    /// pattern, from the line's `sent`.
    pub(crate) fn fill(&mut self, line: &mut Line) -> Step {
        let (before, heap) = (line.sent, self.heap());
        while line.sent - before < TOO_MUCH {
            line.write(heap)?;
            self.turn(Duration::ZERO)?;
            self.turn(MOMENT)?;
            line.record.violation()?;
            if line.transport.write_buffer_size() >= heap / 2 {
                // A kernel may find some room yet, as its windows open: not for all of this.
                line.write(self.able.buffers)?;
                return self.turn(MOMENT).map(drop);
            }
        }
        let expected = "unsent bytes: the peer does not read";
        Err(Violation::new(Invariant::SizeIsCounted, expected, "none after 64 MiB"))
    }

    /// Ends what is left, and looks whether all of it ended as it should.
    pub(super) fn finish(mut self) -> Step {
        // Of what was never made nobody need hear.
        let is_open =
            |record: &Record| !record.is_lost() && (record.is_made() || record.probes.get() > 0);
        for (record, transport) in std::mem::take(&mut self.made) {
            record.violation()?;
            if is_open(&record) {
                if let Some(transport) = transport.upgrade() {
                    record.calling(|| transport.abort());
                }
                let expected = "connection_lost after an abort";
                let lost = || !is_open(&record);
                self.until_of(&record, Invariant::LostAlways, expected, lost)?;
            }
            let dropped = || record.probes.get() == 0;
            let expected = "no protocol kept once the connection is over";
            self.until_of(&record, Invariant::NothingIsKept, expected, dropped)?;
            record.violation()?;
        }
        let reports = self.reports.take();
        let silent = self.reports_are_due || reports.is_empty();
        let got = reports.first().map_or("", String::as_str);
        ensure(silent, Invariant::NoPanic, "no word to the exception handler", got)
    }
}

/// A connection: a probe on the transport, and its peer.
pub(crate) struct Line {
    pub(crate) record: Rc<Record>,
    pub(crate) transport: Rc<dyn Transport>,
    pub(crate) peer: Box<dyn Peer>,
    /// Bytes of the pattern that the transport accepted.
    pub(crate) sent: usize,
    /// Bytes that the peer received.
    pub(crate) got: Vec<u8>,
    /// How receiving ended for the peer.
    over: Option<Result<(), ErrorKind>>,
}

impl Line {
    /// Calls the transport from outside of any callback.
    pub(crate) fn call<R>(&self, f: impl FnOnce(&dyn Transport) -> R) -> R {
        self.record.calling(|| f(&*self.transport))
    }

    /// Writes so many further bytes of the pattern, which have to be accepted.
    pub(crate) fn write(&mut self, n: usize) -> Step<Flow> {
        self.write_by(n, |transport, bytes| transport.write(bytes))
    }

    pub(crate) fn write_by(
        &mut self,
        n: usize,
        write: impl FnOnce(&dyn Transport, &[u8]) -> Flow,
    ) -> Step<Flow> {
        let bytes = pattern(self.sent, n);
        let flow = self.call(|transport| write(transport, &bytes));
        let open = flow != Flow::Closed;
        ensure(
            open,
            Invariant::FlowTells,
            "Open or Paused: nobody closed",
            format_args!("{flow:?}"),
        )?;
        self.sent += n;
        self.check_count(flow)?;
        Ok(flow)
    }

    /// What the counter, the marks and the last answer say of each other.
    fn check_count(&self, flow: Flow) -> Step {
        let (size, Watermarks { low, high }) =
            (self.transport.write_buffer_size(), self.transport.write_buffer_limits());
        let most = self.sent - self.got.len();
        let expected = format_args!("at most {most}: the peer has the others");
        ensure(size <= most, Invariant::SizeIsCounted, expected, size)?;
        let told = match flow {
            Flow::Open => size <= high,
            Flow::Paused => size > low,
            Flow::Closed => true,
        };
        let expected = format_args!("Paused above {high}, Open at or below {low}");
        ensure(told, Invariant::FlowTells, expected, format_args!("{flow:?} at {size}"))
    }

    /// Waits until the peer has sent all of this.
    pub(crate) fn peer_sends(&mut self, stage: &mut Stage<'_>, bytes: &[u8]) -> Step {
        let mut left = bytes;
        let record = self.record.clone();
        let (peer, rule) = (&mut self.peer, Invariant::ResumedIsRead);
        let mut failed = None;
        stage.until_of(&record, rule, "all that the peer sends is read", || {
            match peer.send(left) {
                Ok(n) => left = &left[n..],
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                Err(error) => failed = Some(error),
            }
            left.is_empty() || failed.is_some()
        })?;
        match failed {
            Some(error) => Err(Violation::new(rule, "a peer that can send", error)),
            None => Ok(()),
        }
    }

    /// The peer takes what has come.
    pub(crate) fn peer_takes(&mut self) -> bool {
        let mut buffer = vec![0; 64 * 1024];
        let before = self.got.len();
        while self.over.is_none() {
            match self.peer.receive(&mut buffer) {
                Ok(0) => self.over = Some(Ok(())),
                Ok(n) => self.got.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(error) => self.over = Some(Err(error.kind())),
            }
        }
        self.got.len() > before
    }

    /// Waits until the peer has received all that was accepted, as it was written.
    pub(crate) fn peer_has_all(&mut self, stage: &mut Stage<'_>, invariant: Invariant) -> Step {
        let (n, record) = (self.sent, self.record.clone());
        let expected = format!("all {n} bytes at the peer");
        stage.until_of(&record, invariant, &expected, || {
            self.peer_takes();
            self.got.len() >= n || self.over.is_some()
        })?;
        is_pattern(&self.got, n, invariant)
    }

    /// Waits until the peer has received the end of file, or an error where that is allowed.
    pub(crate) fn peer_sees_the_end(
        &mut self,
        stage: &mut Stage<'_>,
        invariant: Invariant,
    ) -> Step {
        let record = self.record.clone();
        stage.until_of(&record, invariant, "an end of file at the peer", || {
            self.peer_takes();
            self.over.is_some()
        })?;
        let over = self.over;
        let got = format_args!("{over:?}");
        ensure(over == Some(Ok(())), invariant, "an end of file at the peer", got)
    }

    /// As it came to be over for the peer, if it did.
    pub(crate) fn peer_over(&self) -> Option<Result<(), ErrorKind>> {
        self.over
    }

    /// Waits for `connection_lost`.
    pub(crate) fn lost(&self, stage: &mut Stage<'_>) -> Step<Option<(ErrorKind, String)>> {
        let record = &self.record;
        stage.until(self, Invariant::LostAlways, "connection_lost", || record.is_lost())?;
        Ok(record.lost().unwrap_or_default())
    }

    /// Waits for `connection_lost`, while the peer takes what comes.
    pub(crate) fn lost_to_a_reader(&mut self, stage: &mut Stage<'_>, invariant: Invariant) -> Step {
        let record = self.record.clone();
        stage.until_of(&record, invariant, "connection_lost: the peer reads", || {
            self.peer_takes();
            record.is_lost()
        })
    }

    /// Waits for `connection_lost`, which has to be without an error.
    pub(crate) fn lost_in_peace(&self, stage: &mut Stage<'_>) -> Step {
        let error = self.lost(stage)?;
        let got = format_args!("{error:?}");
        ensure(error.is_none(), Invariant::LostTellsWhy, "lost without an error", got)
    }

    /// Waits for this callback.
    pub(crate) fn told(&self, stage: &mut Stage<'_>, event: Event, invariant: Invariant) -> Step {
        let expected = format!("{event:?}");
        stage.until(self, invariant, &expected, || self.record.has(&event))
    }
}
