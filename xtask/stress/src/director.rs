//! What is done to the server, in which order, and what it must be afterwards.

use std::time::{Duration, Instant};

use crate::control::{Control, Stats};
use crate::crew::{Crew, Process};
use crate::process::{Look, look};
use crate::{Outcome, limits};

pub(crate) const HELP: &str = "\
cargo xtask stress [--minutes M]

  --minutes M   repeats the whole as long as another round fits into M minutes, at least twice; 5 unless told";

/// Connections at once, if the limit of descriptors allows it.
const CROWD: u64 = 10_000;
/// Connections one after the other, in both of the rounds that there are at least.
const SHORT: u64 = 200_000;
/// Client processes of a crowd; as many work at the same time otherwise.
const PROCESSES: u64 = 8;
/// What processes have beside their connections: standard streams, the selector, the listener, libraries.
const RESERVED: u64 = 200;
/// Killed processes, and the connections of each.
const KILLED: u64 = 12;
const KILLED_CONNECTIONS: u64 = 200;
/// Descriptors that are left to the server when they are made short, and how many clients want one then.
const SHORT_OF: u64 = 100;
const WANTING: u64 = 300;
const SLOW: u64 = 300;
const SLOW_BYTES: u64 = 2 << 20;
/// What a stalled connection may hold: the high mark of 64 KiB, one write more, and its objects.
const STALLED_MEMORY: u64 = (64 + 64 + 32) << 10;
/// What the loop keeps for the next ones: two pools of blocks, and of a connection its places in tables, which don't shrink.
const KEPT: u64 = 2 << 20;
const KEPT_FOR_EACH: u64 = 512;
/// What memory may differ by from round to round, beside a part of it: some large blocks.
const SLACK: u64 = 1 << 20;
/// Longer than any phase on a machine that others use too.
const PATIENCE: Duration = Duration::from_secs(240);

pub(crate) fn run(options: &[&str]) -> Outcome {
    let time = match options {
        [] => Duration::from_secs(5 * 60),
        ["--minutes", minutes] => {
            let minutes: u64 = minutes.parse().map_err(|_| HELP)?;
            Duration::from_secs(60 * minutes)
        }
        ["--help"] => {
            println!("{HELP}");
            return Ok(());
        }
        _ => return Err(HELP.into()),
    };
    let began = Instant::now();
    let mut director = Director::start()?;
    let mut longest = Duration::ZERO;
    while director.rounds < 2 || began.elapsed() + longest < time {
        let round = Instant::now();
        director.round()?;
        longest = longest.max(round.elapsed());
    }
    let took = began.elapsed().as_secs();
    println!("stress: {} in {took} s", director.summary()?);
    Ok(())
}

struct Director {
    server: Process,
    port: u16,
    control: Control,
    /// Connections of a crowd.
    crowd: u64,
    /// Before any client came, and after the first round.
    start: (Look, Stats),
    first: Option<(Look, Stats)>,
    rounds: u64,
    seed: u64,
    finished: u64,
}

type Phase = fn(&mut Director) -> Outcome<String>;

impl Director {
    fn start() -> Outcome<Director> {
        let most = limits::raise_descriptors()?;
        let crowd = CROWD.min(most.saturating_sub(RESERVED));
        if crowd < CROWD {
            println!(
                "stress: the limit of descriptors is {most}: {crowd} connections, not {CROWD}"
            );
        }
        let mut server = Process::start(&["serve".to_owned()])?;
        let line = server.line(Instant::now() + PATIENCE)?.ok_or("the server does not start")?;
        let port: u16 = line.strip_prefix("listening ").ok_or("no port")?.parse()?;
        let mut control = Control::open(port)?;
        let stats = control.wait("the start", |stats| stats.open == 1)?;
        let start = (look(server.id())?, stats);
        println!("stress: the server has {}", words(&start));
        Ok(Director {
            server,
            port,
            control,
            crowd,
            start,
            first: None,
            rounds: 0,
            seed: 0,
            finished: 0,
        })
    }

