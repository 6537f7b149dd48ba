//! A report that nobody measured, of any size.

use millrun_benches::report::{
    Count, FORMAT, Latency, Machine, Memory, Micro, Report, ScenarioResult, ServerResult, Skipped,
    Window,
};
use millrun_benches::scenario::{Kind, Scenario};
use millrun_benches::{peer, scenario};

/// How much dearer each peer of the table is than the limit: made up.
const DEARER: [f64; 22] = [
    1.01, 1.04, 1.3, 1.0, 1.25, 1.06, 1.03, 1.12, 1.08, 0.97, 1.15, 1.05, 1.38, 2.6, 1.19, 2.1,
    1.3, 14.0, 0.9, 0.93, 1.0, 1.1,
];

/// The same numbers each time: between 0 and 1.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / f64::from(u32::MAX >> 1)
    }
}

/// All scenarios, all peers, ten rounds.
pub(crate) fn full() -> Report {
    report(
        &scenario::ALL.iter().collect::<Vec<_>>(),
        &peer::ALL.iter().map(|peer| peer.name).collect::<Vec<_>>(),
        10,
    )
}

/// One scenario, four peers, three rounds.
pub(crate) fn small() -> Report {
    let peers = ["millrun-protocol", "millrun-streams", "epoll", "tokio"];
    let mut report = report(&scenario::ALL[1..2].iter().collect::<Vec<_>>(), &peers, 3);
    report.micro.clear();
    report.counts.clear();
    report
}

fn report(scenarios: &[&Scenario], peers: &[&str], rounds: usize) -> Report {
    let mut noise = Noise(7);
    let machine = Machine {
        cpu: "Made Up 9000 64-Core Processor".to_owned(),
        cores: 2,
        kernel: "Linux 6.18.0".to_owned(),
        rustc: "rustc 1.91.0".to_owned(),
        date: "2026-01-02 03:04".to_owned(),
        commit: "0123456+".to_owned(),
        memory: 8 << 30,
    };
    let skipped = Skipped {
        what: "rloop-streams in relay".to_owned(),
        why: "it does not connect".to_owned(),
    };
    Report {
        format: FORMAT,
        machine,
        versions: peers.iter().map(|peer| ((*peer).to_owned(), "1.2.3".to_owned())).collect(),
        commands: vec!["cargo xtask bench --rounds 10 --out target/bench".to_owned()],
        scenarios: scenarios
            .iter()
            .map(|scenario| of(scenario, peers, rounds, &mut noise))
            .collect(),
        counts: counts(peers),
        micro: micro(),
        skipped: vec![skipped],
        notes: vec!["a governor that changes the clock".to_owned()],
    }
}

fn of(scenario: &Scenario, peers: &[&str], rounds: usize, noise: &mut Noise) -> ScenarioResult {
    let mut base = 5_000.0 * (1.0 + (scenario.connections as f64).log10() / 10.0);
    if scenario.name == "lines" {
        base = 400.0;
    }
    let servers = peers
        .iter()
        .filter(|name| peer::named(name).is_some_and(|peer| peer.tls == scenario.tls))
        .map(|name| {
            let place = peer::ALL.iter().position(|peer| peer.name == *name).unwrap_or(4);
            let cost = base * DEARER[place];
            ServerResult {
                peer: (*name).to_owned(),
                connections: scenario.connections,
                rounds: if matches!(scenario.kind, Kind::Idle) {
                    vec![]
                } else {
                    (0..rounds).map(|_| window(cost, scenario.size, noise)).collect()
                },
                latency: matches!(scenario.kind, Kind::Echo | Kind::Mixed { .. })
                    .then(|| latency(cost)),
                tails: (0..rounds).map(|_| (cost * (3.0 + noise.next() * 0.2)) as u64).collect(),
                memory: matches!(scenario.kind, Kind::Idle)
                    .then(|| memory(DEARER[place], scenario.connections)),
            }
        })
        .collect();
    let (name, about, unit) = (scenario.name, scenario.about, scenario.unit);
    ScenarioResult {
        name: name.to_owned(),
        about: about.to_owned(),
        unit: unit.to_owned(),
        servers,
    }
}

fn window(cost: f64, size: usize, noise: &mut Noise) -> Window {
    let cost = cost * (1.0 + (noise.next() - 0.5) * 0.04);
    let wall_ns = 1_000_000_000;
    let units = (wall_ns as f64 / cost.max(5_600.0)) as u64;
    let server_cpu_ns = (units as f64 * cost) as u64;
    let bytes = units * size as u64;
    let load_cpu_ns = if cost < 5_600.0 { 980_000_000 } else { 700_000_000 };
    Window { units, bytes, wall_ns, server_cpu_ns, load_cpu_ns, foreign_cpu_ns: 1_000_000 }
}

fn latency(cost: f64) -> Latency {
    let buckets = (0..400).map(|step| {
        let upper = cost * 1.8 * 1.02_f64.powi(step);
        (upper as u64, (200_000.0 * (-f64::from(step - 30).abs() / 18.0).exp()) as u64)
    });
    Latency { rate: 50_000, buckets: buckets.filter(|(_, count)| *count > 0).collect() }
}

fn memory(dearer: f64, connections: usize) -> Memory {
    let before = 3 << 20;
    let with = |each: f64| before + (each * dearer.powi(3) * connections as f64) as u64;
    Memory { before, fresh: with(260.0), used: with(300.0) }
}

fn counts(peers: &[&str]) -> Vec<Count> {
    let mut counts = Vec::new();
    let mut add = |peer: &str, scenario: &str, what: &str, per_unit: f64| {
        counts.push(Count {
            peer: peer.to_owned(),
            scenario: scenario.to_owned(),
            what: what.to_owned(),
            per_unit,
        });
    };
    for (peer, times) in peers.iter().zip(1..).take(6) {
        add(peer, "echo-1", "instructions", 380.0 * f64::from(times));
        for (what, count) in [
            ("allocations", 0.0),
            ("recv", 1.0),
            ("send", 1.0),
            ("epoll_wait", 1.0),
            ("syscalls", 3.0),
        ] {
            add(peer, "echo-1", what, count);
        }
        for (what, count) in [
            ("recv", 1.0),
            ("send", 1.0),
            ("epoll_wait", 0.0156),
            ("epoll_ctl", 0.0),
            ("syscalls", 2.0156),
        ] {
            add(peer, "echo-64", what, count);
        }
        for scenario in ["blocks", "upload", "download"] {
            add(peer, scenario, "copies", 1.0 + f64::from(times) / 10.0);
        }
    }
    counts
}

fn micro() -> Vec<Micro> {
    let of = |group: &str, subject: &str, nanos: f64| Micro {
        group: group.to_owned(),
        subject: subject.to_owned(),
        nanos,
        low: nanos * 0.98,
        high: nanos * 1.03,
    };
    vec![
        of("call_soon", "millrun", 21.0),
        of("call_soon", "VecDeque", 14.0),
        of("call_soon", "tokio", 74.0),
        of("timers: arm and cancel", "millrun", 31.0),
        of("timers: arm and cancel", "tokio", 210.0),
        of("timers: arm and cancel", "tokio best", 62.0),
    ]
}
