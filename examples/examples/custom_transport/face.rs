//! What the pipe shows to protocols and streams: all of [`Transport`] that has no default.

use std::io;

use millrun::transport::lifecycle::Lifecycle;
use millrun::transport::{CloseOutcome, Flow, InvalidLimits, Protocol, Transport, Watermarks};

use crate::pipe::Pipe;

impl Transport for Pipe {
    fn write(&self, data: &[u8]) -> Flow {
        if !self.life.get().takes_writes() {
            return Flow::Closed;
        }
        self.out.borrow_mut().extend(data);
        self.update_pressure();
        if self.pressure.get().is_paused() { Flow::Paused } else { Flow::Open }
    }

    fn write_eof(&self) {
        self.follow(self.step(|life| life.handle_write_eof(self.write_buffer_size() == 0)), None);
    }
    fn close(&self) {
        self.follow(self.step(|life| life.handle_close(self.write_buffer_size() == 0)), None);
    }
    fn abort(&self) {
        self.end(None);
    }
    fn fail(&self, error: io::Error) {
        self.end(Some(error));
    }

    fn is_closing(&self) -> bool {
        self.life.get().is_closing()
    }
    fn close_outcome(&self) -> Option<CloseOutcome> {
        let flushed = (self.unsent.get() == 0).then_some(CloseOutcome::Flushed);
        let outcome = flushed.unwrap_or(CloseOutcome::Unsent(self.unsent.get()));
        self.life.get().is_ending().then_some(outcome)
    }

    fn pause_reading(&self) {
        self.step(Lifecycle::handle_pause);
    }
    fn resume_reading(&self) {
        self.step(Lifecycle::handle_resume);
    }
    fn is_reading(&self) -> bool {
        self.life.get().is_reading()
    }

    fn set_protocol(&self, protocol: Box<dyn Protocol>) {
        if !self.life.get().is_lost() {
            let mut pressure = self.pressure.get();
            pressure.handle_new_protocol();
            self.pressure.set(pressure);
            let _ = self.slot.set(protocol);
        }
    }

    fn write_buffer_size(&self) -> usize {
        self.out.borrow().len()
    }
    fn write_buffer_limits(&self) -> Watermarks {
        self.marks.get()
    }
    fn set_write_buffer_limits(&self, limits: Watermarks) -> Result<(), InvalidLimits> {
        self.marks.set(limits.check()?);
        self.update_pressure();
        Ok(())
    }
}
