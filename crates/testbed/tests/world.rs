//! Hosts, their main futures, and how a world ends.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use millrun_loop::{LoopHandle, sleep, spawn, yield_now};
use millrun_streams::{StreamReader, StreamWriter, open_connection, start_server};
use millrun_testbed::{World, WorldErrorKind, note};

type Failure = Box<dyn std::error::Error>;

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

async fn ask(words: usize) -> Result<(), Failure> {
    let (mut reader, writer) = open_connection("server", 7).await?;
    for _ in 0..words {
        writer.write(b"hello")?;
        assert_eq!(reader.read_exact(5).await?, b"hello");
    }
    note(format_args!("{words} words came back"));
    Ok(())
}

#[test]
fn an_application_of_three_hosts_runs_unchanged() {
    let world = World::new(1);
    world.host("server", serve()).background();
    world.host("one", ask(1));
    world.host("three", ask(3));
    let report = world.run().unwrap();
    assert_eq!(report.hosts.len(), 3);
    assert!(report.hosts[1].is_done && report.hosts[1].is_empty(), "{}", report.hosts[1]);
    let log = world.log();
    assert!(log.contains("one: 1 words came back") && log.contains("three: 3 words came back"));
    assert_eq!(world.sim().open_sockets(), 0);
}

#[test]
fn localhost_stays_inside_its_host() {
    let world = World::new(1);
    world
        .host("server", async {
            start_server("localhost", 7, echo).await?.serve_forever().await?;
            Ok::<(), Failure>(())
        })
        .background();
    world.host("client", async {
        let error = open_connection("localhost", 7).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let error = open_connection("server", 7).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    });
    world.run().unwrap();
}

#[test]
fn time_passes_only_when_nobody_has_anything_to_do() {
    let world = World::new(1);
    let told = Rc::new(RefCell::new(Vec::new()));
    for (name, hours) in [("a", 3), ("b", 1), ("c", 2)] {
        let told = Rc::clone(&told);
        world.host(name, async move {
            sleep(Duration::from_secs(hours * 3600)).await;
            told.borrow_mut().push((name, LoopHandle::current().unwrap().now().as_nanos()));
        });
    }
    let report = world.run().unwrap();
    let hour = 3_600_000_000_000;
    assert_eq!(*told.borrow(), [("b", hour), ("c", 2 * hour), ("a", 3 * hour)]);
    assert_eq!(report.ended_at.as_nanos(), 3 * hour);
}

#[test]
fn an_appointment_is_kept_before_the_turns_of_its_moment() {
    let world = World::new(1);
    let flag = Rc::new(Cell::new(0));
    let (first, second) = (Rc::clone(&flag), Rc::clone(&flag));
    world.at(Duration::from_secs(5), move |world| {
        first.set(world.now().as_nanos());
        let again = Rc::clone(&first);
        world.at(Duration::ZERO, move |_| again.set(again.get() + 1));
    });
    world.host("a", async move {
        sleep(Duration::from_secs(5)).await;
        assert_eq!(second.get(), 5_000_000_001);
    });
    world.run().unwrap();
}

#[test]
fn a_deadlock_names_by_host_who_waits_for_what() {
    let world = World::new(77);
    world.host("server", serve());
    let line = line!() + 2;
    world.host("client", async {
        let silent = spawn(pending::<()>());
        let (mut reader, writer) = open_connection("server", 7).await?;
        reader.read_line().await?;
        drop(writer);
        silent.await?;
        Ok::<(), Failure>(())
    });
    let error = world.run().unwrap_err();
    assert!(matches!(error.kind, WorldErrorKind::Deadlock), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("seed 77, at 0.000000000s: deadlock"), "{text}");
    let spawned = format!("task spawned at {}:{line}:", file!());
    assert!(text.contains(&spawned), "{text}");
    assert!(text.contains("host client waits: tasks 2, timers 0, registrations 1"), "{text}");
    assert!(text.contains("listener") && text.contains("10.0.0.1:7"), "{text}");
    assert_eq!(world.sim().open_sockets(), 0, "the loops are closed");
}

#[test]
fn a_main_future_that_fails_or_panics_fails_the_world() {
    let world = World::new(1);
    world.host("a", async { Err::<(), Failure>("no luck".into()) });
    let error = world.run().unwrap_err();
    let WorldErrorKind::Failed { host, error } = error.kind else { panic!("{error}") };
    assert_eq!((&*host, &*error), ("a", "no luck"));

    let world = World::new(1);
    world.host("a", async { sleep(Duration::from_secs(1)).await });
    world.host("b", async { panic!("on {}", "purpose") });
    let error = world.run().unwrap_err();
    let WorldErrorKind::Panicked { host, what } = error.kind else { panic!("{error}") };
    assert_eq!((&*host, &*what), ("b", "on purpose"));
}

#[test]
fn a_panic_in_any_task_fails_the_world() {
    let world = World::new(1);
    world.host("a", async {
        drop(spawn(async { panic!("nobody waits for me") }));
        sleep(Duration::from_secs(1)).await;
    });
    let error = world.run().unwrap_err();
    assert!(matches!(error.kind, WorldErrorKind::Panicked { .. }), "{error}");
    assert!(error.to_string().contains("nobody waits for me"), "{error}");
}

