//! What is the end of a unit? A *unit* is one callback, one watch event or one poll of a task;
//! work can be left for its end: gathering of writes and settling of flow control hang on it, so
//! neither needs a timer or a turn of its own.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use crate::state::Core;
use crate::{ErrorContext, catch};

/// Work for the end of the running unit.
pub trait UnitEnd {
    /// Called once for each time that it was left, when the outermost unit ends. May write, and may
    /// leave more work: that runs before the unit is over, too. A panic is reported.
    fn unit_end(self: Rc<Self>);

    /// A name for reports.
    fn name(&self) -> &'static str {
        std::any::type_name::<Self>()
    }
}

/// How deep the units are nested, and what waits for the outermost one's end.
#[derive(Default)]
pub(crate) struct Units {
    depth: Cell<u32>,
    ends: RefCell<VecDeque<Rc<dyn UnitEnd>>>,
}

impl Units {
    pub(crate) fn is_inside(&self) -> bool {
        self.depth.get() > 0
    }

    pub(crate) fn leave_work(&self, work: Rc<dyn UnitEnd>) {
        self.ends.borrow_mut().push_back(work);
    }

    fn next(&self) -> Option<Rc<dyn UnitEnd>> {
        self.ends.borrow_mut().pop_front()
    }
}

/// Inside a unit until dropped, also by a panic.
pub(crate) struct InUnit<'a>(&'a Core);

impl Core {
    pub(crate) fn enter_unit(&self) -> InUnit<'_> {
        self.units.depth.set(self.units.depth.get() + 1);
        InUnit(self)
    }

    /// Runs what was left, in the order in which it was, until there is no more.
    #[inline(never)]
    fn end_unit(&self) {
        // One by one, for mostly there is one: taking the whole queue out would cost more than running it.
        while let Some(work) = self.units.next() {
            let mut name = "";
            let end = || {
                name = work.name();
                work.unit_end();
            };
            if let Err(panic) = catch(end) {
                self.report(
                    ErrorContext::new("exception at the end of a unit")
                        .panic(panic)
                        .detail("work", name),
                );
            }
        }
    }
}

impl Drop for InUnit<'_> {
    fn drop(&mut self) {
        let units = &self.0.units;
        let depth = units.depth.get();
        if depth == 1 && !units.ends.borrow().is_empty() {
            self.0.end_unit();
        }
        units.depth.set(depth - 1);
    }
}
