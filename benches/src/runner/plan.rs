//! What is measured, in which order, for how long: nothing here touches a process.

use std::path::PathBuf;
use std::time::Duration;

use crate::peer::{self, Peer};
use crate::report::ServerResult;
use crate::report::Window;
use crate::report::stats::estimate;
use crate::scenario::{self, Kind, Scenario};

/// What a run is to do.
#[derive(Debug, Clone)]
pub struct Options {
    /// A look, not a claim.
    pub quick: bool,
    /// In the order of the table.
    pub scenarios: Vec<&'static Scenario>,
    /// In the order of the table.
    pub peers: Vec<&'static Peer>,
    /// Windows of each server in each scenario.
    pub rounds: usize,
    /// The length of a window.
    pub window: Duration,
    /// What an upload or a download moves.
    pub bytes: u64,
    /// How long the whole run may wait for others to leave the machine alone.
    pub patience: Duration,
    /// Whether instructions, system calls, allocations and copies are counted too.
    pub counts: bool,
    /// Whether anything that is left out makes the run a failure.
    pub strict: bool,
    /// Where servers and load are taken from; without it they are built.
    pub servers: Option<PathBuf>,
    /// Where the report goes; without it, below cargo's target directory.
    pub out: Option<PathBuf>,
}

impl Options {
    /// All of it: 9 rounds, since 6 are the fewest whose intervals are sure to 95 % and with 9 one that went wrong at each
    /// end does not show.
    #[must_use]
    pub fn full() -> Self {
        Self {
            quick: false,
            scenarios: scenario::ALL.iter().collect(),
            peers: peer::ALL.iter().collect(),
            rounds: 9,
            window: Duration::from_millis(300),
            bytes: 1 << 30,
            patience: Duration::from_secs(5 * 60),
            counts: true,
            strict: false,
            servers: None,
            out: None,
        }
    }

    /// A look: what the targets ask of most, in a few minutes.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            quick: true,
            scenarios: IMPORTANT.iter().filter_map(|name| scenario::named(name)).collect(),
            rounds: 3,
            window: Duration::from_millis(120),
            bytes: 64 << 20,
            patience: Duration::from_secs(10),
            ..Self::full()
        }
    }
}

/// What `--quick` measures.
const IMPORTANT: &[&str] = &[
    "echo-1",
    "echo-64",
    "echo-1000",
    "pipelined",
    "blocks",
    "lines",
    "upload",
    "download",
    "churn",
    "idle-1000",
    "tls-echo",
    "tls-blocks",
    "tls-handshakes",
];

/// Scenarios whose windows take turns, since figures of one are set against figures of the other.
const TOGETHER: &[&[&str]] = &[&["echo-64", "echo-8000"], &["mixed", "mixed-calm"]];

/// Scenarios in which latencies are taken at one rate for all servers. (At one connection, the time of a message is its latency.)
const LATENCIES: &[&str] = &["echo-64", "echo-1000", "lines", "mixed", "mixed-calm"];

/// Scenarios of which the 99th percentiles are set against each other.
const TAILS: &[&str] = &["mixed", "mixed-calm"];

/// In each round, so many windows of who is compared by its 99th percentile. Its ratios are spread by a fifth where those of CPU are by a
/// twentieth; four times as many rounds halve an interval.
pub const TAIL_WINDOWS: usize = 4;

/// Whether a narrowed choice of peers has it all the same: ours and the limit, of what speaks TLS if such a peer was asked for; and with one
/// that looks before it sleeps, the hand-written server that does.
#[must_use]
pub fn comes_along(peer: &Peer, asked: &[&Peer]) -> bool {
    let limits = [peer::LIMIT, peer::TLS_LIMIT];
    let rank = limits.contains(&peer.name) || is_ours(peer.name) && peer.after.is_empty();
    let spins = |peer: &Peer| !peer.after.is_empty();
    let rank = rank || peer.name == peer::LIMIT_SPIN && asked.iter().any(|asked| spins(asked));
    rank && asked.iter().any(|asked| asked.tls == peer.tls)
}

/// Whether this is the name of one of ours.
#[must_use]
pub fn is_ours(peer: &str) -> bool {
    peer.starts_with("millrun-")
}

/// Whether the peer is measured in this scenario: over TLS those that speak it, and looking for events instead of sleeping makes sense
/// for one connection only.
#[must_use]
pub fn takes_part(peer: &Peer, scenario: &Scenario) -> bool {
    peer.tls == scenario.tls && (peer.after.is_empty() || scenario.name == "echo-1")
}

/// Whether latencies at a fixed rate are taken.
#[must_use]
pub fn has_latencies(scenario: &Scenario) -> bool {
    LATENCIES.contains(&scenario.name)
}

/// Whether the peer's 99th percentile in this scenario is what a target asks for.
#[must_use]
pub fn has_tails(peer: &str, scenario: &Scenario) -> bool {
    TAILS.contains(&scenario.name) && (is_ours(peer) || peer == peer::LIMIT)
}

