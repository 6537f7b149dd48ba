//! The runner: starts servers and loads, takes turns between them, and writes what came of it.
//!
//! A server runs on one core and its load on another. All servers of a scenario are alive at once and silent but for the one that
//! is measured: a round is one window of each, one after the other, so that ratios within a round lose what drifts. Before
//! a window it waits until others leave the machine alone. Whoever fails leaves the scenario, and the rest goes on.

pub mod arguments;
pub mod build;
pub mod cores;
pub mod gather;
pub mod launch;
pub mod machine;
pub mod measure;
pub mod native;
pub mod plan;
mod prepared;
pub mod process;
pub mod progress;
pub mod python;
pub mod quiet;
mod seat;
pub mod session;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use self::arguments::Task;
use self::build::Programs;
use self::cores::Cores;
use self::measure::Run;
use self::plan::Options;
use self::progress::Progress;
use self::session::World;
use crate::report::table::{self, Style};
use crate::report::{FORMAT, Report, ScenarioResult, compare, html, plot, stats, targets};

/// The program's `main`.
#[must_use]
pub fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let done = arguments::parse(words.iter().cloned()).and_then(|task| match task {
        Task::Run(options) => run(&options, &words),
        Task::Compare(a, b) => compared(&a, &b),
        Task::Render(file, to) => rendered(&file, &to),
        Task::List => {
            print!("{}", arguments::list());
            Ok(())
        }
        Task::Help => {
            print!("{}", arguments::HELP);
            Ok(())
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn compared(a: &Path, b: &Path) -> Result<(), String> {
    let (a, b) = (compare::read(a)?, compare::read(b)?);
    print!("{}", compare::compare(&a, &b, Style::of_output()));
    Ok(())
}

/// The page with its plots, also as files, and the targets on the terminal.
fn rendered(file: &Path, to: &Path) -> Result<(), String> {
    let report = compare::read(file)?;
    let write = |name: &str, text: &str| std::fs::write(to.join(name), text);
    let written = std::fs::create_dir_all(to)
        .and_then(|()| write("bench.html", &html::page(&report)))
        .and_then(|()| {
            let mut plots = plot::files(&report).into_iter();
            plots.try_for_each(|(name, svg)| write(&format!("{name}.svg"), &svg))
        });
    written.map_err(|error| format!("{}: {error}", to.display()))?;
    println!("{}", targets::text(&report));
    Ok(())
}

fn run(options: &Options, words: &[String]) -> Result<(), String> {
    let report = measured(options, words)?;
    let directory = directory(options, &report.machine.date);
    let written = write(&directory, &report);
    let written = written.map_err(|error| format!("{}: {error}", directory.display()))?;
    println!("{}", targets::text(&report));
    for note in &report.notes {
        println!("{note}");
    }
    for skipped in &report.skipped {
        println!("left out: {}: {}", skipped.what, skipped.why);
    }
    for path in written {
        println!("{}", path.display());
    }
    if report.scenarios.iter().all(|scenario| scenario.servers.is_empty()) {
        return Err("nothing could be measured".to_owned());
    }
    if options.strict && !report.skipped.is_empty() {
        return Err(format!("--strict: {} left out", report.skipped.len()));
    }
    Ok(())
}

fn measured(options: &Options, words: &[String]) -> Result<Report, String> {
    let machine = machine::facts();
    let cores = Cores::choose().map_err(|error| error.to_string())?;
    let Programs { load, servers, mut skipped } =
        build::programs(options, &mut |line| eprintln!("{line}"))?;
    let versions =
        servers.iter().map(|(name, launch)| ((*name).to_owned(), launch.version.clone())).collect();
    let certificate = build::certificate(options)?;
    let world = World { cores, load, servers, certificate };
    let groups = plan::groups(&options.scenarios);
    let whole: Duration = groups.iter().map(|g| measure::planned(options, g, &world)).sum();
    let minutes = whole.as_secs().div_ceil(60);
    let count = options.scenarios.len();
    let noun = if count == 1 { "scenario" } else { "scenarios" };
    eprintln!("{count} {noun}, about {minutes} min on a quiet machine");
    let mut progress = Progress::new(whole);
    let mut run = Run::new(options, &world, &mut progress);
    let mut scenarios: Vec<ScenarioResult> = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let place = format!("[{}/{}]", number + 1, groups.len());
        let results = run.group(group, &place);
        for result in &results {
            run.show(&table::scenario(result, Style::of_output()));
        }
        scenarios.extend(results);
    }
    let mut notes = notes(options, &world, &run, &scenarios);
    skipped.append(&mut run.skipped);
    let counts = if options.counts {
        let (counts, left_out) = gather::counts(options, &world, &mut |line| progress.step(line));
        skipped.extend(left_out);
        counts
    } else {
        Vec::new()
    };
    progress.end();
    let mut commands =
        vec![["cargo xtask bench", &words.join(" ")].join(" ").trim_end().to_owned()];
    let (micro, left_out) =
        gather::micro(&build::target().join("criterion"), &mut notes, &mut commands);
    skipped.extend(left_out);
    let format = FORMAT;
    Ok(Report { format, machine, versions, commands, scenarios, counts, micro, skipped, notes })
}

/// What a reader must know about the run as a whole.
fn notes(
    options: &Options,
    world: &World,
    run: &Run<'_>,
    scenarios: &[ScenarioResult],
) -> Vec<String> {
    let mut notes = Vec::new();
    if options.quick {
        notes.push("a quick run: a look, not a claim".to_owned());
    }
    if options.rounds < stats::ENOUGH {
        let needed = stats::ENOUGH;
        notes.push(format!(
            "{} rounds: an interval is from the smallest to the largest; {needed} rounds make it sure to 95 %",
            options.rounds
        ));
    }
    if world.cores.is_alone() {
        notes.push("one core only: server and load share it, throughput is of both".to_owned());
    }
    if run.in_vain() > 0 {
        let count = run.in_vain();
        notes.push(format!("{count} windows began although other programs used the machine"));
    }
    let windows = || scenarios.iter().flat_map(|s| &s.servers).flat_map(|s| &s.rounds);
    let disturbed = windows().filter(|window| window.is_disturbed()).count();
    if disturbed > 0 {
        let all = windows().count();
        notes.push(format!("{disturbed} of {all} windows were disturbed by other programs"));
    }
    if let Some(why) = &run.blind {
        notes.push(format!("whether the machine was quiet could not be seen: {why}"));
    }
    notes
}

/// Where a report goes: where it was asked for, or to a directory of its own for each date.
fn directory(options: &Options, date: &str) -> PathBuf {
    let dated = || build::target().join("bench").join(date.replace(' ', "-").replace(':', ""));
    options.out.clone().unwrap_or_else(dated)
}

/// Writes the report as data and as a page.
fn write(directory: &Path, report: &Report) -> std::io::Result<Vec<PathBuf>> {
    std::fs::create_dir_all(directory)?;
    let (data, page) = (directory.join("bench.json"), directory.join("bench.html"));
    std::fs::write(&data, serde_json::to_string(report)?)?;
    std::fs::write(&page, html::page(report))?;
    Ok(vec![data, page])
}
