//! Finds a Python, and gives it the packages of the peers.
//!
//! All Python peers run on the same one, so that their figures compare: the newest for which most of the packages can be had.
//! The packages come with pip into a virtual environment below cargo's target directory; nothing is installed anywhere else.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::launch::Launch;
use super::native::output;
use super::prepared::{Place, Question};

const TELL_VERSION: &str = "import sys; print('%d.%d.%d' % sys.version_info[:3])";
/// Older ones are not looked at: what a Python server needs came with it.
const OLDEST: Version = Version { minor: 9, micro: 0 };
/// So many of the newest are tried before what there is has to do: without a network each try takes time for nothing.
const TRIES: usize = 3;
/// A shim that waits for something, or pip behind a network that swallows packets, is given up after this.
const PATIENCE: Duration = Duration::from_secs(120);

/// The Python that all its peers run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Python {
    /// The interpreter to start.
    pub program: PathBuf,
    /// Its version: "3.13.1".
    pub version: String,
    /// Each package that was asked for: its version, or why it can't be imported.
    pub packages: BTreeMap<String, Result<String, String>>,
}

impl Python {
    /// A program that needs `package` ("" for none). Its version is "3.13.1", or "0.22.1 on Python 3.13.1".
    ///
    /// # Errors
    ///
    /// Why the peer has to be left out.
    pub fn launch(&self, source: &Path, package: &str) -> Result<Launch, String> {
        let version = match self.packages.get(package) {
            _ if package.is_empty() => self.version.clone(),
            Some(Ok(version)) => format!("{version} on Python {}", self.version),
            Some(Err(why)) => return Err(format!("{package} on Python {}: {why}", self.version)),
            None => return Err(format!("{package} was not asked for")),
        };
        Ok(Launch { program: self.program.clone(), arguments: vec![source.into()], version })
    }

    pub(super) fn missing(&self) -> usize {
        self.packages.values().filter(|package| package.is_err()).count()
    }

    /// Whether it still is what it was found to be: it answers, and what was there can be imported, in the same version.
    fn holds(&self) -> bool {
        // One process for all of it: each test asks.
        let mut script = TELL_VERSION.to_owned();
        let mut told = vec![self.version.as_str()];
        for (name, outcome) in &self.packages {
            if let Ok(version) = outcome {
                script = format!("{script}\n{}", tell_version_of(name));
                told.push(version);
            }
        }
        let answer = bounded(Command::new(&self.program).args(["-c", &script]));
        answer.is_ok_and(|answer| answer.lines().eq(told))
    }
}

/// Finds the newest Python that has, or can be given, most of `packages`. What is installed goes to `into`/python-3.NN, where the
/// next call finds it, in this process or another; one that comes meanwhile waits. What could not be had, a newer Python with all of
/// them too, is tried again when that was longer ago than `retry`. `tell` hears what takes time.
///
/// # Errors
///
/// When no Python answers, or `into` can't be made or locked.
pub fn prepare(
    packages: &[&str],
    into: &Path,
    retry: Duration,
    tell: &mut dyn FnMut(&str),
) -> Result<Python, String> {
    let place = Place::new(into, tell)?;
    let candidates = candidates();
    let question = Question::new(packages, &candidates);
    if let Some(python) = place.recall(&question, retry).filter(Python::holds) {
        return Ok(python);
    }
    place.forget();
    let mut best: Option<(usize, Python)> = None;
    for (turn, found) in interpreters(candidates).iter().take(TRIES).enumerate() {
        let python = equip(found, packages, into, tell);
        let missing = python.missing();
        if best.as_ref().is_none_or(|(_, best)| missing < best.missing()) {
            best = Some((turn, python));
        }
        if missing == 0 {
            break;
        }
    }
    let (turn, best) =
        best.ok_or_else(|| format!("no Python 3.{} or newer answers", OLDEST.minor))?;
    place.keep(question, &best, turn == 0);
    Ok(best)
}

/// An interpreter that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    program: PathBuf,
    version: Version,
}

