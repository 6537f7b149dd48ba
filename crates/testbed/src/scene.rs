//! One run on one simulated machine: what a scenario has of it ([`Scene`]), and what must be left when it is over:
//! nothing.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{
    ErrorContext, EventLoop, Executor, Failure, Job, JobError, LoopHandle, Panic, RunError, Work,
    catch, timeout,
};
use millrun_sim::Sim;

use crate::torture::{Call, Torture};
use crate::witness::Witness;

/// A simulated machine with one loop, as a scenario sees it. Clones are the same one.
///
/// The scenario makes its servers, clients and tasks on it, lets whatever may leak hold a [`guard`](Scene::guard),
/// tells the errors that its users would see ([`hear`](Scene::hear)), and lets its protocols keep a
/// [`witness`](Scene::witness). What is asked when it is over is said by the harness that runs it.
#[derive(Clone)]
pub struct Scene(Rc<Inner>);

struct Inner {
    sim: Sim,
    handle: LoopHandle,
    alive: Rc<()>,
    heard: RefCell<Vec<String>>,
    panics: Cell<usize>,
    reports: Cell<usize>,
    witnesses: RefCell<Vec<Rc<Witness>>>,
}

/// Held by what may leak: a task, a protocol, a callback. It is missed when it is not dropped.
#[derive(Clone, Debug)]
pub struct Guard(#[expect(dead_code, reason = "it is counted, not used")] Rc<()>);

impl Scene {
    /// The machine.
    pub fn sim(&self) -> &Sim {
        &self.0.sim
    }

    /// The loop.
    pub fn handle(&self) -> &LoopHandle {
        &self.0.handle
    }

    /// One more thing that must be dropped by the end.
    pub fn guard(&self) -> Guard {
        Guard(Rc::clone(&self.0.alive))
    }

    /// An error that a user of the code under test gets to see.
    pub fn hear(&self, error: impl fmt::Display) {
        self.0.heard.borrow_mut().push(error.to_string());
    }

    /// Everything that was heard, and all that was reported to the loop's exception handler.
    pub fn heard(&self) -> Vec<String> {
        self.0.heard.borrow().clone()
    }

    /// The record of one connection's callbacks.
    pub fn witness(&self, name: &'static str) -> Rc<Witness> {
        let witness = Rc::new(Witness::new(name));
        self.0.witnesses.borrow_mut().push(Rc::clone(&witness));
        witness
    }

    /// How many reports the exception handler got.
    pub(crate) fn reports(&self) -> usize {
        self.0.reports.get()
    }

    fn report(&self, context: &ErrorContext) {
        self.0.reports.set(self.0.reports.get() + 1);
        if matches!(context.error, Some(Failure::Panic(_))) {
            self.0.panics.set(self.0.panics.get() + 1);
        }
        self.hear(context);
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("sim", &self.0.sim).finish_non_exhaustive()
    }
}

/// The loop under a scene, and the questions at its end.
pub(crate) struct Stage {
    event_loop: EventLoop,
    pub(crate) scene: Scene,
    torture: Torture,
}

/// Why a scenario has no outcome.
#[derive(Debug)]
pub(crate) enum NoOutcome {
    /// It panicked.
    Panicked(String),
    /// It was not over in time, or never will be.
    Hung(String),
    /// The selector failed for good, or the loop was stopped.
    Ended(io::Error),
}

impl Stage {
    /// A loop on `sim`, all of whose calls pass `torture`.
    ///
    /// # Errors
    /// What a loop can't be built for; on a simulation, nothing.
    pub(crate) fn new(sim: &Sim, torture: &Torture) -> io::Result<Stage> {
        // A loop that is never idle must not stop the clock.
        sim.set_select_cost(Duration::from_micros(10));
        let executor = Rc::new(Later::default());
        let event_loop = EventLoop::builder()
            .selector(torture.selector(sim.selector()))
            .clock(sim.clock())
            .network(torture.network(sim.network()))
            .resolver(torture.resolver(sim.resolver()))
            .executor(Rc::clone(&executor) as Rc<dyn Executor>)
            .build()?;
        let handle = event_loop.handle();
        executor.0.replace(Some(handle.clone()));
        let scene = Scene(Rc::new(Inner {
            sim: sim.clone(),
            handle: handle.clone(),
            alive: Rc::new(()),
            heard: RefCell::default(),
            panics: Cell::new(0),
            reports: Cell::new(0),
            witnesses: RefCell::default(),
        }));
        let listener = scene.clone();
        handle.set_exception_handler(Some(Rc::new(move |_, context| listener.report(context))));
        Ok(Stage { event_loop, scene, torture: torture.clone() })
    }

    /// Runs to the end, at most so long by the virtual clock.
    pub(crate) fn run<F: Future>(&mut self, scenario: F) -> Result<F::Output, NoOutcome> {
        let event_loop = &mut self.event_loop;
        let ran = catch(|| event_loop.run_until_complete(timeout(LONGEST, scenario)));
        match ran {
            Ok(Ok(Ok(output))) => Ok(output),
            Ok(Ok(Err(_))) => {
                Err(NoOutcome::Hung(format!("not over after {LONGEST:?} of virtual time")))
            }
            Ok(Err(RunError::Select(error))) if self.is_hang(&error) => {
                Err(NoOutcome::Hung(error.to_string()))
            }
            Ok(Err(error)) => Err(NoOutcome::Ended(error.into())),
            Err(panic) => Err(NoOutcome::Panicked(panic.to_string())),
        }
    }

    fn is_hang(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Deadlock || self.torture.is_exhausted()
    }

    /// Lets deadlines and lingers end, then says what is still there.
    pub(crate) fn settle(&mut self) -> Vec<String> {
        let end = self.scene.sim().now() + LONGEST_CLOSE;
        while self.scene.sim().now() < end && !self.leftovers().is_empty() {
            if let Err(error) = self.event_loop.turn(Some(Duration::from_secs(1))) {
                if self.torture.met().iter().any(|(call, _)| *call == Call::Select) {
                    // Made to fail: whoever runs the loop closes it.
                    return Vec::new();
                }
                // What is left keeps it busy, mostly.
                let mut problems = self.leftovers();
                problems.push(format!("the loop does not run any more: {error}"));
                return problems;
            }
        }
        self.leftovers()
    }

    /// What the loop and the machine still hold.
    fn leftovers(&self) -> Vec<String> {
        let (sim, metrics) = (self.scene.sim(), self.scene.handle().metrics());
        let counts = [
            ("tasks", metrics.tasks),
            ("timers", metrics.timers),
            ("watches", metrics.watches),
            ("queued callbacks", metrics.ready),
            ("open sockets", sim.open_sockets()),
            ("registrations", sim.registrations()),
        ];
        left_of(counts)
    }

    /// Closes the loop, and says what is still there then.
    pub(crate) fn close(self) -> Vec<String> {
        let Stage { mut event_loop, scene, .. } = self;
        let closed = catch(|| event_loop.close());
        drop(event_loop);
        let sim = scene.sim();
        let mut problems = left_of([
            (
                "guards (futures, protocols, callbacks) after the close",
                Rc::strong_count(&scene.0.alive) - 1,
            ),
            ("open sockets after the close", sim.open_sockets()),
            ("registrations after the close", sim.registrations()),
        ]);
        problems.extend(closed.err().map(|panic| format!("closing the loop panicked: {panic}")));
        if scene.0.panics.get() > 0 {
            problems.push(format!("panics were reported: {:?}", scene.heard()));
        }
        for witness in scene.0.witnesses.borrow().iter() {
            problems.extend(witness.problems());
        }
        problems
    }
}

/// A panic that a task ended by, and its `JoinHandle` gave as an error.
pub(crate) fn panic_in(error: &io::Error) -> Option<&Panic> {
    let mut cause = error.get_ref().map(|inner| inner as &(dyn Error + 'static));
    while let Some(inner) = cause {
        if let Some(panic) = inner.downcast_ref() {
            return Some(panic);
        }
        cause = inner.source();
    }
    None
}

fn left_of<const N: usize>(counts: [(&str, usize); N]) -> Vec<String> {
    let left = counts.into_iter().filter(|(_, count)| *count > 0);
    left.map(|(what, count)| format!("left: {count} {what}")).collect()
}

/// An executor that takes its time, on the loop's own clock and thread: what awaits a job really waits.
#[derive(Default)]
struct Later(RefCell<Option<LoopHandle>>);

impl Executor for Later {
    fn execute(&self, work: Work) -> Result<(), JobError> {
        let Some(handle) = self.0.borrow().clone() else { return Err(JobError::Shutdown) };
        match handle.call_later(JOB, work) {
            Ok(_) => Ok(()),
            Err(_) => Err(JobError::LoopClosed),
        }
    }

    fn shutdown(&self) -> Job<()> {
        // The circle of loop, executor and handle ends here.
        let Some(handle) = self.0.take() else { return Job::ready(Ok(())) };
        let (job, over) = Job::pending();
        // As late as the last job, and behind it.
        match handle.call_later(JOB, move || over.complete(Ok(()))) {
            Ok(_) => job,
            Err(_) => Job::ready(Ok(())),
        }
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Later")
    }
}

/// How long a job takes: some packets may arrive meanwhile.
const JOB: Duration = Duration::from_millis(3);

/// A scenario that takes longer hangs: the longest wait of the stack is a connect's (127 s), and a scenario may have two.
const LONGEST: Duration = Duration::from_secs(600);

/// Longer than a close may take without progress (30 s), a linger behind it, and a retry.
const LONGEST_CLOSE: Duration = Duration::from_secs(120);
