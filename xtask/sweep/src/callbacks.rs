//! One end of a connection, played with callbacks: what a protocol is told is checked against what it may be told.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use millrun_loop::{LoopHandle, oneshot};
use millrun_sim::Rng;
use millrun_transport::{Flow, Protocol, Transport, Watermarks};

use crate::ledger::{Connection, End, HIGH, LARGEST_WRITE, Ledger, Manner, Side};
use crate::streams::{pause, size};

/// What all protocols of one connection's end share: it may be replaced in the middle.
struct Talk {
    side: Side,
    /// A server learns whose connection it is from the first four bytes.
    ledger: Rc<Ledger>,
    connection: RefCell<Option<Rc<Connection>>>,
    number: RefCell<Vec<u8>>,
    transport: RefCell<Option<Rc<dyn Transport>>>,
    rng: RefCell<Rng>,
    /// Which protocol is in the slot.
    generation: Cell<u32>,
    /// What that one was told last.
    is_paused: Cell<bool>,
    saw_end: Cell<bool>,
    is_lost: Cell<bool>,
    /// A step is queued or armed.
    has_step: Cell<bool>,
    over: RefCell<Option<oneshot::Sender<()>>>,
}

/// The protocol in the slot, or one that was.
pub(crate) struct Talker {
    talk: Rc<Talk>,
    generation: u32,
}

impl Talker {
    /// A client's end, and what tells that it is over.
    pub(crate) fn client(
        ledger: &Rc<Ledger>,
        connection: Rc<Connection>,
    ) -> (Talker, oneshot::Receiver<()>) {
        let (over, is_over) = oneshot::channel();
        let talk = Talk::new(Side::Client, ledger);
        *talk.over.borrow_mut() = Some(over);
        talk.begin(connection);
        (Talker { talk: Rc::new(talk), generation: 0 }, is_over)
    }

    /// A server's end.
    pub(crate) fn server(ledger: &Rc<Ledger>) -> Talker {
        Talker { talk: Rc::new(Talk::new(Side::Server, ledger)), generation: 0 }
    }

    fn check(&self, what: &str) {
        let now = self.talk.generation.get();
        assert_eq!(self.generation, now, "{what} is told to a protocol that was replaced");
        assert!(!self.talk.is_lost.get(), "{what} after connection_lost");
    }
}

impl Talk {
    fn new(side: Side, ledger: &Rc<Ledger>) -> Talk {
        Talk {
            side,
            ledger: Rc::clone(ledger),
            connection: RefCell::default(),
            number: RefCell::default(),
            transport: RefCell::default(),
            rng: RefCell::new(Rng::new(0)),
            generation: Cell::new(0),
            is_paused: Cell::new(false),
            saw_end: Cell::new(false),
            is_lost: Cell::new(false),
            has_step: Cell::new(false),
            over: RefCell::default(),
        }
    }

    fn begin(&self, connection: Rc<Connection>) {
        connection.made.set(connection.made.get() + 1);
        *self.rng.borrow_mut() = connection.rng(self.side);
        *self.connection.borrow_mut() = Some(connection);
    }

    fn connection(&self) -> Option<Rc<Connection>> {
        self.connection.borrow().clone()
    }

    fn transport(&self) -> Rc<dyn Transport> {
        self.transport.borrow().clone().expect("made")
    }

    /// Writes on, after a while.
    fn step_later(self: &Rc<Self>) {
        if self.connection().is_none() || self.is_lost.get() || self.has_step.replace(true) {
            return;
        }
        let event_loop = LoopHandle::current().unwrap();
        let talk = Rc::clone(self);
        let step = move || {
            talk.has_step.set(false);
            talk.step();
        };
        if self.rng.borrow_mut().chance(0.5) {
            event_loop.call_soon(step).unwrap();
        } else {
            let after = pause(&mut self.rng.borrow_mut());
            event_loop.call_later(after, step).unwrap();
        }
    }

    fn step(self: &Rc<Self>) {
        let Some(connection) = self.connection() else { return };
        let out = connection.outgoing(self.side);
        if self.is_lost.get() || self.is_paused.get() || out.has_ended() {
            return;
        }
        let transport = self.transport();
        let is_rude = connection.manner == Manner::Rude;
        if is_rude && self.rng.borrow_mut().chance(0.03) {
            return self.be_rude(&connection);
        }
        if out.is_written() {
            out.note_ended(End::Whole);
            transport.write_eof();
            return self.close_if_over(&connection);
        }
        let data = out.next_piece(size(&mut self.rng.borrow_mut(), LARGEST_WRITE));
        match transport.write(&data) {
            Flow::Closed => assert!(is_rude, "an orderly connection takes no more"),
            Flow::Open | Flow::Paused => {
                out.note_written(data.len());
                let held = transport.write_buffer_size();
                assert!(held <= HIGH + LARGEST_WRITE, "a transport holds {held} bytes");
                self.step_later();
            }
        }
    }

