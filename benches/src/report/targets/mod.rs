//! What is to be reached, and whether it was: each line with its figure, how that was measured, and a verdict that the spread
//! allows.

mod disturbed;
mod measure;
mod outside;
mod table;

use std::fmt::Write as _;

use super::Report;
use super::stats::{Estimate, FEWEST};
pub use outside::{Part, outside};
use table::{Bound, Measure, Target};

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is a case of.
    pub group: &'static str,
    /// Which case: a layer, a column, who it is compared with.
    pub case: &'static str,
    /// The target's number, where one was set.
    pub target: Option<f64>,
    /// Whether the value is to be at most that; else at least.
    pub at_most: bool,
    /// What the number counts.
    pub unit: Unit,
    /// The value and its interval, if it was measured.
    pub value: Option<Estimate>,
    /// What the hand-written server has in its place, where that can be said: no stack can be expected to do better.
    pub limit: Option<Estimate>,
    /// What was measured, and how.
    pub how: String,
    /// What a reader has to know to judge it; often nothing.
    pub note: String,
    /// Whether it was reached.
    pub verdict: Verdict,
}

/// What a row's numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Unit {
    /// So many times the other.
    Ratio,
    /// So many per unit of the scenario.
    Count,
    /// Bytes.
    Bytes,
}

/// Whether a target was reached.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The whole interval is on the right side.
    Met,
    /// The interval holds the target: the noise is larger than the difference. Or the machine was not quiet, and nothing is concluded.
    Even,
    /// The whole interval is on the wrong side.
    Missed,
    /// The whole interval is on the wrong side, the hand-written server's is too, and ours is not surely the worse one.
    Beyond,
    /// There is a figure, and nothing that it is to reach.
    NoTarget,
    /// There is no figure.
    NotMeasured {
        /// Why.
        why: String,
    },
    /// There is no figure, and none was asked for.
    Outside {
        /// What the run was made without.
        part: Part,
    },
}

impl Verdict {
    /// In a word or two.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Even => "even",
            Self::Missed => "missed",
            Self::Beyond => "beyond the machine",
            Self::NoTarget => "no target",
            Self::NotMeasured { .. } => "not measured",
            Self::Outside { .. } => "not part of this run",
        }
    }
}

impl Row {
    /// The target with its operator.
    #[must_use]
    pub fn wanted(&self) -> String {
        let operator = if self.at_most { "<=" } else { ">=" };
        self.target.map_or_else(|| "-".to_owned(), |to| format!("{operator} {}", self.shown(to)))
    }

    /// The value with its interval.
    #[must_use]
    pub fn measured(&self) -> String {
        self.value.map_or_else(|| "-".to_owned(), |value| self.estimate(value))
    }

    /// A figure of this row with its interval.
    #[must_use]
    pub fn estimate(&self, value: Estimate) -> String {
        let middle = self.shown(value.median);
        let exact = value.low == value.high;
        if exact {
            return middle;
        }
        let (low, high) = (self.digits(value.low), self.digits(value.high));
        format!("{middle} ({low} to {high})")
    }

    /// A number of this row's unit.
    fn shown(&self, number: f64) -> String {
        let digits = self.digits(number);
        match self.unit {
            Unit::Ratio => format!("{digits} x"),
            Unit::Bytes => format!("{digits} B"),
            Unit::Count => digits,
        }
    }

    fn digits(&self, number: f64) -> String {
        match self.unit {
            Unit::Ratio => format!("{number:.2}"),
            _ if self.target.unwrap_or(number) >= 100.0 => format!("{number:.0}"),
            _ if number == number.round() => format!("{number:.0}"),
            _ => format!("{number:.3}"),
        }
    }
}

/// A count this near to the target is it: one call of thousands of messages is a coincidence.
const COINCIDENCE: f64 = 0.005;

/// Every target, in the order of the table.
#[must_use]
pub fn rows(report: &Report) -> Vec<Row> {
    table::ALL.iter().map(|target| row(target, report)).collect()
}

