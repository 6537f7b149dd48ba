//! What the command line asks for.

use std::time::Duration;

use crate::scenario::{self, Scenario};

pub(crate) const HELP: &str = "\
cargo xtask sim [OPTION...]

  --seeds N        so many seeds of each scenario; 1000 unless told
  --first N        beginning with this one; 0 unless told
  --seed N         this one alone, with its log printed when it fails
  --minutes M      ends after M minutes, whatever is left
  --scenario NAME  this one alone; several times for several
  --jobs N         on so many threads; as many as there are cores unless told";

pub(crate) struct Arguments {
    pub(crate) seeds: u64,
    pub(crate) first: u64,
    pub(crate) minutes: Option<Duration>,
    pub(crate) scenarios: Vec<&'static Scenario>,
    pub(crate) jobs: usize,
}

pub(crate) fn parse(words: &[String]) -> Result<Arguments, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut arguments =
        Arguments { seeds: 1000, first: 0, minutes: None, scenarios: Vec::new(), jobs: cores };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value\n\n{HELP}"));
        match word.as_str() {
            "--seeds" => arguments.seeds = at_least_one(word, value()?)?,
            "--first" => arguments.first = number(value()?)?,
            "--seed" => (arguments.first, arguments.seeds) = (number(value()?)?, 1),
            "--minutes" => {
                arguments.minutes = Some(Duration::from_secs(60 * at_least_one(word, value()?)?));
            }
            "--jobs" => arguments.jobs = number(value()?)?.max(1) as usize,
            "--scenario" => arguments.scenarios.push(scenario::named(value()?)?),
            other => return Err(format!("no such option: {other}\n\n{HELP}")),
        }
    }
    if arguments.scenarios.is_empty() {
        arguments.scenarios = scenario::ALL.iter().collect();
    }
    Ok(arguments)
}

fn number(word: &str) -> Result<u64, String> {
    word.parse().map_err(|_| format!("{word} is not a number\n\n{HELP}"))
}

fn at_least_one(option: &str, word: &str) -> Result<u64, String> {
    match number(word)? {
        0 => Err(format!("{option} wants 1 at least, got 0: nothing would be run\n\n{HELP}")),
        n => Ok(n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_asked_for_is_what_is_run() {
        let line = "--seeds 7 --first 3 --scenario mixed --scenario chat --jobs 0 --minutes 2";
        let asked = parse(&words(line)).unwrap();
        assert_eq!((asked.seeds, asked.first, asked.jobs), (7, 3, 1));
        assert_eq!(asked.minutes, Some(Duration::from_secs(120)));
        let names: Vec<_> = asked.scenarios.iter().map(|scenario| scenario.name).collect();
        assert_eq!(names, ["mixed", "chat"]);
        let one = parse(&words("--seed 9")).unwrap();
        assert_eq!((one.first, one.seeds, one.scenarios.len()), (9, 1, scenario::ALL.len()));
        let nothing = parse(&words("--seeds 0")).err().unwrap();
        assert!(nothing.starts_with("--seeds wants 1 at least, got 0: nothing would be run"));
        let nothing = parse(&words("--minutes 0")).err().unwrap();
        assert!(nothing.starts_with("--minutes wants 1 at least, got 0: nothing would be run"));
        for wrong in ["--seeds", "--seeds many", "--scenario nobody", "--fast"] {
            assert!(parse(&words(wrong)).is_err(), "{wrong}");
        }
    }
}
