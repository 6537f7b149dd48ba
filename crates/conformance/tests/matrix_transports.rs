//! Every transport against every rule of transports.
#![cfg(feature = "transport")]

mod worlds;

use millrun_conformance::{Report, examine_transport};
use worlds::sockets::Kind;
use worlds::transports::{Far, Sockets};

/// Nothing is broken, and nothing is left out but this.
#[track_caller]
fn is_clean(report: &Report, skipped: &[&str]) {
    report.assert_clean();
    let left_out: Vec<_> = report.skipped().iter().map(|(scenario, _)| *scenario).collect();
    assert_eq!(left_out, skipped, "{report}");
    assert!(report.passed().len() >= 40, "{report}");
}

/// A transport has no way to die without a word.
const IMMORTAL: &[&str] = &["a peer that dies"];

#[test]
fn mio_tcp_keeps_the_contract_of_transports() {
    is_clean(&examine_transport(|| Sockets::of_the_os(Kind::Tcp, Far::Socket)), &[]);
}

#[test]
fn mio_tcp_keeps_the_contract_of_transports_in_pairs() {
    is_clean(&examine_transport(|| Sockets::of_the_os(Kind::Tcp, Far::Transport)), IMMORTAL);
}

#[test]
fn mio_unix_keeps_the_contract_of_transports() {
    is_clean(&examine_transport(|| Sockets::of_the_os(Kind::Unix, Far::Socket)), &[]);
}

#[test]
fn mio_unix_keeps_the_contract_of_transports_in_pairs() {
    is_clean(&examine_transport(|| Sockets::of_the_os(Kind::Unix, Far::Transport)), IMMORTAL);
}

#[test]
fn simulated_tcp_keeps_the_contract_of_transports() {
    is_clean(&examine_transport(|| Sockets::simulated(Kind::Tcp, Far::Socket)), &[]);
}

#[test]
fn simulated_tcp_keeps_the_contract_of_transports_in_pairs() {
    is_clean(&examine_transport(|| Sockets::simulated(Kind::Tcp, Far::Transport)), IMMORTAL);
}

#[test]
fn simulated_unix_keeps_the_contract_of_transports() {
    is_clean(&examine_transport(|| Sockets::simulated(Kind::Unix, Far::Socket)), &[]);
}

#[test]
fn simulated_unix_keeps_the_contract_of_transports_in_pairs() {
    is_clean(&examine_transport(|| Sockets::simulated(Kind::Unix, Far::Transport)), IMMORTAL);
}
