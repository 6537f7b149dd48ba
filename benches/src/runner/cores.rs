//! On which cores servers and loads run.
//!
//! A child inherits the affinity of the thread that starts it: so the runner moves itself, starts the child, and moves back. No
//! program needs to know of it, whatever it is written in, and no thread of it can leave.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Two cores out of those that this process may use.
#[derive(Debug, Clone)]
pub struct Cores {
    /// Where servers run.
    pub server: usize,
    /// Where loads run, and whatever else a server talks to.
    pub load: usize,
    all: CpuSet,
}

impl Cores {
    /// The first that is allowed, and the first other one that is no second thread of the same core, if there is one.
    ///
    /// # Errors
    ///
    /// When the kernel does not tell which are allowed.
    pub fn choose() -> io::Result<Self> {
        let all = sched_getaffinity(None)?;
        let allowed: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| all.is_set(*cpu)).collect();
        let (server, load) = pick(&allowed, siblings).ok_or_else(|| {
            io::Error::other("expected at least one processor that may be used, got none")
        })?;
        Ok(Self { server, load, all })
    }

    /// Whether servers and loads have to share one: then throughput is of both together.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.server == self.load
    }

    /// Does `work` with this thread on one core; what it starts stays there.
    ///
    /// # Errors
    ///
    /// When the kernel refuses the core.
    pub fn on<R>(&self, core: usize, work: impl FnOnce() -> R) -> io::Result<R> {
        let mut one = CpuSet::new();
        one.set(core);
        sched_setaffinity(None, &one)?;
        let back = Back(&self.all);
        let result = work();
        drop(back);
        Ok(result)
    }
}

/// Moves this thread back when dropped.
struct Back<'a>(&'a CpuSet);

impl Drop for Back<'_> {
    fn drop(&mut self) {
        // It was allowed before; if it no longer is, the runner works on fewer cores, which changes nothing that is measured.
        let _ = sched_setaffinity(None, self.0);
    }
}

fn pick(allowed: &[usize], siblings: impl Fn(usize) -> Vec<usize>) -> Option<(usize, usize)> {
    let server = *allowed.first()?;
    let same = siblings(server);
    let others = || allowed.iter().copied().filter(|cpu| *cpu != server);
    let apart = others().find(|cpu| !same.contains(cpu));
    Some((server, apart.or_else(|| others().next()).unwrap_or(server)))
}

/// The logical processors of the same core; none when the kernel does not tell.
fn siblings(cpu: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    std::fs::read_to_string(path).map_or_else(|_| Vec::new(), |text| listed(&text))
}

/// The kernel's lists: `0,4` or `0-1,8`.
fn listed(text: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse::<usize>().ok()?..=last.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_gets_another_core_than_the_server() {
        assert_eq!(pick(&[0, 1], |_| vec![]), Some((0, 1)));
        assert_eq!(pick(&[2, 3, 4, 5], |_| vec![2, 3]), Some((2, 4)), "not its second thread");
        assert_eq!(pick(&[0, 1], |_| vec![0, 1]), Some((0, 1)), "better than none");
        assert_eq!(pick(&[7], |_| vec![7]), Some((7, 7)));
        assert_eq!(pick(&[], |_| vec![]), None);
    }

    #[test]
    fn the_kernels_lists_are_read() {
        assert_eq!(listed("0,4\n"), [0, 4]);
        assert_eq!(listed("0-2,8\n"), [0, 1, 2, 8]);
        assert!(listed("").is_empty());
    }

    #[test]
    fn children_stay_on_their_core_and_we_move_back() {
        let cores = Cores::choose().unwrap();
        let allowed = || sched_getaffinity(None).unwrap();
        let before = allowed();
        let inside = cores.on(cores.load, allowed).unwrap();
        assert!(inside.is_set(cores.load) && inside.count() == 1);
        assert_eq!(allowed(), before);
        let panicked = std::panic::catch_unwind(|| cores.on(cores.server, || panic!("made up")));
        assert!(panicked.is_err());
        assert_eq!(allowed(), before);
    }
}
