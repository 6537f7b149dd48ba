//! Does a close flush, an abort drop, and each of them tell its outcome and end?

use std::io::ErrorKind;
use std::time::Duration;

use millrun_transport::{CloseOutcome, Flow, Transport};

use super::line::Line;
use super::probe::{Answer, Probe};
use super::record::Event;
use super::stage::{PASSED, Scenario, Stage, able};
use crate::pattern::{is_pattern, pattern};
use crate::report::{Played, Step, ensure, ensure_eq};
use crate::{Invariant, Violation};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a write and a close in one breath", in_one_breath),
    ("a write and a close in one callback", in_one_callback),
    ("a close with much unsent", with_backlog),
    ("a close while the peer sends", deaf),
    ("a close behind an end of the write direction", behind_eof),
    ("an abort with much unsent", |stage| drops(stage, |t| t.abort(), None)),
    ("a failure with much unsent", |stage| {
        drops(stage, |t| t.fail(ErrorKind::InvalidData.into()), Some(ErrorKind::InvalidData))
    }),
    ("a close that makes no progress", |stage| deadline(stage, |t| t.close())),
    ("a close within a time", |stage| {
        deadline(stage, |t| t.close_within(Duration::from_millis(40)))
    }),
    ("a peer that is gone, with much unsent", peer_gone),
];

fn outcome(line: &Line, expected: Option<CloseOutcome>) -> Step {
    ensure_eq(Invariant::OutcomeIsTrue, expected, line.transport.close_outcome())
}

/// What is true from the close on.
fn is_closing(line: &Line) -> Step {
    ensure_eq(Invariant::ClosingIsTold, true, line.transport.is_closing())?;
    ensure_eq(Invariant::ReadingIsTold, false, line.transport.is_reading())?;
    let flow = line.call(|t| t.write(b"too late"));
    ensure_eq(Invariant::ClosedIsTold, Flow::Closed, flow)?;
    let flow = line.call(|t| t.write_bytes(bytes::Bytes::from_static(b"too late")));
    ensure_eq(Invariant::ClosedIsTold, Flow::Closed, flow)?;
    let flow = line.call(|t| t.writelines(&[b"too", b"late"]));
    ensure_eq(Invariant::ClosedIsTold, Flow::Closed, flow)
}

/// All that was accepted arrives, then the end, and then it is lost in peace.
fn is_flushed(stage: &mut Stage<'_>, line: &mut Line) -> Step {
    line.peer_has_all(stage, Invariant::CloseFlushes)?;
    line.peer_sees_the_end(stage, Invariant::CloseFlushes)?;
    ensure_eq(Invariant::CloseFlushes, line.sent, line.got.len())?;
    line.lost_in_peace(stage)?;
    outcome(line, Some(CloseOutcome::Flushed))
}

fn in_one_breath(stage: &mut Stage<'_>) -> Played {
    for size in [1, 1000, 30_000] {
        let mut line = stage.connect()?;
        outcome(&line, None)?;
        ensure_eq(Invariant::ClosingIsTold, false, line.transport.is_closing())?;
        line.write(size)?;
        line.write(size)?;
        line.call(|t| t.close());
        is_closing(&line)?;
        is_flushed(stage, &mut line)?;
    }
    PASSED
}

/// What was gathered in the callback leaves before the end.
fn in_one_callback(stage: &mut Stage<'_>) -> Played {
    let record = stage.record();
    let probe = Probe::new(&record).on(|transport, event| {
        if let Event::Data(_) = event {
            transport.write(&pattern(0, 500));
            transport.write(&pattern(500, 500));
            transport.close();
        }
        Answer::Well
    });
    let mut line = stage.attach(&record, probe)?;
    line.peer_sends(stage, b"x")?;
    line.lost_to_a_reader(stage, Invariant::CloseFlushes)?;
    line.sent = 1000;
    is_flushed(stage, &mut line)?;
    PASSED
}

fn with_backlog(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    stage.fill(&mut line)?;
    line.call(|t| t.close());
    is_closing(&line)?;
    outcome(&line, None)?;
    stage.settle(&line)?;
    ensure_eq(Invariant::CloseFlushes, false, line.record.is_lost())?;
    line.call(|t| t.close());
    line.call(|t| t.write_eof());
    is_flushed(stage, &mut line)?;
    PASSED
}

fn deaf(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    stage.fill(&mut line)?;
    line.call(|t| t.close());
    line.record.forbid(Some(Invariant::CloseStopsReading));
    let _ = line.peer.send(b"who hears this?");
    stage.settle(&line)?;
    line.peer.end();
    stage.settle(&line)?;
    line.peer_takes();
    line.call(|t| t.resume_reading());
    is_flushed(stage, &mut line)?;
    PASSED
}

