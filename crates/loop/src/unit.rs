//! What is the end of a unit? A *unit* is one callback, one watch event or one poll of a task;
//! work can be left for its end: gathering of writes and settling of flow control hang on it, so
//! neither needs a timer or a turn of its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::catch;
use crate::state::Core;

/// Work for the end of the running unit.
pub trait UnitEnd {
    /// Called once for each time that it was left, when the outermost unit ends. May write, and may
    /// leave more work: that runs before the unit is over, too. A panic is reported.
    fn unit_end(self: Rc<Self>);

    /// A name for debug mode's reports.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// How deep the units are nested, and what waits for the outermost one's end.
#[derive(Default)]
pub(crate) struct Units {
    /// How deep, and how much is left: one word, since each unit asks for both when it ends.
    state: Cell<u64>,
    /// The first of what is left: mostly it is the only one.
    first: Cell<Option<Rc<dyn UnitEnd>>>,
    others: RefCell<VecDeque<Rc<dyn UnitEnd>>>,
}

/// In [`Units::state`], the lower half counts how deep it is, the upper half what is left.
const DEEPER: u64 = 1;
const LEFT: u64 = 1 << 32;

impl Units {
    pub(crate) fn is_inside(&self) -> bool {
        self.depth() > 0
    }

    fn depth(&self) -> u64 {
        self.state.get() % LEFT
    }

    #[inline]
    pub(crate) fn leave_work(&self, work: Rc<dyn UnitEnd>) {
        let state = self.state.get();
        self.state.set(state + LEFT);
        if state < LEFT {
            std::mem::forget(self.first.replace(Some(work))); // there was none
        } else {
            self.leave_more(work);
        }
    }

    #[inline(never)]
    fn leave_more(&self, work: Rc<dyn UnitEnd>) {
        self.others.borrow_mut().push_back(work);
    }

    #[inline(never)]
    fn next_of_others(&self) -> Option<Rc<dyn UnitEnd>> {
        self.others.borrow_mut().pop_front()
    }

    #[inline]
    fn next(&self) -> Option<Rc<dyn UnitEnd>> {
        let state = self.state.get();
        if state < LEFT {
            return None;
        }
        self.state.set(state - LEFT);
        self.first.take().or_else(|| self.next_of_others())
    }
}

/// Inside a unit until dropped, also by a panic.
pub(crate) struct InUnit<'a>(&'a Core);

impl Core {
    #[inline]
    pub(crate) fn enter_unit(&self) -> InUnit<'_> {
        self.units.state.set(self.units.state.get() + DEEPER);
        InUnit(self)
    }

    /// Runs what was left, in the order in which it was, until there is no more; only of the outermost unit.
    #[inline(never)]
    fn end_unit(&self) {
        // Mostly it is one: a loop around it would cost as much again.
        if self.units.state.get() == DEEPER + LEFT {
            if let Some(work) = self.units.first.take() {
                self.units.state.set(DEEPER);
                self.run_left(work);
                if self.units.state.get() == DEEPER {
                    return;
                }
            }
        }
        self.end_unit_further();
    }

    #[inline(never)]
    fn end_unit_further(&self) {
        if self.units.depth() != DEEPER {
            return;
        }
        while let Some(work) = self.units.next() {
            self.run_left(work);
        }
    }

    #[inline(always)]
    fn run_left(&self, work: Rc<dyn UnitEnd>) {
        if let Err(panic) = catch(|| work.unit_end()) {
            self.report_panic("exception at the end of a unit", panic);
        }
    }
}

impl InUnit<'_> {
    /// Ends this unit and begins the next one.
    #[inline]
    pub(crate) fn next(&self) {
        if self.0.units.state.get() != DEEPER {
            self.0.end_unit();
        }
    }

    /// Ends the last one, which has nothing left, since [`next`](Self::next) was called.
    #[inline]
    pub(crate) fn leave(self) {
        let state = &self.0.units.state;
        state.set(state.get() - DEEPER);
        std::mem::forget(self);
    }
}

impl Drop for InUnit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.next();
        let state = &self.0.units.state;
        state.set(state.get() - DEEPER);
    }
}
