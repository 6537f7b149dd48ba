//! What the scenarios on transports share: a [`Stage`] with a loop, on which they make [`Line`]s.

use std::cell::RefCell;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use millrun_selector::Time;
use millrun_transport::Transport;

use super::far_end::{FarEnd, Working};
use super::line::Line;
use super::probe::Probe;
use super::record::Record;
use super::world::{Connection, TransportAbilities, TransportWorld};
use crate::report::{OrViolation, Outcome, Played, Report, Step, ensure};
use crate::{Invariant, Violation};

/// A loop that is never idle does not let a virtual clock go on: then it is turned so many times.
const TURNS: usize = 100_000;

/// Long enough for what is on its way to arrive, on a loopback that is not busy. Waited for what must not come, so that
/// noise can hide a mistake and hardly make one: only two transcripts, in which bytes lie unread, need them to be there, and
/// wait for the first of them where a transport can leave the others.
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
    peers: Vec<Working>,
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
        let (made, peers) = (Vec::new(), Vec::new());
        Stage { world, able, made, peers, reports, reports_are_due: false }
    }

    pub(crate) fn record(&self) -> Rc<Record> {
        Record::new(!self.able.room)
    }

    /// A connection that is not made yet: the loop has not turned since.
    pub(crate) fn attach(&mut self, record: &Rc<Record>, probe: Probe) -> Step<Line> {
        let made = self.world.connect().or_violation(Invariant::WorldIsMade, "a connection")?;
        let Connection { near, far } = made;
        let peer = FarEnd::of(far)?;
        self.peers.push(peer.working());
        let transport = record.calling(|| near(Box::new(probe)));
        let transport = transport.or_violation(Invariant::WorldIsMade, "a transport")?;
        record.set_transport(&transport);
        self.made.push((record.clone(), Rc::downgrade(&transport)));
        Ok(Line::new(record, transport, peer, self.able.framing))
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
        self.peers.retain(Working::work);
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
