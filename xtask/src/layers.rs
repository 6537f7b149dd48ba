//! Dependencies point down: a crate names only layers below it, and only the packages that its row declares.
//! The table is the rule: a new edge needs a line here, and the line says what for, so that it is seen in review.

use std::collections::BTreeSet;

use crate::metadata::{Dependency, Kind, Package, packages};

/// One workspace crate. The table below is ordered from the bottom up: `below` may name earlier rows only.
struct Crate {
    name: &'static str,
    /// Members that it may depend on.
    below: &'static [&'static str],
    /// Members that its tests may depend on besides.
    in_tests: &'static [&'static str],
    /// Packages from outside, each with what it is for.
    outside: &'static [(&'static str, &'static str)],
}

const SELECTOR: &str = "millrun-selector";
const SIM: &str = "millrun-sim";
const LOOP: &str = "millrun-loop";
const TRANSPORT: &str = "millrun-transport";
const PROTOCOL: &str = "millrun-protocol";
const STREAMS: &str = "millrun-streams";
const TLS: &str = "millrun-tls";
const TESTBED: &str = "millrun-testbed";
const CONFORMANCE: &str = "millrun-conformance";
const FACADE: &str = "millrun";

const CRATES: &[Crate] = &[
    Crate {
        name: SELECTOR,
        below: &[],
        in_tests: &[],
        outside: &[
            ("mio", "epoll and kqueue behind one API"),
            ("rustix", "recv, send and sendmsg without unsafe code of ours"),
            ("socket2", "making sockets, socket options"),
            ("dns-lookup", "getaddrinfo with service names"),
        ],
    },
    Crate { name: SIM, below: &[SELECTOR], in_tests: &[], outside: &[] },
    Crate {
        name: LOOP,
        below: &[SELECTOR],
        in_tests: &[SIM],
        outside: &[
            ("futures-core", "the Stream trait, for intervals"),
            ("pin-project-lite", "projections of pinned futures without unsafe code of ours"),
            ("tracing", "reports and debug logs"),
            ("libc", "sigaction, in the one unsafe module"),
            ("rustix", "the pipe that signals write to"),
            ("loom", "its locks and atomics, under cfg(loom) alone"),
        ],
    },
    Crate {
        name: TRANSPORT,
        below: &[SELECTOR, LOOP],
        in_tests: &[SIM],
        outside: &[("bytes", "owned chunks without a copy"), ("tracing", "debug logs")],
    },
    Crate {
        name: PROTOCOL,
        below: &[SELECTOR, LOOP, TRANSPORT],
        in_tests: &[SIM],
        outside: &[("bytes", "owned reads"), ("memchr", "finding separators")],
    },
    Crate {
        name: STREAMS,
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL],
        in_tests: &[SIM],
        outside: &[
            ("bytes", "owned reads and writes"),
            ("pin-project-lite", "projections of pinned futures without unsafe code of ours"),
        ],
    },
    Crate {
        name: CONFORMANCE,
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS],
        in_tests: &[SIM],
        outside: &[("bytes", "owned writes")],
    },
    Crate {
        name: TLS,
        below: &[SELECTOR, LOOP, TRANSPORT],
        in_tests: &[SIM, PROTOCOL, STREAMS, CONFORMANCE],
        outside: &[
            ("rustls", "TLS itself"),
            ("rustls-platform-verifier", "whom the operating system trusts"),
            ("bytes", "owned writes"),
            ("tracing", "debug logs"),
        ],
    },
    Crate {
        name: TESTBED,
        below: &[SELECTOR, SIM, LOOP],
        in_tests: &[TRANSPORT, PROTOCOL, STREAMS, TLS],
        outside: &[],
    },
    Crate {
        name: FACADE,
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS, TLS],
        in_tests: &[SIM],
        outside: &[],
    },
    Crate {
        name: "millrun-examples",
        below: &[
            SELECTOR,
            SIM,
            LOOP,
            TRANSPORT,
            PROTOCOL,
            STREAMS,
            TLS,
            TESTBED,
            CONFORMANCE,
            FACADE,
        ],
        in_tests: &[],
        outside: &[
            ("bytes", "owned reads and writes"),
            ("indicatif", "the tour's progress bar"),
            ("sha2", "the tour's digest"),
            ("tracing-subscriber", "showing the logs"),
        ],
    },
    Crate {
        name: "millrun-gate",
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS],
        in_tests: &[],
        outside: &[
            ("rustix", "the hand-written server to compare with, and the limit of descriptors"),
            ("stats_alloc", "counting allocations"),
            ("bytes", "blocks that are written without a copy"),
        ],
    },
    Crate {
        name: "millrun-sweep",
        below: &[SELECTOR, SIM, LOOP, TRANSPORT, PROTOCOL, STREAMS, TESTBED],
        in_tests: &[],
        outside: &[("indicatif", "progress")],
    },
    Crate {
        name: "millrun-stress",
        below: &[SELECTOR, LOOP, TRANSPORT, STREAMS],
        in_tests: &[],
        outside: &[
            ("rustix", "limits of descriptors"),
            ("stats_alloc", "what the server has allocated and not given back"),
        ],
    },
    Crate {
        name: "millrun-fuzz-drivers",
        below: &[SELECTOR, SIM, LOOP, TRANSPORT, PROTOCOL, TLS],
        in_tests: &[],
        outside: &[
            ("rcgen", "a certificate, made when TLS is fuzzed"),
            ("arbitrary", "steps out of bytes"),
            ("bytes", "what is written without a copy"),
        ],
    },
    Crate {
        name: "millrun-benches",
        below: &[SELECTOR, LOOP, TRANSPORT, PROTOCOL, STREAMS, TLS],
        in_tests: &[],
        outside: &[
            ("bytes", "owned chunks, for the servers"),
            ("rustls", "the load's TLS, and one configuration for all servers"),
            ("rcgen", "a certificate for each run"),
            ("rustix", "the hand-written server, pinning to a core, limits"),
            ("mio", "the load generator's own loop"),
            ("crc32fast", "the digest of a transfer"),
            ("hdrhistogram", "latencies"),
            ("indicatif", "progress"),
            ("plotters", "the report's plots"),
            ("serde", "the report's file"),
            ("serde_json", "the report's file, and what runner and load say to each other"),
            ("criterion", "the micro benches"),
            ("memchr", "lines, as the hand-written server looks for them"),
            ("tokio", "a peer"),
            ("tokio-rustls", "a peer"),
            ("smol", "a peer"),
            ("calloop", "a peer"),
            ("monoio", "a peer"),
            ("compio", "a peer"),
        ],
    },
    Crate {
        name: "xtask",
        below: &[],
        in_tests: &[],
        outside: &[("serde_json", "reading cargo's metadata")],
    },
];

