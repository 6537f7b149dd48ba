//! The director's line to the server: one connection, kept open, so that it also works when descriptors are short.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::Outcome;

/// A server that serves thousands answers late, and one that hangs never.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at the server.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Control(BufReader<TcpStream>);

/// What the server counts, by its own account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Stats {
    /// Connections, with the control's own.
    pub(crate) open: usize,
    pub(crate) served: u64,
    pub(crate) broken: u64,
    pub(crate) tasks: usize,
    pub(crate) timers: usize,
    pub(crate) watches: usize,
    pub(crate) reports: u64,
    /// Of those, what no phase asks for.
    pub(crate) strange: u64,
    /// Allocated and not given back, in bytes.
    pub(crate) heap: u64,
}

impl Control {
    pub(crate) fn open(port: u16) -> Outcome<Control> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"control\n")?;
        Ok(Control(BufReader::new(stream)))
    }

    pub(crate) fn stats(&mut self) -> Outcome<Stats> {
        parse(&self.ask("stats")?)
    }

    /// The server may have so many descriptors from now on.
    pub(crate) fn limit_descriptors(&mut self, most: u64) -> Outcome {
        self.ask(&format!("limit {most}")).map(drop)
    }

    /// Waits until this holds of the server; else an error with what it was.
    pub(crate) fn wait(&mut self, what: &str, holds: impl Fn(&Stats) -> bool) -> Outcome<Stats> {
        let began = Instant::now();
        loop {
            let stats = self.stats()?;
            if holds(&stats) {
                return Ok(stats);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("{what}: not within {PATIENCE:?}, but {stats:?}").into());
            }
            std::thread::sleep(PAUSE);
        }
    }

    fn ask(&mut self, question: &str) -> Outcome<String> {
        self.0.get_mut().write_all(format!("{question}\n").as_bytes())?;
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err("the server has closed the control connection".into());
        }
        Ok(line)
    }
}

/// Names and numbers in turn.
fn parse(line: &str) -> Outcome<Stats> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let number = |name: &str| {
        let at = words.iter().position(|word| *word == name);
        let number = at.and_then(|at| words.get(at + 1)?.parse::<u64>().ok());
        number.ok_or_else(|| format!("no {name} in: {line}"))
    };
    Ok(Stats {
        open: number("open")? as usize,
        served: number("served")?,
        broken: number("broken")?,
        tasks: number("tasks")? as usize,
        timers: number("timers")? as usize,
        watches: number("watches")? as usize,
        reports: number("reports")?,
        strange: number("strange")?,
        heap: number("heap")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_answer_is_read() {
        let line =
            "open 1 served 2 broken 3 tasks 4 timers 5 watches 6 reports 7 strange 0 heap 8\n";
        let stats = parse(line).unwrap();
        assert_eq!((stats.open, stats.broken, stats.heap), (1, 3, 8));
        assert!(parse("open 1 served x\n").is_err());
    }
}
