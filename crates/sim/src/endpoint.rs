//! One end of a stream inside the kernel: its buffers and what is true of it. No I/O, no other end.
//!
//! The rules are Linux's, as a program can see them:
//! - Bytes that have arrived are read before the end of file or the error behind them.
//! - A reset leaves one error, taken by the next read, write or `take_error`; from then on reads give 0
//!   and writes give EPIPE. After the peer's FIN a reset shows as EPIPE, and to writes alone.
//! - A Unix socket learns of its peer's close at once: writes give EPIPE; if the peer left bytes
//!   unread, reads give ECONNRESET.

use std::collections::VecDeque;
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::{Address, Readiness, ReadyCell, Time};

use crate::machine::MachineId;
use crate::{Counters, Failure, Fault};

/// The number of a socket: counts up, never used twice.
pub(crate) type Id = u64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tcp,
    Unix,
}

/// Who holds an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Owner {
    /// A socket object: it counts as a descriptor.
    Descriptor,
    /// A listener's queue.
    Queue,
    /// A test, through its `SimPeer`.
    Script,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// The request is on its way.
    Connecting,
    /// Bytes flow, until both sides have said FIN.
    Connected,
    /// Refused, reset or failed: nothing flows any more.
    Dead,
}

/// What came over the wire and found no room, in order.
#[derive(Debug)]
pub(crate) enum Segment {
    Data(Vec<u8>),
    Fin,
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) cell: Rc<ReadyCell>,
    /// Where it is.
    pub(crate) machine: MachineId,
    pub(crate) kind: Kind,
    pub(crate) owner: Owner,
    pub(crate) state: State,
    pub(crate) local: Address,
    pub(crate) remote: Address,
    /// Where the other end is.
    pub(crate) remote_machine: MachineId,
    /// The other end, once known. It may be gone.
    pub(crate) peer: Option<Id>,
    /// The port was taken for this end alone, and is given back with it.
    pub(crate) owns_port: bool,

    /// Arrived, unread.
    pub(crate) received: VecDeque<u8>,
    pub(crate) receive_capacity: usize,
    pub(crate) stalled: VecDeque<Segment>,
    /// Taken from the writer, not yet in the peer's receive buffer.
    pub(crate) unacked: usize,
    pub(crate) send_capacity: usize,
    /// How many bytes the kernel still takes, if a script limits it.
    pub(crate) window: Option<usize>,
    /// A write met the end of the room: the next room is an edge.
    pub(crate) starved: bool,
    /// No packet to here may arrive before this: packets don't overtake.
    pub(crate) latest_arrival: Time,

    /// When it began to connect.
    pub(crate) began: Time,
    /// It ends with ETIMEDOUT then: something is held that it has sent, or waits for.
    pub(crate) alarm: Option<Time>,
    /// It ended with ETIMEDOUT, and its peer does not know.
    pub(crate) gave_up: bool,
    /// Arrived bytes of which the sender can't hear.
    pub(crate) acks_owed: usize,

    pub(crate) read_shut: bool,
    pub(crate) write_shut: bool,
    pub(crate) fin_received: bool,
    /// Unix: the other end was closed.
    pub(crate) peer_gone: bool,
    pub(crate) was_reset: bool,
    pub(crate) error: Option<Failure>,

    pub(crate) no_delay: bool,
    pub(crate) keep_alive: bool,
    pub(crate) linger: Option<Duration>,

    pub(crate) read_script: VecDeque<Fault>,
    pub(crate) write_script: VecDeque<Fault>,
    pub(crate) counters: Counters,
}

