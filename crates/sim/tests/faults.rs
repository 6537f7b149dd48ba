//! Faults by chance: as often as asked, replayed by the seed, and never the end of an honest program.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::io::ErrorKind;

use millrun_selector::{Event, Interest, Time};
use millrun_sim::{Fault, Faults, Jitter, Sim};
use support::{connect, connected, listen, look, ms, read, ready, watch};

const ROUGH: Faults = Faults { short_reads: 0.4, short_writes: 0.4, would_block: 0.3 };

/// Sends `bytes` through a connection and writes down everything that happens.
fn transcript(seed: u64, faults: Faults, bytes: &[u8]) -> (String, Vec<u8>) {
    let sim = Sim::new(seed);
    let (client, server) = connected(&sim);
    sim.add_rule(Jitter(ms(5)));
    sim.set_buffers(50, 50);
    sim.faults(faults);
    let mut selector = sim.selector();
    let writes = watch(&mut *selector, &*client, Interest::WRITE);
    let reads = watch(&mut *selector, &*server, Interest::READ);
    let (mut sent, mut got, mut log) = (0, Vec::new(), String::new());
    while got.len() < bytes.len() {
        let mut events: Vec<Event> = Vec::new();
        selector.select(None, &mut events).unwrap();
        for event in events {
            let result = if event.key == reads {
                read(&*server, 40).map(|some| {
                    got.extend_from_slice(&some);
                    some.len()
                })
            } else {
                client.try_write(&bytes[sent..bytes.len().min(sent + 60)]).inspect(|n| sent += n)
            };
            let result = result.map_err(|e| e.kind());
            log += &format!("{:?} {:?} {result:?}\n", sim.now(), event.key.index);
        }
        if sent == bytes.len() {
            selector.set_interest(writes, Interest::NONE).unwrap();
        }
    }
    log += &format!("{sim:?} {:?}", sim.injected());
    (log, got)
}

#[test]
fn equal_seeds_give_equal_runs() {
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let (first, got) = transcript(42, ROUGH, &bytes);
    assert_eq!(got, bytes);
    assert_eq!(first, transcript(42, ROUGH, &bytes).0);
    assert_ne!(first, transcript(43, ROUGH, &bytes).0);
    assert!(first.contains("seed: 42"), "the seed is printed");
}

#[test]
fn an_honest_program_ends_under_the_worst_faults() {
    let most = Faults { short_reads: 1.0, short_writes: 7.0, would_block: 1.0 };
    let bytes = vec![7; 200];
    assert_eq!(transcript(1, most, &bytes).1, bytes);
}

#[test]
fn faults_come_as_often_as_asked() {
    let sim = Sim::new(9);
    let (a, peer) = sim.scripted();
    sim.faults(ROUGH);
    let (mut blocked, mut short) = (0, 0);
    for _ in 0..20_000 {
        match a.try_write(b"0123456789") {
            Ok(10) => {}
            Ok(n) => {
                assert!((1..10).contains(&n), "a short write takes something");
                short += 1;
            }
            Err(e) => {
                assert_eq!(e.kind(), ErrorKind::WouldBlock);
                blocked += 1;
            }
        }
        peer.take_received();
    }
    assert!((5_700..6_300).contains(&blocked), "{blocked} of 20000 at 0.3");
    assert!((5_300..5_900).contains(&short), "{short} of the 14000 others at 0.4");
    let injected = sim.injected();
    assert_eq!(injected.len(), blocked + short);
    assert_eq!(injected.iter().filter(|i| matches!(i.fault, Fault::Short(_))).count(), short);

    let mut reads = [0, 0];
    for _ in 0..20_000 {
        peer.send("01");
        match read(&*a, 2).map(|bytes| bytes.len()) {
            Ok(2) => {}
            Ok(_) => reads[0] += 1,
            Err(_) => reads[1] += 1,
        }
        while peer.unread() > 0 {
            let _ = read(&*a, 2);
        }
    }
    assert!((5_300..5_900).contains(&reads[0]) && (5_700..6_300).contains(&reads[1]), "{reads:?}");
}

#[test]
fn no_faults_and_no_chance_are_no_faults() {
    for faults in
        [Faults::NONE, Faults { short_reads: -1.0, short_writes: f64::NAN, would_block: 0.0 }]
    {
        let bytes = vec![7; 5000];
        let (log, _) = transcript(1, faults, &bytes);
        assert!(log.ends_with("[]"), "{log}");
    }
}

/// Only what could have been is denied, so that faults don't change the meaning of the rest.
#[test]
fn one_byte_is_never_short_and_nothing_is_denied_that_was_not_there() {
    let sim = Sim::new(1);
    let (a, _peer) = sim.scripted();
    sim.faults(Faults { short_reads: 0.99, short_writes: 0.99, would_block: 0.0 });
    for _ in 0..100 {
        assert_eq!(a.try_write(b"x").unwrap(), 1);
        assert!(read(&*a, 9).is_err());
    }
    assert_eq!(sim.injected(), []);
}

#[test]
fn a_denied_accept_is_reported_again() {
    let sim = Sim::new(1);
    sim.faults(Faults { would_block: 0.9, ..Faults::NONE });
    let listener = listen(&sim, "127.0.0.1:80");
    let mut selector = sim.selector();
    let key = selector.register(&listener, Interest::READ).unwrap();
    let clients: Vec<_> = (0..20).map(|_| connect(&sim, "127.0.0.1:80")).collect();
    let mut accepted = Vec::new();
    while accepted.len() < clients.len() {
        assert!(ready(&mut *selector, key).is_readable());
        accepted.extend(listener.try_accept().ok());
    }
    assert!(sim.injected().len() > 50);
    assert!(listener.try_accept().is_err());
    assert_eq!(look(&mut *selector), []);
    assert_eq!(sim.now(), Time::ZERO);
}
