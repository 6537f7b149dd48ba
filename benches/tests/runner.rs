//! The runner as a user has it: a small run from beginning to end, its files, and what is left behind when it is killed.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use millrun_benches::report::{Report, compare};

/// Far above what any of it takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The runner, with servers that are built already and no wait for a quiet machine.
fn bench(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    let built = Path::new(env!("CARGO_BIN_EXE_load")).parent().unwrap();
    command.args(words.split_whitespace()).stdin(Stdio::null());
    if words.contains("--scenario") {
        command.args(["--patience", "1", "--servers"]).arg(built);
        // Small benches that somebody ran are no part of this.
        command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-benches"));
    }
    command
}

fn output(command: &mut Command) -> (bool, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.success(), text(stdout), text(stderr))
}

/// A directory of this test's own; gone when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("runner-{name}"));
        // It is there only if the last run was killed.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_small_run_gives_a_table_data_and_a_page() {
    let directory = Directory::new("small");
    let mut command = bench("--scenario echo-64 --peer epoll --rounds 2 --window 20");
    let (success, out, err) = output(command.arg("--out").arg(&directory.0));
    assert!(success, "{out}{err}");
    let data = directory.0.join("bench.json");
    let report = compare::read(&data).unwrap();
    let expected = ["millrun-protocol", "millrun-streams", "epoll"];
    let scenario = &report.scenarios[0];
    assert_eq!(scenario.servers.iter().map(|s| s.peer.as_str()).collect::<Vec<_>>(), expected);
    for server in &scenario.servers {
        assert!(out.contains(&format!("\n  {} ", server.peer)), "{out}");
        assert_eq!((server.connections, server.rounds.len()), (64, 2));
        assert!(server.rounds.iter().all(|window| window.units > 0 && window.server_cpu_ns > 0));
        let latency = server.latency.as_ref().unwrap();
        assert!(latency.rate > 0 && latency.count() > 0, "{latency:?}");
        assert_eq!(server.tails.len(), 2);
        assert!(report.versions.contains_key(&server.peer), "{:?}", report.versions);
    }
    assert!(report.skipped.is_empty(), "{:?}", report.skipped);
    assert!(report.commands[0].starts_with("cargo xtask bench --scenario echo-64 --peer epoll"));
    assert!(report.notes.iter().any(|note| note.starts_with("2 rounds")), "{:?}", report.notes);
    let outside = |text: &str| text.matches("were not part of this run").count();
    assert_eq!(outside(&out), 1, "{out}");
    assert!(!out.contains("not measured"), "tokio was not asked for: {out}");
    let page = fs::read_to_string(directory.0.join("bench.html")).unwrap();
    assert_eq!(outside(&page), 1, "{page}");
    assert!(page.contains("echo-64") && page.contains("millrun-streams"));
    assert!(fs::metadata(&data).unwrap().len() < 100_000, "a small file");
    compared_with_itself(&data, &report, &directory);
}

fn compared_with_itself(data: &Path, report: &Report, directory: &Directory) {
    let (success, out, err) = output(bench("--compare").args([data, data]));
    assert!(success, "{err}");
    let line = out.lines().find(|line| line.trim_start().starts_with("millrun-streams")).unwrap();
    assert!(line.contains("even"), "{out}");
    let other = directory.0.join("other.json");
    let text = serde_json::to_string(&Report { format: 99, ..report.clone() }).unwrap();
    fs::write(&other, text).unwrap();
    let (success, _, err) = output(bench("--compare").arg(data).arg(&other));
    assert!(!success && err.contains("got 99"), "{err}");
}

#[test]
fn a_peer_that_is_not_built_is_skipped_with_a_message() {
    let directory = Directory::new("skipped");
    let words = "--scenario echo-1 --peer epoll --peer libuv --rounds 1 --window 5";
    let mut command = bench(words);
    // No C compiler, and nobody who knows of libraries.
    command.env("PATH", &directory.0).arg("--out").arg(&directory.0);
    let (success, out, err) = output(&mut command);
    assert!(success, "{out}{err}");
    assert!(err.contains("libuv is left out: "), "{err}");
    let report = compare::read(&directory.0.join("bench.json")).unwrap();
    assert_eq!(report.skipped[0].what, "libuv");
    assert_eq!(report.scenarios[0].servers.len(), 3, "the others were measured");
}

#[test]
fn nothing_to_measure_is_a_failure() {
    let directory = Directory::new("nothing");
    let words = "--scenario echo-1 --only --peer libuv --rounds 1 --window 5";
    for (more, why) in
        [("", "nothing could be measured"), (" --peer epoll --strict", "--strict: 1 left out")]
    {
        let mut command = bench(&[words, more].concat());
        command.env("PATH", &directory.0).arg("--out").arg(&directory.0);
        let (success, _, err) = output(&mut command);
        assert!(!success && err.contains(why), "{err}");
    }
}

#[test]
fn what_is_asked_wrongly_is_answered_with_what_there_is() {
    let (success, _, err) = output(&mut bench("--peer tokyo"));
    assert!(!success && err.contains("tokio-best, smol"), "{err}");
    let (success, out, _) = output(&mut bench("--list"));
    assert!(success && out.contains("echo-64") && out.contains("uvloop-streams"), "{out}");
    let (success, out, _) = output(&mut bench("--help"));
    assert!(success && out.contains("--compare"), "{out}");
}

/// A runner that is killed, and at once, if the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_runner_that_is_killed_leaves_nobody_behind() {
    let directory = Directory::new("killed");
    let mut command = bench("--scenario echo-64 --peer epoll --rounds 1000 --window 1000");
    command.arg("--out").arg(&directory.0).stdout(Stdio::null()).stderr(Stdio::null());
    let runner = Killed(command.spawn().unwrap());
    // Three servers, and a load for each.
    let mut children = Vec::new();
    until("six children", || {
        children = children_of(runner.0.id());
        children.len() == 6
    });
    drop(runner);
    // Whoever inherits them may be slow to bury them.
    until("no children", || {
        children
            .iter()
            .all(|id| matches!(status(*id).first().map(String::as_str), None | Some("Z")))
    });
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "expected {what} within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn children_of(parent: u32) -> Vec<u32> {
    let ids = fs::read_dir("/proc").unwrap().flatten();
    let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| status(*id).get(1) == Some(&parent.to_string())).collect()
}

/// A process's state, its parent and what follows; nothing once it is gone.
fn status(id: u32) -> Vec<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    // The name may hold anything; what is wanted comes behind it.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    after.split_whitespace().map(str::to_owned).collect()
}
