//! [`SimSocket`]: a stream socket of the simulated kernel.
//!
//! It clears its readiness bits exactly as the operating system's does, on `WouldBlock` and on a short
//! transfer, so that who forgets to read on hangs here too. An injected `WouldBlock` or short transfer
//! clears them as well; then the kernel owes an edge, and gives it in the next select.

use std::io::{self, ErrorKind, IoSlice};
use std::net::Shutdown;
use std::os::fd::BorrowedFd;
use std::rc::Rc;

use millrun_selector::{
    Address, Clock, MAX_SLICES, ReadyCell, Socket, SocketOption, SocketOptionName, Source,
};

use crate::endpoint::{Answer, Endpoint, Id, Kind, Owner, State};
use crate::kernel::Kernel;
use crate::machine::MachineId;
use crate::options;
use crate::trace::What;
use crate::wire::Payload;
use crate::{Call, Failure, Fault, Injected, Syscall};

/// A connected or connecting stream socket of a simulation.
#[derive(Debug)]
pub(crate) struct SimSocket {
    kernel: Rc<Kernel>,
    machine: MachineId,
    id: Id,
    cell: Rc<ReadyCell>,
    kind: Kind,
    /// It was accepted without its peer's address, which it tells for as long as it lives.
    is_bare: bool,
}

/// What the dice or the script say of one call that could transfer `possible` bytes.
enum Twist {
    None,
    /// Fail so.
    Error(Failure),
    /// Transfer at most so many.
    Short(usize),
}

impl SimSocket {
    pub(crate) fn new(
        kernel: &Rc<Kernel>,
        machine: MachineId,
        id: Id,
        cell: &Rc<ReadyCell>,
        kind: Kind,
    ) -> SimSocket {
        let (kernel, cell) = (Rc::clone(kernel), Rc::clone(cell));
        SimSocket { kernel, machine, id, cell, kind, is_bare: false }
    }

    /// As Linux has it: see [`Listener::try_accept_bare`](millrun_selector::Listener::try_accept_bare).
    pub(crate) fn accepted_bare(mut self) -> SimSocket {
        self.is_bare = true;
        self
    }

    fn with<R>(&self, f: impl FnOnce(&mut Endpoint) -> R) -> io::Result<R> {
        let mut tables = self.kernel.tables.borrow_mut();
        // The entry lives as long as this object: only `drop` removes it.
        tables.endpoints.get_mut(&self.id).map(f).ok_or_else(|| Failure::EINVAL.into())
    }

