//! [`Torture`]: counts the calls through the traits that it wraps, and lets one of them fail.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use millrun_selector::{Listener, Network, Resolver, Selector, Socket};

use super::network::{Names, Wrapped};
use super::selector::Watched;
use super::socket::{Listens, Talks};
use super::{Call, Fault};

/// Wraps the parts of any operating system, real or simulated: counts what is asked of them, and makes one call fail.
/// Clones are the same one.
///
/// The counting begins with the wrapping. Calls of all wrapped parts, and of the sockets that they make, have one
/// numbering; a program that asks the same in the same order has the same one each time.
#[derive(Clone)]
pub struct Torture(Arc<Mutex<State>>);

/// What shall fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The number of the call, from 0.
    pub at: usize,
    /// What becomes of it.
    pub fault: Fault,
    /// So many calls: this one, and those of its kind that follow.
    pub times: usize,
    /// Another one, later.
    pub second: Option<Second>,
}

/// A second call that fails: of which kind it is depends on what the first one led to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Second {
    /// The number of the call.
    pub at: usize,
    /// Which of its faults: this number, modulo how many it has.
    pub draw: usize,
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    target: Option<Target>,
    /// The call that is failing, and how often it still will.
    failing: Option<(Call, usize)>,
    met: Vec<(Call, Fault)>,
    /// So many calls are enough; no end unless told.
    budget: Option<usize>,
}

impl Torture {
    /// Counts, and lets everything pass.
    pub fn counting() -> Torture {
        Torture(Arc::default())
    }

    /// Lets one call fail, or some.
    pub fn failing(target: Target) -> Torture {
        let torture = Torture::counting();
        torture.state().target = Some(target);
        torture
    }

    /// After so many calls the selector fails for good: a program that goes round and round is stopped.
    #[must_use]
    pub fn with_budget(self, calls: usize) -> Torture {
        self.state().budget = Some(calls);
        self
    }

    /// A selector whose calls pass here.
    pub fn selector(&self, inner: Box<dyn Selector>) -> Box<dyn Selector> {
        Box::new(Watched::new(inner, self.clone()))
    }

    /// A network whose calls pass here, and those of all sockets and listeners that it makes.
    pub fn network(&self, inner: Rc<dyn Network>) -> Rc<dyn Network> {
        Rc::new(Wrapped { inner, torture: self.clone() })
    }

    /// A resolver whose calls pass here.
    pub fn resolver(&self, inner: Arc<dyn Resolver>) -> Arc<dyn Resolver> {
        Arc::new(Names { inner, torture: self.clone() })
    }

    /// A socket whose calls pass here: one that was made by other means than a wrapped network.
    pub fn socket(&self, inner: Box<dyn Socket>) -> Box<dyn Socket> {
        Box::new(Talks { inner, torture: self.clone() })
    }

    /// A listener whose calls pass here, and those of the sockets that it accepts.
    pub fn listener(&self, inner: Box<dyn Listener>) -> Box<dyn Listener> {
        Box::new(Listens { inner, torture: self.clone() })
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// What was made to fail so far: the kinds of call, and what became of them.
    pub fn met(&self) -> Vec<(Call, Fault)> {
        self.state().met.clone()
    }

    /// The budget of calls is used up.
    pub fn is_exhausted(&self) -> bool {
        let state = self.state();
        state.budget.is_some_and(|budget| state.calls.len() >= budget)
    }

    /// A call passes: what shall become of it?
    pub(super) fn passes(&self, call: Call) -> Option<Fault> {
        let mut state = self.state();
        let number = state.calls.len();
        state.calls.push(call);
        let target = state.target?;
        if target.at == number {
            state.failing = Some((call, target.times));
        }
        let fault = match (&mut state.failing, target.second) {
            (Some((kind, left)), _) if *kind == call && *left > 0 => {
                *left -= 1;
                target.fault
            }
            (_, Some(Second { at, draw })) if at == number => {
                call.faults()[draw % call.faults().len()]
            }
            _ => return None,
        };
        state.met.push((call, fault));
        Some(fault)
    }

    /// A call passes that can only fail or not.
    ///
    /// # Errors
    /// The fault.
    pub(super) fn check(&self, call: Call) -> io::Result<()> {
        match self.passes(call) {
            Some(Fault::Error(_, failure)) => Err(failure.into()),
            _ => Ok(()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Torture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Torture")
            .field("calls", &state.calls.len())
            .field("target", &state.target)
            .field("met", &state.met)
            .finish_non_exhaustive()
    }
}
