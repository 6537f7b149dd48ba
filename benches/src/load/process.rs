//! What the kernel knows of a process: CPU time of its threads, whether they sleep, its memory.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::{Failure, Outcome};

/// Threads that slept for so long without using any CPU time have nothing left to do: whatever was sent to them has woken them.
const REST: Duration = Duration::from_millis(1);

/// What `/proc/stat` counts in, in nanoseconds: a hundredth of a second, as a part of the kernel's interface.
const TICK: u64 = 10_000_000;

/// Another process.
#[derive(Debug)]
pub(super) struct Process {
    pid: Pid,
    /// CPU time by thread, as it was last seen: of a thread that is gone since, that is what counts.
    threads: BTreeMap<String, u64>,
    patience: Duration,
}

impl Process {
    pub(super) fn new(pid: Pid, patience: Duration) -> Self {
        Self { pid, threads: BTreeMap::new(), patience }
    }

    /// CPU time of all its threads so far, in nanoseconds. Exact when they sleep.
    pub(super) fn cpu_ns(&mut self) -> Outcome<u64> {
        self.look()?;
        Ok(self.threads.values().sum())
    }

    /// Waits until all its threads sleep and have nothing more to do; then its CPU time so far.
    pub(super) fn rest(&mut self) -> Outcome<u64> {
        let start = Instant::now();
        let mut last = None;
        while start.elapsed() < self.patience {
            let asleep = self.look()?;
            let now = self.threads.values().sum();
            if asleep && last == Some(now) {
                return Ok(now);
            }
            last = Some(now);
            std::thread::sleep(REST);
        }
        let why = format!("the server didn't come to rest within {:?}", self.patience);
        Err(Failure::new(why))
    }

    /// Resident memory, in bytes.
    pub(super) fn memory(&self) -> Outcome<u64> {
        let path = format!("/proc/{}/smaps_rollup", self.pid);
        // `statm` is near enough only where the kernel doesn't keep its counts apart by CPU.
        let text = fs::read_to_string(&path).map_err(Failure::io(&path))?;
        let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
        line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok())
            .map(|kib| kib * 1024)
            .ok_or_else(|| Failure::new(format!("{path}: expected a line \"Rss: N kB\", got none")))
    }

    /// Reads the threads' CPU time; whether all of them sleep.
    fn look(&mut self) -> Outcome<bool> {
        let path = format!("/proc/{}/task", self.pid);
        let gone = || Failure::io(format!("the server, process {}", self.pid));
        let mut asleep = true;
        for entry in fs::read_dir(path).map_err(gone())? {
            let entry = entry.map_err(gone())?;
            let Some((sleeps, nanos)) = look_at(&entry.path()).map_err(gone())? else { continue };
            asleep &= sleeps;
            self.threads.insert(entry.file_name().to_string_lossy().into_owned(), nanos);
        }
        Ok(asleep)
    }
}

/// Whether a thread sleeps, and its CPU time; nothing when it is gone.
fn look_at(thread: &Path) -> io::Result<Option<(bool, u64)>> {
    let read = |name: &str| match fs::read_to_string(thread.join(name)) {
        Ok(text) => Ok(Some(text)),
        // ESRCH: it ended between `open` and `read`.
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && !thread.exists() => Ok(None),
        Err(error) => Err(error),
    };
    let (Some(stat), Some(schedule)) = (read("stat")?, read("schedstat")?) else {
        return Ok(None);
    };
    let malformed = |what: &str| io::Error::other(format!("{}: no {what}", thread.display()));
    // The name before the state is in parentheses, and may have some of its own.
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let state = state.ok_or_else(|| malformed("state in stat"))?;
    let nanos = schedule.split(' ').next().and_then(|word| word.parse().ok());
    Ok(Some((state != 'R', nanos.ok_or_else(|| malformed("CPU time in schedstat"))?)))
}

/// CPU time of the whole machine so far, in nanoseconds: what was not idle, in the kernel's ticks.
pub(super) fn machine_cpu_ns() -> Outcome<u64> {
    let text = fs::read_to_string("/proc/stat").map_err(Failure::io("/proc/stat"))?;
    let fields = text.lines().next().and_then(busy_ticks);
    let ticks = fields.ok_or_else(|| Failure::new("/proc/stat: expected a line of \"cpu\""))?;
    Ok(ticks * TICK)
}

/// The sum without idle time, waiting for devices, and what is counted twice (guests). What the hypervisor gave to others is in it.
fn busy_ticks(line: &str) -> Option<u64> {
    let fields: Vec<u64> =
        line.strip_prefix("cpu ")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal, guest, guest_nice
    (fields.len() >= 8).then(|| fields[..3].iter().chain(&fields[5..8]).sum())
}

/// This process's CPU time so far, in nanoseconds.
pub(super) fn own_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_and_guests_are_not_busy() {
        let line = "cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9";
        assert_eq!(busy_ticks(line), Some(87_600_321));
        assert_eq!(busy_ticks("cpu 1 2 3"), None);
    }

    #[test]
    fn this_process_is_seen() {
        let mut own = Process::new(rustix::process::getpid(), Duration::from_secs(1));
        let before = own.cpu_ns().unwrap();
        assert!(before > 0 && own.cpu_ns().unwrap() >= before);
        // It is running just now.
        assert!(!own.look().unwrap());
        assert!(own.memory().unwrap() > 100_000);
    }
}
