//! A transport that breaks one rule: one that is right, behind a face that is not.

use std::any::{Any, TypeId};
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::{Rc, Weak};
use std::time::Duration;

use bytes::Bytes;
use millrun_conformance::{
    Attach, Connection, Invariant, SocketPeer, SocketWorld, TransportAbilities, TransportWorld,
};
use millrun_loop::EventLoop;
use millrun_selector::{Address, SocketOption, SocketOptionName};
use millrun_transport::{
    CloseOutcome, Flow, InvalidLimits, Protocol, SocketTransport, Transport, TransportOptions,
    Watermarks,
};

use super::Bug;
use super::protocol::{Between, Shared};
use crate::worlds::sockets::{Kind, Simulated};

/// A world of transports in which exactly one rule is broken; none with no bug.
pub struct BrokenTransports {
    event_loop: EventLoop,
    sockets: Simulated,
    bug: Option<Bug>,
    faces: Rc<RefCell<Vec<Weak<Face>>>>,
}

impl BrokenTransports {
    pub fn new(bug: Option<Bug>) -> io::Result<BrokenTransports> {
        let sockets = Simulated::new(Kind::Tcp);
        let sim = &sockets.sim;
        let event_loop = EventLoop::builder()
            .selector(sim.selector())
            .clock(sim.clock())
            .network(sim.network())
            .resolver(sim.resolver())
            .build()?;
        Ok(BrokenTransports { event_loop, sockets, bug, faces: Rc::default() })
    }

    fn attach(&self, socket: Box<dyn millrun_selector::Socket>) -> Attach {
        let (handle, bug, faces) = (self.event_loop.handle(), self.bug, self.faces.clone());
        Box::new(move |protocol| {
            let shared = Rc::new(Shared {
                bug,
                handle: handle.clone(),
                face: RefCell::default(),
                slot: RefCell::default(),
                others: faces.clone(),
                held: RefCell::new(()),
                told_paused: false.into(),
                saw_eof: false.into(),
                was_called: false.into(),
                is_over: false.into(),
                is_paused: false.into(),
                last_failure: RefCell::default(),
                withheld: RefCell::default(),
            });
            let between = Box::new(Between::new(&shared, protocol, false));
            let inner =
                SocketTransport::new(&handle, socket, between, TransportOptions::default())?;
            let face = Rc::new(Face { inner, shared: shared.clone() });
            *shared.face.borrow_mut() = Rc::downgrade(&face);
            faces.borrow_mut().push(Rc::downgrade(&face));
            // As long as the connection lives, so does its face.
            keep(&handle, &face);
            Ok(face as Rc<dyn Transport>)
        })
    }
}

/// Asks now and then whether it is over.
fn keep(handle: &millrun_loop::LoopHandle, face: &Rc<Face>) {
    if !face.shared.is_over.get() {
        let (again, face) = (handle.clone(), face.clone());
        let _ = handle.call_later(Duration::from_millis(1), move || keep(&again, &face));
    }
}

impl TransportWorld for BrokenTransports {
    fn event_loop(&mut self) -> &mut EventLoop {
        &mut self.event_loop
    }

    fn connect(&mut self) -> io::Result<Connection> {
        let (near, far) = self.sockets.pair()?;
        Ok(Connection::to(self.attach(near), SocketPeer::new(far)))
    }

    fn abilities(&self) -> TransportAbilities {
        // What is broken need not be waited for.
        let patience = Duration::from_millis(300);
        TransportAbilities::default().with_buffers(128 * 1024).with_patience(patience)
    }
}

/// What is seen of it.
pub struct Face {
    inner: Rc<SocketTransport>,
    shared: Rc<Shared>,
}

impl Face {
    fn is(&self, bug: Bug) -> bool {
        self.shared.is(bug)
    }

    fn answer(&self, flow: Flow) -> Flow {
        match flow {
            Flow::Paused if self.is(Invariant::FlowTells) => Flow::Open,
            Flow::Closed if self.is(Invariant::ClosedIsTold) => Flow::Open,
            flow => flow,
        }
    }
}

impl Transport for Face {
    fn write(&self, data: &[u8]) -> Flow {
        self.answer(self.inner.write(data))
    }

    fn write_bytes(&self, data: Bytes) -> Flow {
        self.answer(self.inner.write_bytes(data))
    }

    fn writelines(&self, pieces: &[&[u8]]) -> Flow {
        if self.is(Invariant::WritesArrive) {
            let reversed: Vec<&[u8]> = pieces.iter().rev().copied().collect();
            return self.inner.writelines(&reversed);
        }
        self.answer(self.inner.writelines(pieces))
    }

    fn write_eof(&self) {
        match self.shared.bug {
            Some(Invariant::WriteEofEndsIt) => {}
            Some(Invariant::WriteEofKeepsReading) => self.inner.close(),
            _ => self.inner.write_eof(),
        }
    }

    fn can_write_eof(&self) -> bool {
        !self.is(Invariant::AbilitiesAreTrue)
    }

    fn flush(&self) {
        if self.is(Invariant::AnyCallFromAnyCallback) {
            drop(self.shared.held.borrow_mut());
        }
        self.inner.flush();
    }

