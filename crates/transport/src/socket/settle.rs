//! What is left for the end of the unit? Sending what was gathered, and telling the protocol what is true.

use std::rc::Rc;

use millrun_loop::UnitEnd;

use super::SocketTransport;
use super::flags::{LEFT, SETTLING, UNSENT};
use crate::pressure::{Pressure, Signal};

impl SocketTransport {
    /// Leaves work for the end of the unit, once.
    pub(super) fn leave_work(&self) {
        if self.flags.has(LEFT | SETTLING) {
            return;
        }
        // Outside of any unit it would be queued, and be taken for the turn of `connection_made`, which sends
        // what there is anyway.
        if !self.life.get().is_made() && !self.handle().in_unit() {
            return;
        }
        if let Some(this) = self.this.upgrade() {
            self.flags.set(LEFT);
            self.handle().at_unit_end(this);
        }
    }

    /// The buffer's size or its marks changed.
    pub(super) fn update_pressure(&self) {
        let mut pressure = self.pressure.get();
        if !self.flags.has(UNSENT) && pressure == Pressure::new() {
            return;
        }
        let unsettled = pressure.update(self.buffered(), self.marks());
        self.pressure.set(pressure);
        if unsettled && self.life.get().tells_pressure() {
            self.leave_work();
        }
    }

    /// Tells the protocol what is true, if it is home and was told otherwise.
    fn settle(&self) {
        if !self.pressure.get().is_unsettled() || !self.life.get().tells_pressure() {
            return;
        }
        let mut callback = "";
        let outcome = self.slot.call(|p| {
            let mut pressure = self.pressure.get();
            let signal = pressure.settle();
            self.pressure.set(pressure);
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
        let life = self.life.get();
        if self.flags.has(LEFT) {
            self.finish_unit();
        } else if !life.is_made() {
            self.start();
        } else if life.is_ending() {
            self.lost();
        } else if life.is_draining() {
            self.drain();
        } else {
            self.finish_unit();
        }
    }

    fn name(&self) -> &'static str {
        "SocketTransport"
    }
}

impl SocketTransport {
    fn finish_unit(self: Rc<Self>) {
        self.flags.clear(LEFT);
        self.flags.set(SETTLING);
        self.send_buffered();
        self.settle();
        // What the callback wrote leaves too.
        self.send_buffered();
        self.flags.clear(SETTLING);
        // A callback that makes its own opposite true each time must not keep the unit from ending. A
        // loop that is closed tells nothing any more.
        let untold = self.pressure.get().is_unsettled() && self.life.get().tells_pressure();
        if untold || self.is_sendable() {
            let _ = self.handle().clone().call_soon(move || self.finish_unit());
        }
    }
}
