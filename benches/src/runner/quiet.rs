//! Is the machine ours? Looked at while our own processes are idle, before each window.

use std::io;
use std::time::Duration;

/// One look. The kernel counts in ticks of 10 ms, so a tenth of a core takes several looks to be told from nothing.
const LOOK: Duration = Duration::from_millis(50);
/// How many looks back a decision goes.
const LOOKS: usize = 4;
/// The part of a core that others may use.
const BEARABLE: f64 = 0.1;
/// How long one window waits at most.
const LONGEST: Duration = Duration::from_secs(5);

/// What waits until others leave the cores alone.
#[derive(Debug)]
pub struct Quiet {
    cores: Vec<usize>,
    tick: Duration,
    left: Duration,
    /// How often it gave up.
    pub in_vain: usize,
}

impl Quiet {
    /// For these cores, waiting for `patience` at most, all windows together. Once that is used up, one look is all.
    #[must_use]
    pub fn new(cores: Vec<usize>, patience: Duration) -> Self {
        // 100 a second on every kernel that we know; never 0.
        let ticks = rustix::param::clock_ticks_per_second().max(1);
        let tick = Duration::from_nanos(1_000_000_000 / ticks);
        Self { cores, tick, left: patience, in_vain: 0 }
    }

    /// Waits until the cores are quiet, within bounds; whether they are.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell what the cores do.
    pub fn wait(&mut self) -> io::Result<bool> {
        self.wait_with(|| std::fs::read_to_string("/proc/stat"), std::thread::sleep)
    }

    fn wait_with(
        &mut self,
        mut stat: impl FnMut() -> io::Result<String>,
        mut sleep: impl FnMut(Duration),
    ) -> io::Result<bool> {
        let mut looks: Vec<u64> = vec![busy(&stat()?, &self.cores)?];
        let mut waited = Duration::ZERO;
        loop {
            sleep(LOOK);
            looks.push(busy(&stat()?, &self.cores)?);
            let back = looks.len().saturating_sub(LOOKS + 1);
            let ticks = looks[looks.len() - 1].saturating_sub(looks[back]);
            let looked = LOOK * (looks.len() - 1 - back) as u32;
            if ticks as f64 * self.tick.as_secs_f64() <= looked.as_secs_f64() * BEARABLE {
                return Ok(true);
            }
            // The first look is not waiting.
            let extra = if waited.is_zero() { Duration::ZERO } else { LOOK };
            waited += LOOK;
            self.left = self.left.saturating_sub(extra);
            if self.left.is_zero() || waited >= LONGEST {
                self.in_vain += 1;
                return Ok(false);
            }
        }
    }
}

/// Ticks in which one of the cores was not idle, from `/proc/stat`.
fn busy(stat: &str, cores: &[usize]) -> io::Result<u64> {
    let mut sum = 0;
    for core in cores {
        let name = format!("cpu{core}");
        let line = stat.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
        let counts: Option<Vec<u64>> =
            line.and_then(|line| line.split_whitespace().map(|word| word.parse().ok()).collect());
        // user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already.
        let Some([user, nice, system, _, _, irq, softirq, steal, ..]) = counts.as_deref() else {
            let what = format!("/proc/stat: expected 8 counts of {name}, got {line:?}");
            return Err(io::Error::other(what));
        };
        sum += user + nice + system + irq + softirq + steal;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "\
cpu  9 9 9 9 9 9 9 9 9 9
cpu0 1 2 4 1000 1000 8 16 32 64 128
cpu1 100 0 0 5 5 0 0 0 0 0
cpu10 7 7 7 7 7 7 7 7 7 7
intr 1
";

    #[test]
    fn idle_and_waiting_for_disks_is_not_busy() {
        assert_eq!(busy(STAT, &[0]).unwrap(), 63);
        assert_eq!(busy(STAT, &[0, 1]).unwrap(), 163);
        assert_eq!(busy(STAT, &[10]).unwrap(), 42);
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        let error = busy(STAT, &[2]).unwrap_err().to_string();
        assert!(error.contains("cpu2"), "{error}");
        assert!(busy("cpu0 1 2 x\n", &[0]).is_err());
    }

    /// Waits with a core whose busy ticks after each look are given, and the last repeated; gives how often it slept.
    fn looks(quiet: &mut Quiet, ticks: &[u64]) -> usize {
        let mut slept = 0;
        let mut total = 0;
        let mut reads = 0;
        let stat = || {
            if reads > 0 {
                total += ticks.get(reads - 1).or(ticks.last()).unwrap();
            }
            reads += 1;
            Ok(format!("cpu0 {total} 0 0 0 0 0 0 0\n"))
        };
        let before = quiet.in_vain;
        let found = quiet.wait_with(stat, |_| slept += 1).unwrap();
        assert_eq!(found, quiet.in_vain == before);
        slept
    }

    fn quiet(patience: Duration) -> Quiet {
        Quiet { tick: Duration::from_millis(10), ..Quiet::new(vec![0], patience) }
    }

    #[test]
    fn a_quiet_machine_costs_one_look() {
        let mut quiet = quiet(Duration::from_secs(1));
        assert_eq!(looks(&mut quiet, &[0]), 1);
        assert_eq!((quiet.in_vain, quiet.left), (0, Duration::from_secs(1)));
    }

    #[test]
    fn one_tick_is_looked_at_twice() {
        assert_eq!(looks(&mut quiet(Duration::from_secs(1)), &[1, 0]), 2);
    }

    #[test]
    fn load_is_waited_out() {
        let mut quiet = quiet(Duration::from_secs(1));
        // What was long ago does not count: four looks back, two ticks are a tenth.
        assert_eq!(looks(&mut quiet, &[5, 5, 5, 0]), 3 + 4);
        assert_eq!(quiet.in_vain, 0);
        assert_eq!(quiet.left, Duration::from_secs(1) - LOOK * 5, "the first look is free");
    }

    #[test]
    fn load_that_does_not_end_is_given_up_on_within_the_window_and_within_the_run() {
        let mut quiet = quiet(Duration::from_secs(7));
        assert_eq!(looks(&mut quiet, &[5]), 100, "5 s");
        let rest = looks(&mut quiet, &[5]);
        assert!((40..45).contains(&rest), "what is left of 7 s: {rest}");
        assert_eq!(looks(&mut quiet, &[5]), 1, "nothing is left");
        assert_eq!(quiet.in_vain, 3);
    }
}
