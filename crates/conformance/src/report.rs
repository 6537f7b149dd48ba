//! What was found: [`Violation`] and [`Report`].

use std::fmt::{self, Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Invariant;

/// One rule that was broken, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// Which rule.
    pub invariant: Invariant,
    /// The scenario in which it was seen; empty until the scenario is over.
    pub scenario: &'static str,
    /// What was expected.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl Violation {
    /// A violation, for whoever writes further scenarios.
    pub fn new(invariant: Invariant, expected: impl Display, got: impl Display) -> Violation {
        let (expected, got) = (expected.to_string(), got.to_string());
        Violation { invariant, scenario: "", expected, got }
    }
}

/// The name of the rule, the rule, and what came instead.
impl Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, rule) = (self.invariant.name(), self.invariant.statement());
        writeln!(f, "{name}: {rule}")?;
        writeln!(f, "  scenario: {}", self.scenario)?;
        writeln!(f, "  expected: {}", self.expected)?;
        write!(f, "  got:      {}", self.got)
    }
}

impl std::error::Error for Violation {}

/// What a check found. A scenario ends at its first violation, the others go on.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Report {
    passed: Vec<&'static str>,
    skipped: Vec<(&'static str, &'static str)>,
    violations: Vec<Violation>,
}

impl Report {
    /// The rules that were broken.
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The scenarios that found nothing.
    pub fn passed(&self) -> &[&'static str] {
        &self.passed
    }

    /// The scenarios that could not be played, and which ability was missing.
    pub fn skipped(&self) -> &[(&'static str, &'static str)] {
        &self.skipped
    }

    /// No rule was broken.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }

    /// This rule was seen broken.
    pub fn names(&self, invariant: Invariant) -> bool {
        self.violations.iter().any(|violation| violation.invariant == invariant)
    }

    /// # Panics
    /// With all violations, when there is one.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    /// Plays one scenario and keeps what became of it. A panic in it is a violation too.
    pub(crate) fn play(&mut self, scenario: &'static str, play: impl FnOnce() -> Played) {
        let outcome = catch_unwind(AssertUnwindSafe(play)).unwrap_or_else(|panic| {
            Err(Violation::new(Invariant::NoPanic, "no panic", text_of(&*panic)))
        });
        match outcome {
            Ok(Outcome::Passed) => self.passed.push(scenario),
            Ok(Outcome::Skipped(why)) => self.skipped.push((scenario, why)),
            Err(violation) => self.violations.push(Violation { scenario, ..violation }),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, skipped) = (self.passed.len(), self.skipped.len());
        let all = passed + skipped + self.violations.len();
        write!(f, "{} of {all} scenarios found a rule broken", self.violations.len())?;
        for violation in &self.violations {
            write!(f, "\n{violation}")?;
        }
        for (scenario, why) in &self.skipped {
            write!(f, "\nskipped: {scenario}: {why}")?;
        }
        Ok(())
    }
}

/// How a scenario ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    Passed,
    /// For want of this ability.
    Skipped(&'static str),
}

pub(crate) type Played = Result<Outcome, Violation>;

/// A step of a scenario.
pub(crate) type Step<T = ()> = Result<T, Violation>;

/// Goes on only if it is so.
pub(crate) fn ensure(
    is_so: bool,
    invariant: Invariant,
    expected: impl Display,
    got: impl Display,
) -> Step {
    if is_so { Ok(()) } else { Err(Violation::new(invariant, expected, got)) }
}

/// Goes on only if they are equal.
pub(crate) fn ensure_eq<T: PartialEq + Debug>(invariant: Invariant, expected: T, got: T) -> Step {
    let is_so = expected == got;
    ensure(is_so, invariant, format_args!("{expected:?}"), format_args!("{got:?}"))
}

/// Goes on only with a success.
pub(crate) trait OrViolation<T> {
    fn or_violation(self, invariant: Invariant, expected: impl Display) -> Step<T>;
}

impl<T, E: Display> OrViolation<T> for Result<T, E> {
    fn or_violation(self, invariant: Invariant, expected: impl Display) -> Step<T> {
        self.map_err(|error| Violation::new(invariant, expected, error))
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("a panic without a text").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_what_was_broken_what_passed_and_what_was_left_out() {
        let mut report = Report::default();
        report.play("good", || Ok(Outcome::Passed));
        report.play("left", || Ok(Outcome::Skipped("no half-close")));
        assert!(report.is_clean());
        report.assert_clean();
        report.play("bad", || {
            ensure_eq(Invariant::BytesInOrder, 1, 2)?;
            Ok(Outcome::Passed)
        });
        report.play("worse", || panic!("at {}", 7));
        assert!(report.names(Invariant::BytesInOrder) && report.names(Invariant::NoPanic));
        let text = report.to_string();
        for part in
            ["2 of 4", "socket/bytes-in-order", "expected: 1", "got:      at 7", "skipped: left"]
        {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(report.passed(), ["good"]);
    }
}