    /// Runs one call: repeats it after EINTR, counts it, clears the bits that it exhausted.
    fn call(
        &self,
        call: Call,
        asked: usize,
        mut attempt: impl FnMut(Twist) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            let (twist, injected) = self.twist(call, asked);
            let result = attempt(twist);
            self.record(call, asked, &result);
            if result.as_ref().is_err_and(|e| e.kind() == ErrorKind::Interrupted) {
                continue;
            }
            let exhausted = match &result {
                // The end of file clears nothing: it is final.
                Ok(0) if matches!(call, Call::Read) => false,
                Ok(n) => *n < asked,
                Err(e) => e.kind() == ErrorKind::WouldBlock,
            };
            if exhausted && matches!(call, Call::Read) {
                self.cell.clear_readable();
            } else if exhausted {
                self.cell.clear_writable();
            }
            if exhausted && injected {
                self.kernel.tables.borrow_mut().edge(self.id);
            }
            self.kernel.settle();
            return result;
        }
    }

    /// What shall go wrong with the next call: the script's orders first, then chance. Says also
    /// whether something does.
    fn twist(&self, call: Call, asked: usize) -> (Twist, bool) {
        let reads = matches!(call, Call::Read);
        let faults = self.kernel.faults_on(self.machine);
        let mut tables = self.kernel.tables.borrow_mut();
        let Some(end) = tables.endpoints.get_mut(&self.id) else { return (Twist::None, false) };
        let answer = if reads { end.readable() } else { end.writable() };
        let possible = if let Answer::Bytes(n) = answer { n.min(asked) } else { 0 };
        let script = if reads { &mut end.read_script } else { &mut end.write_script };
        let short = if reads { faults.short_reads } else { faults.short_writes };
        // A short transfer waits for a call that could transfer something.
        let ordered = match script.front() {
            Some(Fault::Short(_)) if possible == 0 => None,
            _ => script.pop_front(),
        };
        let fault = ordered.or_else(|| {
            if possible == 0 {
                return None;
            }
            self.kernel.dice(|rng| {
                if rng.chance(faults.would_block) {
                    Some(Fault::Error(Failure::EAGAIN))
                } else if possible > 1 && rng.chance(short) {
                    Some(Fault::Short(rng.within(1..possible as u64) as usize))
                } else {
                    None
                }
            })
        });
        let twist = match fault {
            Some(Fault::Error(failure)) => Twist::Error(failure),
            Some(Fault::Short(n)) if n < possible => Twist::Short(n),
            Some(Fault::Short(_)) | None => return (Twist::None, false),
        };
        if let Some(fault) = fault {
            let at = self.kernel.clock.now();
            let socket = Some(self.id);
            tables.injected.push(Injected { at, call, socket, fault });
            tables.tell(self.machine, || What::Meets { socket, fault });
        }
        (twist, true)
    }

    fn record(&self, call: Call, bytes: usize, result: &io::Result<usize>) {
        let mut tables = self.kernel.tables.borrow_mut();
        tables.counters.count(call, result);
        if let Some(end) = tables.endpoints.get_mut(&self.id) {
            end.counters.count(call, result);
        }
        if let Some(log) = tables.logs.get_mut(&self.id) {
            log.counters.count(call, result);
            let result = result.as_ref().copied().map_err(io::Error::kind);
            log.calls.push(Syscall { call, bytes, result });
        }
    }

    fn read(&self, buffer: &mut [u8], twist: Twist) -> io::Result<usize> {
        let n = self.with(|end| {
            let most = match twist {
                Twist::Error(failure) => return Err(failure.into()),
                Twist::Short(n) => n,
                Twist::None => buffer.len(),
            };
            match end.readable() {
                Answer::Bytes(available) => {
                    let n = most.min(available);
                    for (place, byte) in buffer.iter_mut().zip(end.received.drain(..n)) {
                        *place = byte;
                    }
                    Ok(n)
                }
                Answer::End => Ok(0),
                Answer::Error => Err(taken(end)),
                Answer::Wait => Err(Failure::EAGAIN.into()),
            }
        })??;
        if n > 0 {
            let mut tables = self.kernel.tables.borrow_mut();
            tables.tell(self.machine, || What::Receives { socket: self.id, bytes: n });
            tables.take_in(self.id);
        }
        Ok(n)
    }

    fn write(&self, pieces: &[IoSlice<'_>], asked: usize, twist: Twist) -> io::Result<usize> {
        let bytes = self.with(|end| {
            let most = match twist {
                Twist::Error(failure) => return Err(io::Error::from(failure)),
                Twist::Short(n) => n,
                Twist::None => asked,
            };
            match end.writable() {
                Answer::Error => return Err(taken(end)),
                Answer::End => return Err(Failure::EPIPE.into()),
                Answer::Bytes(_) | Answer::Wait if asked == 0 => return Ok(Vec::new()),
                Answer::Wait => {
                    end.starved = true;
                    return Err(Failure::EAGAIN.into());
                }
                Answer::Bytes(_) => {}
            }
            let room = end.room();
            end.starved = room < asked;
            let n = most.min(room);
            end.took(n);
            Ok(gather(pieces, n))
        })??;
        let n = bytes.len();
        if n > 0 {
            let mut tables = self.kernel.tables.borrow_mut();
            tables.tell(self.machine, || What::Sends { socket: self.id, bytes: n });
            tables.send(self.id, Payload::Data(bytes));
        }
        Ok(n)
    }
}

/// The pending error, which is no longer pending.
fn taken(end: &mut Endpoint) -> io::Error {
    end.error.take().unwrap_or(Failure::ECONNRESET).into()
}

