//! Connections of TLS that don't stay: some at a time connect, shake hands, say that this was all, wait for the end.

use std::io::{self, ErrorKind};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use rustls::ClientConfig;

use super::arguments::Arguments;
use super::churn::Places;
use super::latency::Latencies;
use super::meter::Watched;
use super::secure::Secure;
use super::session::{Drive, Measured, NO_RATE};
use super::wire::Came;
use super::{Failure, Outcome, echoes};
use crate::tls;

#[derive(Debug)]
pub(super) struct Handshakes {
    watched: Watched,
    places: Places,
    poll: Poll,
    /// One for each place: what a connection is given to be taken up again is there for the next one in its place.
    configs: Vec<Arc<ClientConfig>>,
    visits: Vec<Option<Visit>>,
    resumes: bool,
    patience: Duration,
}

/// One connection.
#[derive(Debug)]
struct Visit {
    secure: Secure,
    start: u64,
    /// The handshake is done, and the end was said.
    over: bool,
}

impl Handshakes {
    /// Checked by two rounds, of which the second takes up the sessions of the first.
    pub(super) fn new(arguments: &Arguments, resumes: bool) -> Outcome<Self> {
        let directory = arguments.certificate()?;
        let config = |_| tls::client(directory, resumes).map_err(Failure::io("the certificate"));
        let mut handshakes = Self {
            watched: Watched::new(arguments),
            places: Places::new(arguments.port),
            poll: Poll::new().map_err(Failure::io("a selector"))?,
            configs: (0..arguments.scenario.connections).map(config).collect::<Outcome<_>>()?,
            visits: Vec::new(),
            resumes,
            patience: arguments.patience,
        };
        handshakes.drive(0, false, &mut Latencies::new()?)?;
        handshakes.drive(0, resumes, &mut Latencies::new()?)?;
        Ok(handshakes)
    }

    /// Visits, one after the other in each place, for so many nanoseconds; then those that are under way end. How many there were.
    fn drive(&mut self, nanos: u64, resumed: bool, latencies: &mut Latencies) -> Outcome<u64> {
        let start = Instant::now();
        let elapsed = || start.elapsed().as_nanos() as u64;
        for place in 0..self.configs.len() {
            let visit = self.begin(place, elapsed())?;
            self.visits.push(Some(visit));
        }
        let mut left = self.visits.len();
        let mut begun = left as u64;
        let mut events = Events::with_capacity(2 * left);
        while left > 0 {
            match self.poll.poll(&mut events, Some(self.patience)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                other => other.map_err(Failure::io("waiting for events"))?,
            }
            if events.is_empty() {
                let why = format!("{left} handshakes wait, nothing came for {:?}", self.patience);
                return Err(Failure::new(why));
            }
            for event in &events {
                let Token(place) = event.token();
                // One that has ended, and was not closed yet when its last event came.
                let Some(visit) = &mut self.visits[place] else { continue };
                if !visit.go_on(resumed).map_err(Failure::io("a handshake"))? {
                    continue;
                }
                let now = elapsed();
                latencies.record(now - visit.start);
                self.visits[place] = None;
                if now < nanos {
                    self.visits[place] = Some(self.begin(place, now)?);
                    begun += 1;
                } else {
                    left -= 1;
                }
            }
        }
        self.visits.clear();
        Ok(begun)
    }

    fn begin(&mut self, place: usize, start: u64) -> Outcome<Visit> {
        let failed = || Failure::io(format!("a connection in place {place}"));
        let mut stream = self.places.connect().map_err(failed())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(place), interest).map_err(failed())?;
        let secure = Secure::new(stream, &self.configs[place]).map_err(failed())?;
        Ok(Visit { secure, start, over: false })
    }
}

impl Visit {
    /// True when it is done: the handshake was as expected, and the server has said its end and closed.
    fn go_on(&mut self, resumed: bool) -> io::Result<bool> {
        if !self.over {
            match self.secure.shake_hands() {
                Ok(true) => {}
                Ok(false) => return Ok(false),
                // Not connected yet.
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(false),
                Err(error) => return Err(error),
            }
            if self.secure.is_resumed() != resumed {
                let expected = if resumed { "one taken up again" } else { "a new one" };
                return Err(io::Error::other(format!("expected {expected}, got the other")));
            }
            self.over = true;
            self.secure.end()?;
            self.secure.shut_down(Shutdown::Write)?;
        }
        loop {
            match self.secure.receive(&mut []) {
                Ok((Came::Nothing, _)) if self.secure.has_ended() => return Ok(true),
                Ok((Came::Nothing, _)) => return Err(io::Error::other("the end was not said")),
                // Its end of file may be there already, and is not told again.
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drive for Handshakes {
    fn connections(&self) -> usize {
        self.configs.len()
    }

    fn measure(&mut self, nanos: u64, rate: Option<u64>) -> Outcome<Measured> {
        if rate.is_some() {
            return Err(Failure::new(NO_RATE));
        }
        self.drive(nanos / echoes::WARM_UP, self.resumes, &mut Latencies::new()?)?;
        let mut latencies = Latencies::new()?;
        let meter = self.watched.start()?;
        let units = self.drive(nanos, self.resumes, &mut latencies)?;
        let window = self.watched.end(&meter, units, 0)?;
        Ok(Measured { window, latency: Some(latencies.report(0)), tail: None })
    }
}
