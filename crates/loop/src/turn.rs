//! What happens in one turn? Look (or wait), queue what came, run it in rounds.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use millrun_selector::{Event, Time};

use crate::debug::warn_slow;
use crate::metrics::add;
use crate::ready::{Entry, ROOM_KEPT};
use crate::state::{Core, Phase, Timed};
use crate::task::ROOT;
use crate::{ErrorContext, RunError, catch};

/// Another round begins before the next look at the selector only while a turn has run at most so many
/// callbacks: a chain of tasks must not starve the sockets (D-16).
const ROUNDS_CALLBACKS: usize = 256;

/// …and only within this time: callbacks may be slow.
const ROUNDS_TIME: Duration = Duration::from_millis(1);

/// The clock is looked at after so many callbacks, not at each round: a look costs as much as a callback. A turn
/// may be longer than [`ROUNDS_TIME`] by so many of them.
const LOOK_AFTER: usize = 8;

/// The longest wait: asyncio's MAXIMUM_SELECT_TIMEOUT (L-005). Kernels refuse or misread much longer ones.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// Polls the future of `run_until_complete`; the argument tells which run's future is meant.
pub(crate) type PollRoot<'a> = &'a mut dyn FnMut(u32);

impl Core {
    /// One turn. Says whether anything ran.
    pub(crate) fn turn(
        &self,
        max_wait: Option<Duration>,
        poll_root: PollRoot<'_>,
    ) -> Result<bool, RunError> {
        add(&self.counts.turns, 1);
        let mut events = self.events.take();
        let selected = self.select(self.timeout(max_wait), &mut events);
        self.queue_remote();
        for &Event { key, readiness } in &events {
            self.ready.push(Entry::Io(key, readiness));
        }
        events.clear();
        self.events.set(events);
        selected?;
        let now = self.queue_timers();
        Ok(self.run_rounds(now, poll_root) > 0)
    }

    /// How long the selector may wait: not at all when there is something to run (L-004), else until the next timer
    /// (L-005), else for ever (L-006).
    fn timeout(&self, max_wait: Option<Duration>) -> Option<Duration> {
        if self.ready.len() > 0 || self.stopping.get() || self.remote.0.is_pending() {
            return Some(Duration::ZERO);
        }
        if max_wait == Some(Duration::ZERO) {
            return max_wait;
        }
        let deadline = self.timers.borrow_mut().next_deadline();
        let until = deadline.map(|when| when.since(self.clock.now()).min(LONGEST_WAIT));
        match (until, max_wait) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn select(&self, timeout: Option<Duration>, out: &mut Vec<Event>) -> Result<(), RunError> {
        let began = self.is_measured().then(|| self.clock.now());
        let result = if timeout == Some(Duration::ZERO) {
            self.look(timeout, out)
        } else {
            add(&self.counts.waits, 1);
            self.wait(timeout, out)
        };
        if let Some(began) = began {
            let spent = self.clock.now().since(began);
            self.counts.select_time.set(self.counts.select_time.get() + spent);
        }
        result
    }

    /// Waits, busily for as long as `spin` says, then asleep.
    fn wait(&self, timeout: Option<Duration>, out: &mut Vec<Event>) -> Result<(), RunError> {
        let timeout = if self.spin.get().is_zero() {
            timeout
        } else {
            match self.spin(timeout, out)? {
                Spun::Found => return Ok(()),
                Spun::Left(timeout) => timeout,
            }
        };
        let remote = &self.remote.0;
        let timeout = match remote.fall_asleep() {
            Ok(()) => timeout,
            Err(crate::remote::Pending) => Some(Duration::ZERO),
        };
        let result = self.look(timeout, out);
        remote.awake();
        result
    }

    fn spin(&self, timeout: Option<Duration>, out: &mut Vec<Event>) -> Result<Spun, RunError> {
        let spin = timeout.map_or(self.spin.get(), |t| t.min(self.spin.get()));
        if spin.is_zero() {
            return Ok(Spun::Left(timeout));
        }
        let began = self.clock.now();
        let mut before = began;
        loop {
            self.look(Some(Duration::ZERO), out)?;
            if !out.is_empty() || self.remote.0.is_pending() {
                return Ok(Spun::Found);
            }
            let now = self.clock.now();
            let spent = now.since(began);
            // A clock that stands still is a virtual one: it moves by waiting only.
            if spent >= spin || now == before {
                return Ok(Spun::Left(timeout.map(|t| t.saturating_sub(spent))));
            }
            before = now;
        }
    }

    fn look(&self, timeout: Option<Duration>, out: &mut Vec<Event>) -> Result<(), RunError> {
        match &mut *self.selector.borrow_mut() {
            Some(selector) => selector.select(timeout, out).map_err(RunError::Select),
            None => Err(RunError::Closed),
        }
    }

    fn queue_remote(&self) {
        if self.remote.0.is_pending() {
            self.take_remote();
        }
    }

    #[cold]
    fn take_remote(&self) {
        let mut items = self.items.take();
        self.remote.0.take(&mut items);
        add(&self.counts.remote_items, items.len());
        for item in items.drain(..) {
            self.ready.push(item);
        }
        items.shrink_to(ROOM_KEPT);
        self.items.set(items);
    }

    /// Queues what is due, in order of deadline (L-042). Reads the clock, once, if there is any timer.
    fn queue_timers(&self) -> Option<Time> {
        if self.timers.borrow().is_empty() {
            return None;
        }
        let now = self.clock.now();
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some((_, _, timed)) = due else { return Some(now) };
            add(&self.counts.timers_fired, 1);
            match timed {
                Timed::Call(callback) => self.ready.push(Entry::Handle(callback)),
                // A waker may be a stranger's (of a combinator), but must only queue.
                Timed::Wake(waker) => {
                    if let Err(panic) = catch(|| waker.wake()) {
                        self.report(ErrorContext::new("exception in a waker").panic(panic));
                    }
                }
            }
        }
    }