/// The first `n` bytes of the pieces.
fn gather(pieces: &[IoSlice<'_>], n: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(n);
    for piece in pieces {
        let part = piece.len().min(n - bytes.len());
        bytes.extend_from_slice(&piece[..part]);
    }
    bytes
}

impl Source for SimSocket {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn readiness(&self) -> Option<&Rc<ReadyCell>> {
        Some(&self.cell)
    }
}

impl Socket for SimSocket {
    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0); // as the real one: no call at all
        }
        self.call(Call::Read, buffer.len(), |twist| self.read(buffer, twist))
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let piece = [IoSlice::new(bytes)];
        self.call(Call::Write, bytes.len(), |twist| self.write(&piece, bytes.len(), twist))
    }

    fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let pieces = &pieces[..pieces.len().min(MAX_SLICES)];
        let asked = pieces.iter().map(|p| p.len()).sum();
        let call = Call::WriteVectored { pieces: pieces.len() };
        self.call(call, asked, |twist| self.write(pieces, asked, twist))
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        let call = Call::Shutdown(how);
        let ordered = self.kernel.ordered_failure(self.machine, call, Some(self.id));
        let told = self.with(|end| {
            if let Some(failure) = ordered {
                return Err(failure);
            }
            if end.state == State::Connected { Ok(end.shut(how)) } else { Err(Failure::ENOTCONN) }
        })?;
        let result = told.map_err(io::Error::from);
        self.record(
            Call::Shutdown(how),
            0,
            &match &result {
                Ok(_) => Ok(0),
                Err(e) => Err(e.kind().into()),
            },
        );
        {
            let mut tables = self.kernel.tables.borrow_mut();
            if result? {
                tables.tell(self.machine, || What::SendsFin { socket: self.id });
                tables.send(self.id, Payload::Fin);
            }
            if self.kind == Kind::Unix && how != Shutdown::Write {
                tables.stop_writer(self.id);
            }
            tables.edge(self.id);
        }
        self.kernel.settle();
        Ok(())
    }

    fn local_addr(&self) -> io::Result<Address> {
        self.with(|end| end.local.clone())
    }

    fn peer_addr(&self) -> io::Result<Address> {
        self.with(|end| match end.state {
            State::Connected => Ok(end.remote.clone()),
            State::Dead if self.is_bare => Ok(end.remote.clone()),
            State::Connecting | State::Dead => Err(Failure::ENOTCONN.into()),
        })?
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.with(|end| end.error.take().map(io::Error::from))
    }

    fn set_option(&self, option: SocketOption) -> io::Result<()> {
        self.with(|end| options::set(end, self.kind, option))??;
        // More room is an edge for this end or for the other.
        {
            let mut tables = self.kernel.tables.borrow_mut();
            tables.take_in(self.id);
            tables.room_made(self.id);
        }
        self.kernel.settle();
        Ok(())
    }

    fn option(&self, name: SocketOptionName) -> io::Result<SocketOption> {
        self.with(|end| options::get(end, self.kind, name))?
    }
}

/// Closes the descriptor: FIN behind what was written, or a reset when bytes were left unread or
/// SO_LINGER is zero.
impl Drop for SimSocket {
    fn drop(&mut self) {
        {
            let mut tables = self.kernel.tables.borrow_mut();
            tables.forget(self.id, &self.cell);
            let Some(end) = tables.endpoints.get(&self.id) else { return };
            if end.owner == Owner::Script {
                return; // a test took it over
            }
            let unread = end.has_unread();
            let abort = unread || end.linger.is_some_and(|time| time.is_zero());
            let last = match self.kind {
                _ if end.state != State::Connected => None,
                Kind::Unix => Some(Payload::Gone { unread }),
                Kind::Tcp if abort => Some(Payload::Reset(Failure::ECONNRESET)),
                Kind::Tcp if end.write_shut => None,
                Kind::Tcp => Some(Payload::Fin),
            };
            let port = end.local.port().filter(|_| end.owns_port);
            match &last {
                Some(Payload::Reset(_)) => {
                    tables.tell(self.machine, || What::SendsReset { socket: self.id });
                }
                Some(_) => tables.tell(self.machine, || What::SendsFin { socket: self.id }),
                None => {}
            }
            if let Some(last) = last {
                tables.send(self.id, last);
            }
            tables.tell(self.machine, || What::Closes { socket: self.id });
            tables.disarm(self.id);
            if let Some(port) = port {
                tables.machines.get_mut(self.machine).release_port(port);
            }
            tables.endpoints.remove(&self.id);
        }
        self.kernel.settle();
    }
}
