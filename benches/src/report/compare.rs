//! What changed between two runs, and what is only noise.
//!
//! Runs are not paired: a ratio is as uncertain as both of its sides. What drifted between the two days (clock, kernel,
//! neighbours) is in it too; so beside it stands the same ratio after each side was set against the hand-written server (over TLS, tokio's) of its own run.

use std::path::Path;

use super::figures::memory_of;
use super::stats::{Estimate, estimate, paired};
use super::table::{Style, grid, interval, or_none, per_second, verdict};
use super::words::thousands;
use super::{FORMAT, Report, ScenarioResult, ServerResult, Window};

/// Reads a report.
///
/// # Errors
///
/// When the file can't be read, is not a report, or is one of another format.
pub fn read(path: &Path) -> Result<Report, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text).map_err(|why| format!("{}: {why}", path.display()))
}

fn parse(text: &str) -> Result<Report, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    // The version first: what another one has is no error of the file.
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => return Err(format!("expected a report of format {FORMAT}, got {format}")),
        None => return Err(format!("expected a report of format {FORMAT}, got none")),
    }
    serde_json::from_value(value).map_err(|error| error.to_string())
}

/// The tables of what both have measured, and what only one has.
#[must_use]
pub fn compare(a: &Report, b: &Report, style: Style) -> String {
    let mut text = String::new();
    for (name, report) in [("A", a), ("B", b)] {
        let machine = &report.machine;
        let line = format!("{name}: {} {}, {}\n", machine.commit, machine.date, rounds(report));
        text.push_str(&line);
    }
    for line in differences(a, b) {
        text.push_str(&line);
        text.push('\n');
    }
    text.push_str("B/A below 1 is less in B; even: the noise is larger than the change\n");
    let mut alone = Vec::new();
    for one in &a.scenarios {
        let Some(other) = b.scenario(&one.name) else {
            alone.push(format!("{} is in A only", one.name));
            continue;
        };
        text.push_str(&format!("\n{}: {}\n{}", one.name, one.about, table(one, other, style)));
        alone.extend(missing(one, other, "A"));
        alone.extend(missing(other, one, "B"));
    }
    let new = b.scenarios.iter().filter(|scenario| a.scenario(&scenario.name).is_none());
    alone.extend(new.map(|scenario| format!("{} is in B only", scenario.name)));
    if !alone.is_empty() {
        text.push_str(&format!("\nnot compared:\n  {}\n", alone.join("\n  ")));
    }
    text
}

fn rounds(report: &Report) -> String {
    let counts = report.scenarios.iter().flat_map(|s| &s.servers).map(|s| s.rounds.len());
    format!("up to {} rounds", counts.max().unwrap_or(0))
}

/// What makes two runs hard to compare.
fn differences(a: &Report, b: &Report) -> Vec<String> {
    let (one, other) = (&a.machine, &b.machine);
    let facts = [
        ("processors", &one.cpu, &other.cpu),
        ("kernels", &one.kernel, &other.kernel),
        ("compilers", &one.rustc, &other.rustc),
    ];
    let mut lines: Vec<String> = facts
        .iter()
        .filter(|(_, one, other)| one != other)
        .map(|(what, one, other)| format!("the {what} differ: {one} and {other}"))
        .collect();
    if one.cores != other.cores {
        lines.push(format!("the machines differ: {} and {} processors", one.cores, other.cores));
    }
    for (peer, version) in &a.versions {
        if let Some(changed) = b.versions.get(peer).filter(|changed| *changed != version) {
            lines.push(format!("{peer} differs: {version} and {changed}"));
        }
    }
    lines
}

fn missing<'a>(
    one: &'a ScenarioResult,
    other: &'a ScenarioResult,
    name: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let absent = |server: &&ServerResult| other.server(&server.peer).is_none();
    let absent = one.servers.iter().filter(absent);
    absent.map(move |server| format!("{} in {} is in {name} only", server.peer, one.name))
}

