//! The table of targets: what each verdict needs.

use millrun_benches::report::targets::{self, Part, Verdict};
use millrun_benches::report::{Memory, Report, SMALL_BENCHES, Skipped, Window, html};

use crate::{keep, synthetic};

fn verdict(report: &Report, group: &str, case: &str) -> Verdict {
    let row =
        targets::rows(report).into_iter().find(|row| row.group.contains(group) && row.case == case);
    row.unwrap_or_else(|| panic!("no row {group}: {case}")).verdict
}

/// CPU of a server in each round, relative to the limit's.
fn with_ratios(ratios: &[f64]) -> Report {
    let mut report = synthetic::small();
    let window = |cost: f64| Window {
        units: 1000,
        bytes: 0,
        wall_ns: 1_000_000_000,
        server_cpu_ns: (cost * 5e6) as u64,
        load_cpu_ns: 0,
        foreign_cpu_ns: 0,
    };
    for server in &mut report.scenarios[0].servers {
        let ours = server.peer == "millrun-protocol";
        server.rounds =
            ratios.iter().map(|ratio| window(if ours { *ratio } else { 1.0 })).collect();
    }
    report
}

#[test]
fn a_verdict_needs_the_whole_interval() {
    let of = |ratios: &[f64]| verdict(&with_ratios(ratios), "echo on Protocol", "1 KiB x 64");
    assert_eq!(of(&[1.01, 1.0, 1.015]), Verdict::Met);
    assert_eq!(of(&[1.01, 1.0, 1.03]), Verdict::Even);
    assert_eq!(of(&[1.03, 1.04, 1.06]), Verdict::Missed);
    // Two rounds end in no conclusion, whatever they say.
    assert_eq!(of(&[1.5, 1.5]), Verdict::Even);
}

#[test]
fn nothing_is_concluded_from_windows_that_others_disturbed() {
    let with_disturbed = |ratio: f64, count: usize| {
        let mut report = with_ratios(&[ratio; 3]);
        for server in &mut report.scenarios[0].servers {
            let disturbed = server.rounds.iter_mut().take(count);
            disturbed.for_each(|window| window.foreign_cpu_ns = window.wall_ns / 2);
        }
        let rows = targets::rows(&report);
        let found = |row: &&targets::Row| row.group.contains("echo on Protocol");
        let row = rows.iter().find(|row| found(row) && row.case == "1 KiB x 64").unwrap();
        (row.verdict.clone(), row.note.clone())
    };
    assert_eq!(with_disturbed(1.5, 1).0, Verdict::Missed);
    assert_eq!(with_disturbed(0.5, 1).0, Verdict::Met);
    let why = "4 of 6 windows were disturbed by other programs: no conclusion".to_owned();
    assert_eq!(with_disturbed(1.5, 2), (Verdict::Even, why.clone()));
    assert_eq!(with_disturbed(0.5, 2), (Verdict::Even, why));
}

#[test]
fn a_target_that_the_limit_misses_too_is_beyond_the_machine() {
    let grown = |epoll: f64| {
        let mut report = synthetic::full();
        for server in report
            .scenarios
            .iter_mut()
            .filter(|s| s.name == "echo-8000")
            .flat_map(|s| &mut s.servers)
        {
            let times = if server.peer == "epoll" { epoll } else { 3.0 };
            server
                .rounds
                .iter_mut()
                .for_each(|w| w.server_cpu_ns = (w.server_cpu_ns as f64 * times) as u64);
        }
        verdict(&report, "8,000 connections", "Protocol")
    };
    assert_eq!(grown(3.0), Verdict::Beyond);
    assert_eq!(grown(1.0), Verdict::Missed);
}

/// The row of looking before sleeping, from what that brings in each round: to Millrun, and to the hand-written server.
fn spinning(ours: &[f64], by_hand: &[f64]) -> targets::Row {
    let mut report = synthetic::full();
    let echo = report.scenarios.iter_mut().find(|scenario| scenario.name == "echo-1").unwrap();
    if by_hand.is_empty() {
        echo.servers.retain(|server| server.peer != "epoll-spin");
    }
    let window = |times: f64| Window {
        units: (10_000.0 * times) as u64,
        bytes: 0,
        wall_ns: 1_000_000_000,
        server_cpu_ns: 1,
        load_cpu_ns: 1,
        foreign_cpu_ns: 0,
    };
    for server in &mut echo.servers {
        let times = match server.peer.as_str() {
            "millrun-spin" => ours.to_vec(),
            "epoll-spin" => by_hand.to_vec(),
            _ => vec![1.0; ours.len()],
        };
        server.rounds = times.into_iter().map(window).collect();
    }
    let found = |row: &targets::Row| row.group.contains("before sleeping");
    targets::rows(&report).into_iter().find(found).unwrap()
}

