//! The command line of `cargo xtask bench`.

use std::path::PathBuf;
use std::time::Duration;

use super::plan::{self, Options};
use crate::peer::{self, Peer};
use crate::scenario::{self, Scenario};

/// What is printed for `--help`.
pub const HELP: &str = "\
cargo xtask bench [--quick] [--scenario S]... [--peer P]... [--rounds N] [--out DIR]
cargo xtask bench --compare A.json B.json
cargo xtask bench --render A.json DIR
cargo xtask bench --list

Measures Millrun beside its peers and beside the limit, a server written by hand on epoll.

  --quick         fewer and shorter rounds of the scenarios that matter most: a look, not a claim
  --scenario S    only this one, and no counts; may be given several times
  --peer P        only this one, beside Millrun and the limit; may be given several times
  --only          with --peer: without Millrun and the limit
  --rounds N      so many windows of each server (9, quick 3); from 6 on, intervals are sure to 95 %
  --window MS     the length of a window in milliseconds (300, quick 120)
  --bytes N       how much an upload or a download moves (1 GiB, quick 64 MiB)
  --strict        whatever is left out makes it a failure
  --no-counts     without instructions, system calls, allocations and copies (valgrind, strace)
  --patience S    wait so many seconds, all in all, for others to leave the machine alone (300, quick 10)
  --servers DIR   builds nothing: Rust servers and the load are taken from this directory
  --out DIR       where bench.json and bench.html go (target/bench/DATE)
  --compare A B   what changed from A to B, and what is only noise
  --render A DIR  the page of a run again, and its plots as files of their own (SVG)
  --list          the scenarios and the peers
";

/// What the command line asks for.
#[derive(Debug)]
#[non_exhaustive]
pub enum Task {
    /// Measure.
    Run(Options),
    /// Say what changed between two files.
    Compare(PathBuf, PathBuf),
    /// Write a file's page and plots to a directory.
    Render(PathBuf, PathBuf),
    /// Show the tables of scenarios and peers.
    List,
    /// Show [`HELP`].
    Help,
}

/// Reads the words after the program's name.
///
/// # Errors
///
/// What was expected and what came, as a text for the user.
pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Task, String> {
    let mut words = words.into_iter();
    let mut given = Given::default();
    while let Some(word) = words.next() {
        let mut value = |what: &str| {
            words.next().ok_or_else(|| format!("{word}: expected {what}, got nothing"))
        };
        match word.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--compare" => {
                let files = (value("two files")?.into(), value("a second file")?.into());
                return alone(Task::Compare(files.0, files.1), words.next());
            }
            "--render" => {
                let (file, to) = (value("a file")?.into(), value("a directory")?.into());
                return alone(Task::Render(file, to), words.next());
            }
            "--quick" => given.quick = true,
            "--only" => given.only = true,
            "--strict" => given.strict = true,
            "--no-counts" => given.no_counts = true,
            "--scenario" => given.scenarios.push(scenario_named(&value("a scenario")?)?),
            "--peer" => given.peers.push(peer_named(&value("a peer")?)?),
            "--rounds" => given.rounds = Some(positive(&word, &value("a number")?)?),
            "--window" => given.window = Some(positive(&word, &value("milliseconds")?)?),
            "--bytes" => given.bytes = Some(positive(&word, &value("a number")?)?),
            "--patience" => given.patience = Some(positive(&word, &value("seconds")?)?),
            "--servers" => given.servers = Some(value("a directory")?.into()),
            "--out" => given.out = Some(value("a directory")?.into()),
            other => return Err(format!("no such option: {other}\n\n{HELP}")),
        }
    }
    given.options().map(Task::Run)
}

/// A task whose two words are all that it takes.
fn alone(task: Task, more: Option<String>) -> Result<Task, String> {
    match more {
        None => Ok(task),
        Some(more) => Err(format!("expected two names, got also {more:?}")),
    }
}

/// The tables of scenarios and peers.
#[must_use]
pub fn list() -> String {
    let scenarios = scenario::ALL.iter().map(|row| (row.name, row.about));
    let peers = peer::ALL.iter().map(|row| (row.name, row.about));
    let mut text = String::new();
    for (title, rows) in [("scenarios", scenarios.collect::<Vec<_>>()), ("peers", peers.collect())]
    {
        text.push_str(title);
        text.push('\n');
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
        for (name, about) in rows {
            text.push_str(&format!("  {name:<width$}{about}\n"));
        }
    }
    text
}

/// Options as they were given, before what is missing is filled in.
#[derive(Default)]
struct Given {
    quick: bool,
    only: bool,
    no_counts: bool,
    strict: bool,
    scenarios: Vec<&'static Scenario>,
    peers: Vec<&'static Peer>,
    rounds: Option<u64>,
    window: Option<u64>,
    bytes: Option<u64>,
    patience: Option<u64>,
    servers: Option<PathBuf>,
    out: Option<PathBuf>,
}