fn table(a: &ScenarioResult, b: &ScenarioResult, style: Style) -> String {
    let unit = &a.unit;
    let header = [
        "server".to_owned(),
        format!("us CPU/{unit} A"),
        "B".to_owned(),
        "B/A".to_owned(),
        "interval".to_owned(),
        format!("the same beside {}", a.limit()),
        "interval".to_owned(),
        format!("{} A", per_second(unit)),
        "B".to_owned(),
        "B/A".to_owned(),
        "interval".to_owned(),
        "bytes/connection A".to_owned(),
        "B".to_owned(),
    ];
    let limits = (a.server(a.limit()), b.server(b.limit()));
    let row = |one: &ServerResult| {
        let other = b.server(&one.peer)?;
        let mut cells = vec![one.peer.clone()];
        cells.extend(change(one, other, Window::cpu_per_unit));
        cells.extend(beside(one, other, limits));
        cells.extend(change(one, other, Window::throughput));
        cells.extend(
            [one, other].map(|server| or_none(memory_of(server).map(|(_, used)| thousands(used)))),
        );
        Some(cells)
    };
    let rows: Vec<Vec<String>> = a.servers.iter().filter_map(row).collect();
    let (header, rows) = without_empty(&header, &rows);
    grid(&header, &rows, style)
}

/// A figure in both, its ratio and the ratio's interval.
fn change(one: &ServerResult, other: &ServerResult, figure: fn(&Window) -> f64) -> [String; 4] {
    let (a, b) = (estimate(one, figure), estimate(other, figure));
    let ratio = b.zip(a).map(|(b, a)| b.over(&a));
    let median =
        |estimate: Option<Estimate>| or_none(estimate.map(|found| thousands(found.median)));
    [median(a), median(b), or_none(ratio.map(verdict)), or_none(ratio.map(interval))]
}

/// How the ratio to the limit changed.
fn beside(
    one: &ServerResult,
    other: &ServerResult,
    limits: (Option<&ServerResult>, Option<&ServerResult>),
) -> [String; 2] {
    let ratio = |server: &ServerResult, limit: Option<&ServerResult>| {
        let limit = limit.filter(|limit| limit.peer != server.peer)?;
        paired(server, limit, Window::cpu_per_unit)
    };
    let (a, b) = (ratio(one, limits.0), ratio(other, limits.1));
    let ratio = b.zip(a).map(|(b, a)| b.over(&a));
    [or_none(ratio.map(verdict)), or_none(ratio.map(interval))]
}

