//! Tasks that sleep, a job on another thread, a thread that calls in, and a timeout over it all.
//!
//! ```text
//! cargo run -p millrun-examples --example timers_and_threads
//! ```

use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use millrun_loop::{EventLoop, LoopHandle, interval, sleep, spawn, timeout};

const CALLS: u32 = 3;

async fn run() -> Result<bool, Box<dyn Error>> {
    let handle = LoopHandle::current()?;

    // Tasks: they sleep at the same time, and end in the order of their deadlines.
    let tasks = [30, 10, 20].map(|millis| {
        spawn(async move {
            sleep(Duration::from_millis(millis)).await;
            println!("slept {millis} ms");
            millis
        })
    });

    // Blocking work goes to the executor; its result comes back here.
    let sum = handle.run_in_executor(|| (1..=1000_u64).sum::<u64>()).await?;
    println!("a job says {sum}");

    // Another thread has a Remote: the only part of a loop that may cross threads.
    let (remote, calls) = (handle.remote(), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&calls);
    let caller = thread::spawn(move || {
        for _ in 0..CALLS {
            let counted = Arc::clone(&counted);
            let count = move || {
                counted.fetch_add(1, Ordering::Relaxed);
            };
            remote.call_soon_threadsafe(count)?;
        }
        Ok::<(), millrun_loop::LoopClosed>(())
    });
    let mut ticks = interval(Duration::from_millis(1));
    while calls.load(Ordering::Relaxed) < CALLS {
        ticks.tick().await;
    }
    println!("{CALLS} calls from another thread");
    caller.join().map_err(|_| "the thread panicked")??;

    let mut slept = 0;
    for task in tasks {
        slept += task.await?;
    }
    Ok(sum == 500_500 && slept == 60)
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let mut event_loop = EventLoop::new()?;
    let all = timeout(Duration::from_secs(10), run());
    let is_right = event_loop.run_until_complete(all)???;
    Ok(if is_right { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
