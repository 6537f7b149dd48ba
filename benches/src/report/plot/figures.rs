//! What is plotted, from a report.

use super::super::figures::{cpu as cpu_of, load_saturated, memory_of, rate as rate_of};
use super::super::stats::{self, Estimate};
use super::super::{Latency, Report, ScenarioResult, ServerResult, Window};
use super::bars::{Bar, Bars};
use super::lines::{Line, Lines};
use crate::peer::LIMIT;
use crate::report::words;

/// A bar of CPU relative to the limit is cut here: what is next to 1 is to be seen. Where that would cut more than a third of them,
/// at the second.
const MOST_RELATIVE: [f64; 2] = [4.0, 16.0];

/// CPU for each unit relative to the hand-written server, over TLS to tokio's; in microseconds where that one was not measured.
pub(crate) fn cpu(scenario: &ScenarioResult) -> Option<String> {
    let relative = scenario.server(scenario.limit()).filter(|limit| cpu_of(limit).is_some());
    let bars = bars(scenario, |server| match relative {
        Some(limit) => {
            let ratio = stats::paired(server, limit, Window::cpu_per_unit)?;
            Some((ratio, words::ratio(&ratio)))
        }
        None => cpu_of(server).map(|cpu| (cpu, words::micros(cpu.median))),
    });
    let [near, far] = MOST_RELATIVE;
    let cut = bars.iter().filter(|bar| bar.value.median > near).count();
    let cap = if cut * 3 > bars.len() { far } else { near };
    let unit = &scenario.unit;
    let axis = match relative {
        Some(limit) if limit.peer != LIMIT => {
            format!("times the CPU of {} per {unit}, paired by round", limit.peer)
        }
        Some(_) => format!("times the hand-written server's CPU per {unit}, paired by round"),
        None => format!("microseconds of CPU per {unit}"),
    };
    Bars {
        title: format!("{}: server CPU per {unit}", scenario.name),
        axis,
        log: false,
        cap: if relative.is_some() { cap } else { f64::INFINITY },
        reference: relative.map(|_| 1.0),
        bars,
        tick: words::short,
        less_is_better: true,
    }
    .svg()
}

/// Units a second.
pub(crate) fn throughput(scenario: &ScenarioResult) -> Option<String> {
    let bars = bars(scenario, |server| {
        let rate = rate_of(server)?;
        let mark = if load_saturated(server) { " *" } else { "" };
        Some((rate, format!("{}/s{mark}", words::thousands(rate.median))))
    });
    let starred = if scenario.servers.iter().any(load_saturated) {
        "   * the load's core was full: not the server's limit"
    } else {
        ""
    };
    Bars {
        title: format!("{}: throughput", scenario.name),
        axis: format!("{} a second{starred}", words::plural(&scenario.unit)),
        log: false,
        cap: f64::INFINITY,
        reference: None,
        bars,
        tick: words::short,
        less_is_better: false,
    }
    .svg()
}

/// Resident bytes for each connection, after one echo on it.
pub(crate) fn memory(scenario: &ScenarioResult) -> Option<String> {
    let bars = bars(scenario, |server| {
        let (_, used) = memory_of(server)?;
        // No growth at all is a bar without length; a logarithm knows no nothing.
        let shown = super::super::figures::exact(used.max(1.0));
        Some((shown, format!("{} B", words::thousands(used))))
    });
    Bars {
        title: format!("{}: resident memory per connection", scenario.name),
        axis: "bytes per connection after one echo on each, logarithmic".to_owned(),
        log: true,
        cap: f64::INFINITY,
        reference: None,
        bars,
        tick: words::short,
        less_is_better: true,
    }
    .svg()
}

fn bars(
    scenario: &ScenarioResult,
    figure: impl Fn(&ServerResult) -> Option<(Estimate, String)>,
) -> Vec<Bar> {
    let bar = |server: &ServerResult| {
        let (value, text) = figure(server)?;
        Some(Bar { peer: server.peer.clone(), value, text })
    };
    scenario.servers.iter().filter_map(bar).collect()
}

/// Shares of messages at which a curve has its points: evenly by the logarithm of what is above.
const NINES: f64 = 5.0;

