//! A Rust source, taken apart far enough to be asked: code apart from comments and literals, functions, test code.
//!
//! No parser: a lexer that knows comments, strings, characters and lifetimes, and counts braces. Code and comments are
//! kept as texts of the same length as the source, what is not theirs blanked, so that positions and lines agree.

use std::ops::RangeInclusive;

pub(crate) struct Source {
    /// Relative to the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// The text with comments and the insides of literals blanked.
    pub(crate) code: String,
    /// The text with all but comments blanked.
    pub(crate) comments: String,
    /// The whole file is test code: by its place, or another one says so with `#[cfg(test)] mod …;`.
    pub(crate) is_test_module: bool,
    /// Lines of `#[cfg(test)]` items and `#[test]` functions.
    test_lines: Vec<RangeInclusive<usize>>,
}

pub(crate) struct Function {
    pub(crate) name: String,
    /// From the line of `fn` to the one of the closing brace, counted from 1.
    pub(crate) lines: RangeInclusive<usize>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let (code, comments) = split(text);
        let mut source = Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
            comments,
            // A bench, as a test, fails by panicking.
            // What the sweep plays are tests: they fail by panicking.
            is_test_module: ["/tests/", "/benches/", "xtask/sweep/"]
                .iter()
                .any(|at| path.contains(at)),
            test_lines: Vec::new(),
        };
        source.test_lines = source.find_test_lines();
        source
    }

    /// The line of a position, counted from 1.
    pub(crate) fn line_of(&self, at: usize) -> usize {
        1 + self.text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
    }

    /// Whether this line is test code: a file of tests, or a part of one.
    pub(crate) fn is_test(&self, line: usize) -> bool {
        self.is_test_module || self.test_lines.iter().any(|lines| lines.contains(&line))
    }

    /// Functions with a body, nested ones too.
    pub(crate) fn functions(&self) -> Vec<Function> {
        words(&self.code, "fn")
            .filter_map(|at| {
                let name: String = self.code[at + 2..]
                    .trim_start()
                    .chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect();
                let end = self.body_end(at)?;
                (!name.is_empty())
                    .then(|| Function { name, lines: self.line_of(at)..=self.line_of(end) })
            })
            .collect()
    }

    /// Attributes that start with this, as (position, whole text with its brackets).
    pub(crate) fn attributes<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (usize, &'a str)> + 'a {
        ["#[", "#!["].into_iter().flat_map(move |open| {
            self.code.match_indices(open).filter_map(move |(at, _)| {
                let inside = at + open.len();
                let after = self.code[inside..].strip_prefix(name)?;
                let whole_name = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
                let end = closing(&self.code, inside - 1)?;
                whole_name.then(|| (at, &self.text[at..=end]))
            })
        })
    }

    /// Paths of the files that this one declares with `#[cfg(test)] mod …;`: where either could be.
    pub(crate) fn test_modules(&self) -> Vec<String> {
        let directory = match self.path.rsplit_once('/') {
            Some((directory, "lib.rs" | "main.rs" | "mod.rs")) => directory,
            _ => self.path.trim_end_matches(".rs"),
        };
        self.test_attributes()
            .filter_map(|(at, text)| {
                let mut rest = self.code[at + text.len()..].trim_start();
                while rest.starts_with("#[") {
                    rest = rest[closing(rest, 1)? + 1..].trim_start();
                }
                let name = rest.strip_prefix("mod ")?.split_once(';')?.0.trim();
                let plain = !name.contains(|c: char| c.is_whitespace() || c == '{');
                plain.then(|| {
                    [format!("{directory}/{name}.rs"), format!("{directory}/{name}/mod.rs")]
                })
            })
            .flatten()
            .collect()
    }

    fn test_attributes(&self) -> impl Iterator<Item = (usize, &str)> {
        self.attributes("cfg")
            .filter(|(_, text)| words(text, "test").next().is_some() && !text.contains("not(test"))
            .chain(self.attributes("test"))
    }

    fn find_test_lines(&self) -> Vec<RangeInclusive<usize>> {
        self.test_attributes()
            .filter_map(|(at, _)| Some(self.line_of(at)..=self.line_of(self.body_end(at)?)))
            .collect()
    }

    /// Where the first `{ }` after a position ends; none when a `;` outside of brackets comes first.
    fn body_end(&self, from: usize) -> Option<usize> {
        let mut depth = 0_usize;
        for (at, byte) in self.code.bytes().enumerate().skip(from) {
            match byte {
                b'(' | b'[' => depth += 1,
                b')' | b']' => depth = depth.saturating_sub(1),
                b';' if depth == 0 => return None,
                b'{' if depth == 0 => return closing(&self.code, at),
                _ => {}
            }
        }
        None
    }
}

/// Positions of a word, with nothing of a name on either side.
pub(crate) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part = |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_');
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        let before = at.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        !part(before) && !part(text.as_bytes().get(at + word.len()))
    })
}

/// The bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> Option<usize> {
    let (up, down) = match code.as_bytes().get(open)? {
        b'{' => (b'{', b'}'),
        b'[' => (b'[', b']'),
        b'(' => (b'(', b')'),
        _ => return None,
    };
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        if byte == up {
            depth += 1;
        } else if byte == down {
            depth -= 1;
            if depth == 0 {
                return Some(at);
            }
        }
    }
    None
}

