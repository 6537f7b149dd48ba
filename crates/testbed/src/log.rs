//! What happened, in order? The world's log: a line each, equal for equal seeds on every machine.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::rc::Rc;

use millrun_selector::Time;
use millrun_sim::Sim;

/// The last lines of what happened.
pub(crate) struct Log {
    sim: Sim,
    lines: RefCell<VecDeque<Line>>,
    kept: Cell<usize>,
}

struct Line {
    at: Time,
    host: Rc<str>,
    what: String,
}

impl Log {
    pub(crate) fn new(sim: &Sim) -> Log {
        Log { sim: sim.clone(), lines: RefCell::default(), kept: Cell::new(KEPT) }
    }

    /// How many lines are kept.
    pub(crate) fn keep(&self, lines: usize) {
        self.kept.set(lines);
        self.trim();
    }

    pub(crate) fn note(&self, host: &Rc<str>, what: String) {
        let line = Line { at: self.sim.now(), host: Rc::clone(host), what };
        self.lines.borrow_mut().push_back(line);
        self.trim();
    }

    /// All that is kept, or its last lines.
    pub(crate) fn text(&self, last: usize) -> String {
        let lines = self.lines.borrow();
        let mut text = String::new();
        for line in lines.iter().skip(lines.len().saturating_sub(last)) {
            // Writing to a String can't fail.
            let _ = writeln!(text, "{line}");
        }
        text
    }

    fn trim(&self) {
        let mut lines = self.lines.borrow_mut();
        while lines.len() > self.kept.get() {
            lines.pop_front();
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.host, self.what)
    }
}

/// Lines that are kept unless told otherwise: some MiB of a long run, and all of a short one.
const KEPT: usize = 20_000;