impl Endpoint {
    pub(crate) fn new(
        machine: MachineId,
        kind: Kind,
        owner: Owner,
        state: State,
        buffers: Buffers,
    ) -> Endpoint {
        Endpoint {
            cell: Rc::new(ReadyCell::new()),
            machine,
            kind,
            owner,
            state,
            local: Address::UnixUnnamed,
            remote: Address::UnixUnnamed,
            remote_machine: machine,
            peer: None,
            owns_port: false,
            received: VecDeque::new(),
            receive_capacity: buffers.receive,
            stalled: VecDeque::new(),
            unacked: 0,
            send_capacity: buffers.send,
            window: None,
            starved: false,
            latest_arrival: Time::ZERO,
            began: Time::ZERO,
            alarm: None,
            gave_up: false,
            acks_owed: 0,
            read_shut: false,
            write_shut: false,
            fin_received: false,
            peer_gone: false,
            was_reset: false,
            error: None,
            no_delay: false,
            keep_alive: false,
            linger: None,
            read_script: VecDeque::new(),
            write_script: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Arrived bytes move into the receive buffer as far as there is room. Says how many bytes did.
    pub(crate) fn pull_stalled(&mut self) -> usize {
        let mut moved = 0;
        while let Some(segment) = self.stalled.front_mut() {
            match segment {
                Segment::Data(bytes) => {
                    let room = self.receive_capacity.saturating_sub(self.received.len());
                    let n = room.min(bytes.len());
                    moved += n;
                    self.received.extend(bytes.drain(..n));
                    if !bytes.is_empty() {
                        break;
                    }
                }
                Segment::Fin => self.fin_received = true,
            }
            self.stalled.pop_front();
        }
        moved
    }

    /// What a read would give now.
    pub(crate) fn readable(&self) -> Answer {
        if !self.received.is_empty() {
            return Answer::Bytes(self.received.len());
        }
        match (self.kind, self.error) {
            (Kind::Unix, Some(_)) => Answer::Error,
            _ if self.fin_received => Answer::End,
            (_, Some(_)) => Answer::Error,
            _ if self.read_shut || self.state == State::Dead => Answer::End,
            _ => Answer::Wait,
        }
    }

    /// What a write would meet now; `End` is a broken pipe.
    pub(crate) fn writable(&self) -> Answer {
        if self.error.is_some() {
            return Answer::Error;
        }
        if self.write_shut || self.peer_gone || self.state == State::Dead {
            return Answer::End;
        }
        match self.room() {
            0 => Answer::Wait,
            n => Answer::Bytes(n),
        }
    }

    /// How many bytes a write could hand over.
    pub(crate) fn room(&self) -> usize {
        if self.state != State::Connected {
            return 0;
        }
        let room = self.send_capacity.saturating_sub(self.unacked);
        room.min(self.window.unwrap_or(usize::MAX))
    }

    /// Bytes were taken from the writer.
    pub(crate) fn took(&mut self, n: usize) {
        self.unacked += n;
        if let Some(window) = &mut self.window {
            *window -= n.min(*window);
        }
    }

    /// The connection is over. After the peer's FIN a reset is an EPIPE.
    pub(crate) fn die(&mut self, failure: Failure) {
        self.state = State::Dead;
        let late = self.fin_received && failure == Failure::ECONNRESET;
        self.error = Some(if late { Failure::EPIPE } else { failure });
        self.stalled.clear();
        self.unacked = 0;
        self.peer = None;
    }

    /// Bytes have arrived that nobody read.
    pub(crate) fn has_unread(&self) -> bool {
        !self.received.is_empty() || self.stalled.iter().any(|s| matches!(s, Segment::Data(_)))
    }

    /// What epoll would report of this end.
    pub(crate) fn poll(&self) -> Readiness {
        let mut bits = Readiness::NONE;
        if self.state == State::Connecting {
            return bits;
        }
        let dead = self.state == State::Dead;
        let read_end = self.fin_received || self.read_shut || dead;
        let write_end = self.write_shut || self.peer_gone || dead;
        if read_end || self.readable() != Answer::Wait {
            bits |= Readiness::READABLE;
        }
        if write_end || self.writable() != Answer::Wait {
            bits |= Readiness::WRITABLE;
        }
        if read_end {
            bits |= Readiness::READ_CLOSED;
        }
        // One direction shut is no hang-up: only both are.
        if dead || self.peer_gone || (self.write_shut && read_end) {
            bits |= Readiness::WRITE_CLOSED;
        }
        if self.error.is_some() {
            bits |= Readiness::ERROR;
        }
        bits
    }

    /// Ends directions. True when the peer must be told.
    pub(crate) fn shut(&mut self, how: Shutdown) -> bool {
        if matches!(how, Shutdown::Read | Shutdown::Both) {
            self.read_shut = true;
        }
        let writes = matches!(how, Shutdown::Write | Shutdown::Both);
        writes && !std::mem::replace(&mut self.write_shut, true)
    }
}

/// What a call would meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// So many bytes could be transferred.
    Bytes(usize),
    /// No more, ever.
    End,
    /// The pending error.
    Error,
    /// Nothing now.
    Wait,
}

/// How much the kernel holds for one end, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Buffers {
    pub(crate) send: usize,
    pub(crate) receive: usize,
}

impl Buffers {
    /// 64 KiB each way: what a Linux receive buffer starts with, and small enough that a test fills it.
    pub(crate) const DEFAULT: Buffers = Buffers { send: 65_536, receive: 65_536 };
}
