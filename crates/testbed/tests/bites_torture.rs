//! The harness that makes calls fail finds what it is there to find: each check fails on a program that is wrong in that
//! way.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use millrun_loop::Watch;
use millrun_selector::{Address, ConnectOptions, Interest, Key, ListenOptions, Readiness, Socket};
use millrun_sim::Sim;
use millrun_testbed::Scene;
use millrun_testbed::torture::{Call, Report, Target, Which, everywhere, some};

/// The errors of one kind of call, in a program on a bare socket.
fn of<F>(call: Call, program: impl Fn(Scene) -> F) -> Report
where
    F: Future<Output = io::Result<Vec<u8>>>,
{
    let mut which = Which::default();
    which.calls = vec![call];
    some("it", &which, || Sim::new(1), program, |_, _| ())
}

/// What was wrong in some run with this fault.
#[track_caller]
fn assert_found(report: &Report, fault: &str, what: &str) {
    let with =
        |target: Option<(Target, Call)>| target.is_some_and(|(t, _)| t.fault.name() == fault);
    let mut problems = report.problems.iter().filter(|problem| with(problem.target));
    let found = problems.any(|problem| problem.what.iter().any(|text| text.contains(what)));
    assert!(found, "{fault} should have found {what:?}: {report}");
}

/// A socket on a loop, as a small transport: what a program may do right or wrong with it.
struct Wire {
    scene: Scene,
    socket: Box<dyn Socket>,
    key: Key,
    ready: Rc<Ready>,
}

#[derive(Default)]
struct Ready(RefCell<(bool, Option<Waker>)>);

