//! When messages are due at a given rate, whether or not replies come: the open loop's arithmetic.
//!
//! Message `k` of all is due `k / rate` seconds after the start, on connection `k mod connections`. So the `n`th message of a connection
//! has a time that is known beforehand: one that has to wait for its connection keeps it, and its latency counts from
//! there (an answer that was late makes those behind it late too, instead of making them fewer).

const SECOND: u64 = 1_000_000_000;

/// A rate over some connections for some time.
#[derive(Debug, Clone, Copy)]
pub struct Schedule {
    rate: u64,
    connections: u64,
    total: u64,
}

impl Schedule {
    /// `rate` messages a second (at least 1) over so many connections (at least 1), for `nanos`.
    #[must_use]
    pub fn new(rate: u64, connections: usize, nanos: u64) -> Self {
        let total = u128::from(rate) * u128::from(nanos) / u128::from(SECOND);
        // What would not fit below is more than two hours of the fastest link there is.
        let total = total.min(u128::from(u64::MAX / SECOND)) as u64;
        Self { rate: rate.max(1), connections: connections.max(1) as u64, total }
    }

    /// Messages in all.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Nanoseconds from the start until message `number` of all is due.
    #[must_use]
    pub fn due(&self, number: u64) -> u64 {
        (number * SECOND).div_ceil(self.rate)
    }

    /// The message of all that is the `nth` (from 0) of a connection.
    #[must_use]
    pub fn number(&self, connection: usize, nth: u64) -> u64 {
        nth * self.connections + connection as u64
    }

    /// The connection of message `number` of all.
    #[must_use]
    pub fn connection(&self, number: u64) -> usize {
        (number % self.connections) as usize
    }

    /// How many messages of all are due `elapsed` nanoseconds after the start.
    #[must_use]
    pub fn count(&self, elapsed: u64) -> u64 {
        let before = u128::from(elapsed) * u128::from(self.rate) / u128::from(SECOND);
        before.saturating_add(1).min(u128::from(self.total)) as u64
    }

    /// How many messages of one connection are among the first `count` of all.
    #[must_use]
    pub fn of_connection(&self, connection: usize, count: u64) -> u64 {
        (count + self.connections - 1 - connection as u64) / self.connections
    }
}
