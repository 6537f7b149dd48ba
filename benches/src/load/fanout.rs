//! One publisher, many subscribers.

use super::Outcome;
use super::arguments::Arguments;
use super::crowd::Crowd;
use super::latency::Latencies;
use super::meter::Watched;
use super::session::{Drive, Measured, NO_RATE};
use super::{Failure, echoes};

#[derive(Debug)]
pub(super) struct Fanout {
    crowd: Crowd,
    watched: Watched,
    size: u64,
}

impl Fanout {
    /// Connected, and one message delivered to all.
    pub(super) fn new(arguments: &Arguments, most: usize) -> Outcome<Self> {
        let mut watched = Watched::new(arguments);
        let mut crowd = Crowd::new(arguments)?;
        let subscribers = arguments.scenario.connections.min(most.saturating_sub(1));
        // Nothing is said to a subscriber: a server that sleeps knows them all.
        crowd.connect_resting(subscribers, b"S", &mut watched.server)?;
        crowd.connect(1, b"P")?;
        crowd.fanned(0, &mut Latencies::new()?)?;
        Ok(Self { crowd, watched, size: arguments.scenario.size as u64 })
    }
}

impl Drive for Fanout {
    fn connections(&self) -> usize {
        self.crowd.len() - 1
    }

    fn measure(&mut self, nanos: u64, rate: Option<u64>) -> Outcome<Measured> {
        if rate.is_some() {
            return Err(Failure::new(NO_RATE));
        }
        self.crowd.fanned(nanos / echoes::WARM_UP, &mut Latencies::new()?)?;
        let mut latencies = Latencies::new()?;
        let meter = self.watched.start()?;
        let messages = self.crowd.fanned(nanos, &mut latencies)?;
        let units = messages * self.connections() as u64;
        let window = self.watched.end(&meter, units, messages * self.size)?;
        // Once more now that the server sleeps: what it sent beyond the last delivery is there.
        self.crowd.expect_silence()?;
        Ok(Measured { window, latency: Some(latencies.report(0)), tail: None })
    }
}
