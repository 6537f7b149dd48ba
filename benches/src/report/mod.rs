//! A run as data: what is written to `bench.json`, what tables, pages and comparisons are made from.
//!
//! Raw counts are kept for each round; whatever is derived (ratios, intervals, verdicts) is worked out when it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub mod compare;
pub mod criterion;
pub mod figures;
pub mod html;
pub mod plot;
pub mod stats;
pub mod table;
pub mod targets;
pub mod words;

/// The version of this format: a file of another one is refused.
pub const FORMAT: u32 = 1;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Where it was measured.
    pub machine: Machine,
    /// Version of each peer, by its name.
    pub versions: BTreeMap<String, String>,
    /// The command lines that make this report again.
    pub commands: Vec<String>,
    /// What was measured, in the order of the table of scenarios.
    pub scenarios: Vec<ScenarioResult>,
    /// Counts that noise does not touch: instructions, system calls, allocations.
    pub counts: Vec<Count>,
    /// What criterion measured, where it was run.
    pub micro: Vec<Micro>,
    /// What was left out, and why.
    pub skipped: Vec<Skipped>,
    /// What a reader must know about this run as a whole: one core only, foreign load that did not end.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Where a run was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// How many logical processors.
    pub cores: usize,
    /// The kernel's name and release.
    pub kernel: String,
    /// `rustc --version`.
    pub rustc: String,
    /// When, in UTC, as `YYYY-MM-DD HH:MM`.
    pub date: String,
    /// The project's commit, with `+` when the tree was changed.
    pub commit: String,
    /// Bytes of memory.
    pub memory: u64,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// Its name in the table of scenarios.
    pub name: String,
    /// What it asks.
    pub about: String,
    /// What costs are given per.
    pub unit: String,
    /// In the order of the table of peers.
    pub servers: Vec<ServerResult>,
}

/// One server in one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerResult {
    /// Its name in the table of peers.
    pub peer: String,
    /// How many connections it had.
    pub connections: usize,
    /// One window of each round; round `n` of all servers of a scenario ran one after the other, so their ratios are paired.
    pub rounds: Vec<Window>,
    /// Latencies at one rate for all servers of the scenario; all windows together.
    pub latency: Option<Latency>,
    /// The 99th percentile of each of those windows, in nanoseconds: of the window's middle slice, so that a hiccup of the machine does
    /// not decide it. Paired as the rounds are.
    #[serde(default)]
    pub tails: Vec<u64>,
    /// Resident memory (idle).
    pub memory: Option<Memory>,
}

/// What one window counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Units done: messages, lines, connections, deliveries; KiB of a transfer.
    pub units: u64,
    /// Bytes of payload from the load to the server, and the same the other way for an echo.
    pub bytes: u64,
    /// Wall time, in nanoseconds.
    pub wall_ns: u64,
    /// CPU time of all threads of the server, in nanoseconds.
    pub server_cpu_ns: u64,
    /// CPU time of the load, in nanoseconds.
    pub load_cpu_ns: u64,
    /// CPU time that others used on the machine meanwhile, in nanoseconds (as fine as the kernel's ticks).
    pub foreign_cpu_ns: u64,
}

/// How long messages took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Messages a second that were asked for; 0 when each connection sent as soon as it had a reply.
    pub rate: u64,
    /// Counts by upper bound in nanoseconds, ascending: an HdrHistogram of 2 significant digits.
    pub buckets: Vec<(u64, u64)>,
}

/// Resident memory of a server, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Before any connection of those counted.
    pub before: u64,
    /// With all of them, none of which sent anything yet.
    pub fresh: u64,
    /// After one echo on each.
    pub used: u64,
}

/// One count of one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Count {
    /// The server's name in the table of peers.
    pub peer: String,
    /// The scenario that it was counted in.
    pub scenario: String,
    /// What: "instructions", "allocations", "recv", "send", "epoll_wait", "epoll_ctl", "syscalls", …
    pub what: String,
    /// So many per unit of the scenario.
    pub per_unit: f64,
}

/// One figure of criterion's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Micro {
    /// The question: "call_soon", "timers: arm and cancel", …
    pub group: String,
    /// Who: "millrun", "tokio", "VecDeque", …
    pub subject: String,
    /// Nanoseconds per element: the estimate and its confidence interval.
    pub nanos: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end.
    pub high: f64,
}

/// What is told to be left out when what criterion wrote can't be read.
pub const SMALL_BENCHES: &str = "small benches";

/// What was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// A peer's name, "PEER in SCENARIO", [`SMALL_BENCHES`], or counts that were not made.
    pub what: String,
    /// Why.
    pub why: String,
}
