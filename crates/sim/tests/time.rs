//! The virtual clock, the end of all events, and other threads.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::ErrorKind;
use std::time::Duration;

use millrun_selector::{Interest, Time};
use millrun_sim::{Deadlock, Delay, Sim};
use support::{connect, connected, listen, look, ms, read, ready, watch};

#[test]
fn the_clock_stands_still_until_somebody_waits() {
    let sim = Sim::new(1);
    let clock = sim.clock();
    let (a, b) = sim.pair();
    a.try_write(b"x").unwrap();
    read(&*b, 1).unwrap();
    assert_eq!(clock.now(), Time::ZERO);
    sim.advance(ms(5));
    assert_eq!(clock.now(), Time::from_nanos(5_000_000));
    sim.advance_to(Time::ZERO);
    assert_eq!(clock.now(), Time::from_nanos(5_000_000), "never back");
    sim.advance_to(Time::MAX);
    sim.advance(ms(1));
    assert_eq!(clock.now(), Time::MAX);
}

#[test]
fn a_select_jumps_to_the_next_event_or_to_its_deadline() {
    let sim = Sim::new(1);
    let (client, server) = connected(&sim);
    sim.add_rule(Delay(ms(30)));
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*server, Interest::READ);
    client.try_write(b"one").unwrap();
    assert_eq!(sim.next_event(), Some(Time::ZERO + ms(30)));

    let mut events = Vec::new();
    selector.select(Some(ms(20)), &mut events).unwrap();
    assert_eq!((sim.now(), events.len()), (Time::ZERO + ms(20), 0));
    selector.select(Some(ms(20)), &mut events).unwrap();
    assert_eq!((sim.now(), events[0].key), (Time::ZERO + ms(30), key));
    assert_eq!(sim.next_event(), None);
}

/// An event that concerns nobody here does not end the wait.
#[test]
fn a_select_waits_through_events_of_others() {
    let sim = Sim::new(1);
    let (client, server) = connected(&sim);
    sim.add_rule(Delay(ms(30)));
    client.try_write(b"for nobody").unwrap();
    let mut selector = sim.selector();
    selector.select(Some(ms(100)), &mut Vec::new()).unwrap();
    assert_eq!(sim.now(), Time::ZERO + ms(100));
    assert_eq!(read(&*server, 64).unwrap(), b"for nobody");
}

#[test]
fn nothing_will_ever_happen_is_an_error_that_says_who_waits() {
    let sim = Sim::new(77);
    let (client, server) = connected(&sim);
    let listener = listen(&sim, "127.0.0.1:80");
    let mut selector = sim.selector();
    watch(&mut *selector, &*client, Interest::READ);
    selector.register(&listener, Interest::READ).unwrap();
    watch(&mut *selector, &*server, Interest::NONE);
    drop(server);
    read(&*client, 1).unwrap(); // its end of file is final, and so always reported
    let (client, server) = connected(&sim);
    let key = watch(&mut *selector, &*client, Interest::READ);

    let mut events = Vec::new();
    selector.select(None, &mut events).unwrap();
    selector.set_interest(events[0].key, Interest::NONE).unwrap();
    sim.advance(ms(1500));
    let error = selector.select(None, &mut events).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadlock);
    let deadlock = error.get_ref().unwrap().downcast_ref::<Deadlock>().unwrap();
    assert_eq!((deadlock.at, deadlock.seed), (sim.now(), 77));
    let (a, b) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let text = error.to_string();
    for part in [
        "deadlock at 1.500000000s (seed 77)",
        "registrations that wait: 4",
        "interest READ: listener",
        "at 127.0.0.1:80",
        "which was closed while registered",
        &format!("{a} to {b}, Connected"),
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // It is no end: the world can still go on.
    server.try_write(b"x").unwrap();
    assert!(ready(&mut *selector, key).is_readable());
}

