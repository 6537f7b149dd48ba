//! Accepting connections and what goes wrong with it, over a simulated network.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod connect_support;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use connect_support::{
    AT, Log, Recorder, address, connect, in_sim, read, reports, serve, settle, until,
};
use millrun_loop::sleep;
use millrun_sim::{Call, Failure};
use millrun_transport::Serve;

#[test]
fn sv_011_one_event_accepts_until_nobody_waits_but_at_most_the_backlog() {
    in_sim(|sim, handle| async move {
        // Each accept brings one more connection: without a bound this event would not end.
        let (world, log, clients) = (sim.clone(), Log::default(), Rc::new(RefCell::default()));
        let (accepted, kept) = (log.clone(), clients.clone());
        let factory = move || {
            accepted.push(world.counters().selects);
            let kept: &RefCell<Vec<_>> = &kept;
            if kept.borrow().len() < 7 {
                kept.borrow_mut().push(connect(&world, AT));
            }
            Recorder::new()
        };
        let server = Serve::address(address(AT)).backlog(3);
        let server = server.serve(&handle, factory).await.unwrap();
        let first = connect(&sim, AT);
        clients.borrow_mut().push(first);
        until(|| server.connections() == 7).await;
        settle().await;
        // By the number of the select that reported it.
        let selects: Vec<u64> = log.all().iter().map(|select| select.parse().unwrap()).collect();
        let events: Vec<usize> = selects.chunk_by(|a, b| a == b).map(<[u64]>::len).collect();
        assert_eq!(events, [3, 3, 1]);
        assert_eq!(sim.counters().would_block, 1, "only the last event found nobody");
        server.abort_clients();
        clients.take();
    });
}

#[test]
fn sv_012_an_aborted_connection_is_passed_over_in_the_same_round() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let (log, world) = (Log::default(), sim.clone());
        let accepted = log.clone();
        let factory = move || {
            accepted.push(world.counters().selects);
            Recorder::new()
        };
        let server = Serve::address(address(AT)).serve(&handle, factory).await.unwrap();
        sim.fail_next(Call::Accept, Failure::ECONNABORTED);
        sim.fail_next(Call::Accept, io::ErrorKind::Interrupted);
        let _clients = (connect(&sim, AT), connect(&sim, AT));
        let next = (sim.counters().selects + 1).to_string();
        until(|| server.connections() == 2).await;
        assert_eq!(log.all(), [next.clone(), next]);
        assert_eq!(reported.all(), [""; 0]);
        server.abort_clients();
    });
}

/// A change of interest that the selector refuses has ended the registration: the server must not go deaf by it.
#[test]
fn a_listener_whose_pause_is_refused_is_registered_anew() {
    for registers_that_fail in [0, 1, 2] {
        in_sim(|sim, handle| async move {
            let reported = reports(&handle);
            let server = serve(&handle, &Recorder::new()).await;
            let _waiting = connect(&sim, AT);
            sim.fail_next(Call::Accept, Failure::EMFILE);
            sim.fail_next(Call::SetInterest, Failure::ENOMEM);
            for _ in 0..registers_that_fail {
                sim.fail_next(Call::Register, Failure::ENOSPC);
            }
            sleep(Duration::from_secs(3)).await;
            assert_eq!(server.connections(), 1, "{registers_that_fail}");
            let reported = reported.all().split_off(1);
            assert_eq!(reported.len(), usize::from(registers_that_fail == 2), "{reported:?}");
            assert!(reported.iter().all(|text| text.starts_with("watching a listener again")));
            server.abort_clients();
        });
    }
}

/// D-07: one report and one timer for each listener, and the other listener goes on.
#[test]
fn sv_013_without_descriptors_one_listener_pauses_for_a_second() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = Serve::on_each(["10.0.0.1", "10.0.0.2"], 80);
        let server = server.serve(&handle, Recorder::new).await.unwrap();
        sim.fail_next(Call::Accept, Failure::EMFILE);
        let _waiting: Vec<_> = (0..5).map(|_| connect(&sim, "10.0.0.1:80")).collect();
        until(|| !reported.all().is_empty()).await;
        let began = sim.now();
        let text = &reported.all()[0];
        assert!(text.starts_with("socket.accept() out of system resource"), "{text}");
        assert!(text.contains("listener: 10.0.0.1:80"), "{text}");
        let accepts = sim.counters().accepts;
        let _other = connect(&sim, "10.0.0.2:80");
        until(|| server.connections() == 1).await;
        sleep(Duration::from_millis(900)).await;
        assert_eq!((server.connections(), reported.all().len()), (1, 1));
        assert_eq!(sim.counters().accepts, accepts + 2, "only the other listener's");
        until(|| server.connections() == 6).await;
        assert_eq!(sim.now().since(began), Duration::from_secs(1));
        assert_eq!(reported.all().len(), 1);
        server.abort_clients();
    });
}