#[test]
fn looking_before_sleeping_is_judged_by_what_it_brings_by_hand() {
    let row = spinning(&[1.2, 1.3, 1.4], &[1.25, 1.35, 1.4]);
    assert_eq!(row.verdict, Verdict::Beyond);
    assert_eq!(row.reason().unwrap(), "hand-written epoll has 1.35 x (1.25 to 1.40)");
    // It is not, where it can be had by hand, nor where ours brings less than it could.
    assert_eq!(spinning(&[1.2, 1.3, 1.4], &[2.4, 2.5, 2.6]).verdict, Verdict::Missed);
    assert_eq!(spinning(&[1.0, 1.1, 1.2], &[1.7, 1.8, 1.9]).verdict, Verdict::Missed);
    // What the machine allows is not shown by rounds that differ so much, or by none.
    assert_eq!(spinning(&[1.2, 1.3, 1.4], &[1.2, 1.3, 2.1]).verdict, Verdict::Missed);
    assert_eq!(spinning(&[1.2, 1.3, 1.4], &[]).verdict, Verdict::Missed);
    assert_eq!(spinning(&[2.4, 2.5, 2.6], &[2.4, 2.5, 2.6]).verdict, Verdict::Met);
}

#[test]
fn a_figure_without_a_target_is_shown_beside_others_and_counts_as_nothing() {
    let report = synthetic::full();
    let rows = targets::rows(&report);
    let row = rows.iter().find(|row| row.case == "Protocol, one connection").unwrap();
    assert_eq!((row.verdict.name(), row.wanted().as_str()), ("no target", "-"));
    assert_eq!(row.measured(), "380");
    assert_eq!(row.reason().unwrap(), "hand-written epoll has 1520; tokio has 2280");
    let counted: usize = targets::tally(&rows).iter().map(|(_, count)| count).sum();
    let without = rows.iter().filter(|row| row.verdict == Verdict::NoTarget).count();
    assert_eq!((counted, without), (rows.len() - 2, 2));
    let page = html::page(&report);
    assert!(page.contains("\u{2013} no target</td>"), "it is neither good nor bad");
}

#[test]
fn what_was_not_measured_says_why() {
    let mut report = synthetic::small();
    report.skipped[0].what = "millrun-streams in blocks".to_owned();
    let Verdict::NotMeasured { why } =
        verdict(&report, "echo on streams, CPU per message against hand", "64 KiB x 16")
    else {
        panic!("it was not measured")
    };
    assert!(why.contains("it does not connect"), "{why}");
    let echo = |report: &Report| verdict(report, "echo on Protocol", "1 KiB x 64");
    report.scenarios[0].servers.retain(|server| server.peer != "epoll");
    let why = "epoll was not measured in echo-64".to_owned();
    assert_eq!(echo(&report), Verdict::NotMeasured { why });
    // A peer that could not be built has no version either.
    report.versions.remove("epoll");
    report.skipped.push(Skipped { what: "epoll".to_owned(), why: "no compiler".to_owned() });
    let why = "epoll: no compiler".to_owned();
    assert_eq!(echo(&report), Verdict::NotMeasured { why });
}

#[test]
fn what_was_not_part_of_the_run_is_one_line() {
    let report = synthetic::small();
    let of = |group: &str, case: &str| verdict(&report, group, case);
    assert_eq!(of("churn", "Protocol"), Verdict::Outside { part: Part::Scenario });
    assert_eq!(of("8,000 connections", "streams"), Verdict::Outside { part: Part::Scenario });
    assert_eq!(of("epoll_ctl", "Protocol"), Verdict::Outside { part: Part::Count });
    assert_eq!(of("timers", "arm and cancel 1M"), Verdict::Outside { part: Part::Micro });
    let rows = targets::rows(&report);
    let line = targets::outside(&rows).unwrap();
    // Of echo-64 there are three: each layer beside the limit, and streams beside tokio.
    let parts = "other scenarios, counts and small benches (cargo bench)";
    assert_eq!(line, format!("{} rows of {parts} were not part of this run", rows.len() - 3));
    let text = targets::text(&report);
    let (page, text) = (html::page(&report), text.as_str());
    for shown in [page.as_str(), text] {
        assert_eq!(shown.matches(&line).count(), 1, "{shown}");
        assert!(!shown.contains("not measured") && !shown.contains("epoll_ctl per"), "{shown}");
    }
    // Three rows with a heading each, the line, and the sum.
    assert_eq!(text.lines().count(), 8, "{text}");
    assert_eq!(targets::outside(&targets::rows(&synthetic::full())), None);
}

