//! Every kernel's selector and sockets against every rule of theirs.

mod worlds;

use millrun_conformance::{Report, examine_selector, examine_socket};
use worlds::sockets::{Kind, Os, Simulated};

/// Nothing is broken, and nothing is left out but this.
#[track_caller]
fn is_clean(report: &Report, skipped: &[&str]) {
    report.assert_clean();
    let left_out: Vec<_> = report.skipped().iter().map(|(scenario, _)| *scenario).collect();
    assert_eq!(left_out, skipped, "{report}");
    assert!(report.passed().len() >= 10, "{report}");
}

const VIRTUAL: &[&str] = &["a foreign source", "wake-ups of other threads, one after the other"];

#[test]
fn mio_tcp_keeps_the_contract_of_selectors() {
    is_clean(&examine_selector(|| Ok(Os(Kind::Tcp))), &[]);
}

#[test]
fn mio_unix_keeps_the_contract_of_selectors() {
    is_clean(&examine_selector(|| Ok(Os(Kind::Unix))), &[]);
}

#[test]
fn simulated_tcp_keeps_the_contract_of_selectors() {
    is_clean(&examine_selector(|| Ok(Simulated::new(Kind::Tcp))), VIRTUAL);
}

#[test]
fn simulated_unix_keeps_the_contract_of_selectors() {
    is_clean(&examine_selector(|| Ok(Simulated::new(Kind::Unix))), VIRTUAL);
}

#[test]
fn mio_tcp_keeps_the_contract_of_sockets() {
    is_clean(&examine_socket(|| Ok(Os(Kind::Tcp))), &[]);
}

#[test]
fn mio_unix_keeps_the_contract_of_sockets() {
    is_clean(&examine_socket(|| Ok(Os(Kind::Unix))), &[]);
}

#[test]
fn simulated_tcp_keeps_the_contract_of_sockets() {
    is_clean(&examine_socket(|| Ok(Simulated::new(Kind::Tcp))), &[]);
}

#[test]
fn simulated_unix_keeps_the_contract_of_sockets() {
    is_clean(&examine_socket(|| Ok(Simulated::new(Kind::Unix))), &[]);
}
