//! Which host is running? For the notes that it makes in the world's log.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use crate::log::Log;

thread_local! {
    static CURRENT: RefCell<Option<(Rc<Log>, Rc<str>)>> = const { RefCell::new(None) };
}

/// Writes a line into the world's log, in the name of the host that runs. Outside of a [`World`](crate::World) it
/// does nothing.
pub fn note(text: impl fmt::Display) {
    let current = CURRENT.with(|current| current.borrow().clone());
    if let Some((log, host)) = current {
        log.note(&host, text.to_string());
    }
}

/// Makes a host the one that runs, until the guard is dropped; then the one before is it again.
pub(crate) fn enter(log: &Rc<Log>, host: &Rc<str>) -> Entered {
    let now = Some((Rc::clone(log), Rc::clone(host)));
    Entered(CURRENT.with(|current| current.replace(now)))
}

pub(crate) struct Entered(Option<(Rc<Log>, Rc<str>)>);

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        let was = CURRENT.with(|current| current.replace(before));
        drop(was); // outside the borrow
    }
}