    fn round(&mut self) -> Outcome {
        self.rounds += 1;
        let phases: [(&str, Phase); 5] = [
            ("a crowd", Director::crowd),
            ("one after the other", Director::short),
            ("killed", Director::killed),
            ("short of descriptors", Director::short_of_descriptors),
            ("slow readers", Director::slow),
        ];
        for (name, phase) in phases {
            let began = Instant::now();
            println!("[round {}] {name}", self.rounds);
            let what = phase(self).map_err(|error| format!("{name}: {error}"))?;
            let now = self.settled(name)?;
            let took = began.elapsed().as_secs_f64();
            println!("  {what}, in {took:.1} s; then {}", words(&now));
        }
        let now = self.now()?;
        let first = *self.first.get_or_insert(now);
        no_more_than("allocated", first.1.heap, now.1.heap, 10)?;
        // The allocator gives back what lies at its end, which depends on who came last.
        no_more_than("resident", first.0.memory, now.0.memory, 2)
    }

    /// Many at once: all are answered while all are open.
    fn crowd(&mut self) -> Outcome<String> {
        let each = self.crowd.div_ceil(PROCESSES);
        let mut left = self.crowd;
        let mut crew = self.crew("a crowd", "crowd", PROCESSES, |_| {
            let now = each.min(left);
            left -= now;
            vec![now]
        })?;
        crew.wait_ready(PATIENCE)?;
        let open = self.control.stats()?.open as u64 - 1;
        if open != self.crowd {
            return Err(format!("{open} connections are open, not {}", self.crowd).into());
        }
        let then = self.now()?;
        crew.go()?;
        let finished = self.end(&mut crew)?;
        Ok(format!("{finished} connections at once, with {}", words(&then)))
    }

    fn short(&mut self) -> Outcome<String> {
        let each = SHORT / 2 / PROCESSES;
        let mut crew =
            self.crew("one after the other", "short", PROCESSES, |_| vec![each, 25, 0])?;
        let finished = self.end(&mut crew)?;
        Ok(format!("{finished} connections"))
    }

    /// Processes that are killed in the middle, beside others that are not.
    fn killed(&mut self) -> Outcome<String> {
        let broken = self.control.stats()?.broken;
        let mut spared = self.crew("beside the killed", "short", 2, |_| vec![4000, 50, 5])?;
        let mut endless: Vec<Process> = Vec::new();
        for number in 0..KILLED {
            let seed = self.next_seed();
            endless.push(Process::client("endless", self.port, seed, &[KILLED_CONNECTIONS])?);
            // Some while they connect, some in the middle of their echoes.
            std::thread::sleep(Duration::from_millis(seed.wrapping_mul(7919) % 400));
            if number % 3 > 0 {
                endless.swap_remove(seed as usize % endless.len()).kill()?;
            }
        }
        for mut process in endless {
            process.kill()?;
        }
        let finished = self.end(&mut spared)?;
        let broken = self.control.stats()?.broken - broken;
        if broken == 0 {
            return Err("no connection was broken by a kill".into());
        }
        Ok(format!("{KILLED} processes killed, {broken} connections broken, {finished} finished"))
    }

    /// Fewer descriptors than clients: those who find none wait, and nobody is lost.
    fn short_of_descriptors(&mut self) -> Outcome<String> {
        let (before, reports) = (look(self.server.id())?, self.control.stats()?.reports);
        self.control.limit_descriptors(before.descriptors as u64 + SHORT_OF)?;
        let began = Instant::now();
        let numbers = |_| vec![WANTING * 3 / 2, WANTING / 2, 100];
        let mut crew = self.crew("short of descriptors", "short", 2, numbers)?;
        let finished = self.end(&mut crew)?;
        self.control.limit_descriptors(limits::raise_descriptors()?)?;
        let reports = self.control.stats()?.reports - reports;
        if reports == 0 {
            return Err("there were enough".into());
        }
        let (cpu, wall) = (look(self.server.id())?.cpu - before.cpu, began.elapsed());
        // It sleeps while it has none: a server that tries all the time uses a core.
        if cpu > wall / 2 {
            return Err(format!("the server used {cpu:?} of {wall:?}").into());
        }
        Ok(format!(
            "{finished} connections, {SHORT_OF} at a time, {reports} reports, {cpu:?} of CPU"
        ))
    }

