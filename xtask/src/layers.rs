//! Dependencies point down: a crate names only layers below it, and only the packages that its row declares.
//! The table (`layers/table.rs`) is the rule: a new edge needs a line here, and the line says what for, so that it is seen in review.

mod table;

use std::collections::BTreeSet;

use crate::metadata::{Dependency, Kind, Package, packages};
use table::{CRATES, Crate};

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
    Err(format!("layers: {} edges that xtask/src/layers/table.rs does not allow", problems.len()))
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
