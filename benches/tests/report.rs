//! The page, the plots and the table of targets, from reports of any size and with anything in them.
//!
//! With `REPORT_PAGES=DIR` in the environment the pages are written there, to be looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "report/synthetic.rs"]
mod synthetic;

use std::collections::BTreeSet;

use millrun_benches::report::targets::{self, Verdict};
use millrun_benches::report::{Latency, Memory, Report, Window, html, plot};

/// Elements that have no end.
const VOID: [&str; 3] = ["meta", "br", "!doctype"];

/// Panics unless every element that begins also ends, in order, and every attribute is quoted.
fn assert_well_formed(page: &str) {
    let mut open: Vec<String> = Vec::new();
    let mut rest = page;
    let mut ids = BTreeSet::new();
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(
            !text.contains('>') || open.last().is_some_and(|name| name == "style"),
            "a bare > in {text:?}"
        );
        rest = &rest[start + 1..];
        let end = rest.find('>').expect("an element that never ends");
        let tag = &rest[..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        assert!(!tag.contains('<'), "<{tag}>");
        rest = &rest[end + 1..];
        if let Some(id) = tag.split(" id=\"").nth(1).and_then(|id| id.split('"').next()) {
            assert!(ids.insert(id.to_owned()), "two elements are called {id}");
        }
        let name = tag.split([' ', '\n']).next().unwrap_or("").to_owned();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop().as_deref(), Some(name), "before {:.80}", rest),
            None if tag.ends_with('/') || VOID.contains(&name.as_str()) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

fn keep(name: &str, page: &str) {
    if let Some(directory) = std::env::var_os("REPORT_PAGES") {
        std::fs::write(std::path::Path::new(&directory).join(name), page).unwrap();
    }
}

#[test]
fn a_full_page_has_every_server_and_scenario() {
    let report = synthetic::full();
    let page = html::page(&report);
    keep("full.html", &page);
    assert_well_formed(&page);
    for scenario in &report.scenarios {
        assert!(page.contains(&format!("id=\"scenario-{}\"", scenario.name)), "{}", scenario.name);
        let card = page.split(&format!("id=\"scenario-{}\"", scenario.name)).nth(1).unwrap();
        let card = card.split("id=\"scenario-").next().unwrap();
        for server in &scenario.servers {
            assert!(
                card.contains(&format!(">\n{}\n<", server.peer)),
                "{} in {}",
                server.peer,
                scenario.name
            );
        }
    }
    for row in targets::rows(&report) {
        assert!(page.contains(&html::escaped(row.case)), "{}", row.case);
    }
    for part in ["Made Up 9000", "it does not connect", "cargo xtask bench", "1.2.3", "Linux 6.18"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("src="), "it has to stand alone");
}

#[test]
fn scenarios_are_in_the_order_of_their_table() {
    let mut report = synthetic::full();
    report.scenarios.reverse();
    let page = html::page(&report);
    let places: Vec<_> = millrun_benches::scenario::ALL
        .iter()
        .map(|scenario| page.find(&format!("id=\"scenario-{}\"", scenario.name)).unwrap())
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn a_small_page_stands_too() {
    let report = synthetic::small();
    let page = html::page(&report);
    keep("small.html", &page);
    assert_well_formed(&page);
    assert!(!page.contains("id=\"micro\"") && !page.contains("id=\"counts\""));
}

#[test]
fn plots_are_files_of_their_own() {
    let files = plot::files(&synthetic::full());
    let names: BTreeSet<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), files.len());
    assert!(
        names.contains("scaling") && names.contains("cpu-echo-64") && names.contains("memory-idle")
    );
    for (name, svg) in &files {
        assert_well_formed(svg);
        assert!(svg.starts_with("<svg ") && svg.contains("xmlns="), "{name}");
        keep(&format!("{name}.svg"), svg);
    }
}

#[test]
fn hostile_names_are_text() {
    const NAME: &str = "<b>\"&'</style><script>alert(1)</script>\u{1}";
    let mut report = synthetic::small();
    report.versions.insert(NAME.to_owned(), NAME.to_owned());
    report.commands.push(NAME.to_owned());
    report.machine.cpu = NAME.to_owned();
    report.machine.date = NAME.to_owned();
    report.skipped[0].what = NAME.to_owned();
    report.skipped[0].why = NAME.to_owned();
    for scenario in &mut report.scenarios {
        scenario.name = NAME.to_owned();
        scenario.about = NAME.to_owned();
        scenario.unit = NAME.to_owned();
        scenario.servers[3].peer = NAME.to_owned();
    }
    let page = html::page(&report);
    keep("hostile.html", &page);
    assert_well_formed(&page);
    assert!(!page.contains("<script") && !page.contains('\u{1}'));
    for (name, svg) in plot::files(&report) {
        assert!(
            name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '-'),
            "{name}"
        );
        assert_well_formed(&svg);
    }
}

/// Whatever a run that went wrong leaves behind.
fn damaged() -> Vec<Report> {
    let nothing = Window {
        units: 0,
        bytes: 0,
        wall_ns: 0,
        server_cpu_ns: 0,
        load_cpu_ns: 0,
        foreign_cpu_ns: 0,
    };
    let each = |change: fn(&mut Report)| {
        let mut report = synthetic::full();
        change(&mut report);
        report
    };
    let mut zero = synthetic::full();
    for server in zero.scenarios.iter_mut().flat_map(|scenario| &mut scenario.servers) {
        server.rounds = vec![nothing; 4];
        server.latency = Some(Latency { rate: 0, buckets: vec![(0, 0)] });
        server.tails = vec![0; 4];
        server.memory = Some(Memory { before: 9, fresh: 0, used: 0 });
        server.connections = 0;
    }
    for micro in &mut zero.micro {
        (micro.nanos, micro.low, micro.high) = (0.0, f64::NAN, f64::INFINITY);
    }
    for count in &mut zero.counts {
        count.per_unit = f64::NAN;
    }
    vec![
        zero,
        each(|report| report.scenarios.clear()),
        each(|report| report.scenarios.iter_mut().for_each(|scenario| scenario.servers.clear())),
        each(|report| {
            report
                .scenarios
                .iter_mut()
                .flat_map(|s| &mut s.servers)
                .for_each(|s| s.rounds.truncate(1));
        }),
        each(|report| {
            let servers = report.scenarios.iter_mut().flat_map(|scenario| &mut scenario.servers);
            servers.for_each(|server| {
                server.rounds.iter_mut().for_each(|window| window.server_cpu_ns = u64::MAX)
            });
        }),
        each(|report| {
            report.scenarios.iter_mut().for_each(|s| s.servers.retain(|s| s.peer != "epoll"))
        }),
    ]
}

#[test]
fn what_went_wrong_is_shown_without_failing() {
    for report in damaged() {
        assert_well_formed(&html::page(&report));
        plot::files(&report).iter().for_each(|(_, svg)| assert_well_formed(svg));
        assert!(!targets::text(&report).contains("NaN"));
        assert!(
            targets::rows(&report)
                .iter()
                .all(|row| row.verdict != Verdict::Met || row.value.is_some())
        );
    }
}

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
    let Verdict::NotMeasured { why } = verdict(&report, "churn", "Protocol") else {
        panic!("nor was this")
    };
    assert!(why.contains("churn was not run"), "{why}");
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