/// (code, comments), each as long as the text.
fn split(text: &str) -> (String, String) {
    let mut code = Vec::with_capacity(text.len());
    let mut comments = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let (kind, length) = token(&text[at..], code.last().copied());
        for (offset, byte) in text.bytes().enumerate().skip(at).take(length) {
            let edge = offset == at || offset + 1 == at + length;
            let blank = if byte == b'\n' { b'\n' } else { b' ' };
            code.push(match kind {
                Token::Code => byte,
                // The quotes stay, so that a literal is still seen to stand there.
                Token::Literal if edge && byte.is_ascii() => byte,
                Token::Literal | Token::Comment => blank,
            });
            comments.push(if matches!(kind, Token::Comment) { byte } else { blank });
        }
        at += length;
    }
    // Whole tokens are kept or blanked, so that both are still UTF-8.
    let text_of = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    (text_of(code), text_of(comments))
}

#[derive(Clone, Copy)]
enum Token {
    Code,
    Literal,
    Comment,
}

/// What starts here and how long it is, given the byte of code before it.
fn token(rest: &str, before: Option<u8>) -> (Token, usize) {
    if rest.starts_with("//") {
        return (Token::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Token::Comment, block_comment(rest));
    }
    if rest.starts_with('"') {
        return (Token::Literal, quoted(rest, '"'));
    }
    if rest.starts_with('r') && !before.is_some_and(|b| b.is_ascii_alphanumeric() && b != b'b') {
        if let Some(length) = raw_string(rest) {
            return (Token::Literal, length);
        }
    }
    if let Some(inside) = rest.strip_prefix('\'') {
        let mut characters = inside.chars();
        let first = characters.next();
        // Else it is a lifetime.
        if first == Some('\\') || first.is_some() && characters.next() == Some('\'') {
            return (Token::Literal, quoted(rest, '\''));
        }
    }
    (Token::Code, rest.chars().next().map_or(1, char::len_utf8))
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
    let open = 1 + hashes;
    rest[open..].starts_with('"').then(|| {
        let end = format!("\"{}", "#".repeat(hashes));
        rest[open + 1..].find(&end).map_or(rest.len(), |at| open + 1 + at + end.len())
    })
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        let here = &rest.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new("src/x.rs", text).code
    }

    #[test]
    fn comments_and_literals_are_not_code() {
        assert_eq!(code("a // b {\nc"), "a       \nc");
        assert_eq!(code("a /* b /* { */ } */ c"), "a                   c");
        assert_eq!(code(r#"f("a\"{", 'x', '\'')"#), r#"f("    ", ' ', '  ')"#);
        assert_eq!(code(r##"f(r#"a"{"#, 1)"##), r##"f(r      #, 1)"##);
        assert_eq!(code("fn f<'a>(x: &'a str) {}"), "fn f<'a>(x: &'a str) {}");
        assert_eq!(code("r#type"), "r#type");
    }

    #[test]
    fn comments_keep_their_place() {
        let source = Source::new("src/x.rs", "let a = \"// no\"; // yes, é");
        assert_eq!(source.comments.trim(), "// yes, é");
        assert_eq!(source.comments.len(), source.text.len());
        assert_eq!(source.code.len(), source.text.len());
    }

    #[test]
    fn functions_are_found_with_their_lines() {
        let source = Source::new(
            "src/x.rs",
            "fn one(a: [u8; 2]) -> u8 {\n  '{';\n  a\n}\ntrait T { fn none(&self); }\ntype F = fn(u8);\n",
        );
        let found: Vec<_> =
            source.functions().into_iter().map(|f| (f.name, *f.lines.end())).collect();
        assert_eq!(found, [("one".to_owned(), 4)]);
    }

    #[test]
    fn test_code_is_told_apart() {
        let source = Source::new(
            "src/x.rs",
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}",
        );
        let lines: Vec<bool> = (1..=6).map(|line| source.is_test(line)).collect();
        assert_eq!(lines, [false, true, true, true, true, false]);
        assert!(Source::new("crates/x/tests/y.rs", "").is_test(1));
        assert!(Source::new("xtask/sweep/src/chat.rs", "").is_test(1));
        let other = Source::new("src/x.rs", "#[cfg(not(test))]\nfn a() {\n}");
        assert!(!other.is_test(2));
    }

    #[test]
    fn a_module_for_tests_is_found_where_it_is() {
        let text =
            "#[cfg(test)]\n#[expect(a)]\nmod model;\nmod other;\n#[cfg(test)]\nmod inside {}";
        let of = |path| Source::new(path, text).test_modules();
        assert_eq!(of("src/a.rs"), ["src/a/model.rs", "src/a/model/mod.rs"]);
        assert_eq!(of("src/lib.rs"), ["src/model.rs", "src/model/mod.rs"]);
    }

    #[test]
    fn attributes_are_found_whole() {
        let source = Source::new("src/x.rs", "#![allow(\n  a,\n  reason = \"]\"\n)]\n#[allowed]");
        let found: Vec<_> = source.attributes("allow").map(|(_, text)| text).collect();
        assert_eq!(found, ["#![allow(\n  a,\n  reason = \"]\"\n)]"]);
    }
}
