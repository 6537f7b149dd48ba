//! The runs: one that counts, then one for each call and each fault of it.

use std::fmt::Debug;
use std::future::Future;
use std::io;

use millrun_sim::{Rng, Sim};

use super::{Call, Fault, Problem, Report, Second, Target, Torture};
use crate::scene::{NoOutcome, Scene, Stage, panic_in};

/// Which runs to do.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Which {
    /// Only faults of these calls; empty means all.
    pub calls: Vec<Call>,
    /// Only the call of this number.
    pub at: Option<usize>,
    /// Only the fault of this name.
    pub fault: Option<String>,
    /// Every so many calls: 1 is each.
    pub stride: usize,
    /// How often the call fails, once it does: this call, and those of its kind that follow.
    pub times: usize,
    /// So many runs with two faults instead, drawn from `seed`: the error path of an error path.
    pub pairs: usize,
    /// Where the pairs come from.
    pub seed: u64,
    /// Only this second fault.
    pub second: Option<Second>,
}

impl Default for Which {
    fn default() -> Which {
        Which {
            calls: Vec::new(),
            at: None,
            fault: None,
            stride: 1,
            times: 1,
            pairs: 0,
            seed: 0,
            second: None,
        }
    }
}

/// Runs `scenario` once, then once for each of its calls and each fault that this call can meet.
///
/// `world` makes the machine: the same one each time. The scenario gives what must come out the same, and an error for
/// what its user would see as one. Errors that end elsewhere (in another task, in `connection_lost`) are told by
/// [`Scene::hear`]; what is given to the loop's exception handler is heard by itself.
pub fn everywhere<T, F>(
    name: &str,
    world: impl Fn() -> Sim,
    scenario: impl Fn(Scene) -> F,
) -> Report
where
    T: PartialEq + Debug,
    F: Future<Output = io::Result<T>>,
{
    some(name, &Which::default(), world, scenario, |_, _| ())
}

/// As [`everywhere`], for some of the runs, and tells how far it is: `progress(done, all)` after each. A choice of no run
/// is a problem.
pub fn some<T, F>(
    name: &str,
    which: &Which,
    world: impl Fn() -> Sim,
    scenario: impl Fn(Scene) -> F,
    mut progress: impl FnMut(usize, usize),
) -> Report
where
    T: PartialEq + Debug,
    F: Future<Output = io::Result<T>>,
{
    let counting = Torture::counting();
    let first = run(&counting, &world(), &scenario);
    let mut report = Report {
        name: name.to_owned(),
        calls: counting.calls(),
        runs: 1,
        unharmed: 0,
        problems: Vec::new(),
    };
    let (first, mut what) = (first.outcome, first.problems);
    what.extend(first.as_ref().err().map(|why| format!("it fails by itself: {why:?}")));
    if !what.is_empty() {
        report.problems.push(Problem { target: None, what });
        return report;
    }
    let targets = which.targets(&report.calls);
    if targets.is_empty() {
        let calls = report.calls.len();
        let what = format!(
            "nothing was made to fail: of its {calls} calls (from 0) none is chosen by {which:?}"
        );
        report.problems.push(Problem { target: None, what: vec![what] });
    }
    let budget = report.calls.len() * 20 + 2000;
    for (done, target) in targets.iter().enumerate() {
        let torture = Torture::failing(*target).with_budget(budget);
        let ran = run(&torture, &world(), &scenario);
        let call = report.calls[target.at];
        report.runs += 1;
        report.unharmed += usize::from(matches!((&ran.outcome, &first), (Ok(a), Ok(b)) if a == b));
        let mut what = verdict(&first, &ran, &torture.met());
        if torture.calls().get(target.at) != Some(&call) {
            what.push("up to the fault the run was not the same: it depends on chance".into());
        }
        if !what.is_empty() {
            report.problems.push(Problem { target: Some((*target, call)), what });
        }
        progress(done + 1, targets.len());
    }
    report
}

impl Which {
    fn targets(&self, calls: &[Call]) -> Vec<Target> {
        let wanted = |at: usize, call: Call| {
            (self.calls.is_empty() || self.calls.contains(&call))
                && self.at.map_or(at % self.stride.max(1) == 0, |only| at == only)
        };
        let named = |fault: &Fault| self.fault.as_ref().is_none_or(|name| fault.name() == name);
        let chosen = calls.iter().enumerate().filter(|(at, call)| wanted(*at, **call));
        let single = chosen.flat_map(|(at, call)| {
            let faults = call.faults().iter().filter(|fault| named(fault));
            let (times, second) = (self.times.max(1), self.second);
            faults.map(move |fault| Target { at, fault: *fault, times, second })
        });
        let single: Vec<Target> = single.collect();
        if self.pairs == 0 || single.is_empty() {
            return single;
        }
        let mut rng = Rng::new(self.seed);
        let mut below = |n: usize| rng.within(0..n as u64) as usize;
        let pair = |_| {
            let target = single[below(single.len())];
            // Mostly soon: what an error leads to is short.
            let most = if below(2) == 0 { 12 } else { calls.len() };
            let second = Second { at: target.at + 1 + below(most), draw: below(DRAWS) };
            Target { second: Some(second), ..target }
        };
        (0..self.pairs).map(pair).collect()
    }
}