/// Of Python 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    minor: u32,
    micro: u32,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "3.{}.{}", self.minor, self.micro)
    }
}

/// All on the path that could be one.
fn candidates() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .flat_map(|directory| folders_of(&directory))
        .flat_map(|folder| candidates_in(&folder))
        .collect()
}

/// All that answer, the newest first, one of each version.
fn interpreters(candidates: Vec<PathBuf>) -> Vec<Found> {
    let mut found: Vec<Found> = candidates
        .into_iter()
        .filter_map(|program| ask(&program).map(|version| Found { program, version }))
        .filter(|found| found.version >= OLDEST)
        .collect();
    // Stable: of one version, the first on the path stays.
    found.sort_by_key(|found| std::cmp::Reverse(found.version));
    found.dedup_by(|one, other| one.version == other.version);
    found
}

/// A directory of the path; with pyenv's shims also all that they could stand for: a shim answers only where its version is selected.
fn folders_of(directory: &Path) -> Vec<PathBuf> {
    let mut folders = vec![directory.to_owned()];
    if directory.file_name().is_some_and(|name| name == "shims") {
        let versions = directory.with_file_name("versions");
        let entries = std::fs::read_dir(versions).into_iter().flatten().flatten();
        folders.extend(entries.map(|entry| entry.path().join("bin")));
    }
    folders
}

fn candidates_in(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut programs: Vec<PathBuf> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_python))
        .map(|entry| entry.path())
        .collect();
    programs.sort();
    programs
}

/// `python3` or `python3.NN`; not `python3-config`, and not `python3.13t`, which is slower for one thread.
fn is_python(name: &str) -> bool {
    let Some(rest) = name.strip_prefix("python3") else { return false };
    rest.is_empty()
        || rest.strip_prefix('.').is_some_and(|minor| {
            !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
        })
}

fn ask(program: &Path) -> Option<Version> {
    let mut command = Command::new(program);
    command.args(["-c", TELL_VERSION]);
    parse(&bounded(&mut command).ok()?)
}

fn parse(answer: &str) -> Option<Version> {
    let mut numbers = answer.trim().split('.').map(|number| number.parse::<u32>().ok());
    let (major, minor, micro) = (numbers.next()??, numbers.next()??, numbers.next()??);
    (major == 3 && numbers.next().is_none()).then_some(Version { minor, micro })
}

/// Gives `found` what is missing of `packages`, in an environment of its own.
fn equip(found: &Found, packages: &[&str], into: &Path, tell: &mut dyn FnMut(&str)) -> Python {
    let environment = environment(found, into);
    let program = environment.as_ref().map_or(&found.program, |program| program);
    let mut outcomes = BTreeMap::new();
    for package in packages {
        let outcome = imported(program, package).or_else(|_| {
            environment.clone()?;
            tell(&format!("installing {package} for Python {}", found.version));
            install(program, package)?;
            imported(program, package)
        });
        outcomes.insert((*package).to_owned(), outcome);
    }
    Python { program: program.clone(), version: found.version.to_string(), packages: outcomes }
}

/// The interpreter of the virtual environment, made if it does not answer with the version that it is for. It sees what the
/// machine has installed, so that a machine without a network can have the packages by other ways.
fn environment(found: &Found, into: &Path) -> Result<PathBuf, String> {
    let folder = into.join(format!("python-3.{}", found.version.minor));
    let program = folder.join("bin").join("python3");
    if ask(&program) == Some(found.version) {
        return Ok(program);
    }
    let mut make = Command::new(&found.program);
    make.args(["-m", "venv", "--clear", "--system-site-packages"]).arg(&folder);
    bounded(&mut make).map_err(|why| format!("no virtual environment (python3-venv?): {why}"))?;
    Ok(program)
}

