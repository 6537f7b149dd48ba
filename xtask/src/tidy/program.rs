//! The program that the README shows is the one that is compiled and run: the facade's first example.

use super::Problem;

pub(super) const README: &str = "README.md";
pub(super) const FACADE: &str = "crates/millrun/src/lib.rs";

/// Both programs, line by line.
pub(super) fn check(readme: &str, facade: &str) -> Vec<Problem> {
    let docs: String =
        facade.lines().map_while(doc_line).flatten().map(|line| format!("{line}\n")).collect();
    let shown = first_block(readme, "```rust");
    let run = first_block(&docs, "```");
    if shown.is_some() && shown == run {
        return Vec::new();
    }
    vec![Problem::new(README, 1, format!("its program is not the first example of {FACADE}"))]
}

/// None after the crate's documentation; nothing for a line that is there only when a feature is off.
fn doc_line(line: &str) -> Option<Option<&str>> {
    if let Some(text) = line.strip_prefix("//!") {
        return Some(Some(text.strip_prefix(' ').unwrap_or(text)));
    }
    let (condition, text) = line.strip_prefix("#![cfg_attr(")?.split_once("doc = \"")?;
    let wanted = !condition.starts_with("not(");
    Some(wanted.then(|| text.trim_end_matches("\")]")))
}

/// What stands between the first line that is `fence` and the next closing one.
fn first_block<'a>(text: &'a str, fence: &str) -> Option<Vec<&'a str>> {
    let mut lines = text.lines().skip_while(|line| *line != fence);
    lines.next()?;
    Some(lines.take_while(|line| *line != "```").collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str =
        "# x\n```sh\nls\n```\n```rust\nfn a() {\n\n    b();\n}\n```\n```rust\nc();\n```\n";

    #[test]
    fn equal_programs_are_accepted() {
        let facade =
            "//! x\n//!\n//! ```\n//! fn a() {\n//!\n//!     b();\n//! }\n//! ```\nmod x;\n";
        assert!(check(SHOWN, facade).is_empty());
        let conditional = facade.replacen(
            "//! ```\n",
            "#![cfg_attr(a, doc = \"```\")]\n#![cfg_attr(not(a), doc = \"```ignore\")]\n",
            1,
        );
        assert!(check(SHOWN, &conditional).is_empty());
    }

    #[test]
    fn programs_that_differ_or_are_missing_are_reported() {
        let other = "//! ```\n//! fn a() {\n//!     b();\n//! }\n//! ```\n";
        for (readme, facade) in [(SHOWN, other), (SHOWN, "//! x\n"), ("# x\n", "//! x\n")] {
            assert_eq!(check(readme, facade).len(), 1, "{readme} {facade}");
        }
    }
}
