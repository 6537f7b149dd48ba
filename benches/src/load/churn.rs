//! Connections that don't stay: some at a time connect, have one message echoed, end.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

use super::arguments::Arguments;
use super::block::Block;
use super::latency::Latencies;
use super::meter::Watched;
use super::session::{Drive, Measured, NO_RATE};
use super::{Failure, Outcome, echoes};

#[derive(Debug)]
pub(super) struct Churn {
    watched: Watched,
    places: Places,
    poll: Poll,
    events: Events,
    visits: Vec<Option<Visit>>,
    block: Block,
    buffer: Vec<u8>,
    size: usize,
    at_a_time: usize,
    patience: Duration,
}

/// One connection.
#[derive(Debug)]
struct Visit {
    stream: TcpStream,
    /// Which of all it is, for its bytes.
    number: usize,
    start: u64,
    sent: usize,
    received: usize,
}

impl Churn {
    /// Checked by one round.
    pub(super) fn new(arguments: &Arguments) -> Outcome<Self> {
        let scenario = &arguments.scenario;
        let mut churn = Self {
            watched: Watched::new(arguments),
            places: Places::new(arguments.port),
            poll: Poll::new().map_err(Failure::io("a selector"))?,
            events: Events::with_capacity(2 * scenario.connections),
            visits: Vec::with_capacity(scenario.connections),
            block: Block::of_bytes(scenario.size + 1),
            buffer: vec![0; scenario.size + 1],
            size: scenario.size,
            at_a_time: scenario.connections,
            patience: arguments.patience,
        };
        churn.drive(0, &mut Latencies::new()?)?;
        Ok(churn)
    }

    /// Visits, one after the other in each place, for so many nanoseconds; then those that are under way end. How many there were.
    fn drive(&mut self, nanos: u64, latencies: &mut Latencies) -> Outcome<u64> {
        let start = Instant::now();
        let elapsed = || start.elapsed().as_nanos() as u64;
        for number in 0..self.at_a_time {
            let visit = self.begin(number, number, elapsed())?;
            self.visits.push(Some(visit));
        }
        let (mut left, mut begun) = (self.at_a_time, self.at_a_time);
        while left > 0 {
            match self.poll.poll(&mut self.events, Some(self.patience)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(Failure::io("waiting for events"))?,
            }
            if self.events.is_empty() {
                let why = format!("{left} connections wait, nothing came for {:?}", self.patience);
                return Err(Failure::new(why));
            }
            let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
            for event in &events {
                let Token(place) = event.token();
                // One that has ended, and was not closed yet when its last event came.
                let Some(visit) = &mut self.visits[place] else { continue };
                visit.send(&self.block, self.size)?;
                if !event.is_readable() || !visit.receive(&self.block, &mut self.buffer)? {
                    continue;
                }
                let now = elapsed();
                latencies.record(now - visit.start);
                if now < nanos {
                    self.visits[place] = Some(self.begin(place, begun, now)?);
                    begun += 1;
                } else {
                    self.visits[place] = None;
                    left -= 1;
                }
            }
            self.events = events;
        }
        self.visits.clear();
        Ok(begun as u64)
    }

    fn begin(&mut self, place: usize, number: usize, start: u64) -> Outcome<Visit> {
        let failed = || Failure::io(format!("connection {number}"));
        let mut stream = self.places.connect().map_err(failed())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registry = self.poll.registry();
        registry.register(&mut stream, Token(place), interest).map_err(failed())?;
        let mut visit = Visit { stream, number, start, sent: 0, received: 0 };
        // On this machine itself it is most often connected by now.
        visit.send(&self.block, self.size)?;
        Ok(visit)
    }
}

impl Drive for Churn {
    fn connections(&self) -> usize {
        self.at_a_time
    }

    fn measure(&mut self, nanos: u64, rate: Option<u64>) -> Outcome<Measured> {
        if rate.is_some() {
            return Err(Failure::new(NO_RATE));
        }
        self.drive(nanos / echoes::WARM_UP, &mut Latencies::new()?)?;
        let mut latencies = Latencies::new()?;
        let meter = self.watched.start()?;
        let units = self.drive(nanos, &mut latencies)?;
        let window = self.watched.end(&meter, units, units * self.size as u64)?;
        Ok(Measured { window, latency: Some(latencies.report(0)), tail: None })
    }
}

