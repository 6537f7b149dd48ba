//! Strangers' code runs in callbacks, in wakers and in drops, and may call any handle from there: nothing of
//! that panics on a borrow, and nothing is left when the loop is closed.
#![cfg(feature = "os")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use millrun_loop::{
    ErrorContext, EventLoop, Handle, JoinHandle, LoopHandle, Signal, TimerHandle, UnitEnd, Watch,
    catch, oneshot, sleep, yield_now,
};
use millrun_selector::{Foreign, Interest, Key, Readiness};
use millrun_sim::Rng;

/// What the strangers share: all that they hold of the loop.
struct World {
    handle: LoopHandle,
    rng: Cell<Rng>,
    /// How many more things may happen.
    budget: Cell<u32>,
    alive: Cell<usize>,
    /// In an exception handler: what it reports goes to stderr.
    reporting: Cell<bool>,
    fds: Vec<(UnixStream, UnixStream)>,
    handles: RefCell<Vec<Handle>>,
    timers: RefCell<Vec<TimerHandle>>,
    tasks: RefCell<Vec<JoinHandle<Option<Meddler>>>>,
    keys: RefCell<Vec<(Key, usize)>>,
    senders: RefCell<Vec<oneshot::Sender<Meddler>>>,
}

/// Does something random when it is called, and again when it is dropped.
struct Meddler(Rc<World>);

impl Meddler {
    fn new(world: &Rc<World>) -> Meddler {
        world.alive.set(world.alive.get() + 1);
        Meddler(Rc::clone(world))
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.0.alive.set(self.0.alive.get() - 1);
        self.0.meddle();
    }
}

impl Watch for Meddler {
    fn on_ready(self: Rc<Self>, _: Readiness) {
        self.0.meddle();
    }

    fn on_loop_close(self: Rc<Self>) {
        self.0.meddle();
    }
}

impl UnitEnd for Meddler {
    fn unit_end(self: Rc<Self>) {
        self.0.meddle();
    }
}

impl World {
    fn pick(&self, n: usize) -> usize {
        let mut rng = self.rng.get();
        let picked = rng.within(0..n as u64) as usize;
        self.rng.set(rng);
        picked
    }

    fn taken<T>(&self, from: &RefCell<Vec<T>>) -> Option<T> {
        let mut from = from.borrow_mut();
        if from.is_empty() {
            return None;
        }
        let at = self.pick(from.len());
        Some(from.swap_remove(at))
    }

    fn meddle(self: &Rc<Self>) {
        for _ in 0..=self.pick(3) {
            let Some(left) = self.budget.get().checked_sub(1) else { return };
            self.budget.set(left);
            self.act();
        }
    }

    fn act(self: &Rc<Self>) {
        match self.pick(3) {
            0 => self.queue(),
            1 => self.watch(),
            _ => self.spawn_or_end(),
        }
    }

    fn queue(self: &Rc<Self>) {
        let (handle, m) = (&self.handle, Meddler::new(self));
        match self.pick(6) {
            0 => {
                let queued = handle.call_soon(move || m.0.meddle());
                self.handles.borrow_mut().extend(queued);
            }
            1 => {
                let delay = Duration::from_nanos(self.pick(3) as u64 * 50_000);
                let armed = handle.call_later(delay, move || m.0.meddle());
                self.timers.borrow_mut().extend(armed);
            }
            2 => handle.at_unit_end(Rc::new(m)),
            3 => drop(handle.call_soon_owed(Rc::new(m))),
            4 => handle.set_exception_handler(Some(Rc::new(move |_, _| {
                m.0.reporting.set(true);
                m.0.meddle();
                m.0.reporting.set(false);
            }))),
            _ => {
                let signal = [Signal::WINCH, Signal::URG][self.pick(2)];
                match self.pick(2) {
                    0 => drop(handle.add_signal_handler(signal, move || m.0.meddle())),
                    _ => drop(handle.remove_signal_handler(signal)),
                }
            }
        }
    }

