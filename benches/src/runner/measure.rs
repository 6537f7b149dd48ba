//! Taking turns: the sessions of a group of scenarios stay alive while their windows are taken one after the other.

use std::time::Duration;

use super::plan::{self, Options};
use super::progress::Progress;
use super::quiet::Quiet;
use super::session::{Session, World};
use crate::report::{Latency, ScenarioResult, ServerResult, Skipped, Window};
use crate::scenario::{Kind, Scenario};
use crate::talk::Command;

/// How often a window is taken again when others used the machine meanwhile.
const AGAIN: usize = 2;
/// What a session takes before its first window, as far as it can be known before: for progress only.
const STARTING: Duration = Duration::from_millis(300);
/// Before each window the machine is looked at; and what is in flight at its end comes back: for progress only.
const BETWEEN: Duration = Duration::from_millis(60);
/// What a transfer is planned with, in bytes a second: for progress only.
const SPEED: u64 = 1 << 30;
/// What the slowest transfer must reach, in bytes a second.
const SLOWEST: u64 = 25 << 20;
/// The part of a window, or of a transfer, that warms a server up and is not counted.
const WARM: u32 = 4;

/// A run's measurements, group by group.
#[derive(Debug)]
pub struct Run<'a> {
    options: &'a Options,
    world: &'a World,
    progress: &'a mut Progress,
    quiet: Quiet,
    /// Servers that left a scenario, and why.
    pub skipped: Vec<Skipped>,
    /// Why the machine could not be looked at.
    pub blind: Option<String>,
}

/// A session, and what it has so far.
struct Seat {
    scenario: &'static Scenario,
    /// Nothing once it failed or is no longer needed.
    session: Option<Session>,
    failed: bool,
    result: ServerResult,
}

impl<'a> Run<'a> {
    /// Nothing is started yet.
    #[must_use]
    pub fn new(options: &'a Options, world: &'a World, progress: &'a mut Progress) -> Self {
        let cores = vec![world.cores.server, world.cores.load];
        let quiet = Quiet::new(cores, options.patience);
        Self { options, world, progress, quiet, skipped: Vec::new(), blind: None }
    }

    /// How many windows were taken although others used the machine.
    #[must_use]
    pub fn in_vain(&self) -> usize {
        self.quiet.in_vain
    }

    /// Shows a result above the progress.
    pub fn show(&self, text: &str) {
        self.progress.show(text);
    }

    /// Measures scenarios that belong together; `place` says how far the run is.
    pub fn group(&mut self, group: &[&'static Scenario], place: &str) -> Vec<ScenarioResult> {
        let names: Vec<&str> = group.iter().map(|scenario| scenario.name).collect();
        let title = format!("{place} {}", names.join(" and "));
        self.progress.begin(&title, planned(self.options, group, self.world));
        let mut seats = self.seats(group, &title);
        if group.iter().any(|scenario| scenario.kind != Kind::Idle) {
            self.round(&mut seats, 0, &format!("{title}: warming up"), Phase::WarmUp);
            for round in 0..self.options.rounds {
                let what = format!("{title}: round {}/{}", round + 1, self.options.rounds);
                self.round(&mut seats, round, &what, Phase::Closed);
            }
            self.latencies(&mut seats, &title);
        }
        let of = |scenario: &&'static Scenario| {
            let mine =
                seats.iter().filter(|seat| !seat.failed && seat.scenario.name == scenario.name);
            ScenarioResult {
                name: scenario.name.to_owned(),
                about: scenario.about.to_owned(),
                unit: scenario.unit.to_owned(),
                servers: mine.map(|seat| seat.result.clone()).collect(),
            }
        };
        group.iter().map(of).collect()
    }

