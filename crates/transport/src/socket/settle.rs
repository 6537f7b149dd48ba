//! What is left for the end of the unit? Sending what was gathered, and telling the protocol what is true.

use std::rc::Rc;

use millrun_loop::UnitEnd;

use super::SocketTransport;
use super::state::{LEFT, SETTLING, State};
use crate::pressure::Signal;

impl SocketTransport {
    /// Leaves work for the end of the unit, once.
    #[inline]
    pub(super) fn leave_work(&self) {
        if self.leaves_work() {
            self.leave_work_now();
        }
    }

    /// Nobody who runs, and nothing that was left, looks at the end of the unit.
    #[inline]
    pub(super) fn leaves_work(&self) -> bool {
        !self.state.has(LEFT | SETTLING)
    }

    pub(super) fn leave_work_now(&self) {
        // Outside of any unit it would be queued, and be taken for the turn of `connection_made`, which sends
        // what there is anyway.
        if !self.state.life().is_made() && !self.handle().in_unit() {
            return;
        }
        if let Some(this) = self.this.upgrade() {
            self.state.set(LEFT);
            self.handle().at_unit_end(this);
        }
    }

    /// The buffer's size or its marks changed.
    #[inline]
    pub(super) fn update_pressure(&self) {
        if !self.state.is_at_rest() {
            self.change_pressure();
        }
    }

    fn change_pressure(&self) {
        let mut pressure = self.state.pressure();
        let unsettled = pressure.update(self.buffered(), self.marks());
        self.state.set_pressure(pressure);
        if unsettled && self.state.life().tells_pressure() {
            self.leave_work();
        }
    }

    /// Tells the protocol what is true, if it is home and was told otherwise.
    fn settle(&self) {
        if !self.state.pressure().is_unsettled() || !self.state.life().tells_pressure() {
            return;
        }
        let mut callback = "";
        let outcome = self.slot.call(|p| {
            let mut pressure = self.state.pressure();
            let signal = pressure.settle();
            self.state.set_pressure(pressure);
            match signal {
                Some(Signal::Pause) => {
                    callback = "pause_writing";
                    p.pause_writing();
                }
                Some(Signal::Resume) => {
                    callback = "resume_writing";
                    p.resume_writing();
                }
                None => {}
            }
        });
        if let Some(Err(panic)) = outcome {
            self.panicked(callback, panic);
        }
    }
}

/// All that the loop is asked to do later, without an allocation: the state tells what it is.
impl UnitEnd for SocketTransport {
    fn unit_end(self: Rc<Self>) {
        if self.state.has(LEFT) {
            self.finish_unit();
        } else {
            self.step_of_life();
        }
    }

    fn name(&self) -> &'static str {
        "SocketTransport"
    }
}

impl SocketTransport {
    /// An event of our own begins: what it leaves to be done is done when it ends, by [`finish`](Self::finish).
    #[inline]
    pub(super) fn begin_settling(&self) -> Settling<'_> {
        self.state.set(SETTLING);
        Settling(&self.state)
    }

    #[inline]
    fn step_of_life(self: Rc<Self>) {
        let life = self.state.life();
        if !life.is_made() {
            self.start();
        } else if life.is_ending() {
            self.lost();
        } else {
            self.step_rarely();
        }
    }

    #[cold]
    #[inline(never)]
    fn step_rarely(self: Rc<Self>) {
        if self.state.life().is_draining() {
            self.drain();
        } else {
            self.finish_unit();
        }
    }

    #[inline(always)]
    fn finish_unit(self: Rc<Self>) {
        self.state.clear(LEFT);
        let settling = self.begin_settling();
        self.finish(&settling);
    }

    /// Does what the unit has left, within it.
    #[inline(always)]
    pub(super) fn finish(self: &Rc<Self>, settling: &Settling<'_>) {
        if self.state.is_sendable() {
            self.finish_by_sending(settling);
        } else {
            self.finish_without_sending(settling);
        }
    }

    /// If something [is sendable](State::is_sendable): mostly that is all.
    #[inline(always)]
    pub(super) fn finish_by_sending(self: &Rc<Self>, settling: &Settling<'_>) {
        if !self.send_sendable() {
            self.tell_pressure(settling);
        }
    }

    /// If nothing is.
    #[inline(always)]
    pub(super) fn finish_without_sending(self: &Rc<Self>, settling: &Settling<'_>) {
        if !self.state.is_at_rest() {
            self.tell_pressure(settling);
        }
    }

    #[inline(never)]
    fn tell_pressure(self: &Rc<Self>, _: &Settling<'_>) {
        if self.state.is_at_rest() {
            return;
        }
        self.settle();
        // What the callback wrote leaves too.
        self.send_buffered();
        // A callback that makes its own opposite true each time must not keep the unit from ending. A
        // loop that is closed tells nothing any more.
        let untold = self.state.pressure().is_unsettled() && self.state.life().tells_pressure();
        if untold || self.state.is_sendable() {
            let this = Rc::clone(self);
            let _ = self.handle().call_soon(move || this.finish_unit());
        }
    }
}

/// The transport's own unit, which ends when this is dropped, also by a panic.
pub(super) struct Settling<'a>(&'a State);

impl Drop for Settling<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.clear(SETTLING);
    }
}
