//! What an application meets on a bad network: partitions, crashes, slow links; and how a run is repeated.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{LoopHandle, sleep, spawn};
use millrun_sim::{Bandwidth, Between, Delay, Faults, Jitter};
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::{World, WorldError, check_seeds, note};

type Failure = Box<dyn std::error::Error>;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn now() -> u64 {
    LoopHandle::current().unwrap().now().as_nanos() / 1_000_000
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> Result<(), Failure> {
    loop {
        let bytes = reader.read(4096).await?;
        if bytes.is_empty() {
            return Ok(());
        }
        writer.write(bytes)?;
        writer.drain().await?;
    }
}

async fn serve() -> Result<(), Failure> {
    start_server("server", 7, echo).await?.serve_forever().await?;
    Ok(())
}

#[test]
fn a_stream_goes_on_after_a_partition_and_loses_nothing() {
    let world = World::new(1);
    world.add_rule(Delay(Duration::from_millis(10)));
    world.host("server", serve()).background();
    world.host("client", async {
        let (mut reader, writer) = open_connection("server", 7).await?;
        for second in 0..100u8 {
            writer.write(&[second])?;
            assert_eq!(reader.read_exact(1).await?, [second]);
            sleep(secs(1)).await;
        }
        Ok::<(), Failure>(())
    });
    world.at(secs(10), |world| world.partition("client", "server"));
    world.at(secs(70), |world| world.heal("server", "client"));
    let report = world.run().unwrap();
    let seconds = report.ended_at.as_nanos() / 1_000_000_000;
    assert!((160..163).contains(&seconds), "100 s of its own, 60 s of waiting: {seconds}");
    let log = world.log();
    for line in ["10.000000000s client: is parted from server", "70.000000000s server: reaches"] {
        assert!(log.contains(line), "{line} in\n{log}");
    }
}

#[test]
fn a_server_that_crashes_and_is_restarted_is_found_again() {
    let world = World::new(1);
    world.sim().set_user_timeout(secs(20));
    let server = world.host("server", serve());
    server.background();
    let told = Rc::new(RefCell::new(Vec::new()));
    let tell = Rc::clone(&told);
    world.host("client", async move {
        let (mut reader, writer) = open_connection("server", 7).await?;
        sleep(secs(20)).await;
        writer.write(b"x")?;
        let error = reader.read_exact(1).await.unwrap_err();
        tell.borrow_mut().push((now(), error.to_string()));
        let error = open_connection("10.0.0.1", 7).await.unwrap_err(); // one address alone
        tell.borrow_mut().push((now(), format!("{:?}", error.kind())));
        let (mut reader, writer) = open_connection("server", 7).await?;
        writer.write(b"y")?;
        assert_eq!(reader.read_exact(1).await?, b"y");
        tell.borrow_mut().push((now(), "back".to_owned()));
        Ok::<(), Failure>(())
    });
    let again = server.clone();
    world.at(secs(10), move |_| server.crash());
    world.at(secs(220), move |_| again.restart(serve()));
    world.run().unwrap();
    let told = told.borrow();
    assert_eq!(told[0].0, 40_000, "{told:?}");
    assert_eq!(told[1], (167_000, "TimedOut".to_owned()), "127 s of trying to connect");
    assert_eq!(told[2], (230_000, "back".to_owned()), "asked again 63 s after the first time");
}

#[test]
fn a_host_can_crash_itself_and_its_destructors_reach_nobody() {
    struct Farewell(StreamWriter);
    impl Drop for Farewell {
        fn drop(&mut self) {
            let _ = self.0.write(b"farewell");
            note("says farewell");
        }
    }
    let world = World::new(1);
    let heard = Rc::new(RefCell::new(Vec::new()));
    let hear = Rc::clone(&heard);
    world.host("listener", async move {
        let server = start_server("listener", 7, async move |mut reader: StreamReader, _writer| {
            let mut all = Vec::new();
            let _ = reader.read_to_end(&mut all).await;
            hear.borrow_mut().extend(all);
        })
        .await?;
        sleep(secs(60)).await;
        server.close();
        server.close_clients();
        server.wait_closed().await;
        Ok::<(), Failure>(())
    });
    let inside = world.clone();
    world.host("brief", async move {
        let (_reader, writer) = open_connection("listener", 7).await?;
        writer.write(b"hello")?;
        writer.flush();
        let _farewell = Farewell(writer);
        sleep(secs(1)).await;
        inside.find("brief").crash();
        inside.find("brief").restart(async { note("is another one") });
        Ok::<(), Failure>(())
    });
    world.run().unwrap();
    assert_eq!(*heard.borrow(), b"hello");
    let log = world.log();
    let order = ["brief: crashes", "brief: says farewell", "brief: is another one"];
    let places: Vec<_> = order.iter().map(|line| log.find(line).expect(line)).collect();
    assert!(places.is_sorted(), "{log}");
}

#[test]
fn a_slow_link_paces_a_transfer() {
    let world = World::new(1);
    world.add_rule(Between::new("server", "client", Bandwidth::new(100_000)));
    world.host("server", serve()).background();
    world.host("client", async {
        let (mut reader, writer) = open_connection("server", 7).await?;
        let write = spawn(async move {
            for _ in 0..100 {
                writer.write(&[1; 10_000]).unwrap();
                writer.drain().await.unwrap();
            }
            writer
        });
        let mut got = 0;
        while got < 1_000_000 {
            got += reader.read(4096).await?.len();
        }
        write.await?;
        assert!((10_000..10_400).contains(&now()), "1 MB at 100 kB/s, {} ms", now());
        Ok::<(), Failure>(())
    });
    world.run().unwrap();
}

/// Some hosts that do this and that on a network of chance.
fn lively(world: &World) {
    world.add_rule(Jitter(Duration::from_millis(30)));
    world.sim().faults(Faults { short_reads: 0.2, short_writes: 0.2, would_block: 0.2 });
    world.host("server", serve()).background();
    for client in 0..3u64 {
        world.host(&format!("client {client}"), async move {
            let (mut reader, writer) = open_connection("server", 7).await?;
            for round in 0..20usize {
                writer.write(&vec![7; 100 * round + 1])?;
                reader.read_exact(100 * round + 1).await?;
                note(round);
                sleep(Duration::from_millis(client)).await;
            }
            Ok::<(), Failure>(())
        });
    }
    let moments = [100, 200, 300];
    for ms in moments {
        world.at(Duration::from_millis(ms), |world| world.partition("client 1", "server"));
        world.at(Duration::from_millis(ms + 50), |world| world.heal("client 1", "server"));
    }
}

#[test]
fn equal_seeds_give_equal_logs() {
    let log_of = |seed| {
        let world = World::new(seed);
        lively(&world);
        world.run().unwrap();
        world.log()
    };
    let log = log_of(3);
    assert!(log.lines().count() > 500, "{}", log.lines().count());
    assert_eq!(log, log_of(3));
    assert_ne!(log, log_of(4));
}

/// The log of this seed on any machine, in short: a change of the driver, the network or the stack that moves it
/// makes old seeds mean other runs, which is worth knowing.
#[test]
fn the_log_of_a_seed_has_no_address_and_no_order_of_this_process() {
    let world = World::new(3);
    lively(&world);
    world.run().unwrap();
    let log = world.log();
    assert!(!log.contains("0x"), "a pointer is in it");
    let again = std::thread::spawn(move || {
        let world = World::new(3);
        lively(&world);
        world.run().unwrap();
        world.log()
    });
    // Another thread has other thread-locals, another stack and other hash keys.
    assert_eq!(again.join().unwrap(), log);
}

#[test]
fn only_the_last_events_are_kept() {
    let world = World::new(1);
    world.keep_log(3);
    world.host("a", async {
        for n in 0..9 {
            note(n);
        }
    });
    world.run().unwrap();
    assert_eq!(world.log(), "0.000000000s a: 7\n0.000000000s a: 8\n0.000000000s a: is done\n");
}

#[test]
fn every_seed_is_run_until_one_fails() {
    let ran = Cell::new(0);
    let sweep = |fails: Option<u64>| {
        ran.set(0);
        catch_unwind(AssertUnwindSafe(|| {
            check_seeds("every_seed_is_run", 10..20, |world| {
                ran.set(ran.get() + 1);
                let seed = world.seed();
                world.host("a", async move {
                    if Some(seed) == fails {
                        return Err::<(), Failure>("a bad seed".into());
                    }
                    Ok(())
                });
                world.run().map(drop)
            });
        }))
    };
    assert!(sweep(None).is_ok() && ran.get() == 10);
    let panic = sweep(Some(14)).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert_eq!(ran.get(), 5);
    let command = "MILLRUN_SEED=14 cargo test -p millrun-testbed every_seed_is_run";
    assert!(text.contains(command) && text.contains("a bad seed"), "{text}");
}

#[test]
fn a_test_that_forgets_to_run_its_world_tests_nothing() {
    let forgot = || {
        check_seeds("forgot", 0..1, |world| {
            world.host("a", async { panic!("never polled") });
            Ok::<(), WorldError>(())
        });
    };
    assert!(catch_unwind(forgot).is_err());
}

#[test]
fn a_refused_connection_names_no_host_that_is_not_there() {
    let world = World::new(1);
    world.host("client", async {
        let error = open_connection("nobody", 7).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
    world.run().unwrap();
}
