//! Testing an application of several hosts on a bad network: a collector of reports, and reporters that give up when it
//! takes too long. The first collector has a bug that most runs don't show; a seed finds it, and finds it again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use millrun::streams::{open_connection, start_server};
use millrun::{StreamReader, StreamWriter, sleep, timeout};
use millrun_sim::Jitter;
use millrun_testbed::{World, check_seeds, note};

type Failure = Box<dyn std::error::Error>;
type Log = Rc<RefCell<Vec<u8>>>;

/// The application, first half: all reports go into one log, line by line.
async fn collect(log: Log, is_careful: bool) -> Result<(), Failure> {
    let handler = async move |mut reader: StreamReader, _writer: StreamWriter| {
        while let Ok(Some(line)) = reader.next_line().await {
            if is_careful && !line.ends_with(b"\n") {
                return; // the last line was cut off: its reporter gave up
            }
            log.borrow_mut().extend_from_slice(line);
        }
    };
    start_server("collector", 514, handler).await?.serve_forever().await?;
    Ok(())
}

/// The application, second half: works, and tells about it.
async fn report(name: &str) -> Result<(), Failure> {
    let (_reader, writer) = open_connection("collector", 514).await?;
    for work in 1..=5 {
        writer.write(format!("{name} begins work {work}").as_bytes())?;
        sleep(Duration::from_millis(work)).await;
        writer.write(b" and ends it\n")?;
    }
    Ok(())
}

/// The test: three reporters that have 24 ms each, a network that takes up to 5 ms, and a look at the log.
fn every_line_is_whole(world: &World, is_careful: bool) -> Result<(), Failure> {
    world.add_rule(Jitter(Duration::from_millis(5)));
    let log = Log::default();
    world.host("collector", collect(Rc::clone(&log), is_careful)).background();
    for name in ["anna", "ben", "cleo"] {
        world.host(name, async move {
            if timeout(Duration::from_millis(24), report(name)).await.is_err() {
                note("gives up");
            }
            sleep(Duration::from_secs(1)).await; // what is on its way arrives
        });
    }
    world.run()?;
    let log = String::from_utf8(log.take())?;
    let is_whole = |line: &str| line.matches("begins").count() == 1 && line.ends_with("ends it");
    match log.lines().find(|line| !is_whole(line)) {
        None => Ok(()),
        Some(line) => Err(format!("not a whole line: {line}").into()),
    }
}

fn main() {
    // What `check_seeds` does for a test: it stops at the first seed that fails, and tells how to run it again.
    let failing = (0..1000).find_map(|seed| {
        let error = every_line_is_whole(&World::new(seed), false).err()?;
        Some((seed, error.to_string()))
    });
    let Some((seed, error)) = failing else { panic!("the first collector passes") };
    println!("the first collector, seed {seed}: {error}");
    let again = every_line_is_whole(&World::new(seed), false).err().map(|error| error.to_string());
    assert_eq!(again, Some(error), "the same seed is the same run");
    check_seeds("every_line_is_whole", 0..1000, |world| every_line_is_whole(world, true));
    println!("the second collector: 1000 seeds, all well");
}