    fn close(&self) {
        self.shared.was_called.set(true);
        match self.shared.bug {
            // The gathered bytes go with it.
            Some(Invariant::CloseFlushes) => return self.inner.abort(),
            Some(Invariant::CallsDoNotCallBack) => {
                self.shared.call(|p| p.resume_writing());
            }
            Some(Invariant::CloseStopsReading) => self.shared.later(|shared| {
                if !shared.is_over.get() {
                    shared.call(|p| {
                        drop(p.landing());
                        p.data_received(b"a ghost")
                    });
                }
            }),
            Some(Invariant::NoPressureWhenClosing) if self.shared.told_paused.get() => {
                self.shared.later(Shared::resume);
            }
            _ => {}
        }
        self.inner.close();
    }

    fn close_within(&self, total: Duration) {
        if self.is(Invariant::CloseEnds) { self.close() } else { self.inner.close_within(total) }
    }

    fn set_close_timeout(&self, without_progress: Duration) {
        if !self.is(Invariant::CloseEnds) {
            self.inner.set_close_timeout(without_progress);
        }
    }

    fn abort(&self) {
        self.shared.was_called.set(true);
        if self.is(Invariant::AbortDrops) { self.inner.close() } else { self.inner.abort() }
    }

    fn fail(&self, error: io::Error) {
        self.shared.was_called.set(true);
        *self.shared.last_failure.borrow_mut() = Some(error.to_string());
        self.inner.fail(error);
    }

    fn is_closing(&self) -> bool {
        self.inner.is_closing() && !self.is(Invariant::ClosingIsTold)
    }

    fn close_outcome(&self) -> Option<CloseOutcome> {
        let outcome = self.inner.close_outcome();
        if self.is(Invariant::OutcomeIsTrue) {
            return outcome.map(|_| CloseOutcome::Flushed);
        }
        outcome
    }

    fn pause_reading(&self) {
        self.shared.is_paused.set(true);
        if !self.is(Invariant::PausedIsSilent) && !self.is(Invariant::PauseReachesThePeer) {
            self.inner.pause_reading();
        }
    }

    fn resume_reading(&self) {
        self.shared.is_paused.set(false);
        if self.is(Invariant::PauseReachesThePeer) {
            self.shared.later(|shared| {
                let withheld: Vec<u8> = shared.withheld.take().into();
                if !withheld.is_empty() {
                    let _ = shared.call(|p| p.data_received(&withheld));
                }
            });
        }
        if !self.is(Invariant::ResumedIsRead) {
            self.inner.resume_reading();
        }
    }

    fn is_reading(&self) -> bool {
        match self.shared.bug {
            Some(Invariant::ReadingIsTold) => true,
            Some(
                Invariant::PausedIsSilent
                | Invariant::PauseReachesThePeer
                | Invariant::ResumedIsRead,
            ) => !self.shared.is_paused.get() && !self.inner.is_closing(),
            _ => self.inner.is_reading(),
        }
    }

    fn error(&self) -> Option<io::Error> {
        if self.is(Invariant::ErrorIsTold) {
            return Some(io::Error::other("always"));
        }
        self.inner.error()
    }

    fn set_protocol(&self, protocol: Box<dyn Protocol>) {
        match self.shared.bug {
            Some(Invariant::NewOneTakesOver) => drop(protocol),
            Some(Invariant::CallbacksDoNotNest) => {
                self.inner.set_protocol(Box::new(Between::new(&self.shared, protocol, true)));
                self.shared.call(|p| p.pause_writing());
            }
            _ if self.shared.is_over.get() => drop(protocol),
            _ => self.inner.set_protocol(Box::new(Between::new(&self.shared, protocol, true))),
        }
    }

    fn write_buffer_size(&self) -> usize {
        match (self.shared.bug, self.inner.write_buffer_size()) {
            (Some(Invariant::SizeIsCounted), n) if n > 0 => n + 1,
            (Some(Invariant::OverIsHarmless), _) if self.shared.is_over.get() => 7,
            (_, n) => n,
        }
    }

    fn write_buffer_limits(&self) -> Watermarks {
        self.inner.write_buffer_limits()
    }

    fn set_write_buffer_limits(&self, limits: Watermarks) -> Result<(), InvalidLimits> {
        let set = self.inner.set_write_buffer_limits(limits);
        let size = self.inner.write_buffer_size();
        let is_between = size > limits.low && size <= limits.high;
        if is_between && self.shared.told_paused.get() && self.is(Invariant::PauseStays) {
            self.shared.told_paused.set(false);
            self.shared.later(Shared::resume);
        }
        if self.is(Invariant::LimitsHold) { Ok(()) } else { set }
    }

    fn set_gathering(&self, on: bool) {
        self.inner.set_gathering(on);
    }

    fn local_addr(&self) -> Option<Address> {
        let gone = self.is(Invariant::AddressesStay) && self.shared.is_over.get();
        self.inner.local_addr().filter(|_| !gone)
    }

    fn peer_addr(&self) -> Option<Address> {
        self.inner.peer_addr()
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.inner.set_option(option)
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        if self.is(Invariant::OptionsAnswer) {
            return Ok(SocketOption::NoDelay(true));
        }
        self.inner.option(name)
    }

    fn extension(&self, which: TypeId) -> Option<Rc<dyn Any>> {
        if self.is(Invariant::UnknownExtensionIsNone) {
            return Some(Rc::new(7_u8));
        }
        self.inner.extension(which)
    }
}

impl fmt::Debug for Face {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
