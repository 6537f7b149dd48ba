//! The load's command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Pid;

use super::{Failure, Outcome};
use crate::scenario::{self, Kind, Scenario};

/// Nothing that works is silent for so long, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to do, to whom.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Arguments {
    /// The scenario, with what the command line changed.
    pub scenario: Scenario,
    /// The server's port on 127.0.0.1.
    pub port: u16,
    /// The server's process.
    pub pid: Pid,
    /// Another process that takes part: its CPU time is not foreign.
    pub beside: Option<Pid>,
    /// How long nothing may come.
    pub patience: Duration,
    /// Where the certificate is that the server shows, in a scenario of TLS.
    pub certificate: Option<PathBuf>,
}

impl Arguments {
    /// Reads the words after the program's name.
    ///
    /// # Errors
    ///
    /// What was expected and what came.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let name = words.next().ok_or("expected a scenario, got nothing")?;
        let mut scenario =
            *scenario::named(&name).ok_or_else(|| format!("expected a scenario, got {name:?}"))?;
        let (mut port, mut pid, mut beside, mut patience) = (None, None, None, PATIENCE);
        let mut certificate = None;
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word}: expected a value"))?;
            let number = |most: u64| match value.parse() {
                Ok(number) if (1..=most).contains(&number) => Ok(number),
                _ => Err(format!("{word}: expected a number of 1 to {most}, got {value:?}")),
            };
            let count = || number(u32::MAX.into()).map(|number| number as usize);
            let process = || Ok::<_, String>(Pid::from_raw(number(i32::MAX as u64)? as i32));
            match word.as_str() {
                "--port" => port = Some(number(u16::MAX.into())? as u16),
                "--pid" => pid = process()?,
                "--beside" => beside = process()?,
                "--connections" => scenario.connections = count()?,
                "--size" => scenario.size = count()?,
                "--depth" => scenario.depth = count()?,
                "--stalled" => scenario.kind = stalled(scenario.kind, &value)?,
                "--certificate" => certificate = Some(PathBuf::from(&value)),
                "--patience" => patience = Duration::from_millis(number(u32::MAX.into())?),
                _ => return Err(format!("expected an option of the load, got {word:?}")),
            }
        }
        Ok(Self {
            scenario,
            port: port.ok_or("expected --port, got none")?,
            pid: pid.ok_or("expected --pid, got none")?,
            beside,
            patience,
            certificate,
        })
    }

    /// Where the certificate is, for a scenario that can't do without.
    pub(super) fn certificate(&self) -> Outcome<&Path> {
        let missing = || Failure::new("expected --certificate, got none: the scenario is of TLS");
        self.certificate.as_deref().ok_or_else(missing)
    }
}

fn stalled(kind: Kind, value: &str) -> Result<Kind, String> {
    match (kind, value.parse()) {
        (Kind::Mixed { .. }, Ok(stalled)) => Ok(Kind::Mixed { stalled }),
        (Kind::Mixed { .. }, Err(_)) => Err(format!("--stalled: expected a count, got {value:?}")),
        _ => Err("--stalled: only a mixed scenario has readers that stall".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_take_the_place_of_the_scenarios_figures() {
        let got = parse("mixed --port 80 --pid 7 --connections 5 --stalled 0 --size 9 --depth 2");
        let got = got.unwrap();
        assert_eq!((got.port, got.pid.as_raw_nonzero().get()), (80, 7));
        let Scenario { connections, size, depth, kind, .. } = got.scenario;
        assert_eq!((connections, size, depth), (5, 9, 2));
        assert_eq!(kind, Kind::Mixed { stalled: 0 });
        assert_eq!((got.beside, got.patience), (None, PATIENCE));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (line, why) in [
            ("", "expected a scenario, got nothing"),
            ("echo", "expected a scenario, got \"echo\""),
            ("echo-1 --port", "--port: expected a value"),
            ("echo-1 --port 65536", "--port: expected a number of 1 to 65535, got \"65536\""),
            ("echo-1 --pid 1", "expected --port, got none"),
            ("echo-1 --port 1", "expected --pid, got none"),
            ("echo-1 --depth 0", "--depth: expected a number of 1 to 4294967295, got \"0\""),
            ("echo-1 --stalled 1", "--stalled: only a mixed scenario has readers that stall"),
            ("echo-1 --fast 1", "expected an option of the load, got \"--fast\""),
        ] {
            assert_eq!(parse(line).unwrap_err(), why);
        }
    }
}
