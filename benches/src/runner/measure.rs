//! Taking turns: the sessions of a group of scenarios stay alive while their windows are taken one after the other.

use std::time::Duration;

use super::plan::{self, Options};
use super::progress::Progress;
use super::quiet::Quiet;
use super::seat::{Phase, Seat};
use super::session::{Session, Taken, World};
use crate::report::{ScenarioResult, ServerResult, Skipped};
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
            if phase.is_for(seat) {
                self.progress.step(&format!("{what}, {}", seat.result.peer));
                self.turn(seat, phase);
            }
        }
    }

    /// Latencies of those scenarios that have them, at one rate for the whole group: what is set against each other must
    /// be asked for the same.
    fn latencies(&mut self, seats: &mut [Seat], title: &str) {
        let timed = seats.iter().filter(|seat| Phase::Open(0).is_for(seat) && !seat.failed);
        let Some(rate) = plan::rate(timed.map(|seat| &seat.result)) else { return };
        for round in 0..self.options.rounds {
            let what = format!("{title}: latencies {}/{}", round + 1, self.options.rounds);
            self.round(seats, round, &what, Phase::Open(rate));
            for more in 1..plan::TAIL_WINDOWS {
                self.round(seats, round + more, &what, Phase::Tails(rate));
            }
        }
    }

    fn turn(&mut self, seat: &mut Seat, phase: Phase) {
        let (command, expected) = self.command(seat.scenario, phase);
        match self.window(seat, &command, expected, phase) {
            Ok(Some(taken)) => phase.keep(seat, taken),
            Ok(None) => {}
            Err(why) => self.leaves(seat, why),
        }
        let planned = match command {
            Command::Transfer { bytes } => transfer(bytes, SPEED),
            _ => expected,
        };
        self.progress.advance(planned + BETWEEN);
    }

    /// A window in which others left the machine alone, if that can be had; nothing from who left.
    fn window(
        &mut self,
        seat: &mut Seat,
        command: &Command,
        expected: Duration,
        phase: Phase,
    ) -> Result<Option<Taken>, String> {
        let Some(session) = &mut seat.session else { return Ok(None) };
        if phase == Phase::WarmUp {
            return session.window(command, expected).map(Some);
        }
        let quiet = || {
            self.quiet.wait().unwrap_or_else(|error| {
                self.blind = Some(error.to_string());
                false
            })
        };
        undisturbed(quiet, || session.window(command, expected)).map(Some)
    }

    /// What is said to the load, and how long that should take at most.
    fn command(&self, scenario: &Scenario, phase: Phase) -> (Command, Duration) {
        let part = if phase == Phase::WarmUp { WARM } else { 1 };
        if matches!(scenario.kind, Kind::Upload | Kind::Download) {
            let bytes = (self.options.bytes / u64::from(part)).max(1);
            return (Command::Transfer { bytes }, transfer(bytes, SLOWEST));
        }
        let window = (self.options.window / part).max(Duration::from_millis(1));
        let millis = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        (Command::Measure { millis, rate: phase.rate() }, window)
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

/// Takes a window again when others used the machine meanwhile. Where they do so all the time, the next one would be no better.
fn undisturbed(
    mut quiet: impl FnMut() -> bool,
    mut take: impl FnMut() -> Result<Taken, String>,
) -> Result<Taken, String> {
    for _ in 0..AGAIN {
        let quiet = quiet();
        let taken = take()?;
        if !quiet || !taken.window.is_disturbed() {
            return Ok(taken);
        }
    }
    quiet();
    take()
}

/// How long these scenarios take, as far as it can be known before.
#[must_use]
pub fn planned(options: &Options, group: &[&'static Scenario], world: &World) -> Duration {
    let mut sum = Duration::ZERO;
    for scenario in group {
        let there = |name| world.servers.contains_key(name);
        let peers = options.peers.iter().filter(|peer| plan::takes_part(peer, scenario));
        let window = match scenario.kind {
            Kind::Upload | Kind::Download => transfer(options.bytes, SPEED),
            _ => options.window,
        };
        for peer in peers.filter(|peer| there(peer.name)) {
            let windows = plan::windows(options, peer.name, scenario);
            sum += STARTING + (window + BETWEEN) * windows as u32;
        }
    }
    sum
}

fn transfer(bytes: u64, speed: u64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / speed as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer;
    use crate::report::{Latency, Window};
    use crate::runner::cores::Cores;
    use crate::runner::launch::Launch;
    use crate::scenario;

    fn script(text: &str) -> Launch {
        let arguments = vec!["-c".into(), text.into(), "made-up".into()];
        Launch { program: "sh".into(), arguments, version: String::new() }
    }

    const SERVER: &str = "echo listening 4321; exec sleep 60";

    /// A load whose n-th window has n units a second; its one latency is n at the rate that it was asked for, its tail ten times that.
    const LOAD: &str = r#"
echo '{"Ready":{"connections":7,"memory":{"before":1,"fresh":2,"used":3}}}'
n=0
while read -r line; do
    n=$((n + 1))
    rate=${line##*:}
    rate=${rate%%\}*}
    latency='{"rate":0,"buckets":[['$n',1]]}'
    [ "$rate" = null ] || latency='{"rate":'$rate',"buckets":[['$n',1]]}'
    echo '{"Window":{"window":{"units":'$n',"bytes":0,"wall_ns":1000000000,"server_cpu_ns":1,"load_cpu_ns":1,"foreign_cpu_ns":0},"latency":'$latency',"tail":'$((10 * n))'}}'
done"#;

    fn world(servers: &[(&'static str, &str)], load: &str) -> World {
        let servers = servers.iter().map(|(name, text)| (*name, script(text))).collect();
        World { cores: Cores::choose().unwrap(), load: script(load), servers, certificate: None }
    }

    /// Measures these scenarios of a made-up world with three rounds.
    fn measured(world: &World, names: &[&str]) -> (Vec<ScenarioResult>, Vec<Skipped>) {
        let mut options = Options::full();
        options.peers = peer::ALL.iter().collect();
        options.rounds = 3;
        options.window = Duration::from_millis(10);
        options.patience = Duration::ZERO;
        let group: Vec<_> = names.iter().map(|name| scenario::named(name).unwrap()).collect();
        let mut progress = Progress::new(Duration::from_secs(1));
        let mut run = Run::new(&options, world, &mut progress);
        (run.group(&group, ""), run.skipped)
    }

    fn units(result: &ServerResult) -> Vec<u64> {
        result.rounds.iter().map(|window| window.units).collect()
    }

    #[test]
    fn rounds_follow_the_warm_up_and_latencies_the_rounds() {
        let world = world(&[("epoll", SERVER), ("tokio", SERVER)], LOAD);
        let (results, skipped) = measured(&world, &["mixed", "mixed-calm", "echo-8000"]);
        assert_eq!((results.len(), skipped.len()), (3, 0));
        for result in &results[..2] {
            for server in &result.servers {
                assert_eq!((server.connections, units(server)), (7, vec![2, 3, 4]));
                // 3 a second was the median: one rate, a third of it, for both scenarios. Of the limit a tail is compared.
                let windows =
                    3 * if server.peer == "epoll" { plan::TAIL_WINDOWS as u64 } else { 1 };
                let buckets = (5..5 + windows).map(|n| (n, 1)).collect();
                assert_eq!(server.latency, Some(Latency { rate: 1, buckets }));
                assert_eq!(server.tails, (5..5 + windows).map(|n| 10 * n).collect::<Vec<_>>());
            }
        }
        let [.., large] = results.as_slice() else { panic!("three") };
        assert!(large.servers.iter().all(|server| server.latency.is_none()), "{large:?}");
    }

    #[test]
    fn of_one_connection_the_rounds_tell_latencies() {
        let world = world(&[("epoll", SERVER), ("millrun-spin", SERVER)], LOAD);
        let (results, _) = measured(&world, &["echo-1"]);
        assert_eq!(results[0].servers.len(), 2);
        let latency = Latency { rate: 0, buckets: vec![(2, 1), (3, 1), (4, 1)] };
        assert_eq!(results[0].servers[0].latency, Some(latency));
        let (results, _) = measured(&world, &["pipelined"]);
        assert_eq!(results[0].servers.len(), 1, "looking is for one connection only");
        assert_eq!(results[0].servers[0].latency, None);
    }

    #[test]
    fn what_idles_has_memory_and_no_windows() {
        let (results, _) = measured(&world(&[("epoll", SERVER)], LOAD), &["idle"]);
        let server = &results[0].servers[0];
        assert_eq!((server.rounds.len(), server.memory.map(|memory| memory.used)), (0, Some(3)));
    }

    #[test]
    fn who_fails_leaves_and_the_rest_goes_on() {
        let servers = [("epoll", SERVER), ("tokio", "echo oh no >&2; exit 1"), ("smol", "exit 3")];
        let (results, skipped) = measured(&world(&servers, LOAD), &["lines"]);
        let there: Vec<_> = results[0].servers.iter().map(|server| server.peer.as_str()).collect();
        assert_eq!(there, ["epoll"]);
        assert_eq!(units(&results[0].servers[0]), [2, 3, 4]);
        let told: Vec<_> =
            skipped.iter().map(|skip| format!("{}: {}", skip.what, skip.why)).collect();
        assert_eq!(
            told,
            [
                "tokio in lines: the server of tokio ended with exit status: 1: oh no",
                "smol in lines: the server of smol does not offer it"
            ]
        );
    }

    #[test]
    fn who_fails_in_a_later_round_has_no_result() {
        let load = LOAD.replace("    rate=", "    [ $n = 3 ] && exit 9\n    rate=");
        let (results, skipped) = measured(&world(&[("epoll", SERVER)], &load), &["lines"]);
        assert!(results[0].servers.is_empty());
        assert!(skipped[0].why.contains("the load ended with exit status: 9"), "{skipped:?}");
        assert_eq!(skipped.len(), 1, "once");
    }

    /// Whether the machine is quiet before, and disturbed during each window; gives how many were taken.
    fn taken(windows: &[(bool, bool)]) -> usize {
        let number = std::cell::Cell::new(0);
        let take = || {
            let (_, disturbed) = windows[number.get()];
            number.set(number.get() + 1);
            let foreign_cpu_ns = if disturbed { 1 << 40 } else { 0 };
            let units = number.get() as u64;
            let window = Window {
                units,
                bytes: 0,
                wall_ns: 1,
                server_cpu_ns: 1,
                load_cpu_ns: 1,
                foreign_cpu_ns,
            };
            Ok(Taken { window, latency: None, tail: None })
        };
        let last = undisturbed(|| windows[number.get()].0, take).unwrap();
        assert_eq!(last.window.units, number.get() as u64, "the last one is kept");
        number.get()
    }

    #[test]
    fn a_disturbed_window_is_taken_again_twice_where_that_helps() {
        assert_eq!(taken(&[(true, false)]), 1);
        assert_eq!(taken(&[(true, true), (true, false)]), 2);
        assert_eq!(taken(&[(true, true); 3]), 3);
        assert_eq!(taken(&[(false, true)]), 1);
    }
}