#[test]
fn a_world_that_goes_on_for_ever_has_a_limit() {
    let world = World::new(1);
    world.set_time_limit(Duration::from_secs(60));
    world.host("a", async {
        loop {
            sleep(Duration::from_secs(7)).await;
        }
    });
    let error = world.run().unwrap_err();
    assert!(matches!(error.kind, WorldErrorKind::TimeLimit), "{error}");
    assert_eq!(error.at.as_nanos(), 56_000_000_000);
}

#[test]
fn a_host_that_is_never_idle_is_named() {
    let world = World::new(1);
    world.set_livelock_limit(1000);
    world.host("calm", async { sleep(Duration::from_secs(1)).await });
    world.host("busy", async {
        loop {
            yield_now().await;
        }
    });
    let error = world.run().unwrap_err();
    assert!(matches!(error.kind, WorldErrorKind::Livelock { ref host } if host == "busy"));
}

#[test]
fn what_a_host_leaves_behind_is_a_leak() {
    let leave = || {
        let world = World::new(1);
        world.host("a", async { drop(spawn(pending::<()>())) });
        world
    };
    let error = leave().run().unwrap_err();
    assert!(matches!(error.kind, WorldErrorKind::Leaked { ref host } if host == "a"), "{error}");
    let world = leave();
    world.allow_leaks();
    assert_eq!(world.run().unwrap().hosts[0].tasks, 1);
}

#[test]
fn a_socket_that_outlives_its_loop_is_a_leak_of_the_background_too() {
    let world = World::new(1);
    let kept = Rc::new(RefCell::new(None));
    let keep = Rc::clone(&kept);
    world
        .host("server", async move {
            let network = LoopHandle::current().unwrap().network();
            let at = (std::net::Ipv4Addr::UNSPECIFIED, 80).into();
            *keep.borrow_mut() = Some(network.listen(&at, &Default::default()).unwrap());
        })
        .background();
    world.host("a", async { sleep(Duration::from_secs(1)).await });
    let error = world.run().unwrap_err();
    assert!(matches!(error.kind, WorldErrorKind::Leaked { ref host } if host == "server"));
}

#[test]
fn what_a_host_has_begun_it_may_end_when_it_is_done() {
    let world = World::new(1);
    world.host("server", async {
        let server = start_server("server", 7, echo).await?;
        sleep(Duration::from_secs(1)).await;
        server.close();
        server.wait_closed().await;
        Ok::<(), Failure>(())
    });
    world.host("client", async {
        let (reader, writer) = open_connection("server", 7).await?;
        writer.write(&[7; 1 << 20])?;
        // Both dropped: what was written is flushed, and the echo is read by nobody.
        drop((reader, writer));
        Ok::<(), Failure>(())
    });
    let report = world.run().unwrap();
    assert!(report.hosts.iter().all(|host| host.is_empty()), "{report:?}");
}

/// The world is over, and still runs on for as long as a host that is done has something to send.
#[test]
fn what_is_still_being_sent_is_no_leak() {
    let world = World::new(1);
    world.add_rule(millrun_sim::Bandwidth::new(20_000));
    let got = Rc::new(Cell::new(0));
    let count = Rc::clone(&got);
    world
        .host("server", async move {
            let handler = async move |mut reader: StreamReader, _writer: StreamWriter| {
                while let Ok(bytes @ [_, ..]) = reader.read(4096).await {
                    count.set(count.get() + bytes.len());
                }
            };
            start_server("server", 7, handler).await?.serve_forever().await?;
            Ok::<(), Failure>(())
        })
        .background();
    world.host("client", async {
        let (_reader, writer) = open_connection("server", 7).await?;
        writer.write(&[7; 300_000])?;
        Ok::<(), Failure>(())
    });
    let report = world.run().unwrap();
    assert!(report.ended_at.as_nanos() < 1_000_000_000, "{report:?}");
    assert!(report.hosts[1].is_empty(), "{}", report.hosts[1]);
    // What its kernel has taken is the network's: the last 64 KiB may be on their way.
    assert!(got.get() >= 300_000 - 65_536, "{}", got.get());
}

#[test]
fn equal_seeds_give_equal_runs_and_others_do_not() {
    let order = |seed| {
        let world = World::new(seed);
        for name in ["a", "b", "c", "d", "e"] {
            world.host(name, async {
                for turn in 0..5 {
                    note(turn);
                    sleep(Duration::from_millis(1)).await;
                }
            });
        }
        world.run().unwrap();
        world.log()
    };
    assert_eq!(order(5), order(5));
    assert_ne!(order(5), order(6), "the seed decides whose turn is first");
}

#[test]
fn a_note_outside_of_a_world_is_none() {
    note("nobody hears this");
}

/// A background server is closed while it serves: what panics then is told, too.
#[test]
fn a_panic_while_a_loop_is_closed_fails_the_world() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("at the very end");
        }
    }
    let world = World::new(1);
    world
        .host("server", async {
            let _last = Panics;
            pending::<()>().await;
        })
        .background();
    world.host("client", async { sleep(Duration::from_secs(1)).await });
    let error = world.run().unwrap_err();
    assert!(
        matches!(error.kind, WorldErrorKind::Panicked { ref host, .. } if host == "server"),
        "{error}"
    );
}

#[test]
fn an_appointment_that_makes_itself_again_at_once_is_a_livelock() {
    fn again(world: &World) {
        world.at(Duration::from_secs(1), again);
    }
    let world = World::new(1);
    world.host("client", async { sleep(Duration::from_secs(5)).await });
    world.at(Duration::from_secs(1), again);
    let error = world.run().unwrap_err();
    assert!(matches!(error.kind, WorldErrorKind::Livelock { .. }), "{error}");
}
