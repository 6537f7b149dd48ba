//! What happens in one turn? Look (or wait), queue what came, run it in rounds.

use std::io;
use std::time::Duration;

use millrun_selector::{Event, Time};

use crate::metrics::add;
use crate::ready::Entry;
use crate::remote::{Item, Pending};
use crate::state::{Core, Flags};
use crate::timers::Timed;
use crate::{LoopClosed, RunError, catch};

/// Another round begins before the next look at the selector only while a turn has run at most so many
/// callbacks: a chain of tasks must not starve the sockets (D-16). Twice what the selector reports in one wait, so that the
/// tasks which events wake run in the turn of the events.
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

/// What a turn works on, empty between turns. It is the running loop's own: no callback can reach it, so nothing need
/// be taken out and put back.
#[derive(Default)]
pub(crate) struct Work {
    /// What other threads queued. The next round runs it after what was queued here.
    pub(crate) items: Vec<Item>,
    /// What the selector reported. The next round runs it after the items.
    pub(crate) events: Vec<Event>,
    /// What a round runs; empty between rounds.
    pub(crate) entries: Vec<Entry>,
}

impl Core {
    /// Turns until the end is asked for.
    pub(crate) fn run(&self, work: &mut Work, poll_root: PollRoot<'_>) -> Result<(), RunError> {
        loop {
            self.turn(None, work, poll_root)?;
            if self.flags.is_ending() {
                return Ok(());
            }
        }
    }

    /// One turn. Says whether anything ran.
    ///
    /// Inlined into the loop around it, with the usual turn whole: sleep, and run the events that came. All else
    /// is in functions of its own.
    #[inline(always)]
    pub(crate) fn turn(
        &self,
        max_wait: Option<Duration>,
        work: &mut Work,
        poll_root: PollRoot<'_>,
    ) -> Result<bool, RunError> {
        add(&self.counts.turns, 1);
        let is_quiet = self.flags.are_clear() && self.ready.is_empty();
        let now = if is_quiet && max_wait != Some(Duration::ZERO) {
            add(&self.counts.waits, 1);
            self.sleep(max_wait, work).map_err(|error| self.select_failed(error, work))?;
            None
        } else {
            self.select(max_wait, work).map_err(|error| self.select_failed(error, work))?
        };
        let mut ran = 0;
        if self.ready.is_empty() && work.items.is_empty() && !self.flags.any(Flags::MEASURED) {
            ran = self.run_event_round(&mut work.events);
            if self.ready.is_empty() {
                return Ok(ran > 0);
            }
        }
        Ok(self.run_rounds(ran, now, work, poll_root) > 0)
    }

    /// Looks or waits, and queues what is due. Gives the time, if the clock was read.
    #[inline(never)]
    fn select(&self, max_wait: Option<Duration>, work: &mut Work) -> io::Result<Option<Time>> {
        let is_measured = self.flags.any(Flags::MEASURED);
        let began = is_measured.then(|| self.clock.now());
        let result = self.look_or_wait(self.timeout(max_wait), work);
        if let Some(began) = began {
            let spent = self.clock.now().since(began);
            self.counts.select_time.set(self.counts.select_time.get() + spent);
        }
        result?;
        Ok(if self.has_timers() { Some(self.queue_timers(work)) } else { None })
    }