/// More than any call has faults.
const DRAWS: usize = 64;

/// One run.
struct Run<T> {
    outcome: Result<T, NoOutcome>,
    /// Everything that its users saw.
    heard: Vec<String>,
    reports: usize,
    /// What must not be, whatever the outcome.
    problems: Vec<String>,
}

fn run<T, F>(torture: &Torture, sim: &Sim, scenario: impl Fn(Scene) -> F) -> Run<T>
where
    F: Future<Output = io::Result<T>>,
{
    let mut stage = match Stage::new(sim, torture) {
        Ok(stage) => stage,
        Err(error) => {
            let problems = vec![format!("no loop: {error}")];
            let outcome = Err(NoOutcome::Ended(error));
            return Run { outcome, heard: Vec::new(), reports: 0, problems };
        }
    };
    let scene = stage.scene.clone();
    let ran = stage.run(scenario(scene.clone()));
    let mut problems = Vec::new();
    let outcome = match ran {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) => {
            scene.hear(&error);
            problems.extend(panic_in(&error).map(|panic| format!("a task panicked: {panic}")));
            Err(NoOutcome::Ended(error))
        }
        Err(NoOutcome::Ended(error)) => {
            // The loop itself can't go on: its user sees that, and closes it.
            scene.hear(format!("the selector failed: {error}"));
            problems.extend(stage.close());
            return Run {
                outcome: Err(NoOutcome::Ended(error)),
                heard: scene.heard(),
                reports: 0,
                problems,
            };
        }
        Err(other) => Err(other),
    };
    match &outcome {
        Err(NoOutcome::Panicked(text)) => problems.push(format!("it panicked: {text}")),
        Err(NoOutcome::Hung(why)) => problems.push(format!("it hangs: {why}")),
        _ => problems.extend(stage.settle()),
    }
    problems.extend(stage.close());
    Run { outcome, heard: scene.heard(), reports: scene.reports(), problems }
}

/// What is wrong with a run that met these faults, where the run without one gave `first`.
fn verdict<T: PartialEq + Debug>(
    first: &Result<T, NoOutcome>,
    ran: &Run<T>,
    met: &[(Call, Fault)],
) -> Vec<String> {
    let mut what = ran.problems.clone();
    let is_passed_over = met.iter().all(|(call, fault)| call.is_passed_over(*fault));
    // Whoever would have told of the first fault is gone with the loop.
    let is_cut_off = |(call, fault): &(Call, Fault)| {
        met.len() > 1 && *call == Call::Select && !call.is_passed_over(*fault)
    };
    let is_told =
        met.iter().all(|(call, fault)| call.is_told(*fault)) && !met.iter().any(is_cut_off);
    match (&ran.outcome, first) {
        (Ok(output), Ok(first)) if output != first => {
            what.push(format!("it says that it succeeded, and gives another outcome: {output:?}"));
        }
        (Err(NoOutcome::Ended(error)), _) if is_passed_over => {
            what.push(format!("it has to get over this fault, and failed: {error}"));
        }
        // Of several faults one has to be told: it may have kept the others from being heard.
        (Err(NoOutcome::Ended(error)), _) if is_told && !is_named(&ran.heard, met) => {
            let names: Vec<_> = met.iter().map(|(call, _)| call.names()).collect();
            what.push(format!(
                "it failed ({error}), and nothing of what was heard has one of {names:?} and the fault's text: {:?}",
                ran.heard
            ));
        }
        _ => {}
    }
    // A short transfer is nobody's business. An accept that failed is told, and may be got over.
    let is_silent = is_passed_over && met.iter().all(|(call, _)| *call != Call::Accept);
    if is_silent && ran.reports > 0 {
        what.push(format!(
            "it has to get over this fault in silence, and reported: {:?}",
            ran.heard
        ));
    }
    what
}

/// Somebody heard what failed, and why.
fn is_named(heard: &[String], met: &[(Call, Fault)]) -> bool {
    met.iter().any(|(call, fault)| {
        let why = match fault {
            Fault::Error(_, failure) => failure.to_error().to_string(),
            Fault::Nothing => "empty".to_owned(),
            Fault::Short => String::new(),
        };
        let names = |text: &String| call.names().iter().any(|name| text.contains(name));
        !call.is_passed_over(*fault) && heard.iter().any(|text| names(text) && text.contains(&why))
    })
}