/// What any crate's tests may use.
const TEST_TOOLS: &[(&str, &str)] = &[
    ("proptest", "random cases against a simple model"),
    ("static_assertions", "Send and Sync, asserted when compiling"),
    ("stats_alloc", "counting allocations"),
    ("rustix", "descriptor limits, pipes and signals in tests on real sockets"),
    ("tracing-subscriber", "reading what was logged"),
    ("futures-core", "the Stream trait, to await an interval by it"),
    ("bytes", "owned chunks"),
    ("rcgen", "certificates, made when a test runs"),
    ("rustls", "reading a certificate"),
];

pub(crate) fn run() -> Result<(), String> {
    let packages = packages()?;
    let problems = check(CRATES, &packages);
    if problems.is_empty() {
        println!("layers: {} crates, every edge points down", packages.len());
        return Ok(());
    }
    problems.iter().for_each(|problem| println!("{problem}"));
    Err(format!("layers: {} edges that xtask/src/layers.rs does not allow", problems.len()))
}

fn check(table: &[Crate], packages: &[Package]) -> Vec<String> {
    let mut problems = table_problems(table);
    let gone = |row: &&Crate| packages.iter().all(|package| package.name != row.name);
    problems.extend(
        table.iter().filter(gone).map(|row| format!("the table: there is no crate {}", row.name)),
    );
    for package in packages {
        match table.iter().find(|row| row.name == package.name) {
            Some(row) => {
                let edges = package.dependencies.iter().filter_map(|d| edge_problem(row, d));
                problems.extend(edges);
                problems.extend(unused(row, package));
            }
            None => problems.push(format!("{}: not in the table of layers", package.name)),
        }
    }
    problems
}

/// The table itself may not name a layer at or above the row.
fn table_problems(table: &[Crate]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for row in table {
        for name in row.below.iter().chain(row.in_tests) {
            if !seen.contains(name) {
                problems
                    .push(format!("the table: {} names {name}, which is not below it", row.name));
            }
        }
        seen.insert(row.name);
    }
    problems
}

fn edge_problem(row: &Crate, dependency: &Dependency) -> Option<String> {
    let name = dependency.name.as_str();
    let in_tests = dependency.kind == Kind::Dev;
    let allowed = if dependency.member {
        row.below.contains(&name) || in_tests && row.in_tests.contains(&name)
    } else {
        let declared = |list: &[(&str, &str)]| list.iter().any(|(package, _)| *package == name);
        declared(row.outside) || in_tests && declared(TEST_TOOLS)
    };
    if allowed {
        return None;
    }
    let what = match (dependency.member, in_tests) {
        (true, false) => "depends on a layer that is not below it",
        (true, true) => "tests depend on a layer that is not below it",
        (false, false) => "depends on an undeclared package",
        (false, true) => "tests depend on an undeclared package",
    };
    Some(format!("{}: {what}: {name}", row.name))
}

