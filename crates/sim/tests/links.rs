//! Rules of the network: they add up, and nothing overtakes.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use millrun_selector::Time;
use millrun_sim::{Delay, Jitter, OnPort, Packet, PacketKind, Rng, Sim};
use support::{connect, connected, listen, ms, read};

#[test]
fn delays_add_up() {
    let sim = Sim::new(1);
    let (a, b) = connected(&sim);
    sim.add_rule(Delay(ms(10)));
    sim.add_rule(Delay(ms(5)));
    a.try_write(b"x").unwrap();
    assert_eq!(sim.next_event(), Some(Time::ZERO + ms(15)));
    sim.clear_rules();
    b.try_write(b"fast").unwrap();
    assert_eq!(read(&*a, 9).unwrap(), b"fast");
    sim.advance(ms(15));
    assert_eq!(read(&*b, 9).unwrap(), b"x");
}

#[test]
fn nothing_overtakes_in_one_direction() {
    for seed in 0..50 {
        let sim = Sim::new(seed);
        let (a, b) = connected(&sim);
        sim.add_rule(Jitter(ms(50)));
        for byte in 0..100 {
            a.try_write(&[byte]).unwrap();
        }
        drop(a);
        sim.advance(ms(50));
        assert_eq!(read(&*b, 200).unwrap(), (0..100).collect::<Vec<u8>>(), "{sim:?}");
        assert_eq!(read(&*b, 200).unwrap(), b"");
    }
}

#[test]
fn a_rule_for_one_port() {
    let sim = Sim::new(1);
    sim.add_rule(OnPort(80, Delay(ms(10))));
    let (_slow, _fast) = (listen(&sim, "127.0.0.1:80"), listen(&sim, "127.0.0.1:81"));
    let (slow, fast) = (connect(&sim, "127.0.0.1:80"), connect(&sim, "127.0.0.1:81"));
    assert!(slow.peer_addr().is_err() && fast.peer_addr().is_ok());
}

/// A rule is a stranger: it may look at the world that it is part of.
#[test]
fn a_closure_is_a_rule_and_sees_every_packet() {
    let sim = Sim::new(1);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (log, world) = (Rc::clone(&seen), Rc::downgrade(&Rc::new(sim.clone())));
    let inner = sim.clone();
    sim.add_rule(move |packet: &Packet<'_>, _: &mut Rng| -> Duration {
        assert!(inner.open_sockets() > 0 && world.upgrade().is_none());
        log.borrow_mut().push((packet.kind, packet.bytes));
        Duration::ZERO
    });
    let (client, server) = connected(&sim);
    client.try_write(b"abc").unwrap();
    server.try_write(b"de").unwrap();
    drop(server);
    drop(client); // with bytes unread
    let (a, b) = sim.pair();
    a.try_write(b"not on any link").unwrap();
    drop((a, b));
    assert_eq!(
        *seen.borrow(),
        [
            (PacketKind::Connect, 0),
            (PacketKind::Accept, 0),
            (PacketKind::Data, 3),
            (PacketKind::Data, 2),
            (PacketKind::Reset, 0),
        ],
    );
    sim.clear_rules();
}
