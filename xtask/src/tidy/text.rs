//! What is asked of every text in the repository.

use super::Problem;

/// Places that exist on one machine only, and registry hosts: the project builds anywhere from a plain clone. Written
/// in two halves so that this file is not found by its own rule.
const MACHINE: &[(&str, &str)] = &[
    ("/wo", "rk/"),
    ("/ro", "ot/"),
    ("/ho", "me/"),
    ("/Us", "ers/"),
    ("index.", "crates.io"),
    ("static.", "crates.io"),
];

/// Paths and hosts of the machine that the text was written on.
pub(super) fn machine_paths(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (first, second) in MACHINE {
            let needle = format!("{first}{second}");
            let stands_alone = line.match_indices(&needle).any(|(at, _)| {
                // `https://host/home/` is not a path of this machine.
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "._-}".contains(c))
            });
            if stands_alone {
                problems.push(Problem::new(path, index + 1, format!("names {needle}")));
            }
        }
    }
    problems
}

/// Markdown files that a text names (`docs/x.md`) and that don't exist. `exists` is asked with paths relative to the root.
pub(super) fn missing_documents(
    path: &str,
    text: &str,
    exists: &dyn Fn(&str) -> bool,
) -> Vec<Problem> {
    let part = |c: char| c.is_alphanumeric() || "/._-".contains(c);
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for name in line.split(|c| !part(c)).filter(|word| word.ends_with(".md") && word.len() > 3)
        {
            let url = line.contains(&format!("//{name}")) || name.starts_with("//");
            let here = [beside(path, name), name.to_owned(), format!("docs/{name}")];
            if !url && !here.iter().any(|candidate| exists(candidate)) {
                problems.push(Problem::new(path, index + 1, format!("{name} does not exist")));
            }
        }
    }
    problems
}

/// Relative links of a markdown text whose target does not exist.
pub(super) fn broken_links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (at, open) in line.match_indices("](") {
            let rest = &line[at + open.len()..];
            let target = rest.split([')', ' ']).next().unwrap_or("");
            let file = target.split('#').next().unwrap_or("");
            if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            if !exists(&beside(path, file)) {
                problems.push(Problem::new(
                    path,
                    index + 1,
                    format!("links to {file}: no such file"),
                ));
            }
        }
    }
    problems
}

/// `name` as seen from the directory of `path`, with `..` resolved.
fn beside(path: &str, name: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "." | "" => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exists(path: &str) -> bool {
        ["docs/a.md", "README.md", "crates"].contains(&path)
    }

    #[test]
    fn a_path_of_one_machine_is_reported() {
        for (first, second) in MACHINE {
            let found = machine_paths("a.toml", &format!("x = 1\ny = \"{first}{second}z\""));
            assert_eq!(found.len(), 1, "{first}{second}");
            assert!(found[0].to_string().starts_with("a.toml:2: names "));
        }
        assert!(machine_paths("a.md", &format!("https://x.org{}{}", "/ho", "me/")).is_empty());
    }

    #[test]
    fn a_document_that_is_not_there_is_reported() {
        let found = missing_documents("crates/x/src/a.rs", "// see docs/a.md and b.md\n", &exists);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "crates/x/src/a.rs:1: b.md does not exist");
        assert!(missing_documents("docs/b.txt", "a.md, README.md.", &exists).is_empty());
        assert!(missing_documents("x", "https://x.org/y/c.md", &exists).is_empty());
    }

    #[test]
    fn a_broken_link_is_reported() {
        let text = "[a](a.md#part) [b](../README.md) [c](https://x.org) [d](#here)\n[e](../gone)";
        let found = broken_links("docs/x.md", text, &exists);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "docs/x.md:2: links to ../gone: no such file");
    }
}