impl Given {
    fn options(self) -> Result<Options, String> {
        if self.only && self.peers.is_empty() {
            return Err("--only: expected with --peer, which was not given".to_owned());
        }
        let mut options = if self.quick { Options::quick() } else { Options::full() };
        options.strict = self.strict;
        options.counts = self.scenarios.is_empty() && !self.no_counts;
        if !self.scenarios.is_empty() {
            // In the order of the table, and each once.
            let wanted = |row: &Scenario| self.scenarios.iter().any(|s| s.name == row.name);
            options.scenarios = scenario::ALL.iter().filter(|row| wanted(row)).collect();
        }
        if !self.peers.is_empty() {
            let asked = |row: &Peer| self.peers.iter().any(|peer| peer.name == row.name);
            let wanted =
                |row: &Peer| asked(row) || !self.only && plan::comes_along(row, &self.peers);
            options.peers = peer::ALL.iter().filter(|row| wanted(row)).collect();
        }
        // A scenario in which nobody of them takes part is none of the run.
        let anybody = |row: &Scenario| options.peers.iter().any(|peer| plan::takes_part(peer, row));
        options.scenarios = options.scenarios.iter().copied().filter(|row| anybody(row)).collect();
        if let Some(rounds) = self.rounds {
            options.rounds = usize::try_from(rounds).map_err(|_| "--rounds: too many")?;
        }
        if let Some(window) = self.window {
            options.window = Duration::from_millis(window);
        }
        if let Some(patience) = self.patience {
            options.patience = Duration::from_secs(patience);
        }
        options.bytes = self.bytes.unwrap_or(options.bytes);
        options.servers = self.servers;
        options.out = self.out;
        Ok(options)
    }
}

fn positive(word: &str, value: &str) -> Result<u64, String> {
    match value.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("{word}: expected a positive number, got {value:?}")),
    }
}

fn scenario_named(name: &str) -> Result<&'static Scenario, String> {
    scenario::named(name).ok_or_else(|| {
        let known: Vec<&str> = scenario::ALL.iter().map(|row| row.name).collect();
        format!("no scenario {name:?}; there are: {}", known.join(", "))
    })
}

fn peer_named(name: &str) -> Result<&'static Peer, String> {
    peer::named(name).ok_or_else(|| {
        let known: Vec<&str> = peer::ALL.iter().map(|row| row.name).collect();
        format!("no peer {name:?}; there are: {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Task, String> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn options(line: &str) -> Options {
        match parsed(line) {
            Ok(Task::Run(options)) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn peers(line: &str) -> Vec<&'static str> {
        options(line).peers.iter().map(|peer| peer.name).collect()
    }

    #[test]
    fn nothing_asked_for_is_everything() {
        let options = options("");
        assert_eq!(options.scenarios.len(), scenario::ALL.len());
        assert_eq!(options.peers.len(), peer::ALL.len());
        assert_eq!((options.rounds, options.window.as_millis(), options.bytes), (9, 300, 1 << 30));
    }

    #[test]
    fn quick_is_less_and_can_be_changed() {
        let quick = options("--quick");
        assert!(quick.scenarios.len() < scenario::ALL.len());
        assert_eq!((quick.rounds, quick.window.as_millis(), quick.bytes), (3, 120, 64 << 20));
        let changed = options(
            "--quick --rounds 5 --window 20 --bytes 7 --strict --patience 9 --scenario echo-8000",
        );
        assert_eq!((changed.rounds, changed.window.as_millis(), changed.bytes), (5, 20, 7));
        assert!(changed.strict && !quick.strict);
        assert_eq!((changed.patience.as_secs(), changed.scenarios.len()), (9, 1));
    }

    #[test]
    fn a_peer_comes_with_ours_and_the_limit() {
        let expected = ["millrun-protocol", "millrun-streams", "epoll", "smol"];
        assert_eq!(peers("--peer smol --peer smol"), expected);
        assert_eq!(peers("--only --peer smol"), ["smol"]);
        assert!(peers("--peer millrun-spin").ends_with(&["millrun-spin", "epoll", "epoll-spin"]));
        assert!(parsed("--only").unwrap_err().contains("--peer"));
    }

    #[test]
    fn who_names_scenarios_gets_no_counts() {
        assert!(options("").counts && options("--quick --peer smol").counts);
        assert!(!options("--no-counts").counts && !options("--scenario lines").counts);
    }

    #[test]
    fn scenarios_keep_the_order_of_the_table() {
        let names: Vec<_> =
            options("--scenario lines --scenario echo-1 --scenario lines").scenarios;
        let names: Vec<_> = names.iter().map(|row| row.name).collect();
        assert_eq!(names, ["echo-1", "lines"]);
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let error = parsed("--scenario ecco").unwrap_err();
        assert!(error.contains("\"ecco\"") && error.contains("echo-64, echo-1000"), "{error}");
        let error = parsed("--peer tokyo").unwrap_err();
        assert!(error.contains("\"tokyo\"") && error.contains("tokio, tokio-best"), "{error}");
        assert!(parsed("--speed").unwrap_err().contains("no such option: --speed"));
    }

    #[test]
    fn a_value_that_is_missing_or_wrong_is_named() {
        assert_eq!(parsed("--out").unwrap_err(), "--out: expected a directory, got nothing");
        for wrong in ["--rounds 0", "--rounds -1", "--rounds x", "--window 0"] {
            let error = parsed(wrong).unwrap_err();
            assert!(error.contains("expected a positive number"), "{wrong}: {error}");
        }
    }

    #[test]
    fn compare_takes_two_files() {
        let Ok(Task::Compare(a, b)) = parsed("--compare x y") else { panic!("not a comparison") };
        assert_eq!((a, b), ("x".into(), "y".into()));
        let Ok(Task::Render(file, to)) = parsed("--render x y") else {
            panic!("nothing to render")
        };
        assert_eq!((file, to), ("x".into(), "y".into()));
        assert!(parsed("--render x").unwrap_err().contains("a directory"));
        assert!(parsed("--compare").unwrap_err().contains("two files"));
        assert!(parsed("--compare x").unwrap_err().contains("a second file"));
        assert!(parsed("--compare x y z").unwrap_err().contains("\"z\""));
    }

    #[test]
    fn the_list_names_all() {
        let list = list();
        assert!(scenario::ALL.iter().all(|row| list.contains(row.about)));
        assert!(peer::ALL.iter().all(|row| list.contains(row.about)));
    }
}
