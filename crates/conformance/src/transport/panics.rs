//! Does a callback that panics end its connection, and nothing else?

use super::probe::{Answer, Probe, Room};
use super::record::Event;
use super::stage::{PASSED, Scenario, Stage, able};
use crate::Invariant;
use crate::pattern::pattern;
use crate::report::{Outcome, Played, Step, ensure};
use millrun_transport::Watermarks;

pub(super) const SCENARIOS: &[Scenario] = &[
    ("a panic in connection_made", |stage| panics(stage, "made")),
    ("a panic in landing", |stage| {
        able!(stage, room);
        panics(stage, "landing")
    }),
    ("a panic in data_received", |stage| panics(stage, "data")),
    ("a panic in eof_received", |stage| panics(stage, "eof")),
    ("a panic in pause_writing", |stage| panics(stage, "pause")),
    ("a panic in connection_lost", |stage| panics(stage, "lost")),
];

fn is_now(event: &Event, when: &str) -> bool {
    match event {
        Event::Made => when == "made",
        Event::Data(_) => when == "data",
        Event::Eof => when == "eof",
        Event::Pause => when == "pause",
        Event::Resume => when == "resume",
        Event::Lost(_) => when == "lost",
    }
}

fn panics(stage: &mut Stage<'_>, when: &'static str) -> Played {
    if cfg!(panic = "abort") {
        return Ok(Outcome::Skipped("needs panics that unwind"));
    }
    stage.expect_reports();
    let mut other = stage.connect()?;
    let record = stage.record();
    let probe = Probe::new(&record).on(move |_, event| {
        assert!(!is_now(event, when), "as told, in {when}");
        Answer::Well
    });
    let probe = probe.room(move || {
        assert!(when != "landing", "as told, in {when}");
        Room::Shared(100)
    });
    let mut line = stage.attach(&record, probe)?;
    match when {
        "pause" => {
            line.call(|t| t.set_write_buffer_limits(Watermarks { low: 0, high: 0 })).ok();
            // It may end before it is full.
            let heap = pattern(0, stage.heap());
            for _ in 0..512 {
                if !record.is_lost() && !record.has(&Event::Pause) {
                    line.call(|t| t.write(&heap));
                    stage.turn(std::time::Duration::from_millis(1))?;
                }
            }
        }
        "lost" => {
            line.told(stage, Event::Made, Invariant::MadeFirst)?;
            line.call(|t| t.close());
        }
        "made" => {}
        _ => {
            line.peer_speaks(stage, Invariant::PanicEndsIt)?;
            line.peer.end();
        }
    }
    let expected = "an end of the connection that panicked";
    line.lost_by(stage, Invariant::PanicEndsIt, expected)?;
    let error = record.lost().flatten();
    let told = when == "lost" || error.is_some();
    ensure(told, Invariant::PanicEndsIt, "lost with an error", "none")?;
    let reports = stage.reports();
    let said = reports.iter().any(|report| report.contains("as told"));
    let got = format_args!("{reports:?}");
    ensure(said, Invariant::PanicIsReported, "a word to the exception handler", got)?;
    spared(stage, &mut other)?;
    PASSED
}

fn spared(stage: &mut Stage<'_>, other: &mut super::line::Line) -> Step {
    other.peer_sends(stage, &pattern(0, 1000))?;
    let record = other.record.clone();
    let rule = Invariant::PanicSparesOthers;
    stage.until(other, rule, "bytes as before", || record.received_len() >= 1000)?;
    other.write(1000)?;
    other.peer_has_all(stage, rule)
}
