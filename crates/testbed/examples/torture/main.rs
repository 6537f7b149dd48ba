//! Lets each call of each scenario fail, in each way: `cargo xtask torture` runs it.
//!
//! `--help` tells how to choose.

#[path = "../../tests/certificates/mod.rs"]
mod certificates;
#[path = "../../tests/scenarios/mod.rs"]
mod scenarios;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::str::FromStr;

use millrun_testbed::torture::{Report, Second, Which};
use scenarios::{ALL, Scenario};

const HELP: &str = "\
torture [OPTION...]

  (none)               each call of each scenario fails once, with each of its faults
  --scenario NAME      only this one; --list tells their names
  --pairs NUMBER       so many runs of each with two faults, from the seed
  --seed NUMBER        another seed than 0
  --times NUMBER       let so many calls of the kind fail, from that one on

to repeat a run that failed:
  --at NUMBER          only the call of this number
  --fault NAME         only with this fault
  --second AT,DRAW     and then this one
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (which, name) = match parse(&arguments) {
        Ok(Some(parsed)) => parsed,
        Ok(None) => return ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            return ExitCode::FAILURE;
        }
    };
    let chosen = ALL.iter().filter(|scenario| name.as_ref().is_none_or(|n| scenario.name == n));
    let reports: Vec<Report> = chosen.map(|scenario| torture(scenario, &which)).collect();
    if reports.is_empty() {
        eprintln!("there is no such scenario; --list tells them");
        return ExitCode::FAILURE;
    }
    summary(&reports)
}

fn parse(arguments: &[String]) -> Result<Option<(Which, Option<String>)>, String> {
    let mut which = Which::default();
    let mut name = None;
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--scenario" => name = Some(value()?.clone()),
            "--pairs" => which.pairs = number(value()?)?,
            "--seed" => which.seed = number(value()?)?,
            "--times" => which.times = number(value()?)?,
            "--at" => which.at = Some(number(value()?)?),
            "--fault" => which.fault = Some(value()?.clone()),
            "--second" => {
                let (at, draw) = value()?.split_once(',').ok_or("--second wants AT,DRAW")?;
                which.second = Some(Second { at: number(at)?, draw: number(draw)? });
            }
            "--list" => {
                ALL.iter().for_each(|scenario| println!("{}", scenario.name));
                return Ok(None);
            }
            "--help" => {
                print!("{HELP}");
                return Ok(None);
            }
            other => return Err(format!("no such option: {other}")),
        }
    }
    Ok(Some((which, name)))
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn torture(scenario: &Scenario, which: &Which) -> Report {
    let is_seen = std::io::stderr().is_terminal();
    let report = scenario.torture(which, |done, all| {
        // One line, which is written over; not into a log.
        if is_seen && (done % 100 == 0 || done == all) {
            eprint!("\r{}: {done} of {all} runs", scenario.name);
            let _ = std::io::stderr().flush();
        }
    });
    if is_seen {
        eprint!("\r\x1b[K");
    }
    println!("{report}");
    report
}

fn summary(reports: &[Report]) -> ExitCode {
    let runs: usize = reports.iter().map(|report| report.runs).sum();
    let failures: usize = reports.iter().map(|report| report.problems.len()).sum();
    println!("torture: {} scenarios, {runs} runs, {failures} failures", reports.len());
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
