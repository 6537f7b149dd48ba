//! Counts that noise does not touch, of the same servers that are timed: instructions of user space and allocations by
//! callgrind, copied bytes by dhat, system calls by strace.
//!
//! A server runs under the tool with few units and with many, driven from this process; only the difference counts, for each unit, so
//! that what happens once (start-up, the first blocks, accepting) cancels out. The end of the server is the same in both.
//!
//! One count does know time: with many connections, how many of them a wait reports. Under strace a server is slow, so more are
//! ready when it looks, and its waits for each message are fewer than untraced; for all servers alike.
//!
//! | scenario | is driven by | is counted |
//! |---|---|---|
//! | echo-1 | one connection, one message of 1 KiB at a time | instructions, allocations, system calls |
//! | echo-64 | 64 connections, each with one message in flight | instructions, allocations, system calls |
//! | lines | one connection, 16 lines of 100 B in a segment | instructions, allocations, system calls |
//! | blocks | one connection, one message of 63 KiB at a time: it comes whole, 64 KiB are two packets of the loopback | instructions, allocations, system calls, copies |
//! | upload, download | one connection | copies |

mod client;
mod tools;
mod traced;

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::contract::Shape;
use crate::digest::PATTERN;
use crate::peer::Peer;
use crate::report::{Count, Skipped};
use crate::runner::launch::Launch;
use client::Drive;
use traced::{Scratch, Traced};

/// Who is counted when nobody was named: ours, the limit, and who is most used.
pub const PEERS: [&str; 4] = ["millrun-protocol", "millrun-streams", crate::peer::LIMIT, "tokio"];

/// Just below 64 KiB: with its headers it is one packet of the loopback.
const BLOCK: usize = 63 * 1024;

/// A server that can be started.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Its row in the table of peers.
    pub peer: &'a Peer,
    /// How it is started.
    pub launch: &'a Launch,
}

/// What counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tool {
    Callgrind,
    Dhat,
    Strace,
}

/// One scenario under one tool.
struct Job {
    scenario: &'static str,
    shape: Shape,
    tool: Tool,
    /// What a short run does, and a long one.
    drives: [Drive; 2],
    /// Units (bytes of payload for dhat) by which the long one is longer.
    units: f64,
}

