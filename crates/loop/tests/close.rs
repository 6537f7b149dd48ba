//! The end of a loop: connections first, then tasks, then the rest (D-19).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod common;

use std::cell::{Cell, OnceCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use common::{Log, Script, log_reports, note};
#[cfg(feature = "os")]
use millrun_loop::EventLoop;
use millrun_loop::{LoopHandle, UnitEnd, Watch};
use millrun_selector::{Interest, Readiness, Socket};
use millrun_sim::Sim;

/// What a transport does when its loop closes: queues its `connection_lost`.
struct Connection {
    handle: LoopHandle,
    log: Log,
    what: &'static str,
}

impl Watch for Connection {
    fn on_ready(self: Rc<Self>, _: Readiness) {
        self.log.borrow_mut().push(format!("{} ready", self.what));
    }

    fn on_loop_close(self: Rc<Self>) {
        self.log.borrow_mut().push(format!("{} told", self.what));
        let this = Rc::clone(&self);
        let lost = move || {
            this.log.borrow_mut().push(format!("{} lost", this.what));
            // A layer above it needs one more round.
            let above = Rc::clone(&this);
            let lost_above = move || above.log.borrow_mut().push(format!("{} above", above.what));
            this.handle.call_soon(lost_above).unwrap();
        };
        self.handle.call_soon(lost).unwrap();
    }
}

struct Owed(Log);

impl UnitEnd for Owed {
    fn unit_end(self: Rc<Self>) {
        self.0.borrow_mut().push("owed".into());
    }
}

struct Dropped(Log, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.borrow_mut().push(self.1.into());
    }
}

/// A watched connection; keep the sockets.
fn watch(
    handle: &LoopHandle,
    sim: &Sim,
    log: &Log,
    what: &'static str,
) -> (Box<dyn Socket>, Box<dyn Socket>) {
    let sockets = sim.pair();
    let watch = Rc::new(Connection { handle: handle.clone(), log: Rc::clone(log), what });
    handle.watch(&*sockets.0, Interest::READ, watch).unwrap();
    sockets
}

#[test]
fn l_025_close_drops_callbacks_and_timers_and_tells_connections() {
    let mut event_loop = Script::new().build();
    let (handle, log, sim) = (event_loop.handle(), Log::default(), Sim::new(0));
    let kept = Rc::new(());
    let held = Rc::clone(&kept);
    handle.call_soon(move || panic!("{held:?} ran")).unwrap();
    let held = Rc::clone(&kept);
    handle.call_later(Duration::ZERO, move || panic!("{held:?} ran")).unwrap();
    let remote = event_loop.remote();
    let (probe, far) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || remote.call_soon_threadsafe(move || drop(probe)).unwrap())
        .join()
        .unwrap();
    handle.call_soon_owed(Rc::new(Owed(Rc::clone(&log)))).unwrap();
    let _sockets = (watch(&handle, &sim, &log, "a"), watch(&handle, &sim, &log, "b"));
    event_loop.close();
    assert_eq!(
        *log.borrow(),
        ["a told", "b told", "owed", "a lost", "b lost", "a above", "b above"]
    );
    assert_eq!(Rc::strong_count(&kept), 1);
    assert!(far.try_recv().is_err_and(|e| e == std::sync::mpsc::TryRecvError::Disconnected));
    assert!(handle.is_closed());
    assert_eq!((handle.metrics().watches, handle.metrics().reports), (0, 0));
    log.borrow_mut().clear();
    event_loop.close();
    drop(event_loop);
    assert!(log.borrow().is_empty(), "once");
    assert!(handle.call_soon_owed(Rc::new(Owed(Rc::clone(&log)))).is_err());
}

/// L-024 is a type: `close` needs `&mut`, which a running loop has lent.
#[test]
fn connections_end_before_tasks_and_tasks_are_not_polled() {
    let mut event_loop = Script::new().build();
    let (handle, log, sim) = (event_loop.handle(), Log::default(), Sim::new(0));
    let guard = Dropped(Rc::clone(&log), "task dropped");
    let task = handle.spawn(async move {
        let _guard = guard;
        pending::<()>().await;
    });
    event_loop.turn(Some(Duration::ZERO)).unwrap();
    let unpolled = Dropped(Rc::clone(&log), "unpolled dropped");
    drop(handle.spawn(async move { unpolled.0.borrow_mut().push("polled".into()) }));
    let (waker, inner) = (task, handle.clone());
    let _sockets = watch(&handle, &sim, &log, "a");
    // Wakes the task while the loop is closing.
    struct Aborts(millrun_loop::JoinHandle<()>, LoopHandle);
    impl Watch for Aborts {
        fn on_ready(self: Rc<Self>, _: Readiness) {}
        fn on_loop_close(self: Rc<Self>) {
            self.0.abort();
            assert!(self.1.call_later(Duration::ZERO, || ()).is_err());
        }
    }
    let (socket, _peer) = sim.pair();
    handle.watch(&*socket, Interest::READ, Rc::new(Aborts(waker, inner))).unwrap();
    drop(event_loop);
    assert_eq!(*log.borrow(), ["a told", "a lost", "a above", "task dropped", "unpolled dropped"]);
}

