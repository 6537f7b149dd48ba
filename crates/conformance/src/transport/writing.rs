//! Does what was accepted arrive: all of it, in order, once?

use bytes::Bytes;
use millrun_transport::Flow;

use super::probe::{Answer, Probe};
use super::record::Event;
use super::stage::{PASSED, Scenario, Stage, able};
use crate::Invariant;
use crate::pattern::pattern;
use crate::report::{Played, ensure_eq};

pub(super) const SCENARIOS: &[Scenario] = &[
    ("writes of all kinds", kinds),
    ("writes that do not wait for a turn", in_one_breath),
    ("a large write to a slow peer", large),
    ("an echo", echo),
    ("writes before it is made", early),
    ("writes of nothing", nothing),
    ("an end of the write direction behind what is unsent", half_close),
    ("an end of the write direction, and then reading", reads_on),
];

const SIZES: &[usize] = &[1, 0, 17, 1023, 1024, 1025, 4096, 16_383, 16_384, 16_385, 70_000, 3];

fn kinds(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    for gathers in [true, false] {
        line.call(|t| t.set_gathering(gathers));
        for size in SIZES {
            line.write(*size)?;
            line.write_by(*size, |t, bytes| t.write_bytes(Bytes::copy_from_slice(bytes)))?;
            line.write_by(*size, |t, bytes| {
                let (a, rest) = bytes.split_at(size / 3);
                let (b, c) = rest.split_at(size / 3);
                t.writelines(&[a, &[], b, c, &[]])
            })?;
            if size % 2 == 1 {
                line.call(|t| t.flush());
            }
            line.peer_takes();
            stage.turn(std::time::Duration::ZERO)?;
        }
        line.peer_has_all(stage, Invariant::WritesArrive)?;
    }
    let size = line.transport.write_buffer_size();
    ensure_eq(Invariant::SizeIsCounted, 0, size)?;
    PASSED
}

/// Nothing of it can have left before the last one.
fn in_one_breath(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    for size in SIZES.iter().chain(SIZES.iter().rev()) {
        line.write(*size)?;
    }
    line.call(|t| t.flush());
    line.write(5)?;
    line.peer_has_all(stage, Invariant::WritesArrive)?;
    PASSED
}

fn large(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    line.write(100)?;
    let much = 3 * stage.able.buffers;
    line.write_by(much, |t, bytes| t.write_bytes(Bytes::copy_from_slice(bytes)))?;
    line.write(much / 3)?;
    line.write(100)?;
    stage.settle(&line)?;
    line.peer_has_all(stage, Invariant::WritesArrive)?;
    let transport = line.transport.clone();
    let expected = "a size of 0: the peer has all";
    stage
        .until(&line, Invariant::SizeIsCounted, expected, || transport.write_buffer_size() == 0)?;
    PASSED
}

fn echo(stage: &mut Stage<'_>) -> Played {
    let record = stage.record();
    let seen = record.clone();
    let mut from = 0;
    let probe = Probe::new(&record).on(move |transport, event| {
        if let Event::Data(n) = event {
            transport.write(&seen.received()[from..from + n]);
            from += n;
        }
        Answer::Well
    });
    let mut line = stage.attach(&record, probe)?;
    let mut sent = 0;
    for size in [5, 1000, 100_000, 20_000] {
        line.peer_sends(stage, &pattern(sent, size))?;
        sent += size;
        line.sent = sent;
        line.peer_has_all(stage, Invariant::WritesArrive)?;
    }
    PASSED
}

fn early(stage: &mut Stage<'_>) -> Played {
    let record = stage.record();
    let mut line = stage.attach(&record, Probe::new(&record))?;
    for size in [10, 40_000] {
        if line.call(|t| t.write(&pattern(line.sent, size))) != Flow::Closed {
            line.sent += size;
        }
    }
    line.peer_has_all(stage, Invariant::WritesArrive)?;
    PASSED
}

fn nothing(stage: &mut Stage<'_>) -> Played {
    let mut line = stage.connect()?;
    let flows = line.call(|t| [t.write(&[]), t.write_bytes(Bytes::new()), t.writelines(&[])]);
    ensure_eq(Invariant::FlowTells, [Flow::Open; 3], flows)?;
    ensure_eq(Invariant::SizeIsCounted, 0, line.transport.write_buffer_size())?;
    stage.settle(&line)?;
    line.peer_takes();
    ensure_eq(Invariant::WritesArrive, 0, line.got.len())?;
    PASSED
}

fn half_close(stage: &mut Stage<'_>) -> Played {
    able!(stage, half_close);
    for backlog in [false, true] {
        let mut line = stage.connect()?;
        line.write(10)?;
        if backlog {
            stage.fill(&mut line)?;
        }
        line.call(|t| {
            t.write_eof();
            t.write_eof();
        });
        let flow = line.call(|t| t.write(b"too late"));
        ensure_eq(Invariant::ClosedIsTold, Flow::Closed, flow)?;
        ensure_eq(Invariant::WriteEofKeepsReading, false, line.transport.is_closing())?;
        line.peer_has_all(stage, Invariant::WriteEofEndsIt)?;
        line.peer_sees_the_end(stage, Invariant::WriteEofEndsIt)?;
        ensure_eq(Invariant::WriteEofEndsIt, line.sent, line.got.len())?;
        line.call(|t| t.close());
        line.lost_in_peace(stage)?;
    }
    PASSED
}

fn reads_on(stage: &mut Stage<'_>) -> Played {
    able!(stage, half_close);
    let mut line = stage.connect()?;
    line.call(|t| t.write_eof());
    line.peer_sees_the_end(stage, Invariant::WriteEofEndsIt)?;
    line.peer_sends(stage, &pattern(0, 70_000))?;
    let record = line.record.clone();
    let rule = Invariant::WriteEofKeepsReading;
    stage.until(&line, rule, "70000 bytes", || record.received_len() >= 70_000)?;
    line.peer.end();
    line.told(stage, Event::Eof, rule)?;
    line.call(|t| t.close());
    line.lost_in_peace(stage)?;
    PASSED
}
