//! Testing an application on a simulated network: the application takes its world from the loop it
//! runs in, so the test gives it another one. No sleep, no port, no luck: the seed decides.

use std::time::Duration;

use millrun::event_loop::EventLoop;
use millrun::streams::{open_connection, start_server};
use millrun::{LoopHandle, sleep, timeout};
use millrun_sim::{Faults, Sim};

type Failure = Box<dyn std::error::Error>;

/// The application: asks a time server, and gives up after a second. It knows nothing of the simulation.
async fn ask_the_time(host: &str) -> Result<String, Failure> {
    let (mut reader, writer) = open_connection(host, 37).await?;
    writer.write(b"what time is it?\n")?;
    let answer = timeout(Duration::from_secs(1), reader.read_line()).await??;
    Ok(String::from_utf8(answer.to_vec())?)
}

/// The other side, as slow as the test wants it.
async fn tell_the_time(host: &str, after: Duration) -> Result<(), Failure> {
    let serve = async move |mut reader: millrun::StreamReader, writer: millrun::StreamWriter| {
        if reader.read_line().await.is_ok() {
            sleep(after).await;
            let _ = writer.write(b"teatime\n");
        }
    };
    start_server(host, 37, serve).await?.detach(); // serves as long as the loop lives
    Ok(())
}

fn main() -> Result<(), Failure> {
    for seed in 0..20 {
        let sim = Sim::new(seed);
        sim.faults(Faults { short_reads: 0.3, short_writes: 0.3, would_block: 0.3 });
        let mut world = EventLoop::builder()
            .selector(sim.selector())
            .clock(sim.clock())
            .network(sim.network())
            .resolver(sim.resolver())
            .build()?;
        world.run_until_complete(async {
            tell_the_time("10.0.0.1", Duration::from_millis(900)).await?;
            tell_the_time("10.0.0.2", Duration::from_secs(3600)).await?;
            let answer = ask_the_time("10.0.0.1").await?;
            assert_eq!(answer, "teatime\n");
            let late = ask_the_time("10.0.0.2").await;
            assert!(late.is_err(), "an answer an hour late is no answer");
            assert!(ask_the_time("10.0.0.3").await.is_err(), "nobody listens there");
            println!("seed {seed}: all well at {} of virtual time", LoopHandle::current()?.now());
            Ok::<(), Failure>(())
        })??;
    }
    Ok(())
}
