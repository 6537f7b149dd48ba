//! `docs/behaviours.md` and `docs/differences.md` tell the truth: every id is there once, every test that is cited
//! exists, every id that is cited is defined.

use std::collections::{BTreeMap, BTreeSet};

use super::Problem;
use super::ids;
use super::source::Source;

pub(super) const BEHAVIOURS: &str = "docs/behaviours.md";
pub(super) const DIFFERENCES: &str = "docs/differences.md";
const STATUSES: &[&str] = &["tested", "type", "differs", "planned"];

/// The tests of each source, by path.
pub(super) type Tests = BTreeMap<String, BTreeSet<String>>;

pub(super) fn tests_of(sources: &[Source]) -> Tests {
    let names = |source: &Source| source.functions().into_iter().map(|f| f.name).collect();
    sources.iter().map(|source| (source.path.clone(), names(source))).collect()
}

/// The table of behaviours against the list, the tests and the differences.
pub(super) fn check_behaviours(text: &str, tests: &Tests, differences: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |line, what: String| problems.push(Problem::new(BEHAVIOURS, line, what));
    let expected = ids::behaviours();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let differences = defined(differences);
    for Row { line, cells } in rows(text) {
        let [name, statement, status, place] = cells.as_slice() else {
            report(line, format!("a row has 4 cells, this one {}", cells.len()));
            continue;
        };
        if expected.contains(*name) {
            if let Some(first) = seen.insert((*name).to_owned(), line) {
                report(line, format!("{name} is in line {first} already"));
            }
        } else if ids::behaviours_in(name).len() == 1 {
            report(line, format!("{name} is not in the list of behaviours"));
        }
        if statement.is_empty() {
            report(line, format!("{name} says nothing"));
        }
        for what in row_problems(status, place, tests, &differences) {
            report(line, format!("{name}: {what}"));
        }
    }
    for id in expected.iter().filter(|id| !seen.contains_key(*id)) {
        report(1, format!("{id} is missing"));
    }
    problems
}

/// Every id that a source cites is defined by one of the two documents.
pub(super) fn check_citations(source: &Source, differences: &str) -> Vec<Problem> {
    let known = ids::behaviours();
    let defined = defined(differences);
    let behaviours = ids::behaviours_cited(source)
        .into_iter()
        .filter(|(_, id)| !known.contains(id))
        .map(|(line, id)| (line, format!("{id} is not in {BEHAVIOURS}")));
    let differences = ids::differences_in(&source.comments)
        .into_iter()
        .filter(|(_, id)| !defined.contains(id))
        .map(|(line, id)| (line, format!("{id} is not in {DIFFERENCES}")));
    behaviours
        .chain(differences)
        .map(|(line, what)| Problem::new(&source.path, line, what))
        .collect()
}

/// The ids that the rows of the table of differences define, each once.
pub(super) fn check_differences(text: &str) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    let known = ids::behaviours();
    for Row { line, cells } in rows(text) {
        let id = cells.first().copied().unwrap_or("");
        if ids::differences_in(id).len() == 1 && !seen.insert(id.to_owned()) {
            problems.push(Problem::new(DIFFERENCES, line, format!("{id} is defined twice")));
        }
    }
    for (line, id) in ids::behaviours_in(text) {
        if !known.contains(&id) {
            problems.push(Problem::new(DIFFERENCES, line, format!("{id} is not in {BEHAVIOURS}")));
        }
    }
    problems
}

fn row_problems(
    status: &str,
    place: &str,
    tests: &Tests,
    differences: &BTreeSet<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    if !STATUSES.contains(&status) {
        problems.push(format!("`{status}` is none of {}", STATUSES.join(", ")));
    }
    let cited = citations(place);
    if status == "tested" && cited.is_empty() {
        problems.push("tested, but no `path.rs: test` is named".to_owned());
    }
    if status == "type" && place.is_empty() {
        problems.push("impossible by which type?".to_owned());
    }
    let ids = ids::differences_in(place);
    if status == "differs" && ids.is_empty() {
        problems.push("differs, but no difference is named".to_owned());
    }
    for (_, id) in ids.iter().filter(|(_, id)| !differences.contains(id)) {
        problems.push(format!("{id} is not in {DIFFERENCES}"));
    }
    problems.extend(missing_tests(&cited, tests));
    problems
}

/// Which of the cited tests are not there.
fn missing_tests(cited: &[(&str, &str)], tests: &Tests) -> Vec<String> {
    cited
        .iter()
        .filter_map(|(path, test)| match tests.get(*path) {
            None => Some(format!("{path} does not exist")),
            Some(names) if !names.contains(*test) => Some(format!("{path} has no test {test}")),
            Some(_) => None,
        })
        .collect()
}

/// The tests that the tables of another document name in a row's last cell.
pub(super) fn check_guards(path: &str, text: &str, tests: &Tests) -> Vec<Problem> {
    rows(text)
        .into_iter()
        .flat_map(|Row { line, cells }| {
            let cited = citations(cells.last().copied().unwrap_or(""));
            let missing = missing_tests(&cited, tests).into_iter();
            missing.map(move |what| Problem::new(path, line, what))
        })
        .collect()
}

/// `a.rs: one, two; b.rs: three` as pairs of path and test.
fn citations(place: &str) -> Vec<(&str, &str)> {
    place
        .split(';')
        .filter_map(|part| part.trim().trim_matches('`').split_once(':'))
        .filter(|(path, _)| path.ends_with(".rs"))
        .flat_map(|(path, names)| names.split(',').map(move |name| (path, name.trim())))
        .collect()
}

