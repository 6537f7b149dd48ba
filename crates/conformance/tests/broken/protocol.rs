//! What stands between a transport that is right and a protocol, so that the protocol hears what is wrong.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::rc::{Rc, Weak};

use millrun_conformance::Invariant;
use millrun_loop::{ErrorContext, LoopHandle, catch};
use millrun_transport::slot::ProtocolSlot;
use millrun_transport::{Landing, Protocol, Transport};

use super::Bug;
use super::transport::Face;

/// What the two sides of one connection know of each other.
pub struct Shared {
    pub bug: Option<Bug>,
    pub handle: LoopHandle,
    pub face: RefCell<Weak<Face>>,
    /// The protocol that is heard now.
    pub slot: RefCell<Rc<ProtocolSlot>>,
    pub others: Rc<RefCell<Vec<Weak<Face>>>>,
    /// Held during each callback, as one should not.
    pub held: RefCell<()>,
    pub told_paused: Cell<bool>,
    pub saw_eof: Cell<bool>,
    pub was_called: Cell<bool>,
    pub is_over: Cell<bool>,
    pub is_paused: Cell<bool>,
    pub last_failure: RefCell<Option<String>>,
    pub withheld: RefCell<VecDeque<u8>>,
}

impl Shared {
    pub fn is(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    pub fn call<R>(&self, f: impl FnOnce(&mut dyn Protocol) -> R) -> Option<R> {
        let slot = self.slot.borrow().clone();
        slot.call(f).map(|outcome| outcome.unwrap_or_else(|panic| panic.resume()))
    }

    pub fn later(self: &Rc<Self>, f: impl FnOnce(&Shared) + 'static) {
        let shared = self.clone();
        let _ = self.handle.call_soon(move || f(&shared));
    }

    pub fn resume(&self) {
        self.call(|p| p.resume_writing());
    }

    fn face(&self) -> Option<Rc<Face>> {
        self.face.borrow().upgrade()
    }
}

/// Passes on what it is told, with one mistake.
pub struct Between {
    shared: Rc<Shared>,
    slot: Rc<ProtocolSlot>,
    is_second: bool,
    swallowed_pause: bool,
    /// The last bytes, where they are held back.
    pending: Vec<u8>,
    /// The protocol, while bytes may land in its memory.
    lent: Option<Box<dyn Protocol>>,
}

impl Between {
    pub fn new(shared: &Rc<Shared>, protocol: Box<dyn Protocol>, is_second: bool) -> Between {
        let slot = Rc::new(ProtocolSlot::new(protocol));
        *shared.slot.borrow_mut() = slot.clone();
        let shared = shared.clone();
        let pending = Vec::new();
        Between { shared, slot, is_second, swallowed_pause: false, pending, lent: None }
    }

    /// Calls the protocol that this one stands for; a panic goes on to the transport below.
    fn call<R>(&self, f: impl FnOnce(&mut dyn Protocol) -> R) -> Option<R> {
        let _held = self
            .shared
            .is(Invariant::AnyCallFromAnyCallback)
            .then(|| self.shared.held.borrow_mut());
        match self.slot.call(f)? {
            Ok(value) => Some(value),
            Err(panic) => match self.shared.bug {
                Some(Invariant::PanicEndsIt) => {
                    self.shared.handle.report(ErrorContext::new("caught").panic(panic));
                    None
                }
                Some(Invariant::PanicIsReported) => {
                    self.shared.face()?.fail(io::Error::other("a panic"));
                    None
                }
                Some(Invariant::PanicSparesOthers) => {
                    for other in self.shared.others.borrow().iter().filter_map(Weak::upgrade) {
                        other.abort();
                    }
                    panic.resume()
                }
                _ => panic.resume(),
            },
        }
    }

    /// What it breaks is what is received.
    fn changes_bytes(&self) -> bool {
        matches!(
            self.shared.bug,
            Some(
                Invariant::BytesAreTrue
                    | Invariant::BytesBeforeEof
                    | Invariant::BytesBeforeError
                    | Invariant::PauseReachesThePeer
            )
        )
    }

    /// The protocol, which lent its memory, is home again.
    fn take_back(&mut self) {
        if let Some(protocol) = self.lent.take() {
            let _ = self.slot.set(protocol);
        }
    }

    fn pass(&mut self, data: &[u8]) -> io::Result<()> {
        let passed = self.call(|p| p.data_received(data)).unwrap_or(Ok(()));
        if self.shared.is(Invariant::RefusedBytesEndIt) { Ok(()) } else { passed }
    }
}

impl Protocol for Between {
    fn connection_made(&mut self, _: Rc<dyn Transport>) {
        let Some(face) = self.shared.face() else { return };
        self.call(|p| p.connection_made(face.clone()));
        if self.shared.is(Invariant::MadeFirst) {
            self.call(|p| p.connection_made(face));
        }
    }

