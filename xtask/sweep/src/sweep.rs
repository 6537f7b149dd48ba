//! All seeds, on all cores, with progress; then the summary.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use millrun_testbed::World;

use crate::arguments::Arguments;
use crate::scenario::Scenario;

struct Failure {
    scenario: &'static str,
    seed: u64,
    why: String,
}

/// Shared by the threads. Work is numbered: all scenarios of one seed, then the next seed.
struct Sweep<'a> {
    arguments: &'a Arguments,
    next: AtomicU64,
    done: AtomicU64,
    failures: Mutex<Vec<Failure>>,
    progress: ProgressBar,
    until: Option<Instant>,
}

pub(crate) fn run(arguments: Arguments) -> Result<(), String> {
    let began = Instant::now();
    let total = arguments.seeds * arguments.scenarios.len() as u64;
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {msg}");
    let progress = ProgressBar::new(total);
    progress.set_style(style.map_err(|error| error.to_string())?);
    let sweep = Sweep {
        next: AtomicU64::new(0),
        done: AtomicU64::new(0),
        failures: Mutex::default(),
        progress,
        until: arguments.minutes.map(|limit| began + limit),
        arguments: &arguments,
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(|| sweep.work(total));
        }
    });
    sweep.progress.finish_and_clear();
    sweep.summary(began.elapsed())
}

impl Sweep<'_> {
    fn work(&self, total: u64) {
        let scenarios = &self.arguments.scenarios;
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let is_late = self.until.is_some_and(|until| Instant::now() >= until);
            if number >= total || is_late {
                return;
            }
            let scenario = scenarios[(number % scenarios.len() as u64) as usize];
            let seed = self.arguments.first + number / scenarios.len() as u64;
            if let Err(why) = play(scenario, seed, self.is_single()) {
                let failure = Failure { scenario: scenario.name, seed, why };
                self.progress.suspend(|| println!("{failure}"));
                self.failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
            }
            self.done.fetch_add(1, Ordering::Relaxed);
            self.progress.inc(1);
        }
    }

    fn is_single(&self) -> bool {
        self.arguments.seeds == 1
    }

    fn summary(&self, took: Duration) -> Result<(), String> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.done.load(Ordering::Relaxed);
        for scenario in &self.arguments.scenarios {
            let of_it = failures.iter().filter(|f| f.scenario == scenario.name);
            let mut seeds: Vec<u64> = of_it.map(|f| f.seed).collect();
            seeds.sort_unstable();
            println!("{:10} {} failures {seeds:?}", scenario.name, seeds.len());
        }
        let each = took.as_secs_f64() * 1000.0 / done.max(1) as f64;
        let jobs = self.arguments.jobs;
        println!("{:.1} s on {jobs} threads, {each:.2} ms each", took.as_secs_f64());
        let closing = format!("sim: {done} seeds run, {} failures", failures.len());
        if failures.is_empty() {
            println!("{closing}");
            return Ok(());
        }
        Err(closing)
    }
}

fn play(scenario: &Scenario, seed: u64, with_log: bool) -> Result<(), String> {
    let world = World::new(seed);
    // What an error shows, and no more: most seeds are well.
    world.keep_log(if with_log { 1_000_000 } else { 60 });
    world.set_time_limit(LONGEST);
    let outcome = catch_unwind(AssertUnwindSafe(|| (scenario.play)(&world)));
    let why = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(panic) => millrun_loop::Panic::new(panic).to_string(),
    };
    Err(if with_log { format!("{}{why}", world.log()) } else { why })
}

/// No story takes longer on the virtual clock, but for one that says so; what does waits for what never comes.
const LONGEST: Duration = Duration::from_secs(20 * 60);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Failure { scenario, seed, why } = self;
        writeln!(f, "FAILED {scenario}, seed {seed}: {why}")?;
        write!(f, "run it again with: cargo xtask sim --scenario {scenario} --seed {seed}")
    }
}
