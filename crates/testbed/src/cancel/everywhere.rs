//! The runs: one that counts, then one for each await and each way.

use std::cell::RefCell;
use std::fmt;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use millrun_loop::{JoinError, RunError};
use millrun_sim::Sim;

use super::{Cut, Way};
use crate::scene::{NoOutcome, Scene, Stage};
use crate::torture::Torture;

/// What [`everywhere`] found.
#[derive(Debug)]
#[must_use = "a report that nobody reads finds nothing"]
pub struct Report {
    /// The scenario.
    pub name: String,
    /// How often the call under test waits when nobody gives it up.
    pub awaits: usize,
    /// How many runs there were.
    pub runs: usize,
    /// What is wrong, a line for each run.
    pub problems: Vec<Problem>,
}

/// A run in which something is wrong.
#[derive(Clone, Debug)]
pub struct Problem {
    /// At which await the call was given up, and how; `None` for the run in which it was not.
    pub cut: Option<(usize, Way)>,
    /// What was wrong then.
    pub what: Vec<String>,
}

impl Report {
    /// Nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// # Panics
    /// When something is wrong, with the list of it.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { name, awaits, runs, problems } = self;
        write!(f, "{name}: {awaits} awaits, {runs} runs, {} failures", problems.len())?;
        for Problem { cut, what } in problems {
            match cut {
                None => write!(f, "\n{name}, not given up:")?,
                Some((at, way)) => write!(f, "\n{name}, given up at await {at} ({way:?}):")?,
            }
            for what in what {
                write!(f, "\n    {}", what.replace('\n', "\n    "))?;
            }
        }
        Ok(())
    }
}

/// Runs `scenario` once, then once for each await of the call under test and each [`Way`] to give it up.
///
/// `world` makes the machine: the same one each time. What the scenario gives must come out the same when the call was
/// made again. A call that never waits is a problem: there was nothing to find.
pub fn everywhere<T, F>(
    name: &str,
    world: impl Fn() -> Sim,
    scenario: impl Fn(Scene, Cut) -> F,
) -> Report
where
    T: PartialEq + Debug + 'static,
    F: Future<Output = io::Result<T>> + 'static,
{
    let mut report = Report { name: name.to_owned(), awaits: 0, runs: 1, problems: Vec::new() };
    let whole = Cut::new(0, Way::Call);
    let first = run(&whole, &world(), &scenario);
    let mut what = first.problems;
    if first.output.is_none() {
        what.push("it has no outcome".to_owned());
    }
    if !what.is_empty() {
        report.problems.push(Problem { cut: None, what });
        return report;
    }
    report.awaits = whole.awaits();
    if report.awaits == 0 {
        let what =
            "nothing was given up: expected one await at least of the call under test, got 0";
        report.problems.push(Problem { cut: None, what: vec![what.to_owned()] });
        return report;
    }
    let at_one = (1..=report.awaits).flat_map(|at| Way::AT_ONE.map(|way| (at, way)));
    for (at, way) in at_one.chain([(1, Way::Each)]) {
        let cut = Cut::new(at, way);
        let ran = run(&cut, &world(), &scenario);
        report.runs += 1;
        let mut what = ran.problems;
        if !cut.is_done() {
            what.push("it did not wait that often: the run depends on chance".to_owned());
        }
        if matches!(way, Way::Call | Way::Each) && ran.output != first.output {
            let (got, expected) = (&ran.output, &first.output);
            what.push(format!("made again it gave {got:?} in place of {expected:?}"));
        }
        if !what.is_empty() {
            report.problems.push(Problem { cut: Some((at, way)), what });
        }
    }
    report
}

/// One run. No output when it was cut off.
struct Run<T> {
    output: Option<T>,
    problems: Vec<String>,
}

fn run<T, F>(cut: &Cut, sim: &Sim, scenario: impl Fn(Scene, Cut) -> F) -> Run<T>
where
    T: 'static,
    F: Future<Output = io::Result<T>> + 'static,
{
    let mut stage = match Stage::new(sim, &Torture::counting().with_budget(MOST_CALLS)) {
        Ok(stage) => stage,
        Err(error) => return Run { output: None, problems: vec![format!("no loop: {error}")] },
    };
    let scene = stage.scene.clone();
    let guard = scene.guard();
    let future = scenario(scene.clone(), cut.clone());
    let guarded = async move {
        let _guard = guard;
        future.await
    };
    let ran = stage.run(drive(&scene, cut, guarded));
    let mut problems = Vec::new();
    let mut output = None;
    let mut settles = true;
    let is_cut = cut.is_done();
    match ran {
        Ok(Some(Ok(Ok(value)))) => output = Some(value),
        Ok(Some(Ok(Err(error)))) => problems.push(format!("it failed: {error}")),
        Ok(Some(Err(JoinError::Aborted))) | Ok(None) if is_cut => {}
        Ok(Some(Err(error))) => problems.push(format!("its task has no output: {error}")),
        Ok(None) => problems.push("it was given up by nobody".to_owned()),
        // The loop is closed under it: now.
        Err(NoOutcome::Ended(error)) if is_cut && is_stop(&error) => {
            settles = false;
        }
        Err(why) => problems.push(format!("it has no outcome: {why:?}")),
    }
    if settles {
        problems.extend(stage.settle());
    }
    problems.extend(stage.close());
    // The close reports, too.
    if scene.reports() > 0 {
        problems.push(format!("it was reported: {:?}", scene.heard()));
    }
    Run { output, problems }
}

type Outcome<T> = Result<io::Result<T>, JoinError>;

/// The future of the run: waits for the scenario's task, or for its being given up.
async fn drive<T, F>(scene: &Scene, cut: &Cut, scenario: F) -> Option<Outcome<T>>
where
    T: 'static,
    F: Future<Output = io::Result<T>> + 'static,
{
    let handle = scene.handle();
    match cut.way() {
        Way::Owner => {
            // The future lies here, not in a task.
            let mut owned = Some(Box::pin(scenario));
            let cut = cut.clone();
            poll_fn(move |context| {
                let Some(future) = &mut owned else { return Poll::Ready(None) };
                match future.as_mut().poll(context) {
                    Poll::Ready(output) => Poll::Ready(Some(Ok(output))),
                    Poll::Pending if cut.is_done() => {
                        owned = None;
                        Poll::Ready(None)
                    }
                    Poll::Pending => Poll::Pending,
                }
            })
            .await
        }
        Way::Call | Way::Each => Some(handle.spawn(scenario).await),
        Way::Task => {
            let task = Rc::new(RefCell::new(handle.spawn(scenario)));
            let aborted = Rc::clone(&task);
            cut.on_cut(move || aborted.borrow().abort());
            Some(poll_fn(|context| Pin::new(&mut *task.borrow_mut()).poll(context)).await)
        }
        Way::Loop => {
            let stopped = handle.clone();
            cut.on_cut(move || stopped.stop());
            Some(handle.spawn(scenario).await)
        }
    }
}

fn is_stop(error: &io::Error) -> bool {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref())
        .is_some_and(|e| matches!(e, RunError::Stopped))
}

/// A run that asks the machine for more goes round and round.
const MOST_CALLS: usize = 1_000_000;
