//! [`World`]: hosts on one simulated network and one virtual clock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::Time;
use millrun_sim::{Rng, Rule, Sim};

use crate::host::{Host, HostOutput, HostState};
use crate::log::Log;
use crate::{Report, WorldError};

/// Hosts on one simulated network and one virtual clock. Clones are the same one.
#[derive(Clone)]
pub struct World {
    pub(crate) inner: Rc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) sim: Sim,
    /// Of the driver alone: whose turn it is.
    pub(crate) rng: Cell<Rng>,
    pub(crate) hosts: RefCell<Vec<Rc<HostState>>>,
    pub(crate) schedule: RefCell<BTreeMap<(Time, u64), Appointment>>,
    appointments: Cell<u64>,
    pub(crate) log: Rc<Log>,
    pub(crate) time_limit: Cell<Duration>,
    pub(crate) most_passes: Cell<u32>,
    pub(crate) leaks_allowed: Cell<bool>,
    pub(crate) was_run: Cell<bool>,
}

pub(crate) type Appointment = Box<dyn FnOnce(&World)>;

impl World {
    /// An empty world at time zero. Equal seeds (and equal programs) give equal runs.
    pub fn new(seed: u64) -> World {
        let sim = Sim::new(seed);
        sim.set_driven(true);
        let log = Rc::new(Log::new(&sim));
        let inner = Inner {
            // Another sequence than the network's, so that neither moves the other.
            rng: Cell::new(Rng::new(seed ^ DRIVER)),
            sim,
            hosts: RefCell::default(),
            schedule: RefCell::default(),
            appointments: Cell::new(0),
            log,
            time_limit: Cell::new(TIME_LIMIT),
            most_passes: Cell::new(MOST_PASSES),
            leaks_allowed: Cell::new(false),
            was_run: Cell::new(false),
        };
        World { inner: Rc::new(inner) }
    }

    /// Adds a host: its own loop, its own name and addresses (see [`SimHost`](millrun_sim::SimHost)), and a main future, which is
    /// first polled in [`run`](World::run). The world waits for that, unless the host is in the
    /// [background](Host::background).
    ///
    /// When its main future has ended a host goes on: what it has spawned runs, what it has written is sent. What is
    /// still there when the world ends is a leak.
    ///
    /// # Panics
    /// When there is a host of this name.
    #[track_caller]
    pub fn host<F>(&self, name: &str, future: F) -> Host
    where
        F: Future<Output: HostOutput> + 'static,
    {
        let known = self.inner.hosts.borrow().iter().any(|host| *host.name == *name);
        assert!(!known, "there is a host {name} already");
        let state = Rc::new(HostState::new(self.inner.sim.host(name)));
        let started = state.start(&self.inner.log, future);
        // All parts are given, and the simulated selector never fails to be made.
        assert!(started.is_ok(), "a loop over the simulation: {started:?}");
        self.inner.hosts.borrow_mut().push(Rc::clone(&state));
        Host { world: Rc::downgrade(&self.inner), state }
    }

    /// Calls `action` when the virtual clock has come so far; at once when it has already. Before any host's turn at
    /// that moment. An appointment after the end of the world is not kept.
    pub fn at(&self, when: Duration, action: impl FnOnce(&World) + 'static) {
        let number = self.inner.appointments.get();
        self.inner.appointments.set(number + 1);
        let key = (Time::ZERO + when, number);
        self.inner.schedule.borrow_mut().insert(key, Box::new(action));
    }

    /// Runs until every host that is not in the background is done, then for as long (at most a minute of virtual
    /// time) as those still have something to end; then closes all loops.
    ///
    /// # Errors
    /// As [`WorldErrorKind`](crate::WorldErrorKind) says. All loops are closed then, too.
    pub fn run(&self) -> Result<Report, WorldError> {
        self.inner.was_run.set(true);
        crate::driver::run(self)
    }

    /// Adds a rule to the network, for what is sent from now on.
    pub fn add_rule(&self, rule: impl Rule + 'static) {
        self.inner.sim.add_rule(rule);
    }

    /// Bars the way between two hosts; see [`Sim::partition`].
    ///
    /// # Panics
    /// When there is no host of such a name; the following too.
    #[track_caller]
    pub fn partition(&self, one: &str, other: &str) {
        let (one, other) = (self.find(one), self.find(other));
        self.inner.sim.partition(one.machine(), other.machine());
    }

    /// Opens the way between two hosts again; see [`Sim::heal`].
    #[track_caller]
    pub fn heal(&self, one: &str, other: &str) {
        let (one, other) = (self.find(one), self.find(other));
        self.inner.sim.heal(one.machine(), other.machine());
    }

    /// The host of this name.
    #[track_caller]
    pub fn find(&self, name: &str) -> Host {
        let hosts = self.inner.hosts.borrow();
        let Some(state) = hosts.iter().find(|host| *host.name == *name) else {
            panic!("there is no host {name}");
        };
        Host { world: Rc::downgrade(&self.inner), state: Rc::clone(state) }
    }

    /// The simulated network: rules, faults, names.
    pub fn sim(&self) -> &Sim {
        &self.inner.sim
    }

    /// The seed it was made with.
    pub fn seed(&self) -> u64 {
        self.inner.sim.seed()
    }

    /// The virtual clock.
    pub fn now(&self) -> Time {
        self.inner.sim.now()
    }

    /// How far the virtual clock may go; 24 hours unless told.
    pub fn set_time_limit(&self, limit: Duration) {
        self.inner.time_limit.set(limit);
    }

    /// How often loops may be turned without time passing before it is called a livelock; 20,000 passes unless told,
    /// and a pass gives each loop that has something to do one turn. A transfer of gigabytes over a network
    /// without delay needs more.
    pub fn set_livelock_limit(&self, passes: u32) {
        self.inner.most_passes.set(passes);
    }

    /// Says that a host may leave tasks, timers and sockets behind. [`Report::hosts`](crate::Report::hosts) tells them.
    pub fn allow_leaks(&self) {
        self.inner.leaks_allowed.set(true);
    }

    /// What happened so far, a line each: virtual time, host, event (of its sockets, and its own [notes](crate::note)). Equal seeds give equal logs, on every machine. Only
    /// the last lines are kept; see [`keep_log`](World::keep_log).
    pub fn log(&self) -> String {
        self.inner.log.text(usize::MAX)
    }

    pub(crate) fn last_events(&self) -> String {
        self.inner.log.text(LAST_EVENTS)
    }

    pub(crate) fn was_run(&self) -> bool {
        self.inner.was_run.get()
    }

    /// How many lines of the log are kept; 20,000 unless told.
    pub fn keep_log(&self, lines: usize) {
        self.inner.log.keep(lines);
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed())
            .field("now", &self.now())
            .field("hosts", &self.inner.hosts.borrow().len())
            .finish_non_exhaustive()
    }
}

/// The events that an error shows.
const LAST_EVENTS: usize = 40;

/// An honest test's hours end within a day, and a periodic timer that nobody ends does not run for ever.
const TIME_LIMIT: Duration = Duration::from_secs(24 * 3600);

/// A pass moves up to a socket buffer, 64 KiB: a GiB with room to spare. Reached in seconds.
const MOST_PASSES: u32 = 20_000;

/// Makes the driver's chance another one than the network's: any number would do.
const DRIVER: u64 = 0x6d69_6c6c_7275_6e21;
