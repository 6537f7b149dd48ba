//! Tables: the targets, all servers in all scenarios, the counts, the raw figures.

use std::fmt::Write as _;

use super::super::figures::{cpu, load_share, memory_of, rate, server_share};
use super::super::plot::{gauge, theme::is_ours};
use super::super::stats::{self, Estimate};
use super::super::targets::{self, Row, Verdict};
use super::super::{Count, Report, ScenarioResult, ServerResult, Window, table, words};
use super::{anchor, escaped};
use crate::peer;

/// The class of a verdict's name.
pub(super) fn class_of(verdict: &str) -> &str {
    verdict.split(' ').next().unwrap_or(verdict)
}

pub(super) fn targets(report: &Report) -> String {
    let rows = targets::rows(report);
    let outside = targets::outside(&rows)
        .map_or_else(String::new, |line| format!("<p class=\"muted\">{}.</p>\n", escaped(&line)));
    let rows: Vec<Row> = rows.into_iter().filter(Row::is_part).collect();
    if rows.is_empty() {
        return outside;
    }
    let mut table = String::from(
        "<p class=\"muted\">Medians of paired rounds with their intervals. <b class=\"met\">met</b>: the whole interval is on \
         the right side; <b class=\"even\">even</b>: the interval holds the target; <b class=\"missed\">missed</b>: it \
         is on the wrong side; <b class=\"beyond\">beyond the machine</b>: so is what the hand-written server reaches in the same \
         run, and ours is not surely worse. In the drawing the upright line is the target, and left of it is better.</p>\n<div class=\"card\">\n<table class=\"targets\">\n<thead><tr><th>what</th><th>target</th>\
         <th>measured</th><th></th><th class=\"words\">verdict</th><th class=\"words\">how</th></tr></thead>\n<tbody>\n",
    );
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            let _ = writeln!(
                table,
                "<tr class=\"group\"><td colspan=\"6\">{}</td></tr>",
                escaped(group)
            );
        }
        table.push_str(&target(&row));
    }
    table.push_str("</tbody>\n</table>\n</div>\n");
    table + &outside
}

fn target(row: &Row) -> String {
    let verdict = row.verdict.name();
    let mark = match class_of(verdict) {
        "met" => "\u{2713}",
        "even" => "\u{2248}",
        "not" | "no" => "\u{2013}",
        _ => "\u{2717}",
    };
    let how = match (&row.verdict, row.reason()) {
        (Verdict::NotMeasured { .. }, Some(reason)) => escaped(&reason),
        (_, Some(reason)) => format!("{}<br>{}", escaped(&row.how), escaped(&reason)),
        (_, None) => escaped(&row.how),
    };
    format!(
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"verdict {}\">{mark} {verdict}</td>\
         <td class=\"words how\">{how}</td></tr>\n",
        escaped(row.case),
        escaped(&row.wanted()),
        escaped(&row.measured()),
        gauge(row).unwrap_or_default(),
        class_of(verdict),
    )
}

/// Servers down, scenarios across: CPU relative to the hand-written server; then over TLS, relative to tokio's.
pub(super) fn matrix(report: &Report) -> String {
    let beside = |limit: &str, words: &str| matrix_beside(report, limit, words);
    beside(peer::LIMIT, ", the hand-written server's,") + &beside(peer::TLS_LIMIT, "")
}

fn matrix_beside(report: &Report, limit: &str, words: &str) -> String {
    let scenarios: Vec<&ScenarioResult> = report
        .in_order()
        .into_iter()
        .filter(|scenario| {
            scenario.limit() == limit
                && scenario.servers.iter().any(|server| relative(scenario, server).is_some())
        })
        .collect();
    if scenarios.is_empty() {
        return String::new();
    }
    let mut table = format!(
        "<p class=\"muted\">CPU of the server per unit, as a multiple of {limit}'s{words} in the same \
         rounds. Less is better. A figure whose interval holds 1 is <i>even</i> and in italics; point at one to see its interval.</p>\n\
         <div class=\"card\"><table class=\"matrix\">\n<thead><tr><th>server</th>"
    );
    for scenario in &scenarios {
        let _ = write!(
            table,
            "<th class=\"slant\"><a href=\"#scenario-{}\">{}</a></th>",
            anchor(&scenario.name),
            escaped(&scenario.name)
        );
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    let there = |peer: &&str| scenarios.iter().any(|scenario| scenario.server(peer).is_some());
    for peer in peers(report).into_iter().filter(there) {
        let _ = write!(table, "<tr{}><td>{}</td>", ours(peer), escaped(peer));
        for scenario in &scenarios {
            let ratio = scenario.server(peer).and_then(|server| relative(scenario, server));
            table.push_str(&ratio.map_or_else(|| "<td>-</td>".to_owned(), |ratio| cell(&ratio)));
        }
        table.push_str("</tr>\n");
    }
    let _ = write!(
        table,
        "</tbody>\n</table></div>\n<p class=\"muted\">Each figure is {} among the raw figures.</p>\n",
        escaped(table::OF_RATIOS)
    );
    table
}

fn relative(scenario: &ScenarioResult, server: &ServerResult) -> Option<Estimate> {
    stats::paired(server, scenario.server(scenario.limit())?, Window::cpu_per_unit)
}

/// The warmer, the more; cool below 1. Eight times is as warm as it gets.
fn cell(ratio: &Estimate) -> String {
    let doublings = ratio.median.log2().clamp(-1.0, 3.0);
    let (hue, share) =
        if doublings < 0.0 { ("calm", -doublings * 50.0) } else { ("heat", doublings * 20.0) };
    let text = words::times(ratio.median);
    let even = ratio.verdict() == stats::Verdict::Even && ratio.low < ratio.high;
    let text = if even { format!("<i>{text}</i>") } else { text };
    format!(
        "<td style=\"background:color-mix(in srgb,var(--{hue}) {share:.0}%,transparent)\" title=\"{}\">{text}</td>",
        escaped(&words::ratio(ratio))
    )
}

/// All servers of the report, in the order in which they appear.
fn peers(report: &Report) -> Vec<&str> {
    let mut peers: Vec<&str> = Vec::new();
    for server in report.scenarios.iter().flat_map(|scenario| &scenario.servers) {
        if !peers.contains(&server.peer.as_str()) {
            peers.push(&server.peer);
        }
    }
    let place = |peer: &str| crate::peer::ALL.iter().position(|known| known.name == peer);
    peers.sort_by_key(|peer| place(peer).unwrap_or(usize::MAX));
    peers
}

fn ours(peer: &str) -> &'static str {
    if is_ours(peer) { " class=\"ours\"" } else { "" }
}

