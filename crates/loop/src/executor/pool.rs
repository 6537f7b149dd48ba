//! A small pool of threads, started when they are needed.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use super::{Completion, Executor, Job, JobError, Work, lock};
use crate::catch;

/// Threads by default: min(this, cores + [`SPARE_THREADS`]), as asyncio's pool has it. More threads
/// that block at once than this are a sign that work should be refused, not queued.
const MOST_THREADS: usize = 32;

/// Beyond one per core, since the work is expected to block rather than to compute.
const SPARE_THREADS: usize = 4;

/// The loop's default [`Executor`]: a bounded number of threads, named `millrun-1`, `millrun-2`, …,
/// each started when there is work and no idle thread, and kept until shutdown.
///
/// The queue is not bounded: `run_in_executor` can't wait, and refusing work would make every
/// call of it fallible. What limits it is whoever awaits the jobs.
///
/// Dropping the pool shuts it down without waiting: what was taken still runs.
pub struct ThreadPool {
    shared: Arc<Shared>,
    most: usize,
}

struct Shared {
    state: Mutex<State>,
    /// Told of each piece of work, and of the shutdown.
    work: Condvar,
}

struct State {
    queue: VecDeque<Work>,
    /// Threads that live.
    threads: usize,
    /// Those of them that wait for work, told ones included until they have the lock.
    idle: usize,
    /// Threads started so far: the next one's number.
    started: usize,
    shut: bool,
    /// Who waits for the last thread to end.
    ended: Vec<Completion<()>>,
}

impl ThreadPool {
    /// A pool of the default size. Starts no thread.
    pub fn new() -> ThreadPool {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        ThreadPool::with_threads(MOST_THREADS.min(cores + SPARE_THREADS))
    }

    /// A pool of at most `most` threads (at least one). Starts none.
    pub fn with_threads(most: usize) -> ThreadPool {
        let state = State {
            queue: VecDeque::new(),
            threads: 0,
            idle: 0,
            started: 0,
            shut: false,
            ended: Vec::new(),
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), work: Condvar::new() });
        ThreadPool { shared, most: most.max(1) }
    }

    /// How many threads live at present.
    pub fn threads(&self) -> usize {
        lock(&self.shared.state).threads
    }
}

impl Executor for ThreadPool {
    fn execute(&self, work: Work) -> Result<(), JobError> {
        let mut state = lock(&self.shared.state);
        if state.shut {
            drop(state); // `work` is dropped after the lock: it is a stranger's
            return Err(JobError::Shutdown);
        }
        let mut fewer = None;
        if state.queue.len() >= state.idle && state.threads < self.most {
            let shared = Arc::clone(&self.shared);
            let name = format!("millrun-{}", state.started + 1);
            match thread::Builder::new().name(name).spawn(move || shared.serve()) {
                Ok(_detached) => {
                    state.started += 1;
                    state.threads += 1;
                }
                Err(error) if state.threads == 0 => {
                    drop(state);
                    return Err(JobError::NoThread(error));
                }
                Err(error) => fewer = Some(error),
            }
        }
        state.queue.push_back(work);
        drop(state);
        self.shared.work.notify_one();
        if let Some(error) = fewer {
            // A subscriber is a stranger, who may use the pool: without the lock.
            tracing::debug!(%error, "a pool thread could not be started");
        }
        Ok(())
    }

    fn shutdown(&self) -> Job<()> {
        let (job, completion) = Job::pending();
        let mut state = lock(&self.shared.state);
        state.shut = true;
        if state.threads == 0 {
            drop(state);
            completion.complete(Ok(()));
        } else {
            state.ended.push(completion);
            drop(state);
            self.shared.work.notify_all();
        }
        job
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        drop(self.shutdown());
    }
}

impl Default for ThreadPool {
    fn default() -> ThreadPool {
        ThreadPool::new()
    }
}

impl fmt::Debug for ThreadPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.shared.state);
        f.debug_struct("ThreadPool")
            .field("most", &self.most)
            .field("threads", &state.threads)
            .field("idle", &state.idle)
            .field("queued", &state.queue.len())
            .field("shut", &state.shut)
            .finish()
    }
}

impl Shared {
    /// The life of one thread.
    fn serve(&self) {
        while let Some(work) = self.next() {
            // A job catches its own panics; work given to `execute` directly might not.
            if let Err(panic) = catch(work) {
                tracing::error!(%panic, "work on a pool thread panicked");
            }
        }
        let mut state = lock(&self.state);
        state.threads -= 1;
        let ended = if state.threads == 0 { std::mem::take(&mut state.ended) } else { Vec::new() };
        drop(state);
        for completion in ended {
            completion.complete(Ok(()));
        }
    }

    /// Waits for work; `None` when there is none left and none will come.
    fn next(&self) -> Option<Work> {
        let mut state = lock(&self.state);
        loop {
            if let Some(work) = state.queue.pop_front() {
                return Some(work);
            }
            if state.shut {
                return None;
            }
            state.idle += 1;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}
