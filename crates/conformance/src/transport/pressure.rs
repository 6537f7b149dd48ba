//! Is the protocol told when to pause and when to go on, by the marks?

use millrun_transport::{Flow, InvalidLimits, Watermarks};

use super::line::Line;
use super::probe::{Answer, Probe};
use super::record::Event;
use super::stage::{PASSED, Scenario, Stage};
use crate::report::{Played, Step, ensure, ensure_eq};
use crate::{Invariant, Violation};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("marks that are set", marks),
    ("a full buffer, and marks around its size", around_the_size),
    ("a full buffer that leaves", leaves),
    ("a mark of nothing", zero),
    ("pauses that come and go", churn),
    ("a full buffer and another protocol", another_protocol),
    ("a full buffer, closing", closing),
];

fn marks(stage: &mut Stage<'_>) -> Played {
    let line = stage.connect()?;
    let rule = Invariant::LimitsHold;
    let Watermarks { low, high } = line.transport.write_buffer_limits();
    ensure(low <= high, rule, "low at or below high", format_args!("{low} and {high}"))?;
    for (low, high) in [(0, 0), (1, 1), (100, 1000), (0, usize::MAX)] {
        let limits = Watermarks { low, high };
        ensure_eq(rule, Ok(()), line.call(|t| t.set_write_buffer_limits(limits)))?;
        ensure_eq(rule, limits, line.transport.write_buffer_limits())?;
    }
    let before = line.transport.write_buffer_limits();
    let wrong = Watermarks { low: 2, high: 1 };
    let answer = line.call(|t| t.set_write_buffer_limits(wrong));
    ensure_eq(rule, Err(InvalidLimits(wrong)), answer)?;
    ensure_eq(rule, before, line.transport.write_buffer_limits())?;
    PASSED
}

/// Sets marks, turns the loop, and asks whether the protocol was told what is true of them now.
fn is_told(stage: &mut Stage<'_>, line: &Line, low: usize, high: usize) -> Step {
    let answer = line.call(|t| t.set_write_buffer_limits(Watermarks { low, high }));
    ensure_eq(Invariant::LimitsHold, Ok(()), answer)?;
    let transport = line.transport.clone();
    let record = line.record.clone();
    // The size may shrink by itself meanwhile: what has to be told follows it.
    let must_pause = || transport.write_buffer_size() > high;
    let must_resume = || transport.write_buffer_size() <= low;
    let size = transport.write_buffer_size();
    if must_pause() {
        let expected = format!("pause: {size} unsent bytes are more than {high}");
        stage.until(line, Invariant::AboveHighPauses, &expected, || {
            record.is_told_paused() || !must_pause()
        })
    } else if must_resume() {
        let expected = format!("resume: {size} unsent bytes are not more than {low}");
        stage.until(line, Invariant::AtLowResumes, &expected, || !record.is_told_paused())
    } else {
        Ok(())
    }
}

fn around_the_size(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    stage.fill(&mut line)?;
    is_told(stage, &line, 0, 1)?;
    ensure(line.record.is_told_paused(), Invariant::AboveHighPauses, "pause", "none")?;
    for _ in 0..3 {
        let size = line.transport.write_buffer_size();
        is_told(stage, &line, size, size)?;
        let size = line.transport.write_buffer_size();
        is_told(stage, &line, size - 1, size - 1)?;
        // Neither above high nor at low: it stays as it is.
        let size = line.transport.write_buffer_size();
        let was = line.record.is_told_paused();
        let between = Watermarks { low: size / 2, high: size };
        ensure_eq(
            Invariant::LimitsHold,
            Ok(()),
            line.call(|t| t.set_write_buffer_limits(between)),
        )?;
        stage.settle(&line)?;
        if line.transport.write_buffer_size() > size / 2 {
            ensure_eq(Invariant::PauseStays, was, line.record.is_told_paused())?;
        }
        is_told(stage, &line, usize::MAX, usize::MAX)?;
        let flow = line.write(1)?;
        ensure_eq(Invariant::FlowTells, Flow::Open, flow)?;
        is_told(stage, &line, 0, 0)?;
        let flow = line.write(1)?;
        ensure_eq(Invariant::FlowTells, Flow::Paused, flow)?;
    }
    line.peer_has_all(stage, Invariant::WritesArrive)?;
    PASSED
}