    fn watch(self: &Rc<Self>) {
        let (handle, m) = (&self.handle, Meddler::new(self));
        let at = self.pick(self.fds.len());
        let fd = &self.fds[at].0;
        match self.pick(7) {
            0 => {
                let added = handle.add_reader(fd, move || m.0.meddle());
                self.handles.borrow_mut().extend(added);
            }
            1 => {
                let added = handle.add_writer(fd, move || m.0.meddle());
                self.handles.borrow_mut().extend(added);
            }
            2 => drop(handle.remove_reader(fd)),
            3 => drop(handle.remove_writer(fd)),
            4 => {
                let key = handle.watch(&Foreign::new(fd), Interest::BOTH, Rc::new(m));
                self.keys.borrow_mut().extend(key.map(|key| (key, at)));
            }
            5 => {
                if let Some((key, at)) = self.taken(&self.keys) {
                    drop(handle.unwatch(key, &Foreign::new(&self.fds[at].0)));
                }
            }
            _ => {
                let key = self.keys.borrow().last().copied();
                if let Some((key, _)) = key {
                    let interest = [Interest::NONE, Interest::READ, Interest::BOTH][self.pick(3)];
                    drop(handle.set_interest(key, interest));
                }
            }
        }
    }

    fn spawn_or_end(self: &Rc<Self>) {
        match self.pick(8) {
            0 | 1 => self.spawn(),
            2 => {
                if let Some(task) = self.taken(&self.tasks) {
                    task.abort();
                    if self.pick(2) == 0 {
                        self.tasks.borrow_mut().push(task);
                    }
                }
            }
            3 => drop(self.taken(&self.tasks)),
            4 => {
                if let Some(queued) = self.taken(&self.handles) {
                    queued.cancel();
                }
            }
            5 => {
                if let Some(armed) = self.taken(&self.timers) {
                    armed.cancel();
                }
            }
            6 if !self.handle.is_closed() && !self.reporting.get() => {
                self.handle.report(ErrorContext::new("meddling"))
            }
            _ => {
                if let Some(sender) = self.taken(&self.senders) {
                    drop(sender.send(Meddler::new(self)));
                }
            }
        }
    }

    fn spawn(self: &Rc<Self>) {
        let m = Meddler::new(self);
        let (sender, receiver) = oneshot::channel();
        let joined = self.taken(&self.tasks);
        let what = self.pick(4);
        let task = self.handle.spawn(async move {
            match what {
                0 => yield_now().await,
                1 => sleep(Duration::from_micros(20)).await,
                2 => drop(receiver.await),
                _ => {
                    if let Some(joined) = joined {
                        drop(joined.await);
                    }
                }
            }
            m.0.meddle();
            assert!(m.0.pick(8) > 0, "now and then");
            Some(m)
        });
        self.senders.borrow_mut().push(sender);
        self.tasks.borrow_mut().push(task);
    }

    /// Lets go of all that is held, as the end of a program does.
    fn let_go(&self) {
        drop((self.handles.take(), self.timers.take(), self.tasks.take(), self.senders.take()));
    }
}

fn meddle_with_a_loop(seed: u64) {
    let mut event_loop = EventLoop::new().unwrap();
    let fds: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
    // One that is readable for ever.
    std::io::Write::write_all(&mut &fds[0].1, b"x").unwrap();
    let world = Rc::new(World {
        handle: event_loop.handle(),
        rng: Cell::new(Rng::new(seed)),
        budget: Cell::new(600),
        alive: Cell::new(0),
        reporting: Cell::new(false),
        fds,
        handles: RefCell::default(),
        timers: RefCell::default(),
        tasks: RefCell::default(),
        keys: RefCell::default(),
        senders: RefCell::default(),
    });
    world.handle.set_exception_handler(Some(Rc::new(|_, _| ())));
    for _ in 0..60 {
        world.meddle();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
    }
    event_loop.close();
    world.budget.set(50);
    world.let_go();
    world.budget.set(0);
    world.let_go();
    assert_eq!(world.alive.get(), 0, "seed {seed}");
    let metrics = world.handle.metrics();
    assert_eq!((metrics.watches, metrics.timers, metrics.ready), (0, 0, 0), "seed {seed}");
    assert_eq!(metrics.tasks, 0, "seed {seed}");
}

/// The loop would catch a panic of its own as it does a stranger's: so the panic hook listens for it.
#[test]
fn strangers_may_call_anything_from_anywhere() {
    static HEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    std::panic::set_hook(Box::new(|info| {
        let text = info.payload_as_str().unwrap_or_default().to_owned();
        if text != "now and then" {
            HEARD.lock().unwrap().push(info.to_string());
        }
    }));
    for seed in 0..60 {
        let outcome = catch(|| meddle_with_a_loop(seed));
        let heard = std::mem::take(&mut *HEARD.lock().unwrap());
        if outcome.is_err() || !heard.is_empty() {
            drop(std::panic::take_hook());
            panic!("seed {seed}: {heard:?}");
        }
    }
    drop(std::panic::take_hook());
}
