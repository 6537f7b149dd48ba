//! Each scenario with its plots; the small benches with theirs.

use std::fmt::Write as _;

use super::super::{Report, ScenarioResult, plot};
use super::{anchor, escaped};

pub(super) fn all(report: &Report) -> String {
    report.in_order().into_iter().map(one).collect()
}

fn one(scenario: &ScenarioResult) -> String {
    let mut card = format!(
        "<div class=\"card\" id=\"scenario-{}\">\n<h3>{}</h3>\n<p class=\"muted\">{}</p>\n<div class=\"plots\">\n",
        anchor(&scenario.name),
        escaped(&scenario.name),
        escaped(&scenario.about)
    );
    let plots = [plot::cpu(scenario), plot::throughput(scenario), plot::memory(scenario)];
    let mut shown = 0;
    for svg in plots.into_iter().flatten() {
        let _ = writeln!(card, "<div>{svg}</div>");
        shown += 1;
    }
    if let Some(svg) = plot::latency(scenario) {
        let _ = writeln!(card, "<div class=\"wide\">{svg}</div>");
        shown += 1;
    }
    if shown == 0 {
        card.push_str("<p>No server has a figure here.</p>\n");
    }
    card.push_str("</div>\n</div>\n");
    card
}

pub(super) fn micro(report: &Report) -> String {
    let mut groups: Vec<&str> = Vec::new();
    for micro in &report.micro {
        if !groups.contains(&micro.group.as_str()) {
            groups.push(&micro.group);
        }
    }
    let mut cards = String::new();
    for svg in groups.into_iter().filter_map(|group| plot::micro(report, group)) {
        let _ = writeln!(cards, "<div>{svg}</div>");
    }
    if cards.is_empty() {
        return cards;
    }
    format!(
        "<p class=\"muted\">By criterion, in one process each: the estimate and its 95 % interval.</p>\n\
         <div class=\"card\"><div class=\"plots\">\n{cards}</div></div>\n"
    )
}
