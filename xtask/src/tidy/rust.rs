//! What is asked of every Rust source.

use super::source::{Function, Source, words};
use super::{Problem, allowed};

/// One screen too many: does the file still do one thing?
const LONGEST_FILE: usize = 400;
/// Tests are a list, read one at a time.
const LONGEST_TEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 60;
/// How far above its use an `#[expect]` may stand: an attribute of the statement or of a short function.
const REACH_OF_EXPECT: usize = 30;

pub(super) fn check(source: &Source) -> Vec<Problem> {
    let mut problems = sizes(source, allowed::SIZES);
    problems.extend(unproven(source));
    problems.extend(unreasoned(source));
    problems.extend(sleeps(source));
    problems.extend(left_open(source));
    problems
}

/// What is too long by the rule: (function's name, empty for the file; its line; its length; the rule's limit).
fn too_long(source: &Source) -> Vec<(String, usize, usize, usize)> {
    let mut found: Vec<_> = source
        .functions()
        .into_iter()
        .map(|Function { name, lines }| (name, *lines.start(), lines.count(), LONGEST_FUNCTION))
        .collect();
    let limit = if source.is_test_module { LONGEST_TEST_FILE } else { LONGEST_FILE };
    found.push((String::new(), 1, source.text.lines().count(), limit));
    found.retain(|(_, _, length, limit)| length > limit);
    found
}

/// Whether the file (`function` empty) or the function is too long by the rule.
pub(super) fn needs_exception(source: &Source, function: &str) -> bool {
    too_long(source).iter().any(|(name, ..)| name == function)
}

fn sizes(source: &Source, allowed: &[allowed::Size]) -> Vec<Problem> {
    let permits = |name: &str, length: usize| {
        allowed
            .iter()
            .any(|size| size.path == source.path && size.function == name && length <= size.lines)
    };
    too_long(source)
        .into_iter()
        .filter(|(name, _, length, _)| !permits(name, *length))
        .map(|(name, line, length, limit)| {
            let what = if name.is_empty() { "the file".to_owned() } else { format!("fn {name}") };
            let what =
                format!("{what} has {length} lines, {limit} are enough; or allow it with a reason");
            Problem::new(&source.path, line, what)
        })
        .collect()
}

/// An `unwrap` or `expect` outside of tests says why it can't fail: an `#[expect]` near it, or a comment on the line or
/// on the one above.
fn unproven(source: &Source) -> Vec<Problem> {
    let proofs: Vec<usize> = source
        .attributes("expect")
        .filter(|(_, text)| text.contains("_used"))
        .map(|(at, _)| source.line_of(at))
        .collect();
    let comments: Vec<bool> = source.comments.lines().map(|line| !line.trim().is_empty()).collect();
    let commented = |line: usize| {
        let has = |index: usize| comments.get(index).copied().unwrap_or(false);
        has(line - 1) || line >= 2 && has(line - 2)
    };
    [".unwrap()", ".expect("]
        .into_iter()
        .flat_map(|call| source.code.match_indices(call))
        .map(|(at, call)| (source.line_of(at), call))
        .filter(|(line, _)| !source.is_test(*line) && !commented(*line))
        .filter(|(line, _)| !proofs.iter().any(|p| p <= line && line - p <= REACH_OF_EXPECT))
        .map(|(line, call)| {
            let call = call.trim_matches(['.', '(', ')']);
            Problem::new(&source.path, line, format!("{call} without a word on why it can't fail"))
        })
        .collect()
}

/// A lint relaxed or a test ignored says why.
fn unreasoned(source: &Source) -> Vec<Problem> {
    let lints = ["allow", "expect"].into_iter().flat_map(|name| {
        source
            .attributes(name)
            .filter(|(_, text)| !text.contains("reason"))
            .map(move |(at, _)| (at, format!("#[{name}] without a reason")))
    });
    let ignored = source
        .attributes("ignore")
        .filter(|(_, text)| !text.contains('='))
        .map(|(at, _)| (at, "#[ignore] without a reason".to_owned()));
    lints
        .chain(ignored)
        .map(|(at, what)| Problem::new(&source.path, source.line_of(at), what))
        .collect()
}

/// In the crates nothing sleeps for real, tests included: wait for what is to happen, or use the virtual clock.
fn sleeps(source: &Source) -> Vec<Problem> {
    if !source.path.starts_with("crates/") {
        return Vec::new();
    }
    source
        .code
        .match_indices("thread::sleep")
        .map(|(at, _)| {
            Problem::new(
                &source.path,
                source.line_of(at),
                "a real sleep: wait for what is to happen",
            )
        })
        .collect()
}

