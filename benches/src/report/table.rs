//! Results as text: one table for each scenario.

use std::fmt::Write as _;

use super::figures::{cpu, load_saturated, load_share, memory_of, rate, server_share};
use super::stats::{Estimate, Verdict, paired};
use super::words::{plural, thousands};
use super::{ScenarioResult, ServerResult, Window};
use crate::runner::plan::is_ours;

/// What a cell holds where there is no figure.
const NONE: &str = "-";

/// What a reader who divides the figures beside a ratio has to know.
pub(crate) const OF_RATIOS: &str =
    "the median of the rounds' ratios, not the quotient of the medians";

/// Whether the text may use the terminal's bold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// For a terminal.
    Bold,
    /// For everything else.
    Plain,
}

impl Style {
    /// Bold where standard output is a terminal and nobody asked for plain text (`NO_COLOR`).
    #[must_use]
    pub fn of_output() -> Self {
        let terminal = std::io::IsTerminal::is_terminal(&std::io::stdout());
        if terminal && std::env::var_os("NO_COLOR").is_none() { Self::Bold } else { Self::Plain }
    }
}

/// A scenario's title and its table.
#[must_use]
pub fn scenario(result: &ScenarioResult, style: Style) -> String {
    let mut text = format!("{}: {}\n", result.name, result.about);
    let limit = result.server(result.limit());
    let mut columns = vec![Column::new("server", result, |server| server.peer.clone())];
    columns.extend(costs(result, limit));
    columns.extend(latencies(result));
    columns.extend(memory(result));
    columns.retain(|column| column.cells.iter().any(|cell| cell != NONE));
    let header: Vec<String> = columns.iter().map(|column| column.title.clone()).collect();
    let row = |index: usize| columns.iter().map(|column| column.cells[index].clone()).collect();
    let rows: Vec<Vec<String>> = (0..result.servers.len()).map(row).collect();
    text.push_str(&grid(&header, &rows, style));
    let has_ratios = header.contains(&ratio_title(result));
    let footnote = has_ratios.then(|| format!("{}: {OF_RATIOS} beside it", ratio_title(result)));
    for line in footnote.into_iter().chain(remarks(result)) {
        // Writing to a String can't fail.
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// Cells in columns: the first to the left, figures to the right; rows of ours (by the first cell) stand out.
#[must_use]
pub fn grid(header: &[String], rows: &[Vec<String>], style: Style) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| &row[column]);
        cells.chain([&header[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let mut text = String::new();
    for (number, row) in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)).enumerate() {
        let mut line = String::from("  ");
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a String can't fail.
            let _ = match column {
                0 => write!(line, "{cell:<width$}"),
                _ => write!(line, "  {cell:>width$}"),
            };
        }
        let ours = number > 0 && row.first().is_some_and(|cell| is_ours(cell));
        let line = line.trim_end();
        if ours && style == Style::Bold {
            text.push_str(&format!("\x1b[1m{line}\x1b[0m\n"));
        } else {
            text.push_str(&format!("{line}\n"));
        }
    }
    text
}

struct Column {
    title: String,
    cells: Vec<String>,
}

impl Column {
    fn new(
        title: impl Into<String>,
        result: &ScenarioResult,
        cell: impl Fn(&ServerResult) -> String,
    ) -> Self {
        Self { title: title.into(), cells: result.servers.iter().map(cell).collect() }
    }
}

fn costs(result: &ScenarioResult, limit: Option<&ServerResult>) -> Vec<Column> {
    let median = |estimate: Option<Estimate>| or_none(estimate.map(|e| thousands(e.median)));
    let ratio = |server: &ServerResult| {
        let limit = limit.filter(|limit| limit.peer != server.peer)?;
        paired(server, limit, Window::cpu_per_unit)
    };
    let percent = |share: Option<f64>| share.map(|share| format!("{:.0} %", share * 100.0));
    vec![
        Column::new(format!("us CPU/{}", result.unit), result, |server| median(cpu(server))),
        Column::new(ratio_title(result), result, |server| or_none(ratio(server).map(verdict))),
        Column::new("interval", result, |server| or_none(ratio(server).map(interval))),
        Column::new(per_second(&result.unit), result, |server| median(rate(server))),
        Column::new("server busy", result, |server| or_none(percent(server_share(server)))),
        Column::new("load busy", result, |server| or_none(percent(load_share(server)))),
    ]
}

fn ratio_title(result: &ScenarioResult) -> String {
    format!("x {}", result.limit())
}

fn latencies(result: &ScenarioResult) -> Vec<Column> {
    let column = |(title, part): (&str, f64)| {
        Column::new(format!("{title} us"), result, |server| {
            let nanos = server.latency.as_ref().and_then(|latency| latency.quantile(part));
            or_none(nanos.map(|nanos| thousands(nanos as f64 / 1e3)))
        })
    };
    [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)].map(column).into()
}

fn memory(result: &ScenarioResult) -> Vec<Column> {
    let column = |title, of: fn((f64, f64)) -> f64| {
        Column::new(title, result, |server| or_none(memory_of(server).map(of).map(thousands)))
    };
    vec![column("B/connection, fresh", |(fresh, _)| fresh), column("used", |(_, used)| used)]
}

