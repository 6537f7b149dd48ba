//! Each check bites: for every rule of streams there is a transport that makes them break it, and the failure names that rule.
#![cfg(feature = "streams")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broken;
mod worlds;

use broken::transport::BrokenTransports;
use millrun_conformance::{Invariant, examine_stream};

/// What is broken below, and what breaks above.
const BITES: &[(Invariant, Invariant)] = &[
    (Invariant::BytesAreTrue, Invariant::ReadsAreTrue),
    (Invariant::EofIsTold, Invariant::ExactIsExact),
    (Invariant::BytesAreTrue, Invariant::LinesAreLines),
    (Invariant::BytesAreTrue, Invariant::OverrunKeeps),
    (Invariant::BytesAreTrue, Invariant::PeekTakesNothing),
    (Invariant::BytesAreTrue, Invariant::CancelledReadsKeep),
    (Invariant::BytesBeforeEof, Invariant::EndComesLast),
    (Invariant::BytesBeforeError, Invariant::ErrorComesLast),
    (Invariant::RoomIsKept, Invariant::StreamMemoryIsBounded),
    (Invariant::ResumedIsRead, Invariant::NoLimitDeadlocks),
    (Invariant::WritesArrive, Invariant::StreamWritesArrive),
    (Invariant::AboveHighPauses, Invariant::DrainWaits),
    (Invariant::AtLowResumes, Invariant::DrainsEndTogether),
    (Invariant::OutcomeIsTrue, Invariant::DrainTellsLoss),
    (Invariant::ResumedIsRead, Invariant::DuplexCompletes),
    (Invariant::ClosedIsTold, Invariant::WriteErrorsTell),
    (Invariant::CloseFlushes, Invariant::CloseTellsOutcome),
    (Invariant::WriteEofEndsIt, Invariant::DroppedWriterEndsWriting),
    (Invariant::ResumedIsRead, Invariant::DroppedReaderDiscards),
    (Invariant::CloseFlushes, Invariant::DroppedBothCloses),
];

#[test]
fn every_rule_of_streams_bites() {
    let mut unnamed = Vec::new();
    for (bug, rule) in BITES {
        let report = examine_stream(|| BrokenTransports::new(Some(*bug)));
        if !report.names(*rule) {
            unnamed.push(format!("{bug} was broken, and {rule} not named: {report}"));
        }
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n\n"));
    for rule in Invariant::ALL.iter().filter(|rule| rule.name().starts_with("stream/")) {
        assert!(BITES.iter().any(|(_, bitten)| bitten == rule), "nobody breaks {rule}");
    }
}

/// What breaks the others breaks nothing by itself.
#[test]
fn without_a_bug_nothing_is_named() {
    examine_stream(|| BrokenTransports::new(None)).assert_clean();
}

#[test]
#[should_panic(expected = "stream/dropped-both-closes")]
fn a_check_panics_with_the_name_of_the_rule() {
    millrun_conformance::check_stream(|| BrokenTransports::new(Some(Invariant::CloseFlushes)));
}