#[test]
fn a_wake_ends_the_wait_or_the_next_one() {
    let sim = Sim::new(1);
    let mut selector = sim.selector();
    let waker = selector.waker();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    let mut events = Vec::new();
    selector.select(None, &mut events).unwrap();
    assert_eq!((events.len(), sim.now()), (0, Time::ZERO));
    assert_eq!(selector.select(None, &mut events).unwrap_err().kind(), ErrorKind::Deadlock);

    let waker = selector.waker();
    waker.wake();
    selector.select(Some(ms(7)), &mut events).unwrap();
    assert_eq!(sim.now(), Time::ZERO, "a wake comes before the timeout");
    drop(selector);
    waker.wake(); // harmless
}

#[test]
fn other_threads_are_waited_for_where_the_test_allows_it() {
    let sim = Sim::new(1);
    sim.allow_external_wakes(true);
    let mut selector = sim.selector();
    for _ in 0..20 {
        let (go, gone) = std::sync::mpsc::channel();
        let waker = selector.waker();
        let thread = std::thread::spawn(move || {
            gone.recv().unwrap();
            waker.wake();
        });
        go.send(()).unwrap();
        selector.select(None, &mut Vec::new()).unwrap();
        thread.join().unwrap();
    }
    selector.select(Some(Duration::from_secs(3600)), &mut Vec::new()).unwrap();
    assert_eq!(sim.now(), Time::ZERO + Duration::from_secs(3600), "a deadline is virtual still");
}

#[test]
fn a_program_that_is_never_idle_stops_the_clock_unless_selects_take_time() {
    let sim = Sim::new(1);
    let (client, server) = connected(&sim);
    sim.add_rule(Delay(ms(10)));
    let mut selector = sim.selector();
    let busy = watch(&mut *selector, &*client, Interest::WRITE);
    let key = watch(&mut *selector, &*server, Interest::READ);
    client.try_write(b"x").unwrap();
    for _ in 0..100 {
        assert!(ready(&mut *selector, busy).is_writable());
    }
    assert_eq!(sim.now(), Time::ZERO);
    sim.set_select_cost(ms(1));
    for _ in 0..9 {
        assert!(ready(&mut *selector, key).is_none());
    }
    assert!(ready(&mut *selector, key).is_readable());
    assert_eq!(sim.now(), Time::ZERO + ms(10));
}

#[test]
fn under_a_driver_only_the_driver_moves_the_clock() {
    let sim = Sim::new(1);
    sim.set_driven(true);
    let (client, server) = connected(&sim);
    sim.add_rule(Delay(ms(10)));
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*server, Interest::READ);
    client.try_write(b"x").unwrap();
    let mut events = Vec::new();
    selector.select(None, &mut events).unwrap();
    selector.select(Some(ms(50)), &mut events).unwrap();
    assert_eq!((events.len(), sim.now()), (0, Time::ZERO));
    sim.advance_to(sim.next_event().unwrap());
    assert!(ready(&mut *selector, key).is_readable());
}

/// A year of waiting, in no time.
#[test]
fn a_connect_to_a_full_queue_is_tried_again_and_given_up() {
    let sim = Sim::new(1);
    let options = backlog(1);
    let at = support::inet("127.0.0.1:80");
    let listener = sim.network().listen(&at, &options).unwrap();
    let _first = connect(&sim, "127.0.0.1:80");
    let second = connect(&sim, "127.0.0.1:80");
    let mut selector = sim.selector();
    let key = watch(&mut *selector, &*second, Interest::WRITE);
    assert_eq!(look(&mut *selector), []);
    sim.advance(ms(900));
    listener.try_accept().unwrap();
    let mut events = Vec::new();
    selector.select(None, &mut events).unwrap();
    assert_eq!((events[0].key, sim.now()), (key, Time::ZERO + ms(1000)));
    assert!(second.take_error().unwrap().is_none());

    let third = connect(&sim, "127.0.0.1:80");
    let started = sim.now();
    selector.deregister(key, &second).unwrap();
    watch(&mut *selector, &*third, Interest::WRITE);
    selector.select(None, &mut events).unwrap();
    assert_eq!(sim.now() - started, Duration::from_secs(127));
    assert_eq!(third.take_error().unwrap().unwrap().kind(), ErrorKind::TimedOut);
}

fn backlog(n: u32) -> millrun_selector::ListenOptions {
    let mut options = millrun_selector::ListenOptions::default();
    options.backlog = n;
    options
}
