//! What the kernel knows of the server: descriptors, memory, CPU time.

use std::fs;
use std::time::Duration;

use crate::Outcome;

/// `/proc` counts CPU time in hundredths of a second, as a part of the kernel's interface.
const TICK: Duration = Duration::from_millis(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Look {
    pub(crate) descriptors: usize,
    /// Resident, in bytes.
    pub(crate) memory: u64,
    pub(crate) cpu: Duration,
}

pub(crate) fn look(pid: u32) -> Outcome<Look> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    let memory = memory(&fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?)?;
    let cpu = cpu(&fs::read_to_string(format!("/proc/{pid}/stat"))?)?;
    Ok(Look { descriptors, memory, cpu })
}

/// From `smaps_rollup`, which is exact where `statm` counts in batches.
fn memory(rollup: &str) -> Outcome<u64> {
    let line = rollup.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    Ok(kib.ok_or_else(|| format!("no Rss in:\n{rollup}"))? * 1024)
}

/// From `stat`: user and system time, behind the name, which may hold anything.
fn cpu(stat: &str) -> Outcome<Duration> {
    let fields: Vec<&str> =
        stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u32>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(TICK * (user + system)),
        _ => Err(format!("no times in: {stat}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_read() {
        assert_eq!(memory("00-ff ---p\nRss:     12 kB\nPss: 1 kB").unwrap(), 12 * 1024);
        assert!(memory("").is_err());
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 25 5 0 0 20 0 1 0 9 9 9";
        assert_eq!(cpu(stat).unwrap(), Duration::from_millis(300));
        assert!(cpu("7 (a) S 1").is_err());
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let look = look(std::process::id()).unwrap();
        assert!(look.descriptors >= 3 && look.memory > 100_000);
    }
}
