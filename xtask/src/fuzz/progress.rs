//! What libFuzzer prints: how far it is, and what failed.

use std::fmt;

/// Lines that are kept to show a failure: a panic, its stack, and the case.
const LINES_KEPT: usize = 1000;

#[derive(Default)]
pub(super) struct Progress {
    runs: u64,
    /// Edges of the program's control flow that were reached.
    edges: u64,
    cases: u64,
    /// All lines but those that tell progress.
    lines: Vec<String>,
}

impl Progress {
    /// One line of its standard error: `#1024 NEW cov: 12 ft: 34 corp: 5/67b …`, or anything else.
    pub(super) fn read(&mut self, line: String) {
        let mut words = line.split_whitespace();
        let runs = words.next().and_then(|word| word.strip_prefix('#')?.parse().ok());
        let Some(runs) = runs else {
            if let Some(runs) = line.strip_prefix("stat::number_of_executed_units:") {
                self.runs = runs.trim().parse().unwrap_or(self.runs);
            }
            self.lines.push(line);
            // What failed comes last, and is told after megabytes of progress at the most.
            if self.lines.len() > 2 * LINES_KEPT {
                self.lines.drain(..LINES_KEPT);
            }
            return;
        };
        self.runs = runs;
        while let Some(word) = words.next() {
            let of = match word {
                "cov:" => &mut self.edges,
                "corp:" => &mut self.cases,
                _ => continue,
            };
            let number = words.next().and_then(|word| word.split('/').next()?.parse().ok());
            *of = number.unwrap_or(*of);
        }
    }

    /// What a run that failed said of it: from the panic, or the sanitizer's report, to the end.
    pub(super) fn failure(&self) -> String {
        let begins = |line: &String| {
            line.contains(" panicked at ") || line.contains("ERROR: ") || line.starts_with("error")
        };
        let from = self.lines.iter().position(begins).unwrap_or(0);
        self.lines[from..].join("\n")
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} runs, {} edges, {} cases", self.runs, self.edges, self.cases)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(text: &str) -> Progress {
        let mut progress = Progress::default();
        text.lines().for_each(|line| progress.read(line.to_owned()));
        progress
    }

    #[test]
    fn the_fuzzer_tells_how_far_it_is() {
        let text = "\
INFO: Seed: 12
#2\tINITED cov: 3 ft: 4 corp: 1/1b exec/s: 0 rss: 37Mb
#36896\tNEW    cov: 3984 ft: 8928 corp: 646/4415b lim: 14 exec/s: 602 rss: 432Mb L: 14/14 MS: 1 CopyPart-
#40000\tDONE   cov: 3985 ft: 8929 corp: 647/4415b lim: 14 exec/s: 602 rss: 432Mb
stat::number_of_executed_units: 40001
";
        assert_eq!(progress(text).to_string(), "40001 runs, 3985 edges, 647 cases");
        assert_eq!(progress("#x what\n#7 pulse cov:\n").to_string(), "7 runs, 0 edges, 0 cases");
    }

    #[test]
    fn a_failure_is_told_from_its_beginning() {
        let text = "INFO: Seed: 12\n#2 INITED\nthread '<unnamed>' (1) panicked at a.rs:1:2:\nno\n";
        let panic = "thread '<unnamed>' (1) panicked at a.rs:1:2:\nno";
        assert_eq!(progress(text).failure(), panic);
        assert_eq!(progress("error: no such target").failure(), "error: no such target");
        assert_eq!(progress("killed").failure(), "killed");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let text = "a line\n".repeat(10 * LINES_KEPT);
        assert!(progress(&text).lines.len() <= 2 * LINES_KEPT);
    }
}
