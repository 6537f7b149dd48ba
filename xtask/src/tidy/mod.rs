//! What a program can read: sizes, reasons, citations, links. `rust` asks each source, `text` each tracked text,
//! `behaviours` the documents that promise something about the tests,
//! `architecture` the map, `program` the README's program, `crates` the manifests.

mod allowed;
mod architecture;
mod behaviours;
mod crates;
mod ids;
mod program;
mod rust;
mod source;
mod text;

use std::fmt;
use std::fs;
use std::path::Path;

use crate::commands::{output_of, root};
use crate::metadata::packages;
use source::Source;

/// Where, and what is wrong there.
#[derive(Debug)]
struct Problem {
    path: String,
    line: usize,
    what: String,
}

impl Problem {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

pub(crate) fn run() -> Result<(), String> {
    let root = root();
    let files = files(&root)?;
    let mut problems = check(&root, &files);
    let packages = packages()?;
    problems.extend(crates::check(&packages, &root));
    if problems.is_empty() {
        println!("tidy: {} files", files.len());
        return Ok(());
    }
    for problem in &problems {
        println!("{problem}");
    }
    Err(format!("tidy: {} problems", problems.len()))
}

/// A tracked text, with its path relative to the root.
struct File {
    path: String,
    text: String,
}

/// What git tracks, and what it would track if it were added now; binary files left out.
fn files(root: &Path) -> Result<Vec<File>, String> {
    let mut command = std::process::Command::new("git");
    command
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root);
    let listed = output_of(&mut command)?;
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .filter_map(|path| {
            let text = fs::read_to_string(root.join(path)).ok()?;
            Some(File { path: path.to_owned(), text })
        })
        .collect())
}

fn check(root: &Path, files: &[File]) -> Vec<Problem> {
    let mut sources: Vec<Source> = files
        .iter()
        .filter(|file| file.path.ends_with(".rs"))
        .map(|file| Source::new(&file.path, &file.text))
        .collect();
    let test_modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    for source in &mut sources {
        source.is_test_module |= test_modules.contains(&source.path);
    }
    let text_of = |path: &str| {
        files.iter().find(|file| file.path == path).map_or("", |file| file.text.as_str())
    };
    let differences = text_of(behaviours::DIFFERENCES);
    let tests = behaviours::tests_of(&sources);
    let mut problems =
        behaviours::check_behaviours(text_of(behaviours::BEHAVIOURS), &tests, differences);
    problems.extend(behaviours::check_differences(differences));
    let map = text_of(architecture::ARCHITECTURE);
    problems.extend(behaviours::check_guards(architecture::ARCHITECTURE, map, &tests));
    problems.extend(architecture::check_map(map, &sources));
    problems.extend(program::check(text_of(program::README), text_of(program::FACADE)));
    for source in &sources {
        problems.extend(rust::check(source));
        problems.extend(behaviours::check_citations(source, differences));
    }
    problems.extend(stale_exceptions(&sources, allowed::SIZES));
    let exists = |path: &str| root.join(path).exists();
    for file in files {
        problems.extend(text::machine_paths(&file.path, &file.text));
        // The rules' own tests name files that are not there.
        if !file.path.starts_with("xtask/src/tidy/") {
            problems.extend(text::missing_documents(&file.path, &file.text, &exists));
        }
        if file.path.ends_with(".md") {
            problems.extend(text::broken_links(&file.path, &file.text, &exists));
        }
    }
    problems
}

/// An exception that nothing needs would let the next one through unseen.
fn stale_exceptions(sources: &[Source], allowed: &[allowed::Size]) -> Vec<Problem> {
    let needed = |size: &allowed::Size| {
        sources
            .iter()
            .filter(|source| source.path == size.path)
            .any(|source| rust::needs_exception(source, size.function))
    };
    allowed
        .iter()
        .filter(|size| !needed(size))
        .map(|size| {
            let allowed::Size { path, function, reason, .. } = size;
            let what = format!("{path} {function} does not need its exception ({reason})");
            Problem::new("xtask/src/tidy/allowed.rs", 1, what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_that_is_not_needed_is_reported() {
        let size = |function, lines| allowed::Size { path: "a.rs", function, lines, reason: "r" };
        let source = Source::new("a.rs", &format!("fn long() {{\n{}}}\n", "f();\n".repeat(80)));
        let allowed = [size("long", 90), size("gone", 90), size("", 500)];
        let found = stale_exceptions(&[source], &allowed);
        let found: Vec<_> = found.iter().map(|problem| problem.what.as_str()).collect();
        assert_eq!(
            found,
            ["a.rs gone does not need its exception (r)", "a.rs  does not need its exception (r)"]
        );
    }
}