/// What is to be done is done, or is an issue; not a comment.
fn left_open(source: &Source) -> Vec<Problem> {
    let report = |mark| {
        words(&source.comments, mark).map(move |at| {
            Problem::new(&source.path, source.line_of(at), format!("{mark} left open"))
        })
    };
    ["TODO", "FIXME", "XXX"].into_iter().flat_map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> Vec<String> {
        check(&Source::new(path, text)).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_long_file_is_reported() {
        let text = "//\n".repeat(LONGEST_FILE + 1);
        let found = problems("crates/x/src/a.rs", &text);
        assert_eq!(
            found,
            [
                "crates/x/src/a.rs:1: the file has 401 lines, 400 are enough; or allow it with a reason"
            ]
        );
        assert!(problems("crates/x/src/a.rs", &"//\n".repeat(LONGEST_FILE)).is_empty());
        assert!(problems("crates/x/tests/a.rs", &"//\n".repeat(LONGEST_TEST_FILE)).is_empty());
        assert_eq!(problems("crates/x/tests/a.rs", &"//\n".repeat(LONGEST_TEST_FILE + 1)).len(), 1);
    }

    #[test]
    fn a_long_function_is_reported_unless_allowed() {
        let text = format!("\nfn long() {{\n{}}}\n", "    f();\n".repeat(LONGEST_FUNCTION));
        let found = problems("crates/x/src/a.rs", &text);
        assert_eq!(
            found,
            ["crates/x/src/a.rs:2: fn long has 62 lines, 60 are enough; or allow it with a reason"]
        );
        let allowed = [allowed::Size {
            path: "crates/x/src/a.rs",
            function: "long",
            lines: 62,
            reason: "a table",
        }];
        let source = Source::new("crates/x/src/a.rs", &text);
        assert!(sizes(&source, &allowed).is_empty());
        let longer = Source::new("crates/x/src/a.rs", &text.replacen('{', "{\n", 1));
        assert_eq!(sizes(&longer, &allowed).len(), 1);
    }

    #[test]
    fn an_unproven_unwrap_is_reported() {
        let path = "crates/x/src/a.rs";
        assert_eq!(
            problems(path, "fn f() {\n    a.unwrap();\n}"),
            ["crates/x/src/a.rs:2: unwrap without a word on why it can't fail"]
        );
        assert_eq!(problems(path, "fn f() { a.expect(\"b\"); }").len(), 1);
        assert!(problems(path, "fn f() {\n // it was just put there\n a.unwrap();\n}").is_empty());
        let expected = "#[expect(clippy::unwrap_used, reason = \"…\")]\nfn f() { a.unwrap(); }";
        assert!(problems(path, expected).is_empty());
        assert!(problems(path, "/// a.unwrap()\nfn f() {}").is_empty());
        assert!(problems("crates/x/tests/a.rs", "fn f() { a.unwrap(); }").is_empty());
    }

    #[test]
    fn a_lint_relaxed_without_a_reason_is_reported() {
        let path = "crates/x/src/a.rs";
        assert_eq!(
            problems(path, "\n#[allow(dead_code)]\nfn f() {}"),
            ["crates/x/src/a.rs:2: #[allow] without a reason"]
        );
        assert_eq!(problems(path, "#![expect(dead_code)]").len(), 1);
        assert!(problems(path, "#[allow(\n dead_code,\n reason = \"a\"\n)]\nfn f() {}").is_empty());
    }

    #[test]
    fn an_ignored_test_without_a_reason_is_reported() {
        let path = "crates/x/tests/a.rs";
        assert_eq!(
            problems(path, "#[test]\n#[ignore]\nfn f() {}"),
            ["crates/x/tests/a.rs:2: #[ignore] without a reason"]
        );
        assert!(problems(path, "#[ignore = \"needs a second machine\"]\nfn f() {}").is_empty());
    }

    #[test]
    fn a_real_sleep_in_a_crate_is_reported_tests_included() {
        let text = "fn f() { std::thread::sleep(d); }";
        assert_eq!(problems("crates/x/tests/a.rs", text).len(), 1);
        assert!(problems("xtask/src/a.rs", text).is_empty());
    }

    #[test]
    fn what_is_left_open_is_reported() {
        let found = problems("crates/x/src/a.rs", "fn f() {} // FIXME: later");
        assert_eq!(found, ["crates/x/src/a.rs:1: FIXME left open"]);
    }
}
