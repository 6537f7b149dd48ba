//! What came of it: [`Report`].

use std::fmt;

use super::{Call, Second, Target};

/// What [`everywhere`](super::everywhere) found.
#[derive(Debug)]
#[must_use = "a report that nobody reads finds nothing"]
pub struct Report {
    /// The scenario.
    pub name: String,
    /// Its calls, when nothing fails.
    pub calls: Vec<Call>,
    /// How many runs there were.
    pub runs: usize,
    /// The runs in which the outcome was the same all the same.
    pub unharmed: usize,
    /// What is wrong, a line for each run.
    pub problems: Vec<Problem>,
}

/// A run in which something is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// What failed in it; `None` for the run without a fault.
    pub target: Option<(Target, Call)>,
    /// What was wrong then.
    pub what: Vec<String>,
}

impl Report {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// # Panics
    /// When something is wrong, with the list of it.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { name, calls, runs, unharmed, problems } = self;
        write!(f, "{name}: {} calls, {runs} runs, {unharmed} unharmed", calls.len())?;
        write!(f, ", {} failures", problems.len())?;
        for problem in problems {
            write!(f, "\n{name}, {problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.target {
            None => f.write_str("without a fault:")?,
            Some((Target { at, fault, times, second }, call)) => {
                write!(f, "call {at} ({call:?}) with {}", fault.name())?;
                if times > 1 {
                    write!(f, ", {times} times")?;
                }
                if let Some(Second { at, draw }) = second {
                    write!(f, ", then call {at} with its fault {draw}")?;
                }
                f.write_str(":")?;
            }
        }
        for what in &self.what {
            write!(f, "\n    {}", what.replace('\n', "\n    "))?;
        }
        Ok(())
    }
}