/// A declared package that nobody uses any more would let it come back unseen.
fn unused(row: &Crate, package: &Package) -> Vec<String> {
    let used = |name: &str| package.dependencies.iter().any(|d| d.name == name);
    row.outside
        .iter()
        .filter(|(name, _)| !used(name))
        .map(|(name, _)| format!("{}: declares {name} but does not depend on it", row.name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Crate] = &[
        Crate { name: "low", below: &[], in_tests: &[], outside: &[("mio", "polling")] },
        Crate { name: "sim", below: &["low"], in_tests: &[], outside: &[] },
        Crate { name: "high", below: &["low"], in_tests: &["sim"], outside: &[] },
    ];

    fn package(name: &str, dependencies: &[(&str, Kind, bool)]) -> Package {
        let edge = |(name, kind, member): &(&str, Kind, bool)| Dependency {
            name: (*name).to_owned(),
            kind: *kind,
            member: *member,
        };
        Package {
            name: name.to_owned(),
            directory: "x".into(),
            published: true,
            missing: Vec::new(),
            dependencies: dependencies.iter().map(edge).collect(),
            examples: Vec::new(),
            features: Vec::new(),
        }
    }

    /// The one problem of a workspace in which all is well but this package.
    fn problem_with(package: Package) -> String {
        let mut packages = vec![
            self::package("low", &[("mio", Kind::Normal, false)]),
            self::package("sim", &[]),
            self::package("high", &[]),
        ];
        packages.retain(|other| other.name != package.name);
        packages.push(package);
        let problems = check(TABLE, &packages);
        let [problem] = problems.as_slice() else { panic!("one problem: {problems:?}") };
        problem.clone()
    }

    #[test]
    fn edges_that_point_down_are_accepted() {
        let low = package("low", &[("mio", Kind::Normal, false), ("proptest", Kind::Dev, false)]);
        let high = package("high", &[("low", Kind::Normal, true), ("sim", Kind::Dev, true)]);
        assert_eq!(check(TABLE, &[low, package("sim", &[]), high]), Vec::<String>::new());
    }

    #[test]
    fn a_row_of_a_crate_that_is_gone_is_reported() {
        let low = package("low", &[("mio", Kind::Normal, false)]);
        assert_eq!(
            check(TABLE, &[low, package("sim", &[])]),
            ["the table: there is no crate high"]
        );
    }

    #[test]
    fn an_edge_that_points_up_is_refused() {
        let low = package("low", &[("mio", Kind::Normal, false), ("high", Kind::Normal, true)]);
        assert_eq!(problem_with(low), "low: depends on a layer that is not below it: high");
    }

    #[test]
    fn an_edge_up_in_tests_or_build_scripts_is_refused_too() {
        let sim = package("sim", &[("high", Kind::Dev, true)]);
        assert_eq!(problem_with(sim), "sim: tests depend on a layer that is not below it: high");
        let sim = package("sim", &[("high", Kind::Build, true)]);
        assert_eq!(problem_with(sim), "sim: depends on a layer that is not below it: high");
    }

    #[test]
    fn the_simulation_is_for_tests_only() {
        let high = package("high", &[("sim", Kind::Normal, true)]);
        assert_eq!(problem_with(high), "high: depends on a layer that is not below it: sim");
    }

    #[test]
    fn an_undeclared_package_is_refused() {
        let high = package("high", &[("mio", Kind::Normal, false)]);
        assert_eq!(problem_with(high), "high: depends on an undeclared package: mio");
        let high = package("high", &[("tokio", Kind::Dev, false)]);
        assert_eq!(problem_with(high), "high: tests depend on an undeclared package: tokio");
        let high = package("high", &[("proptest", Kind::Normal, false)]);
        assert_eq!(problem_with(high), "high: depends on an undeclared package: proptest");
    }

    #[test]
    fn a_declared_package_that_nobody_uses_is_reported() {
        assert_eq!(
            problem_with(package("low", &[])),
            "low: declares mio but does not depend on it"
        );
    }

    #[test]
    fn a_crate_outside_the_table_is_reported() {
        assert_eq!(problem_with(package("new", &[])), "new: not in the table of layers");
    }

    #[test]
    fn a_table_that_points_up_is_refused() {
        let table = [
            Crate { name: "low", below: &["high"], in_tests: &[], outside: &[] },
            Crate { name: "high", below: &["low"], in_tests: &[], outside: &[] },
        ];
        assert_eq!(table_problems(&table), ["the table: low names high, which is not below it"]);
    }

    #[test]
    fn our_own_table_points_down() {
        assert_eq!(table_problems(CRATES), Vec::<String>::new());
    }
}
