//! What is true of an end of the pipe when something has changed, and how it ends: as the parts say.

use std::io;

use millrun::transport::Transport;
use millrun::transport::lifecycle::{Lifecycle, Next};

use crate::pipe::Pipe;

impl Pipe {
    pub(crate) fn update_pressure(&self) {
        let mut pressure = self.pressure.get();
        pressure.update(self.write_buffer_size(), self.marks.get());
        self.pressure.set(pressure);
    }

    pub(crate) fn end(&self, error: Option<io::Error>) {
        self.follow(self.step(Lifecycle::handle_end), error);
    }

    /// Does what the lifecycle says.
    pub(crate) fn follow(&self, next: Next, error: Option<io::Error>) {
        match next {
            Next::Wait | Next::Drain => {}
            Next::ShutDown => self.shut.set(true),
            Next::Lose => {
                self.shut.set(true);
                self.unsent.set(self.out.take().len());
                let Some(this) = self.this.upgrade() else { return };
                let _ = self.event_loop.call_soon(move || {
                    if this.step(Lifecycle::handle_lost) {
                        this.call(|p| p.connection_lost(error));
                    }
                    drop(this.slot.take()); // it may hold this pipe
                });
            }
        }
    }
}
