//! The director's side of a client process: what it says, and its end.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::Outcome;

/// A process of clients, or of the server. Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    /// What it said last of how many have finished.
    pub(crate) at: u64,
}

/// What a client process says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    Ready,
    At(u64),
    End { finished: u64, failed: u64 },
}

impl Process {
    pub(crate) fn start(arguments: &[String]) -> Outcome<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (sender, lines) = channel();
        let out = child.stdout.take().ok_or("no standard output")?;
        std::thread::spawn(move || {
            // It ends with the process, or when nobody listens any more.
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Process { child, lines, at: 0 })
    }

    pub(crate) fn client(job: &str, port: u16, seed: u64, numbers: &[u64]) -> Outcome<Process> {
        let mut arguments: Vec<String> = ["client", job].map(str::to_owned).into();
        arguments.extend([u64::from(port), seed].iter().chain(numbers).map(u64::to_string));
        Process::start(&arguments)
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn go(&mut self) -> Outcome {
        self.child.stdin.as_mut().ok_or("no standard input")?.write_all(b"go\n")?;
        Ok(())
    }

    /// SIGKILL, whatever it does.
    pub(crate) fn kill(&mut self) -> Outcome<ExitStatus> {
        self.child.kill()?;
        Ok(self.child.wait()?)
    }

    /// The next line, if one comes by then. It is an error if none ever will.
    pub(crate) fn line(&mut self, by: Instant) -> Outcome<Option<String>> {
        match self.lines.recv_timeout(by.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("process {} ended: {}", self.id(), self.child.wait()?).into())
            }
        }
    }

    /// As [`line`](Process::line), understood.
    pub(crate) fn said(&mut self, by: Instant) -> Outcome<Option<Said>> {
        let Some(line) = self.line(by)? else { return Ok(None) };
        let said = parse(&line).ok_or_else(|| format!("a client said: {line}"))?;
        match said {
            Said::At(at) | Said::End { finished: at, .. } => self.at = at,
            Said::Ready => {}
        }
        Ok(Some(said))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ended already, or it is of no use any more.
        let _ = self.kill();
    }
}

fn parse(line: &str) -> Option<Said> {
    match line.split_whitespace().collect::<Vec<_>>().as_slice() {
        ["ready"] => Some(Said::Ready),
        ["at", number] => Some(Said::At(number.parse().ok()?)),
        ["end", finished, failed] => {
            Some(Said::End { finished: finished.parse().ok()?, failed: failed.parse().ok()? })
        }
        _ => None,
    }
}

/// Several client processes, told of together.
pub(crate) struct Crew {
    pub(crate) processes: Vec<Process>,
    what: &'static str,
    told: Instant,
}

/// Between two lines of progress.
const BETWEEN_LINES: Duration = Duration::from_secs(5);
const GLANCE: Duration = Duration::from_millis(20);

impl Crew {
    pub(crate) fn new(what: &'static str, processes: Vec<Process>) -> Crew {
        Crew { processes, what, told: Instant::now() }
    }

    /// Waits until each has said that it is ready.
    pub(crate) fn wait_ready(&mut self, patience: Duration) -> Outcome {
        let by = Instant::now() + patience;
        for index in 0..self.processes.len() {
            while self.next(index, by)? != Said::Ready {}
        }
        Ok(())
    }

    pub(crate) fn go(&mut self) -> Outcome {
        self.processes.iter_mut().try_for_each(Process::go)
    }

    /// Waits for all their ends: how many connections finished. An error if one failed.
    pub(crate) fn wait_end(&mut self, patience: Duration) -> Outcome<u64> {
        let by = Instant::now() + patience;
        let (mut all, mut wrong) = (0, 0);
        for index in 0..self.processes.len() {
            loop {
                if let Said::End { finished, failed } = self.next(index, by)? {
                    all += finished;
                    wrong += failed;
                    break;
                }
            }
        }
        if wrong > 0 {
            return Err(format!("{}: {wrong} connections failed, {all} finished", self.what).into());
        }
        Ok(all)
    }

    /// What this one says next; the others are listened to, and progress is told, meanwhile.
    fn next(&mut self, index: usize, by: Instant) -> Outcome<Said> {
        while Instant::now() < by {
            let said = self.processes[index].said(Instant::now() + GLANCE)?;
            if let Some(said) = said.filter(|said| !matches!(said, Said::At(_))) {
                return Ok(said);
            }
            if self.told.elapsed() >= BETWEEN_LINES {
                self.told = Instant::now();
                let at: u64 = self.processes.iter().map(|process| process.at).sum();
                println!("  {}: {at} finished", self.what);
            }
        }
        let at: u64 = self.processes.iter().map(|process| process.at).sum();
        Err(format!("{}: not within the time that was given, {at} finished", self.what).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_says_is_understood() {
        assert_eq!(parse("ready"), Some(Said::Ready));
        assert_eq!(parse("at 12"), Some(Said::At(12)));
        assert_eq!(parse("end 12 3"), Some(Said::End { finished: 12, failed: 3 }));
        assert_eq!(parse("end 12"), None);
        assert_eq!(parse("at x"), None);
    }
}