#[test]
fn small_benches_that_cannot_be_read_are_a_gap() {
    let mut report = synthetic::small();
    let why = "timers/new/estimates.json: expected a number".to_owned();
    report.skipped.push(Skipped { what: SMALL_BENCHES.to_owned(), why: why.clone() });
    let row = verdict(&report, "timers", "arm and cancel 1M");
    assert_eq!(row, Verdict::NotMeasured { why });
}

#[test]
fn a_run_without_any_row_has_the_line_alone() {
    let mut report = synthetic::small();
    report.scenarios.clear();
    let rows = targets::rows(&report);
    assert_eq!(targets::text(&report), format!("{}\n", targets::outside(&rows).unwrap()));
    let page = html::page(&report);
    assert!(!page.contains("<table class=\"targets\">"), "{page}");
}

#[test]
fn a_peer_that_nobody_asked_for_is_no_gap() {
    let mut report = synthetic::full();
    let case = "lines a second against uvloop's plain idiom";
    report.versions.remove("uvloop-streams");
    for scenario in &mut report.scenarios {
        scenario.servers.retain(|server| server.peer != "uvloop-streams");
    }
    assert_eq!(verdict(&report, "lines", case), Verdict::Outside { part: Part::Peer });
    let line = targets::outside(&targets::rows(&report)).unwrap();
    assert_eq!(line, "1 row of other peers was not part of this run");
}

#[test]
fn a_count_whose_program_is_missing_says_so() {
    let mut report = synthetic::small();
    let why = "no such program".to_owned();
    report.skipped.push(Skipped { what: "counts: strace".to_owned(), why });
    let why = "counts: strace: no such program".to_owned();
    assert_eq!(verdict(&report, "epoll_ctl", "Protocol"), Verdict::NotMeasured { why });
    // What valgrind counts was not asked for, as far as this report tells.
    assert_eq!(verdict(&report, "copies", "in"), Verdict::Outside { part: Part::Count });
}

#[test]
fn counts_are_met_up_to_a_coincidence() {
    let of = |per_unit: f64| {
        let mut report = synthetic::full();
        for count in report.counts.iter_mut().filter(|count| count.what == "epoll_ctl") {
            count.per_unit = per_unit;
        }
        verdict(&report, "epoll_ctl", "Protocol")
    };
    assert_eq!((of(0.0), of(0.001)), (Verdict::Met, Verdict::Met));
    // The hand-written server has it as well in this report.
    assert_eq!(of(0.5), Verdict::Beyond);
}

#[test]
fn the_terminal_has_every_row_and_a_sum() {
    let report = synthetic::full();
    let text = targets::text(&report);
    for row in targets::rows(&report) {
        assert!(text.contains(row.case) && text.contains(row.group), "{text}");
    }
    assert!(text.lines().last().unwrap().starts_with("targets: "), "{text}");
    keep("targets.txt", &text);
}

/// What a server has once is no connection's: only what more of them add is.
#[test]
fn idle_memory_is_what_more_connections_add() {
    let mut report = synthetic::full();
    for (scenario, once) in [("idle", 500_000), ("idle-1000", 500_000)] {
        let result = report.scenarios.iter_mut().find(|found| found.name == scenario).unwrap();
        for server in &mut result.servers {
            let used = once + 100 * server.connections as u64;
            server.memory = Some(Memory { before: 0, fresh: 0, used });
        }
    }
    let find = |row: &targets::Row| row.group.contains("idle") && row.case == "Protocol";
    let row = targets::rows(&report).into_iter().find(find).unwrap();
    assert_eq!(row.value.unwrap().median, 100.0);
    // What the tables have for it is told beside it.
    assert!(row.note.starts_with("150 B with"), "{}", row.note);
}

#[test]
fn a_row_against_a_peers_idiom_tells_what_its_best_program_does() {
    let note = |case: &str, group: &str, report: &Report| {
        let rows = targets::rows(report);
        rows.into_iter().find(|row| row.case == case && row.group.contains(group)).unwrap().note
    };
    let report = synthetic::full();
    let blocks = note("64 KiB x 16", "against tokio", &report);
    assert!(blocks.starts_with("against tokio-best 1.0"), "{blocks}");
    let timers = note("arm and cancel 1M", "timers", &report);
    assert!(timers.starts_with("against tokio best 0.50 ("), "{timers}");
    assert_eq!(note("64 KiB x 16", "against tokio", &synthetic::small()), "");
}
