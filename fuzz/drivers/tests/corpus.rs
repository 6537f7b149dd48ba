//! What the fuzzer has found so far is replayed by the stable compiler, through the same drivers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use millrun_fuzz_drivers::TARGETS;

fn replay(name: &str) {
    let (_, drive) = TARGETS.into_iter().find(|(target, _)| *target == name).unwrap();
    let cases = cases(name);
    assert!(cases.len() >= 10, "{} cases of {name} are no corpus", cases.len());
    for case in cases {
        let _named = Named(&case);
        drive(&fs::read(&case).unwrap());
    }
}

/// The files of a corpus, in an order that does not change.
fn cases(name: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

/// Says which case it was when the test fails.
struct Named<'a>(&'a Path);

impl Drop for Named<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with {}", self.0.display());
        }
    }
}

#[test]
fn the_inbox_gives_the_bytes_of_the_model() {
    replay("inbox");
}

#[test]
fn the_write_buffer_gives_the_bytes_of_the_model() {
    replay("buffer");
}

#[test]
fn tls_keeps_its_promises_whoever_is_on_the_way() {
    replay("tls");
}

#[test]
fn a_transport_keeps_its_promises() {
    replay("transport");
}
