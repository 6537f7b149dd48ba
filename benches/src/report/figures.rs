//! What is worked out from a report's raw counts, for tables, plots and targets alike.

use super::stats::{self, COVERAGE, Estimate};
use super::{Count, Micro, Report, ScenarioResult, ServerResult, Window};
use crate::{peer, scenario};

/// A load that uses this much of its core is what the throughput depends on, not the server.
const SATURATED: f64 = 0.9;

/// CPU time of the server for a unit, over the rounds, in microseconds.
#[must_use]
pub fn cpu(server: &ServerResult) -> Option<Estimate> {
    stats::estimate(server, Window::cpu_per_unit)
}

/// Units a second, over the rounds.
#[must_use]
pub fn rate(server: &ServerResult) -> Option<Estimate> {
    stats::estimate(server, Window::throughput)
}

/// The share of one core that the server used, in the median round.
#[must_use]
pub fn server_share(server: &ServerResult) -> Option<f64> {
    stats::estimate(server, Window::server_share).map(|share| share.median)
}

/// The share of its core that the load used, in the median round.
#[must_use]
pub fn load_share(server: &ServerResult) -> Option<f64> {
    stats::estimate(server, Window::load_share).map(|share| share.median)
}

/// Whether the load was at its own limit, so that the throughput says little about the server.
#[must_use]
pub fn load_saturated(server: &ServerResult) -> bool {
    load_share(server).is_some_and(|share| share >= SATURATED)
}

/// Bytes for each connection: with none used yet, and after one echo on each.
#[must_use]
pub fn memory_of(server: &ServerResult) -> Option<(f64, f64)> {
    let memory = server.memory?;
    let each = |now: u64| (now as f64 - memory.before as f64) / server.connections as f64;
    (server.connections > 0).then(|| (each(memory.fresh), each(memory.used)))
}

/// A count: the same each time.
#[must_use]
pub fn exact(value: f64) -> Estimate {
    Estimate { median: value, low: value, high: value, rounds: 0, coverage: 1.0 }
}

impl Report {
    /// The result of that name.
    #[must_use]
    pub fn scenario(&self, name: &str) -> Option<&ScenarioResult> {
        self.scenarios.iter().find(|scenario| scenario.name == name)
    }

    /// The scenarios in the order of their table, however they were run; what the table does not have is last.
    #[must_use]
    pub fn in_order(&self) -> Vec<&ScenarioResult> {
        let mut scenarios: Vec<&ScenarioResult> = self.scenarios.iter().collect();
        let place = |name: &str| crate::scenario::ALL.iter().position(|row| row.name == name);
        scenarios.sort_by_key(|scenario| place(&scenario.name).unwrap_or(usize::MAX));
        scenarios
    }

    /// One server in one scenario.
    #[must_use]
    pub fn server(&self, scenario: &str, peer: &str) -> Option<&ServerResult> {
        self.scenario(scenario)?.server(peer)
    }

    /// One count.
    #[must_use]
    pub fn count(&self, peer: &str, scenario: &str, what: &str) -> Option<f64> {
        let asked =
            |count: &&Count| count.peer == peer && count.scenario == scenario && count.what == what;
        self.counts.iter().find(asked).map(|count| count.per_unit)
    }

    /// One figure of criterion's.
    #[must_use]
    pub fn micro(&self, group: &str, subject: &str) -> Option<Estimate> {
        let asked = |micro: &&Micro| micro.group == group && micro.subject == subject;
        let micro = self.micro.iter().find(asked)?;
        let (median, low, high) = (micro.nanos, micro.low, micro.high);
        Some(Estimate { median, low, high, rounds: 0, coverage: COVERAGE })
    }

    /// Why something of that name was left out.
    #[must_use]
    pub fn why_skipped(&self, name: &str) -> Option<&str> {
        self.skipped.iter().find(|skipped| skipped.what == name).map(|skipped| skipped.why.as_str())
    }
}

impl ScenarioResult {
    /// The server that all others of this scenario are compared with.
    #[must_use]
    pub fn limit(&self) -> &'static str {
        scenario::named(&self.name).map_or(peer::LIMIT, |row| row.limit())
    }

    /// The server of that peer.
    #[must_use]
    pub fn server(&self, peer: &str) -> Option<&ServerResult> {
        self.servers.iter().find(|server| server.peer == peer)
    }
}
