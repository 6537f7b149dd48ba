//! What was prepared for the Python peers, and for what: the next who asks for the same need not look for it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::python::Python;

const LOCK: &str = "python.lock";
const STAMP: &str = "python.json";

/// What an answer depends on: another list of packages, or another interpreter on the machine, and it has to be found anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Question {
    packages: BTreeSet<String>,
    /// Where each is, what it stands for, and when that was last changed.
    interpreters: BTreeSet<(PathBuf, PathBuf, Option<SystemTime>)>,
}

impl Question {
    pub(super) fn new(packages: &[&str], interpreters: &[PathBuf]) -> Self {
        let seen = |path: &PathBuf| {
            let real = path.canonicalize().unwrap_or_else(|_| path.clone());
            let changed = fs::metadata(&real).and_then(|about| about.modified()).ok();
            (path.clone(), real, changed)
        };
        Self {
            packages: packages.iter().map(|package| (*package).to_owned()).collect(),
            interpreters: interpreters.iter().map(seen).collect(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Stamp {
    question: Question,
    python: Python,
    /// It was the newest of all; else a newer one lacked something.
    newest: bool,
    made: SystemTime,
}

/// The place for what is prepared, while nobody else prepares there: another process waits until this is dropped, or its owner gone.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
    _lock: File,
}

impl Place {
    /// `tell` hears that another one has it.
    pub(super) fn new(directory: &Path, tell: &mut dyn FnMut(&str)) -> Result<Self, String> {
        let path = directory.join(LOCK);
        let wrong = |why: std::io::Error| format!("{}: {why}", path.display());
        fs::create_dir_all(directory).map_err(wrong)?;
        let lock = File::create(&path).map_err(wrong)?;
        let take = |how| rustix::io::retry_on_intr(|| flock(&lock, how));
        let mut taken = take(FlockOperation::NonBlockingLockExclusive);
        if taken == Err(Errno::WOULDBLOCK) {
            tell("waiting for another process, which prepares Python");
            taken = take(FlockOperation::LockExclusive);
        }
        taken.map_err(|why| wrong(why.into()))?;
        Ok(Self { directory: directory.to_owned(), _lock: lock })
    }

    /// What was found for the same question; with something missing, there or on a newer Python, only if it is not older than `retry`.
    pub(super) fn recall(&self, question: &Question, retry: Duration) -> Option<Python> {
        let text = fs::read(self.directory.join(STAMP)).ok()?;
        let stamp: Stamp = serde_json::from_slice(&text).ok()?;
        let young = || stamp.made.elapsed().is_ok_and(|age| age < retry);
        let best = stamp.newest && stamp.python.missing() == 0;
        let holds = stamp.question == *question && (best || young());
        holds.then_some(stamp.python)
    }

    /// Nothing is known, until something else is kept.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(self.directory.join(STAMP)); // mostly, there is none
    }

    /// To be called when all is in place; `newest` if no newer Python was passed over. What can't be kept is looked for again.
    pub(super) fn keep(&self, question: Question, python: &Python, newest: bool) {
        let stamp = Stamp { question, python: python.clone(), newest, made: SystemTime::now() };
        if let Ok(text) = serde_json::to_vec(&stamp) {
            let _ = fs::write(self.directory.join(STAMP), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    /// A directory of this test's own; gone when dropped.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let name = format!("millrun-prepared-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn python(outcome: Result<String, String>) -> Python {
        Python {
            program: PathBuf::from("python3"),
            version: "3.13.1".to_owned(),
            packages: BTreeMap::from([("uvloop".to_owned(), outcome)]),
        }
    }

    #[test]
    fn what_is_kept_answers_the_same_question_alone() {
        let directory = Directory::new("question");
        let place = Place::new(&directory.0, &mut |_| ()).unwrap();
        let interpreter = directory.0.join("python3");
        fs::write(&interpreter, "one").unwrap();
        let ask =
            |packages: &[&str], interpreters: &[PathBuf]| Question::new(packages, interpreters);
        let question = || ask(&["uvloop"], std::slice::from_ref(&interpreter));
        assert_eq!(place.recall(&question(), LONG), None);
        let found = python(Ok("0.22.1".to_owned()));
        place.keep(question(), &found, true);
        assert_eq!(place.recall(&question(), Duration::ZERO), Some(found.clone()));
        let more = ask(&["uvloop", "rloop"], std::slice::from_ref(&interpreter));
        assert_eq!(place.recall(&more, LONG), None, "another list of packages");
        let newer = ask(&["uvloop"], &[interpreter.clone(), directory.0.join("python3.14")]);
        assert_eq!(place.recall(&newer, LONG), None, "one more interpreter");
        let changed = SystemTime::now() + LONG;
        File::options().append(true).open(&interpreter).unwrap().set_modified(changed).unwrap();
        assert_eq!(place.recall(&question(), LONG), None, "the interpreter was replaced");
        place.keep(question(), &found, true);
        place.forget();
        assert_eq!(place.recall(&question(), LONG), None);
    }

    #[test]
    fn what_is_missing_is_looked_for_again_after_a_while() {
        let directory = Directory::new("missing");
        let place = Place::new(&directory.0, &mut |_| ()).unwrap();
        let question = Question::new(&["uvloop"], &[]);
        let found = python(Err("no wheel".to_owned()));
        place.keep(question.clone(), &found, true);
        assert_eq!(place.recall(&question, LONG), Some(found));
        assert_eq!(place.recall(&question, Duration::ZERO), None);
        let older = python(Ok("0.22.1".to_owned()));
        place.keep(question.clone(), &older, false);
        assert_eq!(place.recall(&question, LONG), Some(older));
        assert_eq!(
            place.recall(&question, Duration::ZERO),
            None,
            "a newer Python lacked something"
        );
    }

    #[test]
    fn one_prepares_at_a_time() {
        let directory = Directory::new("lock");
        let first = Place::new(&directory.0, &mut |_| ()).unwrap();
        let (say, second) = channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut tell = |what: &str| say.send(what.to_owned()).unwrap();
                let place = Place::new(&directory.0, &mut tell);
                say.send(format!("entered: {}", place.is_ok())).unwrap();
            });
            let told = second.recv_timeout(Duration::from_secs(20));
            let waits = second.recv_timeout(Duration::from_millis(100));
            drop(first); // before a check fails, which would leave the second one waiting
            assert!(told.is_ok_and(|what| what.starts_with("waiting for another")));
            assert!(waits.is_err(), "the second one waits");
            assert_eq!(second.recv().unwrap(), "entered: true");
        });
    }
}
