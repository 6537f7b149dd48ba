//! Each check bites: for every rule of transports there is one that breaks it, and the failure names that rule.
#![cfg(feature = "transport")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broken;
mod worlds;

use broken::transport::BrokenTransports;
use millrun_conformance::{Invariant, Report, examine_transport, examine_transport_until};

/// Every other rule, from this one on: two tests, so that they run side by side.
fn bite(first: usize) {
    let rules = Invariant::ALL.iter().filter(|rule| rule.name().starts_with("transport/"));
    let unnamed: Vec<String> = rules
        .skip(first)
        .step_by(2)
        .filter_map(|bug| {
            let is_named = |report: &Report| report.names(*bug);
            let report = examine_transport_until(is_named, || BrokenTransports::new(Some(*bug)));
            (!is_named(&report)).then(|| format!("{bug} was broken, and not named: {report}"))
        })
        .collect();
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n\n"));
}

#[test]
fn every_rule_of_transports_bites_the_odd_ones() {
    bite(0);
}

#[test]
fn every_rule_of_transports_bites_the_even_ones() {
    bite(1);
}

/// What breaks the others breaks nothing by itself.
#[test]
fn without_a_bug_nothing_is_named() {
    examine_transport(|| BrokenTransports::new(None)).assert_clean();
}

#[test]
#[should_panic(expected = "transport/at-low-resumes")]
fn a_check_panics_with_the_name_of_the_rule() {
    millrun_conformance::check_transport(|| BrokenTransports::new(Some(Invariant::AtLowResumes)));
}