/// What a reader has to know to read the figures.
fn remarks(result: &ScenarioResult) -> Vec<String> {
    let mut remarks = Vec::new();
    let rate = result.servers.iter().find_map(|server| server.latency.as_ref().map(|l| l.rate));
    match rate {
        Some(0) => remarks.push("latencies: each message is sent when the last came back".into()),
        Some(rate) => {
            let rate = thousands(rate as f64);
            remarks.push(format!("latencies at {rate} {}", per_second(&result.unit)));
        }
        None => {}
    }
    if result.servers.iter().any(load_saturated) {
        let second = per_second(&result.unit);
        remarks.push(format!("the load is at its limit: compare CPU, not {second}"));
    }
    let windows = || result.servers.iter().flat_map(|server| &server.rounds);
    let disturbed = windows().filter(|window| window.is_disturbed()).count();
    if disturbed > 0 {
        let all = windows().count();
        remarks.push(format!("{disturbed} of {all} windows were disturbed by other programs"));
    }
    remarks
}

/// The ratio, or that there is none to speak of.
#[must_use]
pub fn verdict(ratio: Estimate) -> String {
    match ratio.verdict() {
        Verdict::Even => "even".to_owned(),
        Verdict::Less | Verdict::More => format!("{:.2}", ratio.median),
    }
}

/// From where to where.
#[must_use]
pub fn interval(ratio: Estimate) -> String {
    format!("{:.2}..{:.2}", ratio.low, ratio.high)
}

/// "messages/s", "deliveries/s", "KiB/s".
#[must_use]
pub fn per_second(unit: &str) -> String {
    format!("{}/s", plural(unit))
}

/// The text of a figure, or a dash.
#[must_use]
pub fn or_none(text: Option<String>) -> String {
    text.unwrap_or_else(|| NONE.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Latency, Memory};

    fn server(peer: &str, cpu: &[u64]) -> ServerResult {
        let window = |cpu: &u64| Window {
            units: 1000,
            bytes: 0,
            wall_ns: 10_000_000,
            server_cpu_ns: cpu * 1000,
            load_cpu_ns: 5_000_000,
            foreign_cpu_ns: 0,
        };
        let rounds = cpu.iter().map(window).collect();
        let (peer, connections) = (peer.to_owned(), 10);
        ServerResult { peer, connections, rounds, latency: None, tails: Vec::new(), memory: None }
    }

    fn result(servers: Vec<ServerResult>) -> ScenarioResult {
        let (name, about) = ("made-up".to_owned(), "nothing".to_owned());
        ScenarioResult { name, about, unit: "message".to_owned(), servers }
    }

    #[test]
    fn a_table_is_aligned_and_says_even_within_the_noise() {
        let mut slow = server("smol", &[9990, 9980, 9995]);
        slow.latency = Some(Latency { rate: 20_000, buckets: vec![(12_345, 99), (999_000, 1)] });
        let text = scenario(
            &result(vec![
                server("millrun-protocol", &[5000, 5100, 4900]),
                server("epoll", &[5000, 5000, 5000]),
                slow,
            ]),
            Style::Plain,
        );
        let expected = "\
made-up: nothing
  server            us CPU/message  x epoll    interval  messages/s  server busy  load busy  p50 us  p99 us  p99.9 us
  millrun-protocol            5.00     even  0.98..1.02     100,000         50 %       50 %       -       -         -
  epoll                       5.00        -           -     100,000         50 %       50 %       -       -         -
  smol                        9.99     2.00  2.00..2.00     100,000        100 %       50 %    12.3    12.3       999
  x epoll: the median of the rounds' ratios, not the quotient of the medians beside it
  latencies at 20,000 messages/s
";
        assert_eq!(text, expected);
    }

    #[test]
    fn ours_stand_out_on_a_terminal() {
        let both = result(vec![server("millrun-streams", &[1, 1, 1]), server("smol", &[1, 1, 1])]);
        let text = scenario(&both, Style::Bold);
        let bold: Vec<&str> = text.lines().filter(|line| line.starts_with("\x1b[1m")).collect();
        assert!(bold.len() == 1 && bold[0].contains("millrun-streams"), "{text}");
        assert!(bold[0].ends_with("\x1b[0m"), "{text}");
        assert!(!text.contains("x epoll"), "there is none, nor its footnote: {text}");
    }

    #[test]
    fn memory_is_told_per_connection() {
        let mut idle = server("epoll", &[]);
        idle.memory = Some(Memory { before: 1000, fresh: 14_000, used: 21_000 });
        let text = scenario(&result(vec![idle]), Style::Plain);
        let last = text.lines().last().unwrap();
        assert_eq!(last.split_whitespace().collect::<Vec<_>>(), ["epoll", "1,300", "2,000"]);
    }

    #[test]
    fn what_spoils_figures_is_told() {
        let mut busy = server("epoll", &[1, 1, 1]);
        for window in &mut busy.rounds {
            window.load_cpu_ns = 9_900_000;
        }
        busy.rounds[1].foreign_cpu_ns = 1 << 40;
        busy.latency = Some(Latency { rate: 0, buckets: vec![(1, 1)] });
        let text = scenario(&result(vec![busy]), Style::Plain);
        assert!(text.contains("1 of 3 windows were disturbed"), "{text}");
        assert!(text.contains("the load is at its limit: compare CPU, not messages/s"), "{text}");
        assert!(text.contains("latencies: each message is sent when the last"), "{text}");
    }
}
