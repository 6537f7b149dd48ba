//! The rows of TLS bite: TLS that breaks a rule, above or below, is caught, and the failure names the rule.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod contract;

use contract::broken::Bug;
use contract::worlds::{Row, Side, Tls};
use millrun_conformance::{Invariant, Report, examine_transport_until};

#[track_caller]
fn bites(bug: Bug, rule: Invariant) {
    let row = Row { bug: Some(bug), ..Row::new(Side::Client) };
    let is_named = |report: &Report| report.names(rule);
    let report = examine_transport_until(is_named, || Tls::new(row));
    assert!(is_named(&report), "{bug:?} was broken, and {rule} not named: {report}");
}

#[test]
fn a_close_that_drops_what_has_not_left_is_named() {
    bites(Bug::CloseDrops, Invariant::CloseFlushes);
}

/// The transport below loses the last records, `close_notify` with them: to the peer it is a connection that was cut off.
#[test]
fn an_end_that_drops_what_has_not_left_is_named() {
    bites(Bug::EndDrops, Invariant::WriteEofEndsIt);
    bites(Bug::EndDrops, Invariant::CloseFlushes);
}

#[test]
fn a_transport_below_that_never_says_resume_is_named() {
    bites(Bug::NeverResumes, Invariant::WritesArrive);
}

/// Records that come twice are no TLS.
#[test]
fn a_transport_below_that_doubles_what_comes_is_named() {
    bites(Bug::Doubles, Invariant::ResumedIsRead);
}