    /// How long the selector may wait: not at all when there is something to run (L-004), else until the next timer
    /// (L-005), else for ever (L-006).
    fn timeout(&self, max_wait: Option<Duration>) -> Option<Duration> {
        if !self.ready.is_empty() || self.flags.is_ending() || self.remote.0.is_pending() {
            return Some(Duration::ZERO);
        }
        if max_wait == Some(Duration::ZERO) || !self.has_timers() {
            return max_wait;
        }
        let deadline = self.timers.borrow_mut().next_deadline();
        let until = deadline.map(|when| when.since(self.clock.now()).min(LONGEST_WAIT));
        match (until, max_wait) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    fn has_timers(&self) -> bool {
        let has_timers = !self.timers.borrow().is_empty();
        self.flags.set(Flags::TIMERS, has_timers);
        has_timers
    }

    fn look_or_wait(&self, timeout: Option<Duration>, work: &mut Work) -> io::Result<()> {
        if timeout == Some(Duration::ZERO) {
            self.look(timeout, &mut work.events)?;
            if self.remote.0.is_pending() {
                self.take_remote(&mut work.items);
            }
            return Ok(());
        }
        add(&self.counts.waits, 1);
        match self.spin(timeout, work)? {
            Spun::Found => Ok(()),
            Spun::Left(timeout) => self.sleep(timeout, work),
        }
    }

    /// Waits, unless another thread has something to run, and queues that. A part of the usual turn.
    #[inline(always)]
    fn sleep(&self, timeout: Option<Duration>, work: &mut Work) -> io::Result<()> {
        let remote = &self.remote.0;
        let timeout = match remote.fall_asleep() {
            Ok(()) => timeout,
            Err(Pending) => Some(Duration::ZERO),
        };
        let result = self.look(timeout, &mut work.events);
        if let Err(Pending) = remote.awake() {
            self.take_remote(&mut work.items);
        }
        result
    }

    /// Looks busily for as long as [`LoopHandle::set_spin`](crate::LoopHandle::set_spin) said.
    fn spin(&self, timeout: Option<Duration>, work: &mut Work) -> io::Result<Spun> {
        let spin = timeout.map_or(self.spin.get(), |t| t.min(self.spin.get()));
        if spin.is_zero() {
            return Ok(Spun::Left(timeout));
        }
        let began = self.clock.now();
        let mut before = began;
        loop {
            self.look(Some(Duration::ZERO), &mut work.events)?;
            if self.remote.0.is_pending() {
                self.take_remote(&mut work.items);
                return Ok(Spun::Found);
            }
            if !work.events.is_empty() {
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

    #[inline]
    fn look(&self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<()> {
        match &mut *self.selector.borrow_mut() {
            Some(selector) => selector.select(timeout, out).or_else(unless_interrupted),
            None => Err(LoopClosed.into()),
        }
    }

    /// What came before the failure is not lost.
    #[cold]
    fn select_failed(&self, error: io::Error, work: &mut Work) -> RunError {
        self.queue_work(work);
        RunError::Select(error)
    }

    /// Queues items and events, behind what is queued.
    fn queue_work(&self, work: &mut Work) {
        for item in work.items.drain(..) {
            self.ready.push(|| item.into());
        }
        for Event { key, readiness } in work.events.drain(..) {
            self.ready.push(|| Entry::Io(key, readiness));
        }
    }

    #[inline(never)]
    fn take_remote(&self, items: &mut Vec<Item>) {
        let before = items.len();
        self.remote.0.take(items);
        add(&self.counts.remote_items, items.len() - before);
    }

    /// Queues what is due, in order of deadline (L-042), behind items and events. Reads the clock, once, and gives its time.
    fn queue_timers(&self, work: &mut Work) -> Time {
        let now = self.clock.now();
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some(timed) = due else { return now };
            add(&self.counts.timers_fired, 1);
            self.queue_work(work);
            match timed {
                Timed::Call(callback) => self.ready.push(|| Entry::Handle(callback)),
                // A waker may be a stranger's (of a combinator), but must only queue.
                Timed::Wake(waker) => {
                    if let Err(panic) = catch(|| waker.wake()) {
                        self.report_panic("exception in a waker", panic);
                    }
                }
            }
        }
    }

    /// Runs what is queued: the first round whole, then more of them within the budget. When `ran` entries were
    /// run already, that was the first round. Gives the number of all.
    #[inline(never)]
    fn run_rounds(
        &self,
        mut ran: usize,
        now: Option<Time>,
        work: &mut Work,
        poll_root: PollRoot<'_>,
    ) -> usize {
        let mut began = now;
        let mut looked = 0;
        loop {
            if ran > 0 {
                let next = self.ready.len();
                let is_pending = next == 0 && self.remote.0.is_pending();
                if self.flags.is_ending()
                    || ran + next > ROUNDS_CALLBACKS
                    || (next == 0 && !is_pending)
                {
                    return ran;
                }
                if ran - looked >= LOOK_AFTER {
                    looked = ran;
                    if self.took_long(&mut began) {
                        return ran;
                    }
                }
                // Other threads are not waited for, but as long as they have more, the selector need not be asked.
                if is_pending {
                    self.take_remote(&mut work.items);
                }
            }
            let round = self.run_round(work, poll_root);
            if round == 0 {
                return ran;
            }
            ran += round;
        }
    }

    /// The rounds that began then, or now, are over their time.
    #[inline(never)]
    fn took_long(&self, began: &mut Option<Time>) -> bool {
        let now = self.clock.now();
        now.since(*began.get_or_insert(now)) >= ROUNDS_TIME
    }
}

/// A signal that ends a wait is no failure: a selector of somebody's own may let EINTR through.
#[cold]
fn unless_interrupted(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error) }
}

/// What busy waiting came to.
enum Spun {
    Found,
    /// What is left of the timeout.
    Left(Option<Duration>),
}

#[cfg(all(test, feature = "os"))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use crate::EventLoop;
    use crate::ready::ROOM_KEPT;

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
        assert!(event_loop.work.items.capacity() <= ROOM_KEPT);
        let mut queued = Vec::new();
        handle.core().ready.take(&mut queued);
        assert!(queued.capacity() <= ROOM_KEPT);
        assert!(event_loop.work.entries.capacity() <= ROOM_KEPT);
    }
}
