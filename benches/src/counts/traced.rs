//! A server under a tool: started, found by its port, ended so that the tool writes what it counted.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::contract::NO_SUCH_SHAPE;

/// Under callgrind a start takes seconds, that of an interpreter half a minute.
const START: Duration = Duration::from_secs(120);
/// From being asked to end to having written everything.
const END: Duration = Duration::from_secs(60);
const LOOK_EACH: Duration = Duration::from_millis(3);

/// Whether a tool is here and runs.
pub(super) fn answers(program: &str) -> Result<(), String> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} --version: {status}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("{program} is not installed"))
        }
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// A directory for a run's files, removed when dropped.
pub(super) struct Scratch(PathBuf);

impl Scratch {
    pub(super) fn new() -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("millrun-counts-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(super) fn read(&self, name: &str) -> Result<String, String> {
        let bytes = fs::read(self.path(name)).map_err(|error| format!("{name}: {error}"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Files that stay behind are the system's to remove.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The tool with the server in it; killed when dropped.
pub(super) struct Traced<'a> {
    child: Child,
    port: u16,
    scratch: &'a Scratch,
}

impl<'a> Traced<'a> {
    /// Starts it and waits until the server says that it listens. What both say goes to files, which nobody has to drain.
    pub(super) fn start(scratch: &'a Scratch, words: &[OsString]) -> Result<Self, String> {
        let (program, arguments) = words.split_first().ok_or("expected a program, got nothing")?;
        let file =
            |name| File::create(scratch.path(name)).map_err(|error| format!("{name}: {error}"));
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file("out")?)
            .stderr(file("errors")?)
            .spawn()
            .map_err(|error| format!("{}: {error}", program.to_string_lossy()))?;
        let mut traced = Self { child, port: 0, scratch };
        let until = Instant::now() + START;
        while traced.port == 0 {
            let out = scratch.read("out")?;
            if let Some((line, _)) = out.split_once('\n') {
                let port = line.strip_prefix("listening ").and_then(|port| port.parse().ok());
                traced.port = port.ok_or_else(|| format!("expected a port, got {line:?}"))?;
            } else if let Some(status) = traced.child.try_wait().map_err(|e| e.to_string())? {
                return Err(if status.code() == Some(NO_SUCH_SHAPE.into()) {
                    "the server does not offer it".to_owned()
                } else {
                    format!("{status}: {}", traced.last_words())
                });
            } else if Instant::now() > until {
                return Err(format!("does not listen within {} s", START.as_secs()));
            } else {
                std::thread::sleep(LOOK_EACH);
            }
        }
        Ok(traced)
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Asks it to end, and waits until it has.
    pub(super) fn end(mut self) -> Result<(), String> {
        if let Ok(Some(status)) = self.child.try_wait() {
            return Err(format!("ended by itself, {status}: {}", self.last_words()));
        }
        kill_process(Pid::from_child(&self.child), Signal::TERM).map_err(|e| e.to_string())?;
        let until = Instant::now() + END;
        while self.child.try_wait().map_err(|error| error.to_string())?.is_none() {
            if Instant::now() > until {
                return Err(format!("does not end within {} s", END.as_secs()));
            }
            std::thread::sleep(LOOK_EACH);
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let errors = self.scratch.read("errors").unwrap_or_default();
        let last = errors.lines().rfind(|line| !line.trim().is_empty());
        last.unwrap_or("it says nothing").to_owned()
    }
}

impl Drop for Traced<'_> {
    fn drop(&mut self) {
        // Both fail only when it has ended and was reaped, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
