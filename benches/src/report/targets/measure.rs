//! Finds a target's figure in a report: its value, what the limit has in its place, how it was measured; or why there is none.

use super::super::figures::{exact, load_saturated, load_share, memory_of};
use super::super::stats::{Estimate, paired, paired_tails};
use super::super::{Report, SMALL_BENCHES, ServerResult, Window, words};
use super::outside::tool_of;
use super::table::Measure;
use crate::peer::{LIMIT, LIMIT_SPIN};

/// What was found.
pub(super) struct Found {
    pub(super) value: Result<Estimate, String>,
    /// The same figure of the hand-written server, where it has one.
    pub(super) limit: Option<Estimate>,
    pub(super) how: String,
    /// What a reader has to know to judge it.
    pub(super) note: String,
}

impl Measure {
    pub(super) fn find(&self, report: &Report) -> Found {
        match *self {
            Self::Cpu { scenario, peer, other } => Found {
                value: pair(report, scenario, peer, other).and_then(|(one, two)| {
                    paired(one, two, Window::cpu_per_unit).ok_or_else(no_round)
                }),
                limit: None,
                how: format!("{scenario}, paired by round"),
                note: against_best(report, [scenario, peer, other], Window::cpu_per_unit)
                    .unwrap_or_default(),
            },
            Self::Rate { scenario, peer, other } => found_rate(report, scenario, peer, other),
            Self::Gain { scenario, peer, base } => found_gain(report, scenario, peer, base),
            Self::Count { scenario, peer, what } => {
                let get = |peer: &str| report.count(peer, scenario, what).map(exact);
                let missing = || {
                    let name = format!("{peer} in {scenario}");
                    why_not(report, &[&format!("counts: {name}"), tool_of(what), "counts", peer])
                        .unwrap_or_else(|| format!("{what} of {name} not counted"))
                };
                Found {
                    value: get(peer).ok_or_else(missing),
                    limit: get(LIMIT),
                    how: counted(what, scenario),
                    note: beside(report, what, scenario),
                }
            }
            Self::Idle { peer } => found_idle(report, peer),
            Self::SecureIdle { peer, other } => found_secure_idle(report, peer, other),
            Self::Growth { peer, scenario, base } => {
                // The runner takes turns between these two as it does between servers.
                let ratio =
                    |one: &ServerResult, two: &ServerResult| paired(one, two, Window::cpu_per_unit);
                across(report, [peer, scenario, base], "CPU per message", ratio)
            }
            Self::Tail { peer, scenario, base } => {
                across(report, [peer, scenario, base], "99th percentile of latency", tails)
            }
            Self::Micro { group, other } => found_micro(report, group, other),
        }
    }
}

/// What a connection adds: between few and many of them where both were measured, so that what a server has once (its code, its
/// pool of blocks) is not taken for a connection's.
fn found_idle(report: &Report, peer: &str) -> Found {
    let alone = |scenario: &str, peer: &str| {
        let server = report.server(scenario, peer)?;
        memory_of(server).map(|(_, used)| used)
    };
    let each = |peer: &str| {
        let grown = grown(report, ["idle-1000", "idle"], peer);
        grown.or_else(|| alone("idle", peer)).or_else(|| alone("idle-1000", peer))
    };
    let both = report.server("idle-1000", peer).is_some() && report.server("idle", peer).is_some();
    let shared = alone("idle", peer).filter(|shared| both && shared.is_finite());
    Found {
        value: each(peer).map(exact).ok_or_else(|| missing(report, "idle", peer)),
        limit: each(LIMIT).map(exact),
        how: if both {
            "resident set after one echo on each: from 1,000 to 10,000 connections".to_owned()
        } else {
            "resident set after one echo on each".to_owned()
        },
        note: shared.map_or_else(String::new, |shared| {
            format!("{shared:.0} B with a share of what it has once, as in the tables")
        }),
    }
}

/// What a connection adds, from a few to many.
fn grown(report: &Report, [few, many]: [&str; 2], peer: &str) -> Option<f64> {
    let used = |scenario: &str| {
        let server = report.server(scenario, peer)?;
        Some((server.memory?.used as f64, server.connections as f64))
    };
    let ((few_bytes, few), (bytes, many)) = (used(few)?, used(many)?);
    (many > few).then(|| (bytes - few_bytes) / (many - few))
}

fn found_secure_idle(report: &Report, peer: &str, other: &str) -> Found {
    let each = |peer: &str| {
        let grown = grown(report, ["tls-idle-1000", "tls-idle"], peer);
        grown.ok_or_else(|| missing(report, "tls-idle", peer))
    };
    let both = each(peer).and_then(|ours| Ok((ours, each(other)?)));
    let note = both.as_ref().map_or_else(
        |_| String::new(),
        |(ours, theirs)| {
            let [ours, theirs] = [*ours, *theirs].map(words::thousands);
            format!("{ours} B, {other} {theirs} B")
        },
    );
    Found {
        value: both.map(|(ours, theirs)| exact(ours / theirs)),
        limit: None,
        how: "resident set after one echo on each: from 1,000 to 5,000 connections".to_owned(),
        note,
    }
}

fn found_rate(report: &Report, scenario: &str, peer: &str, other: &str) -> Found {
    let pair = pair(report, scenario, peer, other);
    let saturated = match &pair {
        Ok((one, _)) if load_saturated(one) => Some(format!(
            "the load used {:.0} % of its core: the server could do more",
            load_share(one).unwrap_or(0.0) * 100.0
        )),
        _ => None,
    };
    let best = against_best(report, [scenario, peer, other], Window::throughput);
    let note = saturated.into_iter().chain(best).collect::<Vec<_>>().join("; ");
    Found {
        value: pair
            .and_then(|(one, two)| paired(one, two, Window::throughput).ok_or_else(no_round)),
        limit: None,
        how: format!("{scenario}, paired by round"),
        note,
    }
}