fn behind_eof(stage: &mut Stage<'_>) -> Played {
    able!(stage, half_close);
    for backlog in [false, true] {
        let mut line = stage.connect()?;
        line.write(100)?;
        if backlog {
            stage.fill(&mut line)?;
        }
        line.call(|t| {
            t.write_eof();
            t.close();
            t.write_eof();
        });
        is_closing(&line)?;
        is_flushed(stage, &mut line)?;
    }
    PASSED
}

fn drops(stage: &mut Stage<'_>, end: fn(&dyn Transport), kind: Option<ErrorKind>) -> Played {
    let rule = Invariant::AbortDrops;
    let mut line = stage.connect()?;
    stage.fill(&mut line)?;
    let (unsent, added) = (line.transport.write_buffer_size(), line.added());
    line.call(end);
    is_closing(&line)?;
    let at_once = line.transport.close_outcome();
    let record = line.record.clone();
    // The peer does not read: whoever waits for it waits for ever.
    stage.until(&line, rule, "lost, though the peer does not read", || record.is_lost())?;
    let error = line.record.lost().flatten().map(|(kind, _)| kind);
    ensure_eq(Invariant::LostTellsWhy, kind, error)?;
    outcome(&line, Some(CloseOutcome::Unsent(unsent)))?;
    ensure_eq(Invariant::OutcomeIsTrue, Some(CloseOutcome::Unsent(unsent)), at_once)?;
    let taken = line.sent + added - unsent;
    let over = stage.now() + stage.able.patience;
    while line.peer_over().is_none() && stage.now() < over {
        line.peer_takes();
        stage.turn(Duration::from_millis(1))?;
    }
    let got = line.got.len();
    let expected = format!("at most {taken} bytes at the peer: {unsent} were dropped");
    ensure(got <= taken, Invariant::OutcomeIsTrue, expected, got)?;
    is_pattern(&line.got, got, Invariant::WritesArrive)?;
    if line.peer_over() == Some(Ok(())) && kind.is_none() {
        let least = taken - added;
        let expected = format_args!("at least {least} bytes at the peer: {unsent} were dropped");
        ensure(got >= least, Invariant::OutcomeIsTrue, expected, got)?;
    }
    PASSED
}

fn deadline(stage: &mut Stage<'_>, close: fn(&dyn Transport)) -> Played {
    able!(stage, close_timeout);
    let mut line = stage.connect()?;
    stage.fill(&mut line)?;
    line.call(|t| t.set_close_timeout(Duration::from_millis(50)));
    line.call(close);
    let record = line.record.clone();
    let expected = "an end without progress, after the time that was set";
    stage.until(&line, Invariant::CloseEnds, expected, || record.is_lost())?;
    let error = line.record.lost().flatten();
    let kind = error.as_ref().map(|(kind, _)| *kind);
    ensure_eq(Invariant::CloseEnds, Some(ErrorKind::TimedOut), kind)?;
    let unsent = match line.transport.close_outcome() {
        Some(CloseOutcome::Unsent(unsent)) => unsent,
        other => {
            let got = format_args!("{other:?}");
            return Err(Violation::new(Invariant::OutcomeIsTrue, "bytes unsent", got));
        }
    };
    // What is said of it in words: the error itself was the protocol's.
    let text = error.map(|(_, text)| text).unwrap_or_default();
    let right = millrun_transport::CloseTimedOut { unsent }.to_string();
    ensure_eq(Invariant::CloseEnds, right, text)?;
    let most = line.sent + line.added() - unsent;
    line.peer_takes();
    let got = line.got.len();
    ensure(got <= most, Invariant::OutcomeIsTrue, format_args!("at most {most}"), got)?;
    PASSED
}

/// However that is noticed.
fn peer_gone(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect_with(|probe| {
        probe.on(|_, event| if *event == Event::Eof { Answer::Close } else { Answer::Well })
    })?;
    stage.fill(&mut line)?;
    if stage.able.close_timeout {
        line.call(|t| t.set_close_timeout(Duration::from_millis(50)));
    }
    let has_died = line.peer.reset();
    if !has_died {
        line.peer.close();
    }
    line.lost(stage)?;
    let told = line.transport.close_outcome();
    // Where a close waits for the other end, a peer that closes may have taken all of it meanwhile.
    let may_have_taken = !has_died && !stage.able.lone_close;
    let is_told = matches!(told, Some(CloseOutcome::Unsent(1..)))
        || may_have_taken && told == Some(CloseOutcome::Flushed);
    let got = format_args!("{told:?}");
    ensure(is_told, Invariant::OutcomeIsTrue, "bytes unsent: the peer is gone", got)?;
    PASSED
}