    fn be_rude(&self, connection: &Connection) {
        let (transport, out) = (self.transport(), connection.outgoing(self.side));
        match self.rng.borrow_mut().within(0..4) {
            0 => {
                out.note_ended(End::Cut);
                transport.abort();
            }
            1 => {
                out.note_ended(End::Cut);
                transport.fail(io::Error::other("a whim"));
            }
            2 => {
                out.note_ended(End::Whole);
                transport.write_eof();
                self.close_if_over(connection);
            }
            _ => {
                out.note_ended(End::Whole);
                transport.close();
            }
        }
    }

    fn close_if_over(&self, connection: &Connection) {
        if self.saw_end.get() && connection.outgoing(self.side).has_ended() {
            self.transport().close();
        }
    }

    /// Stops reading for a while, or gives way to another protocol.
    fn have_a_whim(self: &Rc<Self>) {
        let transport = self.transport();
        let whim = self.rng.borrow_mut().within(0..8);
        if whim < 2 {
            transport.pause_reading();
            assert!(!transport.is_reading());
            let after = pause(&mut self.rng.borrow_mut());
            let resume = move || transport.resume_reading();
            LoopHandle::current().unwrap().call_later(after, resume).unwrap();
        } else if whim == 2 {
            let generation = self.generation.get() + 1;
            self.generation.set(generation);
            // The new one has been told nothing, and a level is told to it anew.
            self.is_paused.set(false);
            transport.set_protocol(Box::new(Talker { talk: Rc::clone(self), generation }));
            self.step_later();
        }
    }
}

impl Protocol for Talker {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.check("connection_made");
        assert!(self.talk.transport.borrow().is_none(), "connection_made twice");
        transport.set_write_buffer_limits(Watermarks::from_high(HIGH)).unwrap();
        *self.talk.transport.borrow_mut() = Some(Rc::clone(&transport));
        if let Some(connection) = self.talk.connection() {
            transport.write(&connection.number.to_be_bytes());
            self.talk.step_later();
        }
    }

    fn data_received(&mut self, mut data: &[u8]) -> io::Result<()> {
        self.check("data_received");
        assert!(!data.is_empty(), "data_received with nothing");
        if self.talk.connection().is_none() {
            let mut number = self.talk.number.borrow_mut();
            let missing = (4 - number.len()).min(data.len());
            number.extend_from_slice(&data[..missing]);
            data = &data[missing..];
            if let Ok(number) = <[u8; 4]>::try_from(number.as_slice()) {
                self.talk.begin(self.talk.ledger.find(number));
                self.talk.step_later();
            }
        }
        if let Some(connection) = self.talk.connection() {
            if !data.is_empty() {
                connection.incoming(self.talk.side).note_received(data);
            }
            self.talk.have_a_whim();
        }
        Ok(())
    }

    fn eof_received(&mut self) -> bool {
        self.check("eof_received");
        assert!(!self.talk.saw_end.replace(true), "eof_received twice");
        let Some(connection) = self.talk.connection() else { return false };
        connection.incoming(self.talk.side).note_end();
        self.talk.close_if_over(&connection);
        let is_kept =
            connection.manner == Manner::Orderly || self.talk.rng.borrow_mut().chance(0.5);
        if !is_kept {
            // It is closed, flushing first: what was written is what arrives.
            connection.outgoing(self.talk.side).note_ended(End::Whole);
        }
        is_kept
    }

    fn connection_lost(&mut self, error: Option<io::Error>) {
        self.check("connection_lost");
        self.talk.is_lost.set(true);
        if let Some(connection) = self.talk.connection() {
            connection.lost.set(connection.lost.get() + 1);
            let is_orderly = connection.manner == Manner::Orderly;
            assert!(!is_orderly || error.is_none(), "an orderly connection is lost: {error:?}");
        }
        if let Some(over) = self.talk.over.take() {
            // Its host may have stopped waiting.
            let _ = over.send(());
        }
    }

    fn pause_writing(&mut self) {
        self.check("pause_writing");
        assert!(!self.talk.is_paused.replace(true), "pause_writing twice");
    }

    fn resume_writing(&mut self) {
        self.check("resume_writing");
        assert!(self.talk.is_paused.replace(false), "resume_writing without a pause");
        self.talk.step_later();
    }
}