/// What the option brings to the hand-written server is measured as it is of ours, in the same rounds.
fn found_gain(report: &Report, scenario: &str, peer: &str, base: &str) -> Found {
    let by_hand = pair(report, scenario, LIMIT_SPIN, LIMIT).ok();
    let limit = by_hand.and_then(|(with, without)| paired(with, without, Window::throughput));
    Found { limit, ..found_rate(report, scenario, peer, base) }
}

fn found_micro(report: &Report, group: &str, other: &str) -> Found {
    let value = match (report.micro(group, "millrun"), report.micro(group, other)) {
        (Some(ours), Some(theirs)) => Ok(ours.over(&theirs)),
        _ if report.micro.is_empty() => {
            let why = report.why_skipped(SMALL_BENCHES);
            Err(why.map_or_else(|| "criterion was not run: cargo bench".to_owned(), str::to_owned))
        }
        (None, _) => Err(format!("criterion has no {group} of millrun")),
        (_, None) => Err(format!("criterion has no {group} of {other}")),
    };
    let how = format!("criterion: {group}");
    let best = format!("{other} best");
    let note = report.micro(group, "millrun").zip(report.micro(group, &best));
    let note = note.and_then(|(ours, theirs)| against(&best, ours.over(&theirs)));
    Found { value, limit: None, how, note: note.unwrap_or_default() }
}

/// The same against the best program of a peer whose idiomatic one the target names, where there is one: what of the figure is
/// the peer, and what is how it is mostly used.
fn against_best(
    report: &Report,
    [scenario, peer, other]: [&str; 3],
    figure: fn(&Window) -> f64,
) -> Option<String> {
    let best = format!("{other}-best");
    let (one, two) = (report.server(scenario, peer)?, report.server(scenario, &best)?);
    against(&best, paired(one, two, figure)?)
}

fn against(name: &str, ratio: Estimate) -> Option<String> {
    let finite = [ratio.median, ratio.low, ratio.high].iter().all(|part| part.is_finite());
    finite.then(|| format!("against {name} {}", words::ratio(&ratio)))
}

/// What stands beside a count: tokio's instructions, which the targets were set by; or that it is not quite free of time, namely
/// how many events a wait brings.
fn beside(report: &Report, what: &str, scenario: &str) -> String {
    match (what, scenario) {
        ("instructions", _) => report
            .count("tokio", scenario, what)
            .filter(|count| count.is_finite())
            .map_or_else(String::new, |count| format!("tokio has {count:.0}")),
        ("syscalls", "echo-64") => {
            "slowed by strace, a wait brings more than it does untraced".to_owned()
        }
        _ => String::new(),
    }
}

/// By round where both have rounds; else the quotient of all their messages' percentiles.
fn tails(one: &ServerResult, two: &ServerResult) -> Option<Estimate> {
    paired_tails(one, two).or_else(|| {
        let tail = |server: &ServerResult| server.latency.as_ref()?.quantile(0.99);
        Some(exact(tail(one)? as f64 / tail(two)? as f64))
    })
}

/// One server's figure in a scenario over its figure in another, and the hand-written server's beside it.
fn across(
    report: &Report,
    [peer, scenario, base]: [&str; 3],
    what: &str,
    figure: impl Fn(&ServerResult, &ServerResult) -> Option<Estimate>,
) -> Found {
    let get = |scenario: &str, peer: &str| {
        report.server(scenario, peer).ok_or_else(|| missing(report, scenario, peer))
    };
    let ratio = |peer: &str| {
        let ratio = figure(get(scenario, peer)?, get(base, peer)?);
        ratio.filter(|ratio| ratio.median.is_finite()).ok_or_else(no_round)
    };
    let most = report.server(scenario, peer).map_or(0, |server| server.connections);
    let asked = crate::scenario::named(scenario).map_or(0, |scenario| scenario.connections);
    let note = if most > 0 && most < asked {
        format!("{most} connections only: descriptors are short")
    } else {
        String::new()
    };
    Found {
        value: ratio(peer),
        limit: ratio(LIMIT).ok(),
        how: format!("{scenario} / {base}: {what}, paired by round"),
        note,
    }
}

fn pair<'a>(
    report: &'a Report,
    scenario: &str,
    peer: &str,
    other: &str,
) -> Result<(&'a ServerResult, &'a ServerResult), String> {
    let get =
        |peer: &str| report.server(scenario, peer).ok_or_else(|| missing(report, scenario, peer));
    Ok((get(peer)?, get(other)?))
}

fn counted(what: &str, scenario: &str) -> String {
    let tool = match what {
        "instructions" | "allocations" => "callgrind",
        "copies" => "valgrind's dhat",
        _ => "strace",
    };
    format!("{scenario}: {tool}")
}

/// Why there is no figure of a peer in a scenario.
fn missing(report: &Report, scenario: &str, peer: &str) -> String {
    let both = format!("{peer} in {scenario}");
    why_not(report, &[&both, peer, scenario]).unwrap_or_else(|| {
        if report.scenario(scenario).is_none() {
            format!("{scenario} was not run")
        } else {
            format!("{peer} was not measured in {scenario}")
        }
    })
}

fn why_not(report: &Report, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| Some(format!("{name}: {}", report.why_skipped(name)?)))
}

fn no_round() -> String {
    "no round that can be compared".to_owned()
}