pub(super) fn counts(report: &Report) -> String {
    if report.counts.is_empty() {
        return String::new();
    }
    let mut out = String::from(
        "<p class=\"muted\">Per unit of the scenario: what a long run counts more than a short one. Instructions of user space and \
         allocations by callgrind, system calls by strace; copies of each byte of payload in user space by dhat.</p>\n",
    );
    let mut scenarios: Vec<&str> = Vec::new();
    for count in &report.counts {
        if !scenarios.contains(&count.scenario.as_str()) {
            scenarios.push(&count.scenario);
        }
    }
    for scenario in scenarios {
        let of: Vec<&Count> =
            report.counts.iter().filter(|count| count.scenario == scenario).collect();
        let _ = write!(
            out,
            "<div class=\"card\"><h3>{}</h3>\n{}</div>\n",
            escaped(scenario),
            counted(&of)
        );
    }
    out
}

fn counted(counts: &[&Count]) -> String {
    let mut peers: Vec<&str> = Vec::new();
    let mut whats: Vec<&str> = Vec::new();
    for count in counts {
        if !peers.contains(&count.peer.as_str()) {
            peers.push(&count.peer);
        }
        if !whats.contains(&count.what.as_str()) {
            whats.push(&count.what);
        }
    }
    let mut table = String::from("<table><thead><tr><th>server</th>");
    for what in &whats {
        let _ = write!(table, "<th>{}</th>", escaped(what));
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    for peer in peers {
        let _ = write!(table, "<tr{}><td>{}</td>", ours(peer), escaped(peer));
        for what in &whats {
            let found = counts.iter().find(|count| count.peer == peer && count.what == *what);
            let text = found.map_or_else(|| "-".to_owned(), |count| words::count(count.per_unit));
            let _ = write!(table, "<td>{text}</td>");
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody></table>\n");
    table
}

pub(super) fn raw(report: &Report) -> String {
    report
        .in_order()
        .into_iter()
        .map(|scenario| {
            format!(
                "<details><summary>{}: {} servers</summary>\n<div class=\"card\">{}</div></details>\n",
                escaped(&scenario.name),
                scenario.servers.len(),
                figures(scenario)
            )
        })
        .collect()
}

fn figures(scenario: &ScenarioResult) -> String {
    let mut table = format!(
        "<table><thead><tr><th>server</th><th>connections</th><th>rounds</th><th>units</th><th>CPU per {0}</th><th>{1} a second</th>\
         <th>server busy</th><th>load busy</th><th>others' CPU</th><th>50 %</th><th>99 %</th><th>99.9 %</th><th>fresh</th><th>used</th></tr></thead>\n<tbody>\n",
        escaped(&scenario.unit),
        escaped(&words::plural(&scenario.unit))
    );
    for server in &scenario.servers {
        let _ = write!(table, "<tr{}><td>{}</td>", ours(&server.peer), escaped(&server.peer));
        for cell in cells(server) {
            let _ = write!(table, "<td>{}</td>", escaped(&cell));
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody></table>\n");
    table
}

fn cells(server: &ServerResult) -> [String; 13] {
    let none = || "-".to_owned();
    let between = |estimate: Option<Estimate>, show: fn(f64) -> String| {
        estimate.map_or_else(none, |e| {
            format!("{} ({} to {})", show(e.median), show(e.low), show(e.high))
        })
    };
    let units: u64 = server.rounds.iter().map(|window| window.units).sum();
    let foreign: u64 = server.rounds.iter().map(|window| window.foreign_cpu_ns).sum();
    let tail = |share| {
        let nanos = server.latency.as_ref().and_then(|latency| latency.quantile(share));
        nanos.map_or_else(none, |nanos| words::time(nanos as f64))
    };
    let percent =
        |share: Option<f64>| share.map_or_else(none, |share| format!("{:.0} %", share * 100.0));
    let memory = memory_of(server);
    let bytes =
        |bytes: Option<f64>| bytes.map_or_else(none, |b| format!("{} B", words::thousands(b)));
    [
        server.connections.to_string(),
        server.rounds.len().to_string(),
        words::thousands(units as f64),
        between(cpu(server), words::micros),
        between(rate(server), words::thousands),
        percent(server_share(server)),
        percent(load_share(server)),
        words::time(foreign as f64),
        tail(0.5),
        tail(0.99),
        tail(0.999),
        bytes(memory.map(|memory| memory.0)),
        bytes(memory.map(|memory| memory.1)),
    ]
}
