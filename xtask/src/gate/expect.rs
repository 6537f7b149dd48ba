//! What `xtask/gate.txt` expects, and how what was measured compares.

use super::Measures;

/// A count that no row names may be this far from never: one call of a thousand messages is a coincidence.
const NEVER: f64 = 0.02;

pub(super) const HEADING: &str =
    "shape      measure                    expected            measured   verdict";

pub(super) struct Row {
    pub(super) shape: String,
    pub(super) measure: String,
    expected: Expected,
}

enum Expected {
    Near { value: f64, tolerance: f64, percent: bool },
    AtMost(f64),
}

pub(super) struct Line {
    pub(super) text: String,
    pub(super) passed: bool,
}

/// Rows of `shape measure = value +- tolerance[%]` or `shape measure <= value`; `#` starts a comment.
pub(super) fn parse(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = match words.as_slice() {
            [] => continue,
            [_, _, "=", value, "+-", tolerance] => near(value, tolerance),
            [_, _, "<=", value] => value.parse().ok().map(Expected::AtMost),
            _ => None,
        };
        let Some(expected) = expected else {
            let form = "`shape measure = value +- tolerance`, `shape measure <= value`";
            return Err(format!("{}: expected {form}, not `{}`", index + 1, line.trim()));
        };
        rows.push(Row { shape: words[0].to_owned(), measure: words[1].to_owned(), expected });
    }
    Ok(rows)
}

fn near(value: &str, tolerance: &str) -> Option<Expected> {
    let percent = tolerance.ends_with('%');
    let tolerance = tolerance.trim_end_matches('%').parse().ok()?;
    Some(Expected::Near { value: value.parse().ok()?, tolerance, percent })
}

/// One line for each row, and one for each count of a message that no row names.
pub(super) fn judge(shape: &str, rows: &[&Row], measured: &Measures) -> Vec<Line> {
    let mut lines: Vec<Line> = rows
        .iter()
        .map(|row| {
            let value = measured.get(&row.measure).copied();
            line(shape, &row.measure, &row.expected, value)
        })
        .collect();
    let never = Expected::Near { value: 0.0, tolerance: NEVER, percent: false };
    for (measure, value) in measured {
        let named = rows.iter().any(|row| row.measure == *measure);
        if !named && measure.ends_with("/message") && !never.holds(*value) {
            lines.push(line(shape, measure, &never, Some(*value)));
        }
    }
    lines
}

fn line(shape: &str, measure: &str, expected: &Expected, value: Option<f64>) -> Line {
    let passed = value.is_some_and(|value| expected.holds(value));
    let shown = value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let verdict = match (passed, value) {
        (true, _) => "ok",
        (false, None) => "NOT MEASURED",
        (false, Some(_)) => "FAILED",
    };
    let expected = expected.to_string();
    let text = format!("{shape:<10} {measure:<26} {expected:<17} {shown:>10}   {verdict}");
    Line { text, passed }
}

impl Expected {
    fn holds(&self, measured: f64) -> bool {
        match *self {
            Self::Near { value, tolerance, percent } => {
                let allowed = if percent { value * tolerance / 100.0 } else { tolerance };
                (measured - value).abs() <= allowed
            }
            Self::AtMost(most) => measured <= most,
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Near { value, tolerance, percent } => {
                write!(f, "{value} +- {tolerance}{}", if *percent { "%" } else { "" })
            }
            Self::AtMost(most) => write!(f, "<= {most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# all\none a/message = 100 +- 10% # why\none b/message = 1 +- 0.02\none c <= 5\n";

    fn verdicts(measured: &[(&str, f64)]) -> Vec<bool> {
        let rows = parse(TEXT).unwrap();
        let rows: Vec<&Row> = rows.iter().collect();
        let measured = measured.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        judge("one", &rows, &measured).iter().map(|line| line.passed).collect()
    }

    #[test]
    fn values_within_their_tolerance_pass() {
        let measured = [("a/message", 109.0), ("b/message", 0.99), ("c", -3.0)];
        assert_eq!(verdicts(&measured), [true, true, true]);
    }

    #[test]
    fn values_outside_fail_in_both_directions() {
        assert_eq!(
            verdicts(&[("a/message", 111.0), ("b/message", 0.9), ("c", 5.1)]),
            [false, false, false]
        );
        assert!(!verdicts(&[("a/message", 89.0), ("b/message", 1.0), ("c", 5.0)])[0]);
    }

    #[test]
    fn what_was_not_measured_fails() {
        assert_eq!(verdicts(&[("a/message", 100.0), ("b/message", 1.0)]), [true, true, false]);
    }

    #[test]
    fn a_count_that_no_row_names_fails_unless_it_is_nothing() {
        let rest = [("a/message", 100.0), ("b/message", 1.0), ("c", 5.0)];
        let with = |more: (&'static str, f64)| {
            let mut all = rest.to_vec();
            all.push(more);
            verdicts(&all)
        };
        assert_eq!(with(("futex/message", 0.5)), [true, true, true, false]);
        assert_eq!(with(("futex/message", 0.01)).len(), 3);
        assert_eq!(with(("accept/connection", 1.0)).len(), 3);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named() {
        let error = parse("one a = 1\n").err();
        assert!(error.is_some_and(|error| error.starts_with("1: expected")));
        assert!(parse("one a = x +- 1\n").is_err());
    }
}
