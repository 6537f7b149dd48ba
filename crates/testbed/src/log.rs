//! What happened, in order? The world's log: a line each, equal for equal seeds on every machine.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::rc::Rc;

use millrun_selector::Time;
use millrun_sim::{Happening, Sim};

/// The last lines of what happened.
pub(crate) struct Log {
    sim: Sim,
    lines: RefCell<VecDeque<Line>>,
    kept: Cell<usize>,
}

enum Line {
    /// What the simulated kernel saw.
    Kernel(Happening),
    /// What a host, or its loop, has to say.
    Note { at: Time, host: Rc<str>, what: String },
}

impl Log {
    pub(crate) fn new(sim: &Sim) -> Log {
        let log = Log { sim: sim.clone(), lines: RefCell::default(), kept: Cell::new(0) };
        log.keep(KEPT);
        log
    }

    /// How many lines are kept.
    pub(crate) fn keep(&self, lines: usize) {
        self.kept.set(lines);
        self.sim.set_trace(lines);
        self.trim();
    }

    /// Takes over what the kernel saw: before each note, so that all lines are in order.
    pub(crate) fn drain(&self) {
        if self.kept.get() > 0 {
            let happened = self.sim.take_trace();
            self.lines.borrow_mut().extend(happened.into_iter().map(Line::Kernel));
            self.trim();
        }
    }

    pub(crate) fn note(&self, host: &Rc<str>, what: String) {
        self.drain();
        let line = Line::Note { at: self.sim.now(), host: Rc::clone(host), what };
        self.lines.borrow_mut().push_back(line);
        self.trim();
    }

    /// All that is kept, or its last lines.
    pub(crate) fn text(&self, last: usize) -> String {
        self.drain();
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
        let surplus = lines.len().saturating_sub(self.kept.get());
        lines.drain(..surplus);
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Kernel(happening) => happening.fmt(f),
            Line::Note { at, host, what } => write!(f, "{at} {host}: {what}"),
        }
    }
}

/// Lines that are kept unless told otherwise: a few MiB of a long run, and all of a short one.
const KEPT: usize = 20_000;