fn row(target: &Target, report: &Report) -> Row {
    let mut found = target.measure.find(report);
    if found.value.as_ref().is_ok_and(|value| !finite(value)) {
        found.value = Err("no figure: nothing was done, or in no time".to_owned());
    }
    let (bound, at_most) = match target.bound {
        Bound::AtMost(bound) => (Some(bound), true),
        Bound::AtLeast(bound) => (Some(bound), false),
        Bound::Unset => (None, true),
    };
    let unit = match target.measure {
        Measure::Count { .. } => Unit::Count,
        Measure::Idle { .. } => Unit::Bytes,
        _ => Unit::Ratio,
    };
    let slack = if unit == Unit::Count { COINCIDENCE } else { 0.0 };
    let limit = found.limit.filter(finite);
    let verdict = match (&found.value, bound) {
        (Err(why), _) => match target.measure.outside(report) {
            Some(part) => Verdict::Outside { part },
            None => Verdict::NotMeasured { why: why.clone() },
        },
        (Ok(_), None) => Verdict::NoTarget,
        (Ok(value), Some(bound)) => match judge(*value, bound, slack, at_most) {
            Verdict::Missed => beyond(*value, limit, bound, slack, at_most),
            other => other,
        },
    };
    let verdict = match (verdict, target.measure.disturbed(report)) {
        (Verdict::Met | Verdict::Missed | Verdict::Beyond, Some(why)) => {
            found.note = why;
            Verdict::Even
        }
        (verdict, _) => verdict,
    };
    Row {
        group: target.group,
        case: target.case,
        target: bound,
        at_most,
        unit,
        value: found.value.ok(),
        limit,
        how: found.how,
        note: found.note,
        verdict,
    }
}

fn finite(value: &Estimate) -> bool {
    [value.median, value.low, value.high].iter().all(|part| part.is_finite())
}

fn judge(value: Estimate, bound: f64, slack: f64, at_most: bool) -> Verdict {
    let (best, worst) = if at_most { (value.low, value.high) } else { (-value.high, -value.low) };
    let bound = slack + if at_most { bound } else { -bound };
    // A count has no rounds; what was measured is not concluded from so few.
    if (1..FEWEST).contains(&value.rounds) {
        return Verdict::Even;
    }
    if worst <= bound {
        Verdict::Met
    } else if best <= bound {
        Verdict::Even
    } else {
        Verdict::Missed
    }
}

/// What a missed target is: what the hand-written server misses too, the machine does not allow. But where ours is surely worse than
/// what the machine does allow, that is no excuse.
fn beyond(
    value: Estimate,
    limit: Option<Estimate>,
    bound: f64,
    slack: f64,
    at_most: bool,
) -> Verdict {
    let Some(limit) = limit else { return Verdict::Missed };
    let is_worse =
        if at_most { value.low > limit.high + slack } else { value.high < limit.low - slack };
    match judge(limit, bound, slack, at_most) {
        Verdict::Missed if !is_worse => Verdict::Beyond,
        _ => Verdict::Missed,
    }
}

/// How many rows have each verdict, in the order of [`Verdict`]; those with none, without a target, and those that
/// were not part of the run, left out.
#[must_use]
pub fn tally(rows: &[Row]) -> Vec<(&'static str, usize)> {
    let names = ["met", "even", "missed", "beyond the machine", "not measured"];
    let count = |name| rows.iter().filter(|row| row.verdict.name() == name).count();
    names.into_iter().map(|name| (name, count(name))).filter(|(_, count)| *count > 0).collect()
}

/// The table for a terminal; what was not part of the run is one line.
#[must_use]
pub fn text(report: &Report) -> String {
    let rows = rows(report);
    let mut out = String::new();
    let mut group = "";
    for row in rows.iter().filter(|row| row.is_part()) {
        if row.group != group {
            group = row.group;
            let _ = writeln!(out, "{group}");
        }
        let _ = write!(
            out,
            "  {:<44} {:>10}   {:<26} {}",
            row.case,
            row.wanted(),
            row.measured(),
            row.verdict.name()
        );
        if let Some(why) = row.reason() {
            let _ = write!(out, ": {why}");
        }
        out.push('\n');
    }
    let tally: Vec<String> =
        tally(&rows).into_iter().map(|(name, count)| format!("{count} {name}")).collect();
    if let Some(line) = outside(&rows) {
        let _ = writeln!(out, "{line}");
    }
    if !tally.is_empty() {
        let _ = writeln!(out, "targets: {}", tally.join(", "));
    }
    out
}

impl Row {
    /// Whether the run was to have a figure of it.
    #[must_use]
    pub fn is_part(&self) -> bool {
        !matches!(self.verdict, Verdict::Outside { .. })
    }

    /// What explains the verdict, if anything does.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let mut parts = Vec::new();
        if let Verdict::NotMeasured { why } = &self.verdict {
            parts.push(why.clone());
        }
        if let Some(rounds) =
            self.value.map(|value| value.rounds).filter(|r| (1..FEWEST).contains(r))
        {
            parts.push(format!("{rounds} rounds end in no conclusion"));
        }
        let is_plain = matches!(self.verdict, Verdict::Met | Verdict::NotMeasured { .. });
        if let (Some(limit), false) = (self.limit, is_plain) {
            parts.push(format!("hand-written epoll has {}", self.estimate(limit)));
        }
        if !self.note.is_empty() {
            parts.push(self.note.clone());
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}