#[test]
fn sv_013_all_four_numbers_pause_and_service_goes_on() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        let enobufs = Failure::Errno(if cfg!(target_os = "linux") { 105 } else { 55 });
        let enomem = Failure::Errno(12);
        let numbers = [Failure::EMFILE, Failure::ENFILE, enobufs, enomem];
        for (rounds, failure) in numbers.into_iter().enumerate() {
            sim.fail_next(Call::Accept, failure);
            let began = sim.now();
            let _client = connect(&sim, AT);
            until(|| server.connections() == 1).await;
            assert_eq!(reported.all().len(), rounds + 1);
            assert!(sim.now().since(began) >= Duration::from_secs(1));
            server.abort_clients();
            until(|| server.connections() == 0).await;
        }
    });
}

#[test]
fn sv_013_a_descriptor_limit_ends_when_a_connection_does() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let protocol = Recorder::new();
        let server = serve(&handle, &protocol).await;
        let clients: Vec<_> = (0..3).map(|_| connect(&sim, AT)).collect();
        // The listener, three clients, and one that was accepted.
        sim.set_fd_limit(5);
        until(|| reported.all().len() == 2).await;
        assert_eq!(server.connections(), 1, "one more try a second later, one more report");
        sim.set_fd_limit(usize::MAX);
        until(|| server.connections() == 3).await;
        drop(clients);
        until(|| server.connections() == 0).await;
        assert_eq!(reported.all().len(), 2);
    });
}

#[test]
fn sv_013_a_server_that_closes_while_it_pauses_leaves_no_timer() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        sim.fail_next(Call::Accept, Failure::EMFILE);
        let _client = connect(&sim, AT);
        until(|| !reported.all().is_empty()).await;
        server.close();
        assert_eq!(sim.registrations(), 0);
        let fired = handle.metrics().timers_fired;
        sleep(Duration::from_secs(2)).await;
        assert_eq!(handle.metrics().timers_fired, fired + 1, "this sleep's alone");
        assert_eq!(reported.all().len(), 1);
    });
}

#[test]
fn sv_014_another_accept_error_is_reported_and_listening_goes_on() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        sim.fail_next(Call::Accept, io::ErrorKind::PermissionDenied);
        let client = connect(&sim, AT);
        let began = sim.now();
        until(|| server.connections() == 1).await;
        assert!(sim.now().since(began) < Duration::from_millis(10), "no pause for the first");
        assert!(reported.all()[0].starts_with("accepting a connection failed"));
        drop(client);
        until(|| server.connections() == 0).await;
        // One that fails for ever (its descriptor was closed) must not keep the loop busy.
        for _ in 0..5 {
            sim.fail_next(Call::Accept, Failure::Errno(9));
        }
        let _client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        assert_eq!(reported.all().len(), 6);
        assert!(sim.now().since(began) >= Duration::from_secs(4), "{:?}", sim.now().since(began));
        server.abort_clients();
    });
}

#[test]
fn sv_016_a_factory_that_panics_closes_that_connection_and_is_reported() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let calls = Cell::new(0);
        let factory = move || {
            calls.set(calls.get() + 1);
            assert!(calls.get() != 1, "the first is the worst");
            Recorder::new()
        };
        let server = Serve::address(address(AT)).serve(&handle, factory).await.unwrap();
        let client = connect(&sim, AT);
        until(|| !reported.all().is_empty()).await;
        let text = &reported.all()[0];
        assert!(text.starts_with("error on transport creation for incoming"), "{text}");
        assert!(text.contains("the first is the worst"), "{text}");
        assert!(text.contains(&format!("peer: {}", client.local_addr().unwrap())), "{text}");
        assert_eq!((server.connections(), sim.open_sockets()), (0, 2));
        assert_eq!(read(&*client).unwrap(), b"", "the client sees the end at once");
        let _client = connect(&sim, AT);
        until(|| server.connections() == 1).await;
        server.abort_clients();
    });
}

#[test]
fn a_connection_that_cannot_be_registered_is_closed_and_reported() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = serve(&handle, &Recorder::new()).await;
        sim.fail_next(Call::Register, Failure::EMFILE);
        let client = connect(&sim, AT);
        until(|| !reported.all().is_empty()).await;
        assert_eq!((server.connections(), sim.open_sockets()), (0, 2));
        assert_eq!(read(&*client).unwrap(), b"");
    });
}

/// A protocol whose drop panics.
struct Bomb;

impl millrun_transport::Protocol for Bomb {
    fn data_received(&mut self, _data: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the drop is a bomb");
    }
}

/// SV-016, SV-018: the protocol is dropped because its connection can't be registered.
#[test]
fn sv_016_a_connection_that_cannot_be_made_is_not_counted_whatever_its_protocol_does() {
    in_sim(|sim, handle| async move {
        let reported = reports(&handle);
        let server = Serve::address(address(AT)).serve(&handle, || Bomb).await.unwrap();
        sim.fail_next(Call::Register, Failure::EMFILE);
        let _client = connect(&sim, AT);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(server.connections(), 0);
        assert_eq!(reported.count("error on transport creation"), 1, "{:?}", reported.all());
    });
}
