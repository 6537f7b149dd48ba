//! How a wait ends by a signal. (Only Linux interrupts it without a handler.)
#![cfg(all(feature = "os", target_os = "linux"))]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::BOUND;
use millrun_selector::{Foreign, Interest, MioSelector, Selector};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

const CHILD: &str = "MILLRUN_INTERRUPTED_CHILD";

/// SEL-013: a signal during a wait is no error, and what comes afterwards is reported.
///
/// Stopping and continuing a process makes its `epoll_wait` fail with EINTR without any handler
/// (signal(7)), so a child is stopped until it says that a wait ended early.
#[test]
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