    /// Starts everyone; of a peer, its scenarios are neighbours.
    fn seats(&mut self, group: &[&'static Scenario], title: &str) -> Vec<Seat> {
        let mut seats = Vec::new();
        for peer in &self.options.peers {
            if !self.world.servers.contains_key(peer.name) {
                continue;
            }
            for scenario in group.iter().filter(|scenario| plan::takes_part(peer, scenario)) {
                self.progress.step(&format!("{title}: {} starts", peer.name));
                let result = ServerResult {
                    peer: peer.name.to_owned(),
                    connections: 0,
                    rounds: Vec::new(),
                    latency: None,
                    tails: Vec::new(),
                    memory: None,
                };
                let mut seat = Seat { scenario, session: None, failed: false, result };
                match Session::start(self.world, peer, scenario) {
                    Ok(session) => {
                        seat.result.connections = session.connections;
                        seat.result.memory = session.memory;
                        // What idles has told all that there is; the next one may need its memory.
                        let idle = scenario.kind == Kind::Idle;
                        seat.session = Some(session).filter(|_| !idle);
                    }
                    Err(why) => self.leaves(&mut seat, why),
                }
                self.progress.advance(STARTING);
                seats.push(seat);
            }
        }
        seats
    }

    /// One window of everyone.
    fn round(&mut self, seats: &mut [Seat], round: usize, what: &str, phase: Phase) {
        self.progress.step(what);
        for index in plan::order(round, seats.len()) {
            let seat = &mut seats[index];
            if phase.is_for(seat.scenario) {
                self.progress.step(&format!("{what}, {}", seat.result.peer));
                self.turn(seat, phase);
            }
        }
    }

    /// Latencies of those scenarios that have them, at one rate for the whole group: what is set against each other must
    /// be asked for the same.
    fn latencies(&mut self, seats: &mut [Seat], title: &str) {
        let timed =
            seats.iter().filter(|seat| Phase::Open(0).is_for(seat.scenario) && !seat.failed);
        let Some(rate) = plan::rate(timed.map(|seat| &seat.result)) else { return };
        for round in 0..self.options.rounds {
            let what = format!("{title}: latencies {}/{}", round + 1, self.options.rounds);
            self.round(seats, round, &what, Phase::Open(rate));
        }
    }

    fn turn(&mut self, seat: &mut Seat, phase: Phase) {
        let (command, expected) = self.command(seat.scenario, phase);
        match self.window(seat, &command, expected, phase) {
            Ok(Some((window, latency))) => phase.keep(seat, window, latency),
            Ok(None) => {}
            Err(why) => self.leaves(seat, why),
        }
        let planned = match command {
            Command::Transfer { bytes } => transfer(bytes, SPEED),
            _ => expected,
        };
        self.progress.advance(planned + BETWEEN);
    }

    /// A window in which others left the machine alone, if that can be had.
    fn window(
        &mut self,
        seat: &mut Seat,
        command: &Command,
        expected: Duration,
        phase: Phase,
    ) -> Result<Option<(Window, Option<Latency>)>, String> {
        let Some(session) = &mut seat.session else { return Ok(None) };
        for again in (0..=AGAIN).rev() {
            // A warm-up may be disturbed.
            let quiet = phase == Phase::WarmUp
                || self.quiet.wait().unwrap_or_else(|error| {
                    self.blind = Some(error.to_string());
                    false
                });
            let (window, latency) = session.window(command, expected)?;
            // On a machine that never is quiet, the next one would be no better.
            if again == 0 || !quiet || phase == Phase::WarmUp || !window.is_disturbed() {
                return Ok(Some((window, latency)));
            }
        }
        Ok(None)
    }

    /// What is said to the load, and how long that should take at most.
    fn command(&self, scenario: &Scenario, phase: Phase) -> (Command, Duration) {
        let part = if phase == Phase::WarmUp { WARM } else { 1 };
        if matches!(scenario.kind, Kind::Upload | Kind::Download) {
            let bytes = (self.options.bytes / u64::from(part)).max(1);
            return (Command::Transfer { bytes }, transfer(bytes, SLOWEST));
        }
        let window = (self.options.window / part).max(Duration::from_millis(1));
        let rate = if let Phase::Open(rate) = phase { Some(rate) } else { None };
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        (Command::Measure { millis, rate }, window)
    }

    /// It failed: this scenario goes on without it.
    fn leaves(&mut self, seat: &mut Seat, why: String) {
        seat.session = None;
        seat.failed = true;
        let what = format!("{} in {}", seat.result.peer, seat.scenario.name);
        self.progress.say(&format!("{what} is left out: {why}"));
        self.skipped.push(Skipped { what, why });
    }
}

/// What a window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    /// Each connection sends when it has its reply.
    Closed,
    /// So many messages a second.
    Open(u64),
}

impl Phase {
    fn is_for(self, scenario: &Scenario) -> bool {
        match self {
            Self::WarmUp | Self::Closed => scenario.kind != Kind::Idle,
            Self::Open(_) => plan::has_latencies(scenario),
        }
    }

    fn keep(self, seat: &mut Seat, window: Window, latency: Option<Latency>) {
        match self {
            Self::WarmUp => return,
            Self::Closed => {
                seat.result.rounds.push(window);
                // With one connection, the time of a message is its latency; with more, it is how long the queue is.
                if seat.scenario.connections > 1 || seat.scenario.kind != Kind::Echo {
                    return;
                }
            }
            Self::Open(_) => {}
        }
        let Some(latency) = latency else { return };
        seat.result.tails.extend(latency.quantile(0.99));
        match &mut seat.result.latency {
            Some(all) => all.merge(&latency),
            None => seat.result.latency = Some(latency),
        }
    }
}

/// How long these scenarios take, as far as it can be known before.
#[must_use]
pub fn planned(options: &Options, group: &[&'static Scenario], world: &World) -> Duration {
    let mut sum = Duration::ZERO;
    for scenario in group {
        let there = |name| world.servers.contains_key(name);
        let peers = options.peers.iter().filter(|peer| plan::takes_part(peer, scenario));
        let peers = peers.filter(|peer| there(peer.name)).count();
        let window = match scenario.kind {
            Kind::Upload | Kind::Download => transfer(options.bytes, SPEED),
            _ => options.window,
        };
        let windows = (window + BETWEEN) * plan::windows(options, scenario) as u32;
        sum += (STARTING + windows) * peers as u32;
    }
    sum
}

fn transfer(bytes: u64, speed: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / speed as f64)
}
