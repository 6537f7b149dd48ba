//! What can be awaited? The public functions and types of the crates that are futures or give one, found in the sources.
//!
//! A program for sources formatted as ours are, no parser. It finds `async fn`, `impl Future` in a signature, types that are a
//! `Future`, a `Stream` or an `IntoFuture`, the functions that give such a type, and those that are polled.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What stands beside the stack, for tests.
const BESIDE: [&str; 3] = ["sim", "testbed", "conformance"];

/// Of all layers, as `crate::name`.
pub(crate) fn of_all_layers() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let names = fs::read_dir(&crates).into_iter().flatten().flatten();
    let names: Vec<String> =
        names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    assert!(names.len() > 8, "no layers in {}", crates.display());
    let layers = names.iter().filter(|name| !BESIDE.contains(&name.as_str()));
    layers.flat_map(|name| of_crate(name)).collect()
}

/// All of a crate, as `crate::name`.
fn of_crate(name: &str) -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
    let mut text = String::new();
    read_all(&directory, &mut text);
    assert!(text.len() > 1000, "no sources in {}", directory.display());
    in_text(&text).into_iter().map(|item| format!("{name}::{item}")).collect()
}

fn read_all(directory: &Path, into: &mut String) {
    let entries = fs::read_dir(directory).map(|entries| entries.flatten().collect());
    let mut entries: Vec<fs::DirEntry> = entries.unwrap_or_default();
    entries.sort_by_key(fs::DirEntry::path);
    for path in entries.iter().map(fs::DirEntry::path) {
        if path.is_dir() {
            read_all(&path, into);
        } else if let Ok(text) = fs::read_to_string(&path) {
            // What a file's own tests define is not public.
            into.push_str(text.split("#[cfg(test)]").next().unwrap_or(""));
        }
    }
}

fn in_text(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> =
        text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let types = future_types(&code);
    let mut found: BTreeSet<String> = types.iter().map(|name| (*name).to_owned()).collect();
    for signature in signatures(&code) {
        let Some((name, rest)) = signature.split_once(['(', '<']) else { continue };
        let is_async = name.contains("async fn ");
        let name = name.rsplit(' ').next().unwrap_or(name);
        let gives = rest.rsplit_once(" -> ").map_or("", |(_, gives)| gives);
        let awaits = is_async
            || rest.contains("-> impl Future")
            || types.iter().any(|of| is_of(gives, of))
            || rest.contains("Context<'_>")
            || rest.contains("AsyncFn(");
        if awaits {
            found.insert(name.to_owned());
        }
    }
    found
}

/// `pub fn name<…>(…) -> …`, up to the body.
fn signatures(code: &str) -> impl Iterator<Item = String> {
    ["\npub ", "    pub "].into_iter().flat_map(|start| {
        let parts = code.split(start).skip(1);
        parts
            .filter_map(|part| part.split([';', '{']).next())
            .filter(|part| part.split('(').next().is_some_and(|head| head.contains("fn ")))
            .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    })
}

/// Public types of which there is an `impl Future for`, `Stream for` or `IntoFuture for`.
fn future_types(code: &str) -> Vec<&str> {
    let ends = |c: char| !c.is_alphanumeric() && c != '_';
    let implementors = [" Future for ", " Stream for ", " IntoFuture for "]
        .into_iter()
        .flat_map(|what| code.split(what).skip(1))
        .filter_map(|rest| rest.split(ends).next());
    let mut types: Vec<&str> = implementors
        .filter(|name| {
            let open = |after: &str| code.contains(&format!("pub struct {name}{after}"));
            open("<") || open("(") || open(" ") || open(";")
        })
        .collect();
    types.sort_unstable();
    types.dedup();
    types
}

/// The type that a function gives is this one, or has it in a result or a tuple.
fn is_of(gives: &str, of: &str) -> bool {
    let whole = |at: &str| {
        at.strip_prefix(of)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['<', ' ', ',', ')', '>']))
    };
    let inside = ["Result<", "Option<", "(", ", "];
    whole(gives) || inside.into_iter().any(|start| gives.split(start).skip(1).any(whole))
}

#[cfg(test)]
mod tests {
    use super::in_text;

    #[test]
    fn what_can_be_awaited_is_found() {
        let text = "
pub async fn plainly() {}
    pub fn awaited(
        &self,
    ) -> impl Future<Output = ()> {
pub struct Nap<'a>(u8);
impl<'a> Future for Nap<'a> {
    pub fn nap(&self) -> Nap<'_> {
    pub fn pair() -> (Sender, Nap<'static>) {
pub struct Later;
impl IntoFuture for Later {
struct Hidden;
impl Future for Hidden {
    pub(crate) async fn hidden() {}
    // pub async fn commented() {}
    pub fn poll_it(&mut self, cx: &mut Context<'_>) -> Poll<()> {
    pub fn plain(&self) -> usize {
    pub async fn method(&self) {}
";
        let found: Vec<String> = in_text(text).into_iter().collect();
        assert_eq!(
            found,
            ["Later", "Nap", "awaited", "method", "nap", "pair", "plainly", "poll_it"]
        );
    }
}
