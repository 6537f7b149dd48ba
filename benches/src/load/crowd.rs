//! Connections that are echoed to, and the loop that drives them.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use super::arguments::Arguments;
use super::block::Block;
use super::latency::Latencies;
use super::link::Link;
use super::process::Process;
use super::schedule::Schedule;
use super::secure::{self, Secure};
use super::wire::Wire;
use super::{Failure, Outcome};
use crate::scenario::Kind;
use crate::tls;

/// Events of one wait.
const EVENTS: usize = 1024;

/// Connections that are made and checked together: few enough for any backlog.
const WAVE: usize = 64;

/// Connections that are made before the server is given time to accept them: fewer than its backlog.
const UNACCEPTED: usize = 1000;

/// One read takes what a batch of messages is, and at least so much.
const LEAST_BUFFER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Crowd {
    poll: Poll,
    events: Events,
    links: Vec<Link>,
    block: Block,
    buffer: Vec<u8>,
    size: usize,
    depth: usize,
    /// One connection sends what others receive.
    is_shared: bool,
    /// When each message in flight was sent, in nanoseconds of the window: `depth` for each connection.
    times: Vec<u64>,
    port: u16,
    patience: Duration,
    /// Over TLS, where the scenario is.
    secure: Option<Arc<ClientConfig>>,
}

impl Crowd {
    /// Nobody yet.
    pub(super) fn new(arguments: &Arguments) -> Outcome<Self> {
        let scenario = &arguments.scenario;
        let (size, depth) = (scenario.size, scenario.depth);
        // One byte more than can be in flight: a read of all of it is a short one.
        let least = if scenario.tls { secure::SHARED } else { LEAST_BUFFER };
        let buffer = vec![0; (size * depth + 1).max(least)];
        let secure = match scenario.tls {
            true => Some(tls::client(arguments.certificate()?, false)),
            false => None,
        };
        let block = match scenario.kind {
            Kind::Lines => Block::of_lines(size, buffer.len()),
            _ => Block::of_bytes(buffer.len()),
        };
        Ok(Self {
            poll: Poll::new().map_err(Failure::io("a selector"))?,
            events: Events::with_capacity(EVENTS),
            links: Vec::with_capacity(scenario.connections),
            block,
            buffer,
            size,
            depth,
            is_shared: scenario.kind == Kind::Fanout,
            times: Vec::new(),
            port: arguments.port,
            patience: arguments.patience,
            secure: secure.transpose().map_err(Failure::io("the certificate"))?,
        })
    }

    /// So many connections more, each of which echoed one message.
    pub(super) fn join(&mut self, count: usize, greeting: &[u8]) -> Outcome {
        let all = self.links.len() + count;
        while self.links.len() < all {
            let first = self.links.len();
            let last = all.min(first + WAVE);
            self.connect(last - first, greeting)?;
            self.check(first..last)?;
        }
        Ok(())
    }

    /// So many connections more, each of which has sent `greeting`, and all of which the server knows: it sleeps.
    pub(super) fn connect_resting(
        &mut self,
        count: usize,
        greeting: &[u8],
        server: &mut Process,
    ) -> Outcome {
        let all = self.links.len() + count;
        while self.links.len() < all {
            self.connect(UNACCEPTED.min(all - self.links.len()), greeting)?;
            server.rest()?;
        }
        Ok(())
    }

    /// So many connections more, each of which has sent `greeting`.
    pub(super) fn connect(&mut self, count: usize, greeting: &[u8]) -> Outcome {
        for _ in 0..count {
            let number = self.links.len();
            let failed = || Failure::io(format!("connection {number}"));
            let stream = connect(self.port, greeting, self.patience).map_err(failed())?;
            let mut wire = self.ready(stream).map_err(failed())?;
            // Both from the beginning: edges cost nothing that doesn't happen, and no connection is registered again.
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = self.poll.registry();
            registry.register(wire.socket(), Token(number), interest).map_err(failed())?;
            // All who are published to are sent the same.
            let place = if self.is_shared { 0 } else { number };
            self.links.push(Link::new(wire, number, place));
        }
        self.times.resize(self.links.len() * self.depth, 0);
        Ok(())
    }

