//! Streams over every transport against every rule of streams.
#![cfg(feature = "streams")]

mod worlds;

use millrun_conformance::{Report, examine_stream};
use worlds::sockets::Kind;
use worlds::transports::{Far, Sockets};

/// Nothing is broken, and nothing is left out but this.
#[track_caller]
fn is_clean(report: &Report, skipped: &[&str]) {
    report.assert_clean();
    let left_out: Vec<_> = report.skipped().iter().map(|(scenario, _)| *scenario).collect();
    assert_eq!(left_out, skipped, "{report}");
    assert!(report.passed().len() >= 20, "{report}");
}

/// A transport has no way to die without a word.
const IMMORTAL: &[&str] = &["the last words and an error"];

#[test]
fn mio_tcp_keeps_the_contract_of_streams() {
    is_clean(&examine_stream(|| Sockets::of_the_os(Kind::Tcp, Far::Socket)), &[]);
}

#[test]
fn mio_tcp_keeps_the_contract_of_streams_in_pairs() {
    is_clean(&examine_stream(|| Sockets::of_the_os(Kind::Tcp, Far::Transport)), IMMORTAL);
}

#[test]
fn mio_unix_keeps_the_contract_of_streams() {
    is_clean(&examine_stream(|| Sockets::of_the_os(Kind::Unix, Far::Socket)), &[]);
}

#[test]
fn mio_unix_keeps_the_contract_of_streams_in_pairs() {
    is_clean(&examine_stream(|| Sockets::of_the_os(Kind::Unix, Far::Transport)), IMMORTAL);
}

#[test]
fn simulated_tcp_keeps_the_contract_of_streams() {
    is_clean(&examine_stream(|| Sockets::simulated(Kind::Tcp, Far::Socket)), &[]);
}

#[test]
fn simulated_tcp_keeps_the_contract_of_streams_in_pairs() {
    is_clean(&examine_stream(|| Sockets::simulated(Kind::Tcp, Far::Transport)), IMMORTAL);
}

#[test]
fn simulated_unix_keeps_the_contract_of_streams() {
    is_clean(&examine_stream(|| Sockets::simulated(Kind::Unix, Far::Socket)), &[]);
}

#[test]
fn simulated_unix_keeps_the_contract_of_streams_in_pairs() {
    is_clean(&examine_stream(|| Sockets::simulated(Kind::Unix, Far::Transport)), IMMORTAL);
}