impl Visit {
    /// True when it is done: all was echoed, and the server has closed too.
    fn receive(&mut self, block: &Block, buffer: &mut [u8]) -> Outcome<bool> {
        // One byte more than a message has.
        let size = buffer.len() - 1;
        loop {
            match self.stream.read(buffer) {
                Ok(0) if self.received == size => return Ok(true),
                Ok(0) => return Err(self.failed("got the end of file", size)),
                Ok(length) => self.compare(block, &buffer[..length], size)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(&error.to_string(), size)),
            }
            if self.received == size {
                let end = self.stream.shutdown(Shutdown::Write);
                end.map_err(|error| self.failed(&error.to_string(), size))?;
            }
            // Less was read than the buffer holds: what comes next is told.
            return Ok(false);
        }
    }

    fn send(&mut self, block: &Block, size: usize) -> Outcome {
        while self.sent < size {
            let bytes = block.at(self.number, self.sent as u64, size - self.sent);
            match self.stream.write(bytes) {
                Ok(taken) => self.sent += taken,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(&error.to_string(), size)),
            }
        }
        Ok(())
    }

    fn compare(&mut self, block: &Block, got: &[u8], size: usize) -> Outcome {
        if self.received + got.len() > size {
            return Err(self.failed("more came", size));
        }
        if block.at(self.number, self.received as u64, got.len()) != got {
            return Err(self.failed("got other bytes", size));
        }
        self.received += got.len();
        Ok(())
    }

    fn failed(&self, what: &str, size: usize) -> Failure {
        let Self { number, received, .. } = self;
        Failure::new(format!(
            "connection {number}: expected an echo of {size} bytes and the end of file; {what} after {received}"
        ))
    }
}

/// Where connections come from. The side that ends first keeps its address and port for a minute, which is more than one
/// address has ports for; so each connection has its own of 5 million pairs, chosen here, so that the kernel searches none.
#[derive(Debug)]
pub(super) struct Places {
    to: SocketAddrV4,
    next: u32,
}

impl Places {
    /// Below what the kernel gives to others (from 32768 on), and above what services listen on. A number that was bound here is not
    /// given to anybody else for a minute, whatever the address: taken from the kernel's own, they would be missing in the next scenario.
    const FIRST_PORT: u16 = 10_000;
    const PORTS: u32 = 22_000;
    /// 127.0.0.2 and up: the first has the servers.
    const FIRST_ADDRESS: u8 = 2;
    const ADDRESSES: u32 = 253;

    /// Other processes do the same: each begins somewhere else.
    pub(super) fn new(port: u16) -> Self {
        let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        let next = std::process::id() % 1_000 * 104_729 % (Self::PORTS * Self::ADDRESSES);
        Self { to, next }
    }

    fn following(&mut self) -> SocketAddrV4 {
        self.next = (self.next + 1) % (Self::PORTS * Self::ADDRESSES);
        let port = Self::FIRST_PORT + (self.next % Self::PORTS) as u16;
        let address = Self::FIRST_ADDRESS + (self.next / Self::PORTS) as u8;
        SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, address), port)
    }

    /// On its way: it is connected when it is writable.
    pub(super) fn connect(&mut self) -> io::Result<TcpStream> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
        // Where another load was less than a minute ago, each place is taken: the next address's are tried. When there is none
        // left, something else is wrong.
        let mut tries = Self::ADDRESSES;
        loop {
            match net::bind(&socket, &self.following()) {
                Ok(()) => break,
                Err(Errno::ADDRINUSE) if tries > 0 => tries -= 1,
                Err(error) => return Err(error.into()),
            }
            self.next = (self.next + Self::PORTS) % (Self::PORTS * Self::ADDRESSES);
        }
        match net::connect(&socket, &self.to) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(TcpStream::from_std(socket.into())),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(next: u32) -> SocketAddrV4 {
        Places { to: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1), next }.following()
    }

    #[test]
    fn places_go_through_the_ports_of_each_address_and_begin_again() {
        let all = Places::PORTS * Places::ADDRESSES;
        let place = |last, port| SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, last), port);
        assert_eq!((at(0), at(21_998)), (place(2, 10_001), place(2, 31_999)));
        assert_eq!((at(21_999), at(22_000)), (place(3, 10_000), place(3, 10_001)));
        assert_eq!((at(all - 2), at(all - 1)), (place(254, 31_999), place(2, 10_000)));
    }
}
