//! Running a server under a tool with few and with many messages: only the difference counts, so that what happens once
//! (start-up, the first blocks, the end) cancels out.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::{Measures, tools};
use crate::commands::{scratch, target, wait_within};

pub(super) const IDLE: &str = "bytes/idle-connection";
pub(super) const COPIES: &str = "copies/byte";

/// Enough that tables and pools have reached their size.
const FEW: usize = 200;
const MANY: usize = 1200;
const CONNECTIONS: usize = 100;
/// Idle connections: first some, whose tables and blocks are there in any case, then those that are counted.
const WARM: usize = 100;
const IDLE_CONNECTIONS: usize = 10_000;
/// Under callgrind a run takes seconds.
const LONGEST_RUN: Duration = Duration::from_secs(120);

/// The bytes of a block, whose copies are counted: what the client sends.
const BLOCK: f64 = 63.0 * 1024.0;

/// Everything that is counted for a shape; idle memory and copies only if asked for.
pub(super) fn measure(shape: &str, asked: &dyn Fn(&str) -> bool) -> Result<Measures, String> {
    let mut measures = Measures::new();
    let per_message = |few: f64, many: f64| (many - few) / (MANY - FEW) as f64;
    let few = instructions(shape, FEW)?;
    let many = instructions(shape, MANY)?;
    measures.insert("instructions/message".to_owned(), per_message(few, many));
    let few = allocations(shape, FEW)?;
    let many = allocations(shape, MANY)?;
    measures.insert("allocations/message".to_owned(), per_message(few, many));
    let few = calls(shape, 1, FEW)?;
    let many = calls(shape, 1, MANY)?;
    for (name, calls) in &many {
        let before = few.get(name).copied().unwrap_or(0.0);
        measures.insert(format!("{name}/message"), per_message(before, *calls));
    }
    let one = calls(shape, 1, 1)?;
    let more = calls(shape, 1 + CONNECTIONS, 1)?;
    for (name, calls) in &more {
        let before = one.get(name).copied().unwrap_or(0.0);
        let messages = measures.get(&format!("{name}/message")).copied().unwrap_or(0.0);
        let each = (calls - before) / CONNECTIONS as f64 - messages;
        measures.insert(format!("{name}/connection"), each);
    }
    if asked(COPIES) {
        let (few, many) = (copied(shape, FEW)?, copied(shape, MANY)?);
        measures.insert(COPIES.to_owned(), per_message(few, many) / BLOCK);
    }
    if asked(IDLE) {
        measures.insert(IDLE.to_owned(), idle_bytes(shape)?);
    }
    Ok(measures)
}

fn instructions(shape: &str, messages: usize) -> Result<f64, String> {
    let log = scratch("callgrind.log")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(format!("--log-file={}", log.display())).arg(program());
    Server::start(valgrind, shape, 1)?.driven(1, messages)?;
    tools::instructions(&read(&log)?)
}

fn copied(shape: &str, messages: usize) -> Result<f64, String> {
    let log = scratch("dhat.log")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=dhat", "--mode=copy", "--dhat-out-file=/dev/null"]);
    valgrind.arg(format!("--log-file={}", log.display())).arg(program());
    Server::start(valgrind, shape, 1)?.driven(1, messages)?;
    tools::copied(&read(&log)?)
}

fn calls(
    shape: &str,
    connections: usize,
    messages: usize,
) -> Result<std::collections::BTreeMap<&'static str, f64>, String> {
    let table = scratch("strace.txt")?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-c", "-o"]).arg(&table).arg(program());
    Server::start(strace, shape, connections)?.driven(connections, messages)?;
    tools::calls(&read(&table)?)
}

fn allocations(shape: &str, messages: usize) -> Result<f64, String> {
    let printed = Server::start(Command::new(program()), shape, 1)?.driven(1, messages)?;
    printed
        .lines()
        .find_map(|line| line.strip_prefix("allocations "))
        .and_then(|count| count.trim().parse().ok())
        .ok_or_else(|| format!("the server told no count of allocations: {printed}"))
}

/// What each idle connection adds to the server's resident memory, once used and then left alone.
fn idle_bytes(shape: &str) -> Result<f64, String> {
    let server = Server::start(Command::new(program()), shape, usize::MAX)?;
    let mut command = Command::new(program());
    command.args(["hold", shape, &server.address]);
    command.args([WARM.to_string(), IDLE_CONNECTIONS.to_string()]);
    let mut holder = Ended(
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?,
    );
    let mut lines =
        BufReader::new(holder.0.stdout.take().ok_or("no output of the client")?).lines();
    let mut held = || -> Result<(usize, f64), String> {
        let line = lines.next().ok_or("the client ended early")?.map_err(|e| e.to_string())?;
        let count = line.strip_prefix("holding ").and_then(|count| count.parse().ok());
        let status = PathBuf::from(format!("/proc/{}/smaps_rollup", server.child.0.id()));
        Ok((count.ok_or(line)?, tools::resident(&read(&status)?)?))
    };
    let (first, before) = held()?;
    let mut input = holder.0.stdin.take().ok_or("no input of the client")?;
    input.write_all(b"more\n").map_err(|error| error.to_string())?;
    let (all, after) = held()?;
    let connections = all - first;
    if connections < IDLE_CONNECTIONS {
        println!("{shape}: {connections} idle connections only, the limit of descriptors is low");
    }
    Ok((after - before) / connections as f64)
}

/// A server that runs, under a tool or not; killed when dropped.
struct Server {
    child: Ended,
    output: BufReader<ChildStdout>,
    shape: String,
    address: String,
}

impl Server {
    /// `command` is the program or the tool that runs it: the arguments are put behind.
    fn start(mut command: Command, shape: &str, connections: usize) -> Result<Self, String> {
        let tool = command.get_program().to_string_lossy().into_owned();
        let spawned = command
            .args(["serve", shape, &connections.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = Ended(spawned.map_err(|error| format!("{tool}: {error}"))?);
        let mut output = BufReader::new(child.0.stdout.take().ok_or("no output of the server")?);
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| error.to_string())?;
        let address = line
            .strip_prefix("listening ")
            .ok_or_else(|| format!("{tool}: the server of {shape} did not start"))?
            .trim()
            .to_owned();
        Ok(Self { child, output, shape: shape.to_owned(), address })
    }

    /// Runs the client against it, waits for both, and gives what the server printed.
    fn driven(mut self, connections: usize, messages: usize) -> Result<String, String> {
        let mut command = Command::new(program());
        command.args(["drive", &self.shape, &self.address]);
        command.args([connections.to_string(), messages.to_string()]);
        let spawned = command.stdin(Stdio::null()).spawn();
        let mut client = Ended(spawned.map_err(|error| error.to_string())?);
        for (who, child) in [("client", &mut client), ("server", &mut self.child)] {
            let status = wait_within(&mut child.0, LONGEST_RUN)
                .map_err(|error| format!("{} {who}: {error}", self.shape))?;
            if !status.success() {
                return Err(format!("{} {who}: {status}", self.shape));
            }
        }
        let mut printed = String::new();
        self.output.read_to_string(&mut printed).map_err(|error| error.to_string())?;
        Ok(printed)
    }
}

/// A child that does not outlive us.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only when it has ended and was reaped, which is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> PathBuf {
    target().join("gate").join("gate")
}

fn read(path: &PathBuf) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