    /// Runs what is queued: the first round whole, then more of them within the budget. Gives the number of entries.
    fn run_rounds(&self, now: Option<Time>, poll_root: PollRoot<'_>) -> usize {
        let mut began = now;
        let (mut ran, mut looked) = (0, 0);
        loop {
            let next = self.ready.len();
            if next == 0 || (ran > 0 && ran + next > ROUNDS_CALLBACKS) {
                return ran;
            }
            if ran - looked >= LOOK_AFTER {
                looked = ran;
                let now = self.clock.now();
                if now.since(*began.get_or_insert(now)) >= ROUNDS_TIME {
                    return ran;
                }
            }
            self.run_round(poll_root);
            ran += next;
            if self.stopping.get() || self.root_done.get() {
                return ran;
            }
        }
    }

    /// Runs exactly what is queued now (L-002).
    pub(crate) fn run_round(&self, poll_root: PollRoot<'_>) {
        if let Some(only) = self.ready.take_only() {
            add(&self.counts.rounds, 1);
            add(&self.counts.callbacks, 1);
            return self.run_only(only, poll_root);
        }
        let mut batch = self.ready.take();
        add(&self.counts.rounds, 1);
        add(&self.counts.callbacks, batch.len());
        for entry in batch.drain(..) {
            self.run_one(entry, poll_root);
        }
        self.ready.give_back(batch);
    }

    /// A round of one, as most are when there is little to do: the queue stays where it is.
    #[inline(never)]
    fn run_only(&self, entry: Entry, poll_root: PollRoot<'_>) {
        self.run_one(entry, poll_root);
    }

    #[inline(always)]
    fn run_one(&self, entry: Entry, poll_root: PollRoot<'_>) {
        if self.is_measured() {
            self.run_measured(entry, poll_root);
        } else {
            self.run_entry(entry, poll_root);
        }
    }

