//! How is what was queued run? One after the other, each as a unit, and what panics is reported and ends alone.

use std::fmt;
use std::panic::Location;

use millrun_selector::{Event, Key, Readiness};

use crate::debug::warn_slow;
use crate::metrics::add;
use crate::ready::{Entry, ROOM_KEPT};
use crate::remote::Item;
use crate::state::{Core, Flags, Phase};
use crate::task::ROOT;
use crate::turn::{PollRoot, Work};
use crate::{ErrorContext, Panic, catch};

impl Core {
    /// Runs exactly what is queued now (L-002), then the events. Gives the number of both.
    #[inline(always)]
    pub(crate) fn run_round(&self, work: &mut Work, poll_root: PollRoot<'_>) -> usize {
        if self.flags.any(Flags::MEASURED) {
            return self.run_measured_round(work, poll_root);
        }
        let (queued, items) = (self.ready.len(), work.items.len());
        let ran = queued + items + work.events.len();
        if ran == 0 {
            return 0;
        }
        add(&self.counts.rounds, 1);
        add(&self.counts.entries, queued + items);
        if queued > 1 {
            self.run_batch(&mut work.entries, poll_root);
        } else if let Some(entry) = self.ready.pop() {
            // As most are when there is little to do: the queue stays where it is.
            let unit = self.enter_unit();
            self.run_entry(entry, poll_root);
            unit.next();
            unit.leave();
        }
        if items > 0 {
            self.run_items(&mut work.items, poll_root);
        }
        if !work.events.is_empty() {
            self.run_events_behind(&mut work.events);
        }
        ran
    }

    /// Those that come behind what was queued: mostly there are only they, and they are run with the turn.
    #[inline(never)]
    fn run_events_behind(&self, events: &mut Vec<Event>) {
        self.run_events(events);
    }

    #[inline(never)]
    fn run_items(&self, items: &mut Vec<Item>, poll_root: PollRoot<'_>) {
        let unit = self.enter_unit();
        for item in items.drain(..) {
            match item {
                Item::Call(callback) => self.run_remote(callback),
                Item::Task { index, generation } => {
                    self.run_entry(Entry::Task { index, generation }, poll_root);
                }
            }
            unit.next();
        }
        unit.leave();
        trim(items);
    }

    #[inline]
    fn run_remote(&self, callback: Box<dyn FnOnce() + Send>) {
        if let Err(panic) = catch(callback) {
            self.report_panic("exception in a callback from another thread", panic);
        }
    }

    #[inline(never)]
    fn run_batch(&self, batch: &mut Vec<Entry>, poll_root: PollRoot<'_>) {
        self.ready.take(batch);
        let unit = self.enter_unit();
        for entry in batch.drain(..) {
            self.run_entry(entry, poll_root);
            unit.next();
        }
        unit.leave();
        trim(batch);
    }

    /// A round of events alone. Gives their number.
    #[inline(always)]
    pub(crate) fn run_event_round(&self, events: &mut Vec<Event>) -> usize {
        let ran = events.len();
        if ran > 0 {
            add(&self.counts.rounds, 1);
            self.run_events(events);
        }
        ran
    }

    #[inline(always)]
    fn run_events(&self, events: &mut Vec<Event>) {
        add(&self.counts.events, events.len());
        let unit = self.enter_unit();
        for &Event { key, readiness } in events.iter() {
            self.run_event(key, readiness);
            unit.next();
        }
        unit.leave();
        events.clear();
    }

    /// Runs one entry. Inlined, so that the entry is not moved once more.
    #[inline(always)]
    fn run_entry(&self, entry: Entry, poll_root: PollRoot<'_>) {
        match entry {
            Entry::Handle(callback) => callback.run_queued(self),
            Entry::Io(key, readiness) => self.run_queued_event(key, readiness),
            Entry::Task { .. } if self.phase.get() != Phase::Open => {}
            Entry::Task { index, generation } => {
                if !self.run_task(index, generation) {
                    self.run_no_task(index, generation, poll_root);
                }
            }
            Entry::UnitEnd { work, .. } => {
                if let Err(panic) = catch(|| work.unit_end()) {
                    self.report_panic("exception in a callback", panic);
                }
            }
            Entry::Remote(callback) => self.run_remote(callback),
        }
    }

    /// An event that had to wait for its turn behind callbacks: of a failed wait, or before a timer.
    #[inline(never)]
    fn run_queued_event(&self, key: Key, readiness: Readiness) {
        add(&self.counts.queued_events, 1);
        self.run_event(key, readiness);
    }

    /// What was woken is in no place of the table: it was aborted, or is over; or has none.
    #[inline(never)]
    fn run_no_task(&self, index: u32, generation: u32, poll_root: PollRoot<'_>) {
        if index == ROOT { poll_root(generation) } else { self.drop_aborted(index, generation) }
    }

    #[cold]
    pub(crate) fn callback_panicked(
        &self,
        name: &'static str,
        location: &'static Location<'static>,
        panic: Panic,
    ) {
        self.report(
            ErrorContext::new(format!("exception in callback {name}"))
                .panic(panic)
                .detail("handle", format_args!("queued at {location}")),
        );
    }

    /// As [`run_round`](Self::run_round), with a look at the clock before and after each entry.
    #[inline(never)]
    fn run_measured_round(&self, work: &mut Work, poll_root: PollRoot<'_>) -> usize {
        self.ready.take(&mut work.entries);
        work.entries.extend(work.items.drain(..).map(Entry::from));
        let ran = work.entries.len() + work.events.len();
        if ran > 0 {
            add(&self.counts.rounds, 1);
            add(&self.counts.entries, ran);
        }
        for entry in work.entries.drain(..) {
            self.run_measured(entry, poll_root);
        }
        for Event { key, readiness } in work.events.drain(..) {
            self.run_measured(Entry::Io(key, readiness), poll_root);
        }
        trim(&mut work.entries);
        trim(&mut work.items);
        ran
    }

    fn run_measured(&self, entry: Entry, poll_root: PollRoot<'_>) {
        let description = Description::of(self, &entry);
        let began = self.clock.now();
        let unit = self.enter_unit();
        self.run_entry(entry, poll_root);
        drop(unit);
        let spent = self.clock.now().since(began);
        if spent > self.counts.longest_callback.get() {
            self.counts.longest_callback.set(spent);
        }
        if self.debug.get() && spent >= self.slow.get() {
            warn_slow(&description, spent);
        }
    }
}

/// A burst leaves no more room behind than its share.
fn trim<T>(batch: &mut Vec<T>) {
    if batch.capacity() > ROOM_KEPT {
        batch.shrink_to(ROOM_KEPT);
    }
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
