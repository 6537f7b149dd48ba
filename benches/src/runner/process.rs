//! A child that says lines: no wait for it is without bound, and it does not outlive its owner.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::contract::NO_SUCH_SHAPE;

/// What a line may hold: a window's latencies are some ten thousand bytes.
const LONGEST_LINE: usize = 4 << 20;
/// How much of what it wrote to standard error goes into a message.
const LAST_WORDS: usize = 400;
/// How long a child that closed its output has to end.
const ENDING: Duration = Duration::from_secs(2);

/// A running child; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
    /// What was read behind the last line.
    rest: Vec<u8>,
    /// Its standard error, where it is kept: memory that nobody has to drain or to remove.
    log: Option<File>,
}

impl Process {
    /// Starts it; what it writes to standard error is kept for messages.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self, String> {
        let wrong = |error: io::Error| format!("{name} can't be started: {error}");
        let log = memfd_create("stderr", MemfdFlags::CLOEXEC).map_err(|e| wrong(e.into()))?;
        let log = File::from(log);
        command.stderr(log.try_clone().map_err(wrong)?);
        Self::spawn(name, command, Some(log)).map_err(wrong)
    }

    /// As [`Process::start`], but the user sees its standard error.
    ///
    /// # Errors
    ///
    /// When it can't be started.
    pub fn start_visibly(name: &str, command: &mut Command) -> Result<Self, String> {
        let started = Self::spawn(name, command, None);
        started.map_err(|error| format!("{name} can't be started: {error}"))
    }

    fn spawn(name: &str, command: &mut Command, log: Option<File>) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let output = output.ok_or_else(|| io::Error::other("expected a pipe for its output"))?;
        Ok(Self { name: name.to_owned(), child, input, output, rest: Vec::new(), log })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a line.
    ///
    /// # Errors
    ///
    /// When it no longer listens; the message has its last words.
    pub fn say(&mut self, line: &str) -> Result<(), String> {
        let said = match &mut self.input {
            Some(input) => input.write_all(format!("{line}\n").as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        said.map_err(|error| self.ended().unwrap_or_else(|| format!("{}: {error}", self.name)))
    }

    /// The next line that it says.
    ///
    /// # Errors
    ///
    /// When none came in time, or it ended; the message has its last words.
    pub fn line(&mut self, within: Duration) -> Result<String, String> {
        if let Some(line) = self.next(within)? {
            return Ok(line);
        }
        Err(self.ended().unwrap_or_else(|| format!("{} closed its output", self.name)))
    }

    /// The next line that it says; nothing when it closed its output.
    ///
    /// # Errors
    ///
    /// When none came in time; the message has its last words.
    pub fn next(&mut self, within: Duration) -> Result<Option<String>, String> {
        let until = Instant::now() + within;
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line[..end]).into_owned()));
            }
            if self.rest.len() > LONGEST_LINE {
                return Err(format!("{}: expected a line, got {LONGEST_LINE} bytes", self.name));
            }
            let left = until.saturating_duration_since(Instant::now());
            let mut block = [0; 1 << 16];
            match self.read(&mut block, left).map_err(|error| format!("{}: {error}", self.name))? {
                None => {
                    let (name, words) = (&self.name, self.last_words());
                    return Err(format!("{name}: no answer in {} s{words}", within.as_secs()));
                }
                Some(0) => return Ok(None),
                Some(count) => self.rest.extend_from_slice(&block[..count]),
            }
        }
    }

    /// What comes within this time, and nothing when nothing does.
    fn read(&mut self, block: &mut [u8], within: Duration) -> io::Result<Option<usize>> {
        let limit = Timespec::try_from(within).map_err(io::Error::other)?;
        let mut fds = [PollFd::new(&self.output, PollFlags::IN)];
        match poll(&mut fds, Some(&limit)) {
            Ok(0) => Ok(None),
            Ok(_) => self.output.read(block).map(Some),
            // A terminal that was resized, say: the caller's loop waits for the rest.
            Err(rustix::io::Errno::INTR) => self.read(block, within),
            Err(error) => Err(error.into()),
        }
    }

    /// How it ended, if it did or is about to; nothing for a success.
    pub fn failed(&mut self) -> Option<String> {
        let ended = self.ended();
        ended.filter(|_| !matches!(self.child.try_wait(), Ok(Some(status)) if status.success()))
    }

    /// How it ended, if it did or is about to.
    pub fn ended(&mut self) -> Option<String> {
        let until = Instant::now() + ENDING;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(self.epitaph(status));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    /// As [`Process::ended`], but only what is certain now.
    pub fn has_ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(self.epitaph(status))
    }

    fn epitaph(&self, status: ExitStatus) -> String {
        if status.code() == Some(NO_SUCH_SHAPE.into()) {
            return format!("{} does not offer it", self.name);
        }
        format!("{} ended with {status}{}", self.name, self.last_words())
    }

    /// The end of what it wrote to standard error, on one line, behind a colon.
    fn last_words(&self) -> String {
        let Some(log) = &self.log else { return String::new() };
        let length = log.metadata().map_or(0, |data| data.len());
        let mut end = vec![0; LAST_WORDS.min(usize::try_from(length).unwrap_or(LAST_WORDS))];
        let from = length - end.len() as u64;
        if log.read_exact_at(&mut end, from).is_err() {
            return String::new();
        }
        let text = String::from_utf8_lossy(&end);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if text.is_empty() { text } else { format!(": {text}") }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended and was reaped, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        Process::start("made-up", Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn lines_come_one_by_one_and_answers_go_back() {
        let mut process = shell("echo one; echo two; read word; echo got $word; exec sleep 60");
        assert_eq!(process.line(SOON).unwrap(), "one");
        assert_eq!(process.line(SOON).unwrap(), "two");
        process.say("this").unwrap();
        assert_eq!(process.line(SOON).unwrap(), "got this");
        assert_eq!(process.has_ended(), None);
    }

    #[test]
    fn a_wait_has_an_end() {
        let error =
            shell("echo why >&2; exec sleep 60").line(Duration::from_millis(200)).unwrap_err();
        assert!(error.starts_with("made-up: no answer in 0 s"), "{error}");
    }

    #[test]
    fn how_it_ended_is_told_with_its_last_words() {
        let error = shell("echo out of luck >&2; exit 4").line(SOON).unwrap_err();
        assert_eq!(error, "made-up ended with exit status: 4: out of luck");
        let error = shell("kill -9 $$").line(SOON).unwrap_err();
        assert!(error.contains("signal: 9"), "{error}");
        assert_eq!(shell("exit 3").line(SOON).unwrap_err(), "made-up does not offer it");
    }

    #[test]
    fn saying_something_to_the_dead_is_an_error() {
        let mut process = shell("exit 5");
        process.line(SOON).unwrap_err();
        assert!(process.say("hello").unwrap_err().contains("exit status: 5"));
    }

    #[test]
    fn it_does_not_outlive_its_owner() {
        let process = shell("echo up; exec sleep 60");
        let path = format!("/proc/{}", process.id());
        assert!(std::path::Path::new(&path).exists());
        drop(process);
        assert!(!std::path::Path::new(&path).exists());
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = Process::start("made-up", &mut Command::new("/no/such")).unwrap_err();
        assert!(error.starts_with("made-up can't be started"), "{error}");
    }
}
