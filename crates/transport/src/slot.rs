//! Where is the protocol? In its slot or on the stack, never both: [`ProtocolSlot`].
//!
//! A callback takes `&mut self`, and may call any method of its transport, which may want to call the
//! protocol. So a protocol is taken out of its slot for the time of a call. What finds the slot
//! empty can't call, and does not have to: it changes state, which is looked at again when the
//! protocol is home.

use std::cell::Cell;
use std::fmt;

use millrun_loop::{Panic, catch};

use crate::Protocol;

/// A place for one protocol, from which it is taken for each call.
///
/// If [`set`](ProtocolSlot::set) fills the slot while the former tenant is on the stack, the newer one
/// stays and the former is dropped when its call returns. No method panics, whatever the protocol's
/// own code does, its `Drop` too: the panic is the answer.
#[derive(Default)]
pub struct ProtocolSlot(Cell<Option<Box<dyn Protocol>>>);

impl ProtocolSlot {
    /// A slot with a protocol in it.
    pub const fn new(protocol: Box<dyn Protocol>) -> ProtocolSlot {
        ProtocolSlot(Cell::new(Some(protocol)))
    }

    /// Calls the protocol, and puts it back afterwards unless the slot was filled meanwhile.
    /// `None` when nobody is home: the call did not happen.
    ///
    /// # Errors
    /// The panic, if the call panicked; the protocol is put back then as well, since it still has to
    /// hear of the end. Also the panic of the drop of a protocol that was replaced meanwhile.
    #[inline(always)]
    pub fn call<R>(&self, f: impl FnOnce(&mut dyn Protocol) -> R) -> Option<Result<R, Panic>> {
        let mut protocol = self.0.take()?;
        // Nothing unwinds past this line, so the protocol is put back without a guard.
        let outcome = catch(|| f(&mut *protocol));
        Some(match self.0.replace(Some(protocol)) {
            None => outcome,
            Some(newer) => self.keep_newer(newer, outcome),
        })
    }

    /// The slot was filled during a call, so the one that was called is dropped.
    #[cold]
    fn keep_newer<R>(
        &self,
        newer: Box<dyn Protocol>,
        outcome: Result<R, Panic>,
    ) -> Result<R, Panic> {
        match self.0.replace(Some(newer)).map_or(Ok(()), drop_caught) {
            Ok(()) => outcome,
            Err(panic) => outcome.and(Err(panic)),
        }
    }

    /// Fills the slot. What was in it is dropped, when the slot is already filled.
    ///
    /// # Errors
    /// The panic of that drop.
    pub fn set(&self, protocol: Box<dyn Protocol>) -> Result<(), Panic> {
        self.0.replace(Some(protocol)).map_or(Ok(()), drop_caught)
    }

    /// Empties the slot. `None` when nobody is home.
    pub fn take(&self) -> Option<Box<dyn Protocol>> {
        self.0.take()
    }

    /// A protocol is in the slot. True during a call only if another one was set meanwhile.
    #[inline]
    pub fn is_home(&self) -> bool {
        let tenant = self.0.take();
        let home = tenant.is_some();
        self.0.set(tenant);
        home
    }
}

impl fmt::Debug for ProtocolSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_home() { "ProtocolSlot(home)" } else { "ProtocolSlot(empty)" })
    }
}

/// A protocol's drop is user code too.
#[cold]
fn drop_caught(protocol: Box<dyn Protocol>) -> Result<(), Panic> {
    catch(move || drop(protocol))
}
