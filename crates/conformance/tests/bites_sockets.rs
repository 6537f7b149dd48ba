//! Each check bites: for every rule of selectors and sockets there is one that breaks it, and the failure names that rule.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod broken;
mod worlds;

use broken::Broken;
use millrun_conformance::{Invariant, examine_selector, examine_socket};

/// The rules whose names begin so.
fn rules(boundary: &str) -> impl Iterator<Item = Invariant> + '_ {
    Invariant::ALL.iter().copied().filter(move |i| i.name().starts_with(boundary))
}

#[test]
fn every_rule_of_selectors_bites() {
    for bug in rules("world/").chain(rules("selector/")) {
        let report = examine_selector(|| Broken::new(Some(bug)));
        assert!(report.names(bug), "{bug} was broken, and not named: {report}");
    }
}

#[test]
fn every_rule_of_sockets_bites() {
    for bug in rules("socket/") {
        let report = examine_socket(|| Broken::new(Some(bug)));
        assert!(report.names(bug), "{bug} was broken, and not named: {report}");
    }
}

/// What breaks the others breaks nothing by itself.
#[test]
fn without_a_bug_nothing_is_named() {
    examine_selector(|| Broken::new(None)).assert_clean();
    examine_socket(|| Broken::new(None)).assert_clean();
}

#[test]
#[should_panic(
    expected = "socket/half-close: Shutting the write direction leaves the other one open."
)]
fn a_check_panics_with_the_name_of_the_rule() {
    millrun_conformance::check_socket(|| Broken::new(Some(Invariant::HalfClose)));
}

#[test]
#[should_panic(expected = "selector/gone-key-is-silent")]
fn a_check_of_a_selector_panics_with_the_name_of_the_rule() {
    millrun_conformance::check_selector(|| Broken::new(Some(Invariant::GoneKeyIsSilent)));
}