fn leaves(stage: &mut Stage<'_>) -> Played {
    let record = stage.record();
    let seen = record.clone();
    // Said while it is above low, or not at all.
    let probe = Probe::new(&record).on(move |transport, event| {
        let (size, low) = (transport.write_buffer_size(), transport.write_buffer_limits().low);
        if *event == Event::Resume && size > low {
            let expected = format_args!("resume at {low} unsent bytes or less");
            seen.broken(Violation::new(Invariant::AtLowResumes, expected, size));
        }
        Answer::Well
    });
    let mut line = stage.attach(&record, probe)?;
    for low in [0, 1, 1000, 50_000] {
        let limits = Watermarks { low, high: low + 1000 };
        ensure_eq(Invariant::LimitsHold, Ok(()), line.call(|t| t.set_write_buffer_limits(limits)))?;
        stage.fill(&mut line)?;
        let paused = || record.is_told_paused();
        stage.until(&line, Invariant::AboveHighPauses, "pause", paused)?;
        line.peer_has_all(stage, Invariant::WritesArrive)?;
        let resumed = || !record.is_told_paused();
        stage.until(&line, Invariant::AtLowResumes, "resume: all has left", resumed)?;
    }
    PASSED
}

fn zero(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    is_told(stage, &line, 0, 0)?;
    stage.fill(&mut line)?;
    let record = line.record.clone();
    stage.until(&line, Invariant::AboveHighPauses, "pause", || record.is_told_paused())?;
    line.peer_has_all(stage, Invariant::WritesArrive)?;
    stage.until(&line, Invariant::AtLowResumes, "resume at 0", || !record.is_told_paused())?;
    PASSED
}

/// The probe itself notices two pauses in a row.
fn churn(stage: &mut Stage<'_>) -> Played {
    let record = stage.record();
    let probe = Probe::new(&record).on(|transport, event| {
        if *event == Event::Resume {
            let _ = transport.set_write_buffer_limits(Watermarks { low: 10, high: 100 });
        }
        Answer::Well
    });
    let mut line = stage.attach(&record, probe)?;
    stage.fill(&mut line)?;
    for round in 0..40 {
        let size = line.transport.write_buffer_size();
        let mark = if round % 2 == 0 { 0 } else { size };
        let limits = Watermarks { low: mark, high: mark };
        ensure_eq(Invariant::LimitsHold, Ok(()), line.call(|t| t.set_write_buffer_limits(limits)))?;
        if round % 3 == 0 {
            line.write(1000)?;
        }
        if round % 5 == 0 {
            line.peer_takes();
        }
        stage.turn(std::time::Duration::ZERO)?;
    }
    line.peer_has_all(stage, Invariant::WritesArrive)?;
    PASSED
}

/// The new one was told nothing yet.
fn another_protocol(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    is_told(stage, &line, 0, 0)?;
    stage.fill(&mut line)?;
    let record = line.record.clone();
    stage.until(&line, Invariant::AboveHighPauses, "pause", || record.is_told_paused())?;
    let pauses = |record: &super::record::Record| {
        record.events().iter().filter(|event| **event == Event::Pause).count()
    };
    let before = pauses(&record);
    line.call(|t| t.set_protocol(Box::new(Probe::second(&record))));
    let expected = "pause, to the new one";
    stage.until(&line, Invariant::NewOneIsToldPause, expected, || pauses(&record) > before)?;
    line.peer_has_all(stage, Invariant::WritesArrive)?;
    stage.until(&line, Invariant::AtLowResumes, "resume", || !record.is_told_paused())?;
    PASSED
}

/// The probe itself notices a resume.
fn closing(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    is_told(stage, &line, 0, 0)?;
    stage.fill(&mut line)?;
    let record = line.record.clone();
    stage.until(&line, Invariant::AboveHighPauses, "pause", || record.is_told_paused())?;
    line.call(|t| t.close());
    line.peer_has_all(stage, Invariant::CloseFlushes)?;
    line.lost_in_peace(stage)?;
    PASSED
}