impl Watch for Ready {
    fn on_ready(self: Rc<Self>, _: Readiness) {
        let waker = {
            let mut state = self.0.borrow_mut();
            state.0 = true;
            state.1.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}

impl Wire {
    /// The end of a connection whose other end says "hello" and closes.
    fn new(scene: &Scene) -> io::Result<Wire> {
        let (at, network) = (Address::from(std::path::Path::new("/it")), scene.handle().network());
        let listener = network.listen(&at, &ListenOptions::default())?;
        let socket = network.connect(&at, &ConnectOptions::default())?;
        let (there, _) = listener.try_accept()?;
        there.try_write(b"hello")?;
        drop(there);
        let ready = Rc::new(Ready::default());
        let key = scene.handle().watch(&socket, Interest::READ, ready.clone())?;
        Ok(Wire { scene: scene.clone(), socket, key, ready })
    }

    async fn readable(&self) {
        poll_fn(|context| {
            let mut state = self.ready.0.borrow_mut();
            if std::mem::take(&mut state.0) {
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.readable().await;
            match self.socket.try_read(buffer) {
                Err(error) if is_nothing(&error) => {}
                read => return read,
            }
        }
    }

    /// All that comes; what goes wrong with it is for `handle` to say.
    async fn read_all(
        &self,
        handle: impl AsyncFn(io::Error) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        let (mut all, mut buffer) = (Vec::new(), [0; 10]);
        loop {
            match self.read(&mut buffer).await {
                Ok(0) => return Ok(all),
                Ok(n) => all.extend(&buffer[..n]),
                Err(error) => handle(error).await?,
            }
        }
    }
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// What a good program does.
async fn told(error: io::Error) -> io::Result<()> {
    Err(io::Error::new(error.kind(), format!("receiving failed: {error}")))
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.scene.handle().unwatch(self.key, &self.socket);
    }
}

#[test]
fn a_program_that_does_all_it_should_is_clean() {
    let report = everywhere(
        "it",
        || Sim::new(1),
        |scene| async move {
            let wire = Wire::new(&scene).map_err(|error| {
                // Whatever of it failed.
                let what = "connect, bind, accept, sending, watch";
                io::Error::new(error.kind(), format!("{what}: {error}"))
            })?;
            wire.read_all(told).await
        },
    );
    let benign = |problem: &millrun_testbed::torture::Problem| {
        // Its maker accepts and sends once, and does not try again.
        matches!(problem.target, Some((_, Call::Accept | Call::Send)))
    };
    assert!(report.problems.iter().all(benign), "{report}");
    assert!(report.unharmed > 5 && report.calls.contains(&Call::Recv), "{report}");
}

#[test]
fn an_error_that_is_taken_for_the_end_is_found() {
    let report = of(Call::Recv, |scene| async move {
        let wire = Wire::new(&scene)?;
        Ok(wire.read_all(told).await.unwrap_or_default())
    });
    assert_found(&report, "ECONNRESET", "it says that it succeeded, and gives another outcome: []");
}

#[test]
fn an_error_that_does_not_say_what_failed_is_found() {
    let report = of(Call::Recv, |scene| async move {
        Wire::new(&scene)?.read_all(async |error| Err(error)).await
    });
    assert_found(&report, "ETIMEDOUT", "nothing of what was heard has one of [[\"receiving\"]]");
    // Nor one that says what, and not why.
    let report = of(Call::Recv, |scene| async move {
        let blame = async |_| Err(io::Error::other("receiving failed, who knows why"));
        Wire::new(&scene)?.read_all(blame).await
    });
    assert_found(&report, "ETIMEDOUT", "and the fault's text");
}

#[test]
fn a_panic_is_found() {
    let report = of(Call::Recv, |scene| async move {
        let wire = Wire::new(&scene)?;
        Ok(wire.read_all(told).await.expect("it always works"))
    });
    assert_found(&report, "ENOMEM", "it panicked: it always works");
    // In another task, too.
    let report = of(Call::Recv, |scene| async move {
        let within = scene.clone();
        let task = scene.handle().spawn(async move {
            let wire = Wire::new(&within).unwrap();
            wire.read_all(told).await.expect("it always works")
        });
        task.await.map_err(io::Error::other)
    });
    assert_found(&report, "ENOMEM", "it always works");
}

#[test]
fn a_hang_is_found_whether_it_waits_or_goes_round() {
    let report = of(Call::Recv, |scene| async move {
        Wire::new(&scene)?.read_all(async |_| pending().await).await
    });
    assert_found(&report, "ECONNRESET", "it hangs");
    // It tries again, at once, whatever the error is.
    let report = of(Call::Register, |scene| async move {
        let Ok(wire) = Wire::new(&scene) else {
            loop {
                millrun_loop::yield_now().await;
            }
        };
        wire.read_all(told).await
    });
    assert_found(&report, "ENOMEM", "it goes round and round");
}

#[test]
fn a_fault_that_must_be_got_over_is_one() {
    let report = of(Call::Recv, |scene| async move {
        let wire = Wire::new(&scene)?;
        wire.readable().await;
        let mut buffer = [0; 5];
        let n = wire.socket.try_read(&mut buffer)?;
        Ok(buffer[..n].to_vec())
    });
    assert_found(&report, "EAGAIN", "it has to get over this fault, and failed");
    assert_found(&report, "Short", "gives another outcome: [104]");
    // Got over, but not in silence.
    let report = of(Call::Recv, |scene| async move {
        let wire = Wire::new(&scene)?;
        let (mut all, mut buffer) = (Vec::new(), [0; 10]);
        loop {
            wire.readable().await;
            match wire.socket.try_read(&mut buffer) {
                Ok(0) => return Ok(all),
                Ok(n) => all.extend(&buffer[..n]),
                Err(error) if is_nothing(&error) => {
                    let context = millrun_loop::ErrorContext::new("help, nothing came");
                    scene.handle().report(context.error(error));
                }
                Err(error) => told(error).await?,
            }
        }
    });
    assert_found(&report, "EAGAIN", "in silence");
}

#[test]
fn what_an_error_path_leaves_behind_is_found() {
    let report = of(Call::Recv, |scene| async move {
        let wire = Rc::new(Wire::new(&scene)?);
        let held = (Rc::clone(&wire), scene.guard());
        let read = wire.read_all(told).await;
        if read.is_err() {
            std::mem::forget(held);
        }
        read
    });
    for what in
        ["left: 1 watches", "left: 1 open sockets", "left: 1 registrations", "left: 1 guards"]
    {
        assert_found(&report, "ECONNRESET", what);
    }
    let report = of(Call::Recv, |scene| async move {
        let read = Wire::new(&scene)?.read_all(told).await;
        if read.is_err() {
            drop(scene.handle().spawn(pending::<()>()));
            let _ = scene.handle().call_later(Duration::from_secs(3600), || ());
        }
        read
    });
    assert_found(&report, "ECONNRESET", "left: 1 tasks");
    assert_found(&report, "ECONNRESET", "left: 1 timers");
}

#[test]
fn callbacks_out_of_order_are_found() {
    for (lost, what) in
        [(0, "connection_lost never came"), (2, "connection_lost came when it was Lost")]
    {
        let report = of(Call::Recv, |scene| async move {
            let witness = scene.witness("it");
            witness.made();
            let read = Wire::new(&scene)?.read_all(told).await;
            let times = if read.is_err() { lost } else { 1 };
            (0..times).for_each(|_| witness.lost());
            read
        });
        assert_found(&report, "ECONNRESET", what);
    }
}

#[test]
fn a_program_that_fails_by_itself_or_by_chance_is_no_judge() {
    let report = of(Call::Recv, |_| async move { Err(io::Error::other("always")) });
    assert!(report.runs == 1 && report.problems[0].target.is_none(), "{report}");
    assert!(report.to_string().contains("it fails by itself"), "{report}");
    let runs = std::cell::Cell::new(0);
    let report = of(Call::Recv, |scene| {
        runs.set(runs.get() + 1);
        let asks_first = runs.get() > 1;
        async move {
            if asks_first {
                let _ = scene.handle().network().listen(
                    &Address::from(std::path::Path::new("/other")),
                    &ListenOptions::default(),
                );
            }
            Wire::new(&scene)?.read_all(told).await
        }
    });
    assert_found(&report, "ECONNRESET", "it depends on chance");
}

/// A mistyped name, a number behind the last call: a pass would say nothing.
#[test]
fn a_choice_of_no_run_is_found() {
    let of = |which: &Which| some("it", which, || Sim::new(1), |_| async { Ok(()) }, |_, _| ());
    let mut which = Which::default();
    assert!(of(&which).is_clean());
    which.fault = Some("WRONG".to_owned());
    let report = of(&which);
    let calls = report.calls.len();
    let [whole] = &report.problems[..] else { panic!("{report}") };
    let [what] = &whole.what[..] else { panic!("{report}") };
    let expected =
        format!("nothing was made to fail: of its {calls} calls (from 0) none is chosen by");
    assert!(whole.target.is_none() && what.starts_with(&expected), "{report}");
    assert!(what.contains(r#"fault: Some("WRONG")"#), "{report}");
    which.fault = None;
    which.at = Some(calls);
    assert!(!of(&which).is_clean());
    which.at = Some(calls - 1);
    assert!(of(&which).is_clean());
}
