//! Does another protocol take over, from anywhere?

use std::cell::Cell;
use std::rc::Rc;

use millrun_transport::Watermarks;

use super::line::Line;
use super::probe::{Answer, Probe};
use super::record::{Event, Record};
use super::stage::{PASSED, Scenario, Stage, able};
use crate::Invariant;
use crate::pattern::{is_pattern, pattern};
use crate::report::{Played, Step, ensure, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("another protocol, set from outside", from_outside),
    ("another protocol, set in each callback", from_callbacks),
    ("another protocol for a paused transport", paused),
    ("another protocol for a transport that is over", over),
];

/// A connection-wide record of the first protocol; the second one has its own.
struct Two {
    line: Line,
    second: Rc<Record>,
}

fn is_taken_over(stage: &mut Stage<'_>, two: &mut Two, from: usize) -> Step {
    let rule = Invariant::NewOneTakesOver;
    let (line, second) = (&mut two.line, two.second.clone());
    ensure_eq(rule, 0, line.record.probes.get())?;
    let before = line.record.events();
    line.peer_sends(stage, &pattern(from, 1000))?;
    stage.until_of(&second, rule, "bytes for the new one", || second.received_len() >= 1000)?;
    line.peer.end();
    stage.until_of(&second, rule, "the end for the new one", || second.has(&Event::Eof))?;
    line.call(|t| t.close());
    line.lost_of(stage, &second, rule, "connection_lost for the new one")?;
    ensure_eq(rule, before, line.record.events())?;
    let events = second.events();
    let heard = format_args!("{events:?}");
    ensure(!events.contains(&Event::Made), rule, "no connection_made for the new one", heard)?;
    ensure_eq(rule, pattern(from, 1000), second.received())
}

/// The new one's record: it hears nothing of a beginning, and is past it.
fn second_record(stage: &Stage<'_>, line: &Line) -> Rc<Record> {
    let second = stage.record();
    second.begin_in_the_middle(&line.transport);
    second
}

fn from_outside(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    line.peer_sends(stage, &pattern(0, 1000))?;
    let record = line.record.clone();
    let rule = Invariant::NewOneTakesOver;
    stage.until(&line, rule, "bytes for the old one", || record.received_len() >= 1000)?;
    let second = second_record(stage, &line);
    line.call(|t| t.set_protocol(Box::new(Probe::second(&second))));
    let mut two = Two { line, second };
    is_taken_over(stage, &mut two, 1000)?;
    // Which of them was told of the end is known: the first one's record ends here.
    two.line.record.end_here();
    PASSED
}

fn from_callbacks(stage: &mut Stage<'_>) -> Played {
    for when in ["made", "data", "pause"] {
        let record = stage.record();
        let second = stage.record();
        let next = Rc::new(Cell::new(Some(Probe::second(&second))));
        let probe = Probe::new(&record).on(move |transport, event| {
            let is_now = match event {
                Event::Made => when == "made",
                Event::Data(_) => when == "data",
                Event::Pause => when == "pause",
                _ => false,
            };
            if let Some(probe) = next.take_if(is_now) {
                transport.set_protocol(Box::new(probe));
            }
            Answer::Well
        });
        let mut line = stage.attach(&record, probe)?;
        second.begin_in_the_middle(&line.transport);
        line.told(stage, Event::Made, Invariant::MadeFirst)?;
        match when {
            "data" => {
                line.peer_sends(stage, b"x")?;
                line.told(stage, Event::Data(1), Invariant::BytesAreTrue)?;
            }
            "pause" => {
                line.call(|t| t.set_write_buffer_limits(Watermarks { low: 0, high: 0 })).ok();
                stage.fill(&mut line)?;
                line.told(stage, Event::Pause, Invariant::AboveHighPauses)?;
                line.peer_has_all(stage, Invariant::WritesArrive)?;
            }
            _ => {}
        }
        let mut two = Two { line, second };
        is_taken_over(stage, &mut two, 0)?;
        two.line.record.end_here();
    }
    PASSED
}

fn paused(stage: &mut Stage<'_>) -> Played {
    able!(stage, pausing);
    let mut line = stage.connect()?;
    line.call(|t| t.pause_reading());
    let second = second_record(stage, &line);
    second.forbid(Some(Invariant::PausedIsSilent));
    line.call(|t| t.set_protocol(Box::new(Probe::second(&second))));
    line.record.end_here();
    line.peer_sends(stage, &pattern(0, 100))?;
    stage.settle(&line)?;
    second.violation()?;
    second.forbid(None);
    line.call(|t| t.resume_reading());
    let rule = Invariant::ResumedIsRead;
    stage.until_of(&second, rule, "bytes for the new one", || second.received_len() >= 100)?;
    is_pattern(&second.received(), 100, Invariant::BytesAreTrue)?;
    PASSED
}

fn over(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    line.call(|t| t.abort());
    line.lost(stage)?;
    let second = second_record(stage, &line);
    line.call(|t| t.set_protocol(Box::new(Probe::second(&second))));
    ensure_eq(Invariant::NothingIsKept, 0, second.probes.get())?;
    stage.settle(&line)?;
    ensure_eq(Invariant::LostIsLast, Vec::new(), second.events())?;
    PASSED
}

trait TakeIf<T> {
    fn take_if(&self, is_now: bool) -> Option<T>;
}

impl<T> TakeIf<T> for Rc<Cell<Option<T>>> {
    fn take_if(&self, is_now: bool) -> Option<T> {
        if is_now { self.take() } else { None }
    }
}