    /// Runs one entry as a unit. Inlined, so that the entry is not moved once more.
    #[inline(always)]
    fn run_entry(&self, entry: Entry, poll_root: PollRoot<'_>) {
        let _unit = self.enter_unit();
        match entry {
            Entry::Handle(callback) => {
                if let Err(panic) = catch(|| callback.run()) {
                    self.report(
                        ErrorContext::new(format!("exception in callback {}", callback.name()))
                            .panic(panic)
                            .detail("handle", format_args!("queued at {}", callback.location())),
                    );
                }
            }
            Entry::Io(key, readiness) => {
                add(&self.counts.io_events, 1);
                self.run_event(key, readiness);
            }
            Entry::Task { .. } if self.phase.get() != Phase::Open => {}
            Entry::Task { index: ROOT, generation } => poll_root(generation),
            Entry::Task { index, generation } => self.run_task(index, generation),
            Entry::UnitEnd { work, .. } => {
                let mut name = "";
                let end = || {
                    name = work.name();
                    work.unit_end();
                };
                if let Err(panic) = catch(end) {
                    self.report(
                        ErrorContext::new(format!("exception in callback {name}")).panic(panic),
                    );
                }
            }
            Entry::Remote(callback) => {
                if let Err(panic) = catch(callback) {
                    self.report(
                        ErrorContext::new("exception in a callback from another thread")
                            .panic(panic),
                    );
                }
            }
        }
    }

    pub(crate) fn is_measured(&self) -> bool {
        self.measure || self.debug.get()
    }

    /// As [`run_entry`](Self::run_entry), with a look at the clock before and after.
    fn run_measured(&self, entry: Entry, poll_root: PollRoot<'_>) {
        let description = Description::of(self, &entry);
        let began = self.clock.now();
        self.run_entry(entry, poll_root);
        let spent = self.clock.now().since(began);
        if spent > self.counts.longest_callback.get() {
            self.counts.longest_callback.set(spent);
        }
        if self.debug.get() && spent >= self.slow.get() {
            warn_slow(&description, spent);
        }
    }
}

/// What busy waiting came to.
enum Spun {
    Found,
    /// What is left of the timeout.
    Left(Option<Duration>),
}

/// What is known of an entry before it runs: afterwards it is gone.
enum Description {
    /// A type's name and where it was queued.
    Placed(&'static str, &'static Location<'static>),
    Named(&'static str),
}

impl Description {
    fn of(core: &Core, entry: &Entry) -> Description {
        match entry {
            Entry::Handle(callback) => Description::Placed(callback.name(), callback.location()),
            Entry::Io(key, readiness) => {
                let wanted = core.watches.borrow().wanted(*key, *readiness);
                Description::named(|| wanted.map_or("a watch that is over", |(w, _)| w.name()))
            }
            Entry::Task { index: ROOT, .. } => {
                Description::Named("the future of run_until_complete")
            }
            Entry::Task { index, generation } => {
                match core.tasks.borrow().describe(*index, *generation) {
                    Some((name, location)) => Description::Placed(name, location),
                    None => Description::Named("a task that is over"),
                }
            }
            Entry::UnitEnd { work, .. } => Description::named(|| work.name()),
            Entry::Remote(_) => Description::Named("a callback from another thread"),
        }
    }

    /// A name that a stranger gives, who may panic: the call itself will tell of that.
    fn named(name: impl FnOnce() -> &'static str) -> Description {
        Description::Named(catch(name).unwrap_or("a callback that has no name"))
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Description::Placed(name, location) => write!(f, "{name} at {location}"),
            Description::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(all(test, feature = "os"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::ROOM_KEPT;
    use crate::EventLoop;

    /// What other threads queued at once does not stay allocated.
    #[test]
    fn a_burst_from_other_threads_leaves_little_room_behind() {
        let mut event_loop = EventLoop::new().unwrap();
        let remote = event_loop.remote();
        let burst = move || {
            (0..20 * ROOM_KEPT).for_each(|_| remote.call_soon_threadsafe(|| ()).unwrap());
        };
        std::thread::spawn(burst).join().unwrap();
        event_loop.turn(Some(Duration::ZERO)).unwrap();
        assert_eq!(event_loop.handle().metrics().remote_items, 20 * ROOM_KEPT as u64);
        let handle = event_loop.handle();
        assert!(handle.core().items.take().capacity() <= ROOM_KEPT);
        assert!(handle.core().ready.take().capacity() <= ROOM_KEPT);
    }
}
