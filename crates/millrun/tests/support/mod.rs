//! Processes of their own for tests that count descriptors, and blocking clients.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(unreachable_pub, reason = "it is a module of each test binary")]

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use millrun::event_loop::{EventLoop, LoopHandle, timeout};
use millrun::transport::{Protocol, Server, Transport};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const ROLE: &str = "MILLRUN_TEST_ROLE";

/// What this process was started for; `None` in the test run itself.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// This test binary again, running only the test `name`, in a role.
fn command(name: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(ROLE, role);
    command
}

/// Runs the test `name` in a process of its own, and passes on how it went.
pub fn alone(name: &str) {
    let output = command(name, "alone").output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(output.status.success() && text.contains("1 passed"), "the child failed:\n{text}");
    // What it has to say is worth reading: a test that was scaled down, say.
    // (The harness may have begun the line.)
    for note in text.lines().filter_map(|line| line.find("note:").map(|at| &line[at..])) {
        eprintln!("{note}");
    }
}

/// A process that runs the test `name` in a role, spoken to by lines. Killed when it is dropped.
pub struct Helper {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Helper {
    pub fn start(name: &str, role: &str) -> Helper {
        let mut command = command(name, role);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Helper { child, lines }
    }

    pub fn say(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Waits for a line that is this one. (The test harness writes lines of its own.)
    pub fn expect(&mut self, wanted: &str) {
        let mut line = String::new();
        while self.lines.read_line(&mut line).unwrap() > 0 {
            // The harness may have begun the line.
            if line.trim_end().ends_with(wanted) {
                return;
            }
            line.clear();
        }
        panic!("the helper ended without saying {wanted:?}");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line of standard input.
pub fn hear() -> String {
    let mut line = String::new();
    io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

/// Raises the limit of descriptors as far as it goes and `wanted` needs; says what it is now.
pub fn raise_limit(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let current = limit.current.unwrap_or(u64::MAX).max(most.min(wanted as u64));
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..limit }).unwrap();
    usize::try_from(current).unwrap_or(usize::MAX)
}

/// Lowers the limit of descriptors for this process.
pub fn lower_limit(to: u64) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(to), ..limit }).unwrap();
}

/// How many descriptors this process has open; `None` where that can't be known.
pub fn open_descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

/// Runs a test over real sockets, for at most so long.
pub fn bounded<F: Future<Output = ()>>(seconds: u64, test: F) {
    let mut event_loop = EventLoop::new().unwrap();
    let bounded = async { timeout(Duration::from_secs(seconds), test).await.expect("in time") };
    event_loop.run_until_complete(bounded).unwrap();
}

/// Waits until a condition holds: for what is sure to come, inside [`bounded`].
pub async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        millrun::sleep(Duration::from_millis(2)).await;
    }
}

pub fn port(server: &Server) -> u16 {
    server.local_addrs()[0].port().unwrap()
}

pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    // A server that does not answer fails the test, and does not hang it.
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

/// One message there and back, blocking.
pub fn ping(stream: &mut TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    let mut answer = vec![0; text.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, text);
}

/// Writes down what is reported to the exception handler of the running loop.
pub fn reports() -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let into = Rc::clone(&seen);
    let handler = move |_: &LoopHandle, context: &millrun::event_loop::ErrorContext| {
        into.borrow_mut().push(context.to_string());
    };
    LoopHandle::current().unwrap().set_exception_handler(Some(Rc::new(handler)));
    seen
}

/// Sends back what comes, on the callback layer: reads on only while writing goes on.
#[derive(Default)]
pub struct Echo(Option<Rc<dyn Transport>>);

impl Protocol for Echo {
    fn connection_made(&mut self, transport: Rc<dyn Transport>) {
        self.0 = Some(transport);
    }

    fn data_received(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(transport) = &self.0 {
            transport.write(data);
        }
        Ok(())
    }

    fn pause_writing(&mut self) {
        if let Some(transport) = &self.0 {
            transport.pause_reading();
        }
    }

    fn resume_writing(&mut self) {
        if let Some(transport) = &self.0 {
            transport.resume_reading();
        }
    }

    fn connection_lost(&mut self, _: Option<io::Error>) {
        self.0 = None;
    }
}
