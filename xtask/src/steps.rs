//! A list of named steps: each is announced, timed, and counted; a failure does not stop the ones after it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

pub(crate) struct Steps {
    title: &'static str,
    expected: usize,
    done: Vec<Step>,
}

struct Step {
    name: String,
    took: Duration,
    result: Result<(), String>,
}

impl Steps {
    /// A list that will hold `expected` steps: the number is only for the progress lines.
    pub(crate) fn new(title: &'static str, expected: usize) -> Self {
        Self { title, expected, done: Vec::new() }
    }

    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result<(), String>) {
        let number = self.done.len() + 1;
        println!("\n[{} {number}/{}] {name}", self.title, self.expected);
        let start = Instant::now();
        let result = work();
        if let Err(why) = &result {
            println!("{why}");
        }
        self.done.push(Step { name: name.to_owned(), took: start.elapsed(), result });
    }

    /// Prints the list and the closing line; an error when a step failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        let (report, failed) = self.report();
        println!("\n{report}");
        if failed == 0 { Ok(()) } else { Err(format!("{}: {failed} steps failed", self.title)) }
    }

    fn report(&self) -> (String, usize) {
        let mut report = String::new();
        for step in &self.done {
            let verdict = if step.result.is_ok() { "passed" } else { "FAILED" };
            // Writing to a String can't fail.
            let _ =
                writeln!(report, "{verdict}  {:>7.1} s  {}", step.took.as_secs_f64(), step.name);
        }
        let failed = self.done.iter().filter(|step| step.result.is_err()).count();
        let passed = self.done.len() - failed;
        let _ = write!(report, "{}: {passed} passed, {failed} failed", self.title);
        (report, failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_counted_and_the_next_one_runs() {
        let mut steps = Steps::new("made up", 2);
        steps.step("one", || Err("no".to_owned()));
        let mut ran = false;
        steps.step("two", || {
            ran = true;
            Ok(())
        });
        let (report, failed) = steps.report();
        assert!(ran && failed == 1);
        assert!(report.ends_with("made up: 1 passed, 1 failed"), "{report}");
        assert!(steps.finish().is_err());
    }
}
