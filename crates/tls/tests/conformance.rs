//! TLS against every rule of transports and streams: over the kernel's TCP, over the simulation, over TLS; as a client and as a
//! server, with rustls itself at the other end.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod contract;

use contract::identity::Version;
use contract::worlds::{Far, Row, Side, Tls};
use millrun_conformance::{Report, examine_stream, examine_transport};

/// Nothing is broken, and nothing is left out but this.
#[track_caller]
fn is_clean(report: &Report, at_least: usize, skipped: &[&str]) {
    report.assert_clean();
    let left_out: Vec<_> = report.skipped().iter().map(|(scenario, _)| *scenario).collect();
    assert_eq!(left_out, skipped, "{report}");
    assert!(report.passed().len() >= at_least, "{report}");
}

#[track_caller]
fn transports(row: Row, skipped: &[&str]) {
    is_clean(&examine_transport(|| Tls::new(row)), 40, skipped);
}

#[track_caller]
fn streams(row: Row, skipped: &[&str]) {
    is_clean(&examine_stream(|| Tls::new(row)), 18, skipped);
}

#[cfg(feature = "os")]
mod mio {
    use super::contract::worlds::Kernel;
    use super::{Row, Side, streams, transports};

    fn row(side: Side) -> Row {
        Row { kernel: Kernel::Os, ..Row::new(side) }
    }

    #[test]
    fn tls_over_mio_tcp_keeps_the_contract_of_transports_as_a_client() {
        transports(row(Side::Client), &[]);
    }

    #[test]
    fn tls_over_mio_tcp_keeps_the_contract_of_transports_as_a_server() {
        transports(row(Side::Server), &[]);
    }

    #[test]
    fn tls_over_mio_tcp_keeps_the_contract_of_streams_as_a_client() {
        streams(row(Side::Client), &[]);
    }

    #[test]
    fn tls_over_mio_tcp_keeps_the_contract_of_streams_as_a_server() {
        streams(row(Side::Server), &[]);
    }
}

#[test]
fn tls_over_the_simulation_keeps_the_contract_of_transports_as_a_client() {
    transports(Row::new(Side::Client), &[]);
}

#[test]
fn tls_over_the_simulation_keeps_the_contract_of_transports_as_a_server() {
    transports(Row::new(Side::Server), &[]);
}

#[test]
fn tls_over_the_simulation_keeps_the_contract_of_streams_as_a_client() {
    streams(Row::new(Side::Client), &[]);
}

#[test]
fn tls_over_the_simulation_keeps_the_contract_of_streams_as_a_server() {
    streams(Row::new(Side::Server), &[]);
}

/// TLS 1.2: without half-close.
mod tls12 {
    use super::{Row, Side, Version, streams, transports};

    fn row(side: Side) -> Row {
        Row { version: Version::Tls12, ..Row::new(side) }
    }

    /// What ends one direction alone.
    const HALVES: &[&str] = &[
        "an end of the write direction behind what is unsent",
        "an end of the write direction, and then reading",
        "a close behind an end of the write direction",
    ];

    #[test]
    fn tls12_over_the_simulation_keeps_the_contract_of_transports_as_a_client() {
        transports(row(Side::Client), HALVES);
    }

    #[test]
    fn tls12_over_the_simulation_keeps_the_contract_of_streams() {
        streams(row(Side::Client), &["a writer that is dropped"]);
    }
}

/// TLS over TLS.
mod twice {
    use super::{Row, Side, streams, transports};

    fn row(side: Side) -> Row {
        Row { layers: 2, ..Row::new(side) }
    }

    #[test]
    fn tls_over_tls_keeps_the_contract_of_transports() {
        transports(row(Side::Server), &[]);
    }

    #[test]
    fn tls_over_tls_keeps_the_contract_of_streams() {
        streams(row(Side::Client), &[]);
    }
}

/// With a transport like it at the other end.
mod in_pairs {
    use super::{Far, Row, Side, streams, transports};

    fn row() -> Row {
        Row { far: Far::Transport, ..Row::new(Side::Client) }
    }

    #[test]
    fn tls_keeps_the_contract_of_transports_in_pairs() {
        transports(row(), &["a peer that dies"]);
    }

    #[test]
    fn tls_keeps_the_contract_of_streams_in_pairs() {
        streams(row(), &["the last words and an error"]);
    }
}
