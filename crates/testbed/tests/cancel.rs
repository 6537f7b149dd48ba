//! Every public call that can be awaited is given up at each of its awaits, in each way: nothing is lost, nothing is
//! left.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod certificates;
mod futures;

use std::collections::BTreeSet;

/// Seeds that differ in where a transfer comes short.
const SEEDS: u64 = 3;

#[test]
fn every_call_can_be_given_up_at_every_await() {
    let (mut runs, mut found) = (0, Vec::new());
    for case in calls::all() {
        for seed in 0..SEEDS {
            let report = case.report(seed);
            assert!(report.awaits > 0, "it never waits, or is wrong by itself: {report}");
            runs += report.runs;
            println!("{report}");
            found.extend((!report.is_clean()).then(|| format!("seed {seed}: {report}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    assert!(runs > 1000, "only {runs} runs");
}

/// What the sources let one await, and is no call that waits, or is one of those above by another name.
const OTHERS: &[(&str, &str)] = &[
    ("loop::ready", "a job that has its result"),
    ("loop::pending", "makes a job, for executors: run_in_executor's"),
    ("protocol::now", "asks and does not wait"),
    ("streams::limit", "an option of what is awaited later"),
];

#[test]
fn no_public_future_is_left_out() {
    let found = futures::of_all_layers();
    let covered = calls::all().flat_map(|case| case.covers.iter().copied());
    let known: BTreeSet<String> =
        covered.chain(OTHERS.iter().map(|(item, _)| *item)).map(str::to_owned).collect();
    let missing: Vec<_> = found.difference(&known).collect();
    assert!(missing.is_empty(), "given up nowhere (tests/calls): {missing:?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "not in the sources: {gone:?}");
}
