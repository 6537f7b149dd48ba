//! How a wait ends: by its timeout, by another thread, by a signal.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{BOUND, look, registered_pair, wait};
use millrun_selector::{Clock, Foreign, Interest, MioSelector, Monotonic, Selector};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

/// SEL-012: a positive timeout is waited out whole, also below what the kernel can tell apart.
/// SEL-014: with nothing registered.
#[test]
fn sel_012_sel_014_a_timeout_is_at_least_as_long_as_asked() {
    let mut selector = MioSelector::new().unwrap();
    let clock = Monotonic::new();
    for micros in [1, 300, 999, 1_000, 1_001, 1_500, 2_700, 5_001] {
        let asked = Duration::from_micros(micros);
        let before = clock.now();
        let mut events = Vec::new();
        selector.select(Some(asked), &mut events).unwrap();
        let waited = clock.now() - before;
        assert!(waited >= asked, "asked for {asked:?}, waited {waited:?}");
        assert!(events.is_empty());
    }
}

/// SEL-012: zero only looks; a timeout beyond what the kernel can count is no error.
#[test]
fn sel_012_zero_looks_and_the_longest_waits() {
    let (mut selector, _ours, _key, theirs) = registered_pair(Interest::READ);
    assert!(look(&mut selector).is_empty());
    theirs.try_write(b"x").unwrap();
    let mut events = Vec::new();
    selector.select(Some(Duration::MAX), &mut events).unwrap();
    assert_eq!(events.len(), 1);
}

/// SEL-012: no timeout waits until another thread wakes it.
#[test]
fn sel_012_a_wait_without_end_is_ended_by_a_waker() {
    let mut selector = MioSelector::new().unwrap();
    let waker = selector.waker();
    let thread = thread::spawn(move || waker.wake());
    assert!(wait(&mut selector).is_empty(), "a wake-up is no event");
    thread.join().unwrap();
}

/// A wake-up before the wait is not lost; many are one.
#[test]
fn a_wake_up_before_the_wait_counts_and_is_used_up() {
    let mut selector = MioSelector::new().unwrap();
    let waker = selector.waker();
    for _ in 0..1000 {
        waker.wake();
    }
    assert!(wait(&mut selector).is_empty());
    let clock = Monotonic::new();
    let before = clock.now();
    let asked = Duration::from_millis(3);
    let mut events = Vec::new();
    selector.select(Some(asked), &mut events).unwrap();
    assert!(clock.now() - before >= asked, "all thousand were used up by one wait");
    assert!(events.is_empty());
}

/// Each of many wake-ups from many threads ends a wait, or comes before one that ends at once.
#[test]
fn wakers_of_many_threads_lose_nothing() {
    let mut selector = MioSelector::new().unwrap();
    let (done, finished) = mpsc::channel();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (waker, done) = (selector.waker(), done.clone());
            thread::spawn(move || {
                for _ in 0..500 {
                    done.send(()).unwrap();
                    waker.wake();
                }
            })
        })
        .collect();
    let mut seen = 0;
    while seen < 2000 {
        assert!(wait(&mut selector).is_empty());
        seen += finished.try_iter().count();
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
}

/// A waker outlives its selector, and is used while it goes.
#[test]
fn a_waker_is_harmless_when_the_selector_is_gone() {
    for _ in 0..50 {
        let selector = MioSelector::new().unwrap();
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let waker = selector.waker();
                thread::spawn(move || (0..100).for_each(|_| waker.wake()))
            })
            .collect();
        let kept = selector.waker();
        drop(selector);
        threads.into_iter().for_each(|t| t.join().unwrap());
        kept.wake();
    }
    // A descriptor that got the number of the old one must not be written to.
    let (mut selector, _ours, _key, _theirs) = registered_pair(Interest::READ);
    assert!(look(&mut selector).is_empty());
}

const CHILD: &str = "MILLRUN_INTERRUPTED_CHILD";

/// SEL-013: a signal during a wait is no error, and what comes afterwards is reported.
///
/// Stopping and continuing a process makes its `epoll_wait` fail with EINTR without any handler
/// (signal(7)), so a child is stopped until it says that a wait ended early.
#[test]
#[cfg(target_os = "linux")]
fn sel_013_a_signal_ends_a_wait_and_loses_nothing() {
    if std::env::var_os(CHILD).is_some() {
        return be_interrupted();
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sel_013_a_signal_ends_a_wait_and_loses_nothing", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let result = interrupt(&mut child);
    if result.is_err() {
        child.kill().unwrap();
    }
    let status = child.wait().unwrap();
    result.unwrap();
    assert!(status.success(), "{status}");
}

fn interrupt(child: &mut Child) -> Result<(), String> {
    let (sender, lines) = mpsc::channel();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    thread::spawn(move || {
        stdout.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
    });
    let wait_for = |text: &str, time: Duration| -> bool {
        // The harness prints around our words.
        std::iter::from_fn(|| lines.recv_timeout(time).ok()).any(|line| line.contains(text))
    };
    if !wait_for("waiting", BOUND) {
        return Err("the child never waited".into());
    }
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    // It may not have reached the wait at the first try.
    let early = (0..100).any(|_| {
        kill_process(pid, Signal::STOP).unwrap();
        waitpid(Some(pid), WaitOptions::UNTRACED).unwrap();
        kill_process(pid, Signal::CONT).unwrap();
        wait_for("ended early", Duration::from_millis(100))
    });
    if !early {
        return Err("100 signals did not end a wait".into());
    }
    child.stdin.take().unwrap().write_all(b"x").unwrap();
    if wait_for("got it", BOUND) { Ok(()) } else { Err("the event was lost".into()) }
}

/// The child: waits for its standard input, and tells when a wait ended with nothing.
fn be_interrupted() {
    let mut selector = MioSelector::new().unwrap();
    let mut stdin = std::io::stdin();
    let key = selector.register(&Foreign::new(&stdin), Interest::READ).unwrap();
    println!("\nwaiting");
    let mut events = Vec::new();
    loop {
        selector.select(None, &mut events).unwrap();
        if events.iter().any(|e| e.key == key) {
            break;
        }
        println!("\nended early");
    }
    assert_eq!(stdin.read(&mut [0; 8]).unwrap(), 1);
    println!("\ngot it");
}
