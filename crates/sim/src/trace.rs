//! What happened, as the kernel saw it: [`Happening`].

use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::rc::Rc;

use millrun_selector::{Address, Time};

use crate::Fault;
use crate::endpoint::Id;
use crate::kernel::{Kernel, Tables};
use crate::machine::MachineId;

/// Something that happened, when and where. Its text has no line break, and is equal for equal seeds.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Happening {
    /// When, on the virtual clock.
    pub at: Time,
    /// The host; `None` is the machine without a name.
    pub host: Option<Rc<str>>,
    /// What.
    pub what: What,
}

/// What can happen. Sockets have numbers, in the order in which they were made.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum What {
    /// A program listens.
    Listens {
        /// Where.
        at: Address,
    },
    /// A program begins to connect.
    Connects {
        /// The socket.
        socket: u64,
        /// From where.
        from: Address,
        /// Where to.
        to: Address,
    },
    /// That connection stands.
    Connected {
        /// The socket.
        socket: u64,
    },
    /// A program accepts a connection.
    Accepts {
        /// The new socket.
        socket: u64,
        /// Whose connection it is.
        from: Address,
    },
    /// A program has handed bytes over.
    Sends {
        /// The socket.
        socket: u64,
        /// How many.
        bytes: usize,
    },
    /// A program has taken bytes out.
    Receives {
        /// The socket.
        socket: u64,
        /// How many.
        bytes: usize,
    },
    /// A socket sends no more.
    SendsFin {
        /// The socket.
        socket: u64,
    },
    /// The other end's FIN has come.
    GetsFin {
        /// The socket.
        socket: u64,
    },
    /// A socket resets its connection.
    SendsReset {
        /// The socket.
        socket: u64,
    },
    /// A connection is over: refused, reset, timed out.
    Fails {
        /// The socket.
        socket: u64,
        /// Why.
        error: ErrorKind,
    },
    /// A program has closed a socket.
    Closes {
        /// The socket.
        socket: u64,
    },
    /// A call met a fault, by order or by chance.
    Meets {
        /// The socket, if there is one yet.
        socket: Option<u64>,
        /// The fault.
        fault: Fault,
    },
    /// From here nothing reaches the other host any more.
    Parted {
        /// The other host.
        from: Rc<str>,
    },
    /// From here the other host can be reached again.
    Healed {
        /// The other host.
        with: Rc<str>,
    },
    /// The host has lost its power.
    Crashed,
    /// The host is there again.
    Restarted,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Listens { at } => write!(f, "listens at {at}"),
            What::Connects { socket, from, to } => {
                write!(f, "socket {socket} connects from {from} to {to}")
            }
            What::Connected { socket } => write!(f, "socket {socket} is connected"),
            What::Accepts { socket, from } => write!(f, "socket {socket} is accepted from {from}"),
            What::Sends { socket, bytes } => write!(f, "socket {socket} sends {bytes} bytes"),
            What::Receives { socket, bytes } => {
                write!(f, "socket {socket} receives {bytes} bytes")
            }
            What::SendsFin { socket } => write!(f, "socket {socket} sends FIN"),
            What::GetsFin { socket } => write!(f, "socket {socket} gets FIN"),
            What::SendsReset { socket } => write!(f, "socket {socket} sends RST"),
            What::Fails { socket, error } => write!(f, "socket {socket} fails: {error:?}"),
            What::Closes { socket } => write!(f, "socket {socket} is closed"),
            What::Meets { socket: Some(socket), fault } => {
                write!(f, "socket {socket} meets a fault: {fault}")
            }
            What::Meets { socket: None, fault } => write!(f, "a call meets a fault: {fault}"),
            What::Parted { from } => write!(f, "is parted from {from}"),
            What::Healed { with } => write!(f, "reaches {with} again"),
            What::Crashed => f.write_str("crashes"),
            What::Restarted => f.write_str("is restarted"),
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.at, self.host.as_deref().unwrap_or("world"), self.what)
    }
}

/// The last things that happened, as far as somebody wants to know.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// How many are kept; zero writes nothing.
    kept: usize,
    lines: VecDeque<(Time, MachineId, What)>,
}

impl Trace {
    pub(crate) fn keep(&mut self, kept: usize) {
        self.kept = kept;
        self.trim(kept);
    }

    fn trim(&mut self, kept: usize) {
        let surplus = self.lines.len().saturating_sub(kept);
        self.lines.drain(..surplus);
    }
}

impl Tables {
    /// Writes down what happened at a machine.
    #[inline]
    pub(crate) fn tell(&mut self, machine: MachineId, what: impl FnOnce() -> What) {
        if self.trace.kept > 0 {
            let line = (self.clock.now_here(), machine, what());
            self.trace.trim(self.trace.kept - 1);
            self.trace.lines.push_back(line);
        }
    }

    /// Writes down what happened to a socket, if it is there.
    #[inline]
    pub(crate) fn tell_of(&mut self, socket: Id, what: impl FnOnce(Id) -> What) {
        if self.trace.kept > 0 {
            if let Some(machine) = self.endpoints.get(&socket).map(|end| end.machine) {
                self.tell(machine, || what(socket));
            }
        }
    }
}

impl Kernel {
    pub(crate) fn take_trace(&self) -> Vec<Happening> {
        let mut tables = self.tables.borrow_mut();
        let lines = std::mem::take(&mut tables.trace.lines);
        let name = |id| tables.machines.get(id).host.as_ref().map(|host| Rc::clone(&host.name));
        lines.into_iter().map(|(at, id, what)| Happening { at, host: name(id), what }).collect()
    }
}