/// Counts all that the tools here can count; what they can't is told. Quick is the echo on one connection alone. Takes some half a
/// minute for each compiled server; `tell` hears what is being done.
pub fn run(
    subjects: &[Subject<'_>],
    quick: bool,
    tell: &mut dyn FnMut(&str),
) -> (Vec<Count>, Vec<Skipped>) {
    let (mut counts, mut skipped) = (Vec::new(), Vec::new());
    let mut jobs = jobs(quick);
    for (program, tools) in
        [("valgrind", [Tool::Callgrind, Tool::Dhat].as_slice()), ("strace", &[Tool::Strace])]
    {
        if let Err(why) = traced::answers(program) {
            skipped.push(Skipped { what: format!("counts: {program}"), why });
            jobs.retain(|job| !tools.contains(&job.tool));
        }
    }
    for subject in subjects {
        for job in &jobs {
            let (peer, scenario) = (subject.peer.name, job.scenario);
            tell(&format!("counting {peer} in {scenario} by {}", job.tool.name()));
            match job.count(subject) {
                Ok(found) => counts.extend(found.into_iter().map(|(what, per_unit)| Count {
                    peer: peer.to_owned(),
                    scenario: scenario.to_owned(),
                    what,
                    per_unit,
                })),
                Err(why) => {
                    let what = format!("counts: {peer} in {scenario}");
                    skipped.push(Skipped { what, why: format!("{}: {why}", job.tool.name()) });
                }
            }
        }
    }
    (counts, skipped)
}

fn jobs(quick: bool) -> Vec<Job> {
    let echo = |connections, size, messages| Drive::Echo { connections, size, messages };
    let messages = |scenario, tool, connections, size: usize, few: usize, many: usize| {
        let drives = [echo(connections, size, few), echo(connections, size, many)];
        let bytes = if tool == Tool::Dhat { size } else { 1 };
        let units = ((many - few) * connections * bytes) as f64;
        Job { scenario, shape: Shape::Echo, tool, drives, units }
    };
    let mut jobs = vec![
        messages("echo-1", Tool::Callgrind, 1, 1024, 200, 1200),
        messages("echo-1", Tool::Strace, 1, 1024, 200, 1200),
    ];
    if quick {
        return jobs;
    }
    jobs.push(messages("echo-64", Tool::Callgrind, 64, 1024, 20, 120));
    jobs.push(messages("echo-64", Tool::Strace, 64, 1024, 10, 60));
    for tool in [Tool::Callgrind, Tool::Strace] {
        let drives = [Drive::Lines { batches: 20 }, Drive::Lines { batches: 120 }];
        let units = (100 * client::BATCH) as f64;
        jobs.push(Job { scenario: "lines", shape: Shape::Lines, tool, drives, units });
    }
    for tool in [Tool::Callgrind, Tool::Strace, Tool::Dhat] {
        jobs.push(messages("blocks", tool, 1, BLOCK, 20, 120));
    }
    let few = 20 * PATTERN as u64;
    let many = 120 * PATTERN as u64;
    let transfer = |scenario, shape, drives| Job {
        scenario,
        shape,
        tool: Tool::Dhat,
        drives,
        units: (many - few) as f64,
    };
    jobs.push(transfer("upload", Shape::Sink, [few, many].map(|bytes| Drive::Upload { bytes })));
    let download = [few, many].map(|bytes| Drive::Download { bytes });
    jobs.push(transfer("download", Shape::Source, download));
    jobs
}

type Counted = BTreeMap<String, f64>;

impl Job {
    /// For each unit, by name.
    fn count(&self, subject: &Subject<'_>) -> Result<Counted, String> {
        let [few, many] = &self.drives;
        let before = self.once(subject, few)?;
        let mut counted = self.once(subject, many)?;
        for (what, count) in &mut counted {
            *count = (*count - before.get(what).copied().unwrap_or(0.0)) / self.units;
        }
        // What was called once more in the long run, by chance, is nobody's cost.
        let always = ["recv", "send", "epoll_wait", "epoll_ctl"];
        let minor = |what: &str| self.tool == Tool::Strace && !always.contains(&what);
        counted.retain(|what, count| !minor(what) || count.abs() > 0.005);
        Ok(counted)
    }

    fn once(&self, subject: &Subject<'_>, drive: &Drive) -> Result<Counted, String> {
        let scratch = Scratch::new().map_err(|error| format!("no place for files: {error}"))?;
        let mut words: Vec<OsString> = self.tool.words(&scratch);
        words.push(subject.launch.program.clone().into());
        words.extend(subject.launch.arguments.iter().cloned());
        words.extend(subject.peer.before.iter().map(OsString::from));
        words.push(self.shape.name().into());
        words.extend(subject.peer.after.iter().map(OsString::from));
        let traced = Traced::start(&scratch, &words)?;
        drive.run(traced.port()).map_err(|error| format!("the client: {error}"))?;
        traced.end()?;
        self.tool.read(&scratch)
    }
}

impl Tool {
    fn name(self) -> &'static str {
        match self {
            Self::Callgrind => "callgrind",
            Self::Dhat => "dhat",
            Self::Strace => "strace",
        }
    }

    /// The command line before the server's, writing to the scratch's files.
    fn words(self, scratch: &Scratch) -> Vec<OsString> {
        let to = |option: &str| {
            let mut word = OsString::from(option);
            word.push(scratch.path("counted"));
            word
        };
        match self {
            Self::Callgrind => {
                vec![
                    "valgrind".into(),
                    "-q".into(),
                    "--tool=callgrind".into(),
                    to("--callgrind-out-file="),
                ]
            }
            Self::Dhat => vec![
                "valgrind".into(),
                "--tool=dhat".into(),
                "--mode=copy".into(),
                "--dhat-out-file=/dev/null".into(),
                to("--log-file="),
            ],
            // Interruptible: it ends when it is asked to, and its server with it.
            Self::Strace => {
                vec![
                    "strace".into(),
                    "-I".into(),
                    "2".into(),
                    "-f".into(),
                    "-c".into(),
                    to("--output="),
                ]
            }
        }
    }

    fn read(self, scratch: &Scratch) -> Result<Counted, String> {
        let text = scratch.read("counted")?;
        match self {
            Self::Callgrind => tools::callgrind(&text),
            Self::Dhat => tools::dhat(&text),
            Self::Strace => tools::strace(&text),
        }
    }
}
