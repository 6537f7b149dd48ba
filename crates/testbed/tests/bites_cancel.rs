//! The harness that gives calls up finds what it is there to find: each check fails on a call that is wrong in that way.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::cell::Cell;
use std::future::{Future, pending};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{ErrorContext, LoopHandle, sleep, spawn, yield_now};
use millrun_selector::{Address, ConnectOptions, Interest, ListenOptions, Network};
use millrun_sim::Sim;
use millrun_testbed::Scene;
use millrun_testbed::cancel::{Cut, Report, Way, everywhere};

fn of<F>(call: impl Fn(Scene, Cut) -> F) -> Report
where
    F: Future<Output = io::Result<u32>> + 'static,
{
    everywhere("it", || Sim::new(1), call)
}

/// What was wrong at the first await, given up in this way.
#[track_caller]
fn assert_found(report: &Report, way: Way, what: &str) {
    let mut problems = report.problems.iter().filter(|p| p.cut == Some((1, way)));
    let found = problems.any(|problem| problem.what.iter().any(|text| text.contains(what)));
    assert!(found, "{way:?} should have found {what:?}: {report}");
}

#[test]
fn a_call_that_keeps_its_promise_is_clean() {
    let report = of(|scene, cut| async move {
        let guard = scene.guard();
        cut.again(async || sleep(Duration::from_millis(5)).await).await;
        drop(guard);
        Ok(7)
    });
    report.assert_clean();
    // Four ways, and once at each.
    assert_eq!((report.awaits, report.runs), (1, 6));
}

/// There is nothing to give up: a pass would say nothing.
#[test]
fn a_call_that_never_waits_is_found() {
    let at_once = of(|_, cut| async move {
        cut.again(async || ()).await;
        Ok(0)
    });
    let unmarked = of(|_, _| async move {
        yield_now().await;
        Ok(0)
    });
    for report in [at_once, unmarked] {
        let [whole] = &report.problems[..] else { panic!("{report}") };
        let what =
            "nothing was given up: expected one await at least of the call under test, got 0";
        assert!(whole.cut.is_none() && whole.what == [what], "{report}");
    }
}

/// What it has taken lies in its future.
#[test]
fn a_call_that_loses_what_it_took_is_found() {
    let report = of(|_, cut| async move {
        let left = Rc::new(Cell::new(3));
        let taken = cut
            .again(async || {
                let taken = left.take();
                yield_now().await;
                taken
            })
            .await;
        Ok(taken + left.get())
    });
    assert_eq!(report.problems.len(), 2, "{report}");
    assert_found(&report, Way::Call, "gave Some(0) in place of Some(3)");
    assert_found(&report, Way::Each, "in place of");
}

#[test]
fn a_call_that_leaves_a_task_a_timer_or_a_registration_is_found() {
    let report = of(|_, cut| async move {
        cut.again(async || {
            drop(spawn(pending::<()>()));
            yield_now().await;
        })
        .await;
        Ok(0)
    });
    // It leaves one in any case.
    let [whole] = &report.problems[..] else { panic!("{report}") };
    assert!(whole.cut.is_none() && whole.what.concat().contains("left: 1 tasks"), "{report}");

    let report = of(|_, cut| async move {
        cut.again(async || {
            let handle = LoopHandle::current().unwrap();
            let timer = handle.call_later(Duration::from_secs(3600), || ()).unwrap();
            yield_now().await;
            timer.cancel();
        })
        .await;
        Ok(0)
    });
    assert_found(&report, Way::Call, "left: 1 timers");
    assert_found(&report, Way::Task, "left: 1 timers");
    assert_found(&report, Way::Owner, "left: 1 timers");

    let report = of(|scene, cut| async move {
        let at = Address::from((std::net::Ipv4Addr::new(10, 0, 0, 1), 80));
        let network = scene.handle().network();
        let listener = network.listen(&at, &ListenOptions::default())?;
        cut.again(async || {
            let socket = connect(&*network, &at)?;
            let watch = Rc::new(Deaf);
            let key = scene.handle().watch(&socket, Interest::WRITE, watch)?;
            yield_now().await;
            scene.handle().unwatch(key, &socket)
        })
        .await?;
        drop(listener);
        Ok(0)
    });
    assert_found(&report, Way::Call, "left: 1 registrations");
    assert_found(&report, Way::Task, "left: 1 watches");
}

