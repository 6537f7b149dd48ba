//! The fuzzer: each target for so many seconds, from the corpus in the repository.
//!
//! Needs a nightly compiler and cargo-fuzz; installs neither. What it finds stays below where cargo builds, unless it is
//! told to keep it: then what reaches code that the corpus does not is added to that.

mod progress;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::commands::{each, root, scratch, succeed, target, wait_within};
use crate::nightly;
use crate::steps::Steps;
use progress::Progress;

pub(crate) const HELP: &str = "\
cargo xtask fuzz [--seconds N] [--target NAME] [--keep]

  --seconds N      how long each target runs; 60 unless told
  --target NAME    this one alone; all when there is none: inbox, buffer, transport, tls
  --keep           adds to fuzz/corpus what reaches code that it does not reach yet
";

/// As in fuzz/fuzz_targets.
const TARGETS: [&str; 4] = ["inbox", "buffer", "transport", "tls"];

/// A case needs some milliseconds, on a loaded machine some seconds: one that takes longer never ends.
const LONGEST_CASE_SECONDS: u32 = 30;
/// Bytes of a case: its steps are a few bytes each, and bounded in number.
const LARGEST_CASE: u32 = 600;
/// What building, loading the corpus and ending take at most, beside the time that was asked for.
const AROUND: Duration = Duration::from_secs(15 * 60);
const BETWEEN_LINES: Duration = Duration::from_secs(5);

#[derive(Debug, PartialEq, Eq)]
struct Options {
    seconds: u64,
    targets: Vec<&'static str>,
    keep: bool,
}

pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{HELP}");
        return Ok(());
    }
    let options = parse(arguments)?;
    nightly::require(&[nightly::CARGO_FUZZ])?;
    let mut steps = Steps::new("fuzz", "targets", options.targets.len());
    for name in &options.targets {
        steps.step(name, || fuzz(name, &options));
    }
    steps.finish()
}

fn parse(arguments: &[String]) -> Result<Options, String> {
    let mut options = Options { seconds: 60, targets: TARGETS.to_vec(), keep: false };
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        match (argument, argument == "--keep" || rest.len() > 0) {
            ("--keep", _) => options.keep = true,
            ("--seconds", true) => {
                let number = rest.next().unwrap_or_default();
                let seconds = number.parse().ok().filter(|seconds| *seconds > 0);
                options.seconds = seconds.ok_or(format!("{number} is no number of seconds"))?;
            }
            ("--target", true) => {
                let name = rest.next().unwrap_or_default();
                let known = TARGETS.into_iter().find(|target| *target == name);
                options.targets = vec![known.ok_or(format!("no target {name}\n\n{HELP}"))?];
            }
            _ => return Err(format!("fuzz: {argument}?\n\n{HELP}")),
        }
    }
    Ok(options)
}

fn fuzz(name: &str, options: &Options) -> Result<(), String> {
    succeed(&mut cargo_fuzz(&["build", name]))?;
    // The fuzzer adds to the first directory what it finds, and begins with both.
    let (found, corpus) = (found(name)?, corpus(name));
    let mut command = cargo_fuzz(&["run", name]);
    command.args([&found, &corpus]).arg("--").args([
        format!("-max_total_time={}", options.seconds),
        format!("-max_len={LARGEST_CASE}"),
        format!("-timeout={LONGEST_CASE_SECONDS}"),
        "-print_funcs=0".to_owned(),
        "-print_final_stats=1".to_owned(),
    ]);
    watch(name, options.seconds, &mut command)?;
    if options.keep { keep(name, &found, &corpus) } else { Ok(()) }
}

/// Runs the fuzzer, tells how far it is, and what it found when that is a failure.
fn watch(name: &str, seconds: u64, command: &mut Command) -> Result<(), String> {
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("cargo fuzz: {error}"))?;
    let progress = Arc::new(Mutex::new(Progress::default()));
    let reader = child.stderr.take().map(|stderr| {
        let progress = Arc::clone(&progress);
        std::thread::spawn(move || read(stderr, &progress))
    });
    let result = wait(name, seconds, &mut child, &progress);
    if let Some(reader) = reader {
        // It ends with the child, whose standard error it reads, and does not panic.
        let _ = reader.join();
    }
    let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    match result {
        Ok(()) => {
            println!("{name}: {progress}, no failure");
            Ok(())
        }
        Err(why) => Err(format!("{}\n{name}: {progress}, then: {why}", progress.failure())),
    }
}

fn read(stderr: ChildStderr, progress: &Mutex<Progress>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        progress.lock().unwrap_or_else(PoisonError::into_inner).read(line);
    }
}

fn wait(
    name: &str,
    seconds: u64,
    child: &mut Child,
    progress: &Mutex<Progress>,
) -> Result<(), String> {
    let (began, at_most) = (Instant::now(), Duration::from_secs(seconds) + AROUND);
    let status = loop {
        let left = at_most.saturating_sub(began.elapsed());
        if left < BETWEEN_LINES {
            break wait_within(child, left)?;
        }
        let next = Instant::now() + BETWEEN_LINES;
        while Instant::now() < next {
            if child.try_wait().map_err(|error| error.to_string())?.is_some() {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        let spent = began.elapsed().as_secs();
        let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        println!("{name}: {spent} of {seconds} s, {progress}");
    };
    if status.success() { Ok(()) } else { Err(status.to_string()) }
}

/// Adds to the corpus the fewest cases that reach what it does not.
fn keep(name: &str, found: &Path, corpus: &Path) -> Result<(), String> {
    let mut command = cargo_fuzz(&["run", name]);
    command.args([corpus, found]).arg("--").args(["-set_cover_merge=1", "-use_counters=0"]);
    succeed(&mut command)
}

/// In `fuzz/`, which is a workspace of its own, with the compiler that it needs.
fn cargo_fuzz(arguments: &[&str]) -> Command {
    let mut command = nightly::cargo(&["fuzz"]);
    command.args(arguments).current_dir(root().join("fuzz"));
    command.env("CARGO_TARGET_DIR", target().join("fuzz"));
    command
}

fn corpus(name: &str) -> PathBuf {
    root().join("fuzz").join("corpus").join(name)
}

fn found(name: &str) -> Result<PathBuf, String> {
    let directory = scratch("fuzz")?.join(name);
    each([&directory, &corpus(name)], |directory| {
        std::fs::create_dir_all(directory).map_err(|error| error.to_string())
    })?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Options, String> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read_and_others_refused() {
        let usual = Options { seconds: 60, targets: TARGETS.to_vec(), keep: false };
        assert_eq!(parsed(""), Ok(usual));
        let told = Options { seconds: 5, targets: vec!["inbox"], keep: true };
        assert_eq!(parsed("--target inbox --seconds 5 --keep"), Ok(told));
        for wrong in ["--target", "--target x", "--seconds", "--seconds 0", "--seconds a", "inbox"]
        {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }

    /// A target that is not run here is run nowhere.
    #[test]
    fn every_target_is_known() {
        let directory = root().join("fuzz").join("fuzz_targets");
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap().replace(".rs", ""))
            .collect();
        files.sort();
        let mut known = TARGETS.to_vec();
        known.sort_unstable();
        assert_eq!(files, known);
    }
}
