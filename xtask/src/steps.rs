//! A list of named steps: each is announced, timed, and counted; a failure does not stop the ones after it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

pub(crate) struct Steps {
    title: &'static str,
    /// What a step is: the closing line counts them by this name.
    noun: &'static str,
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
    pub(crate) fn new(title: &'static str, noun: &'static str, expected: usize) -> Self {
        Self { title, noun, expected, done: Vec::new() }
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

    /// Prints the list and the closing line; the latter is the error when a step failed.
    pub(crate) fn finish(self) -> Result<(), String> {
        let (list, closing, failed) = self.report();
        println!("\n{list}");
        if failed > 0 {
            return Err(closing);
        }
        println!("{closing}");
        Ok(())
    }

    /// The list, the closing line, and how many failed.
    fn report(&self) -> (String, String, usize) {
        let mut list = String::new();
        for step in &self.done {
            let verdict = if step.result.is_ok() { "passed" } else { "FAILED" };
            let seconds = step.took.as_secs_f64();
            // Writing to a String can't fail.
            let _ = writeln!(list, "{verdict}  {seconds:>7.1} s  {}", step.name);
        }
        let failed = self.done.iter().filter(|step| step.result.is_err()).count();
        let passed = self.done.len() - failed;
        let Self { title, noun, .. } = self;
        (list, format!("{title}: {passed} {noun} passed, {failed} failed"), failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_counted_and_the_next_one_runs() {
        let mut steps = Steps::new("made up", "steps", 2);
        steps.step("one", || Err("no".to_owned()));
        let mut ran = false;
        steps.step("two", || {
            ran = true;
            Ok(())
        });
        let (list, _, failed) = steps.report();
        assert!(ran && failed == 1);
        assert!(list.starts_with("FAILED"), "{list}");
        assert_eq!(steps.finish(), Err("made up: 1 steps passed, 1 failed".to_owned()));
    }
}