fn defined(differences: &str) -> BTreeSet<String> {
    rows(differences)
        .into_iter()
        .filter_map(|row| row.cells.first().map(|id| (*id).to_owned()))
        .filter(|id| ids::differences_in(id).len() == 1)
        .collect()
}

struct Row<'a> {
    line: usize,
    cells: Vec<&'a str>,
}

/// The rows of a text's tables, without their headings.
fn rows(text: &str) -> Vec<Row<'_>> {
    let mut found = Vec::new();
    let mut in_body = false;
    for (index, line) in text.lines().enumerate() {
        let Some(inner) = line.strip_prefix('|') else {
            in_body = false;
            continue;
        };
        if inner.starts_with("---") || inner.starts_with(" ---") {
            in_body = true;
        } else if in_body {
            let inner = inner.trim_end().strip_suffix('|').unwrap_or(inner);
            found.push(Row { line: index + 1, cells: inner.split('|').map(str::trim).collect() });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "| id | behaviour | status | where |\n|---|---|---|---|\n";

    fn tests() -> Tests {
        tests_of(&[Source::new("crates/x/tests/a.rs", "fn t_001_x() {}\nfn t_002_y() {}")])
    }

    /// A table with every id, `row` in place of T-001's.
    fn table(row: &str) -> String {
        let mut text = HEAD.to_owned();
        for id in ids::behaviours() {
            if id == "T-001" {
                text.push_str(row);
            } else {
                text.push_str(&format!("| {id} | it is so | planned | |\n"));
            }
        }
        text
    }

    fn problems(row: &str) -> Vec<String> {
        let differences = "| id | a |\n|---|---|\n| D-01 | x |\n";
        check_behaviours(&table(row), &tests(), differences)
            .iter()
            .map(|problem| problem.what.clone())
            .collect()
    }

    #[test]
    fn rows_that_are_right_are_accepted() {
        for right in [
            "| T-001 | so | tested | `crates/x/tests/a.rs: t_001_x, t_002_y` |\n",
            "| T-001 | so | type | Interest is never empty |\n",
            "| T-001 | so | differs | D-01; crates/x/tests/a.rs: t_001_x |\n",
        ] {
            assert_eq!(problems(right), Vec::<String>::new(), "{right}");
        }
    }

    #[test]
    fn a_missing_or_doubled_id_is_reported() {
        assert_eq!(problems(""), ["T-001 is missing"]);
        let twice = "| T-001 | so | planned | |\n".repeat(2);
        assert!(problems(&twice)[0].starts_with("T-001 is in line"));
        let other = "| T-001 | so | planned | |\n| T-999 | so | planned | |\n";
        assert_eq!(problems(other), ["T-999 is not in the list of behaviours"]);
    }

    #[test]
    fn an_unknown_status_or_a_short_row_is_reported() {
        assert_eq!(
            problems("| T-001 | so | done | |\n"),
            ["T-001: `done` is none of tested, type, differs, planned"]
        );
        assert_eq!(
            problems("| T-001 | so |\n"),
            ["a row has 4 cells, this one 2", "T-001 is missing"]
        );
        assert_eq!(problems("| T-001 |  | planned | |\n"), ["T-001 says nothing"]);
    }

    #[test]
    fn a_test_that_does_not_exist_is_reported() {
        assert_eq!(
            problems("| T-001 | so | tested | crates/x/tests/a.rs: t_003_z |\n"),
            ["T-001: crates/x/tests/a.rs has no test t_003_z"]
        );
        assert_eq!(
            problems("| T-001 | so | tested | crates/x/tests/b.rs: t_001_x |\n"),
            ["T-001: crates/x/tests/b.rs does not exist"]
        );
        assert_eq!(
            problems("| T-001 | so | tested | somewhere |\n"),
            ["T-001: tested, but no `path.rs: test` is named"]
        );
    }

    #[test]
    fn a_guard_that_does_not_exist_is_reported() {
        let table = |cell: &str| format!("| | rule | by |\n|---|---|---|\n| 1 | so | {cell} |\n");
        let guards = |cell| check_guards("A.md", &table(cell), &tests());
        assert!(guards("crates/x/tests/a.rs: t_001_x, t_002_y; the compiler").is_empty());
        let found = guards("crates/x/tests/a.rs: t_001_x, t_003_z");
        assert_eq!(found[0].to_string(), "A.md:3: crates/x/tests/a.rs has no test t_003_z");
    }

    #[test]
    fn a_reason_that_is_missing_is_reported() {
        assert_eq!(problems("| T-001 | so | type | |\n"), ["T-001: impossible by which type?"]);
        assert_eq!(
            problems("| T-001 | so | differs | |\n"),
            ["T-001: differs, but no difference is named"]
        );
        assert_eq!(
            problems("| T-001 | so | differs | D-77 |\n"),
            [format!("T-001: D-77 is not in {DIFFERENCES}")]
        );
    }

    #[test]
    fn an_id_that_is_cited_but_not_defined_is_reported() {
        let source = Source::new("src/a.rs", "// T-001, T-999, D-01, D-02\nfn l_999_x() {}\n");
        let found = check_citations(&source, "|a|\n|---|\n| D-01 |\n");
        let found: Vec<_> = found.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                format!("src/a.rs:1: T-999 is not in {BEHAVIOURS}"),
                format!("src/a.rs:2: L-999 is not in {BEHAVIOURS}"),
                format!("src/a.rs:1: D-02 is not in {DIFFERENCES}"),
            ]
        );
    }

    #[test]
    fn a_difference_defined_twice_or_of_no_behaviour_is_reported() {
        let found = check_differences("|a|\n|---|\n| D-01 | T-001 |\n| D-01 | T-998 |\n");
        assert_eq!(found.len(), 2, "twice, and T-998");
    }
}
