//! Whether a row belongs to a run at all: one of some scenarios, or without counts, is not to blame for the rest of the table.

use super::super::{Report, SMALL_BENCHES};
use super::table::Measure;
use super::{Row, Verdict};

/// A part of the whole that a run can be made without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Part {
    /// A scenario that was not asked for.
    Scenario,
    /// A peer that was not asked for.
    Peer,
    /// Counts: they were not asked for, or a quick run does not make this one.
    Count,
    /// The small benches, which criterion runs by itself.
    Micro,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Scenario => "other scenarios",
            Self::Peer => "other peers",
            Self::Count => "counts",
            Self::Micro => "small benches (cargo bench)",
        }
    }
}

/// "57 rows of other scenarios and counts were not part of this run"; nothing if all were.
#[must_use]
pub fn outside(rows: &[Row]) -> Option<String> {
    let part = |row: &Row| match row.verdict {
        Verdict::Outside { part } => Some(part),
        _ => None,
    };
    let mut parts: Vec<Part> = rows.iter().filter_map(part).collect();
    let count = parts.len();
    parts.sort_unstable();
    parts.dedup();
    let mut names: Vec<&str> = parts.into_iter().map(Part::name).collect();
    let last = names.pop()?;
    let names =
        if names.is_empty() { last.to_owned() } else { format!("{} and {last}", names.join(", ")) };
    let (noun, verb) = if count == 1 { ("row", "was") } else { ("rows", "were") };
    Some(format!("{count} {noun} of {names} {verb} not part of this run"))
}

impl Measure {
    /// The part that it has no figure for want of, where the run was made without; nothing where it should have been measured.
    pub(super) fn outside(&self, report: &Report) -> Option<Part> {
        match *self {
            Self::Cpu { scenario, peer, other } | Self::Rate { scenario, peer, other } => {
                timed(report, &[scenario], &[peer, other])
            }
            Self::Gain { scenario, peer, base } => timed(report, &[scenario], &[peer, base]),
            Self::Growth { peer, scenario, base } | Self::Tail { peer, scenario, base } => {
                timed(report, &[scenario, base], &[peer])
            }
            // Either of the two has a figure.
            Self::Idle { peer } => {
                timed(report, &["idle"], &[peer]).and(timed(report, &["idle-1000"], &[peer]))
            }
            Self::SecureIdle { peer, other } => {
                timed(report, &["tls-idle", "tls-idle-1000"], &[peer, other])
            }
            Self::Count { scenario, peer, what } => counted(report, scenario, peer, what),
            Self::Micro { .. } => {
                let is_there =
                    !report.micro.is_empty() || report.why_skipped(SMALL_BENCHES).is_some();
                (!is_there).then_some(Part::Micro)
            }
        }
    }
}

fn timed(report: &Report, scenarios: &[&str], peers: &[&str]) -> Option<Part> {
    let left_out = |name: &str| report.why_skipped(name).is_some();
    let failed =
        |scenario: &str| peers.iter().any(|peer| left_out(&format!("{peer} in {scenario}")));
    // A scenario that was asked for has a result even if no server got that far.
    let is_other = |scenario: &&str| {
        report.scenario(scenario).is_none() && !left_out(scenario) && !failed(scenario)
    };
    if scenarios.iter().any(is_other) {
        return Some(Part::Scenario);
    }
    peers.iter().any(|peer| is_other_peer(report, peer)).then_some(Part::Peer)
}

/// Whoever was asked for has a version, or is told to be left out.
fn is_other_peer(report: &Report, peer: &str) -> bool {
    let within = format!("{peer} in ");
    !report.versions.contains_key(peer)
        && !report.skipped.iter().any(|skip| skip.what == peer || skip.what.starts_with(&within))
}

fn counted(report: &Report, scenario: &str, peer: &str, what: &str) -> Option<Part> {
    let failed = |what: &str| {
        what == "counts"
            || what.starts_with("counts: ") && what.ends_with(&format!(" in {scenario}"))
    };
    let is_counted = report.counts.iter().any(|count| count.scenario == scenario)
        || report.why_skipped(tool_of(what)).is_some()
        || report.skipped.iter().any(|skip| failed(&skip.what));
    if !is_counted {
        return Some(Part::Count);
    }
    is_other_peer(report, peer).then_some(Part::Peer)
}

/// What is told to be left out when the program that counts this does not work.
pub(super) fn tool_of(what: &str) -> &'static str {
    match what {
        "instructions" | "allocations" | "copies" => "counts: valgrind",
        _ => "counts: strace",
    }
}