/// Time by percentile, of all servers.
pub(crate) fn latency(scenario: &ScenarioResult) -> Option<String> {
    let latencies =
        || scenario.servers.iter().filter_map(|server| Some((server, server.latency.as_ref()?)));
    let most = shown(latencies().map(|(_, latency)| latency));
    let rate = latencies().map(|(_, latency)| latency.rate).max()?;
    let how = if rate > 0 {
        format!(
            "at {} a second, from when each was due (corrected for coordinated omission)",
            words::count(rate as f64)
        )
    } else {
        "each connection sends when it has its reply (closed loop, not corrected)".to_owned()
    };
    let marks = [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")];
    let marks = marks.into_iter().chain([(0.9999, "99.99 %"), (0.99999, "99.999 %")]);
    Lines {
        title: format!("{}: latency by percentile", scenario.name),
        across: format!("share of the messages that were at least so fast; {how}"),
        up: "time, logarithmic".to_owned(),
        marks: marks.map(|(share, name)| (nines(share), name.to_owned())).collect(),
        log_across: false,
        log_up: true,
        lines: latencies()
            .map(|(server, latency)| Line {
                peer: server.peer.clone(),
                points: curve(latency, most),
            })
            .collect(),
        tick: words::short_time,
        dots: false,
    }
    .svg()
}

/// How many nines can be shown: up to the percentile that ten messages of each server are above. Further out is chance.
fn shown<'a>(latencies: impl Iterator<Item = &'a Latency>) -> f64 {
    let counts = latencies.map(Latency::count).filter(|count| *count > 0);
    let least = counts.min().unwrap_or(0) as f64;
    (least / 10.0).log10().clamp(0.3, NINES)
}

/// A point for each fortieth of a nine.
fn curve(latency: &Latency, most: f64) -> Vec<(f64, f64)> {
    let steps = (most * 40.0).round() as u32;
    let point = |step: u32| {
        let at = most * f64::from(step) / f64::from(steps);
        Some((at, latency.quantile(1.0 - 10_f64.powf(-at))? as f64))
    };
    (0..=steps).filter_map(point).collect()
}

/// How many nines a share has: 0.99 is 2.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

/// Echoes of 1 KiB that differ in their connections alone.
const SCALING: [&str; 4] = ["echo-1", "echo-64", "echo-1000", "echo-8000"];

/// CPU for each message by the number of connections; nothing if there is one number only.
pub(crate) fn scaling(report: &Report) -> Option<String> {
    let found: Vec<&ScenarioResult> =
        SCALING.iter().filter_map(|name| report.scenario(name)).collect();
    let mut lines: Vec<Line> = Vec::new();
    let mut counts: Vec<usize> = Vec::new();
    for server in found.iter().flat_map(|scenario| &scenario.servers) {
        let Some(cpu) = cpu_of(server) else { continue };
        let point = (server.connections.max(1) as f64, cpu.median);
        counts.push(server.connections.max(1));
        match lines.iter_mut().find(|line| line.peer == server.peer) {
            Some(line) => line.points.push(point),
            None => lines.push(Line { peer: server.peer.clone(), points: vec![point] }),
        }
    }
    counts.sort_unstable();
    counts.dedup();
    if counts.len() < 2 {
        return None;
    }
    for line in &mut lines {
        line.points.sort_by(|one, other| one.0.total_cmp(&other.0));
    }
    let mark = |count: &usize| (*count as f64, words::count(*count as f64));
    Lines {
        title: "1 KiB echoes: CPU per message as connections grow".to_owned(),
        across: "connections, logarithmic".to_owned(),
        up: "microseconds of server CPU per message, logarithmic".to_owned(),
        marks: counts.iter().map(mark).collect(),
        log_across: true,
        log_up: true,
        lines,
        tick: words::short,
        dots: true,
    }
    .svg()
}

/// A bar of the small benches is cut at so many times ours.
const MOST_OF_OURS: f64 = 8.0;

/// One question of criterion's: nanoseconds for each element.
pub(crate) fn micro(report: &Report, group: &str) -> Option<String> {
    let ours = report.micro(group, "millrun").filter(|ours| ours.median > 0.0);
    let bars = report.micro.iter().filter(|micro| micro.group == group).map(|micro| Bar {
        peer: micro.subject.clone(),
        value: Estimate {
            median: micro.nanos,
            low: micro.low,
            high: micro.high,
            rounds: 0,
            coverage: stats::COVERAGE,
        },
        text: words::time(micro.nanos),
    });
    Bars {
        title: group.to_owned(),
        axis: "nanoseconds for each".to_owned(),
        log: false,
        cap: ours.map_or(f64::INFINITY, |ours| ours.median * MOST_OF_OURS),
        reference: None,
        bars: bars.collect(),
        tick: words::short,
        less_is_better: true,
    }
    .svg()
}
