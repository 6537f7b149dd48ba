//! A load that is spoken to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command as Program, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use millrun_benches::report::{Latency, Window};
use millrun_benches::talk::{Answer, Command};

/// Far more than any answer takes, and than the load's own patience.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Load {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Load {
    pub(crate) fn start(scenario: &str, port: u16, pid: u32, options: &[&str]) -> Self {
        let mut program = Program::new(env!("CARGO_BIN_EXE_load"));
        program.arg(scenario).args(options);
        program.args(["--port", &port.to_string(), "--pid", &pid.to_string()]);
        program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = program.spawn().expect("the load starts");
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    pub(crate) fn answer(&self) -> Answer {
        let line = self.lines.recv_timeout(PATIENCE).expect("the load answers");
        serde_json::from_str(&line).expect("an answer")
    }

    /// How many connections it has.
    pub(crate) fn ready(&self) -> usize {
        match self.answer() {
            Answer::Ready { connections, .. } => connections,
            other => panic!("expected Ready, got {other:?}"),
        }
    }

    pub(crate) fn say(&mut self, command: &Command) {
        let line = serde_json::to_string(command).expect("a command");
        let input = self.input.as_mut().expect("it was not told to end");
        writeln!(input, "{line}").expect("the load listens");
    }

    pub(crate) fn window(&mut self, command: &Command) -> (Window, Option<Latency>) {
        self.say(command);
        match self.answer() {
            Answer::Window { window, latency, .. } => (window, latency),
            other => panic!("expected a window, got {other:?}"),
        }
    }

    pub(crate) fn measure(&mut self, millis: u64, rate: Option<u64>) -> (Window, Latency) {
        let (window, latency) = self.window(&measure(millis, rate));
        (window, latency.expect("latencies"))
    }

    /// What it says when it can't go on; it leaves with a failure.
    pub(crate) fn failed(mut self) -> String {
        let Answer::Failed { why } = self.answer() else { panic!("expected a failure") };
        assert_eq!(self.child.wait().expect("it ends").code(), Some(1));
        why
    }

    /// It leaves with success.
    pub(crate) fn end(mut self) {
        self.say(&Command::End);
        assert!(self.child.wait().expect("it ends").success());
    }

    /// Nobody speaks to it any more.
    pub(crate) fn abandon(mut self) {
        drop(self.input.take());
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.child.kill(); // fails when it has ended, which is what is wanted
        let _ = self.child.wait();
    }
}

pub(crate) fn measure(millis: u64, rate: Option<u64>) -> Command {
    serde_json::from_value(serde_json::json!({ "Measure": { "millis": millis, "rate": rate } }))
        .expect("a command")
}

pub(crate) fn transfer(bytes: u64) -> Command {
    serde_json::from_value(serde_json::json!({ "Transfer": { "bytes": bytes } }))
        .expect("a command")
}
