//! `ARCHITECTURE.md` has a map of every crate: each source file once, and no file that is gone.

use std::collections::BTreeSet;

use super::Problem;
use super::source::Source;

pub(super) const ARCHITECTURE: &str = "ARCHITECTURE.md";

/// A section `### NAME` of the map is about `crates/NAME/src/`; its rows name files in their first cell.
pub(super) fn check_map(text: &str, sources: &[Source]) -> Vec<Problem> {
    let mut mapped: BTreeSet<String> = BTreeSet::new();
    let mut problems = Vec::new();
    let mut name = None;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('#') {
            name = line.strip_prefix("### ").and_then(|rest| rest.split([',', ' ']).next());
        }
        let (Some(name), Some(cell)) = (name, line.strip_prefix("| `")) else { continue };
        let cell = cell.split(" | ").next().unwrap_or("");
        for file in cell.split('`').filter(|word| word.ends_with(".rs")) {
            let path = format!("crates/{name}/src/{file}");
            if !sources.iter().any(|source| source.path == path) {
                problems.push(Problem::new(ARCHITECTURE, index + 1, format!("{path} is gone")));
            }
            if !mapped.insert(path.clone()) {
                problems.push(Problem::new(ARCHITECTURE, index + 1, format!("{path} twice")));
            }
        }
    }
    let missing = sources
        .iter()
        .filter(|source| is_of_a_crate(&source.path) && !mapped.contains(&source.path))
        .map(|source| Problem::new(ARCHITECTURE, 1, format!("the map lacks {}", source.path)));
    problems.extend(missing);
    problems
}

fn is_of_a_crate(path: &str) -> bool {
    path.strip_prefix("crates/")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(_, rest)| rest.starts_with("src/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_has_each_file_once_and_no_other() {
        let sources: Vec<Source> =
            ["crates/a/src/lib.rs", "crates/a/src/x/y.rs", "crates/a/tests/t.rs", "xtask/src/z.rs"]
                .map(|path| Source::new(path, ""))
                .into();
        let check = |text: &str| -> Vec<String> {
            check_map(text, &sources).into_iter().map(|problem| problem.what).collect()
        };
        assert!(check("### a, and more\n| `lib.rs`, `x/y.rs` | what |\n").is_empty());
        assert_eq!(
            check("### a\n| `lib.rs` | `x/y.rs` |\n"),
            ["the map lacks crates/a/src/x/y.rs"]
        );
        let both = "### a\n| `lib.rs` | x |\n| `x/y.rs` | x |\n";
        assert_eq!(check(&format!("{both}| `z.rs` | x |\n")), ["crates/a/src/z.rs is gone"]);
        assert_eq!(check(&format!("{both}| `lib.rs` | x |\n")), ["crates/a/src/lib.rs twice"]);
        assert_eq!(check(&format!("{both}## b\n| `q.rs` | x |\n")), Vec::<String>::new());
    }
}
