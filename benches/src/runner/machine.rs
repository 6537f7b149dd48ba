//! Where a run is made.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::report::Machine;

/// What is written where the machine does not tell.
const UNKNOWN: &str = "unknown";

/// The workspace's root.
#[must_use]
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package).to_owned()
}

/// What can be learned about the machine that runs this.
#[must_use]
pub fn facts() -> Machine {
    let cpu = read("/proc/cpuinfo");
    let [system, release] = ["ostype", "osrelease"]
        .map(|name| read(&format!("/proc/sys/kernel/{name}")).trim().to_owned());
    Machine {
        cpu: field(&cpu, "model name").unwrap_or(std::env::consts::ARCH).to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: format!("{system} {release}"),
        rustc: said("rustc", &["--version"]).unwrap_or_else(|| UNKNOWN.to_owned()),
        date: date(SystemTime::now()),
        commit: said("git", &["describe", "--always", "--dirty=+"])
            .unwrap_or_else(|| UNKNOWN.to_owned()),
        memory: field(&read("/proc/meminfo"), "MemTotal").and_then(kib).unwrap_or(0),
    }
}

/// `YYYY-MM-DD HH:MM` in UTC.
#[must_use]
pub fn date(now: SystemTime) -> String {
    // A clock before 1970 is as good as none.
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}")
}

/// The day of the calendar that is so many days after 1970-01-01: years, and then months, are counted off.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let mut year = 1970;
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

/// The value of the first `NAME : VALUE` of a file in /proc.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then_some(value.trim())
    })
}

/// Bytes of `1234 kB`.
fn kib(value: &str) -> Option<u64> {
    Some(value.strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// What a program answers, on one line; nothing when it does not succeed.
fn said(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(root()).stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn days_are_counted_as_the_calendar_does() {
        let at = |seconds| date(UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(0), "1970-01-01 00:00");
        assert_eq!(at(951_782_399), "2000-02-28 23:59");
        assert_eq!(at(951_782_400), "2000-02-29 00:00");
        assert_eq!(at(1_735_689_599), "2024-12-31 23:59");
        assert_eq!(at(1_772_323_200), "2026-03-01 00:00");
        assert_eq!(at(4_107_542_400), "2100-03-01 00:00", "no leap year");
    }

    #[test]
    fn files_of_proc_are_read() {
        let text = "processor\t: 0\nmodel name\t: A CPU @ 2: fast\nmodel name\t: other\n";
        assert_eq!(field(text, "model name"), Some("A CPU @ 2: fast"));
        assert_eq!(field(text, "MemTotal"), None);
        assert_eq!(kib("24 kB"), Some(24 * 1024));
        assert_eq!(kib("24 MB"), None);
    }

    #[test]
    fn this_machine_is_known() {
        let facts = facts();
        assert!(facts.memory > 1 << 20 && facts.cores > 0, "{facts:?}");
        assert!(facts.rustc.starts_with("rustc "), "{facts:?}");
        assert!(facts.kernel.len() > 3, "{facts:?}");
    }
}