    /// Who does not read costs what the marks say, and gets all of it in the end.
    fn slow(&mut self) -> Outcome<String> {
        let before = self.control.stats()?.heap;
        let mut crew = self.crew("slow readers", "slow", 4, |_| vec![SLOW / 4, SLOW_BYTES])?;
        crew.wait_ready(PATIENCE)?;
        // All are stalled when nothing is written any more.
        let stalled = |now: &Stats| now.open as u64 == SLOW + 1;
        self.control.wait("slow readers", stalled)?;
        let held = self.control.stats()?.heap.saturating_sub(before);
        if held > SLOW * STALLED_MEMORY + SLACK {
            return Err(format!("{SLOW} stalled connections hold {} KiB", held >> 10).into());
        }
        crew.go()?;
        let finished = self.end(&mut crew)?;
        let each = held / SLOW / 1024;
        Ok(format!("{finished} connections of 2 MiB each, {each} KiB held for one that is stalled"))
    }

    /// After a phase the server is as it was: nothing open, no descriptor, task, timer or watch more.
    fn settled(&mut self, phase: &str) -> Outcome<(Look, Stats)> {
        let start = self.start.1;
        let stats = self.control.wait(phase, |now| {
            (now.open, now.tasks, now.timers, now.watches)
                == (start.open, start.tasks, start.timers, start.watches)
        })?;
        if stats.strange > 0 {
            return Err(format!("{phase}: the server reported something: see above").into());
        }
        let now = look(self.server.id())?;
        if now.descriptors != self.start.0.descriptors {
            let (had, has) = (self.start.0.descriptors, now.descriptors);
            return Err(format!("{phase}: {has} descriptors, {had} at the start, {stats:?}").into());
        }
        let (had, has) = (start.heap >> 10, stats.heap >> 10);
        if has > had + ((KEPT + self.crowd * KEPT_FOR_EACH) >> 10) {
            return Err(format!("{phase}: {has} KiB allocated, {had} at the start").into());
        }
        Ok((now, stats))
    }

    fn now(&mut self) -> Outcome<(Look, Stats)> {
        Ok((look(self.server.id())?, self.control.stats()?))
    }

    fn crew(
        &mut self,
        what: &'static str,
        job: &str,
        processes: u64,
        mut numbers: impl FnMut(u64) -> Vec<u64>,
    ) -> Outcome<Crew> {
        let started = (0..processes).map(|number| {
            let seed = self.next_seed();
            Process::client(job, self.port, seed, &numbers(number))
        });
        Ok(Crew::new(what, started.collect::<Outcome<_>>()?))
    }

    fn end(&mut self, crew: &mut Crew) -> Outcome<u64> {
        let finished = crew.wait_end(PATIENCE)?;
        self.finished += finished;
        Ok(finished)
    }

    fn next_seed(&mut self) -> u64 {
        self.seed += 1;
        self.seed
    }

    fn summary(&mut self) -> Outcome<String> {
        let (now, start) = (self.now()?, self.start);
        Ok(format!(
            "{} rounds, {} connections finished with equal digests; the server had {}, has {}",
            self.rounds,
            self.finished,
            words(&start),
            words(&now)
        ))
    }
}

fn words((look, stats): &(Look, Stats)) -> String {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (heap, memory) = (mib(stats.heap), mib(look.memory));
    format!("{} descriptors, {heap:.2} MiB allocated, {memory:.1} MiB resident", look.descriptors)
}

/// A leak grows with each round; what is kept for the next one does not. `part` of what was there before is not counted.
fn no_more_than(what: &str, before: u64, now: u64, part: u64) -> Outcome {
    if now > before + before / part + SLACK {
        let (now, before) = (now >> 10, before >> 10);
        return Err(format!("{what}: {now} KiB after a round, {before} KiB after the first").into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_grows_is_told() {
        assert!(no_more_than("x", 50 << 20, 55 << 20, 10).is_ok());
        assert!(no_more_than("x", 50 << 20, 60 << 20, 2).is_ok());
        let error = no_more_than("x", 50 << 20, 60 << 20, 10).unwrap_err().to_string();
        assert!(error.contains("61440 KiB"), "{error}");
    }
}