struct Deaf;

impl millrun_loop::Watch for Deaf {
    fn on_ready(self: Rc<Self>, _: millrun_selector::Readiness) {}
}

fn connect(network: &dyn Network, at: &Address) -> io::Result<Box<dyn millrun_selector::Socket>> {
    network.connect(at, &ConnectOptions::default())
}

#[test]
fn what_is_never_dropped_is_found() {
    // A socket and a guard, in a future that forgets them.
    let report = of(|scene, cut| async move {
        let at = Address::from((std::net::Ipv4Addr::new(10, 0, 0, 1), 80));
        cut.again(async || {
            let held = Forgets(Some((connect(&*scene.handle().network(), &at), scene.guard())));
            yield_now().await;
            held.done();
        })
        .await;
        Ok(0)
    });
    for way in [Way::Call, Way::Task, Way::Owner, Way::Loop] {
        assert_found(&report, way, "left: 1 open sockets after the close");
        assert_found(&report, way, "left: 1 guards");
    }
}

struct Forgets<T>(Option<T>);

impl<T> Forgets<T> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl<T> Drop for Forgets<T> {
    fn drop(&mut self) {
        std::mem::forget(self.0.take());
    }
}

#[test]
fn a_panic_and_a_report_are_found() {
    let report = of(|_, cut| async move {
        cut.again(async || {
            let panics = PanicsUnlessDone(true);
            yield_now().await;
            panics.done();
        })
        .await;
        Ok(0)
    });
    assert_found(&report, Way::Call, "its task has no output: the task panicked: dropped early");
    assert_found(&report, Way::Loop, "panics were reported");
}

/// Those of the close, too: it drops what the other ways drop before.
#[test]
fn what_is_reported_without_a_panic_is_found_in_every_way() {
    let report = of(|_, cut| async move {
        cut.again(async || {
            let mut reports = ReportsUnlessDone(LoopHandle::current().ok());
            yield_now().await;
            reports.0 = None;
        })
        .await;
        Ok(0)
    });
    for way in [Way::Call, Way::Task, Way::Owner, Way::Loop] {
        assert_found(&report, way, r#"it was reported: ["dropped early"]"#);
    }
}

struct ReportsUnlessDone(Option<LoopHandle>);

impl Drop for ReportsUnlessDone {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            handle.report(ErrorContext::new("dropped early"));
        }
    }
}

/// In the run in which nothing is given up, too.
#[test]
fn what_the_close_reports_of_a_task_that_is_left_is_found() {
    let report = of(|_, cut| async move {
        let reports = ReportsUnlessDone(LoopHandle::current().ok());
        drop(spawn(async move {
            let _reports = reports;
            pending::<()>().await;
        }));
        cut.again(async || yield_now().await).await;
        Ok(0)
    });
    let [whole] = &report.problems[..] else { panic!("{report}") };
    let what = r#"it was reported: ["dropped early"]"#;
    assert!(whole.cut.is_none() && whole.what.concat().contains(what), "{report}");
}

struct PanicsUnlessDone(bool);

impl PanicsUnlessDone {
    fn done(mut self) {
        self.0 = false;
    }
}

impl Drop for PanicsUnlessDone {
    fn drop(&mut self) {
        assert!(!self.0, "dropped early");
    }
}

/// Whoever was to be woken is not: the second try waits for ever.
#[test]
fn a_call_that_can_be_made_only_once_hangs() {
    let report = of(|_, cut| async move {
        let was_made = Cell::new(false);
        cut.again(async || match was_made.replace(true) {
            false => yield_now().await,
            true => pending().await,
        })
        .await;
        Ok(0)
    });
    assert_found(&report, Way::Call, "Hung");
}

#[test]
fn a_run_that_depends_on_chance_is_found() {
    let runs = Rc::new(Cell::new(0));
    let report = of(move |_, cut| {
        let runs = Rc::clone(&runs);
        async move {
            runs.set(runs.get() + 1);
            for _ in 0..(if runs.get() == 1 { 2 } else { 1 }) {
                cut.again(async || yield_now().await).await;
            }
            Ok(0)
        }
    });
    let depends = |text: &String| text.contains("depends on chance");
    assert!(report.problems.iter().any(|p| p.what.iter().any(depends)), "{report}");
}