#[test]
fn what_queues_itself_without_end_is_cut_off() {
    fn again(handle: &LoopHandle, ran: &Rc<Cell<usize>>) {
        ran.set(ran.get() + 1);
        let (h, r) = (handle.clone(), Rc::clone(ran));
        drop(handle.call_soon(move || again(&h, &r)));
    }
    struct Endless(LoopHandle, Rc<Cell<usize>>);
    impl Watch for Endless {
        fn on_ready(self: Rc<Self>, _: Readiness) {}
        fn on_loop_close(self: Rc<Self>) {
            again(&self.0, &self.1);
        }
    }
    let mut event_loop = Script::new().build();
    let (handle, ran) = (event_loop.handle(), Rc::new(Cell::new(0)));
    let (socket, _peer) = Sim::new(0).pair();
    let watch = Rc::new(Endless(handle.clone(), Rc::clone(&ran)));
    handle.watch(&*socket, Interest::READ, watch).unwrap();
    event_loop.close();
    assert_eq!(ran.get(), 65, "64 rounds");
    assert_eq!(Rc::strong_count(&ran), 1);
}

#[test]
fn a_panic_while_closing_is_reported_and_the_others_are_told() {
    struct Panics;
    impl Watch for Panics {
        fn on_ready(self: Rc<Self>, _: Readiness) {}
        fn on_loop_close(self: Rc<Self>) {
            panic!("told");
        }
    }
    struct PanicsInDrop;
    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let mut event_loop = Script::new().build();
    let (handle, log, sim) = (event_loop.handle(), Log::default(), Sim::new(0));
    let reports = log_reports(&handle);
    let (socket, _peer) = sim.pair();
    handle.watch(&*socket, Interest::READ, Rc::new(Panics)).unwrap();
    let _sockets = watch(&handle, &sim, &log, "a");
    let captured = PanicsInDrop;
    handle.call_soon(move || drop(captured)).unwrap();
    event_loop.close();
    assert_eq!(*log.borrow(), ["a told", "a lost", "a above"]);
    assert_eq!(
        *reports.borrow(),
        [
            "exception in a destructor|dropped".to_owned(),
            "exception in a watch, of a closing loop|told".to_owned()
        ]
    );
}

/// Handles, and what they are captured in, make circles; closing breaks them all.
#[test]
fn a_closed_loop_leaks_nothing() {
    let event_loop = Script::new().build();
    let (handle, kept) = (event_loop.handle(), Rc::new(()));
    let circle = || (handle.clone(), Rc::clone(&kept));
    let held = circle();
    handle.call_soon(move || drop(held)).unwrap();
    let held = circle();
    handle.call_later(Duration::from_secs(1), move || drop(held)).unwrap();
    let held = circle();
    drop(handle.spawn(async move {
        let _held = held;
        pending::<()>().await;
    }));
    let held = circle();
    handle.add_reader(&std::io::stdin(), move || drop(held.clone())).unwrap();
    let held = circle();
    handle.set_exception_handler(Some(Rc::new(move |_, _| drop(held.clone()))));
    assert_eq!(Rc::strong_count(&kept), 6);
    drop(event_loop);
    assert_eq!(Rc::strong_count(&kept), 1);
}

/// A callback that has its own handle is a circle, too: with and without a loop in it.
#[test]
fn l_025_what_holds_its_own_handle_is_dropped_by_close() {
    let mut event_loop = Script::new().build();
    let (handle, kept) = (event_loop.handle(), Rc::new(()));
    let timer = Rc::new(OnceCell::new());
    let own = (Rc::clone(&timer), Rc::clone(&kept));
    let later = handle.call_later(Duration::from_secs(1), move || drop(own)).unwrap();
    timer.set(later).unwrap();
    let handles = [(); 3].map(|()| Rc::new(OnceCell::new()));
    let [soon, reader, writer] = handles.clone().map(|own| (own, Rc::clone(&kept)));
    handles[0].set(handle.call_soon(move || drop(soon)).unwrap()).unwrap();
    let fd = std::io::stdin();
    handles[1].set(handle.add_reader(&fd, move || drop(reader.clone())).unwrap()).unwrap();
    handles[2].set(handle.add_writer(&fd, move || drop(writer.clone())).unwrap()).unwrap();
    let seen = (timer.get().cloned().unwrap(), handles[0].get().cloned().unwrap());
    let left = (Rc::downgrade(&timer), handles.each_ref().map(Rc::downgrade));
    drop((timer, handles));
    assert_eq!(Rc::strong_count(&kept), 5);
    event_loop.close();
    assert_eq!((left.0.strong_count(), left.1.map(|own| own.strong_count())), (0, [0; 3]));
    assert_eq!(Rc::strong_count(&kept), 1);
    assert!(!seen.0.is_cancelled() && !seen.1.is_cancelled(), "nobody did");
}

/// A loop that is made and dropped inside another one's callback leaves that one the current one.
#[test]
fn closing_a_loop_inside_another_keeps_the_current_one() {
    let mut outer = Script::new().build();
    let log = Log::default();
    let current = outer.run_until_complete(async {
        let inner = Script::new().build();
        let (handle, note) = (inner.handle(), note(&log, "inner's"));
        handle.spawn(async move {
            let _note = note;
            pending::<()>().await;
        });
        drop(inner);
        LoopHandle::current().unwrap()
    });
    assert_eq!(current.unwrap(), outer.handle());
}

/// L-027: jobs that run are not waited for.
#[cfg(feature = "os")]
#[test]
fn l_027_close_does_not_wait_for_jobs() {
    let (begin, began) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let event_loop = EventLoop::new().unwrap();
    let job = event_loop.handle().run_in_executor(move || {
        begin.send(()).unwrap();
        let _ = ended.recv();
    });
    began.recv().unwrap();
    drop(event_loop);
    assert!(!job.is_finished());
    drop(end);
}