    fn landing(&mut self) -> Landing<'_> {
        self.take_back();
        if self.shared.is(Invariant::NoRoomPauses) {
            for _ in 0..4 {
                self.call(|p| drop(p.landing()));
            }
        }
        if self.changes_bytes() {
            // They come by `data_received`.
            let most = self.call(|p| match p.landing() {
                Landing::Anywhere => usize::MAX,
                Landing::Shared(most) => most,
                Landing::Own(memory) => memory.len(),
                Landing::Failed(_) => 0,
            });
            return Landing::Shared(most.unwrap_or(usize::MAX));
        }
        self.lent = self.slot.take();
        let bug = self.shared.bug;
        match self.lent.as_mut().map(|protocol| protocol.landing()) {
            Some(Landing::Failed(_)) if bug == Some(Invariant::FailedLandingEndsIt) => {
                Landing::Shared(0)
            }
            Some(_) if bug == Some(Invariant::RoomIsKept) => Landing::Shared(usize::MAX),
            // It may have another one to answer for at the next receive.
            Some(Landing::Anywhere) | None => Landing::Shared(usize::MAX),
            Some(landing) => landing,
        }
    }

    fn landed(&mut self, n: usize) -> io::Result<()> {
        self.take_back();
        let passed = self.call(|p| p.landed(n)).unwrap_or(Ok(()));
        if self.shared.is(Invariant::RefusedBytesEndIt) { Ok(()) } else { passed }
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        self.take_back();
        match self.shared.bug {
            Some(Invariant::BytesAreTrue) if data.len() > 1 => {
                let mut data = data.to_vec();
                data.swap(0, 1);
                self.pass(&data)
            }
            Some(Invariant::BytesBeforeEof | Invariant::BytesBeforeError) => {
                let before = std::mem::replace(&mut self.pending, data.to_vec());
                if before.is_empty() { Ok(()) } else { self.pass(&before) }
            }
            Some(Invariant::PauseReachesThePeer) if self.shared.is_paused.get() => {
                self.shared.withheld.borrow_mut().extend(data);
                Ok(())
            }
            _ => self.pass(data),
        }
    }

    fn eof_received(&mut self) -> bool {
        self.take_back();
        self.shared.saw_eof.set(true);
        match self.shared.bug {
            Some(Invariant::EofIsTold) => return true,
            Some(Invariant::DataIsNeverEmpty) => drop(self.pass(&[])),
            Some(Invariant::BytesBeforeError) => {
                let last = std::mem::take(&mut self.pending);
                let _ = self.pass(&last);
            }
            Some(Invariant::NothingAfterEof) => drop(self.call(|p| p.eof_received())),
            _ => {}
        }
        let answer = self.call(|p| p.eof_received()).unwrap_or(true);
        match self.shared.bug {
            Some(Invariant::EofKeepsWriting) => false,
            Some(Invariant::EofCloses) => true,
            _ => answer,
        }
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.take_back();
        self.shared.is_over.set(true);
        let asked = self.shared.was_called.get() || self.shared.saw_eof.get() || error.is_some();
        let error = match self.shared.bug {
            Some(Invariant::LostAlways) => return,
            Some(Invariant::LoopCloseTellsEach) if !asked => return,
            Some(Invariant::LostTellsWhy) => None,
            Some(Invariant::FirstEndWins) => {
                let last = self.shared.last_failure.take();
                last.map(io::Error::other).or(error)
            }
            _ => error,
        };
        let lost = catch(|| self.call(|p| p.connection_lost(error)));
        if self.shared.is(Invariant::LostIsLast) {
            self.call(|p| p.connection_lost(None));
        }
        let protocol = self.slot.take();
        if self.shared.is(Invariant::NothingIsKept) {
            std::mem::forget(protocol);
        }
        if let Err(panic) = lost {
            panic.resume();
        }
    }

    fn pause_writing(&mut self) {
        self.take_back();
        self.swallowed_pause = match self.shared.bug {
            Some(Invariant::AboveHighPauses) => true,
            Some(Invariant::NewOneIsToldPause) => self.is_second,
            _ => false,
        };
        if self.swallowed_pause {
            return;
        }
        self.shared.told_paused.set(true);
        self.call(|p| p.pause_writing());
        if self.shared.is(Invariant::PauseAndResumeAlternate) {
            self.call(|p| p.pause_writing());
        }
    }

    fn resume_writing(&mut self) {
        self.take_back();
        let at_low = self
            .shared
            .face()
            .is_some_and(|face| face.write_buffer_size() == face.write_buffer_limits().low);
        let forgotten = at_low && self.shared.is(Invariant::AtLowResumes);
        if !forgotten && !self.swallowed_pause {
            self.shared.told_paused.set(false);
            self.call(|p| p.resume_writing());
        }
    }
}