    /// A connection that does not block any more; over TLS the handshake is done before.
    fn ready(&self, stream: std::net::TcpStream) -> io::Result<Wire> {
        let Some(config) = &self.secure else {
            stream.set_nonblocking(true)?;
            return Ok(Wire::Plain(mio::net::TcpStream::from_std(stream)));
        };
        stream.set_read_timeout(Some(self.patience))?;
        let mut secure = Secure::new(mio::net::TcpStream::from_std(stream), config)?;
        if !secure.shake_hands()? {
            return Err(io::Error::other(format!("no handshake within {:?}", self.patience)));
        }
        secure.flush()?;
        secure.set_nonblocking()?;
        Ok(Wire::Secure(Box::new(secure)))
    }

    /// One message on each connection, some at a time.
    pub(super) fn check_all(&mut self) -> Outcome {
        for first in (0..self.links.len()).step_by(WAVE) {
            self.check(first..self.links.len().min(first + WAVE))?;
        }
        Ok(())
    }

    /// One message on each of these connections.
    fn check(&mut self, connections: Range<usize>) -> Outcome {
        let mut left = connections.len() as u64;
        for link in &mut self.links[connections] {
            link.push(&self.block, self.size)?;
        }
        while left > 0 {
            self.turn(Some(self.patience), |arrival| {
                left -= arrival.messages.end - arrival.messages.start;
                Ok(())
            })?
            .or_late(self.patience, left)?;
        }
        Ok(())
    }

    /// Each connection keeps `depth` messages in flight for so many nanoseconds; then what is in flight comes back. How many
    /// messages that were.
    pub(super) fn closed(&mut self, nanos: u64, latencies: &mut Latencies) -> Outcome<u64> {
        let (size, depth) = (self.size, self.depth);
        let mut times = std::mem::take(&mut self.times);
        let start = Instant::now();
        for (link, times) in self.links.iter_mut().zip(times.chunks_mut(depth)) {
            link.restart();
            times.fill(elapsed(start));
            link.push(&self.block, size * depth)?;
        }
        let mut left = times.len() as u64;
        let mut done = 0;
        while left > 0 {
            self.turn(Some(self.patience), |Arrival { link, block, connection, messages }| {
                let now = elapsed(start);
                let count = messages.end - messages.start;
                let times = &mut times[connection * depth..][..depth];
                let mut place = (messages.start % depth as u64) as usize;
                for _ in messages {
                    // The message that takes its place in flight has its place here too.
                    latencies.record(now - times[place]);
                    times[place] = now;
                    place = if place + 1 == depth { 0 } else { place + 1 };
                }
                done += count;
                if now < nanos && count > 0 {
                    link.push(block, count as usize * size)
                } else {
                    left -= count;
                    Ok(())
                }
            })?
            .or_late(self.patience, left)?;
        }
        self.times = times;
        self.expect_silence()?;
        Ok(done)
    }

    /// Messages are sent when they are due, or as soon after as fewer than `depth` are in flight on their connection. Looks all
    /// the time instead of sleeping, so that none is sent late and none waits for this thread to wake.
    pub(super) fn open(&mut self, schedule: Schedule, latencies: &mut Latencies) -> Outcome<u64> {
        let (size, depth) = (self.size as u64, self.depth as u64);
        self.links.iter_mut().for_each(Link::restart);
        let start = Instant::now();
        let (mut done, mut due, mut last) = (0, 0, 0);
        let fill = |link: &mut Link, block: &Block, connection: usize, due: u64| {
            let sent = link.queued() / size;
            let room = depth - (sent - link.received() / size);
            let count = room.min(schedule.of_connection(connection, due) - sent);
            if count > 0 { link.push(block, (count * size) as usize) } else { Ok(()) }
        };
        while done < schedule.total() {
            let now = elapsed(start);
            let count = schedule.count(now);
            while due < count {
                let connection = schedule.connection(due);
                due += 1;
                fill(&mut self.links[connection], &self.block, connection, due)?;
            }
            let some = self.turn(Some(Duration::ZERO), |arrival| {
                let Arrival { link, block, connection, messages } = arrival;
                let now = elapsed(start);
                done += messages.end - messages.start;
                for nth in messages {
                    let due = schedule.due(schedule.number(connection, nth));
                    latencies.record_due(due, now.saturating_sub(due));
                }
                fill(link, block, connection, due)
            })?;
            // Nothing is late while nothing is awaited.
            if some == Turn::Some || done == due {
                last = now;
            } else if now - last > self.patience.as_nanos() as u64 {
                some.or_late(self.patience, due - done)?;
            }
        }
        self.expect_silence()?;
        Ok(done)
    }

