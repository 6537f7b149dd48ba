//! What went in and what came out, of every direction of every connection; and what that must be.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use millrun_sim::Rng;

use crate::pattern::Pattern;

/// How large a stream may be between its reads, at most: what all readers of the sweep are limited to.
pub(crate) const LIMIT: usize = 4096;
/// The high mark of all writers of the sweep: low, so that they are paused often.
pub(crate) const HIGH: usize = 4096;
/// The largest single write.
pub(crate) const LARGEST_WRITE: usize = 10_000;

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Side {
    Client,
    Server,
}

/// How a connection is to be used, known to both ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// Both ends write all, end their direction, and read to the end: every byte arrives.
    Orderly,
    /// Anything may be cut off: what arrives is the beginning of what was sent.
    Rude,
}

/// How a sender ends its direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    /// After all that was accepted.
    Whole,
    /// What was accepted may be dropped.
    Cut,
}

#[derive(Debug)]
pub(crate) struct Direction {
    pattern: u64,
    /// What the sender has to say.
    pub(crate) total: u64,
    /// Accepted from the sender.
    pub(crate) written: Cell<u64>,
    /// The receiver has closed or aborted its connection: that is an end of file to its own reader, too.
    is_left: Cell<bool>,
    /// How the sender has ended its direction, if it has.
    ended: Cell<Option<End>>,
    /// Given to the receiver, each byte compared.
    pub(crate) received: Cell<u64>,
    /// The receiver has met the end of file.
    pub(crate) saw_end: Cell<bool>,
}

impl Direction {
    fn new(pattern: u64, total: u64) -> Direction {
        let (written, received) = (Cell::new(0), Cell::new(0));
        let (ended, saw_end) = (Cell::new(None), Cell::new(false));
        let is_left = Cell::new(false);
        Direction { pattern, total, written, is_left, ended, received, saw_end }
    }

    /// The next piece to write, of this size or what is left.
    pub(crate) fn next_piece(&self, size: usize) -> Vec<u8> {
        let left = self.total - self.written.get();
        Pattern(self.pattern).piece(self.written.get(), left.min(size as u64) as usize)
    }

    pub(crate) fn note_written(&self, bytes: usize) {
        self.written.set(self.written.get() + bytes as u64);
    }

    pub(crate) fn is_written(&self) -> bool {
        self.written.get() == self.total
    }

    /// The sender ends its direction. The first end counts.
    pub(crate) fn note_ended(&self, end: End) {
        self.ended.set(self.ended.get().or(Some(end)));
    }

    /// The receiver leaves: how the sender ends is not told to it any more.
    pub(crate) fn note_left(&self) {
        self.is_left.set(true);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.get().is_some()
    }

    /// Compares what has arrived.
    pub(crate) fn note_received(&self, bytes: &[u8]) {
        let at = self.received.get();
        assert!(!self.saw_end.get(), "{} bytes behind the end of file", bytes.len());
        assert!(Pattern(self.pattern).is_at(at, bytes), "other bytes at {at} than were sent");
        self.received.set(at + bytes.len() as u64);
    }

    /// The receiver has met the end of file: then the sender has ended, and all has come.
    pub(crate) fn note_end(&self) {
        assert!(!self.saw_end.replace(true), "the end of file twice");
        let (received, written) = (self.received.get(), self.written.get());
        match self.ended.get() {
            _ if self.is_left.get() => assert!(received <= written),
            None => panic!("an end of file that nobody has sent"),
            Some(End::Cut) => assert!(received <= written),
            Some(End::Whole) => {
                assert_eq!(received, written, "the end before the end (left: received)");
            }
        }
    }
}

/// One connection, known to both ends: they run on one thread.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u32,
    pub(crate) manner: Manner,
    to_server: Direction,
    to_client: Direction,
    /// `connection_made` and `connection_lost` of protocols at either end.
    pub(crate) made: Cell<u32>,
    pub(crate) lost: Cell<u32>,
    seed: u64,
}

impl Connection {
    /// What this end sends.
    pub(crate) fn outgoing(&self, side: Side) -> &Direction {
        if side == Side::Client { &self.to_server } else { &self.to_client }
    }

    /// What comes to this end.
    pub(crate) fn incoming(&self, side: Side) -> &Direction {
        if side == Side::Client { &self.to_client } else { &self.to_server }
    }

    /// The dice of one end.
    pub(crate) fn rng(&self, side: Side) -> Rng {
        Rng::new(self.seed.wrapping_mul(31) ^ if side == Side::Client { 1 } else { 2 })
    }

    fn check(&self) {
        assert_eq!(self.made.get(), self.lost.get(), "connections made (left) and lost: {self:?}");
        for direction in [&self.to_server, &self.to_client] {
            assert!(direction.received.get() <= direction.written.get(), "{self:?}");
            let is_whole = direction.is_written()
                && direction.saw_end.get()
                && direction.received.get() == direction.total;
            assert!(self.manner == Manner::Rude || is_whole, "not all has come: {self:?}");
        }
    }
}

/// All connections of a world, and who still needs the server.
#[derive(Default)]
pub(crate) struct Ledger {
    connections: RefCell<Vec<Rc<Connection>>>,
    /// Hosts that are not done with theirs.
    pub(crate) clients: Cell<u32>,
}

impl Ledger {
    /// A connection to be made, with how much each end has to say.
    pub(crate) fn open(&self, rng: &mut Rng, manner: Manner) -> Rc<Connection> {
        let mut total = || match rng.within(0..8) {
            0 => 0,
            1 => rng.within(0..120_000),
            2 | 3 => rng.within(0..20_000),
            _ => rng.within(0..3000),
        };
        let (to_server, to_client) = (total(), total());
        let mut connections = self.connections.borrow_mut();
        let connection = Rc::new(Connection {
            number: connections.len() as u32,
            manner,
            to_server: Direction::new(rng.next_u64(), to_server),
            to_client: Direction::new(rng.next_u64(), to_client),
            made: Cell::new(0),
            lost: Cell::new(0),
            seed: rng.next_u64(),
        });
        connections.push(Rc::clone(&connection));
        connection
    }

    /// The connection whose number a client has sent first.
    pub(crate) fn find(&self, number: [u8; 4]) -> Rc<Connection> {
        Rc::clone(&self.connections.borrow()[u32::from_be_bytes(number) as usize])
    }

    /// When the world is over.
    pub(crate) fn check(&self) {
        let connections = self.connections.borrow();
        assert!(!connections.is_empty(), "a world without a connection checks nothing");
        connections.iter().for_each(|connection| connection.check());
    }
}