/// The scenarios in the groups that are measured together, in the order of the table by each group's first.
#[must_use]
pub fn groups(scenarios: &[&'static Scenario]) -> Vec<Vec<&'static Scenario>> {
    let mut groups: Vec<Vec<&'static Scenario>> = Vec::new();
    for scenario in scenarios {
        let family = TOGETHER.iter().find(|names| names.contains(&scenario.name));
        let home = groups.iter_mut().find(|group| {
            family.is_some_and(|names| group.iter().any(|member| names.contains(&member.name)))
        });
        match home {
            Some(group) => group.push(scenario),
            None => groups.push(vec![scenario]),
        }
    }
    groups
}

/// In which order `count` sessions have their windows in this round. Every second round goes backwards, and every second pair of
/// rounds begins in the middle: what drifts over a round, or follows a certain neighbour, does not always hit the same. Those
/// that are compared most, ours and the limit, are listed side by side and stay so: a rotation by less would put the
/// rest of the round between them.
#[must_use]
pub fn order(round: usize, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(if round / 2 % 2 == 1 { count / 2 } else { 0 });
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

/// What a server does with every connection busy is so many times the rate at which latencies are taken. At such a rate messages come alone, not
/// in batches, and each costs more (15.9 us in place of 9.8 in the hand-written server, on one machine): at half of what it does in batches a
/// server is near its end, and what queues behind a hiccup of the machine takes as long as the hiccup to be gone.
const APART: f64 = 3.0;

/// Messages a second for latencies: a third of what the slowest of those does that the comparison is about, so that none of
/// them is near its end. (An interpreter may be: then its latencies say so.) Nothing if none of them was measured.
#[must_use]
pub fn rate<'a>(servers: impl IntoIterator<Item = &'a ServerResult>) -> Option<u64> {
    let counts = |name: &str| is_ours(name) || name == peer::LIMIT || name == "tokio";
    servers
        .into_iter()
        .filter(|server| counts(&server.peer))
        .filter_map(|server| estimate(server, Window::throughput))
        .map(|throughput| (throughput.median / APART) as u64)
        .filter(|rate| *rate > 0)
        .min()
}

/// How many windows a peer's session of this scenario has: one to warm up, the rounds, the latencies.
#[must_use]
pub fn windows(options: &Options, peer: &str, scenario: &Scenario) -> usize {
    match scenario.kind {
        Kind::Idle => 1,
        _ if has_tails(peer, scenario) => 1 + (1 + TAIL_WINDOWS) * options.rounds,
        _ if has_latencies(scenario) => 1 + 2 * options.rounds,
        _ => 1 + options.rounds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(group: &[&'static Scenario]) -> Vec<&'static str> {
        group.iter().map(|scenario| scenario.name).collect()
    }

    fn named(names: &[&str]) -> Vec<&'static Scenario> {
        names.iter().map(|name| scenario::named(name).unwrap()).collect()
    }

    #[test]
    fn every_name_that_is_used_here_is_in_the_table() {
        let used = IMPORTANT
            .iter()
            .chain(LATENCIES)
            .chain(TAILS)
            .chain(TOGETHER.iter().copied().flatten());
        for name in used {
            assert!(scenario::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn what_is_set_against_each_other_is_measured_together() {
        let found = groups(&named(&["echo-1", "echo-64", "lines", "echo-8000", "mixed-calm"]));
        let found: Vec<_> = found.iter().map(|group| names(group)).collect();
        assert_eq!(
            found,
            [vec!["echo-1"], vec!["echo-64", "echo-8000"], vec!["lines"], vec!["mixed-calm"]]
        );
    }

    #[test]
    fn every_round_has_each_once_in_one_of_four_orders() {
        for count in 0..40 {
            for round in 0..9 {
                let mut found = order(round, count);
                found.sort_unstable();
                assert_eq!(found, (0..count).collect::<Vec<_>>());
            }
        }
        assert_eq!(order(0, 3), [0, 1, 2]);
        assert_eq!(order(1, 3), [2, 1, 0]);
        assert_eq!(order(2, 3), [1, 2, 0]);
        assert_eq!(order(3, 3), [0, 2, 1]);
        assert_eq!(order(4, 3), order(0, 3));
    }

    #[test]
    fn ours_and_the_limit_are_measured_side_by_side() {
        // In a scenario, and in two that take turns: of a peer, both are neighbours.
        for scenarios in [1, 2] {
            let echo = scenario::named("echo-64").unwrap();
            let peers = peer::ALL.iter().filter(|peer| takes_part(peer, echo)).count();
            let count = scenarios * peers;
            let limit = 2 * scenarios;
            for round in 0..9 {
                let order = order(round, count);
                let place = |who| order.iter().position(|&n| n == who).unwrap();
                for ours in 0..limit {
                    assert!(place(ours).abs_diff(place(limit)) <= limit, "round {round}: {ours}");
                }
            }
        }
    }

    #[test]
    fn over_two_rounds_nobody_is_earlier_on_average() {
        let place = |round, who| order(round, 5).iter().position(|&n| n == who).unwrap();
        for who in 0..5 {
            assert_eq!(place(0, who) + place(1, who), 4);
        }
    }

    #[test]
    fn looking_instead_of_sleeping_is_for_one_connection() {
        for name in ["millrun-spin", peer::LIMIT_SPIN] {
            let spin = peer::named(name).unwrap();
            assert!(takes_part(spin, scenario::named("echo-1").unwrap()));
            assert!(!takes_part(spin, scenario::named("echo-64").unwrap()));
        }
        assert!(takes_part(peer::named("epoll").unwrap(), scenario::named("echo-64").unwrap()));
    }

    #[test]
    fn the_rate_is_a_third_of_the_slowest_that_counts() {
        let server = |peer: &str, units| ServerResult {
            peer: peer.to_owned(),
            connections: 1,
            rounds: vec![Window {
                units,
                bytes: 0,
                wall_ns: 500_000_000,
                server_cpu_ns: 1,
                load_cpu_ns: 1,
                foreign_cpu_ns: 0,
            }],
            latency: None,
            tails: Vec::new(),
            memory: None,
        };
        let servers =
            [server("epoll", 900), server("millrun-streams", 600), server("asyncio-streams", 10)];
        assert_eq!(rate(&servers), Some(400));
        assert_eq!(rate(&servers[2..]), None);
        assert_eq!(rate(&[server("tokio", 0)]), None);
    }
}
