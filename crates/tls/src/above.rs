//! The upper face: a transport like any other, for the application.

use std::any::{Any, TypeId};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use millrun_loop::catch;
use millrun_selector::{Address, SocketOption, SocketOptionName};
use millrun_transport::lifecycle::Lifecycle;
use millrun_transport::{CloseOutcome, Flow, InvalidLimits, Protocol, Transport, Watermarks};

use crate::session::{GATHERS, Session};
use crate::state::Stage;
use crate::writing::marks_below;
use crate::{TlsError, TlsInfo};

impl Transport for Session {
    fn write(&self, data: &[u8]) -> Flow {
        self.write_all(&[data])
    }

    fn write_bytes(&self, data: Bytes) -> Flow {
        self.write_owned(data)
    }

    fn writelines(&self, pieces: &[&[u8]]) -> Flow {
        self.write_all(pieces)
    }

    /// TLS 1.3 has half-close: the alert `close_notify`, then the end of what is below. TLS 1.2 has not: nothing happens there. Before the
    /// handshake is done it waits for what was written.
    fn write_eof(&self) {
        let early = matches!(self.stage.get(), Stage::Unwrapped | Stage::Handshake);
        if early || self.machine.borrow().has_half_close() {
            let _ = self.step(|life| life.handle_write_eof(false));
            self.seal_waiting();
        }
    }

    fn can_write_eof(&self) -> bool {
        self.machine.borrow().has_half_close()
    }

    fn flush(&self) {
        self.seal_waiting();
        self.flush_below();
        self.update_pressure();
    }

    fn close(&self) {
        self.begin_close(None);
    }

    fn close_within(&self, total: Duration) {
        self.begin_close(Some(total));
    }

    fn set_close_timeout(&self, without_progress: Duration) {
        self.shutdown_timeout.set(without_progress);
        if let Some(below) = self.below() {
            below.set_close_timeout(without_progress);
        }
    }

    fn abort(&self) {
        self.abort_with(None);
    }

    fn fail(&self, error: io::Error) {
        self.abort_with(Some(error));
    }

    fn is_closing(&self) -> bool {
        self.life.get().is_closing()
    }

    /// `Unsent` counts plaintext that was not sealed, and ciphertext that did not leave.
    fn close_outcome(&self) -> Option<CloseOutcome> {
        if !self.life.get().is_ending() {
            return None;
        }
        let below = match self.below().and_then(|below| below.close_outcome()) {
            Some(CloseOutcome::Unsent(unsent)) => unsent,
            Some(CloseOutcome::Flushed) | None => 0,
        };
        Some(match self.unsent.get() + below {
            0 => CloseOutcome::Flushed,
            unsent => CloseOutcome::Unsent(unsent),
        })
    }

    fn error(&self) -> Option<io::Error> {
        let error = self.error.take()?;
        let copy = TlsError::copy_of(&error);
        self.error.set(Some(error));
        Some(copy)
    }

    /// Stops delivery (TLS-021). What comes stays below: not a record more is opened.
    fn pause_reading(&self) {
        self.step(Lifecycle::handle_pause);
    }

    fn resume_reading(&self) {
        if self.step(Lifecycle::handle_resume) {
            self.queue_work();
        }
    }

    fn is_reading(&self) -> bool {
        self.life.get().is_reading()
    }

    fn can_pause_reading(&self) -> bool {
        self.below().is_none_or(|below| below.can_pause_reading())
    }

    fn set_protocol(&self, protocol: Box<dyn Protocol>) {
        if self.life.get().is_lost() {
            // Nobody would ever call it, and it may hold this transport: a circle.
            if let Err(panic) = catch(move || drop(protocol)) {
                self.panicked("drop of a protocol", panic);
            }
            return;
        }
        let mut pressure = self.pressure.get();
        pressure.handle_new_protocol();
        self.pressure.set(pressure);
        if let Err(panic) = self.slot.set(protocol) {
            self.panicked("drop of a protocol", panic);
        }
        self.update_pressure();
    }

    /// Plaintext that waits, and ciphertext that the transport below holds.
    fn write_buffer_size(&self) -> usize {
        self.buffered()
    }

    fn write_buffer_limits(&self) -> Watermarks {
        self.marks.get()
    }

    fn set_write_buffer_limits(&self, limits: Watermarks) -> Result<(), InvalidLimits> {
        let marks = limits.check()?;
        self.marks.set(marks);
        if let Some(below) = self.below() {
            below.set_write_buffer_limits(marks_below(marks))?;
        }
        self.update_pressure();
        Ok(())
    }

    fn set_gathering(&self, on: bool) {
        if on {
            self.mark(GATHERS);
        } else {
            self.unmark(GATHERS);
            self.flush();
        }
    }

    fn local_addr(&self) -> Option<Address> {
        self.below()?.local_addr()
    }

    fn peer_addr(&self) -> Option<Address> {
        self.below()?.peer_addr()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.below().ok_or(io::ErrorKind::NotConnected)?.set_option(option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.below().ok_or(io::ErrorKind::NotConnected)?.option(name)
    }

    /// What TLS knows is [`TlsInfo`]; anything else is asked of the transport below (TLS-009).
    fn extension(&self, which: TypeId) -> Option<Rc<dyn Any>> {
        if which == TypeId::of::<TlsInfo>() {
            return Some(Rc::new(TlsInfo::of(&self.machine.borrow())?));
        }
        self.below()?.extension(which)
    }
}