fn install(program: &Path, package: &str) -> Result<(), String> {
    let mut pip = Command::new(program);
    pip.args(["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]);
    // Wheels alone: a build from source would need compilers, and be another program than its users have.
    pip.args(["--retries", "1", "--timeout", "15", "--only-binary", ":all:", package]);
    bounded(&mut pip).map(drop).map_err(|why| last_line(&why))
}

/// A line for Python: prints the version of a package if it can be imported.
fn tell_version_of(package: &str) -> String {
    format!("import importlib.metadata, {package}; print(importlib.metadata.version('{package}'))")
}

/// The version of a package that can be imported.
fn imported(program: &Path, package: &str) -> Result<String, String> {
    let answer = bounded(Command::new(program).args(["-c", &tell_version_of(package)]));
    answer.map(|version| version.trim().to_owned()).map_err(|why| last_line(&why))
}

/// What says what went wrong, in the traces of Python and pip.
fn last_line(text: &str) -> String {
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned()
}

/// As [`output`], but given up after [`PATIENCE`].
fn bounded(command: &mut Command) -> Result<String, String> {
    // `timeout` of coreutils ends a group of processes, which a kill of ours would not. The group is its own: should we be killed, a
    // pip goes on for at most this long, beside whoever prepares next.
    let limit = PATIENCE.as_secs().to_string();
    let mut limited = Command::new("timeout");
    limited.args(["-k", "5", &limit]).arg(command.get_program()).args(command.get_args());
    let began = Instant::now();
    output(limited.stdin(Stdio::null())).map_err(|why| {
        if began.elapsed() >= PATIENCE {
            return format!("no answer within {} s", PATIENCE.as_secs());
        }
        why
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_three_numbers_of_python_3() {
        assert_eq!(parse("3.13.1\n"), Some(Version { minor: 13, micro: 1 }));
        assert!(parse("3.9.18") < parse("3.10.0"), "9 is older than 10");
        for other in ["2.7.18", "3.13", "3.13.1.2", "pyenv: no such command", ""] {
            assert_eq!(parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn only_interpreters_are_asked() {
        assert!(is_python("python3") && is_python("python3.13"));
        for other in ["python", "python3-config", "python3.13-config", "python3.13t", "python3."] {
            assert!(!is_python(other), "{other}");
        }
    }

    #[test]
    fn what_was_found_is_looked_at_before_it_is_used_again() {
        let program = PathBuf::from("python3");
        let Some(version) = ask(&program) else { return println!("skipped: no Python here") };
        let holds = |version: &str, package: &str, outcome: &str| {
            let packages = BTreeMap::from([
                (package.to_owned(), Ok(outcome.to_owned())),
                ("no_such_package".to_owned(), Err("no wheel".to_owned())),
            ]);
            let version = version.to_owned();
            Python { program: program.clone(), version, packages }.holds()
        };
        let version = version.to_string();
        assert!(!holds(&version, "no_other_package", "1"), "a package is gone");
        let Ok(pip) = imported(&program, "pip") else { return println!("skipped: no pip here") };
        assert!(holds(&version, "pip", &pip));
        assert!(!holds("3.0.1", "pip", &pip), "it is another one");
        assert!(!holds(&version, "pip", "0"), "a package was replaced");
    }

    #[test]
    fn a_peer_is_launched_on_what_it_needs_or_left_out() {
        let python = Python {
            program: PathBuf::from("python3"),
            version: "3.13.1".to_owned(),
            packages: BTreeMap::from([
                ("uvloop".to_owned(), Ok("0.22.1".to_owned())),
                ("rloop".to_owned(), Err("no wheel".to_owned())),
            ]),
        };
        let version = |package| {
            let launch = python.launch(Path::new("server.py"), package)?;
            assert_eq!(launch.program, Path::new("python3"));
            assert_eq!(launch.arguments, ["server.py"]);
            Ok(launch.version)
        };
        assert_eq!(version(""), Ok("3.13.1".to_owned()));
        assert_eq!(version("uvloop"), Ok("0.22.1 on Python 3.13.1".to_owned()));
        assert_eq!(version("rloop"), Err("rloop on Python 3.13.1: no wheel".to_owned()));
        assert_eq!(python.missing(), 1);
    }
}
