//! One end: its transport, what is known of it, and its protocol, which looks at all that it is told.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use millrun_sim::SimPeer;
use millrun_transport::{Landing, Protocol, Transport};

/// How far the callbacks have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    New,
    Made,
    Eof,
    Lost,
}

pub(super) struct End {
    pub(super) which: usize,
    pub(super) peer: SimPeer,
    pub(super) transport: RefCell<Option<Rc<dyn Transport>>>,
    pub(super) stage: Cell<Stage>,
    /// Bytes that this end's writes took.
    pub(super) sent: Cell<usize>,
    pub(super) got: Cell<usize>,
    pub(super) room: Cell<usize>,
    /// The protocol lives.
    pub(super) is_held: Cell<bool>,
    broken: RefCell<Option<String>>,
}

/// Byte `at` of what this end writes.
fn byte(which: usize, at: usize) -> u8 {
    (at.wrapping_mul(31) ^ (at >> 8).wrapping_mul(7) ^ which.wrapping_mul(101)) as u8
}

pub(super) fn bytes(which: usize, from: usize, n: usize) -> Vec<u8> {
    (from..from + n).map(|at| byte(which, at)).collect()
}

impl End {
    pub(super) fn new(which: usize, peer: SimPeer) -> Rc<End> {
        Rc::new(End {
            which,
            peer,
            transport: RefCell::default(),
            stage: Cell::new(Stage::New),
            sent: Cell::new(0),
            got: Cell::new(0),
            room: Cell::new(usize::MAX),
            is_held: Cell::new(true),
            broken: RefCell::default(),
        })
    }

    /// Noted here, and said outside: what panics in a callback is caught.
    pub(super) fn must(&self, is_so: bool, what: impl FnOnce() -> String) {
        if !is_so {
            let which = ["client", "server"][self.which];
            self.broken.borrow_mut().get_or_insert_with(|| format!("{which}: {}", what()));
        }
    }

    pub(super) fn verify(&self) {
        if let Some(broken) = self.broken.borrow().as_ref() {
            panic!("{broken}");
        }
    }

    fn received(&self, data: &[u8]) {
        let (from, stage) = (self.got.get(), self.stage.get());
        self.must(stage == Stage::Made, || format!("data in {stage:?}"));
        let right = bytes(1 - self.which, from, data.len());
        self.must(!data.is_empty() && data == right, || {
            format!("{} bytes from {from} are not those that were sent", data.len())
        });
        self.got.set(from + data.len());
    }
}

/// Watches one end.
pub(super) struct Watcher(pub(super) Rc<End>);

impl Protocol for Watcher {
    fn connection_made(&mut self, _: Rc<dyn Transport>) {
        let before = self.0.stage.replace(Stage::Made);
        self.0.must(before == Stage::New, || format!("made in {before:?}"));
    }

    fn landing(&mut self) -> Landing<'_> {
        Landing::Shared(self.0.room.get())
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        let room = self.0.room.get();
        self.0.must(data.len() <= room, || format!("{} bytes for a room of {room}", data.len()));
        self.0.received(data);
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        let before = self.0.stage.replace(Stage::Eof);
        self.0.must(before == Stage::Made, || format!("eof in {before:?}"));
        true
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        let before = self.0.stage.replace(Stage::Lost);
        let in_order = matches!(before, Stage::Made | Stage::Eof);
        self.0.must(in_order, || format!("lost in {before:?}"));
        let text = error.map(|error| error.to_string()).unwrap_or_default();
        let panicked = text.contains("panicked") || text.contains("assertion");
        self.0.must(!panicked, || format!("lost with {text}"));
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.0.is_held.set(false);
    }
}
