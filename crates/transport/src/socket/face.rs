//! Which of all this is [`Transport`]?

use std::any::{Any, TypeId};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use millrun_loop::catch;
use millrun_selector::{Address, Socket, SocketOption, SocketOptionName};

use super::call::copy_of;
use super::family::Owned;
use super::outgoing::Data;
use super::state::{ANYWHERE, GATHERS};
use super::{Peer, SocketTransport};
use crate::lifecycle::Lifecycle;
use crate::{CloseOutcome, Flow, InvalidLimits, Protocol, Transport, Watermarks};

impl Transport for SocketTransport {
    fn write(&self, data: &[u8]) -> Flow {
        self.write_slice(data)
    }

    fn write_bytes(&self, data: Bytes) -> Flow {
        self.write_data(Data::Owned(data))
    }

    fn writelines(&self, pieces: &[&[u8]]) -> Flow {
        self.write_data(Data::Pieces(pieces))
    }

    fn write_eof(&self) {
        self.end_writing();
    }

    fn flush(&self) {
        self.send_buffered();
    }

    fn close(&self) {
        self.begin_close(None);
    }

    fn close_within(&self, total: Duration) {
        self.begin_close(Some(total));
    }

    fn set_close_timeout(&self, without_progress: Duration) {
        self.set_close_timeout_to(without_progress);
    }

    fn abort(&self) {
        self.end(None);
        self.end_linger();
    }

    fn fail(&self, error: io::Error) {
        self.end(Some(error));
        self.end_linger();
    }

    fn is_closing(&self) -> bool {
        self.state.life().is_closing()
    }

    fn close_outcome(&self) -> Option<CloseOutcome> {
        if !self.state.life().is_ending() {
            return None;
        }
        Some(match self.peek(|rare| Some(rare.unsent)).unwrap_or(0) {
            0 => CloseOutcome::Flushed,
            unsent => CloseOutcome::Unsent(unsent),
        })
    }

    fn error(&self) -> Option<io::Error> {
        // Its text may be a stranger's code, which may ask here again.
        let error = self.peek(|rare| rare.error.take())?;
        let copy = copy_of(&error);
        let second = self.rare(|rare| rare.error.replace(error));
        self.drop_error(second);
        Some(copy)
    }

    fn pause_reading(&self) {
        if self.step(Lifecycle::handle_pause) {
            self.update_interest();
        }
    }

    fn resume_reading(&self) {
        if self.step(Lifecycle::handle_resume) {
            self.update_interest();
        }
    }

    fn is_reading(&self) -> bool {
        self.state.life().is_reading()
    }

    fn set_protocol(&self, protocol: Box<dyn Protocol>) {
        if self.state.life().is_lost() {
            // Nobody would ever call it, and it may hold this transport: a circle.
            if let Err(panic) = catch(move || drop(protocol)) {
                self.panicked("drop of a protocol", panic);
            }
            return;
        }
        let mut pressure = self.state.pressure();
        pressure.handle_new_protocol();
        self.state.set_pressure(pressure);
        self.state.clear(ANYWHERE);
        if let Err(panic) = self.slot.set(protocol) {
            self.panicked("drop of a protocol", panic);
        }
        self.update_pressure();
    }

    fn write_buffer_size(&self) -> usize {
        self.buffered()
    }

    fn write_buffer_limits(&self) -> Watermarks {
        self.marks()
    }

    fn set_write_buffer_limits(&self, limits: Watermarks) -> Result<(), InvalidLimits> {
        let marks = limits.check()?;
        self.rare(|rare| rare.marks = Some(marks));
        self.update_plain();
        self.update_pressure();
        Ok(())
    }

    fn set_gathering(&self, on: bool) {
        self.state.put(GATHERS, on);
        self.update_plain();
        if !on {
            self.send_buffered();
        }
    }

    fn local_addr(&self) -> Option<Address> {
        let asked = self.socket(|socket| socket.local_addr().ok()).flatten();
        asked.or_else(|| self.peek(|rare| rare.local.clone()))
    }

    fn peer_addr(&self) -> Option<Address> {
        match self.peer.get() {
            Peer::Unasked => self.ask_peer(),
            Peer::Unknown => None,
            Peer::V4(address) => Some(address.into()),
            Peer::Unnamed => Some(Address::UnixUnnamed),
            Peer::Other => self.peek(|rare| rare.peer.clone()),
        }
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.ask(|socket| socket.set_option(option))
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.ask(|socket| socket.option(name))
    }

    /// Nothing, but for this crate: the number of a connection that is over may be another's.
    fn extension(&self, which: TypeId) -> Option<Rc<dyn Any>> {
        if which != TypeId::of::<Owned>() || self.state.life().is_lost() {
            return None;
        }
        Some(Rc::new(self.common.owned(self.number)?))
    }
}

impl SocketTransport {
    fn ask<R>(&self, f: impl FnOnce(&dyn Socket) -> io::Result<R>) -> io::Result<R> {
        if self.state.life().is_lost() {
            return Err(ErrorKind::NotConnected.into());
        }
        self.socket(f).unwrap_or_else(|| Err(ErrorKind::NotConnected.into()))
    }
}