/// Without the columns that hold no figure.
fn without_empty(header: &[String], rows: &[Vec<String>]) -> (Vec<String>, Vec<Vec<String>>) {
    let none = or_none(None);
    let full = |column: &usize| rows.iter().any(|row| row[*column] != none);
    let columns: Vec<usize> = (0..header.len()).filter(full).collect();
    let of = |row: &[String]| columns.iter().map(|column| row[*column].clone()).collect();
    (of(header), rows.iter().map(|row| of(row)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Machine, Memory};

    fn server(peer: &str, cpu: [u64; 6]) -> ServerResult {
        let window = |cpu: u64| Window {
            units: 1000,
            bytes: 0,
            wall_ns: cpu * 1000,
            server_cpu_ns: cpu * 1000,
            load_cpu_ns: 1,
            foreign_cpu_ns: 0,
        };
        let rounds = cpu.map(window).into();
        let (peer, connections) = (peer.to_owned(), 10);
        ServerResult { peer, connections, rounds, latency: None, tails: Vec::new(), memory: None }
    }

    fn report(servers: Vec<ServerResult>) -> Report {
        let text = |text: &str| text.to_owned();
        Report {
            format: FORMAT,
            machine: Machine {
                cpu: text("a CPU"),
                cores: 2,
                kernel: text("a kernel"),
                rustc: text("a compiler"),
                date: text("a date"),
                commit: text("a commit"),
                memory: 0,
            },
            versions: [(text("tokio"), text("1.0.0"))].into(),
            commands: Vec::new(),
            scenarios: vec![ScenarioResult {
                name: text("echo-64"),
                about: text("nothing"),
                unit: text("message"),
                servers,
            }],
            counts: Vec::new(),
            micro: Vec::new(),
            skipped: Vec::new(),
            notes: Vec::new(),
        }
    }

    const STEADY: [u64; 6] = [5000, 5000, 5010, 4990, 5000, 5000];

    fn row<'a>(text: &'a str, peer: &str) -> Vec<&'a str> {
        let line = text.lines().find(|line| line.trim_start().starts_with(peer)).unwrap();
        line.split_whitespace().collect()
    }

    #[test]
    fn a_change_beyond_the_noise_is_told_and_one_within_is_even() {
        let a = report(vec![
            server("epoll", STEADY),
            server("smol", STEADY),
            server("tokio", [4000, 6000, 5000, 4500, 5500, 5000]),
        ]);
        let b = report(vec![
            server("epoll", STEADY),
            server("smol", STEADY.map(|cpu| cpu * 2)),
            server("tokio", [4100, 6100, 5100, 4600, 5600, 5100]),
        ]);
        let text = compare(&a, &b, Style::Plain);
        assert_eq!(
            row(&text, "smol"),
            [
                "smol",
                "5.00",
                "10.0",
                "2.00",
                "1.99..2.01",
                "2.00",
                "2.00..2.00",
                "200,000",
                "100,000",
                "0.50",
                "0.50..0.50"
            ]
        );
        assert_eq!(row(&text, "tokio")[1..4], ["5.00", "5.10", "even"]);
        assert_eq!(row(&text, "epoll")[3..6], ["even", "1.00..1.00", "-"]);
        assert!(!text.contains("bytes/connection") && !text.contains("not compared"), "{text}");
    }

    #[test]
    fn a_slower_day_shows_beside_the_limit() {
        let a = report(vec![server("epoll", STEADY), server("smol", STEADY)]);
        let slow = STEADY.map(|cpu| cpu * 3);
        let b = report(vec![server("epoll", slow), server("smol", slow)]);
        let text = compare(&a, &b, Style::Plain);
        assert_eq!(row(&text, "smol")[3], "3.00");
        assert_eq!(row(&text, "smol")[5], "even", "{text}");
    }

    #[test]
    fn machines_and_versions_that_differ_are_pointed_out() {
        let a = report(vec![]);
        let mut b = a.clone();
        b.machine.cpu = "another CPU".to_owned();
        b.machine.cores = 4;
        b.versions.insert("tokio".to_owned(), "1.1.0".to_owned());
        let text = compare(&a, &b, Style::Plain);
        assert!(text.contains("the processors differ: a CPU and another CPU"), "{text}");
        assert!(text.contains("the machines differ: 2 and 4 processors"), "{text}");
        assert!(text.contains("tokio differs: 1.0.0 and 1.1.0"), "{text}");
        assert!(differences(&a, &a).is_empty());
    }

    #[test]
    fn what_only_one_has_is_listed() {
        let a = report(vec![server("smol", STEADY)]);
        let mut b = report(vec![server("tokio", STEADY)]);
        b.scenarios.push(ScenarioResult { name: "lines".to_owned(), ..b.scenarios[0].clone() });
        let text = compare(&a, &b, Style::Plain);
        for line in
            ["smol in echo-64 is in A only", "tokio in echo-64 is in B only", "lines is in B only"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
    }

    #[test]
    fn memory_is_compared_where_it_was_measured() {
        let mut idle = server("smol", STEADY);
        idle.rounds.clear();
        idle.memory = Some(Memory { before: 0, fresh: 0, used: 12_340 });
        let a = report(vec![idle]);
        let text = compare(&a, &a, Style::Plain);
        assert_eq!(row(&text, "smol"), ["smol", "1,234", "1,234"]);
    }

    #[test]
    fn a_report_of_another_format_is_refused() {
        let text = serde_json::to_string(&report(vec![])).unwrap();
        assert_eq!(parse(&text), Ok(report(vec![])));
        let other = text.replacen(&format!("\"format\":{FORMAT}"), "\"format\":99", 1);
        let error = parse(&other).unwrap_err();
        assert_eq!(error, format!("expected a report of format {FORMAT}, got 99"));
        assert!(parse("{}").unwrap_err().ends_with("got none"));
        assert!(parse("not JSON").is_err());
        let error = read(Path::new("/no/such/bench.json")).unwrap_err();
        assert!(error.starts_with("/no/such/bench.json: "), "{error}");
    }
}
