//! 100 connections that say a word now and then, for an hour: what keep-alive costs in virtual time, and that nothing
//! piles up.

use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{LoopHandle, sleep, spawn};
use millrun_sim::{Delay, Rng};
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::{World, WorldError};

const PORT: u16 = 1;
const CONNECTIONS: usize = 100;
const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn play(world: &World) -> Result<(), WorldError> {
    world.set_time_limit(2 * HOUR);
    world.add_rule(Delay(Duration::from_millis(20)));
    let mut rng = Rng::new(world.seed());
    world.host("server", serve());
    for client in 0..4 {
        world.host(&format!("client-{client}"), visit(Rng::new(rng.next_u64())));
    }
    let report = world.run()?;
    assert!(report.ended_at.as_nanos() > HOUR.as_nanos() as u64, "{}", report.ended_at);
    Ok(())
}

async fn serve() {
    let handler = async |mut reader: StreamReader, writer: StreamWriter| {
        while let Ok(Some(line)) = reader.next_line().await {
            writer.write(line).unwrap();
        }
    };
    let server = start_server("server", PORT, handler).await.unwrap();
    sleep(HOUR / 2).await;
    let handle = LoopHandle::current().unwrap();
    assert_eq!(server.connections(), CONNECTIONS);
    let before = handle.metrics();
    sleep(HOUR / 2).await;
    let after = handle.metrics();
    let of = |m: &millrun_loop::Metrics| (m.tasks, m.timers, m.watches);
    assert_eq!(of(&before), of(&after), "tasks, timers and watches pile up");
    server.close();
    server.wait_closed().await;
}

async fn visit(mut rng: Rng) {
    let visits: Vec<_> = (0..CONNECTIONS / 4)
        .map(|_| {
            let rng = Rng::new(rng.next_u64());
            spawn(keep_alive(rng))
        })
        .collect();
    for visit in visits {
        visit.await.unwrap();
    }
}

async fn keep_alive(mut rng: Rng) {
    let handle = LoopHandle::current().unwrap();
    let until = handle.now() + HOUR;
    let (mut reader, writer) = open_connection("server", PORT).await.unwrap();
    let writer = Rc::new(writer);
    while handle.now() < until {
        writer.write(b"still here\n").unwrap();
        assert_eq!(reader.read_line().await.unwrap(), b"still here\n");
        sleep(Duration::from_millis(15_000 + rng.within(0..30_000))).await;
    }
}