    /// The last connection publishes for so many nanoseconds, at least one message: the next one when all others have the last. How
    /// many messages there were.
    pub(super) fn fanned(&mut self, nanos: u64, latencies: &mut Latencies) -> Outcome<u64> {
        let publisher = self.links.len() - 1;
        let start = Instant::now();
        let (mut done, mut now) = (0, 0);
        while done == 0 || now < nanos {
            for link in &mut self.links[..publisher] {
                link.owe(self.size);
            }
            let sent = elapsed(start);
            self.links[publisher].send(&self.block, self.size)?;
            let mut left = publisher as u64;
            while left > 0 {
                self.turn(Some(self.patience), |Arrival { messages, .. }| {
                    now = elapsed(start);
                    let count = messages.end - messages.start;
                    (0..count).for_each(|_| latencies.record(now - sent));
                    left -= count;
                    Ok(())
                })?
                .or_late(self.patience, left)?;
            }
            done += 1;
        }
        self.expect_silence()?;
        Ok(done)
    }

    pub(super) fn len(&self) -> usize {
        self.links.len()
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Nothing comes that was not asked for.
    pub(super) fn expect_silence(&mut self) -> Outcome {
        self.links
            .iter_mut()
            .try_for_each(|link| link.expect_silence(&self.block, &mut self.buffer))
    }

    /// Waits for events, at most so long, and hands out what came on each connection.
    fn turn(
        &mut self,
        wait: Option<Duration>,
        mut came: impl FnMut(Arrival<'_>) -> Outcome,
    ) -> Outcome<Turn> {
        match self.poll.poll(&mut self.events, wait) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(Turn::Some),
            other => other.map_err(Failure::io("waiting for events"))?,
        }
        let size = self.size as u64;
        for event in &self.events {
            let Token(connection) = event.token();
            let link = &mut self.links[connection];
            if event.is_writable() {
                link.flush(&self.block)?;
            }
            // Errors and the end of file are readable.
            if event.is_readable() {
                let before = link.received() / size;
                link.receive(&self.block, &mut self.buffer)?;
                let messages = before..link.received() / size;
                came(Arrival { link, block: &self.block, connection, messages })?;
            }
        }
        Ok(if self.events.is_empty() { Turn::Nothing } else { Turn::Some })
    }
}

/// What a turn brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
enum Turn {
    Some,
    Nothing,
}

impl Turn {
    /// Nothing at all is an error.
    fn or_late(self, patience: Duration, left: u64) -> Outcome {
        match self {
            Self::Some => Ok(()),
            Self::Nothing => Err(Failure::new(format!(
                "expected the replies to {left} messages, nothing came for {patience:?}"
            ))),
        }
    }
}

/// These messages, counted since the window began, came back on that connection.
struct Arrival<'a> {
    link: &'a mut Link,
    block: &'a Block,
    connection: usize,
    messages: Range<u64>,
}

/// A connection to the server that has sent `greeting`.
pub(super) fn connect(
    port: u16,
    greeting: &[u8],
    patience: Duration,
) -> io::Result<std::net::TcpStream> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = std::net::TcpStream::connect_timeout(&address, patience)?;
    stream.set_nodelay(true)?;
    stream.write_all(greeting)?;
    Ok(stream)
}

fn elapsed(start: Instant) -> u64 {
    // Good for 584 years.
    start.elapsed().as_nanos() as u64
}
