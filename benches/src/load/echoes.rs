//! The scenarios that echo: their windows, and the readers beside them that stall.

use std::io;
use std::net::TcpStream;
use std::time::Duration;

use super::arguments::Arguments;
use super::crowd::{self, Crowd};
use super::latency::Latencies;
use super::meter::Watched;
use super::schedule::Schedule;
use super::session::{Drive, Measured};
use super::{Failure, Outcome};
use crate::digest;
use crate::scenario::Kind;

/// One part in so many of a window is driven before it, for the server's caches and allocator.
pub(super) const WARM_UP: u64 = 20;

#[derive(Debug)]
pub(super) struct Echoes {
    crowd: Crowd,
    watched: Watched,
    /// Open, never read.
    _stalled: Vec<TcpStream>,
}

impl Echoes {
    /// Connected, and each connection checked; `most` is how many descriptors there are for them.
    pub(super) fn new(arguments: &Arguments, most: usize) -> Outcome<Self> {
        let (greeting, stalled): (&[u8], _) = match arguments.scenario.kind {
            Kind::Mixed { stalled } => (b"E", stalled),
            _ => (b"", 0),
        };
        let stall = |_| {
            crowd::connect(arguments.port, b"D", arguments.patience)
                .map_err(Failure::io("a reader that stalls"))
        };
        let stalled = (0..stalled).map(stall).collect::<Outcome<Vec<_>>>()?;
        for stream in &stalled {
            expect_pattern(stream, arguments.patience)
                .map_err(Failure::io("a reader that stalls"))?;
        }
        let mut crowd = Crowd::new(arguments)?;
        crowd.join(arguments.scenario.connections.min(most), greeting)?;
        Ok(Self { crowd, watched: Watched::new(arguments), _stalled: stalled })
    }
}

/// What was asked for begins to come; it is not taken.
fn expect_pattern(stream: &TcpStream, patience: Duration) -> io::Result<()> {
    let mut begin = [0];
    stream.set_read_timeout(Some(patience))?;
    match stream.peek(&mut begin)? {
        1 if digest::pattern().starts_with(&begin) => Ok(()),
        length => {
            let got = begin[..length].escape_ascii();
            Err(io::Error::other(format!("expected the pattern, got \"{got}\"")))
        }
    }
}

impl Drive for Echoes {
    fn connections(&self) -> usize {
        self.crowd.len()
    }

    fn measure(&mut self, nanos: u64, rate: Option<u64>) -> Outcome<Measured> {
        self.crowd.closed(nanos / WARM_UP, &mut Latencies::new()?)?;
        let schedule = rate.map(|rate| Schedule::new(rate, self.crowd.len(), nanos));
        let mut latencies = match schedule {
            None => Latencies::new()?,
            Some(_) => Latencies::sliced(nanos)?,
        };
        let meter = self.watched.start()?;
        let units = match schedule {
            None => self.crowd.closed(nanos, &mut latencies)?,
            Some(schedule) => self.crowd.open(schedule, &mut latencies)?,
        };
        let window = self.watched.end(&meter, units, units * self.crowd.size() as u64)?;
        // Once more now that the server sleeps: what it sent beyond the last reply is there.
        self.crowd.expect_silence()?;
        let latency = Some(latencies.report(rate.unwrap_or(0)));
        Ok(Measured { window, latency, tail: latencies.tail() })
    }
}
