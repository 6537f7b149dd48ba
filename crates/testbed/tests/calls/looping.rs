//! What the loop itself lets one await.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use millrun_loop::{
    Interval, interval, oneshot, sleep, sleep_until, spawn, timeout, timeout_at, yield_now,
};
use millrun_selector::{Family, Query};
use millrun_testbed::Scene;
use millrun_testbed::cancel::Cut;

use super::{Case, cases};

pub(super) const CASES: &[Case] = cases![
    "sleep" ("loop::sleep" "loop::Sleep") = sleeping;
    "sleep_until" ("loop::sleep_until") = until;
    "yield_now" ("loop::yield_now" "loop::YieldNow") = yielding;
    "timeout" ("loop::timeout" "loop::Timeout") = in_time;
    "timeout, over" () = too_late;
    "timeout_at" ("loop::timeout_at") = in_time_at;
    "interval" ("loop::interval" "loop::tick" "loop::poll_tick") = ticks;
    "interval, as a stream" ("loop::Interval") = as_a_stream;
    "spawn" ("loop::spawn" "loop::JoinHandle") = joined;
    "oneshot" ("loop::Receiver" "loop::channel") = received;
    "run_in_executor" ("loop::run_in_executor" "loop::Job" "loop::run") = executed;
    "resolve" ("loop::resolve") = resolved;
    "shutdown_default_executor" ("loop::shutdown_default_executor") = shut_down;
];

const WHILE: Duration = Duration::from_millis(20);

async fn sleeping(_: Scene, cut: Cut) -> io::Result<()> {
    cut.again(async || sleep(WHILE).await).await;
    // The same one, again.
    let mut nap = sleep(WHILE);
    cut.again(async || (&mut nap).await).await;
    Ok(())
}

async fn until(scene: Scene, cut: Cut) -> io::Result<bool> {
    let when = scene.handle().now() + WHILE;
    cut.again(async || sleep_until(when).await).await;
    Ok(scene.handle().now() >= when)
}

async fn yielding(_: Scene, cut: Cut) -> io::Result<()> {
    cut.again(async || yield_now().await).await;
    Ok(())
}

async fn in_time(_: Scene, cut: Cut) -> io::Result<bool> {
    let call = async || timeout(2 * WHILE, sleep(WHILE)).await;
    Ok(cut.again(call).await.is_ok())
}

async fn too_late(_: Scene, cut: Cut) -> io::Result<bool> {
    let call = async || timeout(WHILE, std::future::pending::<()>()).await;
    Ok(cut.again(call).await.is_ok())
}

async fn in_time_at(scene: Scene, cut: Cut) -> io::Result<bool> {
    let when = scene.handle().now() + 3 * WHILE;
    let mut nap = sleep(WHILE);
    Ok(cut.again(async || timeout_at(when, &mut nap).await).await.is_ok())
}

/// No tick is lost when one was given up.
async fn ticks(_: Scene, cut: Cut) -> io::Result<Vec<u64>> {
    let mut ticks = interval(WHILE);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(cut.again(async || ticks.tick().await).await.as_nanos());
    }
    Ok(seen)
}

async fn as_a_stream(_: Scene, cut: Cut) -> io::Result<Vec<u64>> {
    let mut ticks: Interval = interval(WHILE);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let next = cut
            .again(async || poll_fn(|context| Pin::new(&mut ticks).poll_next(context)).await)
            .await;
        seen.extend(next.map(|tick| tick.as_nanos()));
    }
    Ok(seen)
}

/// The task goes on, and its handle can be awaited again.
async fn joined(scene: Scene, cut: Cut) -> io::Result<u8> {
    let guard = scene.guard();
    let mut task = spawn(async move {
        let _guard = guard;
        sleep(WHILE).await;
        7
    });
    cut.again(async || (&mut task).await).await.map_err(io::Error::other)
}

async fn received(scene: Scene, cut: Cut) -> io::Result<u8> {
    let (sender, mut receiver) = oneshot::channel();
    let guard = scene.guard();
    drop(spawn(async move {
        let _guard = guard;
        sleep(WHILE).await;
        let _ = sender.send(7);
    }));
    cut.again(async || (&mut receiver).await).await.map_err(io::Error::other)
}

/// The work runs all the same, and its handle can be awaited again.
async fn executed(scene: Scene, cut: Cut) -> io::Result<u8> {
    let mut job = scene.handle().run_in_executor(|| 7);
    cut.again(async || (&mut job).await).await.map_err(io::Error::other)
}

async fn resolved(scene: Scene, cut: Cut) -> io::Result<usize> {
    let query = || Query {
        host: Some("many".to_owned()),
        service: "80".to_owned(),
        family: Family::Any,
        passive: false,
    };
    let found = cut.again(async || scene.handle().resolve(query()).await).await;
    Ok(found.map_err(io::Error::other)??.len())
}

async fn shut_down(scene: Scene, cut: Cut) -> io::Result<bool> {
    let job = scene.handle().run_in_executor(|| 7);
    let call = async || scene.handle().shutdown_default_executor(Some(WHILE)).await;
    cut.again(call).await;
    Ok(job.await.is_ok() && scene.handle().run_in_executor(|| 8).await.is_err())
}
