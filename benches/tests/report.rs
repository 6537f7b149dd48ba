//! The page, the plots and the table of targets (`verdicts`), from reports of any size and with anything in them.
//!
//! With `REPORT_PAGES=DIR` in the environment the pages are written there, to be looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "report/document.rs"]
mod document;
#[path = "report/synthetic.rs"]
mod synthetic;
#[path = "report/verdicts.rs"]
mod verdicts;

use std::collections::BTreeSet;

use millrun_benches::report::targets::{self, Verdict};
use millrun_benches::report::{Latency, Memory, Report, Window, html, plot, table};

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
fn no_table_of_figures_has_a_heading_twice_and_ratios_say_what_they_are() {
    let report = synthetic::full();
    let page = html::page(&report);
    let raw =
        page.split("<section id=\"raw\">").nth(1).unwrap().split("</section>").next().unwrap();
    for head in raw.split("<thead>").skip(1) {
        let head = head.split("</thead>").next().unwrap();
        let titles: Vec<&str> = head.split("<th>").skip(1).collect();
        assert_eq!(titles.iter().collect::<BTreeSet<_>>().len(), titles.len(), "{head}");
        assert!(head.contains("<th>server busy</th><th>load busy</th>"), "{head}");
    }
    let row = raw.split("<tbody>").nth(1).unwrap().split("</tr>").next().unwrap();
    let heads = raw.split("</thead>").next().unwrap().matches("<th>").count();
    assert_eq!(row.matches("<td>").count(), heads, "{row}");
    let text = table::scenario(&report.scenarios[1], table::Style::Plain);
    let heading = text.lines().nth(1).unwrap();
    let titles: Vec<&str> = heading.split("  ").filter(|title| !title.is_empty()).collect();
    assert_eq!(titles.iter().collect::<BTreeSet<_>>().len(), titles.len(), "{heading}");
    let told = "the median of the rounds' ratios, not the quotient of the medians";
    assert!(text.contains(&format!("x epoll: {told} beside it\n")), "{text}");
    // One table beside the hand-written server, one over TLS.
    assert_eq!(page.matches(&html::escaped(told)).count(), 2);
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
