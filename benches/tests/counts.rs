//! Counts of a server whose counts are known; and of programs that are no servers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use millrun_benches::counts::{Subject, run};
use millrun_benches::peer;
use millrun_benches::runner::launch::Launch;

fn launch(program: &str) -> Launch {
    Launch { program: PathBuf::from(program), arguments: Vec::new(), version: String::new() }
}

#[test]
fn the_hand_written_server_waits_receives_and_sends_once_for_a_message() {
    let launch = launch(env!("CARGO_BIN_EXE_server-epoll"));
    let subject = Subject { peer: peer::named(peer::LIMIT).unwrap(), launch: &launch };
    let mut told = Vec::new();
    let (counts, skipped) = run(&[subject], true, &mut |line| told.push(line.to_owned()));
    let count =
        |what: &str| counts.iter().find(|count| count.what == what).map(|count| count.per_unit);
    let missing = |tool: &str| skipped.iter().any(|s| s.what == format!("counts: {tool}"));
    if missing("strace") {
        assert_eq!(count("recv"), None);
    } else {
        for what in ["recv", "send", "epoll_wait"] {
            let each = count(what).unwrap_or_else(|| panic!("no {what}: {skipped:?}"));
            assert!((each - 1.0).abs() < 0.02, "{what} {each}");
        }
        assert!(count("epoll_ctl").unwrap().abs() < 0.01, "{counts:?}");
    }
    if missing("valgrind") {
        assert_eq!(count("instructions"), None);
    } else {
        assert!(
            count("instructions").unwrap_or_else(|| panic!("{skipped:?}")) > 50.0,
            "{counts:?}"
        );
        assert!(count("allocations").unwrap().abs() < 0.01, "{counts:?}");
    }
    assert_eq!(told.len() + skipped.len(), 2, "{told:?} {skipped:?}");
}

#[test]
fn what_is_no_server_is_skipped_with_its_reason() {
    let launch = launch("/bin/false");
    let subject = Subject { peer: peer::named(peer::LIMIT).unwrap(), launch: &launch };
    let (counts, skipped) = run(&[subject], true, &mut |_| ());
    assert!(counts.is_empty() && skipped.len() == 2, "{counts:?} {skipped:?}");
}
